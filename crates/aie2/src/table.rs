//! The instructions, as data.
//!
//! An instruction is a slot, its bits (most significant first) and how it is written. In the bits, `0` and `1` are
//! fixed, a letter is a bit of the operand with that letter (the highest first), and `?` may be anything. In the
//! writing, `d=r` is an operand that is written, `s:r` one that is read, `p+p` one that is both; behind the sign
//! stands its class ([`Class::named`](crate::operand::Class::named)). Everything else stands for itself.

use crate::Slot;

/// One instruction of the table.
pub(crate) struct Row {
    pub(crate) opcode: Opcode,
    pub(crate) slot: Slot,
    pub(crate) pattern: &'static str,
    pub(crate) syntax: &'static str,
}

macro_rules! instructions {
    ($($opcode:ident $slot:ident $pattern:literal $syntax:literal;)*) => {
        /// An instruction without its operands. One mnemonic can have several, by kind of operand.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)] // Named for mnemonic and operands.
        pub enum Opcode { $($opcode),* }

        /// Every instruction, in the order of [`Opcode`].
        pub(crate) const ROWS: &[Row] = &[
            $(Row { opcode: Opcode::$opcode, slot: Slot::$slot, pattern: $pattern, syntax: $syntax }),*
        ];
    };
}

instructions! {
    Abs        Alu "sssssddddd1000111000" "abs d=r, s:r";
    Acq        Alu "kkkkkk0001vvvvv00100" "acq k:u6, v:r";
    Add        Alu "sssssdddddttttt00001" "add d=r, s:r, t:r";
    AddImm     Alu "sssssdddddiiiiiii110" "add d=r, s:r, i:s7";
    And        Alu "sssssdddddttttt01001" "and d=r, s:r, t:r";
    Ashl       Alu "sssssdddddttttt11101" "ashl d=r, s:r, t:r";
    Clz        Alu "sssssddddd0001111000" "clz d=r, s:r";
    Divs       Alu "sssssdddddttttt10100" "divs d=r, s:r, t:r";
    Done       Alu "00000000000000010000" "done";
    Eq         Alu "sssssdddddttttt01111" "eq d=r, s:r, t:r";
    Eqz        Alu "sssssddddd0110111000" "eqz d=r, s:r";
    Event      Alu "ii000000000000100000" "event i:u2";
    ExtendS16  Alu "sssssddddd0011111000" "extend.s16 d=r, s:r";
    ExtendS8   Alu "sssssddddd0010111000" "extend.s8 d=r, s:r";
    ExtendU16  Alu "sssssddddd0101111000" "extend.u16 d=r, s:r";
    ExtendU8   Alu "sssssddddd0100111000" "extend.u8 d=r, s:r";
    Ge         Alu "sssssdddddttttt10011" "ge d=r, s:r, t:r";
    Geu        Alu "sssssdddddttttt10111" "geu d=r, s:r, t:r";
    Lshl       Alu "sssssdddddttttt11011" "lshl d=r, s:r, t:r";
    Lt         Alu "sssssdddddttttt10101" "lt d=r, s:r, t:r";
    Ltu        Alu "sssssdddddttttt11001" "ltu d=r, s:r, t:r";
    MovX       Alu "iiiiiddddddiiiiii010" "movx d=rlc, i:s11";
    Mul        Alu "sssssdddddttttt11111" "mul d=r, s:r, t:r";
    Ne         Alu "sssssdddddttttt10001" "ne d=r, s:r, t:r";
    Nez        Alu "sssssddddd0111111000" "nez d=r, s:r";
    NopX       Alu "00000000000000000000" "nopx";
    Or         Alu "sssssdddddttttt01011" "or d=r, s:r, t:r";
    Rel        Alu "kkkkkk0000vvvvv00100" "rel k:u6, v:r";
    Ret        Alu "00000000000000110000" "ret lr";
    SelEqz     Alu "sssssdddddttttt01100" "sel.eqz d=r, s:r, t:r, r27";
    SelNez     Alu "sssssdddddttttt11100" "sel.nez d=r, s:r, t:r, r27";
    Sub        Alu "sssssdddddttttt00011" "sub d=r, s:r, t:r";
    Xor        Alu "sssssdddddttttt01101" "xor d=r, s:r, t:r";

    LdaS16     Lda "pppjjj1001000ddddd111" "lda.s16 d=r, [p:p, j:dj]";
    LdaS16Imm  Lda "pppiii0111000ddddd111" "lda.s16 d=r, [p:p, i:s3]";
    LdaS8      Lda "pppjjj1000000ddddd111" "lda.s8 d=r, [p:p, j:dj]";
    LdaS8Imm   Lda "pppiii0110000ddddd111" "lda.s8 d=r, [p:p, i:s3]";
    LdaU16     Lda "pppjjj1001100ddddd111" "lda.u16 d=r, [p:p, j:dj]";
    LdaU8      Lda "pppjjj1000100ddddd111" "lda.u8 d=r, [p:p, j:dj]";
    Lda        Lda "pppjjj1000010ddddddd1" "lda d=mem, [p:p, j:dj]";
    LdaImm     Lda "pppiiiiii1010ddddddd1" "lda d=mem, [p:p, i:s6x4]";
    LdaSp      Lda "iiiiiiiiiiii1ddddddd1" "lda d=mem, [sp, i:s12x4]";
    MovA       Lda "iiiiiiiiiii00ddddddd1" "mova d=mova, i:s11";
    NopA       Lda "000000000000000000000" "nopa";
    PaddA      Lda "pppiiiiiiiiii11??1110" "padda [p+p], i:s10x4";
    StS16      Lda "pppjjj1001100sssss000" "st.s16 s:r, [p:p, j:dj]";
    StS16Imm   Lda "pppiii0111100sssss000" "st.s16 s:r, [p:p, i:s3]";
    StS8       Lda "pppjjj1000100sssss000" "st.s8 s:r, [p:p, j:dj]";
    StS8Imm    Lda "pppiii0110100sssss000" "st.s8 s:r, [p:p, i:s3]";

    NopB       Ldb "0000000000000000" "nopb";
    PaddB      Ldb "pppmmm01011???01" "paddb [p+p], m:m";
    PaddBImm   Ldb "pppiiiiii11iii10" "paddb [p+p], i:s9x4";
    PaddBSp    Ldb "iiiiiiiii11iii00" "paddb [sp], i:s12x32";
    VldB       Ldb "pppjjj100ddddd01" "vldb d=w, [p:p, j:dj]";

    Jl         Lng "00000aaaaaaaaaaaaaaaaaaaa00000000000000100" "jl a:address";
    Jnz        Lng "cccccaaaaaaaaaaaaaaaaaaaa10000000000000110" "jnz c:r, a:address";
    Jz         Lng "cccccaaaaaaaaaaaaaaaaaaaa00000000000000110" "jz c:r, a:address";
    J          Lng "00000aaaaaaaaaaaaaaaaaaaa00000000000000010" "j a:address";
    MovXm      Lng "iiiiiiiiiiiiiiiiiiiidddddddiiiiiiiiiiii001" "movxm d=mov, i:s32";
    NopXm      Lng "000000000000000000000000000000000000000000" "nopxm";

    AddNc      Mv "dddddddsssssiiii11ii11" "add.nc d=mov, s:r, i:s6";
    MovImm     Mv "dddddddiiiiiiiii11i100" "mov d=mov, i:s10";
    Mov        Mv "dddddddsssssss10110010" "mov d=mov, s:mov";
    NopM       Mv "0000000000000000111000" "nopm";
    VBcst16    Mv "dddd010sssss0000111101" "vbcst.16 d=x, s:r";
    VExtractS16 Mv "ddddddd011llssss110101" "vextract.s16 d=mov, s:x, l:lane";
    VInsert32  Mv "dddd100tttttssss110001" "vinsert.32 d=x, s:x, r29, t:r";
    VMovW      Mv "dddddddsssssssss111010" "vmov d=wto, s:wfrom";
    VMovX      Mv "dddddd0sssssssss110110" "vmov d=xto, s:xfrom";

    Nop        Nop "0" "nop";

    NopS       St "000000000000000000000" "nops";
    PaddS      St "pppmmm010????11??0101" "padds [p+p], m:m";
    PaddSImm   St "pppiiiiiiiiii11??1101" "padds [p+p], i:s10x4";
    StSp       St "iiiiiiiiiiii1sssssss0" "st s:mem, [sp, i:s12x4]";
    St         St "pppjjj1000010sssssss0" "st s:mem, [p:p, j:dj]";
    StImm      St "pppiiiiii1010sssssss0" "st s:mem, [p:p, i:s6x4]";
    VConvBf16  St "ddddd00000000sssss111" "vconv.bf16.fp32 d=w, s:bm";
    VStConvBf16 St "pppjjj1000100sssss111" "vst.conv.bf16.fp32 s:bm, [p:p, j:dj]";

    NopV       Vec "00000000000000000111100000" "nopv";
    VClr       Vec "000001111111110000ddddd001" "vclr d=bm";
    VMacF      Vec "cccccaaaaassssttttddddd001" "vmac.f d=bm, a:bm, s:x, t:x, c:r";
}

impl Opcode {
    /// Whether the instruction only fills a slot.
    pub fn is_nop(self) -> bool {
        use Opcode::*;
        matches!(self, Nop | NopA | NopB | NopS | NopX | NopM | NopXm | NopV)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::format::FORMATS;

    /// A pattern with its letters renamed by order of appearance.
    fn renamed(pattern: &str) -> String {
        let mut seen = Vec::new();
        let rename = |c: char| {
            if !c.is_ascii_lowercase() {
                return c;
            }
            let i = seen.iter().position(|other| *other == c).unwrap_or_else(|| {
                seen.push(c);
                seen.len() - 1
            });
            char::from(b'A' + i as u8)
        };
        pattern.chars().map(rename).collect()
    }

    #[test]
    #[ignore = "needs ../shared"]
    fn the_tables_say_what_the_facts_say() {
        let shared = std::env::var("BOSWELL_SHARED").unwrap();
        let text = std::fs::read_to_string(shared + "/npu/aie2-isa-subset.json").unwrap();
        let facts: Value = serde_json::from_str(&text).unwrap();

        let expected = facts["instructions"].as_array().unwrap().iter().map(|i| {
            let pattern = renamed(i["pattern"].as_str().unwrap());
            (i["slot"].as_str().unwrap().to_owned(), pattern, i["mnemonic"].as_str().unwrap().to_owned())
        });
        let mut expected: Vec<_> = expected.collect();
        let ours = ROWS.iter().map(|row| (row.slot.to_string(), renamed(row.pattern), row.syntax.to_owned()));
        let mut ours: Vec<_> = ours.collect();
        assert_eq!(ours.len(), expected.len());
        ours.sort();
        expected.sort();
        for (ours, expected) in ours.iter().zip(&expected) {
            assert_eq!((&ours.0, &ours.1), (&expected.0, &expected.1));
            let mnemonic = |text: &str| text.split(' ').next().unwrap_or_default().to_owned();
            assert_eq!(mnemonic(&ours.2), mnemonic(&expected.2));
        }

        let formats = facts["composite_formats"].as_array().unwrap();
        assert_eq!(formats.len(), FORMATS.len());
        for format in formats {
            let mut pattern = format["pattern"].as_str().unwrap().to_owned();
            for slot in format["slots"].as_array().unwrap() {
                let bit = |i: usize| slot["bits"][i].as_u64().unwrap() as usize;
                let (start, end) = (pattern.len() - 1 - bit(0), pattern.len() - bit(1));
                let slot = Slot::ALL.into_iter().find(|s| slot["slot"] == s.to_string()).unwrap();
                let letters = slot.letter().to_ascii_uppercase().to_string().repeat(slot.bits() as usize);
                pattern.replace_range(start..end, &letters);
            }
            for slot in Slot::ALL {
                let letter = slot.letter().to_ascii_uppercase().to_string();
                pattern = pattern.replace(&letter.repeat(slot.bits() as usize), &slot.letter().to_string());
            }
            assert!(FORMATS.contains(&pattern.as_str()), "{pattern}");
        }
    }
}
