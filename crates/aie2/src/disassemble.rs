//! Programs as text.

use std::fmt::Write;

use crate::{Bundle, bundle_size};

/// Prints the program memory of a core, a bundle a line, in the form that the assembler reads.
///
/// - `text`: the bytes of `.text`, which lies at address 0.
///
/// Assembling what is printed gives the same bytes. Bundles that do not decode, and bundles whose meaningless bits
/// are not as the encoder makes them, are printed as bytes, with what they mean or why they mean nothing behind them.
pub fn disassemble(text: &[u8]) -> String {
    let mut out = String::from(".manual\n");
    let mut address = 0;
    while address < text.len() {
        let rest = &text[address..];
        let size = bundle_size(rest[0]).min(rest.len());
        let line = match Bundle::decode(rest) {
            Ok((bundle, _)) if bundle.encode() == rest[..size] => bundle.to_string(),
            Ok((bundle, _)) => format!("{} // {bundle}", bytes(&rest[..size])),
            Err(error) => format!("{} // {error}", bytes(&rest[..size])),
        };
        writeln!(out, "    /* {address:#06x} */ {line}").expect("a string takes any text");
        address += size;
    }
    out
}

fn bytes(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:#04x}")).collect();
    format!(".byte {}", bytes.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_printed_a_bundle_a_line() {
        let text = [0x01, 0x00, 0x19, 0x00, 0x00, 0x10, 0x19, 0x00, 0x00, 0xF8, 0x05, 0x00];
        let lines = [
            ".manual",
            "    /* 0x0000 */ nop",
            "    /* 0x0002 */ nopx",
            "    /* 0x0006 */ .byte 0x19, 0x00, 0x00, 0xf8 // bundle 190000f8 fits no bundle format",
            "    /* 0x000a */ .byte 0x05, 0x00 // bundle has 2 bytes, its first byte asks for 6",
        ];
        assert_eq!(disassemble(&text), lines.join("\n") + "\n");
    }
}
