//! How slots lie in bundles.

use std::sync::LazyLock;

use crate::Slot;

/// Every bundle format, most significant bit first: `0` and `1` are fixed bits, a letter is a whole slot ([`Slot`]).
/// A format's length is what these add up to, and no two formats have the same slots.
pub(crate) const FORMATS: [&str; 78] = [
    "n000000000000001",
    "v001001",
    "00000a011001",
    "00001s011001",
    "00010x0011001",
    "00011m11001",
    "00111b00000011001",
    "00000bm00101",
    "00001bs000101",
    "00010bx0000101",
    "am01101",
    "l010101",
    "as110101",
    "ax0011101",
    "sx0111101",
    "ab00001111101",
    "s000000000m000000000011",
    "n000000000l000001000011",
    "0000000000xm100001000011",
    "abx0010011",
    "sbx1010011",
    "00000b00000000000v100011",
    "a00000000100v100011",
    "0000000000x01v100011",
    "s00000000010v100011",
    "00000m00110v100011",
    "abs110011",
    "sb00000000001v001011",
    "am00010v001011",
    "sm00100v001011",
    "00000bm00110v001011",
    "as001001v001011",
    "ab00000011101v001011",
    "00000l0v011011",
    "00000xm1v011011",
    "a00000x00v101011",
    "s00000x01v101011",
    "00000b00000x10v101011",
    "00000b00000l000000111011",
    "a00000l000010111011",
    "s00000l000100111011",
    "as0000m001010111011",
    "sb000000000m011010111011",
    "00000b00000xm100000111011",
    "a00000xm100010111011",
    "s00000xm100100111011",
    "ab000000000m111010111011",
    "as00000000000x1111011",
    "al0v000111",
    "axm1v000111",
    "sl0v010111",
    "sxm1v010111",
    "asx00v100111",
    "sb00000x01v100111",
    "abm00010v100111",
    "sbm00110v100111",
    "b0l01010v100111",
    "abs001110v100111",
    "b0xm11010v100111",
    "ab00000x11v100111",
    "sb00000l000000110111",
    "asl000001110111",
    "ab00000l000010110111",
    "abs0000m000011110111",
    "ab00000xs0000100110111",
    "sb00000xm100000110111",
    "asxm100001110111",
    "ab00000xm100010110111",
    "abl0v001111",
    "abxm1v001111",
    "sbl0v011111",
    "sbxm1v011111",
    "abx00sv101111",
    "as0000000000000001mv101111",
    "abl0s00001111111",
    "abxm1s00001111111",
    "basl0v0",
    "basxm1v0",
];

/// One bundle format.
pub(crate) struct Format {
    /// Length in bytes.
    pub(crate) size: usize,
    mask: u128,
    value: u128,
    /// The slots it has, each with the position of its lowest bit.
    pub(crate) slots: Vec<(Slot, u32)>,
}

impl Format {
    fn parse(text: &str) -> Format {
        let slot_of = |letter| Slot::ALL.into_iter().find(|slot| slot.letter() == letter);
        let (mut mask, mut value, mut slots, mut position) = (0, 0, Vec::new(), 0);
        for letter in text.chars().rev() {
            if let Some(slot) = slot_of(letter) {
                slots.push((slot, position));
                position += slot.bits();
            } else {
                mask |= 1 << position;
                value |= u128::from(letter == '1') << position;
                position += 1;
            }
        }
        Format { size: position as usize / 8, mask, value, slots }
    }

    /// Whether the fixed bits of a bundle of this format's length are this format's.
    pub(crate) fn matches(&self, bits: u128) -> bool {
        bits & self.mask == self.value
    }

    /// The bundle with all slots zero.
    pub(crate) fn fixed_bits(&self) -> u128 {
        self.value
    }

    /// Whether the format has exactly these slots.
    pub(crate) fn holds(&self, slots: &[Slot]) -> bool {
        self.slots.len() == slots.len() && self.slots.iter().all(|(slot, _)| slots.contains(slot))
    }
}

/// All bundle formats.
pub(crate) fn formats() -> &'static [Format] {
    static PARSED: LazyLock<Vec<Format>> =
        LazyLock::new(|| FORMATS.iter().map(|text| Format::parse(text)).collect());
    &PARSED
}

/// Length in bytes of the bundle that begins with this byte.
pub(crate) fn size_of(first: u8) -> usize {
    if first & 1 == 0 {
        return 16;
    }
    match first & 0b1111 {
        0b0101 | 0b1101 => 6,
        0b0001 => 2,
        0b0011 => 8,
        0b0111 => 12,
        0b1001 => 4,
        0b1011 => 10,
        _ => 14,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_as_long_as_its_first_byte_says() {
        for (text, format) in FORMATS.iter().zip(formats()) {
            let bits: u32 = format.slots.iter().map(|(slot, _)| slot.bits()).sum();
            let fixed = text.chars().filter(|letter| "01".contains(*letter)).count();
            assert_eq!(bits as usize + fixed, format.size * 8, "{text}");
            assert_eq!(size_of(format.value as u8), format.size, "{text}");
        }
    }

    #[test]
    fn no_two_formats_have_the_same_slots_or_could_be_taken_for_each_other() {
        for (i, a) in formats().iter().enumerate() {
            let slots: Vec<Slot> = a.slots.iter().map(|(slot, _)| *slot).collect();
            for b in &formats()[..i] {
                assert!(!b.holds(&slots));
                let common = a.mask & b.mask;
                assert!(a.size != b.size || a.value & common != b.value & common);
            }
        }
    }
}
