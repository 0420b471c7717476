//! JSON as Python's `json.dumps` writes it.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// Writes a value on one line, with a space after commas and colons, in ASCII, numbers as Python prints them.
///
/// # Errors
/// Those of `out`.
pub(super) fn write(value: &impl Serialize, out: &mut impl Write) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(out, PythonFormatter)).map_err(io::Error::from)
}

struct PythonFormatter;

impl Formatter for PythonFormatter {
    fn write_f32<W: ?Sized + Write>(&mut self, writer: &mut W, value: f32) -> io::Result<()> {
        write_float(writer, &format!("{value:e}"))
    }

    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        write_float(writer, &format!("{value:e}"))
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.begin_array_value(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut ascii = 0..0;
        for (i, c) in fragment.char_indices() {
            if (' '..='~').contains(&c) {
                ascii.end = i + 1;
                continue;
            }
            writer.write_all(&fragment.as_bytes()[ascii])?;
            ascii = i + c.len_utf8()..i + c.len_utf8();
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        writer.write_all(&fragment.as_bytes()[ascii])
    }
}

/// Writes a finite number as Python's `repr` does, given the fewest digits that tell it from others.
///
/// - `scientific`: the number as Rust's `{:e}` prints it, for example `-1.25e-7`.
fn write_float(writer: &mut (impl Write + ?Sized), scientific: &str) -> io::Result<()> {
    let (mantissa, exponent) = scientific.split_once('e').expect("`{:e}` prints an exponent");
    let exponent: i32 = exponent.parse().expect("`{:e}` prints a whole exponent");
    if !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return write!(writer, "{mantissa}e{sign}{:02}", exponent.abs());
    }
    let (sign, digits) = mantissa.strip_prefix('-').map_or(("", mantissa), |digits| ("-", digits));
    let digits = digits.replace('.', "");
    if exponent < 0 {
        let zeros = "0".repeat((-exponent - 1) as usize);
        return write!(writer, "{sign}0.{zeros}{digits}");
    }
    let n_whole = exponent as usize + 1;
    let (whole, fraction) = digits.split_at(n_whole.min(digits.len()));
    let fraction = if fraction.is_empty() { "0" } else { fraction };
    write!(writer, "{sign}{whole:0<n_whole$}.{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &impl Serialize) -> String {
        let mut out = Vec::new();
        write(value, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_written_as_python_prints_them() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (5.060_000_000_000_000_5, "5.0600000000000005"),
            (1_234_567.0, "1234567.0"),
            (1e15, "1000000000000000.0"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.000_123, "0.000123"),
            (0.000_01, "1e-05"),
            (1.261_233_784_077_831e-9, "1.261233784077831e-09"),
            (5e-324, "5e-324"),
        ];
        for (value, expected) in cases {
            assert_eq!(written(&value), expected);
        }
        assert_eq!(written(&0.2f32), "0.2", "32 bits are not widened");
    }

    #[test]
    fn text_is_written_in_ascii() {
        let text = "a\"\\\u{8}\u{c}\n\r\t\u{1f}\u{7f}é世\u{1f600}/z";
        assert_eq!(written(&text), r#""a\"\\\b\f\n\r\t\u001f\u007f\u00e9\u4e16\ud83d\ude00/z""#);
    }

    #[test]
    fn lists_and_objects_have_spaces() {
        let value = serde_json::json!({"b": [1, 2, [], {}], "a": null, "c": true});
        assert_eq!(written(&value), r#"{"b": [1, 2, [], {}], "a": null, "c": true}"#);
    }
}
