//! What `/metrics` tells: counters and histograms in Prometheus' text format.

use std::time::Duration;

use boswell_transcribe::Stages;
use prometheus::{
    CounterVec, Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

/// Seconds that requests are counted by.
const LATENCY_BUCKETS: [f64; 14] =
    [0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];
/// Seconds that a speaker waits for a turn's text.
const TURN_BUCKETS: [f64; 12] = [0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0, 2.0, 5.0, 10.0];
/// Seconds of audio per second of work.
const SPEED_BUCKETS: [f64; 10] = [0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 500.0];

/// All figures of a server.
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    latency: HistogramVec,
    pub(crate) in_flight: IntGauge,
    pub(crate) disconnects: IntCounter,
    audio_seconds: CounterVec,
    work_seconds: CounterVec,
    windows: IntCounterVec,
    tokens: IntCounterVec,
    speed: HistogramVec,
    wall: HistogramVec,
    turn: HistogramVec,
    recordings: IntGaugeVec,
    loaded: IntGaugeVec,
    memory: IntGauge,
}

/// A transcription that is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    pub(crate) audio_s: f64,
    /// Reading, decoding and the log-mel spectrogram.
    pub(crate) read: Duration,
    pub(crate) stages: Stages,
    /// From the recording's arrival to its transcript.
    pub(crate) wall: Duration,
}

/// What was done with a model so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DoneSoFar {
    pub(crate) audio_s: f64,
    /// Seconds of work of each stage.
    pub(crate) work_s: [(&'static str, f64); 3],
}

impl DoneSoFar {
    /// Seconds of audio per second of work; `None` before the first transcript.
    pub(crate) fn real_time_factor(&self) -> Option<f64> {
        let work_s: f64 = self.work_s.iter().map(|(_, seconds)| seconds).sum();
        (work_s > 0.0).then(|| self.audio_s / work_s)
    }
}

impl Metrics {
    /// Figures of which none is counted yet.
    pub(crate) fn new() -> Self {
        let registry = Registry::new();
        let made = "our own names are well formed, and each is there once";
        macro_rules! registered {
            ($kind:ident, $options:expr $(, $labels:expr)?) => {{
                let metric = $kind::new($options $(, $labels)?).expect(made);
                registry.register(Box::new(metric.clone())).expect(made);
                metric
            }};
        }
        let named = |name: &str, help: &str| Opts::new(format!("boswell_{name}"), help);
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            HistogramOpts::from(named(name, help)).buckets(buckets.to_vec())
        };
        Self {
            requests: registered!(
                IntCounterVec,
                named("http_requests_total", "Requests that were answered"),
                &["route", "method", "status"]
            ),
            latency: registered!(
                HistogramVec,
                histogram("http_request_seconds", "From a request's head to its answer's", &LATENCY_BUCKETS),
                &["route"]
            ),
            in_flight: registered!(
                IntGauge,
                "boswell_requests_in_flight",
                "Requests with a recording that are not done"
            ),
            disconnects: registered!(
                IntCounter,
                "boswell_disconnects_total",
                "Clients that left before their transcript was done"
            ),
            audio_seconds: registered!(
                CounterVec,
                named("audio_seconds_total", "Seconds of audio that were transcribed"),
                &["model"]
            ),
            work_seconds: registered!(
                CounterVec,
                named("work_seconds_total", "Seconds of work, by stage and by the device that did it"),
                &["model", "stage", "device"]
            ),
            windows: registered!(
                IntCounterVec,
                named("windows_total", "Windows of 30 s that were encoded"),
                &["model"]
            ),
            tokens: registered!(IntCounterVec, named("tokens_total", "Tokens that were decoded"), &["model"]),
            speed: registered!(
                HistogramVec,
                histogram(
                    "real_time_factor",
                    "Seconds of audio per second from arrival to transcript",
                    &SPEED_BUCKETS
                ),
                &["model"]
            ),
            wall: registered!(
                HistogramVec,
                histogram(
                    "transcription_seconds",
                    "From a recording's arrival to its transcript",
                    &LATENCY_BUCKETS
                ),
                &[]
            ),
            turn: registered!(
                HistogramVec,
                histogram(
                    "live_turn_seconds",
                    "From the end of a realtime turn to its whole text",
                    &TURN_BUCKETS
                ),
                &[]
            ),
            recordings: registered!(
                IntGaugeVec,
                named("queue_recordings", "Recordings in the engine, or waiting for it"),
                &["model"]
            ),
            loaded: registered!(IntGaugeVec, named("model_loaded", "Whether a model is loaded"), &["model"]),
            memory: registered!(IntGauge, "boswell_resident_memory_bytes", "Memory of the process in use"),
            registry,
        }
    }

    /// Counts a request that was answered.
    pub(crate) fn answered(&self, route: &str, method: &str, status: u16, elapsed: Duration) {
        self.requests.with_label_values(&[route, method, &status.to_string()]).inc();
        self.latency.with_label_values(&[route]).observe(elapsed.as_secs_f64());
    }

    /// Counts a transcription.
    pub(crate) fn transcribed(&self, model: &str, work: &Work) {
        self.audio_seconds.with_label_values(&[model]).inc_by(work.audio_s);
        let stages = [
            ("read", work.read),
            ("encode", work.stages.encode + work.stages.cross),
            ("decode", work.stages.decode),
        ];
        for (stage, elapsed) in stages {
            self.work_seconds.with_label_values(&[model, stage, "cpu"]).inc_by(elapsed.as_secs_f64());
        }
        self.windows.with_label_values(&[model]).inc_by(work.stages.n_windows as u64);
        self.tokens.with_label_values(&[model]).inc_by(work.stages.n_tokens as u64);
        self.wall.with_label_values::<&str>(&[]).observe(work.wall.as_secs_f64());
        self.speed.with_label_values(&[model]).observe(work.audio_s / work.wall.as_secs_f64().max(1e-6));
    }

    /// Counts a realtime turn whose text was told `elapsed` after its end.
    pub(crate) fn turn_written(&self, elapsed: Duration) {
        self.turn.with_label_values::<&str>(&[]).observe(elapsed.as_secs_f64());
    }

    /// What was done with a model.
    pub(crate) fn done(&self, model: &str) -> DoneSoFar {
        let seconds = |stage| (stage, self.work_seconds.with_label_values(&[model, stage, "cpu"]).get());
        DoneSoFar {
            audio_s: self.audio_seconds.with_label_values(&[model]).get(),
            work_s: ["read", "encode", "decode"].map(seconds),
        }
    }

    /// How many seconds transcriptions took on average.
    pub(crate) fn mean_wall_s(&self) -> f64 {
        let wall = self.wall.with_label_values::<&str>(&[]);
        wall.get_sample_sum() / wall.get_sample_count().max(1) as f64
    }

    /// All figures as text.
    ///
    /// - `models`: those that are loaded, and how many recordings each has.
    pub(crate) fn text(&self, models: &[(String, usize)]) -> String {
        self.loaded.reset();
        self.recordings.reset();
        for (name, n_recordings) in models {
            self.loaded.with_label_values(&[name.as_str()]).set(1);
            self.recordings.with_label_values(&[name.as_str()]).set(*n_recordings as i64);
        }
        self.memory.set(resident_bytes().unwrap_or(0));
        let mut text = Vec::new();
        let encoded = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        encoded.expect("memory takes everything");
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// The memory that this process has in use, mapped files included; where the system tells it.
pub(crate) fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
