//! Which models there are, and those that are loaded: on demand, until nobody has used them for a while.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use boswell_model::Model;
use tokio::sync::Mutex;

use crate::Error;
use crate::engine::Engine;
use crate::error::{ApiError, chain};

/// Why a model was not loaded.
pub type LoadError = Box<dyn std::error::Error + Send + Sync>;

/// Loads a model by its name.
type Loader = dyn Fn(&str) -> Result<Model, LoadError> + Send + Sync;

/// The models that clients may ask for.
pub struct Catalogue {
    names: Vec<String>,
    aliases: BTreeMap<String, String>,
    loader: Arc<Loader>,
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
    /// - `loader`: loads a model by its name; is called on a thread that may block.
    ///
    /// # Panics
    /// If there are no names.
    pub fn new(
        names: Vec<String>,
        loader: impl Fn(&str) -> Result<Model, LoadError> + Send + Sync + 'static,
    ) -> Self {
        let first = names.first().expect("a catalogue has one model at least");
        let aliases = OPENAI_NAMES.iter().map(|&name| (name.to_owned(), first.clone())).collect();
        Self { names, aliases, loader: Arc::new(loader) }
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
    slots: BTreeMap<String, Arc<Slot>>,
    first: String,
    since: SystemTime,
}

struct Slot {
    name: String,
    loader: Arc<Loader>,
    batch_size: usize,
    engine: Mutex<Option<Arc<Engine>>>,
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
    pub(crate) fn new(catalogue: Catalogue, batch_size: usize) -> Self {
        let Catalogue { names, aliases, loader } = catalogue;
        let first = names[0].clone();
        let slot = |name: String| {
            let (loader, engine) = (loader.clone(), Mutex::new(None));
            (name.clone(), Arc::new(Slot { name, loader, batch_size, engine }))
        };
        Self { aliases, slots: names.into_iter().map(slot).collect(), first, since: SystemTime::now() }
    }

    /// Checks that there is a model that a client calls `name`.
    ///
    /// # Errors
    /// Status 404 if there is none.
    pub(crate) fn check(&self, name: &str) -> Result<(), ApiError> {
        self.slot(name).map(drop)
    }

    fn slot(&self, name: &str) -> Result<&Arc<Slot>, ApiError> {
        let own = self.aliases.get(name).map_or(name, String::as_str);
        self.slots.get(own).ok_or_else(|| ApiError::no_model(name))
    }

    /// The first model of the catalogue.
    pub(crate) fn first(&self) -> &str {
        &self.first
    }

    /// All names that may be asked for.
    pub(crate) fn list(&self) -> Vec<Listed> {
        let created = self.since.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let own = self.slots.keys().map(|id| (id, "boswell"));
        let aliases = self.aliases.keys().map(|id| (id, "alias"));
        own.chain(aliases).map(|(id, owned_by)| Listed { id: id.clone(), created, owned_by }).collect()
    }

    /// Whether all that is needed for `name` is at hand.
    pub(crate) fn is_loaded(&self, name: &str) -> bool {
        let slot = self.slots.get(name);
        // A model that is being loaded is not there yet.
        slot.is_some_and(|slot| slot.engine.try_lock().is_ok_and(|engine| engine.is_some()))
    }

    /// The engine of the model that a client calls `name`; it is loaded if it is not.
    ///
    /// # Errors
    /// Status 404 if there is no such model, 503 if it cannot be loaded, or takes long.
    pub(crate) async fn engine(&self, name: &str) -> Result<Arc<Engine>, ApiError> {
        let slot = self.slot(name)?.clone();
        // A client that leaves does not keep the model from being loaded for the next.
        let loading = tokio::spawn(slot.clone().engine());
        match tokio::time::timeout(PATIENCE, loading).await {
            Ok(Ok(Ok(engine))) => Ok(engine),
            Ok(Ok(Err(error))) => {
                tracing::error!(model = slot.name, "cannot load the model: {}", chain(error.as_ref()));
                Err(ApiError::unavailable(format!("The model '{name}' cannot be loaded."), 60))
            }
            Ok(Err(_)) => Err(ApiError::internal()),
            Err(_) => Err(ApiError::unavailable(format!("The model '{name}' is being loaded."), 10)),
        }
    }

    /// The engines that run.
    pub(crate) fn loaded(&self) -> Vec<Arc<Engine>> {
        self.slots.values().filter_map(|slot| slot.engine.try_lock().ok()?.clone()).collect()
    }

    /// The names of the models, each with the codes of the languages that it knows; English for one that is not loaded.
    pub(crate) fn languages(&self) -> Vec<(&str, Vec<&'static str>)> {
        let codes = |slot: &Slot| {
            let engine = slot.engine.try_lock().ok()?.clone()?;
            let tokenizer = engine.model.tokenizer();
            tokenizer.is_multilingual().then(|| tokenizer.languages().map(|(code, _)| code).collect())
        };
        let languages = |slot: &Slot| codes(slot).unwrap_or_else(|| vec!["en"]);
        self.slots.values().map(|slot| (slot.name.as_str(), languages(slot))).collect()
    }

    /// Unloads models that nobody has used for so long.
    pub(crate) fn unload_idle(&self, ttl: Duration) {
        for slot in self.slots.values() {
            if let Ok(mut engine) = slot.engine.try_lock()
                && let Some(idle) =
                    engine.take_if(|engine| engine.n_recordings() == 0 && engine.last_use().elapsed() >= ttl)
            {
                tracing::info!(model = idle.name, "model unloaded: nobody has used it for a while");
            }
        }
    }
}

impl Slot {
    /// The engine, after the model is loaded.
    async fn engine(self: Arc<Self>) -> Result<Arc<Engine>, LoadError> {
        let mut engine = self.engine.lock().await;
        if let Some(engine) = engine.as_ref() {
            return Ok(engine.clone());
        }
        let (slot, started) = (self.clone(), std::time::Instant::now());
        let load = move || {
            let model = Arc::new((slot.loader)(&slot.name)?);
            Ok::<_, LoadError>(Arc::new(Engine::start(&slot.name, model, slot.batch_size)?))
        };
        let loaded = tokio::task::spawn_blocking(load).await??;
        tracing::info!(model = self.name, elapsed_s = started.elapsed().as_secs_f64(), "model loaded");
        *engine = Some(loaded.clone());
        Ok(loaded)
    }
}
