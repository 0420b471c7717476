//! Statements to bytes: where everything lies, and what names stand for.

use std::collections::{BTreeMap, BTreeSet};

use super::parse::{Draft, DraftOperand, Expression, Line, Statement};
use super::schedule::{Scheduler, nops};
use crate::{
    Bundle, DATA_MEMORY, DATA_MEMORY_NAME, Error, Instruction, Opcode, Operand, PROGRAM_MEMORY_BYTES,
    PROGRAM_MEMORY_NAME, Program, Segment, Slot, Symbol,
};

/// Bytes that jump targets are aligned to, and that the last bundle of a hardware loop has.
const ALIGNMENT: usize = 16;

/// A piece of program memory.
enum Piece {
    Bundle { line: usize, drafts: Vec<Draft> },
    Bytes(Vec<u8>),
}

/// Numbers in data that may name symbols.
struct Number {
    line: usize,
    /// Segment and offset in it; program memory has no segment.
    segment: Option<usize>,
    offset: usize,
    bytes: u32,
    value: Expression,
}

#[derive(Default)]
struct Layout {
    pieces: Vec<Piece>,
    text_bytes: usize,
    data: Vec<Segment>,
    in_data: bool,
    padded: bool,
    scheduler: Scheduler,
    labels: BTreeMap<String, u32>,
    constants: BTreeMap<String, i64>,
    numbers: Vec<Number>,
    /// Labels that the hardware loop's registers are set to.
    loop_starts: BTreeSet<String>,
    loop_ends: BTreeSet<String>,
    /// Whether the next bundle is the last of a hardware loop.
    at_loop_end: bool,
}

/// Puts everything in its place.
pub(super) fn layout(lines: &[Line]) -> Result<Program, Error> {
    let mut layout = Layout { padded: true, ..Layout::default() };
    layout.find_loops(lines);
    for line in lines {
        let error = |cause| Error::Line { line: line.number, cause: Box::new(cause) };
        layout.place(line).map_err(error)?;
        layout.check_size().map_err(error)?;
    }
    layout.finish()
}

impl Layout {
    /// Finds the labels that `movxm` puts into `ls` and `le`.
    fn find_loops(&mut self, lines: &[Line]) {
        let drafts = lines.iter().filter_map(|line| match &line.statement {
            Statement::Bundle(drafts) => Some(drafts),
            _ => None,
        });
        for draft in drafts.flatten().filter(|draft| draft.definition.opcode == Opcode::MovXm) {
            if let [DraftOperand::Register(register), DraftOperand::Number(value)] = &draft.operands[..] {
                let labels = match register {
                    crate::Register::Ls => &mut self.loop_starts,
                    crate::Register::Le => &mut self.loop_ends,
                    _ => continue,
                };
                labels.extend(value.symbol.clone());
            }
        }
    }

    fn place(&mut self, line: &Line) -> Result<(), Error> {
        match &line.statement {
            Statement::Text => self.in_data = false,
            Statement::Padding(padded) => {
                self.settle(0);
                self.padded = *padded;
            }
            Statement::Data(address) => {
                let address = self.known(address)?;
                let memory = DATA_MEMORY_NAME;
                let start = u32::try_from(address).ok().filter(|address| DATA_MEMORY.contains(address));
                let address =
                    start.ok_or(Error::OutOfMemory { address: address as u32, bytes: 0, memory })?;
                self.data.push(Segment { address, bytes: Vec::new() });
                self.in_data = true;
            }
            Statement::Label(name) => self.label(name)?,
            Statement::Equ(name, value) => {
                let value = self.known(value)?;
                self.define(name)?;
                self.constants.insert(name.clone(), value);
            }
            Statement::Numbers(bytes, values) => self.numbers(line.number, *bytes, values)?,
            Statement::Zero(count) => {
                let count = self.known(count)?;
                let room = DATA_MEMORY.end - DATA_MEMORY.start;
                let count = u32::try_from(count).ok().filter(|count| *count <= room);
                self.bytes(&vec![0; count.ok_or(Error::Misplaced(".zero has too many bytes"))? as usize])?;
            }
            Statement::Align(to) => self.align(to)?,
            Statement::Bundle(_) if self.in_data => {
                return Err(Error::Misplaced("bundles belong into .text"));
            }
            Statement::Bundle(drafts) => self.bundle(line.number, drafts)?,
        }
        Ok(())
    }

    fn define(&self, name: &str) -> Result<(), Error> {
        if self.labels.contains_key(name) || self.constants.contains_key(name) {
            return Err(Error::DuplicateSymbol(name.to_owned()));
        }
        Ok(())
    }

    fn label(&mut self, name: &str) -> Result<(), Error> {
        self.define(name)?;
        if !self.in_data && self.padded {
            let cycles = if self.loop_starts.contains(name) { self.scheduler.loop_gap() } else { 0 };
            self.settle(cycles);
            let gap = self.text_bytes.next_multiple_of(ALIGNMENT) - self.text_bytes;
            if gap > 0 {
                self.nops(1, gap);
            }
        }
        self.at_loop_end |= !self.in_data && self.loop_ends.contains(name);
        let address = match self.data.last() {
            Some(segment) if self.in_data => segment.address + segment.bytes.len() as u32,
            _ => self.text_bytes as u32,
        };
        self.labels.insert(name.to_owned(), address);
        Ok(())
    }

    /// Waits until nothing is on its way, at least so many bundles.
    fn settle(&mut self, at_least: u64) {
        if self.padded {
            let cycles = self.scheduler.unsettled().max(at_least);
            self.nops(cycles, 2 * cycles as usize);
        }
    }

    /// Appends nops: so many bundles, with so many bytes modulo [`ALIGNMENT`].
    fn nops(&mut self, bundles: u64, bytes: usize) {
        let nops = nops(bundles, bytes);
        self.text_bytes += nops.len();
        self.pieces.push(Piece::Bytes(nops));
        self.scheduler.advance(bundles);
    }

    fn bundle(&mut self, line: usize, drafts: &[Draft]) -> Result<(), Error> {
        let mut drafts = drafts.to_vec();
        let at_loop_end = std::mem::take(&mut self.at_loop_end);
        if self.padded && at_loop_end {
            fill_up(&mut drafts);
        }
        // What an instruction reads and writes, and how long a bundle is, does not depend on its numbers.
        let instructions = drafts.iter().map(provisional).collect::<Result<Vec<_>, _>>()?;
        let size = Bundle::new(instructions.clone())?.encode().len();
        if self.padded {
            let wait = self.scheduler.wait(&instructions, at_loop_end)?;
            self.nops(wait, 2 * wait as usize);
        }
        self.pieces.push(Piece::Bundle { line, drafts });
        self.text_bytes += size;
        if !self.padded {
            return Ok(());
        }
        self.scheduler.issue(&instructions);
        if let Some(jump) = instructions.iter().find(|instruction| instruction.opcode().is_jump()) {
            let slots = self.scheduler.delay_slots();
            let back = self.text_bytes.next_multiple_of(ALIGNMENT) - self.text_bytes;
            let bytes = if jump.opcode() == Opcode::Jl { back } else { 2 * slots as usize };
            self.nops(slots, bytes);
        }
        Ok(())
    }

    fn align(&mut self, to: &Expression) -> Result<(), Error> {
        let to = usize::try_from(self.known(to)?).ok().filter(|to| to.is_power_of_two() && *to <= 0x1000);
        let to = to.ok_or(Error::Misplaced(".align takes a power of two up to 4096"))?;
        if let Some(segment) = self.data.last_mut().filter(|_| self.in_data) {
            let end = (segment.address as usize + segment.bytes.len()).next_multiple_of(to);
            segment.bytes.resize(end - segment.address as usize, 0);
        } else if to > ALIGNMENT {
            return Err(Error::Misplaced(".align takes 16 at most in .text"));
        } else {
            let gap = self.text_bytes.next_multiple_of(to) - self.text_bytes;
            if !gap.is_multiple_of(2) {
                return Err(Error::Misplaced(".align in .text after an odd number of bytes"));
            }
            self.nops(u64::from(gap > 0), gap);
        }
        Ok(())
    }

    fn numbers(&mut self, line: usize, bytes: u32, values: &[Expression]) -> Result<(), Error> {
        for value in values {
            let segment = if self.in_data { self.data.len().checked_sub(1) } else { None };
            let offset = segment.map_or(self.text_bytes, |segment| self.data[segment].bytes.len());
            self.numbers.push(Number { line, segment, offset, bytes, value: value.clone() });
            self.bytes(&[0; 4][..bytes as usize])?;
        }
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match self.data.last_mut() {
            Some(segment) if self.in_data => segment.bytes.extend_from_slice(bytes),
            _ if self.padded => return Err(Error::Misplaced("data among bundles needs .manual")),
            _ => {
                self.text_bytes += bytes.len();
                self.pieces.push(Piece::Bytes(bytes.to_vec()));
            }
        }
        Ok(())
    }

    fn check_size(&self) -> Result<(), Error> {
        if self.text_bytes > PROGRAM_MEMORY_BYTES {
            let (address, memory) = (0, PROGRAM_MEMORY_NAME);
            return Err(Error::OutOfMemory { address, bytes: self.text_bytes, memory });
        }
        match self.data.last() {
            Some(Segment { address, bytes }) if bytes.len() > (DATA_MEMORY.end - address) as usize => {
                let memory = DATA_MEMORY_NAME;
                Err(Error::OutOfMemory { address: *address, bytes: bytes.len(), memory })
            }
            _ => Ok(()),
        }
    }

    /// The value of an expression of what is defined so far.
    fn known(&self, expression: &Expression) -> Result<i64, Error> {
        let Some(symbol) = &expression.symbol else { return Ok(expression.number) };
        let label = self.labels.get(symbol).map(|address| i64::from(*address));
        let value = label.or_else(|| self.constants.get(symbol).copied());
        let value = value.ok_or_else(|| Error::UnknownSymbol(symbol.clone()))?;
        Ok(value.wrapping_add(expression.number))
    }

    fn finish(mut self) -> Result<Program, Error> {
        self.settle(0);
        let mut text = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Bytes(bytes) => text.extend_from_slice(bytes),
                Piece::Bundle { line, drafts } => {
                    let instructions = drafts.iter().map(|draft| self.instruction(draft));
                    let bundle = instructions.collect::<Result<Vec<_>, _>>().and_then(Bundle::new);
                    let bundle =
                        bundle.map_err(|cause| Error::Line { line: *line, cause: Box::new(cause) })?;
                    text.extend_from_slice(&bundle.encode());
                }
            }
        }
        for number in std::mem::take(&mut self.numbers) {
            let error = |cause| Error::Line { line: number.line, cause: Box::new(cause) };
            let value = self.known(&number.value).map_err(error)?;
            let bits = 8 * number.bytes;
            if !(-(1_i64 << (bits - 1))..1 << bits).contains(&value) {
                return Err(error(Error::TooLarge { value, bits }));
            }
            let place = number.segment.map_or(&mut text, |segment| &mut self.data[segment].bytes);
            let bytes = number.bytes as usize;
            place[number.offset..number.offset + bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
        }
        let mut symbols: Vec<Symbol> =
            self.labels.into_iter().map(|(name, address)| Symbol { name, address }).collect();
        symbols.sort_by(|a, b| (a.address, &a.name).cmp(&(b.address, &b.name)));
        Ok(Program { text, data: self.data, symbols })
    }

    fn instruction(&self, draft: &Draft) -> Result<Instruction, Error> {
        let operand = |operand: &DraftOperand| match operand {
            DraftOperand::Register(register) => Ok(Operand::Register(*register)),
            DraftOperand::Number(expression) => {
                let value = self.known(expression)?;
                // Words may be written with or without sign.
                let number = i32::try_from(value).or_else(|_| u32::try_from(value).map(|value| value as i32));
                number.map(Operand::Number).map_err(|_| Error::TooLarge { value, bits: 32 })
            }
        };
        let operands = draft.operands.iter().map(operand).collect::<Result<Vec<_>, _>>()?;
        Instruction::new(draft.definition.opcode, operands)
    }
}

/// The instruction with zeros for its numbers.
fn provisional(draft: &Draft) -> Result<Instruction, Error> {
    let operand = |operand: &DraftOperand| match operand {
        DraftOperand::Register(register) => Operand::Register(*register),
        DraftOperand::Number(_) => Operand::Number(0),
    };
    Instruction::new(draft.definition.opcode, draft.operands.iter().map(operand).collect())
}

/// Puts nops into the slots that are free, so that the bundle has 16 bytes.
fn fill_up(drafts: &mut Vec<Draft>) {
    let has = |drafts: &[Draft], slot| drafts.iter().any(|draft| draft.definition.slot == slot);
    let all = [Opcode::NopA, Opcode::NopB, Opcode::NopS, Opcode::NopX, Opcode::NopM, Opcode::NopV];
    drafts.retain(|draft| draft.definition.slot != Slot::Nop);
    for opcode in all {
        let definition = &crate::instruction::definitions()[opcode as usize];
        let instead = matches!(definition.slot, Slot::Alu | Slot::Mv) && has(drafts, Slot::Lng);
        if !has(drafts, definition.slot) && !instead {
            drafts.push(Draft { definition, operands: Vec::new() });
        }
    }
}
