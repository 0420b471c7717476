//! What can go wrong with a checkpoint or a vocabulary.

use std::path::{Path, PathBuf};

/// What can go wrong with a checkpoint or a vocabulary.
///
/// Every message names the file, tensor or field, what was found and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be opened, mapped or read.
    #[error("cannot read `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The content is that of none of the formats, or of one that is not supported.
    #[error("`{file}` is {found}, expected {expected}")]
    Format {
        /// The file.
        file: String,
        /// What it looks like.
        found: String,
        /// What it could have been.
        expected: &'static str,
    },
    /// A directory has none of the files that hold weights, or lacks one that belongs to them.
    #[error("`{}` has no {expected}", folder.display())]
    MissingFile {
        /// The directory.
        folder: PathBuf,
        /// What was looked for.
        expected: &'static str,
    },
    /// A JSON file is not JSON, or not of the expected form.
    #[error("`{file}` is not the JSON that it should be")]
    Json {
        /// The file.
        file: String,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A `.pt` file is not a zip archive that can be read.
    #[error("`{file}` is not a complete zip archive")]
    Zip {
        /// The file.
        file: String,
        /// Why.
        source: zip::result::ZipError,
    },
    /// The pickle in a `.pt` file holds something that a state dict has no use for.
    #[error("`{file}`: the pickle has {found} at byte {offset}, expected {expected}")]
    Pickle {
        /// The pickle's name in its archive.
        file: String,
        /// Where in the pickle.
        offset: usize,
        /// The opcode, class or value.
        found: String,
        /// What would do.
        expected: &'static str,
    },
    /// A field of a header or of a JSON file has a value that cannot be.
    #[error("`{file}`: {field} is {found}, expected {expected}")]
    Field {
        /// The file.
        file: String,
        /// The field.
        field: String,
        /// Its value.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// The file ends too early.
    #[error("`{file}` is cut off: {what} ends at byte {needed}, the file has {found}")]
    Truncated {
        /// The file.
        file: String,
        /// The tensor or field that does not fit.
        what: String,
        /// Where it would end.
        needed: u64,
        /// The size of the file in bytes.
        found: u64,
    },
    /// A tensor of the network is not in the file.
    #[error("tensor `{name}` is missing from `{file}`, which has {found} others")]
    MissingTensor {
        /// The name in the file's own naming.
        name: String,
        /// The checkpoint.
        file: String,
        /// How many tensors there are.
        found: usize,
    },
    /// A tensor has another shape than the model's dimensions ask for.
    #[error("tensor `{name}` has shape {found:?}, expected {expected:?}")]
    Shape {
        /// The name in the file's own naming.
        name: String,
        /// The shape in the file, row-major.
        found: Vec<usize>,
        /// The shape that the dimensions ask for.
        expected: Vec<usize>,
    },
    /// A tensor is stored in a way that is not supported, or that contradicts itself.
    #[error("tensor `{name}` has {found}, expected {expected}")]
    Tensor {
        /// The name in the file's own naming.
        name: String,
        /// What is wrong.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// A weight is infinite or not a number.
    #[error("tensor `{name}` has the value {found} at index {index}, expected finite weights")]
    NotFinite {
        /// The name in the file's own naming.
        name: String,
        /// The place, row-major.
        index: usize,
        /// The value.
        found: f32,
    },
    /// A vocabulary that no Whisper model can have.
    #[error("the vocabulary of `{file}` has {found}, expected {expected}")]
    Vocabulary {
        /// The file that brought it.
        file: String,
        /// What is wrong.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// The model was not trained for a language.
    #[error("the language is `{found}`, expected {expected}")]
    Language {
        /// The code or name that was asked for.
        found: String,
        /// What the model knows.
        expected: String,
    },
}

impl Error {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn field(file: &str, field: &str, found: impl ToString, expected: impl ToString) -> Self {
        Self::Field {
            file: file.to_owned(),
            field: field.to_owned(),
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }

    pub(crate) fn tensor(name: &str, found: impl ToString, expected: impl ToString) -> Self {
        Self::Tensor { name: name.to_owned(), found: found.to_string(), expected: expected.to_string() }
    }
}
