//! Where models are kept in memory, as many as there is room for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use boswell_model::{Checkpoint, LoadOptions, Model};

use super::{LoadError, Opener};
use crate::engine::Engine;
use crate::error::chain;

/// How long it is waited for the models in memory to come to the end of their work.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether they have.
const LOOK: Duration = Duration::from_millis(20);

/// A place for each model.
pub(super) struct Shelf {
    slots: BTreeMap<String, Slot>,
    opener: Arc<Opener>,
    batch_size: usize,
    max_bytes: Option<u64>,
    /// Models are loaded one after the other: two would take each other's room.
    loading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Slot {
    engine: Mutex<Option<Arc<Engine>>>,
    /// A model is fetched and opened once, while others may be loaded.
    opening: tokio::sync::Mutex<()>,
}

/// Why a model is not loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// What is wrong with it is in the log.
    CannotLoad,
    /// Others are in use.
    NoRoom,
}

impl Shelf {
    /// A shelf with nothing on it; see [`Models::new`](super::Models::new).
    pub(super) fn new(
        names: Vec<String>,
        opener: Arc<Opener>,
        batch_size: usize,
        max_bytes: Option<u64>,
    ) -> Self {
        let slots = names.into_iter().map(|name| (name, Slot::default())).collect();
        Self { slots, opener, batch_size, max_bytes, loading: tokio::sync::Mutex::default() }
    }

    /// Most bytes that the weights on it may take.
    pub(super) fn max_bytes(&self) -> Option<u64> {
        self.max_bytes
    }

    /// The names of the models that have a place.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.slots.keys().map(String::as_str)
    }

    /// Whether there is a place for a model.
    pub(super) fn has(&self, name: &str) -> bool {
        self.slots.contains_key(name)
    }

    /// The engine of a model that is loaded.
    pub(super) fn loaded(&self, name: &str) -> Option<Arc<Engine>> {
        self.slots.get(name)?.engine().clone()
    }

    /// The engine of a model, after it is loaded.
    ///
    /// # Panics
    /// If there is no place for the model.
    pub(super) async fn engine(self: Arc<Self>, name: String) -> Result<Arc<Engine>, Refused> {
        let slot = &self.slots[&name];
        if let Some(engine) = slot.engine().clone() {
            return Ok(engine);
        }
        let _opening = slot.opening.lock().await;
        if let Some(engine) = slot.engine().clone() {
            return Ok(engine);
        }
        let cannot = |error: LoadError| {
            tracing::error!(model = name, "cannot load the model: {}", chain(error.as_ref()));
            Refused::CannotLoad
        };
        let (opener, opened) = (self.opener.clone(), name.clone());
        let opened = tokio::task::spawn_blocking(move || opener(&opened)).await;
        let (checkpoint, options) = opened.map_err(|error| cannot(error.into()))?.map_err(cannot)?;
        let _loading = self.loading.lock().await;
        let started = Instant::now();
        let n_bytes = options.weight_bytes(&checkpoint);
        self.make_room(&name, n_bytes).await?;
        let (loaded, batch_size) = (name.clone(), self.batch_size);
        let loaded =
            tokio::task::spawn_blocking(move || load(&loaded, &checkpoint, &options, n_bytes, batch_size));
        let engine = loaded.await.map_err(|error| cannot(error.into()))?.map_err(cannot)?;
        tracing::info!(model = name, elapsed_s = started.elapsed().as_secs_f64(), "model loaded");
        *slot.engine() = Some(engine.clone());
        Ok(engine)
    }

    /// Unloads a model, if it is loaded and nobody uses it. Returns whether it was.
    ///
    /// # Panics
    /// If there is no place for the model.
    pub(super) fn unload(&self, name: &str) -> bool {
        self.slots[name].take_if(|_| true).is_some()
    }

    /// Unloads models that nobody has used for so long.
    pub(super) fn unload_idle(&self, ttl: Duration) {
        for slot in self.slots.values() {
            if let Some(idle) = slot.take_if(|engine| engine.last_use().elapsed() >= ttl) {
                tracing::info!(model = idle.name, "model unloaded: nobody has used it for a while");
            }
        }
    }

    /// Unloads what was used least lately until so many bytes more fit.
    async fn make_room(&self, name: &str, n_bytes: u64) -> Result<(), Refused> {
        let Some(max_bytes) = self.max_bytes else { return Ok(()) };
        if n_bytes > max_bytes {
            tracing::error!(
                model = name,
                "cannot load the model: its weights take {n_bytes} bytes, and all may take {max_bytes}"
            );
            return Err(Refused::CannotLoad);
        }
        let began = Instant::now();
        while self.n_bytes() + n_bytes > max_bytes {
            match self.unload_oldest() {
                Some(model) => gone(&model).await,
                None if began.elapsed() < PATIENCE => tokio::time::sleep(LOOK).await,
                None => return Err(Refused::NoRoom),
            }
        }
        Ok(())
    }

    /// What the weights of the models that are loaded take in memory.
    fn n_bytes(&self) -> u64 {
        self.slots.values().filter_map(|slot| slot.engine().as_ref().map(|engine| engine.n_bytes)).sum()
    }

    /// Unloads the model that nobody uses for the longest time; `None` if all are in use.
    fn unload_oldest(&self) -> Option<Weak<Model>> {
        let mut by_use: Vec<(Instant, &Slot)> = Vec::new();
        for slot in self.slots.values() {
            by_use.extend(slot.engine().as_ref().map(|engine| (engine.last_use(), slot)));
        }
        by_use.sort_by_key(|(last_use, _)| *last_use);
        let engine = by_use.into_iter().find_map(|(_, slot)| slot.take_if(|_| true))?;
        tracing::info!(model = engine.name, "model unloaded: another needs its room");
        Some(Arc::downgrade(&engine.model))
    }
}

impl Slot {
    fn engine(&self) -> std::sync::MutexGuard<'_, Option<Arc<Engine>>> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes away an engine that nobody uses, if it is one to be taken.
    fn take_if(&self, is_one: impl FnOnce(&Engine) -> bool) -> Option<Arc<Engine>> {
        let mut engine = self.engine();
        // Whoever reads a recording has the engine already, and no recording in it.
        let is_idle = |engine: &Arc<Engine>| Arc::strong_count(engine) == 1 && engine.n_recordings() == 0;
        engine.take_if(|engine| is_idle(engine) && is_one(engine))
    }
}

fn load(
    name: &str,
    checkpoint: &Checkpoint,
    options: &LoadOptions,
    n_bytes: u64,
    batch_size: usize,
) -> Result<Arc<Engine>, LoadError> {
    let model = Arc::new(Model::new(checkpoint, options)?);
    Ok(Arc::new(Engine::start(name, model, n_bytes, batch_size)?))
}

/// Waits until a model's memory is free: its engine's thread has it a moment longer.
async fn gone(model: &Weak<Model>) {
    let began = Instant::now();
    while model.strong_count() > 0 && began.elapsed() < PATIENCE {
        tokio::time::sleep(LOOK).await;
    }
}
