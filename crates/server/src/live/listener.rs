//! Listens to what is said in a session: sound in, news out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use boswell_audio::{Resampler, SAMPLE_RATE};
use boswell_transcribe::Options;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::agreement::Agreement;
use super::sound::SoundFormat;
use super::turns::{MAX_BUFFER_S, Turn, TurnDetection, Turns};
use crate::error::ApiError;
use crate::state::State;
use crate::transcription::{Done, Transcription};

/// So much more has to be said before it is listened to once more.
const LISTEN_EVERY: usize = SAMPLE_RATE * 4 / 5;
/// So much while others wait for the engine: what is heard before the end is the first that they can do without.
const LISTEN_CROWDED_EVERY: usize = 2 * LISTEN_EVERY;
/// What is shorter is not listened to before the turn's end.
const MIN_HEARD: usize = SAMPLE_RATE / 2;
/// More than the model hears at once is only listened to at the end.
const MAX_PARTIAL: usize = 29 * SAMPLE_RATE;
/// Less cannot be committed.
const MIN_COMMIT: usize = SAMPLE_RATE / 10;

/// How a session is to be listened to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Listening {
    pub(crate) model: String,
    pub(crate) language: Option<String>,
    /// Codes of the languages that may be spoken; empty: all.
    pub(crate) among_languages: Vec<String>,
    pub(crate) prompt: Option<String>,
    pub(crate) keywords: Vec<String>,
    pub(crate) format: SoundFormat,
    /// Channels whose samples alternate; they are mixed.
    pub(crate) n_channels: usize,
    pub(crate) detection: Option<TurnDetection>,
    /// Whether turns are listened to before their end too.
    pub(crate) before_end: bool,
    pub(crate) word_timestamps: bool,
    /// Whether the logprobs of tokens are found, for whole turns.
    pub(crate) token_logprobs: bool,
}

impl Listening {
    /// To one channel, with everything as it mostly is.
    pub(crate) fn new(model: &str, format: SoundFormat) -> Self {
        Self {
            model: model.to_owned(),
            language: None,
            among_languages: Vec::new(),
            prompt: None,
            keywords: Vec::new(),
            format,
            n_channels: 1,
            detection: Some(TurnDetection::default()),
            before_end: true,
            word_timestamps: false,
            token_logprobs: false,
        }
    }

    fn options(&self, is_final: bool) -> Options {
        Options {
            language: self.language.clone().filter(|language| language != "auto"),
            initial_prompt: self.prompt.clone(),
            hotwords: Some(self.keywords.join(", ")).filter(|words| !words.is_empty()),
            temperatures: if is_final { vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0] } else { vec![0.0] },
            drop_loops: true,
            keep_best_failed: true,
            among_languages: self.among_languages.clone(),
            word_timestamps: self.word_timestamps,
            token_logprobs: is_final && self.token_logprobs,
            ..Options::default()
        }
    }
}

/// What a client may be told of a turn.
#[derive(Debug)]
pub(crate) struct News {
    /// The turn's name.
    pub(crate) turn: String,
    pub(crate) what: What,
}

/// Times are in milliseconds after the session's beginning.
#[derive(Debug)]
pub(crate) enum What {
    /// Somebody speaks.
    Started { at_ms: u64 },
    /// Nobody speaks any more, or somebody for longer than a turn may be.
    Stopped { at_ms: u64, is_cut: bool },
    /// Nobody has spoken for as long as was asked for.
    Idle { start_ms: u64, end_ms: u64 },
    /// All sound of the turn is there. The last before it was called `previous`.
    Ended { previous: Option<String> },
    /// What the turn sounds like so far, and what has become certain of it since the last time.
    Heard { start_ms: u64, delta: String, done: Done },
    /// What the whole turn is, and the rest of what was told as certain.
    Written { start_ms: u64, delta: String, done: Done },
    /// The turn cannot be written down.
    Failed { error: ApiError },
}

/// What the engine made of the sound of a turn.
pub(crate) struct Heard {
    turn: String,
    is_final: bool,
    /// Whether others waited for the engine.
    is_crowded: bool,
    result: Result<Done, ApiError>,
}

/// Where what was heard comes out.
pub(crate) type Tell = mpsc::Sender<Heard>;

/// Listens to a session.
pub(crate) struct Listener {
    state: Arc<State>,
    tell: Tell,
    listening: Listening,
    turns: Turns,
    /// Bytes of a sample that is not complete.
    bytes: Vec<u8>,
    /// Samples whose other channels are not there yet.
    samples: Vec<f32>,
    resampler: Resampler,
    /// What is being said.
    item: Option<Item>,
    /// What was said and is not told to its end, in order: the first is not written down yet.
    ending: VecDeque<Ending>,
    previous: Option<String>,
}

/// A turn that is over.
struct Ending {
    item: Item,
    ended: Instant,
    /// What was written down of it, while a turn before it is not.
    result: Option<Result<Done, ApiError>>,
}

/// A turn's text.
struct Item {
    id: String,
    start_ms: u64,
    text: Agreement,
    /// Samples that were listened to.
    n_heard: usize,
    /// Samples more to listen to it again.
    listen_every: usize,
    /// The listening that goes on.
    partial: Option<JoinHandle<()>>,
}

impl Item {
    fn new(start_ms: u64) -> Self {
        let id = format!("item_{:016x}", fastrand::u64(..));
        Self {
            id,
            start_ms,
            text: Agreement::default(),
            n_heard: 0,
            listen_every: LISTEN_EVERY,
            partial: None,
        }
    }

    fn news(&self, what: What) -> News {
        News { turn: self.id.clone(), what }
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        if let Some(partial) = &self.partial {
            partial.abort();
        }
    }
}

impl Listener {
    /// Listens as `listening` says until it is told otherwise. What the engine hears goes to `tell`, and from there
    /// into [`hear`](Self::hear).
    pub(crate) fn new(state: Arc<State>, listening: Listening, tell: Tell) -> Self {
        let mut turns = Turns::default();
        turns.set_detection(listening.detection);
        Self {
            state,
            tell,
            resampler: Resampler::new(listening.format.rate()),
            listening,
            turns,
            bytes: Vec::new(),
            samples: Vec::new(),
            item: None,
            ending: VecDeque::new(),
            previous: None,
        }
    }

    /// Listens otherwise from now on.
    pub(crate) fn set(&mut self, listening: Listening) {
        if listening.format != self.listening.format || listening.n_channels != self.listening.n_channels {
            self.resampler = Resampler::new(listening.format.rate());
            self.bytes.clear();
            self.samples.clear();
        }
        self.turns.set_detection(listening.detection);
        self.listening = listening;
    }

    /// Whether somebody speaks, as far as that is looked at; otherwise whether there is sound.
    pub(crate) fn is_open(&self) -> bool {
        self.turns.is_open()
    }

    /// Whether all that was said is written down.
    pub(crate) fn is_done(&self) -> bool {
        !self.is_open() && self.ending.is_empty()
    }

    /// How much sound there was, in milliseconds.
    pub(crate) fn now_ms(&self) -> u64 {
        self.turns.now_ms()
    }

    /// Whether the engine listens to what is being said.
    #[cfg(test)]
    pub(crate) fn is_listening(&self) -> bool {
        self.item.as_ref().is_some_and(|item| item.partial.is_some())
    }

    /// Takes the next samples as they were sent; `None` if more would wait to be committed than may.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Option<Vec<News>> {
        self.bytes.extend_from_slice(bytes);
        self.listening.format.decode(&mut self.bytes, &mut self.samples);
        let mono = mix(&mut self.samples, self.listening.n_channels);
        let mut waveform = Vec::new();
        self.resampler.push(&mono, &mut waveform);
        if self.turns.waveform().len() + waveform.len() > MAX_BUFFER_S * SAMPLE_RATE {
            return None;
        }
        let news = self.push(&waveform);
        self.listen();
        Some(news)
    }

    /// Ends the turn now; `None` if there is too little of it.
    pub(crate) fn commit(&mut self) -> Option<Vec<News>> {
        let mut news = self.flush();
        let start_ms = self.turns.start_ms();
        if let Some(waveform) = self.turns.commit().filter(|waveform| waveform.len() >= MIN_COMMIT) {
            let item = self.item.take().unwrap_or_else(|| Item::new(start_ms));
            news.push(self.end(item, waveform));
        }
        Some(news).filter(|news| !news.is_empty())
    }

    /// Forgets what was said since the last turn.
    pub(crate) fn clear(&mut self) {
        self.turns.commit();
        self.item = None;
    }

    /// Takes what the engine has heard.
    pub(crate) fn hear(&mut self, heard: Heard) -> Vec<News> {
        let Heard { turn, is_final, is_crowded, result } = heard;
        if is_final {
            return self.take_end(&turn, result);
        }
        let Some(item) = self.item.as_mut().filter(|item| item.id == turn) else { return Vec::new() };
        item.partial = None;
        item.listen_every = if is_crowded { LISTEN_CROWDED_EVERY } else { LISTEN_EVERY };
        let news = match result {
            Ok(done) => {
                let delta = item.text.hear(&done.transcript.text);
                vec![item.news(What::Heard { start_ms: item.start_ms, delta, done })]
            }
            Err(_) => Vec::new(), // the end of the turn will tell what is wrong
        };
        self.listen();
        news
    }

    /// Takes what the resampler still has.
    fn flush(&mut self) -> Vec<News> {
        let fresh = Resampler::new(self.listening.format.rate());
        let mut waveform = Vec::new();
        std::mem::replace(&mut self.resampler, fresh).finish(&mut waveform);
        self.push(&waveform)
    }

    fn push(&mut self, waveform: &[f32]) -> Vec<News> {
        let mut news = Vec::new();
        for turn in self.turns.push(waveform) {
            match turn {
                Turn::Started { at_ms } => {
                    news.push(self.item.insert(Item::new(at_ms)).news(What::Started { at_ms }));
                }
                Turn::Stopped { at_ms, waveform, is_cut } => {
                    let item = self.item.take().unwrap_or_else(|| Item::new(at_ms));
                    news.push(item.news(What::Stopped { at_ms, is_cut }));
                    news.push(self.end(item, waveform));
                }
                Turn::Idle { start_ms, end_ms, waveform } => {
                    let item = Item::new(start_ms);
                    news.push(item.news(What::Idle { start_ms, end_ms }));
                    news.push(self.end(item, waveform));
                }
            }
        }
        news
    }

    /// Listens to what is being said, if there is enough of it that was not listened to.
    fn listen(&mut self) {
        let n_samples = self.turns.waveform().len();
        let is_wanted = self.listening.before_end && self.turns.is_open();
        if !is_wanted || !(MIN_HEARD..=MAX_PARTIAL).contains(&n_samples) {
            return;
        }
        let start_ms = self.turns.start_ms();
        let item = self.item.get_or_insert_with(|| Item::new(start_ms));
        if item.partial.is_some() || n_samples < item.n_heard + item.listen_every {
            return;
        }
        item.n_heard = n_samples;
        let (id, waveform) = (item.id.clone(), self.turns.waveform().to_vec());
        let partial = self.transcribe(id, waveform, false);
        if let Some(item) = &mut self.item {
            item.partial = Some(partial);
        }
    }

    /// Ends a turn: its text is completed when all of it was listened to.
    fn end(&mut self, mut item: Item, waveform: Vec<f32>) -> News {
        if let Some(partial) = item.partial.take() {
            partial.abort();
        }
        let previous = self.previous.replace(item.id.clone());
        let news = item.news(What::Ended { previous });
        drop(self.transcribe(item.id.clone(), waveform, true));
        self.ending.push_back(Ending { item, ended: Instant::now(), result: None });
        news
    }

    /// Has the engine listen to a waveform; what it hears comes in [`hear`](Self::hear).
    fn transcribe(&self, turn: String, waveform: Vec<f32>, is_final: bool) -> JoinHandle<()> {
        let options = self.listening.options(is_final);
        let (state, model, tell) = (self.state.clone(), self.listening.model.clone(), self.tell.clone());
        tokio::spawn(async move {
            let mut is_crowded = false;
            let result = match Transcription::live(state, waveform, &model, options).await {
                Ok(transcription) => {
                    is_crowded = transcription.is_crowded();
                    transcription.finish().await
                }
                Err(error) => Err(error),
            };
            // The client may have left.
            let _ = tell.send(Heard { turn, is_final, is_crowded, result }).await;
        })
    }

    /// Takes the whole text of a turn. Turns are told in the order in which they were spoken, whichever the engine was
    /// done with first.
    fn take_end(&mut self, turn: &str, result: Result<Done, ApiError>) -> Vec<News> {
        if let Some(ending) = self.ending.iter_mut().find(|ending| ending.item.id == turn) {
            ending.result = Some(result);
        }
        let mut news = Vec::new();
        while self.ending.front().is_some_and(|ending| ending.result.is_some()) {
            if let Some(Ending { mut item, ended, result: Some(result) }) = self.ending.pop_front() {
                self.state.metrics.turn_written(ended.elapsed());
                news.push(match result {
                    Ok(done) => {
                        let delta = item.text.finish(&done.transcript.text);
                        item.news(What::Written { start_ms: item.start_ms, delta, done })
                    }
                    Err(error) => item.news(What::Failed { error }),
                });
            }
        }
        news
    }
}

/// The mean of the channels; samples whose other channels are missing are left.
fn mix(samples: &mut Vec<f32>, n_channels: usize) -> Vec<f32> {
    if n_channels == 1 {
        return std::mem::take(samples);
    }
    let frames = samples.chunks_exact(n_channels);
    let mono = frames.map(|frame| frame.iter().sum::<f32>() / n_channels as f32).collect();
    samples.drain(..samples.len() / n_channels * n_channels);
    mono
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_mixed_however_they_arrive() {
        let mut samples = vec![0.5, -0.5, 1.0];
        assert_eq!(mix(&mut samples, 2), [0.0]);
        samples.push(0.5);
        assert_eq!((mix(&mut samples, 2), samples.len()), (vec![0.75], 0));
    }
}
