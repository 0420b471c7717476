//! Programs: what is loaded into a core, and ELF files that hold it.

use object::LittleEndian;
use object::elf::{FileHeader32, PF_X, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader, Sym};

use crate::{DATA_MEMORY, DATA_MEMORY_NAME, Error, PROGRAM_MEMORY_BYTES, PROGRAM_MEMORY_NAME};

/// ELF's number for AIE cores.
const EM_AIE: u16 = 264;

/// Bytes that are put into data memory before a program starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Address as the core sees it, 0x40000 to 0x7FFFF.
    pub address: u32,
    /// What lies there.
    pub bytes: Vec<u8>,
}

/// A name for an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    /// The name.
    pub name: String,
    /// The address: of program memory below 0x4000, of data memory from 0x40000.
    pub address: u32,
}

/// What is loaded into a core.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Program {
    /// Program memory from address 0, at most 16 KiB.
    pub text: Vec<u8>,
    /// Data memory.
    pub data: Vec<Segment>,
    /// Names, by address and name.
    pub symbols: Vec<Symbol>,
}

impl Program {
    /// Reads an ELF file, as the compiler writes it for one core.
    ///
    /// # Errors
    /// [`Error::Elf`], [`Error::Machine`], [`Error::Entry`], [`Error::OutOfMemory`].
    pub fn from_elf(file: &[u8]) -> Result<Program, Error> {
        let header = FileHeader32::<LittleEndian>::parse(file)?;
        let endian = header.endian()?;
        if header.e_machine(endian).0 != EM_AIE {
            return Err(Error::Machine { found: header.e_machine(endian).0, expected: EM_AIE });
        }
        if header.e_entry(endian) != 0 {
            return Err(Error::Entry { found: header.e_entry(endian) });
        }
        let mut program = Program::default();
        for segment in header.program_headers(endian, file)? {
            let bytes = segment.p_memsz(endian);
            if segment.p_type(endian) != PT_LOAD || bytes == 0 {
                continue;
            }
            let is_text = segment.p_flags(endian).0 & PF_X.0 != 0;
            let memory = if is_text { 0..PROGRAM_MEMORY_BYTES as u32 } else { DATA_MEMORY };
            let address = segment.p_vaddr(endian);
            let fits = memory.contains(&address) && bytes <= memory.end - address;
            let name = if is_text { PROGRAM_MEMORY_NAME } else { DATA_MEMORY_NAME };
            let error = Error::OutOfMemory { address, bytes: bytes as usize, memory: name };
            let content = segment.data(endian, file).map_err(|()| error.clone())?;
            if !fits || content.len() > bytes as usize {
                return Err(error);
            }
            let mut content = content.to_vec();
            content.resize(bytes as usize, 0);
            if is_text {
                let end = address as usize + content.len();
                program.text.resize(program.text.len().max(end), 0);
                program.text[address as usize..end].copy_from_slice(&content);
            } else {
                program.data.push(Segment { address, bytes: content });
            }
        }
        program.symbols = symbols(header, endian, file)?;
        Ok(program)
    }

    /// The address of a symbol.
    pub fn address_of(&self, name: &str) -> Option<u32> {
        self.symbols.iter().find(|symbol| symbol.name == name).map(|symbol| symbol.address)
    }
}

/// The names of global functions, buffers and labels; names that are no UTF-8 and empty ones are left out.
fn symbols(
    header: &FileHeader32<LittleEndian>,
    endian: LittleEndian,
    file: &[u8],
) -> Result<Vec<Symbol>, Error> {
    let sections = header.sections(endian, file)?;
    let table = sections.symbols(endian, file, object::elf::SHT_SYMTAB)?;
    let mut symbols = Vec::new();
    for symbol in table.iter() {
        let name = symbol.name(endian, table.strings()).ok().and_then(|name| std::str::from_utf8(name).ok());
        if let Some(name) = name.filter(|name| !name.is_empty() && symbol.st_type() != object::elf::STT_FILE)
        {
            symbols.push(Symbol { name: name.to_owned(), address: symbol.st_value(endian) });
        }
    }
    symbols.sort_by(|a, b| (a.address, &a.name).cmp(&(b.address, &b.name)));
    Ok(symbols)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An ELF file with these segments: flags, address, bytes in memory, content.
    fn elf(machine: u16, segments: &[(u32, u32, u32, &[u8])]) -> Vec<u8> {
        let mut file = vec![0x7F, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let half = |file: &mut Vec<u8>, value: u16| file.extend(value.to_le_bytes());
        half(&mut file, 2);
        half(&mut file, machine);
        for word in [1, 0, 52, 0, 0] {
            file.extend(u32::to_le_bytes(word));
        }
        for value in [52, 32, segments.len() as u16, 40, 0, 0] {
            half(&mut file, value);
        }
        let mut offset = 52 + 32 * segments.len() as u32;
        for (flags, address, bytes, content) in segments {
            for word in [PT_LOAD.0, offset, *address, *address, content.len() as u32, *bytes, *flags, 1] {
                file.extend(word.to_le_bytes());
            }
            offset += content.len() as u32;
        }
        for (.., content) in segments {
            file.extend(*content);
        }
        file
    }

    #[test]
    fn segments_go_to_program_and_data_memory() {
        let file = elf(EM_AIE, &[(PF_X.0 | 4, 0, 4, &[1, 0, 1, 0]), (4, 0x7_2400, 6, &[7, 8, 9])]);
        let program = Program::from_elf(&file).unwrap();
        assert_eq!(program.text, [1, 0, 1, 0]);
        assert_eq!(program.data, [Segment { address: 0x7_2400, bytes: vec![7, 8, 9, 0, 0, 0] }]);
    }

    #[test]
    fn files_that_are_no_programs_are_refused_with_the_reason() {
        let cases: [(Vec<u8>, &str); 5] = [
            (vec![1, 2, 3], "not a readable 32-bit little-endian ELF file"),
            (elf(62, &[]), "ELF file is for machine 62, expected 264 (AIE)"),
            (
                elf(EM_AIE, &[(PF_X.0, 0x3FFF, 2, &[1])]),
                "2 bytes at 0x3fff do not fit into program memory, 16 KiB",
            ),
            (
                elf(EM_AIE, &[(4, 0x8_0000, 1, &[1])]),
                "1 bytes at 0x80000 do not fit into data memory, 0x40000 to 0x7ffff",
            ),
            (
                elf(EM_AIE, &[(4, 0x7_0000, u32::MAX, &[1])]),
                "4294967295 bytes at 0x70000 do not fit into data memory, 0x40000 to 0x7ffff",
            ),
        ];
        for (file, message) in cases {
            assert_eq!(Program::from_elf(&file).unwrap_err().to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(
            noise in proptest::collection::vec((0..160_usize, any::<u8>()), 0..8),
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = Program::from_elf(&bytes);
            let mut file = elf(EM_AIE, &[(PF_X.0 | 4, 0, 4, &[1, 0, 1, 0]), (4, 0x7_2400, 6, &[7, 8, 9])]);
            for (at, byte) in noise {
                if let Some(place) = file.get_mut(at) {
                    *place = byte;
                }
            }
            let _ = Program::from_elf(&file);
        }
    }
}
