//! Folders of LibriSpeech: `1089-134686.trans.txt` lists ids and texts, the recordings are beside it.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Item, existing, folder_of, text_of};
use crate::Error;

/// Folders within folders are read so deep.
const MAX_DEPTH: usize = 8;

/// Reads a folder with all that is in it.
pub(super) fn read(folder: &Path) -> Result<Vec<Item>, Error> {
    let mut lists = Vec::new();
    find_lists(folder, MAX_DEPTH, &mut lists)?;
    lists.sort();
    let mut items = Vec::new();
    for list in &lists {
        for line in text_of(list)?.lines() {
            let Some((id, text)) = line.trim().split_once(' ') else { continue };
            let candidates = ["flac", "wav", "mp3", "opus"];
            let audio =
                existing(candidates.map(|extension| folder_of(list).join(format!("{id}.{extension}"))));
            items.push(Item { id: id.to_owned(), audio, text: Some(text.to_owned()), ..Item::default() });
        }
    }
    Ok(items)
}

fn find_lists(folder: &Path, depth: usize, lists: &mut Vec<PathBuf>) -> Result<(), Error> {
    let unreadable = |source| Error::Read { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if entry.file_type().map_err(unreadable)?.is_dir() {
            if depth > 0 {
                find_lists(&entry.path(), depth - 1, lists)?;
            }
        } else if entry.file_name().to_string_lossy().ends_with(".trans.txt") {
            lists.push(entry.path());
        }
    }
    Ok(())
}
