//! AMD's XDNA1 NPU (Phoenix, Hawk Point) in software.
//!
//! Functional, deterministic, and silent about nothing: what is not modelled is an error that names it. Time is
//! counted in bundles issued; stalls, bank conflicts and transfer times are not modelled.

pub mod core;
