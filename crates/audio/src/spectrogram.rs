//! The log-mel features of a whole recording, in memory that does not grow with it.

mod builder;
#[cfg(test)]
mod tests;
mod values;

use std::ops::{ControlFlow, Range};
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::mel::{HOP_LENGTH, N_FFT, normalise, normalised};
use crate::{AudioReader, Error, SAMPLE_RATE, VadOptions, VoiceActivity, speech_spans};
use builder::Builder;
use values::Values;

/// The log-mel features of a whole recording, from which the transcriber cuts its windows.
///
/// The values are those of openai/whisper's `transcribe`: the spectrogram of the recording followed
/// by 30 s of zeros, clamped to 8 below the maximum over all of it. They are the same to the bit
/// however the recording was read. Several threads may cut windows at once.
///
/// Up to [`SpectrogramOptions::memory_bytes`] the values stay in memory; those of a longer recording go
/// to a temporary file without a name, which vanishes with this object: 32 kB per second of audio
/// with 80 mel bands, 51 kB with 128.
#[derive(Debug)]
pub struct Spectrogram {
    n_mels: usize,
    n_samples: u64,
    maximum: f32,
    speech: Option<Vec<f32>>, // [n_chunks], probabilities
    values: Values,           // of the recording's frames, and of those that reach over its end
}

/// How a [`Spectrogram`] is kept.
#[derive(Debug, Clone)]
pub struct SpectrogramOptions {
    /// Bytes of values that are kept in memory before they go to a temporary file.
    pub memory_bytes: usize,
    /// Listen for speech too, see [`Spectrogram::speech`].
    pub voice_activity: bool,
    /// Threads that compute features while a recording is read, eight at most; with one it is the caller's.
    pub threads: usize,
}

impl Default for SpectrogramOptions {
    /// 64 MiB: 35 minutes with 80 mel bands, 22 minutes with 128. Nobody listens for speech. One thread.
    fn default() -> Self {
        Self { memory_bytes: 64 << 20, voice_activity: false, threads: 1 }
    }
}

impl Spectrogram {
    /// Reads a recording to its end and computes its features, while another thread decodes.
    ///
    /// - `n_mels`: 80 or 128, as the model's dimensions say.
    /// - `progress`: is told the seconds read so far and may ask to stop.
    ///
    /// A recording without samples gives a spectrogram without frames.
    ///
    /// # Errors
    /// What [`AudioReader::next_chunk`] gives, [`Error::Temporary`], or [`Error::Stopped`] if `progress`
    /// asked for it.
    ///
    /// # Panics
    /// If `n_mels` is neither 80 nor 128.
    pub fn compute(
        reader: &mut AudioReader,
        n_mels: usize,
        progress: impl FnMut(f64) -> ControlFlow<()>,
    ) -> Result<Self, Error> {
        Self::compute_with(reader, n_mels, &SpectrogramOptions::default(), progress)
    }

    /// Does what [`compute`](Self::compute) does, with options.
    ///
    /// # Errors
    /// Those of [`compute`](Self::compute).
    ///
    /// # Panics
    /// If `n_mels` is neither 80 nor 128.
    pub fn compute_with(
        reader: &mut AudioReader,
        n_mels: usize,
        options: &SpectrogramOptions,
        progress: impl FnMut(f64) -> ControlFlow<()>,
    ) -> Result<Self, Error> {
        Self::of_chunks(|chunk| reader.next_chunk(chunk), n_mels, options, progress)
    }

    /// Computes the features of a waveform that is made piece by piece, while another thread makes it.
    ///
    /// - `next`: is given a vector to clear and to fill with the next samples, mono, `[-1, 1]`, 16 kHz; returns whether
    ///   there were any, and is not called again if not.
    /// - `n_mels`: 80 or 128, as the model's dimensions say.
    ///
    /// # Errors
    /// [`Error::Temporary`].
    ///
    /// # Panics
    /// If `n_mels` is neither 80 nor 128.
    pub fn from_chunks(
        mut next: impl FnMut(&mut Vec<f32>) -> bool + Send,
        n_mels: usize,
        options: &SpectrogramOptions,
    ) -> Result<Self, Error> {
        Self::of_chunks(|chunk| Ok(next(chunk)), n_mels, options, |_| ControlFlow::Continue(()))
    }

    fn of_chunks(
        next: impl FnMut(&mut Vec<f32>) -> Result<bool, Error> + Send,
        n_mels: usize,
        options: &SpectrogramOptions,
        mut progress: impl FnMut(f64) -> ControlFlow<()>,
    ) -> Result<Self, Error> {
        thread::scope(|scope| {
            let mut builder = Builder::with_threads(n_mels, options, scope);
            let (full, mut chunks) = sync_channel(CHUNKS_AHEAD);
            let (empty, used) = sync_channel(2 * CHUNKS_AHEAD + 2);
            scope.spawn(move || send_all(next, &full, &used));
            let mut listener = None;
            if options.voice_activity {
                // The network goes from one chunk to the next and cannot be shared out, but features can be computed
                // beside it.
                let (heard, next) = sync_channel(CHUNKS_AHEAD);
                let decoded = std::mem::replace(&mut chunks, next);
                listener = Some(scope.spawn(move || listen(decoded, &heard)));
            }
            for chunk in chunks {
                let chunk = chunk?;
                builder.push(&chunk)?;
                // The decoder may have finished already, and needs no more buffers then.
                let _ = empty.try_send(chunk);
                if progress(builder.n_samples() as f64 / SAMPLE_RATE as f64).is_break() {
                    return Err(Error::Stopped);
                }
            }
            let speech =
                listener.map(|listener| listener.join().unwrap_or_else(|panic| resume_unwind(panic)));
            builder.finish(speech)
        })
    }

    /// Computes the features of a waveform that is in memory.
    ///
    /// - `waveform`: mono, `[-1, 1]`, 16 kHz, any length.
    /// - `n_mels`: 80 or 128, as the model's dimensions say.
    ///
    /// # Errors
    /// [`Error::Temporary`].
    ///
    /// # Panics
    /// If `n_mels` is neither 80 nor 128.
    pub fn from_waveform(waveform: &[f32], n_mels: usize) -> Result<Self, Error> {
        Self::from_waveform_with(waveform, n_mels, &SpectrogramOptions::default())
    }

    /// Does what [`from_waveform`](Self::from_waveform) does, with options.
    ///
    /// # Errors
    /// [`Error::Temporary`].
    ///
    /// # Panics
    /// If `n_mels` is neither 80 nor 128.
    pub fn from_waveform_with(
        waveform: &[f32],
        n_mels: usize,
        options: &SpectrogramOptions,
    ) -> Result<Self, Error> {
        let mut builder = Builder::new(n_mels, options);
        for chunk in waveform.chunks(SAMPLE_RATE) {
            builder.push(chunk)?;
        }
        let speech = options.voice_activity.then(|| {
            let (mut activity, mut probabilities) = (VoiceActivity::default(), Vec::new());
            waveform.chunks(SAMPLE_RATE).for_each(|chunk| activity.push(chunk, &mut probabilities));
            activity.finish(&mut probabilities);
            probabilities
        });
        builder.finish(speech)
    }

    /// Mel bands.
    pub fn n_mels(&self) -> usize {
        self.n_mels
    }

    /// Frames of the recording itself: one per 160 samples that are complete.
    pub fn n_frames(&self) -> usize {
        (self.n_samples / HOP_LENGTH as u64) as usize
    }

    /// Length of the recording in seconds, to the sample.
    pub fn duration_s(&self) -> f64 {
        self.n_samples as f64 / SAMPLE_RATE as f64
    }

    /// The spans of speech in the recording, in samples, in order. `None` if nobody listened for it, see
    /// [`SpectrogramOptions::voice_activity`].
    pub fn speech(&self, options: &VadOptions) -> Option<Vec<Range<u64>>> {
        let probabilities = self.speech.as_deref()?;
        Some(speech_spans(probabilities, self.n_samples, options))
    }

    /// Cuts out a window for the encoder.
    ///
    /// - `start_frame`: the window's first frame; at or past the end of the recording it is empty.
    /// - `n_frames`: how many frames of the recording it gets; fewer where the recording ends.
    /// - `out`: `[n_mels, n]`, row-major, `n` usually 3000; what follows the frames is 0.0, as openai/whisper fills it.
    ///
    /// # Errors
    /// [`Error::Temporary`] if the values are in a file that cannot be read.
    ///
    /// # Panics
    /// If `out` has another length, or `n_frames` is more than `n`.
    pub fn window(&self, start_frame: usize, n_frames: usize, out: &mut [f32]) -> Result<(), Error> {
        self.join(std::iter::once(start_frame..start_frame + n_frames), out)
    }

    /// Joins pieces of the recording to a window for the encoder.
    ///
    /// - `pieces`: ranges of frames; what is past the end of the recording is left out.
    /// - `out`: `[n_mels, n]`, row-major, `n` usually 3000; what follows the frames is 0.0.
    ///
    /// # Errors
    /// [`Error::Temporary`] if the values are in a file that cannot be read.
    ///
    /// # Panics
    /// If `out` has another length, or the pieces have more than `n` frames.
    pub fn join(&self, pieces: impl Iterator<Item = Range<usize>>, out: &mut [f32]) -> Result<(), Error> {
        let n_columns = self.n_columns(out);
        let mut column = 0;
        for piece in pieces {
            assert!(column + piece.len() <= n_columns, "window: the frames do not fit into {n_columns}");
            let end = piece.end.min(self.n_frames());
            let n_frames = end.saturating_sub(piece.start);
            self.cut(piece.start, n_frames, column, out)?;
            column += n_frames;
        }
        out.chunks_exact_mut(n_columns).for_each(|row| row[column..].fill(0.0));
        Ok(())
    }

    /// Cuts out a window in which silence follows the recording, as openai/whisper listens for its language.
    ///
    /// - `start_frame`: the window's first frame.
    /// - `out`: `[n_mels, n]`, row-major, `n` usually 3000.
    ///
    /// # Errors
    /// [`Error::Temporary`] if the values are in a file that cannot be read.
    ///
    /// # Panics
    /// If `out` has another length.
    pub fn window_with_silence(&self, start_frame: usize, out: &mut [f32]) -> Result<(), Error> {
        let n_columns = self.n_columns(out);
        out.fill(normalised(SILENCE, self.maximum));
        let n_frames = n_columns.min(n_audible(self.n_samples).saturating_sub(start_frame));
        self.cut(start_frame, n_frames, 0, out)
    }

    /// The frames that a window has room for.
    fn n_columns(&self, window: &[f32]) -> usize {
        assert!(window.len().is_multiple_of(self.n_mels), "window: `out` is not [n_mels, n]");
        window.len() / self.n_mels
    }

    /// Writes `n_frames` frames, all of which there are, to the columns of a window from `column` on.
    fn cut(&self, start_frame: usize, n_frames: usize, column: usize, out: &mut [f32]) -> Result<(), Error> {
        let (maximum, n_columns) = (self.maximum, out.len() / self.n_mels);
        self.values.for_each_piece(start_frame, n_frames, |first, values| {
            normalise(values, self.n_mels, maximum, n_columns, &mut out[column + first..]);
        })
    }
}

/// The logarithmic energy of a frame of nothing but zeros.
const SILENCE: f32 = -10.0;

/// Frames that hold a sample of a recording: those that begin before its end.
fn n_audible(n_samples: u64) -> usize {
    if n_samples == 0 { 0 } else { (n_samples + N_FFT as u64 / 2).div_ceil(HOP_LENGTH as u64) as usize }
}

/// How many chunks the thread that decodes or makes them may be ahead.
const CHUNKS_AHEAD: usize = 4;

/// Sends a waveform chunk by chunk, until its end, an error, or nobody listens any more.
fn send_all(
    mut next: impl FnMut(&mut Vec<f32>) -> Result<bool, Error>,
    full: &SyncSender<Result<Vec<f32>, Error>>,
    used: &Receiver<Vec<f32>>,
) {
    loop {
        let mut chunk = used.try_recv().unwrap_or_default();
        let message = match next(&mut chunk) {
            Ok(true) => Ok(chunk),
            Ok(false) => return,
            Err(error) => Err(error),
        };
        let is_last = message.is_err();
        if full.send(message).is_err() || is_last {
            return;
        }
    }
}

/// Passes decoded chunks on, after it has listened for speech in them, until there are no more or nobody takes them.
/// Returns the probabilities.
fn listen(
    decoded: Receiver<Result<Vec<f32>, Error>>,
    heard: &SyncSender<Result<Vec<f32>, Error>>,
) -> Vec<f32> {
    let (mut activity, mut probabilities) = (VoiceActivity::default(), Vec::new());
    for chunk in decoded {
        if let Ok(samples) = &chunk {
            activity.push(samples, &mut probabilities);
        }
        if heard.send(chunk).is_err() {
            break;
        }
    }
    activity.finish(&mut probabilities);
    probabilities
}
