//! Shares of a matrix, each for one task.

use std::marker::PhantomData;
use std::ops::Range;

use super::Threads;

impl Threads {
    /// Cuts `items` into chunks of `len` (the last may be shorter) and calls `task(index, chunk)` for each.
    ///
    /// # Panics
    /// If `len` is zero.
    pub fn for_each_chunk<T: Send>(
        &self,
        items: &mut [T],
        len: usize,
        task: impl Fn(usize, &mut [T]) + Sync,
    ) {
        assert!(len > 0, "a chunk has at least one item");
        let n_items = items.len();
        let start = Shares(items.as_mut_ptr());
        self.run(n_items.div_ceil(len), &|idx| {
            let at = idx * len;
            let start = &start;
            // SAFETY: `at..at + len` is cut off at the end of `items`, and `run` calls each index once, so the
            // chunks do not overlap; `items` stays borrowed until `run` returns.
            let chunk = unsafe { std::slice::from_raw_parts_mut(start.0.add(at), len.min(n_items - at)) };
            task(idx, chunk);
        });
    }

    /// Cuts a matrix of `n_columns` into tiles of up to `rows` x `columns` and calls `task(rows, columns, tile)` for
    /// each: from top to bottom in the first columns, then in the next, so that what a task reads for its columns is
    /// still in a near cache when the next begins.
    ///
    /// # Panics
    /// If `matrix` is not a multiple of `n_columns`, or a tile has no rows or columns.
    pub(crate) fn for_each_tile<T: Send>(
        &self,
        matrix: &mut [T],
        n_columns: usize,
        rows: usize,
        columns: usize,
        task: impl Fn(Range<usize>, Range<usize>, TileMut<'_, T>) + Sync,
    ) {
        assert!(matrix.len().is_multiple_of(n_columns) && rows > 0 && columns > 0, "no tiles of that shape");
        let n_rows = matrix.len() / n_columns;
        let (n_down, n_across) = (n_rows.div_ceil(rows), n_columns.div_ceil(columns));
        let start = Shares(matrix.as_mut_ptr());
        self.run(n_down * n_across, &|idx| {
            let (down, across) = (idx % n_down * rows, idx / n_down * columns);
            let (rows, columns) =
                (down..(down + rows).min(n_rows), across..(across + columns).min(n_columns));
            let start = &start; // all of it, because the pointer alone may not be shared
            let (matrix, stride) = (PhantomData, n_columns);
            let tile =
                TileMut { data: start.0, stride, rows: rows.clone(), columns: columns.clone(), matrix };
            task(rows, columns, tile);
        });
    }
}

/// A part of a matrix that one task may write: some rows, and of them some columns.
pub(crate) struct TileMut<'a, T = f32> {
    data: *mut T, // of the matrix
    stride: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    matrix: PhantomData<&'a mut [T]>,
}

impl<'a, T> TileMut<'a, T> {
    /// All rows and columns of a matrix of `n_columns`.
    #[inline(always)]
    pub(crate) fn whole(matrix: &'a mut [T], n_columns: usize) -> Self {
        let rows = 0..matrix.len() / n_columns;
        let data = matrix.as_mut_ptr();
        Self { data, stride: n_columns, rows, columns: 0..n_columns, matrix: PhantomData }
    }

    /// The tile's columns of one row of the matrix.
    ///
    /// # Panics
    /// If the row is not in the tile.
    #[inline(always)]
    pub(crate) fn row(&mut self, row: usize) -> &mut [T] {
        assert!(self.rows.contains(&row), "row {row} is not in the tile");
        // SAFETY: the tile was made of a matrix that holds these rows and columns and is borrowed while the tile lives,
        // and `for_each_tile` gives no part of it to two tiles; `self` is borrowed while the row lives.
        unsafe {
            let start = self.data.add(row * self.stride + self.columns.start);
            std::slice::from_raw_parts_mut(start, self.columns.len())
        }
    }
}

/// A pointer that several threads may use, each for a share of its own.
struct Shares<T>(*mut T);
// SAFETY: the items are `Send`, and each is used by one thread only (see `for_each_chunk`).
unsafe impl<T: Send> Sync for Shares<T> {}
