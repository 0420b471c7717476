use super::*;
use crate::tests::{assert_close, numbers, plain_attention};

/// All heads of one query.
fn attend(cache: &KeyValues, len: usize, query: &[f32], out: &mut [f32]) {
    let heads = query.chunks(cache.shape.head_dim).zip(out.chunks_mut(cache.shape.head_dim));
    heads.enumerate().for_each(|(head_idx, (query, out))| cache.attend(head_idx, len, query, out));
}

#[test]
fn a_cache_gives_what_full_attention_gives_to_the_last_position() {
    let threads = Threads::new(2);
    for (precision, tolerance) in [(CachePrecision::F32, 1e-5), (CachePrecision::F16, 1e-3)] {
        for (n_head, head_dim) in [(1, 8), (3, 20), (2, 64)] {
            let n_state = n_head * head_dim;
            let (q, k, v) = (numbers(70 * n_state, 1), numbers(70 * n_state, 2), numbers(70 * n_state, 3));
            let mut cache = KeyValues::new(n_head, head_dim, 70, precision);
            for len in 1..=70 {
                let at = (len - 1) * n_state..len * n_state;
                cache.extend(&threads, &[&k[at.clone()], &v[at.clone()]].concat());
                let mut out = vec![0.0; n_state];
                attend(&cache, len, &q[at.clone()], &mut out);
                let expected =
                    plain_attention(&q[at], &k[..len * n_state], &v[..len * n_state], n_head, head_dim);
                assert_close(&format!("{len} positions"), &out, &expected, tolerance);
            }
            let mut out = vec![0.0; n_state];
            attend(&cache, 1, &q[..n_state], &mut out);
            assert_close("only the first", &out, &v[..n_state], tolerance);
            cache.truncate(0);
            assert!(cache.is_empty());
        }
    }
}

#[test]
fn positions_may_come_at_once_or_one_by_one() {
    let threads = Threads::new(2);
    let (n_head, head_dim) = (2, 24);
    let rows = numbers(50 * 2 * n_head * head_dim, 7);
    let query = numbers(n_head * head_dim, 8);
    let [mut at_once, mut singly] =
        [(); 2].map(|()| KeyValues::new(n_head, head_dim, 50, CachePrecision::F16));
    at_once.extend(&threads, &rows);
    rows.chunks(2 * n_head * head_dim).for_each(|row| singly.extend(&threads, row));
    let [mut x, mut y] = [(); 2].map(|()| vec![0.0; n_head * head_dim]);
    attend(&at_once, 50, &query, &mut x);
    attend(&singly, 50, &query, &mut y);
    assert_eq!(x, y);
}

#[test]
#[should_panic(expected = "3 positions are more than the room for 2")]
fn a_full_cache_takes_no_more() {
    let mut cache = KeyValues::new(1, 4, 2, CachePrecision::F32);
    cache.extend(&Threads::new(1), &[0.0; 24]);
}
