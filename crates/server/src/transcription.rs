//! A recording on its way through the server: read, turned into features, handed to the engine, answered.

use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use boswell_audio::{AudioReader, Spectrogram, SpectrogramOptions, VadOptions};
use boswell_transcribe::{AudioContext, Event, Options, Recording, Segment, Stages, Transcript, Urgency};
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument;

use crate::engine::Engine;
use crate::error::ApiError;
use crate::form::Upload;
use crate::metrics::Work;
use crate::state::State;

/// The shortest recording that anything can be said in.
const MIN_AUDIO_S: f64 = 0.1;

/// A recording that the engine has. Whoever drops it makes the engine let go of it within a step.
pub(crate) struct Transcription {
    found: mpsc::UnboundedReceiver<Found>,
    end: oneshot::Receiver<End>,
    state: Arc<State>,
    engine: Arc<Engine>,
    duration_s: f64,
    read: Duration,
    arrived: Instant,
    deadline: Instant,
    stop: StopOnDrop,
}

/// What is told while a recording is transcribed.
#[derive(Debug)]
pub(crate) enum Found {
    /// The language is known.
    Language {
        code: String,
        /// How probable it is, if it was detected.
        probability: Option<f32>,
    },
    Segment(Segment),
    /// Seconds of the recording that are behind, and all.
    Progress {
        done_s: f64,
        total_s: f64,
    },
}

/// A transcription that came to its end.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) transcript: Transcript,
    /// Length of the recording.
    pub(crate) duration_s: f64,
}

/// When a recording arrived, and how long it was read.
#[derive(Debug, Clone, Copy)]
struct Clock {
    arrived: Instant,
    read: Duration,
}

/// Asks for an end when it is dropped.
struct StopOnDrop {
    flag: Arc<AtomicBool>,
    state: Arc<State>,
    is_done: bool,
}

impl Transcription {
    /// Reads a recording and hands it to the engine of `model`.
    ///
    /// # Errors
    /// If there is no such model, or the recording cannot be read, is too short or too long.
    pub(crate) async fn begin(
        state: Arc<State>,
        upload: Upload,
        model: &str,
        options: Options,
        urgency: Urgency,
    ) -> Result<Self, ApiError> {
        let arrived = Instant::now();
        let engine = state.models.engine(model).await?;
        let mut stop = StopOnDrop::new(state.clone());
        let listening = SpectrogramOptions { voice_activity: options.vad.is_some(), ..Default::default() };
        let n_mels = engine.model.dims().n_mels;
        let (spectrogram, read) = read(upload, n_mels, listening, urgency, &mut stop).await?;
        Ok(Self::submit(state, engine, spectrogram, options, urgency, Clock { arrived, read }, stop))
    }

    /// Hands what was just spoken to the engine of `model`.
    ///
    /// - `waveform`: mono, 16 kHz.
    ///
    /// # Errors
    /// If there is no such model, or the disk is full.
    pub(crate) async fn live(
        state: Arc<State>,
        waveform: Vec<f32>,
        model: &str,
        options: Options,
    ) -> Result<Self, ApiError> {
        let arrived = Instant::now();
        let engine = state.models.engine(model).await?;
        let stop = StopOnDrop::new(state.clone());
        let n_mels = engine.model.dims().n_mels;
        let readers = state.readers.of(Urgency::Live);
        let computed = readers.run(move || Spectrogram::from_waveform(&waveform, n_mels)).await;
        let spectrogram = computed.ok_or_else(ApiError::internal)??;
        let clock = Clock { arrived, read: arrived.elapsed() };
        Ok(Self::submit(state, engine, spectrogram, options, Urgency::Live, clock, stop))
    }

    fn submit(
        state: Arc<State>,
        engine: Arc<Engine>,
        spectrogram: Spectrogram,
        mut options: Options,
        urgency: Urgency,
        Clock { arrived, read }: Clock,
        stop: StopOnDrop,
    ) -> Self {
        // What a request does not say.
        if options.audio_context == AudioContext::Full {
            options.audio_context = state.settings.audio_context;
        }
        let duration_s = spectrogram.duration_s();
        let (recording, found, end) = recording(spectrogram, options, urgency, stop.flag.clone());
        engine.submit(recording);
        let deadline = arrived + deadline(&state, urgency, duration_s);
        Self { found, end, state, engine, duration_s, read, arrived, deadline, stop }
    }

    /// Whether the engine has more to do than it does at once.
    pub(crate) fn is_crowded(&self) -> bool {
        self.engine.is_crowded()
    }

    /// What is found next, as soon as it is; `None` after the last segment.
    ///
    /// # Errors
    /// If the work takes too long.
    pub(crate) async fn next(&mut self) -> Result<Option<Found>, ApiError> {
        let found = tokio::time::timeout_at(self.deadline.into(), self.found.recv()).await;
        found.map_err(|_| self.too_late())
    }

    /// Waits for the transcript. Segments that were not taken are in it too.
    ///
    /// # Errors
    /// If the model cannot do what was asked, the engine broke, or the work took too long.
    pub(crate) async fn finish(mut self) -> Result<Done, ApiError> {
        let end = tokio::time::timeout_at(self.deadline.into(), &mut self.end);
        let end = end.instrument(tracing::info_span!("transcribe")).await;
        self.stop.is_done = true;
        let end = end.map_err(|_| self.too_late())?;
        let (transcript, stages) = end.map_err(|_| ApiError::internal())??;
        let work = Work { audio_s: self.duration_s, read: self.read, stages, wall: self.arrived.elapsed() };
        self.state.metrics.transcribed(&self.engine.name, &work);
        tracing::debug!(model = self.engine.name, ?work, "transcribed");
        Ok(Done { transcript, duration_s: self.duration_s })
    }

    fn too_late(&self) -> ApiError {
        ApiError::deadline((self.deadline - self.arrived).as_secs())
    }
}

/// Where somebody speaks in a recording, in samples of 16 kHz.
///
/// # Errors
/// If the recording cannot be read, is too short or too long.
pub(crate) async fn speech(
    state: Arc<State>,
    upload: Upload,
    options: &VadOptions,
) -> Result<Vec<Range<u64>>, ApiError> {
    const N_MELS: usize = 80; // nobody looks at them
    let mut stop = StopOnDrop::new(state);
    let listening = SpectrogramOptions { voice_activity: true, ..Default::default() };
    let (spectrogram, _) = read(upload, N_MELS, listening, Urgency::Waiting, &mut stop).await?;
    stop.is_done = true;
    Ok(spectrogram.speech(options).expect("it was listened for speech"))
}

/// Reads a recording to its end, on a thread for recordings of such an urgency. Returns how long that took, too.
async fn read(
    upload: Upload,
    n_mels: usize,
    options: SpectrogramOptions,
    urgency: Urgency,
    stop: &mut StopOnDrop,
) -> Result<(Spectrogram, Duration), ApiError> {
    let (max_s, flag) = (stop.state.settings.max_audio.as_secs_f64(), stop.flag.clone());
    let reading = stop.state.readers.of(urgency).run(move || {
        let began = Instant::now();
        let read = spectrogram(upload, n_mels, &options, max_s, &flag);
        read.map(|spectrogram| (spectrogram, began.elapsed()))
    });
    let read = reading.instrument(tracing::info_span!("read")).await;
    let read = read.unwrap_or_else(|| Err(ApiError::internal()));
    stop.is_done = read.is_err();
    read
}

/// How long the work may take.
fn deadline(state: &State, urgency: Urgency, duration_s: f64) -> Duration {
    /// Nobody waits: what takes long is done all the same.
    const PATIENT: Duration = Duration::from_secs(30 * 24 * 3600);
    if urgency == Urgency::Background { PATIENT } else { state.settings.deadline_of(duration_s) }
}

type End = Result<(Transcript, Stages), boswell_transcribe::Error>;

/// A recording for the engine, and where what is found in it and its transcript come out.
fn recording(
    spectrogram: Spectrogram,
    options: Options,
    urgency: Urgency,
    stop: Arc<AtomicBool>,
) -> (Recording, mpsc::UnboundedReceiver<Found>, oneshot::Receiver<End>) {
    let (tell, found) = mpsc::unbounded_channel();
    let (ended, end) = oneshot::channel();
    // Both closures are called by the engine's thread alone.
    let stages = Arc::new(Mutex::new(Stages::default()));
    let spent = stages.clone();
    let recording = Recording {
        spectrogram,
        options,
        urgency,
        on_event: Box::new(move |event| {
            match event {
                // Nobody may listen, or not any more.
                Event::Segment(segment) => drop(tell.send(Found::Segment(segment.clone()))),
                Event::Progress { done_s, total_s } => drop(tell.send(Found::Progress { done_s, total_s })),
                Event::End(end) => {
                    *stages.lock().unwrap_or_else(PoisonError::into_inner) = end;
                }
                Event::Language { code, probability } => {
                    drop(tell.send(Found::Language { code: code.to_owned(), probability }));
                }
                Event::Step => {}
            }
            if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }),
        on_end: Box::new(move |result| {
            // Nobody may wait for it any more.
            let stages = *spent.lock().unwrap_or_else(PoisonError::into_inner);
            drop(ended.send(result.map(|transcript| (transcript, stages))));
        }),
    };
    (recording, found, end)
}

/// Reads a recording to its end.
fn spectrogram(
    upload: Upload,
    n_mels: usize,
    options: &SpectrogramOptions,
    max_s: f64,
    stop: &AtomicBool,
) -> Result<Spectrogram, ApiError> {
    let name = if upload.name.is_empty() { "the recording".to_owned() } else { format!("`{}`", upload.name) };
    let mut reader = AudioReader::from_reader(upload.file)?;
    reader.set_name(name);
    let mut is_too_long = false;
    let spectrogram = Spectrogram::compute_with(&mut reader, n_mels, options, |read_s| {
        is_too_long = read_s > max_s;
        let stops = is_too_long || stop.load(Ordering::Relaxed);
        if stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    match spectrogram {
        Err(boswell_audio::Error::Stopped) if is_too_long => Err(ApiError::param(
            "file",
            format!("The recording is longer than {max_s} s, the longest that this server takes."),
        )),
        other => match other? {
            short if short.duration_s() < MIN_AUDIO_S => Err(ApiError::param(
                "file",
                format!("Audio file is too short. Minimum audio length is {MIN_AUDIO_S} seconds."),
            )),
            spectrogram => Ok(spectrogram),
        },
    }
}

impl StopOnDrop {
    fn new(state: Arc<State>) -> Self {
        Self { flag: Arc::default(), state, is_done: false }
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.flag.store(true, Ordering::Relaxed);
        if !self.is_done {
            self.state.metrics.disconnects.inc();
        }
    }
}
