//! CDO: the list of register and memory writes that configures the array.
//!
//! Source: XRT `aie-pdi-transform` (`cdo_cmd.h`), mlir-aie `aiecc`.

use std::fmt;

use crate::error::need;
use crate::words::{self, Words};
use crate::{Error, pdi};

/// The words before the commands: length of the header, magic, version, length in words, checksum.
pub const HEADER_WORDS: usize = 5;
const MAGIC: u32 = 0x004F_4443;
/// What aiecc writes as version.
const VERSION: u32 = 0x200;
/// The module of all commands that an array's CDO has, in bits 15:8.
const MODULE: u32 = 0x100;
/// This length in a command word says that the next word is the length.
const LONG: u32 = 0xFF;

mod id {
    pub(super) const MASK_WRITE: u32 = 0x02;
    pub(super) const WRITE: u32 = 0x03;
    pub(super) const DMA_WRITE: u32 = 0x05;
    pub(super) const MASK_POLL_64: u32 = 0x06;
    pub(super) const MASK_WRITE_64: u32 = 0x07;
    pub(super) const WRITE_64: u32 = 0x08;
    pub(super) const NOP: u32 = 0x11;
    pub(super) const END: u32 = 0xFF;
}

/// One command. Addresses are those of tiles: `col << 25 | row << 20 | offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    /// Replaces the bits of `mask` in a register. Encoded short if the address has 32 bits.
    MaskWrite {
        /// The register.
        address: u64,
        /// The bits to replace.
        mask: u32,
        /// Their new value.
        value: u32,
    },
    /// Writes a register. Encoded short if the address has 32 bits.
    Write {
        /// The register.
        address: u64,
        /// Its new value.
        value: u32,
    },
    /// Writes words to memory or to consecutive registers.
    DmaWrite {
        /// The first word's address.
        address: u64,
        /// The words.
        data: Words<'a>,
    },
    /// Waits until a register's bits have a value.
    MaskPoll {
        /// The register.
        address: u64,
        /// The bits to look at.
        mask: u32,
        /// What they must be.
        expected: u32,
        /// For so long at most.
        timeout_ms: u32,
    },
    /// Nothing, over so many words after the command's.
    Nop {
        /// The words.
        payload: u32,
    },
    /// The end of the commands.
    End,
}

impl Command<'_> {
    /// Appends the command as bytes.
    ///
    /// # Panics
    /// If data has 2^32 − 2 words or more.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let split = |address: u64| [(address >> 32) as u32, address as u32];
        let short = |address: u64| u32::try_from(address).ok();
        let mut head = |id: u32, payload: &[u32]| {
            words::push(out, &[id | MODULE | (payload.len() as u32) << 16]);
            words::push(out, payload);
        };
        match *self {
            Self::MaskWrite { address, mask, value } => match (short(address), split(address)) {
                (Some(address), _) => head(id::MASK_WRITE, &[address, mask, value]),
                (None, [high, low]) => head(id::MASK_WRITE_64, &[high, low, mask, value]),
            },
            Self::Write { address, value } => match (short(address), split(address)) {
                (Some(address), _) => head(id::WRITE, &[address, value]),
                (None, [high, low]) => head(id::WRITE_64, &[high, low, value]),
            },
            Self::MaskPoll { address, mask, expected, timeout_ms } => {
                let [high, low] = split(address);
                head(id::MASK_POLL_64, &[high, low, mask, expected, timeout_ms]);
            }
            Self::DmaWrite { address, data } => {
                let length = u32::try_from(data.len() + 2).expect("fewer than 2^32 words");
                let id = id::DMA_WRITE | MODULE;
                if length < LONG {
                    words::push(out, &[id | length << 16]);
                } else {
                    words::push(out, &[id | LONG << 16, length]);
                }
                words::push(out, &split(address));
                out.extend_from_slice(data.bytes());
            }
            Self::Nop { payload } => {
                let id = id::NOP | MODULE;
                let long = payload >= LONG;
                words::push(
                    out,
                    &if long { vec![id | LONG << 16, payload] } else { vec![id | payload << 16] },
                );
                out.resize(out.len() + payload as usize * 4, 0);
            }
            Self::End => head(id::END, &[]),
        }
    }
}

impl fmt::Display for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MaskWrite { address, mask, value } => {
                write!(f, "maskwrite  {address:#010x} = {value:#010x} in {mask:#010x}")
            }
            Self::Write { address, value } => write!(f, "write      {address:#010x} = {value:#010x}"),
            Self::DmaWrite { address, data } => write!(f, "dmawrite   {address:#010x} = {data}"),
            Self::MaskPoll { address, mask, expected, timeout_ms } => {
                write!(
                    f,
                    "maskpoll   {address:#010x} until {expected:#010x} in {mask:#010x}, {timeout_ms} ms"
                )
            }
            Self::Nop { payload } => write!(f, "nop        {payload} words"),
            Self::End => f.write_str("end"),
        }
    }
}

/// A CDO whose commands are known to be well formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cdo<'a> {
    version: u32,
    commands: Words<'a>,
    /// In a transformed PDI: the data of its DMA writes, apart from the commands.
    data: Option<Words<'a>>,
}

impl<'a> Cdo<'a> {
    /// Reads a CDO, header included. What follows it in `bytes` is padding.
    ///
    /// # Errors
    /// [`Error::Format`] or [`Error::Short`] if the header, its checksum or a command is not as it should be.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let (version, commands) = header(bytes)?;
        Self { version, commands, data: None }.checked()
    }

    /// Reads the CDO of a transformed PDI, in which commands are grouped and `command_bytes` long, and data follows.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub(crate) fn parse_transformed(bytes: &'a [u8], command_bytes: usize) -> Result<Self, Error> {
        let header = need("the CDO's header", bytes, 0, HEADER_WORDS * 4)?;
        let version = words::u32_at(header, 8).expect("the header is that long");
        let body = &bytes[HEADER_WORDS * 4..];
        let commands = Words::new(need("the CDO's command zone", body, 0, command_bytes)?);
        Self { version, commands, data: Some(Words::new(&body[command_bytes..])) }.checked()
    }

    fn checked(self) -> Result<Self, Error> {
        self.steps().find_map(Result::err).map_or(Ok(self), Err)
    }

    /// The version in the header.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Whether it is that of a transformed PDI.
    pub fn is_transformed(&self) -> bool {
        self.data.is_some()
    }

    /// The commands in order, without the ones after an [`Command::End`].
    pub fn commands(&self) -> impl Iterator<Item = Command<'a>> + use<'a> {
        self.steps().filter_map(Result::ok)
    }

    fn steps(&self) -> Steps<'a> {
        let format = match self.data {
            None => Format::Plain,
            Some(data) => Format::Grouped { data, id: 0, left: 0 },
        };
        Steps { words: self.commands, at: 0, format, ended: false }
    }
}

/// Reads the header; returns the version and the words of the commands.
fn header(bytes: &[u8]) -> Result<(u32, Words<'_>), Error> {
    let header = Words::new(need("the CDO's header", bytes, 0, HEADER_WORDS * 4)?);
    let word = |idx: usize| header.get(idx).expect("the header is that long");
    if word(0) != 4 || word(1) != MAGIC {
        let found = format!("{:#x} {:#x}", word(0), word(1));
        return Err(Error::format("the CDO's header", found, format!("0x4 {MAGIC:#x}")));
    }
    let checksum = words::checksum(Words::new(&header.bytes()[..16]));
    if word(4) != checksum {
        let found = format!("{:#x}", word(4));
        return Err(Error::format("the CDO's checksum", found, format!("{checksum:#x}")));
    }
    let length = (word(3) as usize).saturating_mul(4);
    Ok((word(2), Words::new(need("the CDO's commands", bytes, HEADER_WORDS * 4, length)?)))
}

/// How commands lie in the words.
enum Format<'a> {
    Plain,
    /// Groups of `{id, count, entries of one size}`.
    Grouped {
        data: Words<'a>,
        id: u32,
        left: u32,
    },
}

/// Reads one command after another, up to the first error.
struct Steps<'a> {
    words: Words<'a>,
    at: usize,
    format: Format<'a>,
    ended: bool,
}

impl<'a> Iterator for Steps<'a> {
    type Item = Result<Command<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended || self.at >= self.words.len() {
            return None;
        }
        let command = match self.format {
            Format::Plain => self.plain(),
            Format::Grouped { data, id, left } => self.grouped(data, id, left).transpose()?,
        };
        self.ended = !matches!(command, Ok(ref command) if *command != Command::End);
        Some(command)
    }
}

impl<'a> Steps<'a> {
    fn plain(&mut self) -> Result<Command<'a>, Error> {
        let start = self.at;
        let [word] = self.take()?;
        let mut length = word >> 16;
        if length == LONG {
            [length] = self.take()?;
        }
        let payload = self.take_words(length as usize)?;
        if word >> 8 & 0xFF != MODULE >> 8 {
            let found = format!("{word:#010x}");
            return Err(Error::format(
                format!("the CDO's command at word {start}"),
                found,
                "one of module 1",
            ));
        }
        command(word & 0xFF, payload, start)
    }

    /// `None` where a group ends the words.
    fn grouped(&mut self, data: Words<'a>, id: u32, left: u32) -> Result<Option<Command<'a>>, Error> {
        let (mut id, mut left) = (id, left);
        while left == 0 {
            if self.at == self.words.len() {
                return Ok(None);
            }
            [id, left] = self.take()?;
        }
        self.format = Format::Grouped { data, id, left: left - 1 };
        let start = self.at;
        if id == id::DMA_WRITE {
            let [high, low, offset, length] = self.take()?;
            let data = transformed_data(data.bytes(), offset as usize, (length & 0xFFFF) as usize * 4)?;
            let address = u64::from(high) << 32 | u64::from(low);
            return Ok(Some(Command::DmaWrite { address, data: Words::new(data) }));
        }
        let length = match id {
            id::WRITE => 2,
            id::MASK_WRITE | id::WRITE_64 => 3,
            id::MASK_WRITE_64 => 4,
            _ => return Err(unknown(id, start)),
        };
        let payload = self.take_words(length)?;
        command(id, payload, start).map(Some)
    }

    fn take<const N: usize>(&mut self) -> Result<[u32; N], Error> {
        let words = self.take_words(N)?;
        Ok(std::array::from_fn(|idx| words.get(idx).expect("so many were taken")))
    }

    fn take_words(&mut self, len: usize) -> Result<Words<'a>, Error> {
        let start = self.at;
        let words = self.words.part(start, len).ok_or_else(|| {
            Error::short("the CDO's command", start * 4, len.saturating_mul(4), self.words.bytes().len())
        })?;
        self.at += len;
        Ok(words)
    }
}

/// The data of a transformed image's DMA write. The packer of images in use left the CDO's header out of their length,
/// so that so much is missing at their end; what is there is taken.
fn transformed_data(zone: &[u8], start: usize, length: usize) -> Result<&[u8], Error> {
    const MISSING: usize = HEADER_WORDS * 4;
    let there = zone.len().saturating_sub(start).min(length);
    let taken = if length - there <= MISSING { there } else { length };
    need("the CDO's data zone", zone, start.min(zone.len()), taken)
}

fn command(id: u32, payload: Words<'_>, start: usize) -> Result<Command<'_>, Error> {
    let need = |expected: usize, at_least: bool| {
        if payload.len() == expected || at_least && payload.len() > expected {
            return Ok(());
        }
        let thing = format!("the payload of the CDO's command {id:#04x} at word {start}");
        Err(Error::format(thing, format!("{} words", payload.len()), format!("{expected} words")))
    };
    let word = |idx: usize| payload.get(idx).unwrap_or_default();
    let long = || u64::from(word(0)) << 32 | u64::from(word(1));
    Ok(match id {
        id::MASK_WRITE => {
            need(3, false)?;
            Command::MaskWrite { address: word(0).into(), mask: word(1), value: word(2) }
        }
        id::WRITE => {
            need(2, false)?;
            Command::Write { address: word(0).into(), value: word(1) }
        }
        id::DMA_WRITE => {
            need(2, true)?;
            let data = payload.part(2, payload.len() - 2).expect("at least two");
            Command::DmaWrite { address: long(), data }
        }
        id::MASK_POLL_64 => {
            need(5, false)?;
            Command::MaskPoll { address: long(), mask: word(2), expected: word(3), timeout_ms: word(4) }
        }
        id::MASK_WRITE_64 => {
            need(4, false)?;
            Command::MaskWrite { address: long(), mask: word(2), value: word(3) }
        }
        id::WRITE_64 => {
            need(3, false)?;
            Command::Write { address: long(), value: word(2) }
        }
        id::NOP => Command::Nop { payload: payload.len() as u32 },
        id::END => Command::End,
        _ => return Err(unknown(id, start)),
    })
}

fn unknown(id: u32, start: usize) -> Error {
    let expected = "mask write, write, DMA write, mask poll, 64-bit forms, nop or end";
    Error::format(format!("the CDO's command at word {start}"), format!("{id:#04x}"), expected)
}

/// Writes a CDO with header and checksum. DMA writes are padded so that their data lies at multiples of 16 bytes from
/// the beginning of the PDI that [`crate::pdi::write`] would make of it.
///
/// # Panics
/// If the commands are 2^32 words long or more.
pub fn write<'a>(commands: impl IntoIterator<Item = Command<'a>>) -> Vec<u8> {
    let mut out = vec![0; HEADER_WORDS * 4];
    for command in commands {
        if let Command::DmaWrite { data, .. } = command {
            let head = if data.len() + 2 < LONG as usize { 12 } else { 16 };
            while !(pdi::CDO_OFFSET + out.len() + head).is_multiple_of(16) {
                Command::Nop { payload: 0 }.encode(&mut out);
            }
        }
        command.encode(&mut out);
    }
    let length = u32::try_from(out.len() / 4 - HEADER_WORDS).expect("fewer than 2^32 words");
    let mut header = Vec::new();
    words::push(&mut header, &[4, MAGIC, VERSION, length]);
    let checksum = words::checksum(Words::new(&header));
    words::push(&mut header, &[checksum]);
    out[..HEADER_WORDS * 4].copy_from_slice(&header);
    out
}

#[cfg(test)]
mod tests;
