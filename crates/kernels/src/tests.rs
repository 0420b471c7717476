//! What the tests of all operations share, and the golden ones.

/// `n` numbers in -1..1, the same for the same seed.
pub(crate) fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

pub(crate) fn assert_close(name: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{name}: the lengths differ");
    for (i, (x, y)) in found.iter().zip(expected).enumerate() {
        assert!((x - y).abs() <= tolerance, "{name}: element {i} is {x}, not {y}");
    }
}

/// Attention in f64: `q` is `[n_q, n_state]`, `k` and `v` are `[n_k, n_state]`.
pub(crate) fn plain_attention(q: &[f32], k: &[f32], v: &[f32], n_head: usize, head_dim: usize) -> Vec<f32> {
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

/// The reference's tensors, of one file of `golden/ops`.
struct Golden(Vec<u8>);

impl Golden {
    fn open() -> Self {
        let shared = std::env::var("BOSWELL_SHARED")
            .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared").into());
        Self(std::fs::read(format!("{shared}/golden/ops/ops.safetensors")).unwrap())
    }

    fn get(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let file = safetensors::SafeTensors::deserialize(&self.0).unwrap();
        let tensor = file.tensor(name).unwrap();
        let numbers = tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        (tensor.shape().to_vec(), numbers.collect())
    }
}

#[test]
#[ignore = "needs ../shared"]
fn vectors_equal_the_reference() {
    let golden = Golden::open();
    let mut x = golden.get("gelu_x").1;
    crate::gelu(&mut x);
    for (x, y) in x.iter().zip(&golden.get("gelu_y").1) {
        assert!((x - y).abs() <= 5e-7_f32.max(y.abs() * 1e-6), "gelu: {x} is not {y}");
    }
    let (shape, x) = golden.get("softmax_x");
    let (mut softmax, mut log_sums) = (x.clone(), vec![]);
    for row in softmax.chunks_mut(shape[1]) {
        log_sums.push(crate::log_sum_exp(row));
        crate::softmax(row);
    }
    assert_close("softmax", &softmax, &golden.get("softmax_y").1, 1e-6);
    assert_close("logsumexp", &log_sums, &golden.get("logsumexp_y").1, 2e-3); // of 1e4
    let [x, w, b, y] = ["x", "w", "b", "y"].map(|n| golden.get(&format!("layernorm_{n}")).1);
    let mut out = vec![0.0; x.len()];
    for (x, out) in x.chunks(64).zip(out.chunks_mut(64)) {
        crate::layer_norm(x, &w, &b, out);
    }
    assert_close("layer_norm", &out, &y, 1e-5);
}

#[test]
#[ignore = "needs ../shared"]
fn linear_layers_and_convolutions_equal_the_reference() {
    use crate::{Epilogue, Input, Linear, Precision, Threads, Weights, linear};
    let (golden, threads) = (Golden::open(), Threads::new(2));
    for name in ["1x64x64", "3x33x17", "37x70x51", "16x128x48"] {
        let [(_, x), (shape, w), (_, b), (_, y)] =
            ["x", "w", "b", "y"].map(|part| golden.get(&format!("linear_{name}_{part}")));
        let layer = Linear::new(Weights::pack(&w, shape[0], shape[1], Precision::F32), b);
        let mut out = vec![0.0; y.len()];
        linear(&threads, Input::matrix(&x, shape[1]), &layer, Epilogue::Store, &mut out);
        assert_close(name, &out, &y, 2e-5);
    }
    let [(x_shape, x), (w_shape, w), (_, b)] = ["conv_x", "conv_w", "conv_b"].map(|name| golden.get(name));
    let ([channels, n], n_out) = ([x_shape[0], x_shape[1]], w_shape[0]);
    // Channels last, with a row of zeros at both ends; the weights `[out, channels, 3]` as `[out, 3, channels]`.
    let padded: Vec<f32> = (0..(n + 2) * channels)
        .map(|i| (i / channels, i % channels))
        .map(|(t, c)| if t == 0 || t > n { 0.0 } else { x[c * n + t - 1] })
        .collect();
    let taps: Vec<f32> = (0..w.len())
        .map(|i| (i / (3 * channels), i / channels % 3, i % channels))
        .map(|(out, tap, c)| w[(out * channels + c) * 3 + tap])
        .collect();
    let layer = Linear::new(Weights::pack(&taps, n_out, 3 * channels, Precision::F32), b);
    for stride in [1, 2] {
        let n_rows = n.div_ceil(stride);
        let mut out = vec![0.0; n_rows * n_out];
        let input = Input { data: &padded, n_rows, stride: stride * channels };
        linear(&threads, input, &layer, Epilogue::Store, &mut out);
        let y = golden.get(&format!("conv_stride{stride}_y")).1;
        let expected: Vec<f32> = (0..y.len()).map(|i| y[i % n_out * n_rows + i / n_out]).collect();
        assert_close("convolution", &out, &expected, 2e-5);
    }
}

#[test]
#[ignore = "needs ../shared"]
fn attention_equals_the_reference() {
    use crate::{Attention, CachePrecision, KeyValues, Threads};
    let golden = Golden::open();
    let [q, k, v] = ["q", "k", "v"].map(|name| golden.get(&format!("attn_{name}")).1);
    let rows = q.chunks(24).zip(k.chunks(24)).zip(v.chunks(24));
    let qkv: Vec<f32> = rows.clone().flat_map(|((q, k), v)| [q, k, v].concat()).collect();
    let mut out = vec![0.0; q.len()];
    Attention::new(11, 3, 8, false).run(&Threads::new(1), &qkv, &mut out);
    assert_close("full", &out, &golden.get("attn_full_y").1, 1e-5);
    let mut cache = KeyValues::new(3, 8, 11, CachePrecision::F32);
    for (((q, k), v), out) in rows.zip(out.chunks_mut(24)) {
        cache.extend(&Threads::new(1), &[k, v].concat());
        let heads = q.chunks(8).zip(out.chunks_mut(8)).enumerate();
        heads.for_each(|(head_idx, (q, out))| cache.attend(head_idx, cache.len(), q, out));
    }
    assert_close("causal", &out, &golden.get("attn_causal_y").1, 1e-5);
    assert_close("last query", &out[10 * 24..], &golden.get("attn_last_query_y").1, 1e-5);
}
