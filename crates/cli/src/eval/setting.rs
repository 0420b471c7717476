//! What is measured: a model with its flags, or text that is there already.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use boswell_eval::{Item, Outcome, hypotheses};
use clap::{Args, Command, FromArgMatches};

use super::listen::{Found, listen};
use crate::args::{EvalArgs, Given, RecognitionArgs, normalise};
use crate::screen::Screen;
use crate::usage::usage;

/// One of the things to measure.
pub(super) enum Setting<'a> {
    /// Text that some program wrote.
    Hypotheses(PathBuf),
    /// A model and how it is run, and where what it writes is kept.
    Model(Box<RecognitionArgs>, Option<&'a Path>),
}

impl<'a> Setting<'a> {
    /// What the command line asks to measure: one, or two to compare.
    ///
    /// # Errors
    /// If one of the two makes no sense.
    pub(super) fn all(args: &'a EvalArgs) -> Result<Vec<Self>> {
        let scoring = &args.scoring;
        match (&scoring.compare, &scoring.hypotheses) {
            (Some(both), _) => both.iter().map(|text| Self::of(text, &args.given)).collect(),
            (None, Some(path)) => Ok(vec![Self::Hypotheses(path.clone())]),
            (None, None) => {
                Ok(vec![Self::Model(Box::new(args.recognition.clone()), scoring.save.as_deref())])
            }
        }
    }

    /// One side of a comparison: a file, flags, or the name of a model. What it does not say is as `given` for both.
    fn of(text: &str, given: &Given) -> Result<Self> {
        if text.ends_with(".jsonl") {
            return Ok(Self::Hypotheses(text.into()));
        }
        let own: Vec<&str> =
            if text.starts_with('-') { text.split_whitespace().collect() } else { vec!["--model", text] };
        let definition = Command::new("--compare").no_binary_name(true).args_override_self(true);
        let definition = RecognitionArgs::augment_args(definition);
        let own = normalise::normalise(own.into_iter().map(Into::into), &definition);
        let parsed = definition.try_get_matches_from(given.0.iter().cloned().chain(own));
        match parsed.and_then(|matches| RecognitionArgs::from_arg_matches(&matches)) {
            Ok(args) => Ok(Self::Model(Box::new(args), None)),
            Err(error) => usage!("`{text}` cannot be compared: {}", error.render().to_string().trim_end()),
        }
    }

    /// What was written for each recording; `None` where there is nothing.
    ///
    /// # Errors
    /// If the text or the model cannot be read, or flags make no sense.
    pub(super) fn find(&self, items: &[Item], screen: &Screen) -> Result<Vec<Option<Found>>> {
        match self {
            Self::Hypotheses(path) => read_text(path, items),
            Self::Model(args, save) => listen(args, *save, items, screen),
        }
    }
}

/// Finds the text of each recording in what some program wrote.
fn read_text(path: &Path, items: &[Item]) -> Result<Vec<Option<Found>>> {
    let texts = hypotheses(path)?;
    let by_id: HashMap<&str, _> = texts.iter().map(|text| (text.id.as_str(), text)).collect();
    let found = |item: &Item| {
        let Some(text) = by_id.get(item.id.as_str()) else {
            tracing::error!("`{}` has no text for {}", path.display(), item.id);
            return None;
        };
        let outcome = Outcome { text: text.text.clone(), words: text.words.clone(), ..Outcome::default() };
        Some(Found { outcome, language: None })
    };
    Ok(items.iter().map(found).collect())
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::args::{Cli, Command as Subcommand};

    /// The two sides of `boswell eval list.jsonl …`.
    fn sides(line: &[&str]) -> Result<Vec<RecognitionArgs>> {
        let line = ["boswell", "eval", "list.jsonl"].iter().chain(line).map(|&word| word.into());
        let Subcommand::Eval(args) = Cli::parse_from(normalise::normalise(line, &Cli::command())).command
        else {
            panic!("not eval");
        };
        let sides = Setting::all(&args)?.into_iter().map(|setting| match setting {
            Setting::Model(args, _) => *args,
            Setting::Hypotheses(path) => panic!("{}", path.display()),
        });
        Ok(sides.collect())
    }

    #[test]
    fn flags_outside_of_the_quotes_are_for_both_sides() {
        let line = ["--model", "base", "--vad", "--clip_timestamps", "0,5", "--beam-size=2", "--offline"];
        let sides = sides(&[&line[..], &["--compare", "--beam_size 5", "small"]].concat()).unwrap();
        let figures = |side: &RecognitionArgs| (side.model.model.clone(), side.search.beam_size);
        assert_eq!(sides.iter().map(figures).collect::<Vec<_>>(), [("base".into(), 5), ("small".into(), 2)]);
        for side in sides {
            assert!(side.model.offline && side.speech.vad == Some(true));
            assert_eq!(side.decoding.clip_timestamps, [0.0, 5.0]);
        }
    }

    #[test]
    fn a_side_that_makes_no_sense_is_named() {
        let error = sides(&["--compare", "base", "--beam-size x"]).unwrap_err().to_string();
        assert!(error.starts_with("`--beam-size x` cannot be compared: "), "{error}");
    }
}
