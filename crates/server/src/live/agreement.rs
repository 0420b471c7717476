//! Which words of a text that is still being spoken will stay: those that two hypotheses in a row agree on.
//!
//! Source: LocalAgreement-2 in Macháček et al., "Turning Whisper into Real-Time Transcription System" (2023).

/// The text of a turn, as far as it is certain.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    /// The words of the last hypothesis.
    last: Vec<String>,
    /// Words that are certain.
    n_words: usize,
}

impl Agreement {
    /// Takes what the turn sounds like so far, and returns what has become certain of it: what follows the text that
    /// was returned before.
    pub(super) fn hear(&mut self, hypothesis: &str) -> String {
        let words = words(hypothesis);
        let n_same = words.iter().zip(&self.last).take_while(|(x, y)| bare(x) == bare(y)).count();
        let delta = self.commit(&words, n_same);
        self.last = words;
        delta
    }

    /// Takes what the whole turn was found to be, and returns the rest of its text.
    pub(super) fn finish(&mut self, hypothesis: &str) -> String {
        let words = words(hypothesis);
        let n_words = words.len();
        self.commit(&words, n_words)
    }

    /// Makes words certain up to the `n_words`-th. Those before are not taken back, whatever they are now.
    fn commit(&mut self, words: &[String], n_words: usize) -> String {
        let Some(new) = words.get(self.n_words..n_words).filter(|new| !new.is_empty()) else {
            return String::new();
        };
        let mut delta = new.concat();
        if self.n_words == 0 {
            delta = delta.trim_start().to_owned();
        }
        self.n_words = n_words;
        delta
    }
}

/// A word without the marks around it and without its case, which change as long as the sentence does.
pub(crate) fn bare(word: &str) -> String {
    word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase()
}

/// The words of a text, each with the space before it. Signs of scripts without spaces are words.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut is_in_word = false;
    for c in text.trim_end().chars() {
        let begins_word = c.is_whitespace() && is_in_word;
        let stands_alone = ('\u{2e80}'..='\u{d7ff}').contains(&c) || c >= '\u{20000}';
        match words.last_mut() {
            Some(word) if !begins_word && !stands_alone => word.push(c),
            _ => words.push(c.to_string()),
        }
        is_in_word = !c.is_whitespace();
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_was_heard_twice_is_certain() {
        let mut agreement = Agreement::default();
        assert_eq!(agreement.hear(" The quick"), "");
        assert_eq!(agreement.hear(" The quick brown"), "The quick");
        assert_eq!(agreement.hear(" The quick, brown fox"), " brown");
        assert_eq!(agreement.hear(" A quick"), "");
        assert_eq!(agreement.finish(" The quick brown fox jumps."), " fox jumps.");
    }

    #[test]
    fn scripts_without_spaces_have_words_too() {
        let mut agreement = Agreement::default();
        agreement.hear("今天天");
        assert_eq!(agreement.hear("今天天气"), "今天天");
        assert_eq!(agreement.finish("今天天气很好。"), "气很好。");
    }

    #[test]
    fn a_shorter_end_takes_nothing_back() {
        let mut agreement = Agreement::default();
        agreement.hear(" one two three");
        assert_eq!(agreement.hear(" one two three"), "one two three");
        assert_eq!(agreement.finish(" one two"), "");
    }

    proptest! {
        #[test]
        fn words_put_together_are_the_text(text in "[ a-z今天.]{0,40}") {
            prop_assert_eq!(words(&text).concat(), text.trim_end());
        }

        #[test]
        fn where_hypotheses_only_grow_deltas_put_together_are_the_text(words in prop::collection::vec("[a-c]{1,2}", 1..8)) {
            let mut agreement = Agreement::default();
            let hypotheses = (1..=words.len()).map(|n_words| format!(" {}", words[..n_words].join(" ")));
            let heard: String = hypotheses.map(|hypothesis| agreement.hear(&hypothesis)).collect();
            let text = words.join(" ");
            prop_assert_eq!(heard + &agreement.finish(&text), text);
        }
    }
}
