//! How far a recording is, how fast it goes, and how long it still takes.

use std::time::Instant;

use indicatif::ProgressBar;

use crate::screen::Screen;

/// The progress of one recording, from its first byte to its last word.
pub(super) struct Progress<'a> {
    screen: &'a Screen,
    bar: ProgressBar,
    started: Instant,
    done_s: f64,
    total_s: f64,
}

impl<'a> Progress<'a> {
    pub(super) fn new(screen: &'a Screen) -> Self {
        Self { screen, bar: screen.spinner(), started: Instant::now(), done_s: 0.0, total_s: 0.0 }
    }

    /// So many seconds of the recording are read.
    pub(super) fn read(&self, read_s: f64) {
        self.bar.set_message(format!("reading: {}", clock(read_s)));
    }

    /// The whole recording is read; so much of it is to be transcribed.
    pub(super) fn transcribing(&mut self, total_s: f64) {
        self.bar.finish_and_clear();
        self.bar = self.screen.transcription_bar((total_s * 1000.0) as u64);
        self.total_s = total_s;
    }

    /// So many of the seconds that hold speech are transcribed.
    pub(super) fn transcribed(&mut self, done_s: f64, speech_s: f64) {
        // What is silent is done as fast as what is not.
        let done_s = done_s / speech_s.max(f64::MIN_POSITIVE) * self.total_s;
        self.done_s = done_s;
        let speed = done_s / self.started.elapsed().as_secs_f64();
        let (done, total) = (clock(done_s), clock(self.total_s));
        self.bar.set_position((done_s * 1000.0) as u64);
        if speed > 0.0 {
            let left = clock((self.total_s - done_s) / speed);
            self.bar.set_message(format!("{done} of {total}, {}, {left} left", times(speed)));
        }
    }

    /// The work on the recording has ended: says how far it came and how long it took.
    pub(super) fn finish(self, is_interrupted: bool) {
        self.bar.finish_and_clear();
        if is_interrupted {
            let (done, total) = (clock(self.done_s), clock(self.total_s));
            tracing::warn!("stopped at {done} of {total}; the transcript up to there is kept");
            return;
        }
        let elapsed_s = self.started.elapsed().as_secs_f64();
        let speed = times(self.total_s / elapsed_s);
        tracing::info!("{:.1} s of sound in {elapsed_s:.1} s: {speed}", self.total_s);
    }
}

impl Drop for Progress<'_> {
    /// An error must not leave half a bar behind.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A time as `1:02` or `1:02:03`.
fn clock(time_s: f64) -> String {
    let seconds = time_s.max(0.0).round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, minutes, seconds) => format!("{minutes}:{seconds:02}"),
        (hours, minutes, seconds) => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// A speed in seconds of sound per second of work.
fn times(speed: f64) -> String {
    if speed < 9.95 { format!("{speed:.1}x real time") } else { format!("{speed:.0}x real time") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_on_a_clock() {
        let cases =
            [(0.0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (3723.0, "1:02:03"), (36_000.0, "10:00:00")];
        for (time_s, text) in cases {
            assert_eq!(clock(time_s), text);
        }
        assert_eq!((times(0.53), times(12.4)), ("0.5x real time".into(), "12x real time".into()));
    }
}
