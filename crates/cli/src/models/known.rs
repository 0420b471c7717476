//! The models that have a name of their own, and where they are on the hub.

use crate::built_in;

/// A model with a short name.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) name: &'static str,
    /// Another name for the same model.
    pub(crate) alias: Option<&'static str>,
    /// `organisation/name` on the hub.
    pub(crate) repository: &'static str,
    /// Parameters in millions × bytes per parameter as published; a model is mostly its weights.
    /// `None` where it was not looked up.
    pub(crate) size: Option<Size>,
}

/// What there is to fetch, about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    parameters: f64, // millions
    bytes_each: f64,
}

impl Size {
    /// Bytes, to within a few per cent.
    pub(crate) fn bytes(self) -> u64 {
        (self.parameters * 1e6 * self.bytes_each) as u64
    }
}

const fn known(name: &'static str, repository: &'static str, parameters: f64, bytes_each: f64) -> Known {
    Known { name, alias: None, repository, size: Some(Size { parameters, bytes_each }) }
}

/// All of them, smallest first within a family.
pub(crate) const KNOWN: &[Known] = &[
    known("tiny", "openai/whisper-tiny", 37.8, 4.0),
    known("tiny.en", "openai/whisper-tiny.en", 37.8, 4.0),
    known("base", "openai/whisper-base", 72.6, 4.0),
    known("base.en", "openai/whisper-base.en", 72.6, 4.0),
    known("small", "openai/whisper-small", 241.7, 4.0),
    known("small.en", "openai/whisper-small.en", 241.7, 4.0),
    known("medium", "openai/whisper-medium", 763.9, 4.0),
    known("medium.en", "openai/whisper-medium.en", 763.9, 4.0),
    known("large-v1", "openai/whisper-large", 1543.3, 4.0),
    known("large-v2", "openai/whisper-large-v2", 1543.3, 4.0),
    Known { alias: Some("large"), ..known("large-v3", "openai/whisper-large-v3", 1543.5, 2.0) },
    Known { alias: Some("large-v3-turbo"), ..known("turbo", "openai/whisper-large-v3-turbo", 808.9, 2.0) },
    known("distil-small.en", "distil-whisper/distil-small.en", 166.0, 2.0),
    known("distil-medium.en", "distil-whisper/distil-medium.en", 394.0, 2.0),
    known("distil-large-v2", "distil-whisper/distil-large-v2", 756.0, 2.0),
    known("distil-large-v3", "distil-whisper/distil-large-v3", 756.0, 2.0),
    Known { size: None, ..known("distil-large-v3.5", "distil-whisper/distil-large-v3.5", 0.0, 0.0) },
];

/// The model called `name`, in any case.
pub(crate) fn find(name: &str) -> Option<&'static Known> {
    let is_called = |known: &&Known| {
        known.name.eq_ignore_ascii_case(name)
            || known.alias.is_some_and(|alias| alias.eq_ignore_ascii_case(name))
    };
    KNOWN.iter().find(is_called)
}

/// The known name that is most like `name`, if one is like it at all.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    names()
        .map(|known| (strsim::normalized_damerau_levenshtein(known, &name), known))
        .filter(|(likeness, _)| *likeness >= 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

/// All names and aliases, the built-in model's first.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    let hub = KNOWN.iter().flat_map(|known| [Some(known.name), known.alias]).flatten();
    std::iter::once(built_in::NAME).chain(hub)
}

/// Whether `text` has the form of a repository on the hub: `organisation/name`.
pub(crate) fn is_repository(text: &str) -> bool {
    let is_part = |part: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !part.is_empty()
            && part.len() <= 96
            && part.chars().all(is_plain)
            && !part.starts_with(['.', '-'])
            && !part.contains("..")
    };
    text.split_once('/').is_some_and(|(organisation, name)| is_part(organisation) && is_part(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_to_a_repository_and_no_two_are_alike() {
        let mut names: Vec<&str> = names().collect();
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!(names.len(), before);
        assert!(KNOWN.iter().all(|known| is_repository(known.repository)));
        assert_eq!(find("large").unwrap().repository, "openai/whisper-large-v3");
        assert_eq!(find("large-v1").unwrap().repository, "openai/whisper-large");
        assert_eq!(find("Turbo").unwrap().repository, "openai/whisper-large-v3-turbo");
        assert!(find("digits.en").is_none());
    }

    #[test]
    fn a_slip_of_the_finger_finds_the_name() {
        for (typed, meant) in
            [("bsae", "base"), ("tiny-en", "tiny.en"), ("large-v4", "large-v3"), ("trubo", "turbo")]
        {
            assert_eq!(nearest(typed), Some(meant), "{typed}");
        }
        assert_eq!(nearest("parakeet"), None);
    }

    #[test]
    fn a_repository_is_two_plain_parts() {
        for good in ["openai/whisper-base", "a/b", "distil-whisper/distil-large-v3.5"] {
            assert!(is_repository(good), "{good}");
        }
        for bad in ["base", "a/b/c", "../b", "a/..", "/b", "a/", "./x", "a b/c", "a/b\\c", "a/.hidden"] {
            assert!(!is_repository(bad), "{bad}");
        }
    }
}
