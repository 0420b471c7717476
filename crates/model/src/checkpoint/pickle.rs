//! A reader for the pickles of PyTorch: the opcodes and classes that a state dict needs, and nothing else.
//!
//! A pickle is a program for a machine with a stack. Here it builds values in tables and refers to them by index, so
//! that no pickle can make values that are deeper than the call stack, refer to themselves, or take more memory than
//! a fixed multiple of its length. Nothing is ever called: classes are names.

mod machine;

use std::collections::HashMap;

use self::machine::{Machine, Value};
use crate::Error;

/// What a `.pt` file holds.
#[derive(Debug, Default)]
pub(super) struct StateDict<'a> {
    /// The model's dimensions by name, if the file has them.
    pub(super) dims: Option<HashMap<&'a str, i64>>,
    /// The tensors by name, in the file's order.
    pub(super) tensors: Vec<(&'a str, Strided<'a>)>,
}

/// A view of a storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Strided<'a> {
    /// The class of the storage: `HalfStorage`, `FloatStorage`, …
    pub(super) storage_class: &'a str,
    /// The name of the storage in the archive.
    pub(super) storage_key: &'a str,
    /// Where the tensor starts, in values.
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    /// In values, as many as there are axes.
    pub(super) strides: Vec<usize>,
}

/// Reads a pickle that PyTorch wrote: openai/whisper's `{"dims": …, "model_state_dict": …}`, or a state dict alone.
///
/// `file` is named in errors.
///
/// # Errors
/// [`Error::Pickle`] naming whatever has no place in such a pickle.
pub(super) fn read<'a>(pickle: &'a [u8], file: &'a str) -> Result<StateDict<'a>, Error> {
    let mut machine = Machine::new(pickle, file);
    let top = machine.run()?;
    let items = dict(&machine, top, "a dict at the top")?;
    let dims = items.get("dims").map(|dims| read_dims(&machine, *dims)).transpose()?;
    let state = ["model_state_dict", "state_dict"].into_iter().find_map(|name| items.get(name));
    let state = state.copied().unwrap_or(top);
    let mut tensors = Vec::new();
    for (name, value) in
        machine.items(state).ok_or_else(|| unexpected(&machine, state, "a dict of tensors"))?
    {
        let (Value::Text(name), Value::Tensor(tensor)) = (name, value) else {
            return Err(unexpected(&machine, *value, "a tensor with a name"));
        };
        tensors.push((machine.text(*name), machine.tensor(*tensor).clone()));
    }
    Ok(StateDict { dims, tensors })
}

fn read_dims<'a>(machine: &Machine<'a>, dims: Value) -> Result<HashMap<&'a str, i64>, Error> {
    let items = dict(machine, dims, "a dict of dimensions")?;
    let size = |(name, value)| match value {
        Value::Int(size) => Ok((name, size)),
        _ => Err(unexpected(machine, value, "a whole number as a dimension")),
    };
    items.into_iter().map(size).collect()
}

/// The items of a dict whose keys are text.
fn dict<'a>(
    machine: &Machine<'a>,
    value: Value,
    expected: &'static str,
) -> Result<HashMap<&'a str, Value>, Error> {
    let items = machine.items(value).ok_or_else(|| unexpected(machine, value, expected))?;
    let named = items.iter().filter_map(|(name, value)| match name {
        Value::Text(name) => Some((machine.text(*name), *value)),
        _ => None,
    });
    Ok(named.collect())
}

fn unexpected(machine: &Machine<'_>, value: Value, expected: &'static str) -> Error {
    machine.error(machine.describe(value), expected)
}
