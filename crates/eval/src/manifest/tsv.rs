//! Tables of Common Voice: names in the first line, then a recording a line.

use std::path::Path;

use super::{Item, existing, folder_of, text_of};
use crate::Error;

/// Reads a table. Recordings are in `clips` beside it, or beside it.
pub(super) fn read(path: &Path) -> Result<Vec<Item>, Error> {
    let text = text_of(path)?;
    let mut lines = text.lines().enumerate();
    let wrong = |line: usize, found: &str, expected| Error::Line {
        path: path.to_owned(),
        line,
        found: format!("`{}`", found.chars().take(40).collect::<String>()),
        expected,
    };
    let names: Vec<&str> = lines.next().map_or_else(Vec::new, |(_, line)| line.split('\t').collect());
    let column = |name: &str| names.iter().position(|found| found.trim() == name);
    let (Some(audio), Some(sentence)) = (column("path"), column("sentence")) else {
        return Err(wrong(1, &names.join(" "), "names of columns, `path` and `sentence` among them"));
    };
    let locale = column("locale");
    let mut items = Vec::new();
    for (idx, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let cells: Vec<&str> = line.split('\t').collect();
        let (Some(file), Some(sentence)) = (cells.get(audio), cells.get(sentence)) else {
            return Err(wrong(idx + 1, line, "as many cells as the first line has"));
        };
        let folder = folder_of(path);
        items.push(Item {
            id: (*file).to_owned(),
            audio: existing([folder.join("clips").join(file), folder.join(file)]),
            text: Some((*sentence).to_owned()),
            language: locale.and_then(|locale| cells.get(locale)).map(|code| (*code).to_owned()),
            ..Item::default()
        });
    }
    Ok(items)
}
