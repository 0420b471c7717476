use super::*;
use crate::golden;

/// A signal with energy at all frequencies, the same everywhere.
fn noise(n_samples: usize) -> Vec<f32> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state as f32 / u32::MAX as f32 - 0.5
    };
    (0..n_samples).map(|_| next()).collect()
}

#[test]
fn short_waveforms_have_their_complete_frames() {
    for n_samples in [1, 2, 159, 160, 199, 200, 201, 319, 320, 321, 1600] {
        let mel = log_mel(&noise(n_samples), 80).unwrap();
        assert_eq!((mel.n_mels(), mel.n_frames()), (80, n_samples / 160), "{n_samples} samples");
        assert!(mel.values().iter().all(|value| value.is_finite()), "{n_samples} samples");
    }
    assert!(matches!(log_mel(&[], 80), Err(Error::Empty)));
}

#[test]
fn waveforms_are_padded_or_trimmed() {
    assert_eq!(pad_or_trim(&[1.0, 2.0], 4), [1.0, 2.0, 0.0, 0.0]);
    assert_eq!(pad_or_trim(&[1.0, 2.0], 1), [1.0]);
    assert_eq!(pad_or_trim(&[], 2), [0.0, 0.0]);
}

/// The frames of a waveform that arrives in chunks of some length.
fn frames_of(waveform: &[f32], n_mels: usize, chunk: usize) -> Vec<f32> {
    let (mut framer, mut analysis) = (Framer::default(), FrameAnalysis::new(n_mels));
    let mut stretches = Vec::new();
    for samples in waveform.chunks(chunk) {
        framer.push(samples);
        stretches.extend(std::iter::from_fn(|| framer.next_stretch()));
    }
    assert_eq!(framer.n_samples(), waveform.len() as u64);
    framer.end();
    stretches.extend(std::iter::from_fn(|| framer.next_stretch()));
    let frames: Vec<Frames> = stretches.iter().map(|stretch| analysis.frames(stretch)).collect();
    if let Some((_, all_but_last)) = frames.split_last() {
        assert!(all_but_last.iter().all(|frames| frames.values.len() == Framer::STRETCH * n_mels));
    }
    frames.into_iter().flat_map(|frames| frames.values).collect()
}

#[test]
fn frames_do_not_depend_on_how_the_waveform_is_cut() {
    for n_samples in [0, 1, 160, 200, 201, 202, 5000, 60_000] {
        let waveform = noise(n_samples);
        let whole = frames_of(&waveform, 80, 100_000);
        assert!(whole.len() / 80 >= n_samples / 160);
        for chunk in [1, 7, 160, 200, 201, 1000, 20_640, 20_641] {
            assert!(frames_of(&waveform, 80, chunk) == whole, "{n_samples} samples by {chunk}");
        }
    }
}

#[test]
fn a_stream_gives_the_frames_of_the_whole() {
    let mut waveform = noise(4000);
    let frames = frames_of(&waveform, 128, 1000);
    waveform.resize(8000, 0.0);
    let mel = log_mel(&waveform, 128).unwrap();
    let maximum = frames.iter().copied().fold(f32::MIN, f32::max);
    let n_frames = frames.len() / 128;
    let mut values = vec![0.0; frames.len()];
    normalise(&frames, 128, maximum, values.len() / 128, &mut values);
    for (row, whole) in values.chunks_exact(n_frames).zip(mel.values().chunks_exact(mel.n_frames())) {
        assert_eq!(row, &whole[..n_frames]);
    }
    assert_eq!(frames.len() / 128, 27); // the last one begins before sample 4000: 26 · 160 - 200
}

const FILTERS_80: &[(usize, usize, f32)] = &[
    (0, 1, 0.024862595),
    (0, 1, 0.024862595),
    (1, 1, 0.001990822),
    (1, 2, 0.022871772),
    (20, 19, 0.0109722),
    (20, 20, 0.013890394),
    (40, 42, 0.0054111048),
    (40, 44, 0.00651819),
    (60, 90, 0.0014345343),
    (60, 96, 0.00079784915),
    (79, 186, 0.00036674167),
    (79, 199, 0.000448759),
    (0, 0, 0.0),
    (79, 200, 0.0),
];

const FILTERS_128: &[(usize, usize, f32)] = &[
    (0, 1, 0.012373987),
    (0, 1, 0.012373987),
    (1, 1, 0.030392565),
    (1, 1, 0.030392565),
    (32, 19, 0.021493567),
    (32, 19, 0.021493567),
    (64, 42, 0.0067496826),
    (64, 43, 0.018091518),
    (96, 91, 0.0038323575),
    (96, 94, 0.0035097864),
    (127, 191, 0.0004756951),
    (127, 199, 0.0011142802),
    (0, 0, 0.0),
    (127, 200, 0.0),
];

#[test]
fn filters_are_slaneys() {
    // Weights from librosa 0.11.0: band, frequency, weight of `librosa.filters.mel(sr=16000, n_fft=400, n_mels=...)`.
    for (n_mels, weights) in [(80, FILTERS_80), (128, FILTERS_128)] {
        let filters = mel_filters(n_mels);
        assert_eq!(filters.len(), n_mels * 201);
        for &(mel_idx, freq_idx, weight) in weights {
            let found = filters[mel_idx * 201 + freq_idx];
            assert!((found - weight).abs() < 1e-8, "{n_mels} mels: {found} for {weight}");
        }
    }
}

#[test]
#[ignore = "needs ../shared"]
fn spectrograms_are_whispers() {
    let arrays = golden::arrays("golden/mel/cases.safetensors");
    let names = arrays.keys().filter_map(|name| name.strip_prefix("x_"));
    let mut worst: f32 = 0.0;
    for name in names {
        let mel = log_mel(&arrays[&format!("x_{name}")], 80).unwrap();
        let difference = golden::max_difference(mel.values(), &arrays[&format!("mel80_{name}")]);
        println!("{name}: {difference:.1e}");
        worst = worst.max(difference);
    }
    // The reference computes in f32; its own error reaches 4e-5 beside a pure tone, 90 dB below it.
    assert!(worst <= 1e-4, "{worst}");
}

#[test]
#[ignore = "needs ../shared"]
fn the_spectrogram_of_speech_is_whispers() {
    let arrays = golden::arrays("golden/mel/jfk.safetensors");
    let mut reader = crate::AudioReader::open(&golden::path("assets/jfk.wav")).unwrap();
    let waveform = golden::decode(&mut reader).unwrap();
    let mel = log_mel(&waveform, 80).unwrap();
    let difference = golden::max_difference(mel.values(), &arrays["mel80_unpadded"]);
    println!("unpadded: {difference:.1e}");
    assert!(difference <= 5e-5);
    for n_mels in [80, 128] {
        let expected = &arrays[&format!("mel{n_mels}_first_1104_frames")];
        let mel = log_mel(&pad_or_trim(&waveform, crate::N_SAMPLES), n_mels).unwrap();
        let rows = mel.values().chunks_exact(crate::N_FRAMES).zip(expected.chunks_exact(1104));
        for (row, expected) in rows {
            assert!(golden::max_difference(&row[..1104], expected) <= 5e-5);
            assert!(row[1104..].iter().all(|&value| value == row[1104]));
        }
    }
}
