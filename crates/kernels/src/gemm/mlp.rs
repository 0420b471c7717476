//! The two layers between attention blocks, in one go.

use std::cell::RefCell;

use super::rows::PackedRows;
use super::{Epilogue, Finish, Input, Linear, multiply, tall_tasks};
use crate::line::Aligned;
use crate::threads::{Threads, TileMut};
use crate::vector::layer_norm;

/// `x += down(gelu(up(layer_norm(x))))` for rows `[n_rows, n_state]`, of which there are many. What is in between stays
/// in the caches of one core.
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
    let rows = tall_tasks(threads, n_rows, up.weights()).unwrap_or(n_rows.max(1));
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
            multiply(Input::matrix(normed, n_state), up, packed, finish);
            let finish = Finish::new(down, Epilogue::Add, rows, columns, out);
            multiply(Input::matrix(hidden, n_hidden), down, packed, finish);
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
