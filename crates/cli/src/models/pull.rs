//! Fetching a model: which files, in which order, resumed and checked.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use indicatif::ProgressBar;
use serde::Deserialize;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use ureq::http::StatusCode;

use super::cache::{Cache, CachedRepository};
use super::hub::{Content, Description, Hub, RemoteFile};
use crate::screen::{Screen, human_bytes};

/// The weights in one file.
pub(crate) const WEIGHTS: &str = "model.safetensors";
/// What says in which files the weights are, where they are in several.
pub(crate) const SHARD_INDEX: &str = "model.safetensors.index.json";
/// What else a model may bring: only these are fetched, as far as they are there.
const SMALL_FILES: &[&str] = &[
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "normalizer.json",
];
/// No small file of a model is larger; it is read into memory.
const MAX_INDEX_BYTES: u64 = 16 << 20;
/// How often in a row a transfer may break off without a new byte.
const MAX_FRUITLESS_ATTEMPTS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Fetches `repository` into `cache`, as far as it is not there. Returns the folder with the model.
///
/// A second process that wants the same file waits for it.
///
/// # Errors
/// If the hub does not give the model, the transfer breaks off for good or does not have the right checksum, or the
/// disk cannot take it. What has arrived is kept for the next time.
pub(crate) fn pull(repository: &str, cache: &Cache, screen: &Screen) -> Result<PathBuf> {
    let hub = Hub::from_env()?;
    let place = cache.repository(repository);
    let description = hub.describe(repository)?;
    let transfer = Transfer { hub: &hub, repository, commit: &description.commit, place: &place };
    let (mut wanted, index) = choose(repository, &description)?;
    if let Some(index) = index {
        let path = transfer.file(&transfer.known(&index)?, &ProgressBar::hidden())?;
        let shards = shards(&read_index(&path)?).context("the index of the weights is damaged")?;
        for shard in shards {
            let file = description.files.iter().find(|file| file.name == shard);
            wanted.push(
                file.with_context(|| format!("{repository} lacks `{shard}`, which its index names"))?.clone(),
            );
        }
        wanted.push(index);
    }
    let wanted = wanted.iter().map(|file| transfer.known(file)).collect::<Result<Vec<_>>>()?;
    let total: u64 = wanted.iter().map(|(_, content)| content.bytes).sum();
    tracing::info!("fetching {repository} ({}) from {}", human_bytes(total), hub.endpoint());
    let bar = screen.transfer_bar(total);
    for file in &wanted {
        bar.set_message(file.0.clone());
        transfer.file(file, &bar)?;
    }
    bar.finish_and_clear();
    place.set_commit(&description.commit)?;
    place.model().with_context(|| format!("{repository} is in the cache, but is no whole model"))
}

/// Chooses the files to fetch at once, and the index of the weights if they are in several files.
fn choose(repository: &str, description: &Description) -> Result<(Vec<RemoteFile>, Option<RemoteFile>)> {
    let find = |name: &str| description.files.iter().find(|file| file.name == name).cloned();
    let mut wanted: Vec<RemoteFile> = SMALL_FILES.iter().filter_map(|name| find(name)).collect();
    if find("config.json").is_none() {
        bail!("{repository} has no `config.json`: it is no model that can be used here");
    }
    match (find(WEIGHTS), find(SHARD_INDEX)) {
        (Some(weights), _) => {
            wanted.push(weights);
            Ok((wanted, None))
        }
        (None, Some(index)) => Ok((wanted, Some(index))),
        (None, None) => {
            bail!("{repository} has no `{WEIGHTS}`: only models in safetensors form can be fetched")
        }
    }
}

#[derive(Deserialize)]
struct IndexJson {
    weight_map: serde_json::Map<String, serde_json::Value>,
}

/// The names of the files that an index of weights names, each once.
///
/// # Errors
/// If `index` is not the index of a safetensors model, or a name is not that of a file beside it.
pub(super) fn shards(index: &[u8]) -> Result<Vec<String>> {
    let index: IndexJson = serde_json::from_slice(index)?;
    let mut shards = Vec::new();
    for shard in index.weight_map.values() {
        let shard = shard.as_str().unwrap_or_default();
        if !shard.ends_with(".safetensors") || shard.contains(['/', '\\']) || shard.starts_with('.') {
            bail!("found the file name `{shard}`, expected one such as `model-00001-of-00002.safetensors`");
        }
        shards.push(shard.to_owned());
    }
    shards.sort_unstable();
    shards.dedup();
    Ok(shards)
}

fn read_index(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    file.take(MAX_INDEX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Fetches the files of one commit.
struct Transfer<'a> {
    hub: &'a Hub,
    repository: &'a str,
    commit: &'a str,
    place: &'a CachedRepository,
}

impl Transfer<'_> {
    /// The file's name with what its content must be.
    fn known(&self, file: &RemoteFile) -> Result<(String, Content)> {
        let content = match &file.content {
            Some(content) => content.clone().checked(&file.name)?,
            None => self.hub.content(self.repository, self.commit, &file.name)?,
        };
        Ok((file.name.clone(), content))
    }

    /// Makes sure that a file is in the snapshot. Returns where its content is.
    fn file(&self, (name, content): &(String, Content), bar: &ProgressBar) -> Result<PathBuf> {
        let blob = self.place.blob(&content.etag)?;
        let wait = || tracing::info!("another process fetches `{name}`: waiting for it");
        let _lock = self.place.lock(&content.etag, wait)?;
        if blob.metadata().is_ok_and(|metadata| metadata.len() == content.bytes) {
            bar.inc(content.bytes);
        } else {
            self.fetch(name, content, &blob, bar).with_context(|| format!("cannot fetch `{name}`"))?;
        }
        self.place.link(self.commit, name, &content.etag)?;
        Ok(blob)
    }

    /// Fetches `content` to `blob`, going on where an earlier attempt stopped.
    fn fetch(&self, name: &str, content: &Content, blob: &Path, bar: &ProgressBar) -> Result<()> {
        let partial = blob.with_file_name(format!("{}.incomplete", content.etag));
        let mut download = Download::resume(&partial, content, bar)?;
        let mut fruitless = 0;
        loop {
            let before = download.done;
            match self.receive(name, &mut download) {
                Ok(()) => return download.finish(blob),
                Err(Broken::ForGood(error)) => return Err(error),
                Err(Broken::Off(error)) => {
                    fruitless = if download.done > before { 0 } else { fruitless + 1 };
                    if fruitless == MAX_FRUITLESS_ATTEMPTS {
                        let done = human_bytes(download.done);
                        return Err(
                            error.context(format!("the transfer broke off after {done}, which are kept"))
                        );
                    }
                    tracing::debug!("`{name}` broke off at byte {}: {error:#}", download.done);
                    std::thread::sleep(FIRST_PAUSE * 2_u32.pow(fruitless));
                }
            }
        }
    }

    /// Receives what is missing of a download, in one request.
    fn receive(&self, name: &str, download: &mut Download<'_>) -> Result<(), Broken> {
        if download.done == download.content.bytes {
            return Ok(());
        }
        let mut response =
            self.hub.open(self.repository, self.commit, name, download.done).map_err(Broken::Off)?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {}
            StatusCode::OK if download.done == 0 => {}
            // The server knows no ranges, or the rest is not what we think it is: from the start.
            StatusCode::OK | StatusCode::RANGE_NOT_SATISFIABLE => {
                download.restart().map_err(Broken::ForGood)?;
                if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
                    return Err(Broken::Off(anyhow!(
                        "the server cannot go on where the last transfer stopped"
                    )));
                }
            }
            status if status.is_server_error() => {
                return Err(Broken::Off(anyhow!("the server answered with status {}", status.as_u16())));
            }
            _ => {
                self.hub.check(self.repository, &response).map_err(Broken::ForGood)?;
                return Err(Broken::ForGood(anyhow!(
                    "status {} was not expected",
                    response.status().as_u16()
                )));
            }
        }
        let mut body = response.body_mut().as_reader();
        let mut buffer = vec![0; 1 << 16];
        while download.done < download.content.bytes {
            match body.read(&mut buffer) {
                Ok(0) => return Err(Broken::Off(anyhow!("the server closed the connection"))),
                Ok(n) => {
                    let missing = download.content.bytes - download.done;
                    let n = n.min(usize::try_from(missing).unwrap_or(usize::MAX));
                    download.append(&buffer[..n]).map_err(Broken::ForGood)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Broken::Off(error.into())),
            }
        }
        Ok(())
    }
}

/// Why a transfer stopped.
enum Broken {
    /// The connection: another attempt may succeed.
    Off(anyhow::Error),
    /// Something that another attempt does not change.
    ForGood(anyhow::Error),
}

/// A file that is being fetched, and the checksum of what is there.
struct Download<'a> {
    path: &'a Path,
    file: File,
    content: &'a Content,
    done: u64, // bytes
    checksum: Checksum,
    bar: &'a ProgressBar,
    bar_start: u64, // the bar's position at this file's first byte
}

impl<'a> Download<'a> {
    /// Goes on with the file at `path`, or begins it.
    fn resume(path: &'a Path, content: &'a Content, bar: &'a ProgressBar) -> Result<Self> {
        let at = || format!("cannot write `{}`", path.display());
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).with_context(at)?;
        let (mut done, mut checksum) = (0, Checksum::new(content));
        let mut buffer = vec![0; 1 << 16];
        loop {
            match file.read(&mut buffer).with_context(at)? {
                0 => break,
                n => {
                    checksum.update(&buffer[..n]);
                    done += n as u64;
                }
            }
        }
        let mut download = Self { path, file, content, done, checksum, bar, bar_start: bar.position() };
        if done > content.bytes {
            download.restart()?;
        }
        download.show();
        bar.reset_eta(); // what was there already says nothing about the speed
        Ok(download)
    }

    fn restart(&mut self) -> Result<()> {
        self.file.set_len(0).with_context(|| format!("cannot write `{}`", self.path.display()))?;
        self.done = 0;
        self.checksum = Checksum::new(self.content);
        self.show();
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).with_context(|| format!("cannot write `{}`", self.path.display()))?;
        self.done += bytes.len() as u64;
        self.checksum.update(bytes);
        self.show();
        Ok(())
    }

    fn show(&self) {
        self.bar.set_position(self.bar_start + self.done);
    }

    /// Checks the whole and gives it its name.
    fn finish(self, blob: &Path) -> Result<()> {
        if let Some(found) = self.checksum.finish()
            && !found.eq_ignore_ascii_case(&self.content.etag)
        {
            drop(self.file);
            fs::remove_file(self.path).with_context(|| format!("cannot remove `{}`", self.path.display()))?;
            bail!("its checksum is {found}, expected {}: what arrived is thrown away", self.content.etag);
        }
        self.file
            .sync_all()
            .and_then(|()| fs::rename(self.path, blob))
            .with_context(|| format!("cannot write `{}`", blob.display()))
    }
}

/// The checksum that a file's etag is.
enum Checksum {
    /// Of large files.
    Sha256(Sha256),
    /// Of small ones: git's hash of a blob.
    Git(Sha1),
    /// The etag is something else; the size alone is checked.
    Unknown,
}

impl Checksum {
    fn new(content: &Content) -> Self {
        let is_hex = content.etag.chars().all(|c| c.is_ascii_hexdigit());
        match content.etag.len() {
            64 if is_hex => Self::Sha256(Sha256::new()),
            40 if is_hex => Self::Git(Sha1::new_with_prefix(format!("blob {}\0", content.bytes))),
            _ => Self::Unknown,
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Git(hash) => hash.update(bytes),
            Self::Unknown => {}
        }
    }

    /// The checksum in hex, if it is one that we can compute.
    fn finish(&self) -> Option<String> {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self {
            Self::Sha256(hash) => Some(hex(&hash.clone().finalize())),
            Self::Git(hash) => Some(hex(&hash.clone().finalize())),
            Self::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_git_and_sha256sum() {
        let cases = [
            // printf 'what is up, doc?' | git hash-object --stdin
            ("bd9dbf5aae1a3862dd1526723246b20206e5fc37", "what is up, doc?"),
            // printf abc | sha256sum
            ("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "abc"),
        ];
        for (etag, text) in cases {
            let mut checksum = Checksum::new(&Content { etag: etag.into(), bytes: text.len() as u64 });
            checksum.update(text.as_bytes());
            assert_eq!(checksum.finish().as_deref(), Some(etag));
        }
    }

    #[test]
    fn an_index_may_name_only_files_beside_it() {
        let index =
            |shard: &str| format!(r#"{{"metadata":{{}},"weight_map":{{"a":"{shard}","b":"{shard}"}}}}"#);
        let good = "model-00001-of-00002.safetensors";
        assert_eq!(shards(index(good).as_bytes()).unwrap(), [good]);
        for bad in ["../x.safetensors", "a/b.safetensors", ".x.safetensors", "x.bin", ""] {
            assert!(shards(index(bad).as_bytes()).is_err(), "{bad}");
        }
        assert!(shards(b"{}").is_err());
        assert!(shards(br#"{"weight_map":{"a":1}}"#).is_err());
    }
}
