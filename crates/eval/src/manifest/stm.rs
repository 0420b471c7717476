//! Lines of NIST's stm format, as TED-LIUM has them: parts of long recordings.

use std::path::{Path, PathBuf};

use super::{Item, existing, folder_of, text_of};
use crate::Error;

/// Parts with this text are not scored.
const IGNORED: &str = "ignore_time_segment_in_scoring";

/// Reads a file. Recordings are beside it, or in `sph`, `wav` or `audio` beside its folder.
pub(super) fn read(path: &Path) -> Result<Vec<Item>, Error> {
    let text = text_of(path)?;
    let lines =
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with(";;"));
    let mut items = Vec::new();
    for (idx, line) in lines {
        let item = item(path, line).ok_or_else(|| Error::Line {
            path: path.to_owned(),
            line: idx + 1,
            found: format!("`{}`", line.chars().take(40).collect::<String>()),
            expected: "file, channel, speaker, start, end and text",
        })?;
        items.extend(item);
    }
    Ok(items)
}

/// The part that a line is about: `None` if the line makes no sense, `Some(None)` if it is not scored.
fn item(path: &Path, line: &str) -> Option<Option<Item>> {
    let mut rest = line.trim();
    let mut field = || {
        let (field, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        rest = after.trim_start();
        (!field.is_empty()).then_some(field)
    };
    let (file, _channel, _speaker) = (field()?, field()?, field()?);
    let (start, end): (f64, f64) = (field()?.parse().ok()?, field()?.parse().ok()?);
    if !(start.is_finite() && end.is_finite() && 0.0 <= start && start <= end) {
        return None;
    }
    if rest.starts_with('<') {
        rest = rest.split_once('>')?.1.trim_start();
    }
    if rest == IGNORED {
        return Some(None);
    }
    Some(Some(Item {
        id: format!("{file}-{start:.2}-{end:.2}"),
        audio: audio(path, file),
        part: Some((start, end)),
        text: Some(rest.to_owned()),
        ..Item::default()
    }))
}

fn audio(path: &Path, file: &str) -> PathBuf {
    let folder = folder_of(path);
    let folders = ["", "../sph", "../wav", "../audio", "sph", "wav", "audio"].map(|name| folder.join(name));
    let names = ["wav", "flac", "mp3", "sph"].map(|extension| format!("{file}.{extension}"));
    existing(folders.iter().flat_map(|folder| names.iter().map(|name| folder.join(name))))
}
