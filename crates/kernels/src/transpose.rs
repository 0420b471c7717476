//! Rows into columns, and into what register tiles are multiplied from.

use crate::arch::Simd;

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

/// Writes rows as the left factor of a register tile, see [`Simd::tile`].
///
/// - `rows`: `[n_rows, stride]`, of which the first `n_words` columns are read.
/// - `out`: `[n_words / TILE_STEPS, tile_rows, TILE_STEPS]`, of which the first `n_rows` are written.
#[inline(always)]
pub(crate) fn lay_tile<S: Simd>(
    rows: &[u32],
    (n_rows, stride): (usize, usize),
    n_words: usize,
    out: &mut [u32],
    tile_rows: usize,
) {
    if S::TILE_STEPS == 1 {
        return transpose(rows, (n_rows, stride), n_words, out, tile_rows);
    }
    for (idx, row) in rows.chunks_exact(stride).take(n_rows).enumerate() {
        let pieces = row[..n_words].chunks_exact(S::TILE_STEPS);
        for (piece, out) in pieces.zip(out.chunks_exact_mut(tile_rows * S::TILE_STEPS)) {
            out[idx * S::TILE_STEPS..][..S::TILE_STEPS].copy_from_slice(piece);
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
