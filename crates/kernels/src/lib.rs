//! The CPU's arithmetic: what a Whisper network computes with, each operation written once.
//!
//! An operation is a [`Kernel`](arch::Kernel) over the small [`Simd`](arch::Simd) trait; every instruction set
//! implements the trait, and [`arch::dispatch`] picks the best one that the CPU has, at run time. The scalar
//! implementation is the one that the others are tested against.
//!
//! All matrices are row-major `f32`. Shapes are the caller's business: a mismatch is a panic with a message.

pub mod arch;
mod attention;
mod cache;
mod gemm;
mod line;
mod lstm;
mod threads;
mod transpose;
mod vector;

pub use arch::InstructionSet;
pub use attention::{Attention, MAX_HEAD_DIM};
pub use cache::{CachePrecision, KeyValues};
pub use gemm::{Coarse, Epilogue, Input, Linear, Precision, Weights, Words, linear, mlp, normed_linear};
pub use line::Aligned;
pub use lstm::lstm_step;
pub use threads::Threads;
pub use vector::{add, dot, exp_sum, gelu, layer_norm, log_sum_exp, max, softmax};

#[cfg(test)]
mod tests;
