//! The recording's time line: what encoders added is cut, what was lost is silence.

use std::ops::Range;

/// A gap longer than this is a clock that was set, not a loss.
const MAX_GAP_S: f64 = 3600.0;

/// Where decoded samples belong, and which of them are to be heard. All in samples of the decoded rate.
#[derive(Debug)]
pub(super) struct Timeline {
    rate: f64,
    position: u64,         // samples decoded or filled in so far
    cuts: Vec<Range<u64>>, // in order
    n_padding: usize,      // samples to drop at the end
    held: Vec<f32>,        // the last `n_padding` samples so far
    min_gap_s: f64,
    origin_s: Option<f64>, // the first packet's time
}

impl Timeline {
    /// Starts a time line.
    ///
    /// - `cuts`: what is not to be heard, in order.
    /// - `n_padding`: samples that are not to be heard before the end, wherever that is.
    /// - `min_gap_s`: shorter gaps are the container's rounding or a recorder's jitter.
    pub(super) fn new(rate: u32, cuts: Vec<Range<u64>>, n_padding: usize, min_gap_s: f64) -> Self {
        Self {
            rate: f64::from(rate),
            position: 0,
            cuts,
            n_padding,
            held: Vec::new(),
            min_gap_s,
            origin_s: None,
        }
    }

    /// Tells how many samples are missing before a packet that claims to begin at `time_s`.
    pub(super) fn gap_before(&mut self, time_s: f64) -> u64 {
        let here_s = self.position as f64 / self.rate;
        let origin_s = *self.origin_s.get_or_insert(time_s - here_s);
        let gap_s = time_s - origin_s - here_s;
        if gap_s.abs() > MAX_GAP_S {
            self.origin_s = Some(time_s - here_s);
        }
        if (self.min_gap_s..=MAX_GAP_S).contains(&gap_s) { (gap_s * self.rate).round() as u64 } else { 0 }
    }

    /// Takes decoded samples and appends those that are to be heard to `out`.
    pub(super) fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        let first = self.position;
        self.position += samples.len() as u64;
        let index = |position: u64| (position.clamp(first, self.position) - first) as usize;
        let mut from = 0;
        let before = out.len();
        for cut in &self.cuts {
            out.extend_from_slice(&samples[from..index(cut.start).max(from)]);
            from = index(cut.end).max(from);
        }
        out.extend_from_slice(&samples[from..]);
        self.cuts.retain(|cut| cut.end > self.position);
        self.hold_back(before, out);
    }

    /// Keeps the last samples, which may be padding, until others follow them.
    fn hold_back(&mut self, before: usize, out: &mut Vec<f32>) {
        if self.n_padding > 0 {
            self.held.extend(out.drain(before..));
            let n_free = self.held.len().saturating_sub(self.n_padding);
            out.extend(self.held.drain(..n_free));
        }
    }

    /// Whether nothing more is to be heard.
    pub(super) fn is_over(&self) -> bool {
        self.cuts.first().is_some_and(|cut| cut.start <= self.position && cut.end == u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cuts, padding, and what is heard of the samples 0 to 19.
    type Case = (Vec<Range<u64>>, usize, Vec<f32>);

    fn heard(cuts: &[Range<u64>], n_padding: usize, chunk: usize) -> Vec<f32> {
        let samples: Vec<f32> = (0..20).map(|i| i as f32).collect();
        let mut timeline = Timeline::new(10, cuts.to_vec(), n_padding, 0.1);
        let mut out = Vec::new();
        samples.chunks(chunk).for_each(|chunk| timeline.push(chunk, &mut out));
        out
    }

    #[test]
    fn cuts_and_padding_do_not_depend_on_the_chunks() {
        let cut = |start, end| std::iter::once(start..end).collect();
        let upto = |range: Range<u8>| range.map(f32::from).collect();
        let cases: &[Case] = &[
            (vec![], 0, upto(0..20)),
            (vec![0..3, 18..20], 0, upto(3..18)),
            (vec![0..3, 5..u64::MAX], 0, upto(3..5)),
            (cut(0, 15), 3, upto(15..17)),
            (cut(0, 19), 3, vec![]),
            (cut(0, 30), 0, vec![]),
        ];
        for (cuts, n_padding, expected) in cases {
            for chunk in [1, 2, 7, 20] {
                assert_eq!(heard(cuts, *n_padding, chunk), *expected, "{cuts:?} by {chunk}");
            }
        }
    }

    #[test]
    fn gaps_are_measured_from_the_first_packet() {
        let mut timeline = Timeline::new(1000, vec![], 0, 0.1);
        assert_eq!(timeline.gap_before(5.0), 0);
        timeline.push(&[0.0; 500], &mut Vec::new());
        assert_eq!(timeline.gap_before(5.55), 0); // jitter
        assert_eq!(timeline.gap_before(5.75), 250);
        assert_eq!(timeline.gap_before(2.0), 0); // backwards
        assert_eq!(timeline.gap_before(9000.0), 0); // another clock
        assert_eq!(timeline.gap_before(9000.2), 200);
    }

    #[test]
    fn a_cut_to_the_end_ends_the_recording() {
        let mut timeline = Timeline::new(1000, vec![0..10, 100..u64::MAX], 0, 0.1);
        timeline.push(&[0.0; 99], &mut Vec::new());
        assert!(!timeline.is_over());
        timeline.push(&[0.0; 1], &mut Vec::new());
        assert!(timeline.is_over());
    }
}
