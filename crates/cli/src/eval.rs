//! `boswell eval`: recordings with known text in, figures out.

mod listen;
mod setting;

use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use boswell_eval::{Comparison, Item, ItemScore, Normaliser, Report, Scorer, compare, diff, read};
use boswell_model::language_code;
use serde::Serialize;

use crate::args::{EvalArgs, NormaliserArg, ScoringArgs};
use crate::screen::Screen;
use listen::Found;
use setting::Setting;

/// Measures one model or two on the recordings of a manifest.
///
/// Recordings that cannot be read are reported, and not scored.
///
/// # Errors
/// If the manifest cannot be read, the command line makes no sense, or a model cannot be loaded.
pub(crate) fn run(args: &EvalArgs, screen: &Screen) -> Result<ExitCode> {
    let mut items = read(&args.manifest)?;
    items.truncate(args.scoring.limit.unwrap_or(usize::MAX));
    let mut n_failed = 0;
    let mut all_scores = Vec::new();
    for setting in Setting::all(args)? {
        let found = setting.find(&items, screen)?;
        n_failed += found.iter().filter(|found| found.is_none()).count();
        all_scores.push(scores(&items, &found, args));
    }
    let text = match all_scores.as_slice() {
        [a, b] => {
            let comparison = compare(a, b).ok_or_else(|| anyhow!("there are no words to compare"))?;
            compared(&args.scoring, [a, b], &comparison)?
        }
        scores => measured(&args.scoring, scores.first().map_or(&[], Vec::as_slice))?,
    };
    screen.result(text.as_bytes())?;
    Ok(if n_failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The figures of all recordings whose text is known.
fn scores(items: &[Item], found: &[Option<Found>], args: &EvalArgs) -> Vec<ItemScore> {
    let asked = language_code(&args.recognition.decoding.language.to_lowercase());
    let score = |(item, found): (&Item, &Option<Found>)| {
        let found = found.as_ref()?;
        let language = item.language.as_deref().or(asked).or(found.language.as_deref()).unwrap_or("en");
        let normaliser = match args.scoring.normaliser {
            NormaliserArg::Auto => Normaliser::for_language(language),
            NormaliserArg::English => Normaliser::English,
            NormaliserArg::Basic => Normaliser::Basic { remove_diacritics: false, split_letters: false },
            NormaliserArg::None => Normaliser::None,
        };
        Scorer { normaliser }.score(item, &found.outcome)
    };
    items.iter().zip(found).filter_map(score).collect()
}

/// The result of one.
#[derive(Serialize)]
struct Measured<'a> {
    #[serde(flatten)]
    report: Report,
    items: &'a [ItemScore],
}

fn measured(args: &ScoringArgs, scores: &[ItemScore]) -> Result<String> {
    let report = Report::new(scores);
    if args.json {
        return json(&Measured { report, items: scores });
    }
    let diffs = if args.diff { diffs(scores) } else { String::new() };
    Ok(format!("{diffs}{report}"))
}

/// The result of two.
#[derive(Serialize)]
struct Compared<'a> {
    a: Measured<'a>,
    b: Measured<'a>,
    comparison: &'a Comparison,
}

fn compared(args: &ScoringArgs, scores: [&[ItemScore]; 2], comparison: &Comparison) -> Result<String> {
    let [a, b] = scores.map(|items| Measured { report: Report::new(items), items });
    if args.json {
        return json(&Compared { a, b, comparison });
    }
    let part = |name: &str, measured: &Measured<'_>| {
        let diffs = if args.diff { diffs(measured.items) } else { String::new() };
        format!("{name}\n{diffs}{}\n", measured.report)
    };
    Ok(format!("{}{}{comparison}", part("A", &a), part("B", &b)))
}

fn json(value: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_string_pretty(value).context("the figures cannot be written")? + "\n")
}

/// What was written wrong, recording by recording.
fn diffs(scores: &[ItemScore]) -> String {
    scores.iter().filter(|score| score.words.errors() > 0).map(|score| diff(score) + "\n").collect()
}
