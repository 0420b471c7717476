//! Rows into columns.

/// Writes rows as columns: `out[column * out_stride + row] = rows[row * stride + column]`. Meant for blocks that fit in
/// the first-level cache.
///
/// - `rows`: `[n_rows, stride]`, of which the first `n_columns` columns are read.
/// - `out`: `[n_columns, out_stride]`, of which the first `n_rows` columns are written.
#[inline(always)]
pub(crate) fn transpose<T: Copy>(
    rows: &[T],
    (n_rows, stride): (usize, usize),
    n_columns: usize,
    out: &mut [T],
    out_stride: usize,
) {
    let rows = &rows[..(n_rows * stride).min(rows.len())];
    for (column, out) in out.chunks_mut(out_stride).take(n_columns).enumerate() {
        for (row, out) in out[..n_rows].iter_mut().enumerate() {
            *out = rows[row * stride + column];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns_and_nothing_else_changes() {
        let rows: Vec<u32> = (0..15).collect(); // three rows of five
        let mut out = [99; 16];
        transpose(&rows, (3, 5), 4, &mut out, 4);
        assert_eq!(out, [0, 5, 10, 99, 1, 6, 11, 99, 2, 7, 12, 99, 3, 8, 13, 99]);
    }
}
