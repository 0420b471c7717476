use boswell_audio::VadOptions;
use clap::CommandFactory;

use super::values::CountLimit;
use super::*;

fn parse(line: &[&str]) -> Result<Cli, clap::Error> {
    let line = ["boswell"].iter().chain(line).map(|&word| word.into());
    Cli::try_parse_from(normalise::normalise(line, &Cli::command()))
}

fn transcribe(line: &[&str]) -> TranscribeArgs {
    match parse(&[&["transcribe"], line].concat()).unwrap().command {
        Command::Transcribe(args) => *args,
        other => panic!("not transcribe: {other:?}"),
    }
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn underscores_and_dashes_are_alike() {
    let args = transcribe(&["--output_dir", "out_dir", "--initial_prompt=--a_b c_d", "my_talk.mp3"]);
    assert_eq!(args.output.output_dir, Some("out_dir".into()));
    assert_eq!(args.recognition.decoding.initial_prompt.as_deref(), Some("--a_b c_d"));
    assert_eq!(args.files, [PathBuf::from("my_talk.mp3")]);
}

#[test]
fn switches_take_true_and_false_as_in_python() {
    let on = |line: &[&str]| transcribe(line).recognition.decoding.condition_on_previous_text;
    assert!(on(&["a.wav"]));
    assert!(on(&["--condition_on_previous_text", "True", "a.wav"]));
    assert!(!on(&["--condition_on_previous_text", "False", "a.wav"]));
    assert!(!on(&["--condition-on-previous-text=false", "a.wav"]));
    let args = transcribe(&["--without-timestamps", "a.wav"]);
    assert!(args.recognition.decoding.without_timestamps);
    assert_eq!(args.files, [PathBuf::from("a.wav")]);
    assert!(parse(&["transcribe", "--verbose", "False", "a.wav"]).is_ok_and(|cli| !cli.messages.verbose));
    assert!(parse(&["transcribe", "--verbose", "a.wav"]).is_ok_and(|cli| cli.messages.verbose));
    assert!(parse(&["transcribe", "--carry-initial-prompt=maybe", "a.wav"]).is_err());
}

#[test]
fn what_openai_users_say_on_a_cpu_is_understood() {
    let args = transcribe(&["--fp16", "False", "--device", "cpu", "a.wav"]);
    assert!(!args.recognition.model.fp16 && args.recognition.model.device == DeviceArg::Cpu);
    assert!(parse(&["transcribe", "--device", "cuda", "a.wav"]).is_err());
}

#[test]
fn after_two_dashes_everything_is_a_file() {
    let args = transcribe(&["--", "--output_dir", "-"]);
    assert_eq!(args.files, [PathBuf::from("--output_dir"), PathBuf::from("-")]);
}

#[test]
fn limits_are_numbers_or_none() {
    let args = transcribe(&["--logprob_threshold", "-0.5", "--no-speech-threshold", "None", "a.wav"]);
    assert_eq!(args.recognition.fallback.logprob_threshold, Limit(Some(-0.5)));
    assert_eq!(args.recognition.fallback.no_speech_threshold, Limit(None));
    assert_eq!(args.recognition.fallback.compression_ratio_threshold, Limit(Some(2.4)));
    for bad in ["high", "nan", "inf", ""] {
        let line = ["transcribe", "--logprob-threshold", bad, "a.wav"];
        let message = parse(&line).unwrap_err().to_string();
        assert!(message.contains("a number or `none`"), "{bad}: {message}");
    }
}

#[test]
fn searches_are_asked_for_as_openai_users_do() {
    let args = transcribe(&["--beam_size", "5", "--best_of", "None", "--length_penalty", "0.6", "a.wav"]);
    assert_eq!((args.recognition.search.beam_size, args.recognition.search.best_of), (5, 1));
    assert_eq!(
        (args.recognition.search.patience, args.recognition.search.length_penalty),
        (1.0, Limit(Some(0.6)))
    );
    let args = transcribe(&["--suppress_numerals", "a.wav"]);
    assert!(args.recognition.search.suppress_numerals && args.recognition.search.suppress_blank);
    assert_eq!((args.recognition.search.beam_size, args.recognition.search.best_of), (1, 5));
}

#[test]
fn words_are_asked_for_as_openai_users_do() {
    let line = ["--word_timestamps", "True", "--max_line_width", "42", "--max_line_count", "None", "a.wav"];
    let args = transcribe(&line);
    assert!(args.recognition.words.word_timestamps && !args.recognition.words.highlight_words);
    assert_eq!(
        (args.recognition.words.max_line_width, args.recognition.words.max_line_count),
        (CountLimit(Some(42)), CountLimit(None))
    );
    assert_eq!(args.recognition.words.prepend_punctuations, "\"'“¿([{-");
    let args = transcribe(&["--hallucination_silence_threshold", "2", "--drop_loops", "False", "a.wav"]);
    assert_eq!(
        (args.recognition.guard.hallucination_silence_threshold, args.recognition.guard.drop_loops),
        (Limit(Some(2.0)), false)
    );
}

#[test]
fn voice_activity_is_asked_for_as_its_users_do() {
    let vad = |line: &[&str]| {
        let args = transcribe(&[line, &["a.wav"]].concat());
        assert_eq!(args.files, [PathBuf::from("a.wav")]);
        args.recognition.speech.vad(args.recognition.decoding.batch_size > 1)
    };
    assert_eq!(vad(&[]), None);
    assert_eq!(vad(&["--batch-size", "8"]), Some(VadOptions::default()));
    for off in [["--no-vad"].as_slice(), &["--vad_filter", "False"], &["--vad=false"]] {
        assert_eq!(vad(&[off, &["--batch_size", "8"]].concat()), None);
    }
    for on in [["--vad"].as_slice(), &["--vad_filter", "True"], &["--vad", "True", "--vad_method", "silero"]]
    {
        assert_eq!(vad(on), Some(VadOptions::default()));
    }
    let line = ["--vad", "--vad_onset", "0.4", "--vad_offset", "0.3", "--min_speech_duration_ms", "250"];
    let found = vad(&line).unwrap();
    assert_eq!((found.threshold, found.neg_threshold, found.min_speech_duration_ms), (0.4, Some(0.3), 250));
    let line = [
        "--vad",
        "--min_silence_duration_ms=100",
        "--speech-pad-ms",
        "30",
        "--vad_max_speech_duration_s",
        "15",
    ];
    let found = vad(&line).unwrap();
    assert_eq!((found.min_silence_duration_ms, found.speech_pad_ms), (100, 30));
    assert_eq!(found.max_speech_duration_s, Some(15.0));
}

#[test]
fn formats_come_with_commas_and_by_repeating() {
    let args = transcribe(&["-f", "srt,json", "--output_format", "txt", "a.wav"]);
    assert_eq!(args.output.output_format, [FormatArg::Srt, FormatArg::Json, FormatArg::Txt]);
}

#[test]
fn a_bad_value_is_answered_with_what_is_expected() {
    let cases: &[(&[&str], &str)] = &[
        (&["--temperature", "-1"], "0 or more"),
        (&["--temperature-increment-on-fallback", "0"], "above 0"),
        (&["--max-new-tokens", "0"], "1.."),
        (&["--threads", "x"], "invalid digit"),
        (&["--task", "summarise"], "transcribe, translate"),
        (&["--output-format", "doc"], "txt, srt, vtt, tsv, json, lrc, all"),
        (&["--precision", "int4"], "auto, f32, bf16, int8"),
        (&["--suppress-tokens", "a"], "token numbers"),
        (&["--clip-timestamps", "1,x"], "seconds"),
        (&["--beam-size", "0"], "1 to 100"),
        (&["--best-of", "101"], "1 to 100"),
        (&["--patience", "0"], "above 0"),
        (&["--length-penalty", "x"], "a number or `none`"),
        (&["--max-line-width", "0"], "1 or more"),
        (&["--max-chars-per-second", "0"], "above 0"),
        (&["--vad-threshold", "1.5"], "0 to 1"),
        (&["--vad-max-speech-duration-s", "0"], "above 0"),
        (&["--vad", "--no-vad"], "cannot be used with"),
    ];
    for (flags, expected) in cases {
        let message = parse(&[&["transcribe"], *flags, &["a.wav"]].concat()).unwrap_err().to_string();
        assert!(message.contains(expected), "{flags:?}: {message}");
    }
}

#[test]
fn help_fits_80_columns() {
    let mut command = Cli::command();
    command.build();
    let mut pages = vec![command.clone().render_long_help().to_string()];
    let mut left: Vec<clap::Command> = command.get_subcommands().cloned().collect();
    while let Some(mut command) = left.pop() {
        pages.push(command.render_help().to_string());
        pages.push(command.render_long_help().to_string());
        left.extend(command.get_subcommands().cloned());
    }
    assert!(pages.len() > 10);
    for line in pages.iter().flat_map(|page| page.lines()) {
        assert!(line.chars().count() <= 80, "too wide: {line}");
    }
}
