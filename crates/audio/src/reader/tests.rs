use std::io::Cursor;

use proptest::prelude::*;
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
    ("opus51.opus", 9600, 20.0, CENTRE),
    ("flac.flac", 9600, 80.0, 1.0),
    ("flac.ogg", 9600, 80.0, 1.0),
    ("flac.mkv", 9600, 80.0, 1.0),
    ("flac71.flac", 9600, 70.0, 1.0 / (1.0 + std::f64::consts::SQRT_2 + 2.0)),
    ("s24.aiff", 9600, 80.0, 1.0),
    ("sowt.aiff", 9600, 80.0, 1.0),
    ("s16.caf", 9600, 80.0, 1.0),
    ("s16.sph", 9600, 80.0, 1.0),
    ("s16be.sph", 9600, 80.0, 1.0),
    ("ulaw.sph", 9600, 30.0, 1.0),
    ("f32.w64", 9600, 80.0, 1.0),
    ("s16.rf64.wav", 9600, 80.0, 1.0),
    ("s24_extensible.wav", 9600, 80.0, STEREO),
    ("ima.wav", 10_205, 14.0, 1.0),
    ("ms.wav", 10_180, 14.0, 1.0),
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
        if waveform.len() != n_samples || found_db < db || (found_gain / gain - 1.0).abs() > 0.06 {
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
        let error = AudioReader::from_reader(Cursor::new(bytes)).unwrap_err();
        assert!(error.to_string().starts_with("the recording is"), "{error}");
    }
}

#[test]
fn a_stream_that_cannot_seek_gives_the_same() {
    let bytes = std::fs::read(fixture("aac.m4a")).unwrap();
    let waveform = golden::decode(&mut AudioReader::from_stream(&bytes[..]).unwrap()).unwrap();
    assert!(waveform == read("aac.m4a").unwrap());
}

#[test]
fn lengths_are_known_before_decoding() {
    for &(name, n_samples, ..) in FIXTURES {
        let hint = AudioReader::open(&fixture(name)).unwrap().duration_hint();
        // Streams without a header are estimated; Ogg and Matroska count what is cut at the ends, and some CAF
        // files whole packets.
        let tolerance_s = if name == "aac.aac" || name == "alac.caf" { 0.2 } else { 0.03 };
        let duration_s = n_samples as f64 / 16_000.0;
        assert!(hint.is_some_and(|hint| (hint - duration_s).abs() < tolerance_s), "{name}: {hint:?}");
    }
}

#[test]
fn samples_that_are_no_numbers_become_silence() {
    let samples = [0.5, f32::NAN, f32::INFINITY, -0.5, 3.0, f32::NEG_INFINITY, 1e38];
    let header =
        b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x03\0\x01\0\x80\x3e\0\0\0\xfa\0\0\x04\0\x20\0data\x1c\0\0\0";
    let bytes = [&header[..], &samples.map(f32::to_le_bytes).concat()].concat();
    let waveform = golden::decode(&mut AudioReader::from_reader(Cursor::new(bytes)).unwrap()).unwrap();
    assert_eq!(waveform, [0.5, 0.0, 0.0, -0.5, 1.0, 0.0, 1.0]);
}

#[test]
fn what_a_header_claims_is_not_reserved() {
    // Samples per packet, which the decoder of PCM reserves before it has seen one: 6 GB.
    let mut bytes = std::fs::read(fixture("s16.caf")).unwrap();
    assert_eq!(bytes[40..44], [0, 0, 0, 1]);
    bytes[40] = 0xb0;
    let error = AudioReader::from_reader(Cursor::new(bytes)).unwrap_err().to_string();
    assert!(error.contains("packets of 2952790017 samples"), "{error}");
}

/// Files whose middle is damaged, of 0.6 s (the WebM of 6 s), and by how many samples the end may move:
/// nothing tells how many frames an MPEG or ADTS stream lost.
const DAMAGEABLE: &[(&str, usize)] =
    &[("tone.mp3", 1600), ("aac.aac", 1600), ("aac.m4a", 0), ("flac.flac", 0), ("long.webm", 32)];

#[test]
fn damage_in_the_middle_does_not_move_the_rest() {
    for &(name, tolerance) in DAMAGEABLE {
        let whole = read(name).unwrap();
        let mut bytes = std::fs::read(fixture(name)).unwrap();
        let middle = bytes.len() * 60 / 100..bytes.len() * 64 / 100;
        bytes[middle].iter_mut().enumerate().for_each(|(i, byte)| *byte = (i * 37 % 251) as u8);
        let damaged = golden::decode(&mut AudioReader::from_reader(Cursor::new(bytes)).unwrap()).unwrap();
        assert!(whole.len().abs_diff(damaged.len()) <= tolerance, "{name}: {} samples", damaged.len());
        // The last 0.1 s is heard as before, from where it now is.
        let (a, b) = (&whole[whole.len() - 1600..], &damaged[damaged.len() - 1600..]);
        let (snr, lag) =
            snr_db(&rounded(&whole[whole.len() - 3200..]), &rounded(&damaged[damaged.len() - 3200..]));
        println!("{name}: {} of {} samples, {snr:.1} dB at {lag}", damaged.len(), whole.len());
        match tolerance {
            0 => assert!(golden::max_difference(a, b) < 0.05, "{name}: {snr:.1} dB at {lag}"),
            // Matroska counts milliseconds.
            32 => assert!(snr > 30.0 && lag == 0, "{name}: {snr:.1} dB at {lag}"),
            _ => {}
        }
    }
}

#[test]
fn what_is_left_of_a_cut_file_is_heard() {
    for name in [
        "tone.mp3",
        "aac.aac",
        "vorbis.ogg",
        "opus.opus",
        "opus.webm",
        "flac.flac",
        "sowt.aiff",
        "s16.rf64.wav",
        "f32.w64",
    ] {
        let whole = read(name).unwrap();
        let mut bytes = std::fs::read(fixture(name)).unwrap();
        bytes.truncate(bytes.len() * 85 / 100);
        let cut =
            AudioReader::from_reader(Cursor::new(bytes)).and_then(|mut reader| golden::decode(&mut reader));
        let cut = cut.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(
            cut.len() > whole.len() / 4 && cut.len() < whole.len() * 97 / 100,
            "{name}: {} samples",
            cut.len()
        );
        let n_same = cut.len() - 1600;
        assert!(golden::max_difference(&cut[..n_same], &whole[..n_same]) < 1e-3, "{name}");
    }
}

/// Decodes bytes, and checks what comes out; to hear an hour of silence from a header is fine, to wait for it
/// is not.
fn decode_hostile(bytes: Vec<u8>) {
    let Ok(mut reader) = AudioReader::from_reader(Cursor::new(bytes)) else { return };
    let (mut chunk, mut n_samples) = (Vec::new(), 0);
    while n_samples < 1_000_000 && matches!(reader.next_chunk(&mut chunk), Ok(true)) {
        assert!(chunk.iter().all(|sample| (-1.0..=1.0).contains(sample)));
        n_samples += chunk.len();
    }
}

fn hostile_cases() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(
            std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(200),
        )
    }
}

proptest! {
    #![proptest_config(hostile_cases())]

    #[test]
    fn no_bytes_make_the_reader_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..3000), magic in 0..10usize) {
        let magic = [
            &b""[..], b"RIFF\xff\xff\xff\xffWAVE", b"FORM\0\0\x01\0AIFF", b"caff\0\x01\0\0", b"fLaC\0\0\0\x22",
            b"OggS\0\x02", b"\x1a\x45\xdf\xa3", b"\0\0\0\x14ftypM4A ", b"\xff\xfb\x90\x64",
            b"NIST_1A\n   1024\nchannel_count -i 1\nsample_rate -i 16000\nend_head\n",
        ][magic];
        bytes.splice(0..magic.len().min(bytes.len()), magic.iter().copied());
        decode_hostile(bytes);
    }

    #[test]
    fn no_change_to_a_recording_makes_the_reader_panic(
        file in 0..FIXTURES.len() + UNTRIMMED.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), any::<u8>()), 1..12),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let name = FIXTURES.get(file).map_or_else(|| UNTRIMMED[file - FIXTURES.len()].0, |fixture| fixture.0);
        let mut bytes = std::fs::read(fixture(name)).unwrap();
        for (place, is_in_header, value) in changes {
            let n_places = if is_in_header { bytes.len().min(600) } else { bytes.len() };
            let place = place.index(n_places);
            bytes[place] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        decode_hostile(bytes);
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
        let (snr, lag) =
            if waveform.len() > 8000 { snr_db(&reference, &rounded(&waveform)) } else { (0.0, 0) };
        let wanted_snr = row["snr_db"].as_f64();
        let n_wanted = row["frames_16k_mono_ffmpeg"].as_i64().unwrap();
        println!(
            "{name}: {} samples ({n_wanted}), {snr:.1} dB ({wanted_snr:?}), delay {lag}, hint {hint:?}",
            waveform.len()
        );
        // AAC is cut more closely than by ffmpeg, which keeps the last block and, of ADTS, the first one.
        let n_wanted = if name.starts_with("aac.") {
            51_200
        } else if name.starts_with("aac_") {
            51_270
        } else {
            n_wanted
        };
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

/// Recordings, and how many samples ffmpeg 5.1 makes of each.
const RECORDINGS: &[(&str, usize)] = &[
    ("jfk.wav", 176_000),
    ("jfk.mp3", 176_000),
    ("jfk.flac", 176_000),
    ("audio/hotwords.mp3", 64_000),
    ("audio/multilingual.mp3", 958_400),
    ("audio/silero_test.mp3", 40_542),
    ("audio/silero_test.opus", 129_024),
    ("audio/silero_test.wav", 960_000),
    ("audio/stereo_diarization.wav", 80_000),
    ("audio/nonspeech/456440__inspectorj__bird-whistling-robin-single-13.ogg", 43_179),
    ("audio/nonspeech/glacier-bay-humpback.ogg", 1_036_945),
    ("audio/nonspeech/sorohanro_-_solo-trumpet-06.ogg", 85_335),
];

#[test]
#[ignore = "needs ../shared"]
fn recordings_are_as_long_as_with_ffmpeg() {
    let read = |name: &str| {
        golden::decode(&mut AudioReader::open(&golden::path(&format!("assets/{name}"))).unwrap()).unwrap()
    };
    for &(name, n_samples) in RECORDINGS {
        let waveform = read(name);
        // ffmpeg rounds a length that is no whole number of samples now up, now down.
        assert!(waveform.len().abs_diff(n_samples) <= 1, "{name}: {} samples", waveform.len());
        assert!(waveform.iter().any(|sample| sample.abs() > 0.01), "{name} is silent");
    }
    let reference = rounded(&read("jfk.wav"));
    for (name, db) in [("jfk.mp3", 15.0), ("jfk.flac", 40.0)] {
        let (snr, lag) = snr_db(&reference, &rounded(&read(name)));
        println!("{name}: {snr:.1} dB, delay {lag}");
        assert!(lag == 0 && snr > db, "{name}: {snr:.1} dB, delay {lag}");
    }
}
