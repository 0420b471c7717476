//! The `boswell` program.

fn main() {}
