//! Windows of a recording, encoded.

use std::cell::RefCell;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use boswell_audio::{N_FRAMES, Spectrogram};
use boswell_model::{Model, Row, Scratch};

use crate::language::{LanguageProbability, language_probabilities};
use crate::timeline::Timeline;
use crate::windows::WindowRequest;
use crate::{AudioContext, Error, Stages};

/// Encodes windows of a recording.
pub(crate) struct Encoder<'a> {
    pub(crate) model: &'a Model,
    pub(crate) spectrogram: &'a Spectrogram,
    pub(crate) stages: Stages,
    /// A window that was encoded to listen for the language, and its frames.
    first: Option<(Range<usize>, Row)>,
    pub(crate) timeline: Timeline,
    audio_context: AudioContext,
}

impl<'a> Encoder<'a> {
    /// - `timeline`: the time of the windows that are asked for.
    /// - `audio_context`: how much of them is seen, if the recording is no longer than one.
    ///
    /// # Errors
    /// [`Error::Window`] if the model does not see 30 s at once.
    ///
    /// # Panics
    /// If the spectrogram has another number of mel bands than the model.
    pub(crate) fn new(
        model: &'a Model,
        spectrogram: &'a Spectrogram,
        timeline: Timeline,
        audio_context: AudioContext,
    ) -> Result<Self, Error> {
        let dims = model.dims();
        assert_eq!(spectrogram.n_mels(), dims.n_mels, "spectrogram and model differ in mel bands");
        if 2 * dims.n_audio_ctx != N_FRAMES {
            return Err(Error::Window { found: dims.n_audio_ctx, expected: N_FRAMES / 2 });
        }
        let is_short = spectrogram.n_frames() <= N_FRAMES;
        Ok(Self {
            model,
            spectrogram,
            stages: Stages::default(),
            first: None,
            timeline,
            audio_context: if is_short { audio_context } else { AudioContext::Full },
        })
    }

    /// Whether two windows are the same.
    pub(crate) fn sees_the_same(&self, one: &WindowRequest, other: &WindowRequest) -> bool {
        let seen = |request: &WindowRequest| (request.seek, request.n_frames, self.n_rows(request));
        seen(one) == seen(other)
    }

    /// The rows of audio features that a window has.
    fn n_rows(&self, request: &WindowRequest) -> usize {
        let context = if request.is_again { AudioContext::Full } else { self.audio_context };
        context.n_rows(request.n_frames, self.model.dims().n_audio_ctx)
    }

    /// What is to be encoded for the window asked for.
    pub(crate) fn excerpt(&self, request: &WindowRequest) -> Excerpt {
        Excerpt { frames: self.timeline.frames(request.seek, request.n_frames), n_rows: self.n_rows(request) }
    }

    /// A row without tokens over an excerpt, if it was encoded to listen for the language.
    pub(crate) fn heard(&mut self, excerpt: &Excerpt) -> Option<Row> {
        let heard = self.first.take().filter(|(frames, _)| excerpt.frames == [frames.clone()]);
        heard.map(|(_, row)| row)
    }

    /// Counts what a window has taken and gives its row.
    pub(crate) fn count(&mut self, encoded: Encoded) -> Row {
        self.stages.encode += encoded.encode;
        self.stages.cross += encoded.cross;
        self.stages.n_windows += 1;
        encoded.row
    }

    /// The probabilities of the languages in 30 s of the recording, the most probable first.
    pub(crate) fn language_probabilities(
        &mut self,
        start_frame: usize,
    ) -> Result<Vec<LanguageProbability>, Error> {
        let n_frames = N_FRAMES.min(self.spectrogram.n_frames().saturating_sub(start_frame));
        let n_rows = self.audio_context.n_rows(n_frames, self.model.dims().n_audio_ctx);
        let encoded = encode(self.model, self.spectrogram, n_rows, |mel| {
            self.spectrogram.window_with_silence(start_frame, mel)
        })?;
        let mut row = self.count(encoded);
        let started = Instant::now();
        let languages = language_probabilities(self.model, &mut row, &mut Scratch::default());
        self.stages.decode += started.elapsed();
        // A shorter recording is decoded with zeros after it, not with silence.
        let frames = start_frame..start_frame + N_FRAMES;
        self.first = (self.spectrogram.n_frames() >= frames.end).then_some((frames, row));
        Ok(languages)
    }
}

/// What the encoder is to see of a recording as one window.
pub(crate) struct Excerpt {
    /// Frames of the recording that are joined.
    frames: Vec<Range<usize>>,
    /// The rows of audio features that the window has.
    n_rows: usize,
}

/// A window that was encoded, and how long that took.
pub(crate) struct Encoded {
    /// Without tokens.
    pub(crate) row: Row,
    encode: Duration,
    cross: Duration,
}

impl Excerpt {
    /// Encodes the excerpt of a recording, and calls `decode` again and again meanwhile, which has the decoder's work
    /// done: until the window is there, or `decode` breaks. It is called once at least.
    pub(crate) fn encode_beside(
        &self,
        model: &Model,
        spectrogram: &Spectrogram,
        mut decode: impl FnMut() -> ControlFlow<()>,
    ) -> Result<Encoded, Error> {
        let is_there = AtomicBool::new(false);
        let encode = || {
            let encoded = encode(model, spectrogram, self.n_rows, |mel| {
                spectrogram.join(self.frames.iter().cloned(), mel)
            });
            is_there.store(true, Ordering::Relaxed);
            encoded
        };
        let (encoded, ()) = model
            .threads()
            .beside(encode, || while decode().is_continue() && !is_there.load(Ordering::Relaxed) {});
        encoded
    }
}

/// Encodes as many rows of a window that `cut` writes, `[n_mels, 2 * n_rows]`.
fn encode(
    model: &Model,
    spectrogram: &Spectrogram,
    n_rows: usize,
    cut: impl FnOnce(&mut [f32]) -> Result<(), boswell_audio::Error>,
) -> Result<Encoded, Error> {
    WINDOW.with_borrow_mut(|mel| {
        mel.resize(spectrogram.n_mels() * 2 * n_rows, 0.0);
        cut(mel)?;
        let (started, mut encode) = (Instant::now(), Duration::ZERO);
        let row = model.window(mel, || encode = started.elapsed());
        Ok(Encoded { row, encode, cross: started.elapsed() - encode })
    })
}

thread_local! {
    /// The window at hand, in memory that is kept: fresh memory would be cleared before it is written.
    static WINDOW: RefCell<Vec<f32>> = RefCell::default();
}
