//! Lines of text to statements.

use crate::instruction::{Definition, Token, definitions};
use crate::{Error, Operand, Register};

/// A line's content.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) statement: Statement,
}

#[derive(Debug)]
pub(super) enum Statement {
    Label(String),
    Bundle(Vec<Draft>),
    Text,
    Data(Expression),
    Equ(String, Expression),
    /// Width in bytes of each, and their values.
    Numbers(u32, Vec<Expression>),
    Zero(Expression),
    Align(Expression),
    /// Whether bundles are padded from now on.
    Padding(bool),
}

/// An instruction whose numbers may be names still.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) definition: &'static Definition,
    pub(super) operands: Vec<DraftOperand>,
}

#[derive(Debug, Clone)]
pub(super) enum DraftOperand {
    Register(Register),
    Number(Expression),
}

/// A number, a symbol, or both added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Expression {
    pub(super) symbol: Option<String>,
    pub(super) number: i64,
}

impl Expression {
    fn parse(text: &str) -> Result<Expression, Error> {
        let wrong = || Error::Expression(text.to_owned());
        let symbol_end = text.find(|c: char| !is_symbol(c)).unwrap_or(text.len());
        let (symbol, rest) = match text.chars().next() {
            Some(first) if is_symbol(first) && !first.is_ascii_digit() => {
                (Some(text[..symbol_end].to_owned()), text[symbol_end..].trim())
            }
            _ => (None, text),
        };
        if symbol.is_some() && rest.is_empty() {
            return Ok(Expression { symbol, number: 0 });
        }
        let unsigned = rest.strip_prefix(['+', '-']).map(str::trim_start);
        if symbol.is_some() && unsigned.is_none() {
            return Err(wrong());
        }
        let digits = unsigned.unwrap_or(rest);
        let value = match digits.strip_prefix("0x") {
            Some(hex) if !hex.starts_with(['+', '-']) => i64::from_str_radix(hex, 16),
            _ if digits.starts_with(['+', '-']) => return Err(wrong()),
            _ => digits.parse(),
        };
        let number = value.map_err(|_| wrong())?;
        Ok(Expression { symbol, number: if rest.starts_with('-') { -number } else { number } })
    }
}

fn is_symbol(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Takes a text apart into statements.
pub(super) fn parse(source: &str) -> Result<Vec<Line>, Error> {
    let mut lines = Vec::new();
    for (i, text) in source.lines().enumerate() {
        let number = i + 1;
        let text = without_comments(text);
        let mut rest = text.trim();
        while let Some((label, behind)) = rest.split_once(':') {
            if label.is_empty() || !label.chars().all(is_symbol) {
                break;
            }
            lines.push(Line { number, statement: Statement::Label(label.to_owned()) });
            rest = behind.trim();
        }
        if rest.is_empty() {
            continue;
        }
        let statement = match rest.strip_prefix('.') {
            Some(directive) => directive_statement(directive),
            None => rest.split(';').map(instruction).collect::<Result<_, _>>().map(Statement::Bundle),
        };
        let statement = statement.map_err(|cause| Error::Line { line: number, cause: Box::new(cause) })?;
        lines.push(Line { number, statement });
    }
    Ok(lines)
}

fn without_comments(line: &str) -> String {
    let mut line = line.to_owned();
    while let Some(start) = line.find("/*") {
        let end = line[start..].find("*/").map_or(line.len(), |end| start + end + 2);
        line.replace_range(start..end, " ");
    }
    line.truncate(line.find("//").unwrap_or(line.len()));
    line
}

fn directive_statement(text: &str) -> Result<Statement, Error> {
    let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    let wrong = || Error::Directive(format!(".{text}"));
    let numbers = |bytes| {
        let values = rest.split(',').map(|value| Expression::parse(value.trim()));
        values.collect::<Result<_, _>>().map(|values| Statement::Numbers(bytes, values))
    };
    match name {
        "text" | "manual" | "auto" if !rest.is_empty() => Err(wrong()),
        "text" => Ok(Statement::Text),
        "manual" | "auto" => Ok(Statement::Padding(name == "auto")),
        "data" => Expression::parse(rest).map(Statement::Data),
        "zero" => Expression::parse(rest).map(Statement::Zero),
        "align" => Expression::parse(rest).map(Statement::Align),
        "byte" => numbers(1),
        "half" => numbers(2),
        "word" => numbers(4),
        "equ" => {
            let (symbol, value) = rest.split_once(',').ok_or_else(wrong)?;
            Ok(Statement::Equ(symbol.trim().to_owned(), Expression::parse(value.trim())?))
        }
        _ => Err(wrong()),
    }
}

fn instruction(text: &str) -> Result<Draft, Error> {
    let text = text.trim();
    let (mnemonic, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let candidates = || definitions().iter().filter(|definition| definition.mnemonic == mnemonic);
    if candidates().next().is_none() {
        return Err(Error::Mnemonic(mnemonic.to_owned()));
    }
    let words = words(rest);
    for definition in candidates() {
        if let Some(operands) = operands(definition, &words)? {
            return Ok(Draft { definition, operands });
        }
    }
    let written: Vec<String> = candidates().map(Definition::describe).collect();
    Err(Error::Syntax { found: text.to_owned(), expected: written.join("; ") })
}

/// Cuts operands at punctuation.
fn words(text: &str) -> Vec<&str> {
    let pieces = text.split_inclusive([',', '[', ']']).flat_map(|piece| {
        let word = piece.trim_end_matches([',', '[', ']']);
        [word, &piece[word.len()..]]
    });
    pieces.map(str::trim).filter(|word| !word.is_empty()).collect()
}

/// The operands, or `None` if the instruction is not written so.
fn operands(definition: &Definition, words: &[&str]) -> Result<Option<Vec<DraftOperand>>, Error> {
    let mut found = Vec::new();
    if words.len() != definition.tokens.len() {
        return Ok(None);
    }
    for (token, word) in definition.tokens.iter().zip(words) {
        match token {
            Token::Text(text) if text == word => {}
            Token::Text(_) => return Ok(None),
            Token::Field(i) => {
                let class = definition.fields[*i].class;
                if let Some(number) = word.strip_prefix('#') {
                    if !class.is_number() {
                        return Ok(None);
                    }
                    found.push(DraftOperand::Number(Expression::parse(number)?));
                    continue;
                }
                let register = word.parse().ok().filter(|r| class.encode(Operand::Register(*r)).is_some());
                let Some(register) = register else { return Ok(None) };
                found.push(DraftOperand::Register(register));
            }
        }
    }
    Ok(Some(found))
}
