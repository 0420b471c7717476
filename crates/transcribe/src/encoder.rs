//! Windows of a recording, encoded.

use std::time::Instant;

use boswell_audio::{N_FRAMES, Spectrogram};
use boswell_model::{Model, Row, Scratch};

use crate::language::{LanguageProbability, language_probabilities};
use crate::windows::WindowRequest;
use crate::{Error, Stages};

/// Encodes windows of a recording.
pub(crate) struct Encoder<'a> {
    pub(crate) model: &'a Model,
    pub(crate) spectrogram: &'a Spectrogram,
    pub(crate) stages: Stages,
    mel: Vec<f32>, // [n_mels, N_FRAMES]
    /// The first window, if it was encoded to listen for the language.
    first: Option<Row>,
}

impl<'a> Encoder<'a> {
    /// # Errors
    /// [`Error::Window`] if the model does not see 30 s at once.
    ///
    /// # Panics
    /// If the spectrogram has another number of mel bands than the model.
    pub(crate) fn new(model: &'a Model, spectrogram: &'a Spectrogram) -> Result<Self, Error> {
        let dims = model.dims();
        assert_eq!(spectrogram.n_mels(), dims.n_mels, "spectrogram and model differ in mel bands");
        if 2 * dims.n_audio_ctx != N_FRAMES {
            return Err(Error::Window { found: dims.n_audio_ctx, expected: N_FRAMES / 2 });
        }
        let mel = vec![0.0; dims.n_mels * N_FRAMES];
        Ok(Self { model, spectrogram, stages: Stages::default(), mel, first: None })
    }

    /// A row without tokens over the window asked for.
    pub(crate) fn window(&mut self, request: &WindowRequest) -> Result<Row, Error> {
        if let Some(row) = self.first.take().filter(|_| (request.seek, request.n_frames) == (0, N_FRAMES)) {
            return Ok(row);
        }
        self.spectrogram.window(request.seek, request.n_frames, &mut self.mel)?;
        Ok(self.encode())
    }

    /// The probabilities of the languages in the first 30 s, the most probable first.
    pub(crate) fn language_probabilities(&mut self) -> Result<Vec<LanguageProbability>, Error> {
        self.spectrogram.window_with_silence(0, &mut self.mel)?;
        let mut row = self.encode();
        let started = Instant::now();
        let languages = language_probabilities(self.model, &mut row, &mut Scratch::default());
        self.stages.decode += started.elapsed();
        // A shorter recording is decoded with zeros after it, not with silence.
        self.first = (self.spectrogram.n_frames() >= N_FRAMES).then_some(row);
        Ok(languages)
    }

    fn encode(&mut self) -> Row {
        let started = Instant::now();
        let row = self.model.window(&self.mel);
        self.stages.encode += started.elapsed();
        self.stages.n_windows += 1;
        row
    }
}
