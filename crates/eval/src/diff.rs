//! What was said over what was written, for people.

use crate::{Edit, ItemScore, align};

/// Columns of a line.
const WIDTH: usize = 80;
/// What each line begins with.
const MARGIN: usize = 6;

/// Writes the words of a recording in two lines, what was said over what was written, and under them what is wrong:
/// `S` another word, `D` a missing one, `I` one that nobody said. Lines are broken at 80 columns.
pub fn diff(score: &ItemScore) -> String {
    let said: Vec<&str> = score.reference.split_whitespace().collect();
    let written: Vec<&str> = score.hypothesis.split_whitespace().collect();
    let column = |edit: &Edit| match *edit {
        Edit::Equal(i, j) => (said[i], written[j], ""),
        Edit::Substitution(i, j) => (said[i], written[j], "S"),
        Edit::Deletion(i) => (said[i], "", "D"),
        Edit::Insertion(j) => ("", written[j], "I"),
    };
    let columns: Vec<_> = align(&said, &written).iter().map(column).collect();
    let mut text =
        format!("{}: {} of {} words wrong\n", score.id, score.words.errors(), score.words.reference);
    let mut rest = columns.as_slice();
    while !rest.is_empty() {
        let mut width = MARGIN;
        let fits = |(said, written, _): &&(&str, &str, &str)| {
            width += 1 + said.chars().count().max(written.chars().count());
            width <= WIDTH
        };
        let (line, after) = rest.split_at(rest.iter().take_while(fits).count().max(1));
        write_line(line, &mut text);
        rest = after;
    }
    text
}

fn write_line(columns: &[(&str, &str, &str)], text: &mut String) {
    let row = |name: &str, cell: fn(&(&'_ str, &'_ str, &'_ str)) -> String| {
        let mut row = format!("{name:<MARGIN$}");
        for column in columns {
            let width = column.0.chars().count().max(column.1.chars().count());
            row.push_str(&format!(" {:<width$}", cell(column)));
        }
        row.trim_end().to_owned() + "\n"
    };
    text.push_str(&row("said", |(said, ..)| (*said).to_owned()));
    text.push_str(&row("wrote", |(_, written, _)| (*written).to_owned()));
    if columns.iter().any(|(.., mark)| !mark.is_empty()) {
        text.push_str(&row("", |(.., mark)| (*mark).to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Item, Normaliser, Outcome, Scorer};

    fn score(said: &str, written: &str) -> ItemScore {
        let item = Item { id: "x.wav".to_owned(), text: Some(said.to_owned()), ..Item::default() };
        let outcome = Outcome { text: written.to_owned(), ..Outcome::default() };
        Scorer { normaliser: Normaliser::None }.score(&item, &outcome).unwrap()
    }

    #[test]
    fn words_stand_over_each_other() {
        let expected = "x.wav: 3 of 4 words wrong\n\
                        said   one three four six\n\
                        wrote  one free  six  seven\n\
                        \x20          S     S    S\n";
        assert_eq!(diff(&score("one three four six", "one free six seven")), expected);
    }

    #[test]
    fn lines_fit_80_columns() {
        let text = diff(&score(&"seven ".repeat(100), &"eleven ".repeat(90)));
        assert!(text.lines().all(|line| line.chars().count() <= 80));
        assert_eq!(text.matches("seven").count(), 100);
        assert!(diff(&score(&"x".repeat(200), "")).contains(&"x".repeat(200)));
    }
}
