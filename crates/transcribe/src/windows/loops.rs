//! Text that runs in circles.

use std::ops::Range;

use boswell_model::Tokenizer;

use crate::Segment;

/// What is said so often in a row is a loop ...
const MIN_REPEATS: usize = 6;
/// ... if it is at least so many tokens in all: people do say no, no, no.
const MIN_TOKENS: usize = 24;

/// Whether there is a loop in the text of some tokens.
///
/// - `eot`: all smaller tokens are text.
pub(super) fn is_any(tokens: &[u32], eot: u32) -> bool {
    let text: Vec<u32> = tokens.iter().copied().filter(|&token| token < eot).collect();
    !repeats(&text).is_empty()
}

/// Leaves of every loop what is said first. Segments of which nothing is left stay without text.
///
/// Returns for every segment of which something was taken its index and the text.
pub(super) fn cut(segments: &mut [Segment], tokenizer: &Tokenizer) -> Vec<(usize, String)> {
    let eot = tokenizer.special().eot;
    let is_text = |token: &u32| *token < eot;
    let (mut text, mut starts) = (Vec::new(), Vec::new());
    for segment in &*segments {
        starts.push(text.len());
        text.extend(segment.tokens.iter().copied().filter(is_text));
    }
    let begins_word = |place: &usize| tokenizer.token_bytes(text[*place]).starts_with(b" ");
    let repeats: Vec<Range<usize>> = repeats(&text)
        .into_iter()
        .map(|Repeats { period, places }| {
            // A loop has no beginning of its own: it is cut where a segment begins, or a word.
            let mut turn = places.start..places.end.min(places.start + period);
            let segment = turn.clone().find(|place| starts.contains(place));
            let start = segment.or_else(|| turn.find(begins_word)).unwrap_or(places.start);
            start..places.end
        })
        .collect();

    let mut taken = Vec::new();
    let mut places = 0..;
    for (idx, segment) in segments.iter_mut().enumerate() {
        let mut cut = Vec::new();
        let mut is_kept = Vec::new(); // of each text token
        segment.tokens.retain(|token| {
            let Some(place) = is_text(token).then(|| places.next()).flatten() else { return true };
            let is_repeat = repeats.iter().any(|range| range.contains(&place));
            if is_repeat {
                cut.push(*token);
            }
            is_kept.push(!is_repeat);
            !is_repeat
        });
        if !cut.is_empty() {
            let left: Vec<u32> = segment.tokens.iter().copied().filter(is_text).collect();
            segment.text = tokenizer.decode(&left);
            let mut is_kept = is_kept.into_iter();
            segment.logprobs.iter_mut().for_each(|all| all.retain(|_| is_kept.next().unwrap_or(true)));
            taken.push((idx, tokenizer.decode(&cut)));
        }
    }
    taken
}

/// What comes again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Repeats {
    /// Tokens of one time.
    period: usize,
    /// All times but the first.
    places: Range<usize>,
}

fn repeats(text: &[u32]) -> Vec<Repeats> {
    let mut found: Vec<Repeats> = Vec::new();
    for period in 1..=text.len() / MIN_REPEATS {
        let mut start = 0;
        while start + period < text.len() {
            let same = (start..text.len() - period).take_while(|&i| text[i] == text[i + period]).count();
            let places = start + period..start + period + same;
            let is_loop = same + period >= MIN_TOKENS.max(MIN_REPEATS * period);
            // A loop is one of all multiples of its period too.
            let overlaps =
                |other: &Repeats| other.places.start < places.end && places.start < other.places.end;
            if is_loop && !found.iter().any(overlaps) {
                found.push(Repeats { period, places });
            }
            start += same + 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TokenLogprob, golden};

    fn said(parts: &[(&[u32], usize)]) -> Vec<u32> {
        parts.iter().flat_map(|(phrase, n)| phrase.repeat(*n)).collect()
    }

    #[test]
    fn what_is_said_too_often_is_found_without_its_first_time() {
        type Places<'a> = &'a [(usize, usize)];
        let cases: [(Vec<u32>, Places<'_>); 7] = [
            (said(&[(&[1, 2, 3], 8)]), &[(3, 24)]),
            (said(&[(&[7], 2), (&[1, 2, 3], 8), (&[9], 1)]), &[(5, 26)]),
            (said(&[(&[1, 2, 3], 7)]), &[]),          // 21 tokens
            (said(&[(&[1, 2, 3, 4, 5, 6], 5)]), &[]), // 5 times
            (said(&[(&[4], 30), (&[5, 6], 20)]), &[(1, 30), (32, 70)]),
            (said(&[(&[1, 2, 3], 8), (&[1, 2], 1)]), &[(3, 26)]), // cut off in its course
            ((0..200).collect(), &[]),
        ];
        for (text, expected) in cases {
            let found: Vec<(usize, usize)> =
                repeats(&text).into_iter().map(|found| (found.places.start, found.places.end)).collect();
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn a_loop_over_several_segments_leaves_its_first() {
        const TS: u32 = 50364;
        let tokenizer = golden::tokenizer(51865);
        let thanks = tokenizer.encode(" Thank you.");
        let segment = |text: &[u32], at: u32| {
            let tokens = [&[TS + at], text, &[TS + at + 50]].concat();
            let logprobs = text.iter().zip(0..).map(|(&token, place)| TokenLogprob {
                bytes: tokenizer.token_bytes(token).to_vec(),
                logprob: -(place as f32),
            });
            let logprobs = Some(logprobs.collect());
            Segment { tokens, text: tokenizer.decode(text), logprobs, ..Segment::default() }
        };
        let mut segments = vec![segment(&tokenizer.encode(" Real words."), 0)];
        segments.extend((1..10).map(|i| segment(&thanks, i * 50)));
        assert!(is_any(
            &segments.iter().flat_map(|segment| segment.tokens.clone()).collect::<Vec<_>>(),
            50257
        ));
        let taken = cut(&mut segments, tokenizer);
        assert_eq!(taken.len(), 8);
        assert_eq!(taken[0], (2, " Thank you.".to_owned()));
        let texts: Vec<&str> = segments.iter().map(|segment| segment.text.as_str()).collect();
        assert_eq!(texts[..3], [" Real words.", " Thank you.", ""]);
        assert!(texts[3..].iter().all(|text| text.is_empty()));
        assert_eq!(segments[2].tokens, [TS + 100, TS + 150]);
        for segment in &segments {
            let left = segment.logprobs.as_ref().unwrap();
            let text: Vec<u8> = left.iter().flat_map(|token| token.bytes.clone()).collect();
            assert_eq!(text, segment.text.as_bytes(), "each token goes with its logprob");
        }
    }
}
