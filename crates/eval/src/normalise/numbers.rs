//! Numbers that are spelled out, written in digits.
//!
//! - commas are gone, and suffixes stay: `1960s`, `274th`
//! - currencies stand before the number: `20 million dollars` becomes `$20000000`
//! - digits that are said one by one are one number: `one oh one` becomes `101`

use std::mem;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::{regex, words};

const ONES: [&str; 19] = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
/// Each with how many zeros it puts behind a number.
const MULTIPLIERS: [(&str, usize); 12] = [
    ("hundred", 2),
    ("thousand", 3),
    ("million", 6),
    ("billion", 9),
    ("trillion", 12),
    ("quadrillion", 15),
    ("quintillion", 18),
    ("sextillion", 21),
    ("septillion", 24),
    ("octillion", 27),
    ("nonillion", 30),
    ("decillion", 33),
];
/// Signs that may stand before a number.
const PREFIXES: &str = "-+£€$¢";

static NUMBER: LazyLock<Regex> = LazyLock::new(|| regex(r"^\d+(\.\d+)?$"));
static DIGIT: LazyLock<Regex> = LazyLock::new(|| regex(r"^\d$"));
static HALF: LazyLock<Regex> = LazyLock::new(|| regex(r"\band[\s\x1c-\x1f]+a[\s\x1c-\x1f]+half\b"));
static BORDERS: LazyLock<[(Regex, &str); 3]> = LazyLock::new(|| {
    [
        (regex("([a-z])([0-9])"), "${1} ${2}"),
        (regex("([0-9])([a-z])"), "${1} ${2}"),
        (regex(r"([0-9])[\s\x1c-\x1f]+(st|nd|rd|th|s)\b"), "${1}${2}"),
    ]
});
static CENTS: LazyLock<Regex> = LazyLock::new(|| regex(r"([€£$])([0-9]+) (?:and )?¢([0-9]{1,2})\b"));
static ONLY_CENTS: LazyLock<Regex> = LazyLock::new(|| regex(r"[€£$]0.([0-9]{1,2})\b"));
static ONE: LazyLock<Regex> = LazyLock::new(|| regex(r"\b1(s?)\b"));

/// Source: `EnglishNumberNormalizer` in openai/whisper `whisper/normalizers/english.py`.
pub(super) fn normalise(text: &str) -> String {
    let text = with_borders(&with_halves(text));
    let words: Vec<&str> = words(&text).collect();
    with_cents(&Reader::default().read(&words).join(" "))
}

/// `two and a half` becomes `two point five`.
fn with_halves(text: &str) -> String {
    let pieces: Vec<&str> = HALF.split(text).collect();
    let mut parts: Vec<&str> = Vec::new();
    for (idx, piece) in pieces.iter().enumerate() {
        let Some(last) = words(piece).last() else { continue };
        parts.push(piece);
        if idx + 1 < pieces.len() {
            let kind = Kind::of(last);
            let is_number = kind.is_decimal() || matches!(kind, Kind::Multiplier { suffix: "", .. });
            parts.push(if is_number { "point five" } else { "and a half" });
        }
    }
    parts.join(" ")
}

/// Letters and digits are parted, but for suffixes.
fn with_borders(text: &str) -> String {
    BORDERS.iter().fold(text.to_owned(), |text, (regex, with)| regex.replace_all(&text, *with).into_owned())
}

/// `$2 and ¢7` becomes `$2.07`, `$0.07` becomes `¢7`, `1` becomes `one`.
fn with_cents(text: &str) -> String {
    let two_digits = |found: &Captures<'_>| format!("{}{}.{:0>2}", &found[1], &found[2], &found[3]);
    let text = CENTS.replace_all(text, two_digits);
    let text = ONLY_CENTS.replace_all(&text, |found: &Captures<'_>| format!("¢{}", plain(&found[1])));
    ONE.replace_all(&text, "one${1}").into_owned()
}

/// What a word is in a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Other,
    Zero,
    /// One to nineteen.
    Ones {
        value: usize,
        suffix: &'static str,
    },
    Tens {
        value: usize,
        suffix: &'static str,
    },
    Multiplier {
        n_zeros: usize,
        suffix: &'static str,
    },
    /// `minus` and its like, with their sign.
    Sign(&'static str),
    /// `dollars` and its like, with their sign.
    Currency(&'static str),
    Percent,
    Per,
    And,
    /// `double` and `triple`.
    Repeat(usize),
    Point,
}

impl Kind {
    fn of(word: &str) -> Self {
        match word {
            "o" | "oh" | "zero" => return Self::Zero,
            "minus" | "negative" => return Self::Sign("-"),
            "plus" | "positive" => return Self::Sign("+"),
            "pound" | "pounds" => return Self::Currency("£"),
            "euro" | "euros" => return Self::Currency("€"),
            "dollar" | "dollars" => return Self::Currency("$"),
            "cent" | "cents" => return Self::Currency("¢"),
            "percent" => return Self::Percent,
            "per" => return Self::Per,
            "and" => return Self::And,
            "double" => return Self::Repeat(2),
            "triple" => return Self::Repeat(3),
            "point" => return Self::Point,
            "zeroth" => return Self::Ones { value: 0, suffix: "th" },
            "first" => return Self::Ones { value: 1, suffix: "st" },
            "second" => return Self::Ones { value: 2, suffix: "nd" },
            "third" => return Self::Ones { value: 3, suffix: "rd" },
            "fifth" => return Self::Ones { value: 5, suffix: "th" },
            "eighth" => return Self::Ones { value: 8, suffix: "th" },
            "twelfth" => return Self::Ones { value: 12, suffix: "th" },
            "sixes" => return Self::Ones { value: 6, suffix: "s" },
            _ => {}
        }
        let ones = ONES.iter().zip(1..).find_map(|(name, value)| {
            let suffix = match word.strip_prefix(name)? {
                "" => "",
                "s" if value != 6 => "s",
                "th" if value > 3 && ![5, 8, 12].contains(&value) => "th",
                _ => return None,
            };
            Some(Self::Ones { value, suffix })
        });
        let tens = || {
            TENS.iter().zip((20..).step_by(10)).find_map(|(name, value)| {
                let suffix = match word.strip_prefix(name.strip_suffix('y')?)? {
                    "y" => "",
                    "ies" => "s",
                    "ieth" => "th",
                    _ => return None,
                };
                Some(Self::Tens { value, suffix })
            })
        };
        let multiplier = || {
            MULTIPLIERS.iter().find_map(|(name, n_zeros)| {
                let suffix = match word.strip_prefix(name)? {
                    "" => "",
                    "s" => "s",
                    "th" => "th",
                    _ => return None,
                };
                Some(Self::Multiplier { n_zeros: *n_zeros, suffix })
            })
        };
        ones.or_else(tens).or_else(multiplier).unwrap_or(Self::Other)
    }

    /// `one` to `nineteen`.
    fn is_one(self) -> bool {
        matches!(self, Self::Ones { suffix: "", .. })
    }

    /// `twenty` to `ninety`.
    fn is_ten(self) -> bool {
        matches!(self, Self::Tens { suffix: "", .. })
    }

    /// Whether the word may follow `point`.
    fn is_decimal(self) -> bool {
        self.is_one() || self.is_ten() || self == Self::Zero
    }
}

/// A number in the making.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    /// A whole number of any length, without zeros before it.
    Whole(String),
    /// Digits as they were said, perhaps with points.
    Digits(String),
}

impl Value {
    fn into_text(self) -> String {
        match self {
            Self::Whole(text) | Self::Digits(text) => text,
        }
    }

    /// The number with another one added, if that fills its last digits; else the other one is appended.
    fn join(self, number: usize, n_digits: usize) -> Self {
        match self {
            Self::Whole(text) => match text.strip_suffix(&"0".repeat(n_digits)) {
                Some(start) => Self::Whole(format!("{start}{number:0n_digits$}")),
                None if text == "0" => Self::Whole(number.to_string()),
                None => Self::Digits(format!("{text}{number}")),
            },
            Self::Digits(text) => Self::Digits(format!("{text}{number}")),
        }
    }
}

/// Reads words into numbers.
#[derive(Debug, Default)]
struct Reader {
    prefix: Option<String>,
    value: Option<Value>,
    out: Vec<String>,
}

impl Reader {
    fn read(mut self, words: &[&str]) -> Vec<String> {
        let mut is_skipped = false;
        let kinds: Vec<Kind> = words.iter().map(|word| Kind::of(word)).collect();
        for (idx, word) in words.iter().enumerate() {
            if mem::take(&mut is_skipped) {
                continue;
            }
            let prev = idx.checked_sub(1).map_or(Kind::Other, |prev| kinds[prev]);
            let next = words.get(idx + 1).map(|next| (*next, kinds[idx + 1]));
            is_skipped = self.word(word, kinds[idx], prev, next);
        }
        self.flush();
        self.out
    }

    /// Takes a word. Returns whether it took the next one too.
    fn word(&mut self, word: &str, kind: Kind, prev: Kind, next: Option<(&str, Kind)>) -> bool {
        let next_kind = next.map_or(Kind::Other, |(_, kind)| kind);
        let next_is_number = next.is_some_and(|(next, _)| NUMBER.is_match(next));
        let next_is_numeric = next_kind != Kind::Other || next_is_number;
        let (sign, bare) = split_prefix(word);
        if NUMBER.is_match(bare) {
            self.number(word, sign, bare);
            return false;
        }
        match kind {
            Kind::Other => self.literal(word),
            Kind::Zero => self.append("0"),
            Kind::Ones { value, suffix: "" } => self.ones(value, prev),
            Kind::Ones { value, suffix } => {
                self.ones(value, prev);
                self.flush_with(suffix);
            }
            Kind::Tens { value, suffix: "" } => self.tens(value),
            Kind::Tens { value, suffix } => {
                self.tens(value);
                self.flush_with(suffix);
            }
            Kind::Multiplier { n_zeros, suffix: "" } => self.multiply(n_zeros),
            Kind::Multiplier { n_zeros, suffix } => self.multiply_last(n_zeros, suffix),
            Kind::Sign(sign) => {
                self.flush();
                if next_is_numeric {
                    self.prefix = Some(sign.to_owned());
                } else {
                    self.put(word);
                }
            }
            Kind::Currency(sign) => {
                if self.value.is_some() {
                    self.prefix = Some(sign.to_owned());
                    self.flush();
                } else {
                    self.put(word);
                }
            }
            Kind::Percent if self.value.is_some() => self.flush_with("%"),
            Kind::Per if self.value.is_some() && next.is_some_and(|(next, _)| next == "cent") => {
                self.flush_with("%");
                return true;
            }
            Kind::Percent | Kind::Per => self.literal(word),
            Kind::And | Kind::Repeat(_) | Kind::Point if !next_is_numeric => self.literal(word),
            Kind::And => {
                if !matches!(prev, Kind::Multiplier { suffix: "", .. }) {
                    self.literal(word);
                }
            }
            Kind::Repeat(n_times) => match next_kind {
                Kind::Zero => {
                    self.append(&"0".repeat(n_times));
                    return true;
                }
                Kind::Ones { value, suffix: "" } => {
                    self.append(&value.to_string().repeat(n_times));
                    return true;
                }
                _ => self.literal(word),
            },
            Kind::Point => {
                if next_kind.is_decimal() || next_is_number {
                    self.append(".");
                }
            }
        }
        false
    }

    /// Takes a number that is written in digits.
    fn number(&mut self, word: &str, sign: Option<&str>, bare: &str) {
        match self.value.take() {
            Some(Value::Digits(text)) if text.ends_with('.') => {
                self.value = Some(Value::Digits(text + word));
                return;
            }
            value => self.value = value,
        }
        self.flush();
        self.prefix = sign.map(str::to_owned).or(self.prefix.take());
        let (whole, decimals) = bare.split_once('.').unwrap_or((bare, ""));
        let is_whole = decimals.chars().all(|c| digit(c) == 0);
        self.value = Some(if is_whole { Value::Whole(plain(whole)) } else { Value::Digits(bare.to_owned()) });
    }

    fn ones(&mut self, ones: usize, prev: Kind) {
        self.value = Some(match self.value.take() {
            None => Value::Whole(ones.to_string()),
            Some(Value::Digits(text)) if prev.is_ten() && ones < 10 => {
                let start = text.strip_suffix('0').unwrap_or(&text);
                Value::Digits(format!("{start}{ones}"))
            }
            Some(Value::Whole(text)) if prev.is_one() => Value::Digits(format!("{text}{ones}")),
            Some(value) => value.join(ones, if ones < 10 { 1 } else { 2 }),
        });
    }

    fn tens(&mut self, tens: usize) {
        self.value = Some(match self.value.take() {
            None => Value::Whole(tens.to_string()),
            Some(value) => value.join(tens, 2),
        });
    }

    fn multiply(&mut self, n_zeros: usize) {
        match self.value.take() {
            None => self.value = Some(Value::Whole(power(n_zeros))),
            Some(Value::Whole(text)) if text != "0" => {
                self.value = Some(Value::Whole(thousands(&text, n_zeros)));
            }
            Some(value) => {
                let product = product(&value.clone().into_text(), n_zeros);
                if product.is_none() {
                    self.value = Some(value);
                    self.flush();
                }
                self.value = Some(Value::Whole(product.unwrap_or_else(|| power(n_zeros))));
            }
        }
    }

    /// Multiplies with a word that ends the number.
    fn multiply_last(&mut self, n_zeros: usize, suffix: &str) {
        // Only the words in the singular look at a zero.
        if self.value != Some(Value::Whole("0".to_owned())) {
            self.multiply(n_zeros);
        }
        self.flush_with(suffix);
    }

    /// Puts digits behind what there is; a zero counts as nothing.
    fn append(&mut self, digits: &str) {
        let before = match self.value.take() {
            Some(Value::Whole(text)) if text == "0" => String::new(),
            value => value.map_or_else(String::new, Value::into_text),
        };
        self.value = Some(Value::Digits(before + digits));
    }

    /// Puts out a word that is no part of a number, after the number before it.
    fn literal(&mut self, word: &str) {
        self.flush();
        self.put(word);
    }

    fn flush(&mut self) {
        self.flush_with("");
    }

    /// Puts out the number, if there is one.
    fn flush_with(&mut self, suffix: &str) {
        if let Some(value) = self.value.take() {
            self.put(&(value.into_text() + suffix));
        }
    }

    fn put(&mut self, text: &str) {
        self.out.push(self.prefix.take().unwrap_or_default() + text);
    }
}

/// The sign before a number, and the rest.
fn split_prefix(word: &str) -> (Option<&str>, &str) {
    match word.chars().next() {
        Some(sign) if PREFIXES.contains(sign) => {
            let (sign, rest) = word.split_at(sign.len_utf8());
            (Some(sign), rest)
        }
        _ => (None, word),
    }
}

/// 10 to the power of `n_zeros`.
fn power(n_zeros: usize) -> String {
    format!("1{}", "0".repeat(n_zeros))
}

/// `text * 10^n_zeros`, if `text` is a number and the product a whole one.
fn product(text: &str, n_zeros: usize) -> Option<String> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits: Vec<u32> = whole.chars().chain(decimals.chars()).map(digit).collect();
    let is_number = !digits.is_empty() && (whole.chars().chain(decimals.chars())).all(is_digit);
    let n_decimals = decimals.chars().count();
    let n_left = n_decimals.saturating_sub(n_zeros);
    if !is_number || digits[digits.len() - n_left..].iter().any(|digit| *digit != 0) {
        return None;
    }
    let kept = &digits[..digits.len() - n_left];
    let text: String = kept.iter().map(u32::to_string).collect();
    Some(plain(&(text + &"0".repeat(n_zeros.saturating_sub(n_decimals)))))
}

/// The last three digits times `10^n_zeros`, plus the rest.
fn thousands(text: &str, n_zeros: usize) -> String {
    let (rest, last) = text.split_at(text.len().saturating_sub(3));
    let rest = if rest.is_empty() { String::new() } else { format!("{rest}000") };
    plain(&sum(&rest, &format!("{last}{}", "0".repeat(n_zeros))))
}

/// The sum of two numbers in plain digits.
fn sum(x: &str, y: &str) -> String {
    let width = x.len().max(y.len()) + 1;
    let (x, y) = (format!("{x:0>width$}"), format!("{y:0>width$}"));
    let mut carry = 0;
    let mut digits: Vec<u8> = Vec::with_capacity(width);
    for (x, y) in x.bytes().rev().zip(y.bytes().rev()) {
        let digit = x - b'0' + (y - b'0') + carry;
        carry = digit / 10;
        digits.push(digit % 10 + b'0');
    }
    digits.iter().rev().map(|digit| char::from(*digit)).collect()
}

/// A whole number in ASCII digits, without zeros before it.
fn plain(digits: &str) -> String {
    let ascii: String = digits.chars().map(|c| digit(c).to_string()).collect();
    let plain = ascii.trim_start_matches('0');
    if plain.is_empty() { "0".to_owned() } else { plain.to_owned() }
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit() || DIGIT.is_match(c.encode_utf8(&mut [0; 4]))
}

/// The value of a digit in any script: each script has its ten in a row.
fn digit(c: char) -> u32 {
    c.to_digit(10).unwrap_or_else(|| {
        let before = (1..10).take_while(|n| char::from_u32(c as u32 - n).is_some_and(is_digit));
        before.count() as u32
    })
}
