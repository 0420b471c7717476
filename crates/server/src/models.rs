//! Which models there are, and those that are loaded: on demand, until nobody has used them for a while or others need
//! their room.

mod shelf;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use boswell_model::{Checkpoint, LoadOptions};

use crate::Error;
use crate::engine::Engine;
use crate::error::ApiError;
use shelf::{Refused, Shelf};

/// Why a model was not loaded.
pub type LoadError = Box<dyn std::error::Error + Send + Sync>;

/// Opens a model by its name, and says how it is to be loaded.
type Opener = dyn Fn(&str) -> Result<(Checkpoint, LoadOptions), LoadError> + Send + Sync;

/// The models that clients may ask for.
pub struct Catalogue {
    names: Vec<String>,
    aliases: BTreeMap<String, String>,
    opener: Arc<Opener>,
}

/// OpenAI's models, for which the first of ours stands in unless told otherwise.
const OPENAI_NAMES: [&str; 5] = [
    "whisper-1",
    "gpt-transcribe",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-transcribe-diarize",
];

/// How long a request waits for a model to be loaded.
const PATIENCE: Duration = Duration::from_secs(60);

impl Catalogue {
    /// A catalogue of models.
    ///
    /// - `names`: one at least; the first stands in for OpenAI's.
    /// - `opener`: opens a model by its name, and says how it is to be loaded; is called on a thread that may block.
    ///
    /// # Panics
    /// If there are no names.
    pub fn new(
        names: Vec<String>,
        opener: impl Fn(&str) -> Result<(Checkpoint, LoadOptions), LoadError> + Send + Sync + 'static,
    ) -> Self {
        let first = names.first().expect("a catalogue has one model at least");
        let aliases = OPENAI_NAMES.iter().map(|&name| (name.to_owned(), first.clone())).collect();
        Self { names, aliases, opener: Arc::new(opener) }
    }

    /// Gives a model another name.
    ///
    /// # Errors
    /// [`Error::Setting`] if there is no such model.
    pub fn alias(&mut self, alias: &str, name: &str) -> Result<(), Error> {
        if !self.names.iter().any(|known| known == name) {
            let found = format!("{alias}={name}");
            return Err(Error::Setting {
                name: "an alias",
                found,
                expected: "NAME=MODEL with a model served",
            });
        }
        self.aliases.insert(alias.to_owned(), name.to_owned());
        Ok(())
    }
}

/// The models of a catalogue, loaded or not.
pub(crate) struct Models {
    aliases: BTreeMap<String, String>,
    shelf: Arc<Shelf>,
    first: String,
    since: SystemTime,
}

/// A model as `/v1/models` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) id: String,
    /// Seconds since 1970.
    pub(crate) created: u64,
    /// Whose name it is.
    pub(crate) owned_by: &'static str,
}

impl Models {
    /// Models of which none is loaded.
    ///
    /// - `max_bytes`: most that the weights of all together may take in memory.
    pub(crate) fn new(catalogue: Catalogue, batch_size: usize, max_bytes: Option<u64>) -> Self {
        let Catalogue { names, aliases, opener } = catalogue;
        let first = names[0].clone();
        let shelf = Arc::new(Shelf::new(names, opener, batch_size, max_bytes));
        Self { aliases, shelf, first, since: SystemTime::now() }
    }

    /// Checks that there is a model that a client calls `name`.
    ///
    /// # Errors
    /// Status 404 if there is none.
    pub(crate) fn check(&self, name: &str) -> Result<(), ApiError> {
        self.own_name(name).map(drop)
    }

    /// What the model is called that a client calls `name`.
    fn own_name(&self, name: &str) -> Result<String, ApiError> {
        let alias = self.aliases.get(name).or_else(|| self.aliases.get(undated(name)?));
        let own = alias.map_or(name, String::as_str);
        if self.shelf.has(own) { Ok(own.to_owned()) } else { Err(ApiError::no_model(name)) }
    }

    /// The first model of the catalogue.
    pub(crate) fn first(&self) -> &str {
        &self.first
    }

    /// Most bytes that the weights of all models together may take in memory.
    pub(crate) fn max_bytes(&self) -> Option<u64> {
        self.shelf.max_bytes()
    }

    /// All names that may be asked for.
    pub(crate) fn list(&self) -> Vec<Listed> {
        let created = self.since.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let own = self.shelf.names().map(|id| (id, "boswell"));
        let aliases = self.aliases.keys().map(|id| (id.as_str(), "alias"));
        own.chain(aliases).map(|(id, owned_by)| Listed { id: id.to_owned(), created, owned_by }).collect()
    }

    /// Whether all that is needed for `name` is at hand.
    pub(crate) fn is_loaded(&self, name: &str) -> bool {
        self.own_name(name).is_ok_and(|own| self.shelf.loaded(&own).is_some())
    }

    /// Unloads the model that a client calls `name`. Returns whether it was loaded and nobody used it.
    ///
    /// # Errors
    /// Status 404 if there is no such model.
    pub(crate) fn unload(&self, name: &str) -> Result<bool, ApiError> {
        Ok(self.shelf.unload(&self.own_name(name)?))
    }

    /// The engine of the model that a client calls `name`; it is loaded if it is not.
    ///
    /// # Errors
    /// Status 404 if there is no such model, 503 if it cannot be loaded, finds no room, or takes long.
    pub(crate) async fn engine(&self, name: &str) -> Result<Arc<Engine>, ApiError> {
        let own = self.own_name(name)?;
        // A client that leaves does not keep the model from being loaded for the next.
        let loading = tokio::spawn(self.shelf.clone().engine(own));
        match tokio::time::timeout(PATIENCE, loading).await {
            Ok(Ok(engine)) => engine.map_err(|refused| match refused {
                Refused::CannotLoad => {
                    ApiError::unavailable(format!("The model '{name}' cannot be loaded."), 60)
                }
                Refused::NoRoom => {
                    let message = format!("There is no room for the model '{name}' while others are in use.");
                    ApiError::unavailable(message, 5)
                }
            }),
            Ok(Err(_)) => Err(ApiError::internal()),
            Err(_) => Err(ApiError::unavailable(format!("The model '{name}' is being loaded."), 10)),
        }
    }

    /// The engines that run.
    pub(crate) fn loaded(&self) -> Vec<Arc<Engine>> {
        self.shelf.names().filter_map(|name| self.shelf.loaded(name)).collect()
    }

    /// The names of the models, each with the codes of the languages that it knows; English for one that is not loaded.
    pub(crate) fn languages(&self) -> Vec<(&str, Vec<&'static str>)> {
        let codes = |name: &str| {
            let engine = self.shelf.loaded(name)?;
            let tokenizer = engine.model.tokenizer();
            tokenizer.is_multilingual().then(|| tokenizer.languages().map(|(code, _)| code).collect())
        };
        self.shelf.names().map(|name| (name, codes(name).unwrap_or_else(|| vec!["en"]))).collect()
    }

    /// Unloads models that nobody has used for so long.
    pub(crate) fn unload_idle(&self, ttl: Duration) {
        self.shelf.unload_idle(ttl);
    }
}

/// `gpt-4o-mini-transcribe` of `gpt-4o-mini-transcribe-2025-12-15`: OpenAI's names may end with a date.
fn undated(name: &str) -> Option<&str> {
    let (undated, date) = name.split_at_checked(name.len().checked_sub("-2025-12-15".len())?)?;
    let is_date = date.bytes().zip(*b"-0000-00-00").all(|(byte, like)| match like {
        b'-' => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    is_date.then_some(undated)
}
