//! How repetitive a text is.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

/// Bytes of `text` ÷ bytes of `text` compressed by zlib. Above 2.4, a decode most likely runs in circles.
///
/// Source: `compression_ratio` in openai/whisper `whisper/utils.py`, which compresses with zlib at its level 6.
pub(crate) fn compression_ratio(text: &str) -> f64 {
    // The Rust port finds at level 9 what zlib finds in texts this short at level 6: the sizes differ by 2 bytes at
    // most, and only in texts of few words.
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    let compressed = written.expect("writing into memory cannot fail");
    text.len() as f64 / compressed.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn repetition_is_seen() {
        assert!(compression_ratio(&"Thank you. ".repeat(20)) > 9.0);
        assert!(compression_ratio("And so, my fellow Americans") < 1.2);
        assert_eq!(compression_ratio(""), 0.0);
    }

    #[test]
    #[ignore = "needs ../shared"]
    fn ratios_are_those_of_zlib() {
        for case in golden::json("rules/compression.json")["cases"].as_array().unwrap() {
            let (text, expected) = (case["text"].as_str().unwrap(), case["ratio"].as_f64().unwrap());
            let found = compression_ratio(text);
            assert!((found / expected - 1.0).abs() <= 0.05, "{text:?}: {found}, expected {expected}");
        }
    }
}
