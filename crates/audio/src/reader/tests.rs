use serde_json::Value;

use super::*;
use crate::golden;

/// As 16 bits hold it, which is what the reference is measured by.
fn rounded(waveform: &[f32]) -> Vec<f64> {
    waveform.iter().map(|&x| f64::from((x * 32768.0).round().clamp(-32768.0, 32767.0)) / 32768.0).collect()
}

/// The signal-to-noise ratio in dB, at the best gain and the best delay of at most 100 ms, and that delay.
fn snr_db(reference: &[f64], x: &[f64]) -> (f64, isize) {
    let n = reference.len().min(x.len());
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut best = (-99.0, 0);
    for lag in -1600..=1600isize {
        let n_common = n - lag.unsigned_abs();
        let a = &reference[(-lag).max(0) as usize..][..n_common];
        let b = &x[lag.max(0) as usize..][..n_common];
        let gain = dot(a, b) / dot(b, b).max(1e-12);
        let noise: f64 = a.iter().zip(b).map(|(a, b)| (a - gain * b).powi(2)).sum();
        let snr = 10.0 * (dot(a, a) / noise.max(1e-12)).log10();
        if snr > best.0 {
            best = (snr, lag);
        }
    }
    best
}

/// The tone in every file of `fixtures/`: see `make.sh` there.
fn tone(n_samples: usize) -> Vec<f32> {
    let phase = |t: f64| std::f64::consts::TAU * (200.0 * t + 1500.0 * t * t);
    (0..n_samples).map(|i| (0.5 * phase(i as f64 / 16_000.0).sin()) as f32).collect()
}

fn fixture(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

fn read(name: &str) -> Result<Vec<f32>, Error> {
    golden::decode(&mut AudioReader::open(&fixture(name))?)
}

/// Decibels by which the tone, at the best gain, stands over the difference, without the edges of 20 ms; and
/// that gain.
fn tone_db(waveform: &[f32]) -> (f64, f64) {
    let tone = tone(waveform.len());
    let (a, b) = (&rounded(&tone)[320..waveform.len() - 320], &rounded(waveform)[320..waveform.len() - 320]);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let gain = dot(a, b) / dot(a, a);
    let noise: f64 = a.iter().zip(b).map(|(a, b)| (gain * a - b).powi(2)).sum();
    (10.0 * (gain * gain * dot(a, a) / noise.max(1e-12)).log10(), gain)
}

/// Files, the samples that they give, how many dB they keep to the tone, and how loud it is.
const FIXTURES: &[(&str, usize, f64, f64)] = &[
    ("tone.mp3", 9600, 25.0, 1.0),
    ("cover.mp3", 9600, 25.0, 1.0),
    ("aac.m4a", 9600, 30.0, 1.0),
    ("cover.m4a", 9600, 30.0, 1.0),
    ("video.mp4", 9600, 30.0, 1.0),
    ("aac.aac", 9660, 30.0, 1.0),
    ("alac.m4a", 9600, 80.0, STEREO),
    ("alac.caf", 9600, 80.0, 1.0),
    ("vorbis.ogg", 9600, 30.0, 1.0),
    ("vorbis.webm", 9868, 30.0, 1.0),
    ("vorbis51.ogg", 9600, 20.0, CENTRE),
    ("opus.opus", 9600, 30.0, 1.0),
    ("opus.webm", 9600, 30.0, 1.0),
    ("opus.mp4", 9600, 30.0, 1.0),
    ("opus_short.opus", 9600, 15.0, 1.0),
    ("opus51.opus", 9600, 15.0, CENTRE),
    ("flac.flac", 9600, 80.0, 1.0),
    ("flac.ogg", 9600, 80.0, 1.0),
    ("flac.mkv", 9600, 80.0, 1.0),
    ("flac71.flac", 9600, 70.0, 1.0 / (1.0 + std::f64::consts::SQRT_2 + 2.0)),
    ("s24.aiff", 9600, 80.0, 1.0),
    ("sowt.aiff", 9600, 80.0, 1.0),
    ("s16.caf", 9600, 80.0, 1.0),
    ("f32.w64", 9600, 80.0, 1.0),
    ("s16.rf64.wav", 9600, 80.0, 1.0),
    ("s24_extensible.wav", 9600, 80.0, STEREO),
    ("ima.wav", 10_205, 15.0, 1.0),
    ("ms.wav", 10_180, 15.0, 1.0),
    ("ac3_and_opus.mkv", 9600, 30.0, 1.0),
];

/// How loud ffmpeg makes one channel in each of two, and in the centre of 5.1, whose mix is scaled in turn.
const STEREO: f64 = std::f64::consts::FRAC_1_SQRT_2;
const CENTRE: f64 = 1.0 / (1.0 + std::f64::consts::SQRT_2 + 1.0);

/// Files whose containers do not say how much their encoders added: samples, and the delay that is heard.
const UNTRIMMED: &[(&str, usize, isize)] = &[
    ("plain.mp3", 10_031, 401),
    ("mp3.wav", 10_031, 401),
    ("layer2.mp2", 9613, 175),
    ("aac.mkv", 10_031, 372),
    ("two_tracks.mkv", 10_031, 372),
    ("fragmented.mp4", 10_031, 372),
    ("opus.caf", 9920, 104),
];

/// Files that cannot be read, and what the message says.
const UNREADABLE: &[(&str, &str)] = &[
    ("ac3.mkv", "holds AC-3 audio"),
    ("speex.ogg", "holds Speex audio"),
    ("aac51.m4a", "holds AAC with 6 channels audio"),
    ("silent.mp4", "has no audio track: found MP4"),
    ("make.sh", "text that begins with `#!/bin/sh"),
    ("../src", "a directory"),
    ("missing.wav", "cannot read"),
];

#[test]
fn containers_and_codecs_give_the_tone_back_in_time() {
    let mut failures = Vec::new();
    for &(name, n_samples, db, gain) in FIXTURES {
        let waveform = match read(name) {
            Ok(waveform) => waveform,
            Err(error) => {
                failures.push(format!("{name}: {error}"));
                continue;
            }
        };
        let (found_db, found_gain) = tone_db(&waveform);
        println!("{name}: {} samples, {found_db:.1} dB, gain {found_gain:.3}", waveform.len());
        if waveform.len() != n_samples || found_db < db || (found_gain / gain - 1.0).abs() > 0.05 {
            let (_, lag) = snr_db(&rounded(&tone(n_samples)), &rounded(&waveform));
            failures.push(format!(
                "{name}: {} samples, {found_db:.1} dB, gain {found_gain:.3}, delay {lag}",
                waveform.len()
            ));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn files_without_notes_on_their_ends_are_heard_whole() {
    for &(name, n_samples, delay) in UNTRIMMED {
        let waveform = read(name).unwrap();
        let (_, lag) = snr_db(&rounded(&tone(9600)), &rounded(&waveform));
        assert_eq!((waveform.len(), lag), (n_samples, delay), "{name}");
    }
}

#[test]
fn recordings_in_one_file_follow_one_another() {
    let waveform = read("chained.ogg").unwrap();
    assert_eq!(waveform.len(), 19_200);
    for half in waveform.chunks(9600) {
        assert!(tone_db(half).0 > 30.0);
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    for &(name, expected) in UNREADABLE {
        let message = read(name).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains(name) && !message.contains('\n'), "{message}");
    }
    for bytes in [&b""[..], b"RIF", b"RIFF\0\0\0\0WAVE", b"OggS", b"fLaC", b"\x1a\x45\xdf\xa3", b"caff"] {
        let error = AudioReader::from_reader(std::io::Cursor::new(bytes)).unwrap_err();
        assert!(error.to_string().starts_with("the recording is"), "{error}");
    }
}

#[test]
#[ignore = "needs ../shared"]
fn odd_files_decode_as_well_as_with_ffmpeg() {
    let expected = golden::json("assets/odd/expected.json");
    let read = |name: &str| {
        AudioReader::open(&golden::path(&format!("assets/odd/{name}"))).and_then(|mut reader| {
            let hint = reader.duration_hint();
            Ok((golden::decode(&mut reader)?, hint))
        })
    };
    let reference = rounded(&read("s16.wav").unwrap().0);
    let mut failures = Vec::new();
    for (name, row) in expected.as_object().unwrap() {
        let (waveform, hint) = match read(name) {
            Ok(decoded) => decoded,
            Err(error) => {
                println!("{name}: {error}");
                if row["codec"] != Value::Null {
                    failures.push(name.clone());
                }
                continue;
            }
        };
        let (snr, lag) = if waveform.len() > 8000 { snr_db(&reference, &rounded(&waveform)) } else { (0.0, 0) };
        let wanted_snr = row["snr_db"].as_f64();
        let n_wanted = row["frames_16k_mono_ffmpeg"].as_i64().unwrap();
        println!(
            "{name}: {} samples ({n_wanted}), {snr:.1} dB ({wanted_snr:?}), delay {lag}, hint {hint:?}",
            waveform.len()
        );
        // AAC is cut more closely than by ffmpeg, which keeps the last block and, of ADTS, the first one.
        let n_wanted = if name.starts_with("aac.") { 51_200 } else if name.starts_with("aac_") { 51_270 } else { n_wanted };
        // ffmpeg made the files of higher rates too, and its filter lets through around 8 kHz what it let through
        // before. Its Opus decoder is its own; libopus gives what ours gives, 60 us later and 2.1 dB below.
        let is_upsampled = row["sample_rate"].as_u64().is_some_and(|rate| rate > 16_000);
        let tolerance_db = if is_upsampled { 2.8 } else { 0.1 };
        let is_good = waveform.len() as i64 == n_wanted
            && (lag == 0 || name.starts_with("opus"))
            && wanted_snr.is_none_or(|wanted| snr >= wanted - tolerance_db);
        if !is_good {
            failures.push(name.clone());
        }
    }
    assert!(failures.is_empty(), "{failures:?}");
}
