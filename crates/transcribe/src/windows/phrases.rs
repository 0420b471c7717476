//! Phrases that models write where nobody speaks.

use std::collections::{BTreeMap, HashSet};

use crate::Options;

/// By language code; learnt from subtitles that models were trained on.
const COMMON: &str = include_str!("../../data/phrases.json");

/// Phrases to drop.
#[derive(Debug, Default)]
pub(crate) struct Phrases {
    /// Without case and marks.
    bare: HashSet<String>,
}

impl Phrases {
    /// What `options` ask for, in a language by its code.
    pub(crate) fn new(language: &str, options: &Options) -> Self {
        let mut bare: HashSet<String> =
            options.drop_phrases.iter().map(|phrase| self::bare(phrase)).collect();
        if options.phrase_filter {
            let common: BTreeMap<&str, Vec<&str>> =
                serde_json::from_str(COMMON).expect("the file of phrases is part of the program");
            bare.extend(common.get(language).into_iter().flatten().map(|phrase| self::bare(phrase)));
        }
        bare.remove("");
        Self { bare }
    }

    /// Whether a text is one of the phrases and nothing else.
    pub(crate) fn are_all_of(&self, text: &str) -> bool {
        !self.bare.is_empty() && self.bare.contains(&bare(text))
    }
}

/// A text in small letters, without marks, with single spaces.
fn bare(text: &str) -> String {
    let plain: String =
        text.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_known_whatever_their_case_and_marks() {
        let options = Options {
            phrase_filter: true,
            drop_phrases: vec!["Beep!".to_owned(), " -- ".to_owned()],
            ..Options::default()
        };
        let english = Phrases::new("en", &options);
        for text in [
            " Thanks for watching!",
            " THANKS FOR  WATCHING",
            " beep",
            "Subtitles by the Amara.org community",
        ] {
            assert!(english.are_all_of(text), "{text}");
        }
        for text in ["", " ...", " Thanks for watching the door.", " Vielen Dank fürs Zuschauen!"] {
            assert!(!english.are_all_of(text), "{text}");
        }
        assert!(Phrases::new("de", &options).are_all_of(" Vielen Dank fürs Zuschauen!"));
        assert!(!Phrases::new("en", &Options::default()).are_all_of(" Thanks for watching!"));
    }

    #[test]
    fn the_file_of_phrases_holds_languages_and_phrases_that_say_something() {
        let common: BTreeMap<&str, Vec<&str>> = serde_json::from_str(COMMON).unwrap();
        assert!(common.len() > 10);
        for (language, phrases) in common {
            assert!(boswell_model::language_name(language).is_some(), "{language}");
            assert!(phrases.iter().all(|phrase| bare(phrase).chars().count() > 3), "{language}");
        }
    }
}
