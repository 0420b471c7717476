//! Bundles: what a core issues in one cycle.

use std::fmt;

use crate::format::{formats, size_of};
use crate::{Error, Instruction, Slot};

/// The instructions that a core issues in one cycle, at most one per [`Slot`].
///
/// A large bundle holds explicit nops in the slots that it does not use; they are instructions like others here, so
/// that a bundle has exactly one length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// In the order of [`Slot`].
    instructions: Vec<Instruction>,
}

/// Length in bytes of the bundle that begins with this byte: 2 to 16.
pub fn bundle_size(first: u8) -> usize {
    size_of(first)
}

impl Bundle {
    /// Puts instructions into one bundle.
    ///
    /// # Errors
    /// [`Error::SlotTaken`], [`Error::Slots`]: they do not fit together.
    pub fn new(mut instructions: Vec<Instruction>) -> Result<Bundle, Error> {
        instructions.sort_by_key(Instruction::slot);
        for pair in instructions.windows(2) {
            if pair[0].slot() == pair[1].slot() {
                let [first, second] = [&pair[0], &pair[1]].map(ToString::to_string);
                return Err(Error::SlotTaken { slot: pair[0].slot(), first, second });
            }
        }
        let bundle = Bundle { instructions };
        bundle.bits()?;
        Ok(bundle)
    }

    /// Reads the bundle at the beginning of `bytes`. Returns it and its length in bytes.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::Format`], [`Error::Instruction`].
    pub fn decode(bytes: &[u8]) -> Result<(Bundle, usize), Error> {
        let size = bytes.first().map_or(2, |first| size_of(*first));
        let bytes = bytes.get(..size).ok_or(Error::Truncated { found: bytes.len(), expected: size })?;
        let bits = bytes.iter().rev().fold(0_u128, |bits, byte| (bits << 8) | u128::from(*byte));
        let fits = |format: &&crate::format::Format| format.size == size && format.matches(bits);
        let format = formats().iter().find(fits).ok_or_else(|| Error::Format { bytes: hex(bytes) })?;
        let decode = |&(slot, low): &(Slot, u32)| {
            let word = (bits >> low) as u64 & ((1 << slot.bits()) - 1);
            Instruction::decode(slot, word)
        };
        let mut instructions = format.slots.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
        instructions.sort_by_key(Instruction::slot);
        Ok((Bundle { instructions }, size))
    }

    /// The bytes of the bundle, 2 to 16. Bits that may be anything are 0.
    pub fn encode(&self) -> Vec<u8> {
        let (bits, size) = self.bits().expect("only bundles that have a format are made");
        bits.to_le_bytes()[..size].to_vec()
    }

    /// The bundle as a number, and its length in bytes.
    fn bits(&self) -> Result<(u128, usize), Error> {
        let slots: Vec<Slot> = self.instructions.iter().map(Instruction::slot).collect();
        let Some(format) = formats().iter().find(|format| format.holds(&slots)) else {
            let slots: Vec<String> = slots.iter().map(ToString::to_string).collect();
            return Err(Error::Slots { slots: slots.join(" ") });
        };
        let mut bits = format.fixed_bits();
        for (slot, low) in &format.slots {
            let instruction = self.instructions.iter().find(|instruction| instruction.slot() == *slot);
            bits |= instruction.map_or(0, |instruction| u128::from(instruction.encode())) << low;
        }
        Ok((bits, format.size))
    }

    /// The instructions, in the order of [`Slot`].
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }
}

/// Instructions separated by `;`, as [`disassemble`](crate::disassemble) prints them and the assembler reads them.
impl fmt::Display for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, instruction) in self.instructions.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{instruction}")?;
        }
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A bundle in each format, with random bits in its slots, decodes to what has the same bytes.
    #[test]
    fn every_format_goes_to_instructions_and_back() {
        let mut random = fastrand::Rng::with_seed(1);
        for format in formats() {
            let mut found = 0;
            for _ in 0..5_000 {
                let mut bits = format.fixed_bits();
                for (slot, low) in &format.slots {
                    let nop = crate::table::ROWS.iter().find(|row| row.slot == *slot && row.opcode.is_nop());
                    let nop = nop.map(|row| Instruction::new(row.opcode, vec![]).unwrap().encode());
                    let word = if random.bool() { nop } else { None };
                    bits |= u128::from(word.unwrap_or(random.u64(..1 << slot.bits()))) << low;
                }
                let bytes = &bits.to_le_bytes()[..format.size];
                let Ok((bundle, size)) = Bundle::decode(bytes) else { continue };
                assert_eq!(size, format.size);
                let again = bundle.encode();
                assert_eq!(again.len(), size);
                assert_eq!(Bundle::decode(&again).unwrap().0, bundle);
                assert_eq!(Bundle::new(bundle.instructions().to_vec()).unwrap(), bundle);
                found += 1;
            }
            let slots: Vec<Slot> = format.slots.iter().map(|(slot, _)| *slot).collect();
            assert!(found > 0, "no bundle of {slots:?} was made");
        }
    }

    #[test]
    fn ten_million_random_bundles_decode_or_fail_cleanly() {
        let mut random = fastrand::Rng::with_seed(2);
        let (mut decoded, mut bytes) = (0, [0; 16]);
        for i in 0..10_000_000_u32 {
            random.fill(&mut bytes);
            if i % 2 == 0 {
                // Random bits seldom have the fixed bits of a format; half of the words have some.
                let format = &formats()[random.usize(..formats().len())];
                let slots = format.slots.iter().map(|(slot, low)| ((1_u128 << slot.bits()) - 1) << low);
                let free: u128 = slots.sum();
                bytes = (u128::from_le_bytes(bytes) & free | format.fixed_bits()).to_le_bytes();
            }
            if let Ok((bundle, size)) = Bundle::decode(&bytes) {
                decoded += 1;
                assert_eq!(bundle.encode().len(), size);
            }
        }
        assert!(decoded > 100_000, "only {decoded} decoded");
    }

    #[test]
    fn instructions_that_have_no_bundle_are_refused() {
        let decode = |slot, word| Instruction::decode(slot, word).unwrap();
        let (nopx, nopxm, nop) = (decode(Slot::Alu, 0), decode(Slot::Lng, 0), decode(Slot::Nop, 0));
        let error = Bundle::new(vec![nopx.clone(), nopx.clone()]).unwrap_err();
        assert_eq!(error.to_string(), "`nopx` and `nopx` both need slot alu");
        let error = Bundle::new(vec![nopx, nopxm]).unwrap_err();
        assert_eq!(error.to_string(), "no bundle format holds the slots alu lng together");
        assert_eq!(Bundle::new(vec![nop]).unwrap().encode(), [1, 0]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            if let Ok((bundle, size)) = Bundle::decode(&bytes) {
                prop_assert!(size <= bytes.len());
                prop_assert_eq!(bundle.encode().len(), size);
            }
        }
    }
}
