//! Times what happens before a model runs: opening, converting all weights, making the tokenizer.
//!
//! Usage: `cargo run --release -p boswell-model --example load_time -- MODEL`

use std::path::PathBuf;
use std::time::Instant;

use boswell_model::{Checkpoint, Error};

#[expect(clippy::print_stdout, reason = "the result of an example")]
fn main() -> Result<(), Error> {
    let path = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| "model".into()));
    for run in 0..3 {
        let start = Instant::now();
        let checkpoint = Checkpoint::open(&path)?;
        let opened = start.elapsed();

        let start = Instant::now();
        let mut n_values = 0;
        for tensor in checkpoint.tensors() {
            n_values += tensor.to_f32()?.len();
        }
        let converted = start.elapsed();

        let start = Instant::now();
        let tokenizer = checkpoint.tokenizer()?;
        let made = start.elapsed();

        let start = Instant::now();
        let n_tokens = tokenizer.encode(" And so my fellow Americans").len();
        let encoded = start.elapsed();
        println!("run {run}: opened in {opened:?}, {n_values} weights to f32 in {converted:?}");
        println!("       tokenizer in {made:?}, its first {n_tokens} tokens in {encoded:?}");
    }
    Ok(())
}
