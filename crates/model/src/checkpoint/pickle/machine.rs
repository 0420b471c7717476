//! The machine that runs a pickle.

use std::collections::HashMap;

use super::Strided;
use crate::Error;

/// More axes than any tensor of a network has.
const MAX_AXES: usize = 8;

/// Longer than the name of any storage: they are numbered.
const MAX_KEY: u32 = 64;

/// Something on the stack. What is larger than a number is an index into a table of the [`Machine`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// A number that is not whole: nothing needs its value.
    Float,
    Text(Text),
    Tuple(usize),
    List(usize),
    Dict(usize),
    /// A class or function: its module and its name.
    Global(Text, Text),
    /// What a persistent id refers to: (class, key).
    Storage(Text, Text),
    Tensor(usize),
}

/// A string within the pickle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text {
    start: u32,
    len: u32,
}

/// A pickle, and the values that it has made so far.
pub(super) struct Machine<'a> {
    pickle: &'a [u8],
    file: &'a str,
    /// The next byte.
    at: usize,
    /// Where the current opcode is.
    opcode_at: usize,
    stack: Vec<Value>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    tuples: Vec<Vec<Value>>,
    lists: Vec<Vec<Value>>,
    dicts: Vec<Vec<(Value, Value)>>,
    tensors: Vec<Strided<'a>>,
}

impl<'a> Machine<'a> {
    /// # Panics
    /// If the pickle has 4 GB or more.
    pub(super) fn new(pickle: &'a [u8], file: &'a str) -> Self {
        assert!(u32::try_from(pickle.len()).is_ok(), "the pickle is too large");
        Self {
            pickle,
            file,
            at: 0,
            opcode_at: 0,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            tuples: Vec::new(),
            lists: Vec::new(),
            dicts: Vec::new(),
            tensors: Vec::new(),
        }
    }

    /// Runs the pickle to its end and returns the value that it makes.
    pub(super) fn run(&mut self) -> Result<Value, Error> {
        loop {
            self.opcode_at = self.at;
            let [opcode] = self.take()?;
            if opcode == b'.' {
                return self.pop();
            }
            self.step(opcode)?;
        }
    }

    /// The items of a dict, in order; `None` if it is none.
    pub(super) fn items(&self, value: Value) -> Option<&[(Value, Value)]> {
        match value {
            Value::Dict(dict) => Some(&self.dicts[dict]),
            _ => None,
        }
    }

    pub(super) fn text(&self, text: Text) -> &'a str {
        let bytes = &self.pickle[text.start as usize..][..text.len as usize];
        std::str::from_utf8(bytes).expect("strings are checked when they are read")
    }

    pub(super) fn tensor(&self, tensor: usize) -> &Strided<'a> {
        &self.tensors[tensor]
    }

    /// What an error calls a value.
    pub(super) fn describe(&self, value: Value) -> String {
        match value {
            Value::None => "None".to_owned(),
            Value::Bool(value) => format!("the bool {value}"),
            Value::Int(value) => format!("the number {value}"),
            Value::Float => "a fraction".to_owned(),
            Value::Text(text) => format!("the text {:?}", shortened(self.text(text))),
            Value::Tuple(tuple) => format!("a tuple of {}", self.tuples[tuple].len()),
            Value::List(list) => format!("a list of {}", self.lists[list].len()),
            Value::Dict(dict) => format!("a dict of {}", self.dicts[dict].len()),
            Value::Global(module, name) => {
                format!("the class `{} {}`", shortened(self.text(module)), shortened(self.text(name)))
            }
            Value::Storage(class, key) => {
                format!("the {} {}", shortened(self.text(class)), shortened(self.text(key)))
            }
            Value::Tensor(tensor) => format!("a tensor of shape {:?}", self.tensors[tensor].shape),
        }
    }

    /// An error at the current opcode.
    pub(super) fn error(&self, found: impl Into<String>, expected: &'static str) -> Error {
        Error::Pickle { file: self.file.to_owned(), offset: self.opcode_at, found: found.into(), expected }
    }

    /// Source: `Lib/pickletools.py` of CPython, where each opcode is described.
    fn step(&mut self, opcode: u8) -> Result<(), Error> {
        match opcode {
            b'\x80' => drop(self.take::<1>()?), // PROTO
            b'\x95' => drop(self.take::<8>()?), // FRAME
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?), // POP
            b'N' => self.stack.push(Value::None),
            b'\x88' => self.stack.push(Value::Bool(true)),
            b'\x89' => self.stack.push(Value::Bool(false)),
            b'K' => {
                let [byte] = self.take()?;
                self.stack.push(Value::Int(byte.into()));
            }
            b'M' => {
                let bytes = self.take()?;
                self.stack.push(Value::Int(u16::from_le_bytes(bytes).into()));
            }
            b'J' => {
                let bytes = self.take()?;
                self.stack.push(Value::Int(i32::from_le_bytes(bytes).into()));
            }
            b'\x8a' => self.long()?,
            b'G' => {
                self.take::<8>()?;
                self.stack.push(Value::Float);
            }
            b'X' => self.text_with_len::<4>()?,
            b'\x8c' => self.text_with_len::<1>()?,
            b'\x8d' => self.text_with_len::<8>()?,
            b'q' => self.memoise::<1>()?,
            b'r' => self.memoise::<4>()?,
            b'\x94' => {
                let place = self.memo.len() as u32;
                self.memo.insert(place, self.top()?);
            }
            b'h' => self.recall::<1>()?,
            b'j' => self.recall::<4>()?,
            b')' => self.make_tuple(self.stack.len()),
            b'\x85'..=b'\x87' => {
                let len = usize::from(opcode - b'\x84');
                let Some(height) = self.stack.len().checked_sub(len) else { return Err(self.underflow()) };
                self.make_tuple(height);
            }
            b't' => {
                let height = self.mark()?;
                self.make_tuple(height);
            }
            b']' => {
                self.lists.push(Vec::new());
                self.stack.push(Value::List(self.lists.len() - 1));
            }
            b'a' | b'e' => self.append(opcode)?,
            b'}' => self.make_dict(),
            b's' | b'u' => self.set_items(opcode)?,
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.stack.push(Value::Global(module, name));
            }
            b'\x93' => self.stack_global()?,
            b'Q' => self.persistent_id()?,
            b'R' => self.reduce()?,
            b'b' => self.build()?,
            _ => {
                let found = format!("the opcode {:?}", char::from(opcode));
                return Err(self.error(found, "one that a state dict needs"));
            }
        }
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let Some(bytes) = self.pickle[self.at..].first_chunk() else {
            return Err(self.error("its end", "more bytes"));
        };
        self.at += N;
        Ok(*bytes)
    }

    fn pop(&mut self) -> Result<Value, Error> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() > floor
            && let Some(value) = self.stack.pop()
        {
            return Ok(value);
        }
        Err(self.underflow())
    }

    fn top(&self) -> Result<Value, Error> {
        self.stack.last().copied().ok_or_else(|| self.underflow())
    }

    fn underflow(&self) -> Error {
        self.error("too few values on its stack", "enough for the opcode")
    }

    /// The height at the last mark, which is taken away.
    fn mark(&mut self) -> Result<usize, Error> {
        let height = self.marks.pop().filter(|height| *height <= self.stack.len());
        height.ok_or_else(|| self.error("no mark", "one before the opcode"))
    }

    fn make_tuple(&mut self, height: usize) {
        self.tuples.push(self.stack.split_off(height));
        self.stack.push(Value::Tuple(self.tuples.len() - 1));
    }

    fn make_dict(&mut self) {
        self.dicts.push(Vec::new());
        self.stack.push(Value::Dict(self.dicts.len() - 1));
    }

    /// An integer of up to 255 bytes, of which up to 8 are used.
    fn long(&mut self) -> Result<(), Error> {
        let [len] = self.take()?;
        let mut value = 0_i64;
        for i in 0..len {
            let [byte] = self.take()?;
            match i {
                0..8 => value |= i64::from(byte) << (8 * i),
                _ => return Err(self.error("a number of more than 64 bits", "a size")),
            }
        }
        let unused = 64 - 8 * u32::from(len);
        self.stack.push(Value::Int(if len == 0 { 0 } else { value << unused >> unused }));
        Ok(())
    }

    /// A string after its length, a number of `N` bytes.
    fn text_with_len<const N: usize>(&mut self) -> Result<(), Error> {
        let len = self.take::<N>()?.iter().rev().fold(0_u64, |len, byte| len << 8 | u64::from(*byte));
        let rest = self.pickle.len() - self.at;
        let Some(len) = usize::try_from(len).ok().filter(|len| *len <= rest) else {
            return Err(self.error(format!("a text of {len} bytes"), "at most as many as are left"));
        };
        let text = self.checked_text(len)?;
        self.stack.push(Value::Text(text));
        Ok(())
    }

    /// A string up to the end of the line.
    fn line(&mut self) -> Result<Text, Error> {
        let rest = &self.pickle[self.at..];
        let Some(len) = rest.iter().position(|byte| *byte == b'\n') else {
            return Err(self.error("a name without an end", "a line"));
        };
        let text = self.checked_text(len)?;
        self.at += 1;
        Ok(text)
    }

    fn checked_text(&mut self, len: usize) -> Result<Text, Error> {
        let start = self.at;
        if std::str::from_utf8(&self.pickle[start..start + len]).is_err() {
            return Err(self.error("a text that is not UTF-8", "UTF-8"));
        }
        self.at += len;
        Ok(Text { start: start as u32, len: len as u32 })
    }

    fn memoise<const N: usize>(&mut self) -> Result<(), Error> {
        let place = self.place::<N>()?;
        self.memo.insert(place, self.top()?);
        Ok(())
    }

    fn recall<const N: usize>(&mut self) -> Result<(), Error> {
        let place = self.place::<N>()?;
        let Some(value) = self.memo.get(&place) else {
            return Err(self.error(format!("a reference to {place}"), "one to an earlier value"));
        };
        self.stack.push(*value);
        Ok(())
    }

    fn place<const N: usize>(&mut self) -> Result<u32, Error> {
        Ok(self.take::<N>()?.iter().rev().fold(0, |place, byte| place << 8 | u32::from(*byte)))
    }

    /// `APPEND` and `APPENDS`.
    fn append(&mut self, opcode: u8) -> Result<(), Error> {
        let values = match opcode {
            b'a' => vec![self.pop()?],
            _ => {
                let height = self.mark()?;
                self.stack.split_off(height)
            }
        };
        match self.top()? {
            Value::List(list) => self.lists[list].extend(values),
            other => return Err(self.error(self.describe(other), "a list to append to")),
        }
        Ok(())
    }

    /// `SETITEM` and `SETITEMS`.
    fn set_items(&mut self, opcode: u8) -> Result<(), Error> {
        let values = match opcode {
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => {
                let height = self.mark()?;
                self.stack.split_off(height)
            }
        };
        let (pairs, rest) = values.as_chunks();
        match self.top()? {
            Value::Dict(dict) if rest.is_empty() => {
                self.dicts[dict].extend(pairs.iter().map(|[key, value]| (*key, *value)));
            }
            Value::Dict(_) => return Err(self.error("a key without a value", "pairs")),
            other => return Err(self.error(self.describe(other), "a dict to set items of")),
        }
        Ok(())
    }

    fn stack_global(&mut self) -> Result<(), Error> {
        match (self.pop()?, self.pop()?) {
            (Value::Text(name), Value::Text(module)) => self.stack.push(Value::Global(module, name)),
            (other, _) => return Err(self.error(self.describe(other), "the name of a class")),
        }
        Ok(())
    }

    /// `("storage", class, key, location, size)`; the size is checked against the archive later.
    fn persistent_id(&mut self) -> Result<(), Error> {
        let id = self.pop()?;
        if let Value::Tuple(tuple) = id
            && let [Value::Text(kind), Value::Global(module, class), Value::Text(key), ..] =
                self.tuples[tuple][..]
            && self.text(kind) == "storage"
            && self.text(module) == "torch"
            && key.len <= MAX_KEY
        {
            self.stack.push(Value::Storage(class, key));
            return Ok(());
        }
        Err(self.error(self.describe(id), "a persistent id of a torch storage"))
    }

    /// Calls a function: only those that make tensors and ordered dicts are known.
    fn reduce(&mut self) -> Result<(), Error> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let (Value::Tuple(arguments), Value::Global(module, name)) = (arguments, function) else {
            return Err(self.error(self.describe(function), "a function and its arguments"));
        };
        match (self.text(module), self.text(name)) {
            ("collections", "OrderedDict") if self.tuples[arguments].is_empty() => self.make_dict(),
            ("torch._utils", "_rebuild_tensor_v2") => {
                let tensor = self.rebuild_tensor(arguments)?;
                self.tensors.push(tensor);
                self.stack.push(Value::Tensor(self.tensors.len() - 1));
            }
            ("torch._utils", "_rebuild_parameter") => match self.tuples[arguments].first() {
                Some(Value::Tensor(tensor)) => self.stack.push(Value::Tensor(*tensor)),
                _ => return Err(self.error("a parameter without a tensor", "a tensor")),
            },
            _ => return Err(self.error(self.describe(function), "a function that makes a tensor or a dict")),
        }
        Ok(())
    }

    /// `(storage, offset, shape, strides, …)`.
    fn rebuild_tensor(&self, arguments: usize) -> Result<Strided<'a>, Error> {
        let expected = "a storage, an offset, a shape and strides";
        let [Value::Storage(class, key), Value::Int(offset), Value::Tuple(shape), Value::Tuple(strides), ..] =
            self.tuples[arguments][..]
        else {
            return Err(self.error("a tensor of other arguments", expected));
        };
        let size = |value: &Value| match value {
            Value::Int(size) => usize::try_from(*size).ok(),
            _ => None,
        };
        // Without a limit, one long tuple that many tensors share would be copied for each.
        let axes = |tuple: usize| Some(&self.tuples[tuple]).filter(|sizes| sizes.len() <= MAX_AXES);
        let sizes = |tuple: usize| axes(tuple)?.iter().map(size).collect::<Option<Vec<usize>>>();
        match (usize::try_from(offset).ok(), sizes(shape), sizes(strides)) {
            (Some(offset), Some(shape), Some(strides)) if shape.len() == strides.len() => Ok(Strided {
                storage_class: self.text(class),
                storage_key: self.text(key),
                offset,
                shape,
                strides,
            }),
            _ => Err(self.error("a tensor with a shape or strides that cannot be", expected)),
        }
    }

    /// Sets the attributes of an object. Ordered dicts get one, `_metadata`, which no weights need.
    fn build(&mut self) -> Result<(), Error> {
        self.pop()?;
        match self.top()? {
            Value::Dict(_) => Ok(()),
            other => Err(self.error(self.describe(other), "a dict as the object that gets attributes")),
        }
    }
}

/// Enough of a text for an error message.
fn shortened(text: &str) -> &str {
    let end = text.char_indices().nth(64).map_or(text.len(), |(end, _)| end);
    &text[..end]
}
