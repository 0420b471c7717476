//! The Hugging Face cache on this machine: the same folders that other programs use.
//!
//! ```text
//! hub/models--openai--whisper-base/
//! ├── blobs/<etag>                        the content; <etag>.incomplete while it is fetched
//! ├── refs/main                           the commit that `main` was at
//! └── snapshots/<commit>/config.json      a link to ../../blobs/<etag>
//! ```

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The revision that is fetched and looked for.
pub(crate) const REVISION: &str = "main";

/// The folder that holds all repositories.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The cache that the environment names, as the hub's own programs find it: `HF_HUB_CACHE`, `HF_HOME`,
    /// `XDG_CACHE_HOME`, or `~/.cache/huggingface/hub`.
    ///
    /// # Errors
    /// If none of these and no home folder is known.
    pub(crate) fn from_env() -> Result<Self> {
        for name in ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"] {
            if let Some(root) = env_path(name) {
                return Ok(Self { root });
            }
        }
        Ok(Self { root: hf_home()?.join("hub") })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The place of `repository` (`organisation/name`), there or not.
    pub(crate) fn repository(&self, repository: &str) -> CachedRepository {
        let folder = format!("models--{}", repository.replace('/', "--"));
        CachedRepository { locks: self.root.join(".locks").join(&folder), root: self.root.join(folder) }
    }

    /// All repositories of models that have a folder here, as `organisation/name`, sorted.
    pub(crate) fn repositories(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.root) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut repositories: Vec<String> =
            names.filter_map(|name| Some(name.strip_prefix("models--")?.replacen("--", "/", 1))).collect();
        repositories.sort_unstable();
        repositories
    }
}

/// `HF_HOME`, or where it is by default.
///
/// # Errors
/// If it is not set and no home folder is known.
pub(crate) fn hf_home() -> Result<PathBuf> {
    if let Some(home) = env_path("HF_HOME") {
        return Ok(home);
    }
    let caches = match env_path("XDG_CACHE_HOME") {
        Some(caches) => caches,
        None => std::env::home_dir().context("no home folder is known: set HF_HOME")?.join(".cache"),
    };
    Ok(caches.join("huggingface"))
}

/// The path in the environment variable `name`, with a leading `~` opened; `None` if unset or empty.
fn env_path(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os(name).filter(|value| !value.is_empty())?);
    match path.strip_prefix("~") {
        Ok(rest) => Some(std::env::home_dir()?.join(rest)),
        Err(_) => Some(path),
    }
}

/// One repository's folder in the cache.
#[derive(Debug)]
pub(crate) struct CachedRepository {
    root: PathBuf,
    locks: PathBuf,
}

impl CachedRepository {
    /// The folder of the revision that was last fetched, if it holds a whole model.
    pub(crate) fn model(&self) -> Option<PathBuf> {
        let commit = fs::read_to_string(self.root.join("refs").join(REVISION)).ok()?;
        let snapshot = self.root.join("snapshots").join(commit.trim());
        is_whole(&snapshot).then_some(snapshot)
    }

    /// Whether what is here calls itself a Whisper model.
    pub(crate) fn is_whisper(&self) -> bool {
        let config = self.model().and_then(|folder| fs::read(folder.join("config.json")).ok());
        let config = config.and_then(|json| serde_json::from_slice::<serde_json::Value>(&json).ok());
        config.is_some_and(|config| config["model_type"] == "whisper")
    }

    pub(crate) fn exists(&self) -> bool {
        self.root.is_dir()
    }

    /// The bytes that the repository takes on disk; links count once.
    pub(crate) fn bytes_on_disk(&self) -> u64 {
        bytes_below(&self.root)
    }

    /// Waits until no other process fetches the content called `etag`, and keeps others out until the file is dropped.
    /// The hub's own programs lock the same file in the same way.
    ///
    /// `on_wait` is called if somebody else has it.
    ///
    /// # Errors
    /// If the lock file cannot be made.
    pub(crate) fn lock(&self, etag: &str, on_wait: impl FnOnce()) -> Result<File> {
        let path = self.locks.join(format!("{etag}.lock"));
        let make = || -> std::io::Result<File> {
            fs::create_dir_all(&self.locks)?;
            let file = File::create(&path)?;
            if file.try_lock().is_err() {
                on_wait();
                file.lock()?;
            }
            Ok(file)
        };
        make().with_context(|| format!("cannot lock the cache with `{}`", path.display()))
    }

    /// Where the content called `etag` is, or will be. Its folder is made.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub(crate) fn blob(&self, etag: &str) -> Result<PathBuf> {
        let blobs = self.root.join("blobs");
        fs::create_dir_all(&blobs)
            .with_context(|| format!("cannot make the folder `{}`", blobs.display()))?;
        Ok(blobs.join(etag))
    }

    /// Makes the content called `etag` appear as `file` in the snapshot `commit`.
    ///
    /// # Errors
    /// If it cannot be linked.
    pub(crate) fn link(&self, commit: &str, file: &str, etag: &str) -> Result<()> {
        let snapshot = self.root.join("snapshots").join(commit);
        let link = snapshot.join(file);
        let make = || -> std::io::Result<()> {
            fs::create_dir_all(&snapshot)?;
            // Another process may look at the link at any time: it is replaced in one step.
            let new = temporary(&link);
            make_link(&self.root, etag, &new)?;
            fs::rename(&new, &link)
        };
        make().with_context(|| format!("cannot make `{}`", link.display()))
    }

    /// Notes that the revision is at `commit`, now that all its files are here.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn set_commit(&self, commit: &str) -> Result<()> {
        let path = self.root.join("refs").join(REVISION);
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(self.root.join("refs"))?;
            let new = temporary(&path);
            fs::write(&new, commit)?;
            fs::rename(&new, &path)
        };
        write().with_context(|| format!("cannot write `{}`", path.display()))
    }

    /// Removes the repository. Returns the bytes that this freed.
    ///
    /// # Errors
    /// If something of it cannot be removed.
    pub(crate) fn remove(&self) -> Result<u64> {
        let bytes = self.bytes_on_disk();
        fs::remove_dir_all(&self.root).with_context(|| format!("cannot remove `{}`", self.root.display()))?;
        Ok(bytes)
    }
}

/// A name beside `path` that no other process uses.
fn temporary(path: &Path) -> PathBuf {
    path.with_added_extension(format!("{}.new", std::process::id()))
}

/// A link that stays right when the cache is moved.
#[cfg(unix)]
fn make_link(_root: &Path, etag: &str, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(Path::new("../../blobs").join(etag), link)
}

/// Symbolic links need a privilege here, so the same file gets a second name.
#[cfg(not(unix))]
fn make_link(root: &Path, etag: &str, link: &Path) -> std::io::Result<()> {
    fs::hard_link(root.join("blobs").join(etag), link)
}

/// Whether `folder` has a configuration and all weights.
fn is_whole(folder: &Path) -> bool {
    let is_file = |name: &str| folder.join(name).is_file();
    let shards_are_here = || {
        let index = fs::read(folder.join(super::pull::SHARD_INDEX)).ok()?;
        Some(super::pull::shards(&index).ok()?.iter().all(|shard| is_file(shard)))
    };
    is_file("config.json") && (is_file(super::pull::WEIGHTS) || shards_are_here().unwrap_or(false))
}

fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let bytes_of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) if metadata.is_file() => metadata.len(),
        _ => 0,
    };
    entries.flatten().map(bytes_of).sum()
}
