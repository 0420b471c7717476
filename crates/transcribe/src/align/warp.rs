//! Dynamic time warping.

use super::matrix::Matrix;

/// A way through a matrix from its first cell to its last, down, right or both at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) rows: Vec<usize>,
    pub(super) columns: Vec<usize>,
}

impl Path {
    /// The column where each row begins.
    pub(super) fn first_columns(&self) -> impl Iterator<Item = usize> {
        let begins = |i: usize| i == 0 || self.rows[i] != self.rows[i - 1];
        (0..self.rows.len()).filter(move |&i| begins(i)).map(|i| self.columns[i])
    }
}

/// Where a cell's cheapest way comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Both,
    Above,
    Left,
}

/// The cheapest way through a matrix of costs; of equals the one that openai/whisper takes.
///
/// Source: `dtw_cpu` in openai/whisper `whisper/timing.py`, which keeps sums in f32.
pub(super) fn path(costs: &Matrix) -> Path {
    let n_columns = costs.n_columns;
    let n_rows = costs.values.len() / n_columns;
    let mut trace = Vec::with_capacity(n_rows * n_columns);
    // The sums of the row above and of this one, each with a column before the first.
    let mut above = vec![f32::INFINITY; n_columns + 1];
    let mut sums = above.clone();
    above[0] = 0.0;
    for row in costs.values.chunks_exact(n_columns) {
        sums[0] = f32::INFINITY;
        for (j, cost) in row.iter().enumerate() {
            let (both, up, left) = (above[j], above[j + 1], sums[j]);
            let (sum, from) = if both < up && both < left {
                (both, From::Both)
            } else if up < both && up < left {
                (up, From::Above)
            } else {
                (left, From::Left)
            };
            sums[j + 1] = (f64::from(*cost) + f64::from(sum)) as f32;
            trace.push(from);
        }
        std::mem::swap(&mut above, &mut sums);
    }
    let mut path = Path { rows: Vec::new(), columns: Vec::new() };
    let (mut i, mut j) = (n_rows, n_columns);
    while i > 0 && j > 0 {
        path.rows.push(i - 1);
        path.columns.push(j - 1);
        let from = trace[(i - 1) * n_columns + j - 1];
        // Along the edges there is only one way.
        match from {
            _ if i == 1 && j == 1 => break,
            _ if i == 1 => j -= 1,
            _ if j == 1 => i -= 1,
            From::Both => (i, j) = (i - 1, j - 1),
            From::Above => i -= 1,
            From::Left => j -= 1,
        }
    }
    path.rows.reverse();
    path.columns.reverse();
    path
}
