//! Who speaks when: the sound of a session, cut into turns.

use boswell_audio::{SAMPLE_RATE, VAD_CHUNK, VoiceActivity};

/// How turns begin and end by what is heard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TurnDetection {
    /// Speech is at least so probable in a turn.
    pub(super) threshold: f32,
    /// So much of the sound before belongs to a turn.
    pub(super) prefix_ms: u64,
    /// So much silence ends it.
    pub(super) silence_ms: u64,
}

impl Default for TurnDetection {
    fn default() -> Self {
        Self { threshold: 0.5, prefix_ms: 300, silence_ms: 500 }
    }
}

/// What the sound brought.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Turn {
    /// Somebody speaks, since so many milliseconds after the session's beginning.
    Started { at_ms: u64 },
    /// Nobody speaks any more.
    Stopped { at_ms: u64, waveform: Vec<f32> },
}

/// The sound of a session that is still of use: mono, 16 kHz.
#[derive(Debug, Default)]
pub(super) struct Turns {
    detection: Option<TurnDetection>,
    voice: VoiceActivity,
    /// What the turn has so far, or what may come to belong to the next.
    waveform: Vec<f32>,
    /// Samples of the session before `waveform`.
    n_before: u64,
    /// Chunks that the voice detector has judged.
    n_chunks: u64,
    is_speech: bool,
    /// The last chunk with speech in it.
    last_speech: u64,
}

/// Speech ends below the threshold by so much, so that it does not flicker.
const HYSTERESIS: f32 = 0.15;
/// A turn that is longer is cut: the model hears 30 s at once.
const MAX_TURN_S: usize = 28;
/// Without turns by what is heard, so much may wait to be committed.
pub(super) const MAX_BUFFER_S: usize = 600;

const MS: u64 = SAMPLE_RATE as u64 / 1000;

impl Turns {
    /// Says how turns are found from now on; `None`: only by the client.
    pub(super) fn set_detection(&mut self, detection: Option<TurnDetection>) {
        if self.detection.is_none() {
            // What was not listened to has no speech in it.
            self.voice = VoiceActivity::default();
            self.n_chunks = (self.n_before + self.waveform.len() as u64) / VAD_CHUNK as u64;
        }
        self.detection = detection;
    }

    /// Whether somebody speaks, as far as that is looked at; otherwise whether there is sound.
    pub(super) fn is_open(&self) -> bool {
        if self.detection.is_some() { self.is_speech } else { !self.waveform.is_empty() }
    }

    /// The turn so far.
    pub(super) fn waveform(&self) -> &[f32] {
        &self.waveform
    }

    /// Takes the next samples.
    pub(super) fn push(&mut self, samples: &[f32]) -> Vec<Turn> {
        self.waveform.extend_from_slice(samples);
        let Some(detection) = self.detection else { return Vec::new() };
        let mut probabilities = Vec::new();
        self.voice.push(samples, &mut probabilities);
        let mut turns = Vec::new();
        for probability in probabilities {
            self.n_chunks += 1;
            turns.extend(self.judge(probability, detection));
        }
        if !self.is_speech {
            let n_kept = (detection.prefix_ms * MS) as usize + 2 * VAD_CHUNK;
            self.forget(self.waveform.len().saturating_sub(n_kept));
        }
        turns
    }

    /// Ends the turn now: its sound, or `None` if there is none.
    pub(super) fn commit(&mut self) -> Option<Vec<f32>> {
        self.is_speech = false;
        self.n_before += self.waveform.len() as u64;
        Some(std::mem::take(&mut self.waveform)).filter(|waveform| !waveform.is_empty())
    }

    fn judge(&mut self, probability: f32, detection: TurnDetection) -> Option<Turn> {
        let chunk = VAD_CHUNK as u64;
        let end = self.n_chunks * chunk;
        if probability >= detection.threshold - if self.is_speech { HYSTERESIS } else { 0.0 } {
            self.last_speech = self.n_chunks;
            if !self.is_speech {
                self.is_speech = true;
                let start = (end - chunk).saturating_sub(detection.prefix_ms * MS).max(self.n_before);
                self.forget((start - self.n_before) as usize);
                return Some(Turn::Started { at_ms: start / MS });
            }
        }
        let is_silent = (self.n_chunks - self.last_speech) * chunk >= detection.silence_ms * MS;
        let is_long = end.saturating_sub(self.n_before) >= (MAX_TURN_S * SAMPLE_RATE) as u64;
        if !self.is_speech || !(is_silent || is_long) {
            return None;
        }
        self.is_speech = false;
        // A word is heard before it is taken for speech: the end of the silence is left to the turn that it may begin.
        let n_left = if is_silent { detection.prefix_ms.min(detection.silence_ms / 2) * MS } else { 0 };
        let n = (end.saturating_sub(n_left + self.n_before) as usize).min(self.waveform.len());
        let waveform = self.waveform.drain(..n).collect();
        self.n_before += n as u64;
        Some(Turn::Stopped { at_ms: self.n_before / MS, waveform })
    }

    fn forget(&mut self, n_samples: usize) {
        self.waveform.drain(..n_samples);
        self.n_before += n_samples as u64;
    }
}

#[cfg(test)]
mod tests {
    use boswell_audio::AudioReader;

    use super::*;

    /// Spoken digits between two seconds of silence.
    fn speech() -> Vec<f32> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples/pi.flac");
        let mut reader = AudioReader::open(path.as_ref()).unwrap();
        let (mut waveform, mut chunk) = (vec![0.0; 2 * SAMPLE_RATE], Vec::new());
        while reader.next_chunk(&mut chunk).unwrap() {
            waveform.extend_from_slice(&chunk);
        }
        waveform.extend([0.0; 2 * SAMPLE_RATE]);
        waveform
    }

    #[test]
    fn a_turn_is_what_lies_between_silences_however_it_arrives() {
        let speech = speech();
        let mut all = Vec::new();
        for piece in [100, 480, 16_000] {
            let mut turns = Turns::default();
            turns.set_detection(Some(TurnDetection { silence_ms: 1000, ..TurnDetection::default() }));
            let found: Vec<Turn> = speech.chunks(piece).flat_map(|piece| turns.push(piece)).collect();
            let [Turn::Started { at_ms }, Turn::Stopped { at_ms: end_ms, waveform }] = &found[..] else {
                panic!("{} turns", found.len());
            };
            assert!((1500..=2300).contains(at_ms), "{at_ms}");
            assert_eq!(waveform.len() as u64, (end_ms - at_ms) * MS);
            assert!(!turns.is_open());
            all.push((*at_ms, *end_ms));
        }
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{all:?}");
    }

    #[test]
    fn silence_is_forgotten() {
        let mut turns = Turns::default();
        turns.set_detection(Some(TurnDetection::default()));
        for _ in 0..100 {
            assert!(turns.push(&[0.0; SAMPLE_RATE]).is_empty());
        }
        assert!(turns.waveform().len() < SAMPLE_RATE);
    }

    #[test]
    fn without_detection_the_client_says_when() {
        let mut turns = Turns::default();
        assert_eq!(turns.commit(), None);
        assert!(turns.push(&[0.1; 100]).is_empty() && turns.is_open());
        assert_eq!(turns.commit().unwrap().len(), 100);
        assert!(!turns.is_open());
    }
}
