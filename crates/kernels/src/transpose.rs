//! Rows into columns, and into what register tiles are multiplied from.

use crate::arch::Simd;

/// Writes rows as columns: `out[column * out_stride + row] = rows[row * stride + column]`. Meant for blocks that fit in
/// the first-level cache.
///
/// - `rows`: `[n_rows, stride]`, of which the first `n_columns` columns are read; where `n_columns` is more than `stride`,
///   rows overlap.
/// - `out`: `[n_columns, out_stride]`, of which the first `n_rows` columns are written.
#[inline(always)]
pub(crate) fn transpose<T: Copy>(
    rows: &[T],
    (n_rows, stride): (usize, usize),
    n_columns: usize,
    out: &mut [T],
    out_stride: usize,
) {
    let rows = &rows[..(n_rows.saturating_sub(1) * stride + n_columns).min(rows.len())];
    for (column, out) in out.chunks_mut(out_stride).take(n_columns).enumerate() {
        for (row, out) in out[..n_rows].iter_mut().enumerate() {
            *out = rows[row * stride + column];
        }
    }
}

/// Writes rows of words as columns, as [`transpose`] does.
#[inline(always)]
pub(crate) fn transpose_words<S: Simd>(
    simd: S,
    rows: &[u32],
    (n_rows, stride): (usize, usize),
    n_columns: usize,
    out: &mut [u32],
    out_stride: usize,
) {
    let (whole_rows, whole_columns) = (n_rows / 4 * 4, n_columns / S::LANES * S::LANES);
    for row in (0..whole_rows).step_by(4) {
        let rows = &rows[row * stride..];
        for column in (0..whole_columns).step_by(S::LANES) {
            let row_at = |row: usize| &rows[row * stride + column..];
            let four = [row_at(0), row_at(1), row_at(2), row_at(3)];
            simd.transpose_four(four, &mut out[column * out_stride + row..], out_stride);
        }
        if whole_columns < n_columns {
            let out = &mut out[whole_columns * out_stride + row..];
            transpose(&rows[whole_columns..], (4, stride), n_columns - whole_columns, out, out_stride);
        }
    }
    if whole_rows < n_rows {
        let rows = &rows[whole_rows * stride..];
        transpose(rows, (n_rows - whole_rows, stride), n_columns, &mut out[whole_rows..], out_stride);
    }
}

/// Writes rows as the left factor of a register tile, see [`Simd::tile`].
///
/// - `rows`: `[n_rows, stride]`, of which the first `n_words` columns are read.
/// - `out`: `[n_words / TILE_STEPS, tile_rows, TILE_STEPS]`, of which the first `n_rows` are written.
#[inline(always)]
pub(crate) fn lay_tile<S: Simd>(
    simd: S,
    rows: &[u32],
    (n_rows, stride): (usize, usize),
    n_words: usize,
    out: &mut [u32],
    tile_rows: usize,
) {
    if S::TILE_STEPS == 1 {
        return transpose_words(simd, rows, (n_rows, stride), n_words, out, tile_rows);
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
    use crate::arch::{InstructionSet, Kernel, run_on};

    #[test]
    fn rows_become_columns_and_nothing_else_changes() {
        let rows: Vec<u32> = (0..15).collect(); // three rows of five
        let mut out = [99; 16];
        transpose(&rows, (3, 5), 4, &mut out, 4);
        assert_eq!(out, [0, 5, 10, 99, 1, 6, 11, 99, 2, 7, 12, 99, 3, 8, 13, 99]);
    }

    struct Words<'a>(&'a [u32], usize, usize, &'a mut [u32], usize);

    impl Kernel for Words<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let Self(rows, n_rows, n_columns, out, out_stride) = self;
            transpose_words(simd, rows, (n_rows, 40), n_columns, out, out_stride);
        }
    }

    #[test]
    fn words_are_transposed_alike_by_all_instruction_sets() {
        let rows: Vec<u32> = (0..13 * 40).collect();
        for set in InstructionSet::available() {
            for (n_rows, n_columns, out_stride) in
                [(12, 32, 12), (13, 40, 13), (3, 33, 12), (7, 15, 32), (4, 16, 4)]
            {
                let (mut expected, mut out) =
                    (vec![99; n_columns * out_stride], vec![99; n_columns * out_stride]);
                transpose(&rows, (n_rows, 40), n_columns, &mut expected, out_stride);
                run_on(set, Words(&rows, n_rows, n_columns, &mut out, out_stride));
                assert_eq!(out, expected, "{set}: {n_rows} x {n_columns}");
            }
        }
    }
}
