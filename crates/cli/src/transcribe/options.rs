//! From the command line to what the library is asked.

use anyhow::Result;
use boswell_model::{Task, language_code};
use boswell_transcribe::{Options, WriteOptions};

use crate::args::{Limit, RecognitionArgs, TaskArg, WordArgs};
use crate::usage::usage;

/// What the command line asks for.
///
/// # Errors
/// If the language is none that Whisper knows, a clip ends before it begins, or silence is to be known by words that are
/// not asked for.
pub(crate) fn options(args: &RecognitionArgs) -> Result<Options> {
    let RecognitionArgs { decoding, search, fallback, speech, guard, words, .. } = args;
    Ok(Options {
        task: match decoding.task {
            TaskArg::Transcribe => Task::Transcribe,
            TaskArg::Translate => Task::Translate,
        },
        language: language(&decoding.language)?,
        among_languages: Vec::new(),
        temperatures: temperatures(fallback.temperature, fallback.temperature_increment_on_fallback),
        keep_best_failed: fallback.keep_best_failed,
        beam_size: search.beam_size,
        patience: search.patience,
        best_of: search.best_of,
        length_penalty: search.length_penalty.0,
        repetition_penalty: search.repetition_penalty as f32,
        no_repeat_ngram_size: search.no_repeat_ngram_size,
        compression_ratio_threshold: fallback.compression_ratio_threshold.0,
        logprob_threshold: fallback.logprob_threshold.0,
        no_speech_threshold: fallback.no_speech_threshold.0,
        condition_on_previous_text: decoding.condition_on_previous_text,
        initial_prompt: decoding.initial_prompt.clone(),
        prompt_reset_on_temperature: search.prompt_reset_on_temperature as f32,
        hotwords: search.hotwords.clone(),
        carry_initial_prompt: decoding.carry_initial_prompt,
        vad: speech.vad(decoding.batch_size > 1),
        word_timestamps: words.word_timestamps,
        token_logprobs: false,
        prepend_punctuations: words.prepend_punctuations.clone(),
        append_punctuations: words.append_punctuations.clone(),
        hallucination_silence_threshold: silence_threshold(args)?,
        drop_loops: guard.drop_loops,
        drop_failed: guard.drop_failed,
        phrase_filter: guard.phrase_filter,
        drop_phrases: guard.drop_phrase.clone(),
        clip_timestamps: clips(&decoding.clip_timestamps)?,
        without_timestamps: decoding.without_timestamps,
        max_initial_timestamp: search.max_initial_timestamp.0,
        suppress_blank: search.suppress_blank,
        suppress_tokens: decoding.suppress_tokens.clone(),
        suppress_regex: search.suppress_regex.clone(),
        suppress_numerals: search.suppress_numerals,
        prefix: search.prefix.clone(),
        seed: search.seed,
        audio_context: decoding.audio_context,
        batch_size: decoding.batch_size as usize,
        max_new_tokens: decoding.max_new_tokens.map(|n| n as usize),
    })
}

/// How subtitles are laid out.
///
/// # Errors
/// If that takes words that are not asked for.
pub(super) fn write_options(args: &WordArgs) -> Result<WriteOptions> {
    let by_words = [
        ("--highlight-words", args.highlight_words),
        ("--max-line-width", args.max_line_width.0.is_some()),
        ("--max-line-count", args.max_line_count.0.is_some()),
        ("--max-words-per-line", args.max_words_per_line.0.is_some()),
    ];
    if let Some((flag, _)) = by_words.iter().find(|(_, is_asked)| *is_asked && !args.word_timestamps) {
        usage!("{flag} needs the times of words: add --word-timestamps");
    }
    if args.max_line_count.0.is_some() && args.max_line_width.0.is_none() {
        tracing::warn!("--max-line-count has no effect without --max-line-width");
    }
    if args.max_words_per_line.0.is_some() && args.max_line_width.0.is_some() {
        tracing::warn!("--max-words-per-line has no effect with --max-line-width");
    }
    Ok(WriteOptions {
        max_line_width: args.max_line_width.0,
        max_line_count: args.max_line_count.0,
        max_words_per_line: args.max_words_per_line.0,
        highlight_words: args.highlight_words,
        max_chars_per_second: args.max_chars_per_second,
        min_duration_s: args.min_duration,
        min_gap_s: args.min_gap,
        always_hours: false,
    })
}

/// How long a silence is in which odd words are dropped.
fn silence_threshold(args: &RecognitionArgs) -> Result<Option<f64>> {
    match args.guard.hallucination_silence_threshold {
        Limit(Some(threshold)) if threshold < 0.0 => {
            usage!("--hallucination-silence-threshold is {threshold}, expected seconds, 0 or more")
        }
        Limit(Some(_)) if !args.words.word_timestamps => {
            usage!("--hallucination-silence-threshold needs the times of words: add --word-timestamps")
        }
        Limit(threshold) => Ok(threshold),
    }
}

/// The code of the language asked for; `None`: to be detected.
fn language(asked: &str) -> Result<Option<String>> {
    let asked = asked.trim().to_lowercase();
    if ["", "auto", "none"].contains(&asked.as_str()) {
        return Ok(None);
    }
    match language_code(&asked) {
        Some(code) => Ok(Some(code.to_owned())),
        None => usage!(
            "there is no language `{asked}`: expected a code such as `de`, a name such as `german`, or `auto`"
        ),
    }
}

/// Starts and ends of the parts to transcribe.
fn clips(times: &[f64]) -> Result<Vec<f64>> {
    match times.chunks_exact(2).find(|clip| clip[0] >= clip[1]) {
        Some(clip) => {
            usage!("the clip from {} s to {} s is empty: expected start,end,start,end,…", clip[0], clip[1])
        }
        None => Ok(times.to_vec()),
    }
}

/// The temperatures to try, from `first` up to 1.
///
/// Source: `cli` in openai/whisper `whisper/transcribe.py`.
fn temperatures(first: f64, increment: Limit) -> Vec<f32> {
    const LAST: f64 = 1.0 + 1e-6;
    let Limit(Some(increment)) = increment else { return vec![first as f32] };
    let ladder =
        (0..).map(|step| first + f64::from(step) * increment).take_while(|temperature| *temperature <= LAST);
    let ladder: Vec<f32> = ladder.map(|temperature| temperature as f32).collect();
    if ladder.is_empty() { vec![first as f32] } else { ladder }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_is_that_of_openai_whisper() {
        let ladder = |first, increment| temperatures(first, Limit(increment));
        assert_eq!(ladder(0.0, Some(0.2)), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        assert_eq!(ladder(0.5, Some(0.3)), [0.5, 0.8]);
        assert_eq!(ladder(0.0, None), [0.0]);
        assert_eq!(ladder(1.5, Some(0.2)), [1.5]);
        assert_eq!(ladder(0.0, Some(0.1)).len(), 11);
    }

    #[test]
    fn auto_and_nothing_mean_to_detect_the_language() {
        for asked in ["auto", "", "None"] {
            assert_eq!(language(asked).unwrap(), None);
        }
        for asked in [" English ", "en", "EN"] {
            assert_eq!(language(asked).unwrap().as_deref(), Some("en"));
        }
        assert!(language("klingon").unwrap_err().is::<crate::usage::UsageError>());
    }
}
