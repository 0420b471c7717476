//! Who speaks when: the sound of a session, cut into turns.

use boswell_audio::{SAMPLE_RATE, VAD_CHUNK, VoiceActivity};

/// How turns begin and end by what is heard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TurnDetection {
    /// Speech is at least so probable in a turn.
    pub(crate) threshold: f32,
    /// So much of the sound before belongs to a turn.
    pub(crate) prefix_ms: u64,
    /// So much silence ends it.
    pub(crate) silence_ms: u64,
    /// After so long without speech its sound is a turn too; `None`: never.
    pub(crate) idle_ms: Option<u64>,
}

impl Default for TurnDetection {
    fn default() -> Self {
        Self { threshold: 0.5, prefix_ms: 300, silence_ms: 500, idle_ms: None }
    }
}

/// What the sound brought.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Turn {
    /// Somebody speaks, since so many milliseconds after the session's beginning.
    Started { at_ms: u64 },
    /// Nobody speaks any more, or somebody for longer than a turn may be.
    Stopped { at_ms: u64, waveform: Vec<f32>, is_cut: bool },
    /// Nobody has spoken for as long as was asked for.
    Idle { start_ms: u64, end_ms: u64, waveform: Vec<f32> },
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
    /// Where the last chunk with speech in it ends.
    last_speech: u64,
    /// How probable speech is where it is least so towards the end of a long turn, and where that is.
    quietest: (f32, u64),
}

/// Speech ends below the threshold by so much, so that it does not flicker.
const HYSTERESIS: f32 = 0.15;
/// A turn that is longer is cut, because the model hears 30 s at once: where speech is least probable after the first of
/// these.
const LONG_TURN: u64 = 23 * SAMPLE_RATE as u64;
const MAX_TURN: u64 = 28 * SAMPLE_RATE as u64;
/// Without turns by what is heard, so much may wait to be committed.
pub(crate) const MAX_BUFFER_S: usize = 600;

const MS: u64 = SAMPLE_RATE as u64 / 1000;
const CHUNK: u64 = VAD_CHUNK as u64;

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

    /// When the sound in [`waveform`](Self::waveform) began, in milliseconds after the session did.
    pub(super) fn start_ms(&self) -> u64 {
        self.n_before / MS
    }

    /// How much sound there was in the whole session, in milliseconds.
    pub(super) fn now_ms(&self) -> u64 {
        (self.n_before + self.waveform.len() as u64) / MS
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
            self.judge(probability, detection, &mut turns);
        }
        // What is silent may have to be told as a whole.
        if !self.is_speech && detection.idle_ms.is_none() {
            let n_kept = (detection.prefix_ms * MS) as usize + 2 * VAD_CHUNK;
            self.forget(self.waveform.len().saturating_sub(n_kept));
        }
        turns
    }

    /// Ends the turn now: its sound, or `None` if there is none.
    pub(super) fn commit(&mut self) -> Option<Vec<f32>> {
        self.is_speech = false;
        Some(self.take(self.waveform.len())).filter(|waveform| !waveform.is_empty())
    }

    fn judge(&mut self, probability: f32, detection: TurnDetection, turns: &mut Vec<Turn>) {
        let end = self.n_chunks * CHUNK;
        if probability >= detection.threshold - if self.is_speech { HYSTERESIS } else { 0.0 } {
            self.last_speech = end;
            if !self.is_speech {
                let start = (end - CHUNK).saturating_sub(detection.prefix_ms * MS).max(self.n_before);
                self.forget((start - self.n_before) as usize);
                self.start(turns);
            }
        }
        if self.is_speech {
            self.judge_speech(probability, detection, turns);
        } else if let Some(idle_ms) = detection.idle_ms
            && end.saturating_sub(self.n_before) >= idle_ms * MS
        {
            let start_ms = self.start_ms();
            let waveform = self.take_until(end);
            turns.push(Turn::Idle { start_ms, end_ms: self.start_ms(), waveform });
        }
    }

    fn judge_speech(&mut self, probability: f32, detection: TurnDetection, turns: &mut Vec<Turn>) {
        let end = self.n_chunks * CHUNK;
        if end - self.last_speech >= detection.silence_ms * MS {
            // A word is heard before it is taken for speech: the end of the silence is left to the turn that it may begin.
            let n_left = detection.prefix_ms.min(detection.silence_ms / 2) * MS;
            self.is_speech = false;
            self.stop(end - n_left, turns, false);
            return;
        }
        let n_samples = end.saturating_sub(self.n_before);
        if n_samples >= LONG_TURN && probability <= self.quietest.0 {
            self.quietest = (probability, end);
        }
        if n_samples >= MAX_TURN {
            self.stop(self.quietest.1, turns, true);
            self.start(turns);
        }
    }

    fn start(&mut self, turns: &mut Vec<Turn>) {
        self.is_speech = true;
        self.quietest = (f32::INFINITY, 0);
        turns.push(Turn::Started { at_ms: self.start_ms() });
    }

    fn stop(&mut self, end: u64, turns: &mut Vec<Turn>, is_cut: bool) {
        let waveform = self.take_until(end);
        turns.push(Turn::Stopped { at_ms: self.start_ms(), waveform, is_cut });
    }

    /// The sound up to a sample of the session.
    fn take_until(&mut self, end: u64) -> Vec<f32> {
        self.take((end.saturating_sub(self.n_before) as usize).min(self.waveform.len()))
    }

    fn take(&mut self, n_samples: usize) -> Vec<f32> {
        self.n_before += n_samples as u64;
        self.waveform.drain(..n_samples).collect()
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
            let [Turn::Started { at_ms }, Turn::Stopped { at_ms: end_ms, waveform, .. }] = &found[..] else {
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
    fn a_turn_that_is_too_long_is_cut_between_words() {
        let speech = speech();
        let words = &speech[2 * SAMPLE_RATE..speech.len() - 2 * SAMPLE_RATE];
        let mut turns = Turns::default();
        turns.set_detection(Some(TurnDetection { silence_ms: 5000, ..TurnDetection::default() }));
        let found: Vec<Turn> = (0..5).flat_map(|_| turns.push(words)).collect();
        let [
            Turn::Started { at_ms: 0 },
            Turn::Stopped { at_ms, waveform, is_cut: true },
            Turn::Started { at_ms: next_ms },
        ] = &found[..]
        else {
            panic!("{} turns", found.len());
        };
        assert_eq!(at_ms, next_ms, "nothing is lost");
        assert!((23_000..=28_000).contains(at_ms), "{at_ms}");
        let loudest = waveform[waveform.len() - VAD_CHUNK..].iter().fold(0.0, |max: f32, x| max.max(x.abs()));
        assert!(loudest < 0.01, "{loudest}");
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
