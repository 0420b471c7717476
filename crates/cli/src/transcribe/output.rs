//! Where transcripts go: standard output as they are found, or files.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use boswell_transcribe::{Format, Segment, Transcript, WriteOptions, write, write_console_line};

use super::input::Input;
use crate::args::{FormatArg, OutputArgs};
use crate::screen::Screen;
use crate::usage::usage;

/// Where a transcript goes.
pub(super) struct Sink<'a> {
    kind: Kind,
    layout: WriteOptions,
    screen: &'a Screen,
}

enum Kind {
    /// openai/whisper's console lines to standard output.
    Console,
    /// One format to standard output.
    StandardOutput(Format),
    /// Files in a folder.
    Folder(PathBuf, Vec<Format>),
}

impl<'a> Sink<'a> {
    /// What the command line asks for. A folder is made if it is missing.
    ///
    /// # Errors
    /// If several formats are to go to standard output, or the folder cannot be made.
    pub(super) fn new(args: &OutputArgs, layout: WriteOptions, screen: &'a Screen) -> Result<Self> {
        let formats = formats(&args.output_format);
        let kind = match (&args.output_dir, formats.as_slice()) {
            (Some(folder), _) => {
                fs::create_dir_all(folder)
                    .with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
                Kind::Folder(folder.clone(), if formats.is_empty() { Format::ALL.to_vec() } else { formats })
            }
            (None, []) => Kind::Console,
            (None, [format]) => Kind::StandardOutput(*format),
            (None, several) => {
                let names: Vec<&str> = several.iter().map(|format| format.name()).collect();
                usage!("standard output takes one format, found {}: add --output-dir", names.join(", "))
            }
        };
        Ok(Self { kind, layout, screen })
    }

    /// Takes a segment as soon as it is found.
    ///
    /// # Errors
    /// If standard output does not take it.
    pub(super) fn segment(&self, segment: &Segment) -> Result<()> {
        let mut line = Vec::new();
        match &self.kind {
            Kind::Console => write_console_line(segment, &mut line)?,
            Kind::StandardOutput(Format::Txt) => {
                let alone = Transcript { segments: vec![segment.clone()], ..Transcript::default() };
                write(&alone, Format::Txt, &self.layout, &mut line)?;
            }
            Kind::StandardOutput(_) | Kind::Folder(..) => return Ok(()),
        }
        self.screen.result(&line)
    }

    /// Takes the whole transcript of the recording called `stem`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn finish(&self, transcript: &Transcript, stem: &str) -> Result<()> {
        match &self.kind {
            Kind::Console | Kind::StandardOutput(Format::Txt) => {}
            Kind::StandardOutput(format) => {
                let mut text = Vec::new();
                write(transcript, *format, &self.layout, &mut text)?;
                self.screen.result(&text)?;
            }
            Kind::Folder(folder, formats) => {
                for format in formats {
                    let path = folder.join(format!("{stem}.{format}"));
                    write_file(transcript, *format, &self.layout, &path)
                        .with_context(|| format!("cannot write `{}`", path.display()))?;
                    tracing::info!("wrote {}", path.display());
                }
            }
        }
        Ok(())
    }
}

/// Writes a transcript to a file, which is complete or not there at all.
fn write_file(transcript: &Transcript, format: Format, layout: &WriteOptions, path: &Path) -> io::Result<()> {
    let folder = path.parent().expect("a file in a folder has a parent");
    let mut builder = tempfile::Builder::new();
    builder.prefix(".boswell-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666)); // less the user's umask
    let mut file = io::BufWriter::new(builder.tempfile_in(folder)?);
    write(transcript, format, layout, &mut file)?;
    file.flush()?;
    file.into_inner()?.persist(path)?;
    Ok(())
}

/// The formats asked for, each once, in the order of asking.
fn formats(asked: &[FormatArg]) -> Vec<Format> {
    let mut formats = Vec::new();
    for arg in asked {
        let meant: &[Format] = match arg {
            FormatArg::Txt => &[Format::Txt],
            FormatArg::Srt => &[Format::Srt],
            FormatArg::Vtt => &[Format::Vtt],
            FormatArg::Tsv => &[Format::Tsv],
            FormatArg::Json => &[Format::Json],
            FormatArg::Lrc => &[Format::Lrc],
            FormatArg::All => &Format::ALL,
        };
        formats.extend(meant.iter().filter(|format| !formats.contains(*format)).collect::<Vec<_>>());
    }
    formats
}

/// What each recording's files are called, no two alike: `talk`, and `talk-2` where another recording is called so too.
pub(super) fn stems(inputs: &[Input]) -> Vec<String> {
    // Some file systems do not tell upper from lower case.
    let mut taken: HashSet<String> = HashSet::new();
    let plain: HashSet<String> = inputs.iter().map(|input| input.stem().to_lowercase()).collect();
    let mut stem_of = |input: &Input| {
        let plain_stem = input.stem();
        let numbered = (2..).map(|number| format!("{plain_stem}-{number}"));
        let numbered = numbered.filter(|stem| !plain.contains(&stem.to_lowercase()));
        let mut candidates = std::iter::once(plain_stem.clone()).chain(numbered);
        let is_free = |stem: &String| taken.insert(stem.to_lowercase());
        candidates.find(is_free).expect("there is always another number")
    };
    inputs.iter().map(&mut stem_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_recordings_share_their_files() {
        let inputs = ["a/talk.mp3", "b/talk.wav", "Talk.ogg", "talk-2.mp3", "other.flac", "-"];
        let inputs: Vec<Input> = inputs.iter().map(|path| Input::File(path.into())).collect();
        assert_eq!(stems(&inputs), ["talk", "talk-3", "Talk-4", "talk-2", "other", "-"]);
    }

    #[test]
    fn formats_are_asked_for_once() {
        use FormatArg::{All, Json, Srt};
        assert_eq!(formats(&[Srt, Json, Srt]), [Format::Srt, Format::Json]);
        assert_eq!(formats(&[Json, All]).len(), Format::ALL.len());
        assert_eq!(formats(&[]), []);
    }
}
