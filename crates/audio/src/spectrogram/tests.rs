use super::*;
use crate::{N_FRAMES, log_mel, pad_or_trim};

fn waveform(n_samples: usize) -> Vec<f32> {
    let tone = |i: usize| (i as f32 * 0.05).sin() * (i as f32 * 1e-4).sin() * 0.5;
    (0..n_samples).map(tone).collect()
}

/// What openai/whisper's `transcribe` hands to the encoder: the whole spectrogram with 30 s of zeros behind,
/// cut, and filled with zeros.
fn expected_window(waveform: &[f32], start_frame: usize, n_frames: usize, n_mels: usize) -> Vec<f32> {
    let padded = pad_or_trim(waveform, waveform.len() + crate::N_SAMPLES);
    let mel = log_mel(&padded, n_mels).unwrap();
    let n_content = mel.n_frames() - N_FRAMES;
    let mut window = vec![0.0; n_mels * N_FRAMES];
    for (row, mel) in window.chunks_exact_mut(N_FRAMES).zip(mel.values().chunks_exact(mel.n_frames())) {
        let end = (start_frame + n_frames).min(n_content);
        if start_frame < end {
            row[..end - start_frame].copy_from_slice(&mel[start_frame..end]);
        }
    }
    window
}

fn window(spectrogram: &Spectrogram, start_frame: usize, n_frames: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; spectrogram.n_mels() * N_FRAMES];
    spectrogram.window(start_frame, n_frames, &mut out).unwrap();
    out
}

#[test]
fn windows_are_those_of_whisper() {
    for (n_samples, n_mels) in [(1, 80), (159, 80), (201, 80), (16_100, 128), (500_123, 80)] {
        let waveform = waveform(n_samples);
        let spectrogram = Spectrogram::from_waveform(&waveform, n_mels).unwrap();
        assert_eq!(spectrogram.n_frames(), n_samples / 160);
        assert_eq!(spectrogram.duration_s(), n_samples as f64 / 16_000.0);
        for (start_frame, n_frames) in [(0, 3000), (3, 40), (99, 3000), (2000, 3000), (9000, 3000), (0, 0)] {
            let expected = expected_window(&waveform, start_frame, n_frames, n_mels);
            let found = window(&spectrogram, start_frame, n_frames);
            assert!(found == expected, "{n_samples} samples, {n_frames} frames from {start_frame}");
        }
    }
}

#[test]
fn a_recording_without_samples_has_no_frames() {
    let spectrogram = Spectrogram::from_waveform(&[], 80).unwrap();
    assert_eq!((spectrogram.n_frames(), spectrogram.duration_s()), (0, 0.0));
    assert!(window(&spectrogram, 0, 3000).iter().all(|&value| value == 0.0));
}

#[test]
fn values_in_a_file_are_those_in_memory() {
    let waveform = waveform(200_000);
    let in_memory = Spectrogram::from_waveform(&waveform, 80).unwrap();
    assert!(!in_memory.values.are_in_file());
    for memory_bytes in [0, 1000, 100_000] {
        let mut builder =
            Builder::new(80, &SpectrogramOptions { memory_bytes, ..SpectrogramOptions::default() });
        waveform.chunks(12_345).for_each(|chunk| builder.push(chunk).unwrap());
        let in_file = builder.finish(None).unwrap();
        assert!(in_file.values.are_in_file());
        thread::scope(|scope| {
            for start_frame in [0, 17, 1000] {
                let (in_memory, in_file) = (&in_memory, &in_file);
                scope.spawn(move || {
                    assert!(window(in_file, start_frame, 500) == window(in_memory, start_frame, 500));
                });
            }
        });
    }
}

/// A WAV file with a waveform.
fn reader(waveform: &[f32]) -> AudioReader {
    let samples: Vec<u8> = waveform.iter().flat_map(|x| x.to_le_bytes()).collect();
    let header = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x03\0\x01\0\x80\x3e\0\0\0\xfa\0\0\x04\0\x20\0data\xff\xff\xff\xff";
    AudioReader::from_reader(std::io::Cursor::new([&header[..], &samples].concat())).unwrap()
}

#[test]
fn reading_reports_progress_and_stops_when_asked() {
    let open = || reader(&waveform(100_000));
    let mut progress = Vec::new();
    let spectrogram = Spectrogram::compute(&mut open(), 80, |seconds| {
        progress.push(seconds);
        ControlFlow::Continue(())
    });
    let spectrogram = spectrogram.unwrap();
    assert_eq!(spectrogram.duration_s(), 6.25);
    assert!(progress.is_sorted() && progress.len() > 5 && *progress.last().unwrap() == 6.25, "{progress:?}");
    let whole = Spectrogram::from_waveform(&waveform(100_000), 80).unwrap();
    assert!(window(&spectrogram, 5, 600) == window(&whole, 5, 600));

    let stopped = Spectrogram::compute(&mut open(), 80, |_| ControlFlow::Break(()));
    assert!(matches!(stopped, Err(Error::Stopped)));
}

#[test]
fn a_waveform_may_be_made_piece_by_piece() {
    let waveform = waveform(100_000);
    let mut chunks = waveform.chunks(12_345);
    let next = |chunk: &mut Vec<f32>| {
        chunk.clear();
        let samples = chunks.next();
        chunk.extend_from_slice(samples.unwrap_or_default());
        samples.is_some()
    };
    let made = Spectrogram::from_chunks(next, 80, &SpectrogramOptions::default()).unwrap();
    let whole = Spectrogram::from_waveform(&waveform, 80).unwrap();
    assert_eq!(made.duration_s(), whole.duration_s());
    assert!(window(&made, 5, 600) == window(&whole, 5, 600));
}

#[test]
fn threads_compute_what_one_does() {
    for n_samples in [0, 1, 300, 20_480, 100_000, 400_123] {
        let waveform = waveform(n_samples);
        let alone = Spectrogram::from_waveform(&waveform, 80).unwrap();
        for (threads, memory_bytes) in [(2, 64 << 20), (3, 100_000), (100, 0)] {
            let options = SpectrogramOptions { threads, memory_bytes, ..SpectrogramOptions::default() };
            let go_on = |_| ControlFlow::Continue(());
            let shared = Spectrogram::compute_with(&mut reader(&waveform), 80, &options, go_on).unwrap();
            assert_eq!((shared.n_samples, shared.maximum), (alone.n_samples, alone.maximum));
            for start_frame in [0, 100, 130, 2_000] {
                assert!(window(&shared, start_frame, 500) == window(&alone, start_frame, 500));
            }
        }
    }
    let options = SpectrogramOptions { threads: 2, ..SpectrogramOptions::default() };
    let stop = |_| ControlFlow::Break(());
    let stopped = Spectrogram::compute_with(&mut reader(&waveform(400_000)), 80, &options, stop);
    assert!(matches!(stopped, Err(Error::Stopped)));
}

#[test]
fn pieces_are_joined_to_a_window() {
    let waveform = waveform(200_000);
    let spectrogram = Spectrogram::from_waveform(&waveform, 80).unwrap();
    let whole = window(&spectrogram, 0, 1250);
    let mut joined = vec![f32::NAN; 80 * N_FRAMES];
    spectrogram.join([3..50, 700..700, 900..1013, 1200..1400].into_iter(), &mut joined).unwrap();
    let frames: Vec<usize> = (3..50).chain(900..1013).chain(1200..1250).collect();
    for (joined, whole) in joined.chunks_exact(N_FRAMES).zip(whole.chunks_exact(N_FRAMES)) {
        assert!(joined.iter().zip(&frames).all(|(value, frame)| *value == whole[*frame]));
        assert!(joined[frames.len()..].iter().all(|value| *value == 0.0));
    }
}

#[test]
fn speech_is_listened_for_if_that_is_asked_for() {
    let waveform = waveform(20_000);
    let options = SpectrogramOptions { voice_activity: true, ..SpectrogramOptions::default() };
    let heard = Spectrogram::from_waveform_with(&waveform, 80, &options).unwrap();
    assert_eq!(heard.speech.as_ref().map(Vec::len), Some(40));
    assert_eq!(heard.speech(&VadOptions::default()), Some(Vec::new()));
    let unheard = Spectrogram::from_waveform(&waveform, 80).unwrap();
    assert_eq!(unheard.speech(&VadOptions::default()), None);
    // A thread that listens beside hears the same, and is stopped with the others.
    let go_on = |_| ControlFlow::Continue(());
    let beside = Spectrogram::compute_with(&mut reader(&waveform), 80, &options, go_on).unwrap();
    let (beside, heard) = (beside.speech.unwrap(), heard.speech.unwrap());
    assert!(beside.len() == 40 && crate::golden::max_difference(&beside, &heard) < 1e-5);
    let stopped = Spectrogram::compute_with(&mut reader(&waveform), 80, &options, |_| ControlFlow::Break(()));
    assert!(matches!(stopped, Err(Error::Stopped)));
}
