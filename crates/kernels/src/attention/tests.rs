use super::*;
use crate::tests::{assert_close, numbers};

/// Attention in f64: `q` is `[n_q, n_state]`, `k` and `v` are `[n_k, n_state]`.
fn plain(q: &[f32], k: &[f32], v: &[f32], n_head: usize, head_dim: usize) -> Vec<f32> {
    let n_state = n_head * head_dim;
    let mut out = vec![0.0; q.len()];
    for (q, out) in q.chunks(n_state).zip(out.chunks_mut(n_state)) {
        for head in (0..n_state).step_by(head_dim) {
            let q = &q[head..head + head_dim];
            let score = |k: &[f32]| {
                let dot: f64 = q.iter().zip(&k[head..]).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum();
                dot / (head_dim as f64).sqrt()
            };
            let scores: Vec<f64> = k.chunks(n_state).map(score).collect();
            let max = scores.iter().copied().fold(f64::MIN, f64::max);
            let sum: f64 = scores.iter().map(|s| (s - max).exp()).sum();
            for dim in 0..head_dim {
                let values = scores.iter().zip(v.chunks(n_state));
                let x: f64 = values.map(|(s, v)| (s - max).exp() / sum * f64::from(v[head + dim])).sum();
                out[head + dim] = x as f32;
            }
        }
    }
    out
}

/// All heads of one query.
fn attend(cache: &KeyValues, len: usize, query: &[f32], out: &mut [f32]) {
    let heads = query.chunks(cache.head_dim).zip(out.chunks_mut(cache.head_dim));
    heads.enumerate().for_each(|(head_idx, (query, out))| cache.attend(head_idx, len, query, out));
}

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
            let mut attention = Attention::new(n_ctx, n_head, head_dim);
            attention.run(&threads, &qkv, &mut out);
            attention.run(&threads, &qkv, &mut out); // the scratch is used again
            let name = format!("{n_ctx} positions, {n_head} heads of {head_dim}");
            assert_close(&name, &out, &plain(&q, &k, &v, n_head, head_dim), 3e-5);
        }
    }
}

#[test]
fn a_cache_gives_what_full_attention_gives_to_the_last_position() {
    for (n_head, head_dim) in [(1, 8), (3, 20), (2, 64)] {
        let n_state = n_head * head_dim;
        let (q, k, v) = (numbers(70 * n_state, 1), numbers(70 * n_state, 2), numbers(70 * n_state, 3));
        let mut cache = KeyValues::new(n_head, head_dim, 70);
        for len in 1..=70 {
            let at = (len - 1) * n_state..len * n_state;
            cache.push(&k[at.clone()], &v[at.clone()]);
            let mut out = vec![0.0; n_state];
            attend(&cache, len, &q[at.clone()], &mut out);
            let expected = plain(&q[at], &k[..len * n_state], &v[..len * n_state], n_head, head_dim);
            assert_close(&format!("{len} positions"), &out, &expected, 1e-5);
        }
        let mut out = vec![0.0; n_state];
        attend(&cache, 1, &q[..n_state], &mut out);
        assert_close("only the first", &out, &v[..n_state], 1e-6);
        cache.truncate(0);
        assert!(cache.is_empty());
    }
}

#[test]
#[should_panic(expected = "all 2 positions are taken")]
fn a_full_cache_takes_no_more() {
    let mut cache = KeyValues::new(1, 4, 2);
    for _ in 0..3 {
        cache.push(&[0.0; 4], &[0.0; 4]);
    }
}
