use super::*;
use crate::tests::{assert_close, numbers, plain_attention};

fn split(qkv: &[f32], n_state: usize) -> [Vec<f32>; 3] {
    let part =
        |i: usize| qkv.chunks(3 * n_state).flat_map(|row| &row[i * n_state..][..n_state]).copied().collect();
    [part(0), part(1), part(2)]
}

#[test]
fn full_attention_equals_that_in_f64() {
    for n_threads in [1, 3] {
        let threads = Threads::new(n_threads);
        for (n_ctx, n_head, head_dim) in [(1, 1, 8), (7, 2, 8), (33, 3, 20), (125, 2, 64), (300, 1, 64)] {
            let n_state = n_head * head_dim;
            // Scores up to about 40, so that the running maximum matters.
            let qkv: Vec<f32> = numbers(n_ctx * 3 * n_state, 1).iter().map(|x| 4.0 * x).collect();
            let [q, k, v] = split(&qkv, n_state);
            let mut out = vec![0.0; n_ctx * n_state];
            for (is_bf16, tolerance) in [(false, 3e-5), (true, 0.25)] {
                let mut attention = Attention::new(n_ctx, n_head, head_dim, is_bf16);
                attention.run(&threads, &qkv, &mut out);
                attention.run(&threads, &qkv, &mut out); // the scratch is used again
                let name = format!("{n_ctx} positions, {n_head} heads of {head_dim}, bf16 {is_bf16}");
                assert_close(&name, &out, &plain_attention(&q, &k, &v, n_head, head_dim), tolerance);
            }
        }
    }
}
