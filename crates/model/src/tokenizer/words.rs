//! Words in a sequence of tokens, and tokens that are no words.

use std::collections::BTreeSet;

use super::Tokenizer;

/// A word and its tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// The text, with the space before it.
    pub text: String,
    /// The tokens.
    pub tokens: Vec<u32>,
}

/// Python's `string.punctuation`.
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// Languages that are written without spaces.
const WITHOUT_SPACES: [&str; 6] = ["zh", "ja", "th", "lo", "my", "yue"];

/// Source: `split_to_word_tokens` in openai/whisper `whisper/tokenizer.py`.
pub(super) fn split(tokenizer: &Tokenizer, tokens: &[u32], language: Option<&str>) -> Vec<Word> {
    let characters = split_on_unicode(tokenizer, tokens);
    if language.is_some_and(|code| WITHOUT_SPACES.contains(&code)) {
        return characters;
    }
    join_on_spaces(characters, tokenizer.special().eot)
}

/// Splits where the tokens so far are whole characters.
fn split_on_unicode(tokenizer: &Tokenizer, tokens: &[u32]) -> Vec<Word> {
    let full: Vec<char> = tokenizer.decode_with_timestamps(tokens).chars().collect();
    let mut words = Vec::new();
    let mut current = Vec::new();
    let mut offset = 0;
    for token in tokens {
        current.push(*token);
        let text = tokenizer.decode_with_timestamps(&current);
        // A replacement character is final if the text as a whole has one there too.
        let is_complete = match text.chars().position(|c| c == char::REPLACEMENT_CHARACTER) {
            None => true,
            Some(place) => full.get(offset + place) == Some(&char::REPLACEMENT_CHARACTER),
        };
        if is_complete {
            offset += text.chars().count();
            words.push(Word { text, tokens: std::mem::take(&mut current) });
        }
    }
    words
}

/// Joins to the word before it what neither begins with a space nor stands by itself.
fn join_on_spaces(parts: Vec<Word>, eot: u32) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    for part in parts {
        let is_special = part.tokens[0] >= eot;
        let is_punctuation = PUNCTUATION.contains(part.text.trim_matches(is_python_space));
        match words.last_mut() {
            Some(word) if !is_special && !is_punctuation && !part.text.starts_with(' ') => {
                word.text.push_str(&part.text);
                word.tokens.extend(part.tokens);
            }
            _ => words.push(part),
        }
    }
    words
}

/// What Python's `str.strip` takes away.
fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// Source: `non_speech_tokens` in openai/whisper `whisper/tokenizer.py`.
pub(super) fn non_speech_tokens(tokenizer: &Tokenizer) -> Vec<u32> {
    let single = "\"#()*+/:;<=>@[\\]^_`{|}~「」『』".chars().map(String::from);
    let several =
        "<< >> <<< >>> -- --- -( -[ (' (\" (( )) ((( ))) [[ ]] {{ }} ♪♪ ♪♪♪".split(' ').map(String::from);
    // Where these are several tokens, the first stands for U+2640 to U+267F, all of them symbols.
    let music = "♩♪♫♬♭♮♯".chars().map(String::from);
    let symbols =
        single.chain(several).map(|symbol| (symbol, false)).chain(music.map(|symbol| (symbol, true)));
    // Hyphens and apostrophes are allowed within words, but not at the start of one.
    let mut found: BTreeSet<u32> = [" -", " '"].into_iter().map(|start| tokenizer.encode(start)[0]).collect();
    for (symbol, is_music) in symbols {
        for text in [symbol.clone(), format!(" {symbol}")] {
            let tokens = tokenizer.encode(&text);
            if tokens.len() == 1 || is_music {
                found.insert(tokens[0]);
            }
        }
    }
    found.into_iter().collect()
}
