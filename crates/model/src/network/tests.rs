use std::collections::HashMap;
use std::path::PathBuf;

use super::*;

fn shared(path: &str) -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    PathBuf::from(std::env::var("BOSWELL_SHARED").unwrap_or_else(|_| default.into())).join(path)
}

/// The f32 and f16 tensors of a safetensors file: shape and numbers by name.
fn tensors(path: &str) -> HashMap<String, (Vec<usize>, Vec<f32>)> {
    let bytes = std::fs::read(shared(path)).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let read = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        let numbers = match view.dtype() {
            safetensors::Dtype::F32 => {
                view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
            }
            safetensors::Dtype::F16 => {
                let number = |b: &[u8]| half::f16::from_le_bytes(b.try_into().unwrap()).to_f32();
                view.data().chunks_exact(2).map(number).collect()
            }
            safetensors::Dtype::I32 => view
                .data()
                .chunks_exact(4)
                .map(|b| i32::from_le_bytes(b.try_into().unwrap()) as f32)
                .collect(),
            other => panic!("{name} is {other:?}"),
        };
        (name, (view.shape().to_vec(), numbers))
    };
    file.tensors().into_iter().map(read).collect()
}

fn assert_close(name: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{name}: the lengths differ");
    let worst = found.iter().zip(expected).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
    println!("{name}: max error {worst:e}");
    assert!(worst <= tolerance, "{name}: max error {worst:e} is above {tolerance:e}");
}

/// The reference's log-mel of jfk.wav, padded to 30 s of audio: `[80, 3000]`.
fn jfk() -> Vec<f32> {
    let (shape, first) = tensors("golden/mel/jfk.safetensors").remove("mel80_first_1104_frames").unwrap();
    let rows = first.chunks(shape[1]);
    rows.flat_map(|row| row.iter().copied().chain(std::iter::repeat(row[1103])).take(3000)).collect()
}

fn real_encoder(checkpoint: &Checkpoint, threads: &Threads, precision: Precision) -> Encoder {
    let options = LoadOptions { precision, ..LoadOptions::default() };
    Encoder::load(&Loader::new(checkpoint, threads, &options), *checkpoint.dims()).unwrap()
}

/// The golden models in all the formats that they come in.
fn golden_models() -> Vec<(&'static str, &'static str, Model)> {
    let hf = tempfile::tempdir().unwrap();
    for (from, to) in [
        ("tiny.hf.safetensors", "model.safetensors"),
        ("tiny.config.json", "config.json"),
        ("tiny.generation_config.json", "generation_config.json"),
    ] {
        std::fs::copy(shared("golden/model").join(from), hf.path().join(to)).unwrap();
    }
    let options = LoadOptions { threads: 2, ..LoadOptions::default() };
    let golden = |file: &str| shared("golden/model").join(file);
    let paths = [
        ("tiny", "Hugging Face", hf.path().to_owned()),
        ("tiny", "openai safetensors", golden("tiny.openai.safetensors")),
        ("micro", "pt", golden("micro.pt")),
        ("micro", "ggml", golden("micro.ggml.bin")),
    ];
    paths.map(|(name, format, path)| (name, format, Model::load(&path, &options).unwrap())).into()
}

#[test]
#[ignore = "needs ../shared"]
fn the_encoder_equals_the_reference_at_every_stage() {
    let mel = jfk();
    for (name, format, model) in golden_models() {
        let golden = tensors(&format!("golden/model/{name}_outputs.safetensors"));
        let mut scratch = model.encoder.scratch();
        let features = model.encoder.run(&model.threads, &mel, &mut scratch, |stage, x| {
            let stage = match stage.checked_sub(1) {
                None => "encoder_conv_first_8_rows".to_owned(),
                Some(block) => format!("encoder_block{block}_first_8_rows"),
            };
            let expected = &golden[&stage].1;
            assert_close(&format!("{name} from {format}, {stage}"), &x[..expected.len()], expected, 5e-5);
        });
        let expected = &golden["encoder_output"].1;
        assert_close(&format!("{name} from {format}, output"), features, expected, 5e-5);
    }
}

#[test]
#[ignore = "needs ../shared"]
fn logits_equal_the_reference() {
    let mel = jfk();
    for (name, format, model) in golden_models() {
        let golden = tensors(&format!("golden/model/{name}_outputs.safetensors"));
        let tokens = |name: &str| golden[name].1.iter().map(|x| *x as u32).collect::<Vec<_>>();
        let (start, forced) = (tokens("start_tokens"), tokens("forced_tokens"));
        let n_vocab = model.dims().n_vocab;
        let first = model.start(&model.encode(&mel));
        let mut scratch = Scratch::default();

        let (mut row, mut logits) = (first.clone(), vec![0.0; n_vocab]);
        model.decode(&mut [Step { row: &mut row, tokens: &start, n_logits: 1 }], &mut logits, &mut scratch);
        assert_close(&format!("{name} from {format}, first"), &logits, &golden["first_step_logits"].1, 3e-4);

        // All at once, and beside it in the same batch one by one.
        let mut all = vec![0.0; (forced.len() + 1) * n_vocab];
        let (mut whole, mut single) = (first.clone(), first);
        for (i, token) in forced.iter().enumerate() {
            let mut steps = vec![Step { row: &mut single, tokens: std::slice::from_ref(token), n_logits: 1 }];
            let mut logits = &mut all[forced.len() * n_vocab..];
            if i == 0 {
                steps.insert(0, Step { row: &mut whole, tokens: &forced, n_logits: forced.len() });
                logits = &mut all;
            }
            model.decode(&mut steps, logits, &mut scratch);
            let (all, one) = all.split_at(forced.len() * n_vocab);
            let expected = &all[i * n_vocab..][..n_vocab];
            let worst = one.iter().zip(expected).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-4, "{name}: alone, position {i} differs by {worst:e}");
        }
        assert_eq!((whole.n_tokens(), single.n_tokens()), (forced.len(), forced.len()));
        let (ids, best) = (&golden["forced_top10_ids"].1, &golden["forced_top10_logits"].1);
        let found = ids.iter().enumerate().map(|(i, id)| all[i / 10 * n_vocab + *id as usize]);
        assert_close("the ten best", &found.collect::<Vec<_>>(), best, 3e-4);
        let all = &all[..forced.len() * n_vocab];
        let sums: Vec<f32> = all.chunks(n_vocab).map(boswell_kernels::log_sum_exp).collect();
        assert_close("logsumexp", &sums, &golden["forced_logsumexp"].1, 3e-4);
        let logprobs = (1..forced.len()).map(|i| all[(i - 1) * n_vocab + forced[i] as usize] - sums[i - 1]);
        assert_close("logprobs", &logprobs.collect::<Vec<_>>(), &golden["forced_next_logprob"].1, 3e-4);
    }
}

#[test]
#[ignore = "needs ../shared"]
fn heads_that_are_watched_look_where_they_look_in_one_piece_or_in_several() {
    let (_, _, model) = golden_models().swap_remove(0);
    let tokens: Vec<u32> = (100..123).collect();
    let (heads, n_ctx) = ([(1, 1), (0, 0)], 700);
    let first = model.start(&model.encode(&jfk()));
    let (mut scratch, n_vocab) = (Scratch::default(), model.dims().n_vocab);
    let mut run = |chunk: usize| {
        let (mut row, mut logits) = (first.clone(), vec![0.0; n_vocab]);
        let mut scores = vec![0.0; tokens.len() * heads.len() * n_ctx];
        for (tokens, scores) in tokens.chunks(chunk).zip(scores.chunks_mut(chunk * heads.len() * n_ctx)) {
            let steps = &mut [Step { row: &mut row, tokens, n_logits: 1 }];
            model.decode_watched(steps, Watch { heads: &heads, n_ctx, scores }, &mut logits, &mut scratch);
        }
        (scores, logits)
    };
    let ((whole, logits), (pieces, _)) = (run(100), run(5));
    assert_close("scores", &pieces, &whole, 1e-4);
    assert!(whole.iter().any(|score| score.abs() > 0.1), "every head has scores");
    let (mut row, mut plain) = (first.clone(), vec![0.0; n_vocab]);
    model.decode(&mut [Step { row: &mut row, tokens: &tokens, n_logits: 1 }], &mut plain, &mut scratch);
    assert_eq!(plain, logits, "watching changes nothing");
}

#[test]
#[ignore = "needs ../shared"]
fn a_row_that_follows_another_goes_on_as_the_other_does() {
    let (_, _, model) = golden_models().swap_remove(0);
    let mut scratch = Scratch::default();
    let mut logits = vec![0.0; model.dims().n_vocab];
    let mut row = model.start(&model.encode(&jfk()));
    let mut feed = |row: &mut Row, tokens: &[u32]| {
        model.decode(&mut [Step { row, tokens, n_logits: 1 }], &mut logits, &mut scratch);
        logits.clone()
    };
    feed(&mut row, &[50258, 50259, 50359]);
    let mut other = row.clone();
    feed(&mut row, &[1000, 1001, 1002]);
    feed(&mut other, &[1000, 2001]);
    row.follow(&other, 4);
    assert_eq!(row.n_tokens(), 5);
    assert_eq!(feed(&mut row, &[3000]), feed(&mut other, &[3000]));
}

#[test]
#[ignore = "needs ../shared"]
fn the_real_base_encoder_equals_the_reference() {
    let folder = "models/whisper-base-encoder";
    let golden = tensors(&format!("{folder}/golden.safetensors"));
    let checkpoint = Checkpoint::open(&shared(folder)).unwrap();
    let threads = Threads::new(2);
    let encoder = real_encoder(&checkpoint, &threads, Precision::F32);
    let mut scratch = encoder.scratch();
    let features = encoder.run(&threads, &golden["log_mel"].1, &mut scratch, |stage, x| {
        let name = match stage.checked_sub(1) {
            None => "embedding_every_50th_row".to_owned(),
            Some(layer) => format!("layer_{layer}_every_50th_row"),
        };
        let found: Vec<f32> = x.chunks(512).step_by(50).flatten().copied().collect();
        assert_close(&name, &found, &golden[&name].1, 1e-2);
    });
    let rows: Vec<&[f32]> = features.chunks(512).step_by(10).collect();
    let mut worst = 1.0_f32;
    for (row, expected) in rows.iter().zip(golden["encoder_output_every_10th_row"].1.chunks(512)) {
        let norm = |x: &[f32]| boswell_kernels::dot(x, x).sqrt();
        worst = worst.min(boswell_kernels::dot(row, expected) / norm(row) / norm(expected));
    }
    println!("least cosine {worst}");
    assert!(worst >= 0.9999, "the least cosine of a row is {worst}");
    let norms: Vec<f32> = features.chunks(512).map(|x| boswell_kernels::dot(x, x).sqrt()).collect();
    assert_close("norms", &norms, &golden["output_row_norm"].1, 2e-2);
}

/// Cosine of each row with the reference's, and the relative root mean square of all differences.
fn cosines(rows: &[f32], expected: &[f32], n_state: usize) -> (Vec<f32>, f32) {
    let cosine = |(x, y): (&[f32], &[f32])| {
        let dot = boswell_kernels::dot;
        dot(x, y) / (dot(x, x) * dot(y, y)).sqrt()
    };
    let cosines = rows.chunks(n_state).zip(expected.chunks(n_state)).map(cosine).collect();
    let errors: f32 = rows.iter().zip(expected).map(|(x, y)| (x - y).powi(2)).sum();
    (cosines, (errors / boswell_kernels::dot(expected, expected)).sqrt())
}

#[test]
#[ignore = "needs ../shared"]
fn the_real_base_encoder_loses_little_in_bf16_and_int8() {
    let folder = "models/whisper-base-encoder";
    let mel = tensors(&format!("{folder}/golden.safetensors")).remove("log_mel").unwrap().1;
    let checkpoint = Checkpoint::open(&shared(folder)).unwrap();
    let threads = Threads::new(2);
    let run = |precision| {
        let encoder = real_encoder(&checkpoint, &threads, precision);
        encoder.run(&threads, &mel, &mut encoder.scratch(), |_, _| {}).to_vec()
    };
    let exact = run(Precision::F32);
    for (precision, least_median, least_5_percent) in
        [(Precision::Bf16, 0.9999, 0.9997), (Precision::Int8, 0.9994, 0.9985)]
    {
        let rows = run(precision);
        let (mut speech, _) = cosines(&rows[..550 * 512], &exact[..550 * 512], 512);
        let (_, rms) = cosines(&rows, &exact, 512);
        speech.sort_by(f32::total_cmp);
        let percentile = |p: usize| speech[550 * p / 100];
        println!(
            "{precision:?}: median {} 5 % {} 1 % {} rms {rms}",
            percentile(50),
            percentile(5),
            percentile(1)
        );
        let [median, low] = [50, 5].map(percentile);
        assert!(median >= least_median && low >= least_5_percent, "{precision}: {median}, 5 % {low}");
    }
}

#[test]
fn a_window_may_be_shorter_and_leaves_nothing_behind() {
    let dims = Dims {
        n_mels: 80,
        n_audio_ctx: 1500,
        n_audio_state: 64,
        n_audio_head: 1,
        n_audio_layer: 2,
        n_vocab: 51864,
        n_text_ctx: 448,
        n_text_state: 64,
        n_text_head: 1,
        n_text_layer: 1,
    };
    let checkpoint = Checkpoint::random("random", dims);
    let mel: Vec<f32> = (0..80 * 3000).map(|i| (i as f32 * 0.37).sin()).collect();
    let logits = |model: &Model, n_ctx: usize| {
        let mut row = model.window(&mel[..80 * 2 * n_ctx], || {});
        let mut logits = vec![0.0; dims.n_vocab];
        let tokens = [50257, 50362];
        model.decode(
            &mut [Step { row: &mut row, tokens: &tokens, n_logits: 1 }],
            &mut logits,
            &mut Scratch::default(),
        );
        model.reclaim(row);
        logits
    };
    for precision in [Precision::F32, Precision::Int8] {
        let options = LoadOptions { threads: 2, precision, ..LoadOptions::default() };
        let used = Model::new(&checkpoint, &options).unwrap();
        for n_ctx in [1500, 101, 1, 700, 1500] {
            let fresh = Model::new(&checkpoint, &options).unwrap();
            assert!(logits(&used, n_ctx) == logits(&fresh, n_ctx), "{precision}, {n_ctx} rows");
        }
        assert_eq!(used.encode(&mel[..80 * 2 * 101]).rows.len(), 101 * 64);
    }
}

#[test]
fn the_greatest_of_rough_logits_is_that_of_exact_ones() {
    let dims = Dims {
        n_mels: 80,
        n_audio_ctx: 100,
        n_audio_state: 64,
        n_audio_head: 1,
        n_audio_layer: 1,
        n_vocab: 51865,
        n_text_ctx: 448,
        n_text_state: 64,
        n_text_head: 1,
        n_text_layer: 1,
    };
    let options = LoadOptions { threads: 2, precision: Precision::Int8, ..LoadOptions::default() };
    let model = Model::new(&Checkpoint::random("random", dims), &options).unwrap();
    let mel: Vec<f32> = (0..80 * 200).map(|i| (i as f32 * 0.37).sin()).collect();
    let mut row = model.window(&mel, || {});
    let (mut exact, mut rough) = (vec![0.0; dims.n_vocab], vec![0.0; dims.n_vocab]);
    let mut scratch = Scratch::default();
    let n_text = model.tokenizer().special().eot as usize;
    let greatest = |logits: &[f32]| (0..n_text).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
    let mut token = 50258;
    for position in 0..60 {
        let tokens = &[token];
        model.decode(&mut [Step { row: &mut row, tokens, n_logits: 1 }], &mut exact, &mut scratch);
        let mut refined = exact.clone();
        model.refine(&scratch, 0..dims.n_vocab, &mut refined);
        assert_eq!(refined, exact);
        row.truncate(position);
        model.decode_roughly(&mut Step { row: &mut row, tokens, n_logits: 1 }, &mut rough, &mut scratch);
        let n_same = rough.iter().zip(&exact).take(n_text).filter(|(x, y)| x == y).count();
        assert!(n_same < n_text / 100, "{n_same} logits of text are exact at once");
        assert_eq!(rough[n_text..], exact[n_text..]);
        model.refine(&scratch, 0..n_text, &mut rough);
        let (expected, found) = (greatest(&exact), greatest(&rough));
        assert_eq!((found, rough[found]), (expected, exact[expected]), "after {position} tokens");
        token = found as u32;
    }
}
