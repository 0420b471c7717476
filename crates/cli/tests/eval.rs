//! `boswell eval`, from a manifest to figures.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

fn eval(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_boswell"));
    command.arg("eval").args(args).stdin(Stdio::null()).env("HF_HUB_OFFLINE", "1").output().unwrap()
}

#[track_caller]
fn stdout(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A manifest of the recordings that the program ships, one of them with a word too many.
fn manifest(folder: &Path) -> String {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples").canonicalize().unwrap();
    let readme = fs::read_to_string(samples.join("README.md")).unwrap();
    let mut lines = String::new();
    for row in readme.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> =
            row.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let text = if lines.is_empty() { cells[1].to_owned() } else { format!("{} eleven", cells[1]) };
        lines += &serde_json::json!({ "audio": samples.join(cells[0]), "text": text }).to_string();
        lines.push('\n');
    }
    let path = folder.join("manifest.jsonl");
    fs::write(&path, lines).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_model_is_measured_and_what_it_wrote_can_be_scored_again() {
    let folder = TempDir::new().unwrap();
    let (manifest, saved) = (manifest(folder.path()), folder.path().join("found.jsonl"));
    let saved = saved.to_str().unwrap();
    let output = eval(&[&manifest, "--normaliser", "basic", "--diff", "--word-timestamps", "--save", saved]);
    let table = stdout(&output, 0);
    assert!(table.contains("recordings             2\n"), "{table}");
    assert!(table.contains("of 19: 0 sub, 1 del, 0 ins"), "{table}");
    assert!(table.contains("1 of 11 words wrong") && table.contains("eleven"), "{table}");
    assert!(table.contains("x real time"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");

    let output = eval(&[&manifest, "--normaliser", "basic", "--hypotheses", saved, "--json"]);
    let report: Value = serde_json::from_str(&stdout(&output, 0)).unwrap();
    assert_eq!((&report["words"]["deletions"], &report["words"]["reference"]), (&1.into(), &19.into()));
    assert_eq!(report["items"].as_array().unwrap().len(), 2);
    assert_eq!(report["speed"], Value::Null);

    let output = eval(&[&manifest, "--compare", saved, saved, "--normaliser", "basic"]);
    let table = stdout(&output, 0);
    assert!(table.contains("B less A               +0.00 points, 95 % within +0.00 to +0.00"), "{table}");
}

#[test]
fn settings_are_compared() {
    let folder = TempDir::new().unwrap();
    let manifest = manifest(folder.path());
    let line = [&manifest, "--normaliser", "basic", "--limit", "1", "--json", "--compare"];
    let output = eval(&[line.as_slice(), &["digits.en", "--batch-size 2 --beam_size 2"]].concat());
    let result: Value = serde_json::from_str(&stdout(&output, 0)).unwrap();
    assert_eq!(result["comparison"]["recordings"], 1);
    assert_eq!(result["b"]["recordings"], 1);
}

#[test]
fn what_makes_no_sense_is_said() {
    let folder = TempDir::new().unwrap();
    let manifest = manifest(folder.path());
    let missing = folder.path().join("missing.jsonl");
    fs::write(&missing, "{\"audio\": \"no.wav\", \"text\": \"one\"}\n").unwrap();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["no-such-file.jsonl"], 1, "no-such-file.jsonl"),
        (&[folder.path().to_str().unwrap()], 1, "lists no recordings"),
        (&[missing.to_str().unwrap()], 1, "no.wav"),
        (&[&manifest, "--compare", "--no-such-flag", "digits.en"], 2, "--no-such-flag"),
        (&[&manifest, "--compare", "digits.en"], 2, "2 values required"),
        (&[&manifest, "--normaliser", "german"], 2, "english"),
        (&[], 2, "MANIFEST"),
    ];
    for (args, code, expected) in cases {
        let output = eval(args);
        stdout(&output, *code);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(message.contains(expected), "{args:?}: {message}");
    }
}

/// Words that are wrong, and all words, of a manifest as it is transcribed with some flags.
fn word_errors(manifest: &Path, flags: &[&str]) -> (u64, u64) {
    let line = [manifest.to_str().unwrap(), "--normaliser", "basic", "--json"];
    let report: Value = serde_json::from_str(&stdout(&eval(&[&line, flags].concat()), 0)).unwrap();
    let count = |name: &str| report["words"][name].as_u64().unwrap();
    (count("substitutions") + count("deletions") + count("insertions"), count("reference"))
}

/// Recordings of spoken digits that the model was not trained on: long ones, and single words.
fn digits(folder: &Path) -> Vec<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let digits = std::env::var_os("BOSWELL_SHARED").map_or_else(beside, PathBuf::from).join("digits");
    let recordings = fs::read_to_string(digits.join("recordings.jsonl")).unwrap();
    let rows = recordings.lines().map(|row| serde_json::from_str::<Value>(row).unwrap());
    let line = |row: Value| {
        let audio = digits.join(row["path"].as_str().unwrap());
        format!("{}\n", serde_json::json!({ "audio": audio, "text": row["word"] }))
    };
    let single: String = rows.filter(|row| row["split"] != "train").step_by(4).map(line).collect();
    let path = folder.join("single.jsonl");
    fs::write(&path, single).unwrap();
    let sets =
        ["dev", "test_takes", "test_unseen"].map(|set| digits.join("sets").join(set).join("manifest.jsonl"));
    sets.into_iter().chain([path]).collect()
}

/// How many of a hundred words more are wrong with each of several flags than without any.
fn points_worse<const N: usize>(all_flags: [[&str; 2]; N]) -> [f64; N] {
    let folder = TempDir::new().unwrap();
    let manifests = digits(folder.path());
    let errors = |flags: &[&str]| {
        let counts = manifests.iter().map(|manifest| word_errors(manifest, flags));
        counts.fold((0, 0), |(wrong, n_words), (more_wrong, more)| (wrong + more_wrong, n_words + more))
    };
    let (wrong, n_words) = errors(&[]);
    all_flags.map(|flags| (errors(&flags).0 as f64 - wrong as f64) / n_words as f64 * 100.0)
}

#[test]
#[ignore = "needs ../shared"]
fn fewer_bits_and_a_shorter_audio_context_cost_few_words() {
    let flags = [["--precision", "bf16"], ["--precision", "int8"], ["--audio-context", "auto"]];
    for (flags, worse) in flags.iter().zip(points_worse(flags)) {
        assert!(worse <= 0.2, "{flags:?}: {worse:.2} points");
    }
}
