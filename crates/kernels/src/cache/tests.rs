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
fn a_cache_that_follows_another_gives_what_the_other_gives() {
    let threads = Threads::new(1);
    let (n_head, head_dim, n_state) = (2, 20, 40);
    let rows = numbers(60 * 2 * n_state, 4);
    let others = numbers(60 * 2 * n_state, 5);
    let query = numbers(n_state, 6);
    for precision in [CachePrecision::F32, CachePrecision::F16] {
        for (n_same, len, other_len) in
            [(0, 0, 60), (0, 3, 3), (7, 7, 8), (17, 20, 20), (33, 60, 34), (5, 9, 5)]
        {
            let mut cache = KeyValues::new(n_head, head_dim, 60, precision);
            cache.extend(&threads, &rows[..n_same * 2 * n_state]);
            let mut other = cache.clone();
            cache.extend(&threads, &others[n_same * 2 * n_state..len * 2 * n_state]);
            other.extend(&threads, &rows[n_same * 2 * n_state..other_len * 2 * n_state]);
            cache.follow(&other, n_same);
            assert_eq!(cache.len(), other_len);
            let [mut x, mut y] = [(); 2].map(|()| vec![0.0; n_state]);
            attend(&cache, other_len, &query, &mut x);
            attend(&other, other_len, &query, &mut y);
            assert_eq!(x, y, "{n_same} the same of {len} and {other_len}");
        }
    }
}

#[test]
fn scores_are_the_products_of_query_and_keys() {
    let (n_head, head_dim, n_state) = (2, 20, 40);
    let (k, query) = (numbers(45 * n_state, 4), numbers(n_state, 6));
    for (precision, tolerance) in [(CachePrecision::F32, 1e-5), (CachePrecision::F16, 1e-3)] {
        let mut cache = KeyValues::new(n_head, head_dim, 50, precision);
        k.chunks(n_state).for_each(|k| cache.extend(&Threads::new(1), &[k, k].concat()));
        for head in 0..n_head {
            let head_of = |row: &[f32]| row[head * head_dim..][..head_dim].to_vec();
            let product = |k: &[f32]| head_of(k).iter().zip(head_of(&query)).map(|(k, q)| k * q).sum::<f32>();
            let expected: Vec<f32> =
                k.chunks(n_state).take(33).map(|k| product(k) / (head_dim as f32).sqrt()).collect();
            let mut found = [0.0; 33];
            cache.scores(head, &head_of(&query), &mut found);
            assert_close("scores", &found, &expected, tolerance);
        }
    }
}

#[test]
fn a_cache_of_bytes_gives_nearly_what_one_of_f32_gives() {
    let threads = Threads::new(2);
    for (n_head, head_dim, n) in [(1, 8, 1), (3, 20, 45), (2, 64, 70)] {
        let n_state = n_head * head_dim;
        // Dimensions differ in size, as they do in real keys.
        let mut rows = numbers(n * 2 * n_state, 1);
        rows.chunks_mut(2 * n_state)
            .for_each(|row| row.iter_mut().enumerate().for_each(|(i, x)| *x *= (1 + i % 7) as f32));
        let query = numbers(n_state, 2);
        let [exact, bytes] = [CachePrecision::F32, CachePrecision::Int8].map(|precision| {
            let mut cache = KeyValues::new(n_head, head_dim, 70, precision);
            cache.fill(&threads, &vec![9.0; 2 * n_state]);
            cache.fill(&threads, &rows);
            let (mut out, mut scores) = (vec![0.0; n_state], vec![0.0; n]);
            attend(&cache, n, &query, &mut out);
            cache.scores(n_head - 1, &query[..head_dim], &mut scores);
            (out, scores)
        });
        assert_close("attention", &bytes.0, &exact.0, 0.05);
        assert_close("scores", &bytes.1, &exact.1, 0.05);
    }
}

#[test]
#[should_panic(expected = "takes all positions at once")]
fn a_cache_of_bytes_cannot_grow() {
    let mut cache = KeyValues::new(1, 4, 2, CachePrecision::Int8);
    (0..2).for_each(|_| cache.extend(&Threads::new(1), &[0.0; 8]));
}

#[test]
#[should_panic(expected = "3 positions are more than the room for 2")]
fn a_full_cache_takes_no_more() {
    let mut cache = KeyValues::new(1, 4, 2, CachePrecision::F32);
    cache.extend(&Threads::new(1), &[0.0; 24]);
}

#[test]
fn memory_grows_with_what_is_held() {
    let threads = Threads::new(1);
    let (n_head, head_dim) = (2, 20);
    let rows = numbers(448 * 2 * n_head * head_dim, 3);
    let query = numbers(n_head * head_dim, 8);
    let mut grown = KeyValues::new(n_head, head_dim, 448, CachePrecision::F16);
    assert_eq!(grown.shape.capacity, 0);
    let mut capacities = Vec::new();
    for (idx, row) in rows.chunks(2 * n_head * head_dim).enumerate() {
        grown.extend(&threads, row);
        capacities.push(grown.shape.capacity);
        if [1, 64, 65, 200, 448].contains(&(idx + 1)) {
            let mut at_once = KeyValues::new(n_head, head_dim, 448, CachePrecision::F16);
            at_once.extend(&threads, &rows[..(idx + 1) * 2 * n_head * head_dim]);
            let [mut x, mut y] = [(); 2].map(|()| vec![0.0; n_head * head_dim]);
            attend(&grown, idx + 1, &query, &mut x);
            attend(&at_once, idx + 1, &query, &mut y);
            assert_eq!(x, y, "{} positions", idx + 1);
        }
    }
    capacities.dedup();
    assert_eq!(capacities, [64, 128, 256, 448]);
}
