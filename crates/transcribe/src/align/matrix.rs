//! How much each token has to do with each moment.

use std::ops::Range;

use boswell_kernels::softmax;

/// Moments that a median is taken over.
const MEDIAN_WIDTH: usize = 7;

/// A row for every token, a column for every audio feature; high where the token is spoken.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Matrix {
    pub(super) n_columns: usize,
    pub(super) values: Vec<f32>, // [n_rows, n_columns]
}

impl Matrix {
    /// The mean of several heads, each normalised over the tokens and smoothed in time.
    ///
    /// - `scores`: `[n_tokens, n_heads, n_ctx]`, before softmax.
    ///
    /// Source: `find_alignment` in openai/whisper `whisper/timing.py`.
    pub(super) fn of_attention(scores: &[f32], n_heads: usize, n_ctx: usize) -> Self {
        let n_tokens = scores.len() / (n_heads * n_ctx);
        let mut mean = vec![0.0; n_tokens * n_ctx];
        let mut head = vec![0.0; n_tokens * n_ctx];
        let mut smooth = vec![0.0; n_ctx];
        for head_idx in 0..n_heads {
            for (row, scores) in head.chunks_exact_mut(n_ctx).zip(scores.chunks_exact(n_heads * n_ctx)) {
                row.copy_from_slice(&scores[head_idx * n_ctx..][..n_ctx]);
                softmax(row);
            }
            normalise_columns(&mut head, n_ctx);
            for (row, mean) in head.chunks_exact(n_ctx).zip(mean.chunks_exact_mut(n_ctx)) {
                median_filter(row, MEDIAN_WIDTH, &mut smooth);
                mean.iter_mut().zip(&smooth).for_each(|(mean, x)| *mean += x / n_heads as f32);
            }
        }
        Self { n_columns: n_ctx, values: mean }
    }

    /// Some of the rows.
    pub(super) fn rows(mut self, rows: Range<usize>) -> Self {
        self.values.truncate(rows.end * self.n_columns);
        self.values.drain(..rows.start * self.n_columns);
        self
    }

    /// What was good is now cheap.
    pub(super) fn negated(mut self) -> Self {
        self.values.iter_mut().for_each(|x| *x = -*x);
        self
    }
}

/// Takes every column's mean away and divides by its standard deviation.
fn normalise_columns(values: &mut [f32], n_columns: usize) {
    let n_rows = (values.len() / n_columns) as f64;
    let mut mean = vec![0.0_f64; n_columns];
    let mut variance = vec![0.0_f64; n_columns];
    for row in values.chunks_exact(n_columns) {
        mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += f64::from(*x) / n_rows);
    }
    for row in values.chunks_exact(n_columns) {
        let columns = variance.iter_mut().zip(&mean).zip(row);
        columns.for_each(|((variance, mean), x)| *variance += (f64::from(*x) - mean).powi(2) / n_rows);
    }
    for row in values.chunks_exact_mut(n_columns) {
        for ((x, mean), variance) in row.iter_mut().zip(&mean).zip(&variance) {
            // A column that says the same of all tokens says nothing.
            *x = if *variance > 0.0 { ((f64::from(*x) - mean) / variance.sqrt()) as f32 } else { 0.0 };
        }
    }
}

/// The median of the `width` numbers around each; at the ends they are mirrored. What is shorter than half of that stays
/// as it is.
///
/// - `width`: odd, at most [`MEDIAN_WIDTH`].
///
/// Source: `median_filter` in openai/whisper `whisper/timing.py`.
pub(super) fn median_filter(x: &[f32], width: usize, out: &mut [f32]) {
    assert!(width % 2 == 1 && width <= MEDIAN_WIDTH, "a median over {width} numbers cannot be taken");
    let (half, n) = (width / 2, x.len() as isize);
    if x.len() <= half {
        out.copy_from_slice(x);
        return;
    }
    let mirrored = |i: isize| {
        x[(if i < 0 {
            -i
        } else if i >= n {
            2 * n - 2 - i
        } else {
            i
        }) as usize]
    };
    let mut around = [0.0_f32; MEDIAN_WIDTH];
    let around = &mut around[..width];
    for (i, out) in out.iter_mut().enumerate() {
        match i.checked_sub(half).and_then(|start| x.get(start..i + half + 1)) {
            Some(inside) => around.copy_from_slice(inside),
            None => {
                let first = i as isize - half as isize;
                around.iter_mut().zip(first..).for_each(|(slot, i)| *slot = mirrored(i));
            }
        }
        *out = *around.select_nth_unstable_by(half, f32::total_cmp).1;
    }
}
