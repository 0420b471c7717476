//! Layers that normalise their rows first, in one go: what is in between stays in the caches of one core.

use std::cell::RefCell;

use super::rows::PackedRows;
use super::{Epilogue, Finish, Input, Linear, ROWS_PER_TASK, multiply, rows_per_task};
use crate::line::Aligned;
use crate::threads::{Threads, TileMut};
use crate::vector::layer_norm;

/// What a task of [`mlp`] keeps between its layers, in numbers: 1.25 MiB, most of a second-level cache.
const NUMBERS_BETWEEN: usize = 5 << 16;

/// `out = layer_norm(x) · wᵀ + bias`, for many rows.
///
/// - `x`: `[n_rows, n_in]`; `norm`: weight and bias of the normalisation, `[n_in]` each.
/// - `out`: `[n_rows, n_out]`
///
/// # Panics
/// If a shape does not fit.
pub fn normed_linear(threads: &Threads, x: &[f32], norm: [&[f32]; 2], layer: &Linear, out: &mut [f32]) {
    let (n_in, n_out) = (layer.weights().n_in(), layer.weights().n_out());
    assert!(x.len().is_multiple_of(n_in), "the rows are not of {n_in}");
    let n_rows = x.len() / n_in;
    assert_eq!(out.len(), n_rows * n_out, "out is not [n_rows, n_out]");
    let rows = rows_per_task(threads, n_rows, layer.weights(), ROWS_PER_TASK);
    threads.for_each_tile(out, n_out, rows, n_out, |rows, columns, out| {
        SCRATCH.with_borrow_mut(|Scratch { normed, packed, .. }| {
            let x = &x[rows.start * n_in..rows.end * n_in];
            let normed = normed.numbers_at_least(x.len());
            for (x, normed) in x.chunks_exact(n_in).zip(normed.chunks_exact_mut(n_in)) {
                layer_norm(x, norm[0], norm[1], normed);
            }
            let finish = Finish::new(layer, Epilogue::Store, rows, columns, out);
            packed.pack(Input::matrix(normed, n_in), layer.weights());
            multiply(packed, layer, finish);
        });
    });
}

/// `x += down(gelu(up(layer_norm(x))))` for rows `[n_rows, n_state]`, of which there are many.
///
/// - `norm`: weight and bias of the normalisation, `[n_state]` each.
/// - `up`: `[n_hidden, n_state]`; `down`: `[n_state, n_hidden]`.
///
/// # Panics
/// If a shape does not fit.
pub fn mlp(threads: &Threads, x: &mut [f32], norm: [&[f32]; 2], up: &Linear, down: &Linear) {
    let (n_state, n_hidden) = (up.weights().n_in(), up.weights().n_out());
    assert_eq!(
        [down.weights().n_out(), down.weights().n_in()],
        [n_state, n_hidden],
        "down is not the reverse of up"
    );
    assert!(x.len().is_multiple_of(n_state), "the rows are not of {n_state}");
    let n_rows = x.len() / n_state;
    let at_most = ROWS_PER_TASK.min(NUMBERS_BETWEEN / (n_state + n_hidden));
    let rows = rows_per_task(threads, n_rows, up.weights(), at_most);
    threads.for_each_tile(x, n_state, rows, n_state, |rows, columns, mut out| {
        SCRATCH.with_borrow_mut(|Scratch { normed, hidden, packed }| {
            let n_rows = rows.len();
            let normed = normed.numbers_at_least(n_rows * n_state);
            for (row, normed) in rows.clone().zip(normed.chunks_exact_mut(n_state)) {
                layer_norm(out.row(row), norm[0], norm[1], normed);
            }
            let hidden = hidden.numbers_at_least(n_rows * n_hidden);
            let between = TileMut::whole(hidden, n_hidden);
            let finish = Finish::new(up, Epilogue::Gelu, 0..n_rows, 0..n_hidden, between);
            packed.pack(Input::matrix(normed, n_state), up.weights());
            multiply(packed, up, finish);
            let finish = Finish::new(down, Epilogue::Add, rows, columns, out);
            packed.pack(Input::matrix(hidden, n_hidden), down.weights());
            multiply(packed, down, finish);
        });
    });
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// What a task works in.
#[derive(Default)]
struct Scratch {
    normed: Aligned, // [rows, n_state]
    hidden: Aligned, // [rows, n_hidden]
    packed: PackedRows,
}
