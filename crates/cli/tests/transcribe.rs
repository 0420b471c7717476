//! `boswell transcribe`, and what the command line as a whole promises.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_boswell"));
    command.args(args).stdin(Stdio::null()).env("HF_HUB_OFFLINE", "1");
    command
}

fn boswell(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn assert_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "stderr: {}", stderr(output));
}

/// A recording that the program ships, with what is said in it.
fn sample() -> (String, String) {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples");
    let readme = fs::read_to_string(samples.join("README.md")).unwrap();
    let row = readme.lines().find(|line| line.starts_with("| `")).unwrap();
    let mut cells = row.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`'));
    let path = samples.join(cells.next().unwrap());
    (path.to_str().unwrap().to_owned(), cells.next().unwrap().to_owned())
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_wrong_command_line_ends_with_2_and_says_what_is_expected() {
    let cases: &[(&[&str], &str)] = &[
        (&["transcribe", "--no-such-flag", "a.wav"], "--no-such-flag"),
        (&["transcribe", "--task", "sing", "a.wav"], "transcribe, translate"),
        (&["transcribe", "--output-format", "doc", "a.wav"], "txt, srt, vtt, tsv, json, lrc, all"),
        (&["transcribe", "--model", "bsae", "a.wav"], "did you mean `base`?"),
        (&["transcribe", "--model", "no/such/model.pt", "a.wav"], "no file or folder `no/such/model.pt`"),
        (&["transcribe", "-f", "srt,json", "a.wav"], "add --output-dir"),
        (&["transcribe", "-", "-"], "named twice"),
        (&["transcribe", "--language", "klingon", "a.wav"], "klingon"),
        (&["transcribe", "--audio-context", "half", "a.wav"], "expected full, auto or a number of rows"),
        (&["transcribe", "--clip-timestamps", "-1", "a.wav"], "0 or more"),
        (&["transcribe", "--clip-timestamps", "0,1,5,2", "a.wav"], "from 5 s to 2 s is empty"),
        (&["transcribe", "--quiet", "--verbose", "a.wav"], "cannot be used with"),
        (&["transcribe", "--highlight-words", "a.wav"], "add --word-timestamps"),
        (&["transcribe", "--hallucination-silence-threshold", "2", "a.wav"], "add --word-timestamps"),
        (&["sing"], "unrecognized subcommand"),
        (&["man", "sing"], "there is no command `sing`"),
        (&["completions", "cmd"], "possible values"),
        (&[], "Usage"),
    ];
    for (args, expected) in cases {
        let output = boswell(args);
        assert_code(&output, 2);
        assert!(stderr(&output).contains(expected), "{args:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn a_shorter_audio_context_hears_the_same() {
    let (recording, said) = sample();
    for context in ["auto", "100"] {
        let output = boswell(&["transcribe", "-f", "txt", "--audio-context", context, &recording]);
        assert_code(&output, 0);
        assert_eq!(words(&stdout(&output)), said, "{context}");
    }
}

#[test]
fn help_version_pages_and_completions_come_on_standard_output() {
    let cases: &[(&[&str], &str)] = &[
        (&["--help"], "boswell transcribe talk.mp3"),
        (&["--version"], concat!("boswell ", env!("CARGO_PKG_VERSION"))),
        (&["transcribe", "--help"], "--condition-on-previous-text"),
        (&["models", "pull", "--help"], "HF_ENDPOINT"),
        (&["completions", "bash"], "_boswell"),
        (&["completions", "zsh"], "#compdef boswell"),
        (&["completions", "fish"], "complete -c boswell"),
        (&["man"], ".TH boswell 1"),
        (&["man", "models", "pull"], ".TH boswell-models-pull 1"),
    ];
    for (args, expected) in cases {
        let output = boswell(args);
        assert_code(&output, 0);
        assert!(stdout(&output).contains(expected), "{args:?}: {}", stdout(&output));
        assert!(output.stderr.is_empty(), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn man_pages_are_written_for_all_commands() {
    let folder = TempDir::new().unwrap();
    let pages = folder.path().join("man/man1");
    assert_code(&boswell(&["man", "--output-dir", pages.to_str().unwrap()]), 0);
    for page in ["boswell.1", "boswell-transcribe.1", "boswell-models.1", "boswell-models-pull.1"] {
        assert!(pages.join(page).is_file(), "{page}");
    }
}

#[test]
fn the_transcript_comes_as_console_lines() {
    let (path, said) = sample();
    let output = boswell(&["transcribe", &path]);
    assert_code(&output, 0);
    let text: String = stdout(&output)
        .lines()
        .map(|line| {
            let (times, text) = line.split_once("] ").unwrap();
            assert!(times.starts_with("[00:0") && times[10..].starts_with(" --> 00:"), "{line}");
            text.to_owned()
        })
        .collect();
    assert_eq!(words(&text), said);
    assert!(stderr(&output).contains("digits"), "{}", stderr(&output));
    assert!(stderr(&output).contains("real time"), "{}", stderr(&output));

    let quiet = boswell(&["transcribe", "--quiet", &path]);
    assert_eq!((stdout(&quiet), stderr(&quiet)), (stdout(&output), String::new()));
}

#[test]
fn every_format_is_written_whole() {
    let (path, said) = sample();
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("made/for/it");
    let output = boswell(&["transcribe", &path, "--output_dir", out.to_str().unwrap()]);
    assert_code(&output, 0);
    assert!(output.stdout.is_empty());
    let stem = Path::new(&path).file_stem().unwrap().to_str().unwrap();
    let mut names: Vec<String> =
        fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["json", "lrc", "srt", "tsv", "txt", "vtt"].map(|format| format!("{stem}.{format}")));

    for format in ["json", "lrc", "srt", "tsv", "txt", "vtt"] {
        let file = fs::read_to_string(out.join(format!("{stem}.{format}"))).unwrap();
        let alone = boswell(&["transcribe", "-f", format, &path]);
        assert_code(&alone, 0);
        assert_eq!(stdout(&alone), file, "{format}");
        assert!(file.len() > said.len(), "{format}: {file}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(out.join(format!("{stem}.json"))).unwrap()).unwrap();
    assert_eq!(words(json["text"].as_str().unwrap()), said);
    assert_eq!(json["language"], "en");
}

#[cfg(unix)]
#[test]
fn written_files_have_the_usual_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let (path, _) = sample();
    let folder = TempDir::new().unwrap();
    assert_code(&boswell(&["transcribe", &path, "-f", "txt", "-o", folder.path().to_str().unwrap()]), 0);
    let written = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap();
    let plain = folder.path().join("plain");
    fs::write(&plain, "").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&written.path()), mode(&plain));
}

#[test]
fn recordings_of_one_name_do_not_overwrite_each_other() {
    let (path, said) = sample();
    let folder = TempDir::new().unwrap();
    let out = folder.path().to_str().unwrap();
    assert_code(&boswell(&["transcribe", "-f", "txt", "-o", out, &path, &path]), 0);
    let stem = Path::new(&path).file_stem().unwrap().to_str().unwrap();
    for name in [format!("{stem}.txt"), format!("{stem}-2.txt")] {
        assert_eq!(words(&fs::read_to_string(folder.path().join(&name)).unwrap()), said, "{name}");
    }
}

#[test]
fn a_recording_that_fails_does_not_stop_the_others() {
    let (path, said) = sample();
    let folder = TempDir::new().unwrap();
    let empty = folder.path().join("empty.wav");
    fs::write(&empty, "").unwrap();
    let noise = folder.path().join("noise.mp3");
    fs::write(&noise, (0..9999_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<_>>())
        .unwrap();
    let missing = folder.path().join("missing.flac");
    let bad = [empty, noise, missing, folder.path().to_owned()];
    let mut args = vec!["transcribe", "-q", "-f", "txt"];
    args.extend(bad.iter().map(|path| path.to_str().unwrap()));
    args.push(&path);
    let output = boswell(&args);
    assert_code(&output, 1);
    assert_eq!(words(&stdout(&output)), said);
    let errors = stderr(&output);
    assert_eq!(errors.lines().count(), bad.len() + 1, "{errors}");
    for (line, path) in errors.lines().zip(&bad) {
        assert!(line.starts_with("error: ") && line.contains(path.to_str().unwrap()), "{line}");
    }
    assert!(errors.contains("4 of 5 recordings"), "{errors}");
}

#[test]
fn standard_input_is_a_recording_too() {
    let (path, said) = sample();
    for args in [&["transcribe", "-f", "txt"][..], &["transcribe", "-f", "txt", "-"]] {
        let mut child =
            command(args).args(["-q"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&fs::read(&path).unwrap()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_code(&output, 0);
        assert_eq!(words(&stdout(&output)), said);
    }
}

#[test]
fn a_reader_that_leaves_ends_the_program_quietly() {
    let (path, _) = sample();
    let mut child = command(&["transcribe", "-q", &path, &path, &path])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_code(&output, 0);
    assert_eq!(stderr(&output), "");
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_is_done() {
    let (path, _) = sample();
    let folder = TempDir::new().unwrap();
    let long = folder.path().join("long.wav");
    fs::write(&long, repeated(Path::new(&path), 300)).unwrap();
    let out = folder.path().join("out");
    let mut child =
        command(&["transcribe", "-v", "-f", "txt", "--compression-ratio-threshold", "none", "-o"])
            .args([&out, &long])
            .args(["--clip-timestamps", "0,600"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
    let mut messages = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    for _ in 0..2 {
        assert!(messages.any(|line| line.contains("window decoded")));
    }
    let is_sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(is_sent.success());
    let messages: Vec<String> = messages.collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{messages:#?}");
    let stopped = messages.iter().find(|line| line.contains("stopped at")).expect("it says where it stopped");
    assert!(stopped.contains("of 10:00"), "what is asked for counts, not the recording: {stopped}");
    let kept = fs::read_to_string(out.join("long.txt")).unwrap();
    assert!(!kept.trim().is_empty());
}

/// A wav file of a recording, `n` times over.
#[cfg(unix)]
fn repeated(recording: &Path, n: usize) -> Vec<u8> {
    let mut reader = boswell_audio::AudioReader::open(recording).unwrap();
    let (mut samples, mut chunk) = (Vec::new(), Vec::new());
    while reader.next_chunk(&mut chunk).unwrap() {
        samples.extend(chunk.iter().flat_map(|sample| ((sample * 32767.0) as i16).to_le_bytes()));
    }
    let data = samples.repeat(n);
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + data.len() as u32).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend(16_000_u32.to_le_bytes());
    wav.extend(32_000_u32.to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend((data.len() as u32).to_le_bytes());
    wav.extend(data);
    wav
}

#[test]
fn clips_are_all_that_is_transcribed() {
    let (path, said) = sample();
    let output = boswell(&["transcribe", "-q", "-f", "txt", "--clip-timestamps", "0,0.5", &path]);
    assert_code(&output, 0);
    assert!(words(&stdout(&output)).len() < said.len());
}

fn shared(path: &str) -> PathBuf {
    let root = std::env::var_os("BOSWELL_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let path = root.join(path);
    assert!(path.exists(), "{} is missing", path.display());
    path
}

/// The flags of a golden case's options.
fn flags(options: &serde_json::Value) -> Vec<String> {
    let mut flags = vec!["--temperature-increment-on-fallback".to_owned(), "none".to_owned()];
    for (name, value) in options.as_object().unwrap() {
        let value = match value {
            serde_json::Value::Null => "none".to_owned(),
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Bool(true) => "True".to_owned(),
            serde_json::Value::Bool(false) => "False".to_owned(),
            number => number.to_string(),
        };
        let name = if name == "sample_len" { "max_new_tokens" } else { name };
        flags.extend([format!("--{name}"), value]);
    }
    flags
}

fn json_of(model: &Path, flags: &[String], recording: &Path) -> serde_json::Value {
    let mut command = command(&["transcribe", "-f", "json", "--model", model.to_str().unwrap()]);
    let output = command.args(flags).arg(recording).output().unwrap();
    assert_code(&output, 0);
    serde_json::from_str(&stdout(&output)).unwrap()
}

#[test]
#[ignore = "needs ../shared"]
fn whole_transcripts_are_those_of_openai_whisper() {
    // A folder as the hub has it, and openai/whisper's names in one file.
    let folder = TempDir::new().unwrap();
    for (from, to) in [
        ("tiny.hf.safetensors", "model.safetensors"),
        ("tiny.config.json", "config.json"),
        ("tiny.generation_config.json", "generation_config.json"),
    ] {
        fs::copy(shared("golden/model").join(from), folder.path().join(to)).unwrap();
    }
    let outputs = fs::read_to_string(shared("golden/model/tiny_outputs.json")).unwrap();
    let outputs: serde_json::Value = serde_json::from_str(&outputs).unwrap();
    let recording = shared("assets/audio/silero_test.wav");
    let mut n_cases = 0;
    for (name, case) in outputs["transcribe"].as_object().unwrap() {
        let options = &case["options"];
        if options.get("beam_size").is_some() || options.get("word_timestamps").is_some() {
            continue; // not there yet
        }
        for model in [folder.path().to_owned(), shared("golden/model/tiny.openai.safetensors")] {
            let found = json_of(&model, &flags(options), &recording);
            assert_eq!(found["text"], case["text"], "{name}");
            let expected = case["segments"].as_array().unwrap();
            assert_eq!(found["segments"].as_array().unwrap().len(), expected.len(), "{name}");
            for (found, expected) in found["segments"].as_array().unwrap().iter().zip(expected) {
                for field in ["id", "seek", "text", "tokens"] {
                    assert_eq!(found[field], expected[field], "{name} {field}");
                }
                for field in ["start", "end"] {
                    let [found, expected] = [found, expected].map(|segment| segment[field].as_f64().unwrap());
                    assert!((found - expected).abs() < 1e-6, "{name} {field}: {found}, expected {expected}");
                }
            }
        }
        n_cases += 1;
    }
    assert!(n_cases >= 6);
}

/// A wav file of 16-bit samples at 16 kHz, with silence behind it up to 30 s.
fn filled_up(wav: &[u8]) -> Vec<u8> {
    let data = wav.windows(4).position(|chunk| chunk == b"data").unwrap();
    let n_bytes: u32 = 30 * 16_000 * 2;
    let mut filled = wav[..data + 4].to_vec();
    filled.extend(n_bytes.to_le_bytes());
    filled.extend(&wav[data + 8..]);
    filled.resize(data + 8 + n_bytes as usize, 0);
    let riff = (filled.len() - 8) as u32;
    filled[4..8].copy_from_slice(&riff.to_le_bytes());
    filled
}

#[test]
#[ignore = "needs ../shared"]
fn the_same_weights_say_the_same_from_every_format() {
    let outputs = fs::read_to_string(shared("golden/model/micro_outputs.json")).unwrap();
    let outputs: serde_json::Value = serde_json::from_str(&outputs).unwrap();
    let greedy = &outputs["decode"]["greedy_no_timestamps"];
    let flags = flags(&serde_json::json!({
        "max_new_tokens": greedy["options"]["sample_len"], "without_timestamps": true,
        "compression_ratio_threshold": null, "logprob_threshold": null, "no_speech_threshold": null
    }));
    // The reference decoded a window filled up with silence.
    let folder = TempDir::new().unwrap();
    let recording = folder.path().join("jfk-30s.wav");
    fs::write(&recording, filled_up(&fs::read(shared("assets/jfk.wav")).unwrap())).unwrap();
    for file in ["micro.pt", "micro.ggml.bin"] {
        let found = json_of(&shared("golden/model").join(file), &flags, &recording);
        assert_eq!(found["segments"][0]["tokens"], greedy["tokens"], "{file}");
        assert_eq!(words(found["segments"][0]["text"].as_str().unwrap()), greedy["text"], "{file}");
    }
}

#[test]
#[ignore = "needs ../shared"]
fn show_tells_what_a_model_is() {
    let output = boswell(&["models", "show", shared("golden/model/micro.ggml.bin").to_str().unwrap()]);
    assert_code(&output, 0);
    for expected in ["ggml", "English only", "51864 tokens", "1 layers, 16 wide, 2 heads"] {
        assert!(stdout(&output).contains(expected), "{}", stdout(&output));
    }
}

#[test]
#[ignore = "needs ../shared"]
fn odd_recordings_give_a_transcript_or_one_line_of_error() {
    let odd = shared("assets/odd");
    let mut n_files = 0;
    for entry in fs::read_dir(&odd).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.ends_with(".json") || name.ends_with(".py") {
            continue;
        }
        let few = ["--max-new-tokens", "20", "--temperature-increment-on-fallback", "none"];
        let output = boswell(&[&["transcribe", "-q"], &few[..], &[path.to_str().unwrap()]].concat());
        match output.status.code() {
            Some(0) => {}
            Some(1) => {
                let errors = stderr(&output);
                assert!(errors.lines().count() == 1 && errors.contains(&name), "{name}: {errors}");
            }
            code => panic!("{name}: {code:?} {}", stderr(&output)),
        }
        n_files += 1;
    }
    assert!(n_files > 30);
}

#[test]
fn words_have_times_in_every_mode_and_subtitles_follow_them() {
    let (path, text) = sample();
    for mode in [&[][..], &["--beam-size", "5"], &["--batch-size", "4"]] {
        let args = [&["transcribe", "-f", "json", "--word_timestamps", "True", &path], mode].concat();
        let output = boswell(&args);
        assert_code(&output, 0);
        let transcript: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        let segments = transcript["segments"].as_array().unwrap();
        let said: Vec<&serde_json::Value> =
            segments.iter().flat_map(|segment| segment["words"].as_array().unwrap()).collect();
        let joined: String = said.iter().map(|word| word["word"].as_str().unwrap()).collect();
        assert_eq!(words(&joined), text, "{mode:?}");
        let time = |word: &serde_json::Value, which: &str| word[which].as_f64().unwrap();
        assert!(said.iter().all(|word| time(word, "start") <= time(word, "end")), "{said:?}");
        assert!(said.is_sorted_by_key(|word| (time(word, "start") * 100.0) as u64), "{said:?}");
    }
    let args = [
        "transcribe",
        "-f",
        "vtt",
        "--word-timestamps",
        "--highlight-words",
        "--max-words-per-line",
        "1",
        &path,
    ];
    let output = boswell(&args);
    assert_code(&output, 0);
    let first = text.split(' ').next().unwrap();
    assert!(stdout(&output).contains(&format!("<u>{first}</u>")), "{}", stdout(&output));
}

#[test]
#[ignore = "needs ../shared"]
fn spoken_digits_have_the_times_at_which_they_were_put_together() {
    let shared = std::env::var_os("BOSWELL_SHARED").map(PathBuf::from);
    let shared = shared.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"));
    let set = shared.join("digits/sets/test_unseen");
    let manifest = fs::read_to_string(set.join("manifest.jsonl")).unwrap();
    let mut errors_s: Vec<f64> = Vec::new();
    for row in manifest.lines() {
        let row: serde_json::Value = serde_json::from_str(row).unwrap();
        let path = set.join(row["path"].as_str().unwrap());
        let output = boswell(&["transcribe", "-f", "json", "--word-timestamps", path.to_str().unwrap()]);
        assert_code(&output, 0);
        let transcript: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        let segments = transcript["segments"].as_array().unwrap();
        let found: Vec<&serde_json::Value> =
            segments.iter().flat_map(|segment| segment["words"].as_array().unwrap()).collect();
        let expected = row["words"].as_array().unwrap();
        if found.len() == expected.len() {
            for (found, expected) in found.iter().zip(expected) {
                for which in ["start", "end"] {
                    errors_s.push((found[which].as_f64().unwrap() - expected[which].as_f64().unwrap()).abs());
                }
            }
        }
    }
    errors_s.sort_by(f64::total_cmp);
    assert!(errors_s.len() > 100, "{} times to compare", errors_s.len());
    let median_s = errors_s[errors_s.len() / 2];
    assert!(median_s < 0.03, "word times are {median_s} s off in the median");
}

/// A recording of nothing: 16 kHz, one channel, 16 bits.
fn silence(seconds: u32) -> Vec<u8> {
    let n_bytes = seconds * 32_000;
    let mut wav = Vec::new();
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(n_bytes + 36).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt ");
    for (number, n_bytes) in [(16_u32, 4), (1, 2), (1, 2), (16_000, 4), (32_000, 4), (2, 2), (16, 2)] {
        wav.extend_from_slice(&number.to_le_bytes()[..n_bytes]);
    }
    wav.extend_from_slice(b"data");
    wav.extend_from_slice(&n_bytes.to_le_bytes());
    wav.resize(wav.len() + n_bytes as usize, 0);
    wav
}

#[test]
fn with_voice_activity_speech_is_decoded_and_silence_is_not() {
    let (path, text) = sample();
    for flags in [["--vad"].as_slice(), &["--batch-size", "4"], &["--batch_size", "4", "--no-vad"]] {
        let output = boswell(&[&["transcribe", "-f", "txt", &path], flags].concat());
        assert_code(&output, 0);
        assert_eq!(words(&stdout(&output)), text, "{flags:?}");
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("nothing.wav");
    fs::write(&path, silence(120)).unwrap();
    for flags in [["--vad", "True"], ["--batch-size", "4"]] {
        let output =
            boswell(&[&["transcribe", "--verbose", path.to_str().unwrap()], flags.as_slice()].concat());
        assert_code(&output, 0);
        assert!(output.stdout.is_empty(), "{flags:?}");
        assert!(!stderr(&output).contains("window decoded"), "{flags:?}: {}", stderr(&output));
    }
}
