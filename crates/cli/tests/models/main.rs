//! `boswell models` against a server that speaks the hub's protocol.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use server::{COMMIT, REPOSITORY, Server, git_hash, sha256};
use tempfile::TempDir;

const CONFIG: &[u8] = br#"{"model_type": "whisper"}"#;
/// Stands for weights; large enough not to come in one piece.
fn weights() -> Vec<u8> {
    (0..300_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn model_server() -> Server {
    Server::start(&[
        ("config.json", CONFIG),
        ("vocab.json", b"{}"),
        ("model.safetensors", &weights()),
        ("README.md", b"not needed"),
        ("pytorch_model.bin", b"not needed"),
        ("flax_model.msgpack", b"not needed"),
    ])
}

/// A user with an empty cache.
struct User {
    home: TempDir,
    endpoint: String,
}

impl User {
    fn of(server: &Server) -> Self {
        Self { home: TempDir::new().unwrap(), endpoint: server.endpoint() }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_boswell"));
        let kept = std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().contains("HF_"));
        let kept = kept.filter(|(name, _)| !name.to_string_lossy().to_lowercase().ends_with("_proxy"));
        command.env_clear().envs(kept).env("HF_HOME", self.home.path()).env("HF_ENDPOINT", &self.endpoint);
        command.args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs what must succeed. Returns standard output.
    fn succeed(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs what must fail with exit code 1. Returns standard error.
    fn fail(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", stderr(&output));
        stderr(&output)
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("hub/models--someone--whisper-test")
    }

    fn blobs(&self) -> Vec<String> {
        names(&self.folder().join("blobs"))
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn pull_fills_the_standard_cache_with_what_is_needed() {
    let server = model_server();
    let user = User::of(&server);
    let printed = user.succeed(&["models", "pull", REPOSITORY]);
    let snapshot = user.folder().join("snapshots").join(COMMIT);
    assert_eq!(printed.trim(), snapshot.to_str().unwrap());
    assert_eq!(names(&snapshot), ["config.json", "model.safetensors", "vocab.json"]);
    assert_eq!(fs::read(snapshot.join("model.safetensors")).unwrap(), weights());
    assert_eq!(fs::read_to_string(user.folder().join("refs/main")).unwrap(), COMMIT);
    let mut blobs = vec![sha256(&weights()), git_hash(CONFIG), git_hash(b"{}")];
    blobs.sort();
    assert_eq!(user.blobs(), blobs);
    #[cfg(unix)]
    assert_eq!(
        fs::read_link(snapshot.join("config.json")).unwrap(),
        Path::new("../../blobs").join(git_hash(CONFIG))
    );

    // A second time nothing is transferred.
    server.state().requests.clear();
    user.succeed(&["models", "pull", REPOSITORY]);
    assert_eq!(server.requests("resolve").len(), 0);
}

#[test]
fn list_and_rm_know_what_is_here() {
    let server = model_server();
    let user = User::of(&server);
    let before = user.succeed(&["models", "list"]);
    assert!(before.contains("digits.en") && before.contains("openai/whisper-large-v3-turbo"));
    assert!(!before.contains(REPOSITORY));
    assert!(before.lines().all(|line| line.chars().count() <= 80), "{before}");

    user.succeed(&["models", "pull", REPOSITORY]);
    let line = |list: &str| list.lines().find(|line| line.contains(REPOSITORY)).map(str::to_owned);
    let listed = line(&user.succeed(&["models", "list"])).unwrap();
    assert!(listed.contains("1.2 MB") && listed.contains("yes"), "{listed}");

    let removed = user.run(&["models", "rm", REPOSITORY]);
    assert!(removed.status.success());
    assert!(stderr(&removed).contains("1.2 MB freed"), "{}", stderr(&removed));
    assert!(!user.folder().exists());
    assert_eq!(line(&user.succeed(&["models", "list"])), None);
    assert!(user.fail(&["models", "rm", REPOSITORY]).contains("is not on this machine"));
    assert!(user.fail(&["models", "rm", "digits.en"]).contains("cannot be removed"));
}

#[test]
fn a_wrong_checksum_is_found_and_nothing_of_it_stays() {
    let server = model_server();
    let user = User::of(&server);
    server.state().is_corrupt = true;
    let message = user.fail(&["models", "pull", REPOSITORY]);
    assert!(message.contains("`model.safetensors`") && message.contains("checksum"), "{message}");
    assert!(message.contains(&sha256(&weights())), "{message}");
    assert!(!user.blobs().iter().any(|name| name.contains(&sha256(&weights()))));
    assert!(!user.folder().join("refs/main").exists());
    assert!(user.fail(&["models", "pull", "--offline", REPOSITORY]).contains("only partly"));

    server.state().is_corrupt = false;
    user.succeed(&["models", "pull", REPOSITORY]);
}

#[test]
fn a_transfer_that_breaks_off_goes_on_where_it_stopped() {
    let server = model_server();
    let user = User::of(&server);
    server.state().n_cut_off = 2;
    user.succeed(&["models", "pull", REPOSITORY]);
    let ranges: Vec<_> = server.requests("/cdn/").into_iter().map(|request| request.range).collect();
    assert_eq!(ranges, [None, Some("bytes=600000-".into()), Some("bytes=900000-".into())]);
}

#[test]
fn a_later_pull_goes_on_where_an_earlier_one_gave_up() {
    let server = model_server();
    let user = User::of(&server);
    let blobs = user.folder().join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join(format!("{}.incomplete", sha256(&weights()))), &weights()[..1_000_000]).unwrap();
    user.succeed(&["models", "pull", REPOSITORY]);
    let ranges: Vec<_> = server.requests("/cdn/").into_iter().map(|request| request.range).collect();
    assert_eq!(ranges, [Some("bytes=1000000-".into())]);
}

#[test]
fn a_connection_that_never_lasts_is_given_up_and_the_bytes_are_kept() {
    let server =
        Server::start(&[("config.json", CONFIG), ("model.safetensors", &[1, 2, 3, 4, 5, 6, 7, 8, 9])]);
    let user = User::of(&server);
    server.state().n_cut_off = usize::MAX;
    let message = user.fail(&["models", "pull", REPOSITORY]);
    assert!(message.contains("broke off after 8 bytes, which are kept"), "{message}");
    assert!(user.blobs().iter().any(|name| name.ends_with(".incomplete")));
    server.state().n_cut_off = 0;
    user.succeed(&["models", "pull", REPOSITORY]);
}

#[test]
fn a_server_without_ranges_is_asked_from_the_start() {
    let server = model_server();
    let user = User::of(&server);
    server.state().n_cut_off = 1;
    server.state().ignores_ranges = true;
    user.succeed(&["models", "pull", REPOSITORY]);
    let snapshot = user.folder().join("snapshots").join(COMMIT);
    assert_eq!(fs::read(snapshot.join("model.safetensors")).unwrap(), weights());
}

#[test]
fn what_lies_there_too_long_or_wrong_is_replaced() {
    for leftover in [[weights(), vec![0; 10]].concat(), vec![9; 100]] {
        let server = model_server();
        let user = User::of(&server);
        let blobs = user.folder().join("blobs");
        fs::create_dir_all(&blobs).unwrap();
        fs::write(blobs.join(format!("{}.incomplete", sha256(&weights()))), &leftover).unwrap();
        if leftover.len() < weights().len() {
            assert!(user.fail(&["models", "pull", REPOSITORY]).contains("checksum"));
        }
        user.succeed(&["models", "pull", REPOSITORY]);
    }
}

#[test]
fn weights_in_several_files_are_fetched_by_their_index() {
    let (first, second) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
    let index =
        format!(r#"{{"metadata": {{}}, "weight_map": {{"a": "{first}", "b": "{second}", "c": "{first}"}}}}"#);
    let index_name = "model.safetensors.index.json";
    let server = Server::start(&[
        ("config.json", CONFIG),
        (index_name, index.as_bytes()),
        (first, b"first weights"),
        (second, b"second weights"),
        ("other-00001-of-00001.safetensors", b"not needed"),
    ]);
    let user = User::of(&server);
    user.succeed(&["models", "pull", REPOSITORY]);
    let snapshot = user.folder().join("snapshots").join(COMMIT);
    assert_eq!(names(&snapshot), ["config.json", first, second, index_name]);
    assert_eq!(fs::read(snapshot.join(second)).unwrap(), b"second weights");

    fs::remove_file(snapshot.join(first)).unwrap();
    assert!(user.fail(&["models", "pull", "--offline", REPOSITORY]).contains("only partly"));
}

#[test]
fn the_token_goes_to_the_hub_and_to_nobody_else() {
    let server = model_server();
    let user = User::of(&server);
    let output = user.command(&["models", "pull", REPOSITORY]).env("HF_TOKEN", "secret").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let requests = server.state().requests.clone();
    let (hub, elsewhere): (Vec<_>, Vec<_>) = requests.iter().partition(|r| r.host.starts_with("127.0.0.1"));
    assert!(!hub.is_empty() && hub.iter().all(|r| r.authorization.as_deref() == Some("Bearer secret")));
    assert!(!elsewhere.is_empty() && elsewhere.iter().all(|r| r.authorization.is_none()));
}

#[test]
fn the_token_of_a_login_is_used() {
    let server = model_server();
    let user = User::of(&server);
    fs::write(user.home.path().join("token"), "stored\n").unwrap();
    user.succeed(&["models", "pull", REPOSITORY]);
    assert_eq!(server.requests("/api/")[0].authorization.as_deref(), Some("Bearer stored"));
}

#[test]
fn refusals_are_explained() {
    let cases = [
        (401, "RepoNotFound", "has no model someone/whisper-test"),
        (404, "", "has no model someone/whisper-test"),
        (401, "", "set HF_TOKEN"),
        (403, "GatedRepo", "asks for consent"),
        (429, "", "too many requests"),
        (500, "", "status 500"),
    ];
    for (status, code, expected) in cases {
        let server = model_server();
        server.state().refusal = Some((status, code));
        let message = User::of(&server).fail(&["models", "pull", REPOSITORY]);
        assert!(message.contains(expected), "{status} {code}: {message}");
        assert_eq!(message.trim().lines().count(), 1, "{message}");
    }
}

#[test]
fn offline_asks_nobody() {
    let server = model_server();
    let user = User::of(&server);
    assert!(user.fail(&["models", "pull", "--offline", REPOSITORY]).contains("the network is switched off"));
    let output = user.command(&["models", "pull", REPOSITORY]).env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = user.fail(&["transcribe", "--offline", "--model", REPOSITORY, "Cargo.toml"]);
    assert!(message.contains("the network is switched off"), "{message}");
    assert_eq!(server.requests("").len(), 0);

    user.succeed(&["models", "pull", REPOSITORY]);
    server.state().requests.clear();
    user.succeed(&["models", "pull", "--offline", REPOSITORY]);
    assert_eq!(server.requests("").len(), 0);
}

#[test]
fn a_terse_hub_is_asked_for_each_file() {
    let server = model_server();
    let user = User::of(&server);
    server.state().is_terse = true;
    user.succeed(&["models", "pull", REPOSITORY]);
    assert!(user.blobs().contains(&sha256(&weights())) && user.blobs().contains(&git_hash(CONFIG)));
    assert!(server.requests("").iter().any(|request| request.method == "HEAD"));
}

#[test]
fn two_pulls_at_once_share_the_work() {
    let server = model_server();
    let user = User::of(&server);
    let spawn = || user.command(&["-q", "models", "pull", REPOSITORY]).stdout(Stdio::null()).spawn().unwrap();
    let (mut one, mut other) = (spawn(), spawn());
    assert!(one.wait().unwrap().success() && other.wait().unwrap().success());
    assert_eq!(server.requests("/cdn/").len(), 1);
}

#[test]
fn a_hub_that_is_not_there_is_said_so() {
    let server = model_server();
    let user = User { home: TempDir::new().unwrap(), endpoint: "http://127.0.0.1:9".into() };
    assert!(user.fail(&["models", "pull", REPOSITORY]).contains("cannot reach http://127.0.0.1:9"));
    let user = User { home: TempDir::new().unwrap(), endpoint: "nonsense".into() };
    assert!(user.fail(&["models", "pull", REPOSITORY]).contains("HF_ENDPOINT is `nonsense`"));
    assert_eq!(server.requests("").len(), 0);
}

#[test]
fn a_repository_without_usable_weights_is_refused() {
    type Files<'a> = &'a [(&'a str, &'a [u8])];
    let cases: &[(Files<'_>, &str)] = &[
        (&[("config.json", CONFIG), ("pytorch_model.bin", b"x")], "no `model.safetensors`"),
        (&[("ggml-base.bin", b"x")], "no `config.json`"),
        (
            &[
                ("config.json", CONFIG),
                ("model.safetensors.index.json", br#"{"weight_map": {"a": "../x.safetensors"}}"#),
            ],
            "../x.safetensors",
        ),
        (
            &[
                ("config.json", CONFIG),
                ("model.safetensors.index.json", br#"{"weight_map": {"a": "x.safetensors"}}"#),
            ],
            "lacks `x.safetensors`",
        ),
    ];
    for (files, expected) in cases {
        let server = Server::start(files);
        let message = User::of(&server).fail(&["models", "pull", REPOSITORY]);
        assert!(message.contains(expected), "{message}");
    }
}
