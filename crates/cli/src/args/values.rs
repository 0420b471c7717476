//! Values of flags that are more than a word or a number.

use std::str::FromStr;

use boswell_transcribe::SuppressTokens;

/// A threshold, or none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limit(pub(crate) Option<f64>);

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("none") {
            return Ok(Self(None));
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Self(Some(number))),
            _ => Err("expected a number or `none`".into()),
        }
    }
}

/// Tokens that are never to be written; `-1` stands for the symbols that nobody speaks.
pub(super) fn suppressed_tokens(text: &str) -> Result<SuppressTokens, String> {
    let mut tokens = SuppressTokens { non_speech: false, ids: Vec::new() };
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        if word == "-1" {
            tokens.non_speech = true;
        } else {
            tokens.ids.push(
                word.parse().map_err(|_| format!("expected token numbers with commas, found `{word}`"))?,
            );
        }
    }
    Ok(tokens)
}

/// A temperature: 0 or more.
pub(super) fn temperature(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err("expected a number, 0 or more".into()),
    }
}

/// A step of the temperature: above 0, or none.
pub(super) fn increment(text: &str) -> Result<Limit, String> {
    match text.parse()? {
        Limit(Some(step)) if step <= 0.0 => Err("expected a number above 0, or `none`".into()),
        limit => Ok(limit),
    }
}

/// A number of sequences: 1 to 100; none: 1.
pub(super) fn sequences(text: &str) -> Result<usize, String> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(1);
    }
    match text.parse::<usize>() {
        Ok(n) if (1..=100).contains(&n) => Ok(n),
        _ => Err("expected a number, 1 to 100, or `none`".into()),
    }
}

/// A number of things that is not exceeded, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CountLimit(pub(crate) Option<usize>);

/// A limit of 1 or more; none: no limit.
pub(super) fn limit_on_count(text: &str) -> Result<CountLimit, String> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(CountLimit(None));
    }
    match text.parse::<usize>() {
        Ok(n) if n > 0 => Ok(CountLimit(Some(n))),
        _ => Err("expected a number, 1 or more, or `none`".into()),
    }
}

/// A factor: above 0; none: 1.
pub(super) fn factor(text: &str) -> Result<f64, String> {
    match text.parse()? {
        Limit(None) => Ok(1.0),
        Limit(Some(factor)) if factor > 0.0 => Ok(factor),
        Limit(Some(_)) => Err("expected a number above 0".into()),
    }
}

/// A point in time: 0 or more.
pub(super) fn seconds(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err("expected seconds: a number, 0 or more".into()),
    }
}

/// A number of bytes: `100`, `64K`, `25M`, `2G`, by 1024.
#[cfg(feature = "server")]
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let expected = || "expected bytes, such as 500M or 2G".to_owned();
    let unit = text.chars().next_back().map(|unit| unit.to_ascii_uppercase());
    let shift = match unit {
        Some('K') => 10,
        Some('M') => 20,
        Some('G') => 30,
        _ => 0,
    };
    let digits = if shift > 0 { &text[..text.len() - 1] } else { text };
    let number: u64 = digits.trim().parse().map_err(|_| expected())?;
    number.checked_mul(1 << shift).filter(|bytes| *bytes > 0).ok_or_else(expected)
}

/// A probability.
pub(super) fn probability(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.0..=1.0).contains(&number) => Ok(number),
        _ => Err("expected a probability: 0 to 1".into()),
    }
}

/// A probability, or none.
pub(super) fn limit_on_probability(text: &str) -> Result<Limit, String> {
    match text.parse()? {
        Limit(None) => Ok(Limit(None)),
        Limit(Some(_)) => probability(text).map(|number| Limit(Some(number))),
    }
}

/// A length of time above 0, or none.
pub(super) fn limit_on_seconds(text: &str) -> Result<Limit, String> {
    match text.parse()? {
        Limit(Some(length_s)) if length_s <= 0.0 => Err("expected seconds above 0, or `none`".into()),
        limit => Ok(limit),
    }
}
