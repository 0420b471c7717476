//! From text to tokens: byte-pair encoding.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use regex::Regex;

use super::Vocabulary;

/// How text is cut into pieces that are encoded by themselves.
///
/// GPT-2's pattern, but that it ends in `\s+(?!\S)|\s+`: [`pieces`] does what the lookahead would.
const PIECE: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+";

/// Finds the tokens of a text.
#[derive(Debug)]
pub(super) struct Encoder {
    piece: Regex,
    /// Text tokens, by the hash of their bytes.
    tokens: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// The length of the longest text token in bytes.
    max_len: usize,
}

impl Encoder {
    pub(super) fn new(vocabulary: &Vocabulary) -> Self {
        let hasher = DefaultHashBuilder::default();
        let hash = |token: &u32| hasher.hash_one(vocabulary.bytes(*token));
        let mut tokens = HashTable::with_capacity(vocabulary.special().eot as usize);
        let mut max_len = 0;
        for token in 0..vocabulary.special().eot {
            let bytes = vocabulary.bytes(token);
            max_len = max_len.max(bytes.len());
            tokens
                .entry(hash(&token), |known: &u32| vocabulary.bytes(*known) == bytes, hash)
                .or_insert(token);
        }
        let piece = Regex::new(PIECE).expect("the pattern is valid");
        Self { piece, tokens, hasher, max_len }
    }

    pub(super) fn encode(&self, vocabulary: &Vocabulary, text: &str) -> Vec<u32> {
        let mut tokens = Vec::new();
        for piece in pieces(&self.piece, text) {
            match self.rank(vocabulary, piece.as_bytes()) {
                Some(token) => tokens.push(token),
                None => self.merge(vocabulary, piece.as_bytes(), &mut tokens),
            }
        }
        tokens
    }

    /// The token that has these bytes, which is also its rank.
    fn rank(&self, vocabulary: &Vocabulary, bytes: &[u8]) -> Option<u32> {
        if bytes.len() > self.max_len {
            return None;
        }
        let hash = self.hasher.hash_one(bytes);
        self.tokens.find(hash, |token| vocabulary.bytes(*token) == bytes).copied()
    }

    /// Joins the two neighbours whose union has the lowest rank (the first of several), until no union is a token.
    ///
    /// Takes `n log n` steps for `n` bytes. A part is known by the place where it starts.
    ///
    /// Source: `byte_pair_merge` in openai/tiktoken `src/lib.rs`.
    fn merge(&self, vocabulary: &Vocabulary, piece: &[u8], tokens: &mut Vec<u32>) {
        const GONE: usize = usize::MAX;
        let n = piece.len();
        let mut next: Vec<usize> = (1..=n).collect(); // where the part ends
        let mut before: Vec<usize> = (0..n).map(|start| start.wrapping_sub(1)).collect(); // the part on its left
        let union = |start: usize, end: usize| {
            self.rank(vocabulary, &piece[start..end]).map(|rank| Reverse((rank, start, end)))
        };
        let mut unions: BinaryHeap<_> = (1..n).filter_map(|middle| union(middle - 1, middle + 1)).collect();
        while let Some(Reverse((_, start, end))) = unions.pop() {
            let middle = next[start];
            let is_current = middle != GONE && middle < n && next[middle] == end;
            if !is_current {
                continue;
            }
            next[start] = end;
            next[middle] = GONE;
            if end < n {
                before[end] = start;
                unions.extend(union(start, next[end]));
            }
            if start > 0 {
                unions.extend(union(before[start], end));
            }
        }
        let mut start = 0;
        while start < n {
            let end = next[start];
            tokens.push(
                self.rank(vocabulary, &piece[start..end]).expect("every byte and every union is a token"),
            );
            start = end;
        }
    }
}

/// Cuts text into pieces. White space before a word is a piece of its own but for the last character, which belongs
/// to the word if it is a space.
fn pieces<'a>(piece: &Regex, text: &'a str) -> impl Iterator<Item = &'a str> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let found = piece.find_at(text, at)?;
        let mut end = found.end();
        let mut reversed = found.as_str().chars().rev();
        if let Some(last) = reversed.next()
            && last.is_whitespace()
            && reversed.next().is_some()
            && end < text.len()
        {
            end -= last.len_utf8();
        }
        at = end;
        Some(&text[found.start()..end])
    })
}

#[cfg(test)]
pub(super) fn pieces_of(text: &str) -> Vec<&str> {
    pieces(&Regex::new(PIECE).unwrap(), text).collect()
}
