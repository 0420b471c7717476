//! The assembler.

use proptest::prelude::*;

use super::*;
use crate::{Segment, disassemble};

/// The bundles of a program, without nops in small bundles counted by `×`.
fn bundles(source: &str) -> Vec<String> {
    let text = disassemble(&assemble(source).unwrap().text);
    let mut lines: Vec<(String, usize)> = Vec::new();
    for line in text.lines().skip(1) {
        let line = line.split_once("*/").unwrap().1.trim().to_owned();
        match lines.last_mut() {
            Some((last, count)) if *last == line => *count += 1,
            _ => lines.push((line, 1)),
        }
    }
    let counted =
        |(line, count): (String, usize)| if count == 1 { line } else { format!("{count}× {line}") };
    lines.into_iter().map(counted).collect()
}

#[test]
fn results_are_waited_for() {
    let cases: [(&str, &[&str]); 9] = [
        ("add r1, r2, r3\n add r4, r1, r1", &["add r1, r2, r3", "add r4, r1, r1"]),
        ("mul r1, r2, r3\n add r4, r1, r1", &["mul r1, r2, r3", "nop", "add r4, r1, r1"]),
        ("lda r1, [sp, #-4]\n mov p0, r1", &["lda r1, [sp, #-4]", "6× nop", "mov p0, r1"]),
        (
            "lda r1, [sp, #-4]\n mov p0, r2\n mov p1, r1",
            &["lda r1, [sp, #-4]", "mov p0, r2", "5× nop", "mov p1, r1"],
        ),
        // A later result may not arrive before an earlier one.
        ("lda r1, [sp, #-4]\n movx r1, #1", &["lda r1, [sp, #-4]", "6× nop", "movx r1, #1"]),
        // What a part-word store stores is read late, and memory is busy until then.
        ("st.s8 r1, [p0, dj0]\n movx r1, #1", &["st.s8 r1, [p0, dj0]", "5× nop", "movx r1, #1"]),
        ("st.s8 r1, [p0, dj0]\n st r2, [p1, #0]", &["st.s8 r1, [p0, dj0]", "6× nop", "st r2, [p1, #0]"]),
        ("mul r1, r2, r3\n st.s8 r1, [p0, dj0]", &["mul r1, r2, r3", "st.s8 r1, [p0, dj0]", "6× nop"]),
        // Halves of vectors are parts of vectors.
        (
            "vldb wh1, [p0, dj0]\n vextract.s16 r0, x1, r16",
            &["vldb wh1, [p0, dj0]", "6× nop", "vextract.s16 r0, x1, r16", "nop"],
        ),
    ];
    for (source, expected) in cases {
        assert_eq!(bundles(source), expected, "{source}");
    }
}

#[test]
fn jumps_get_delay_slots_and_targets_are_aligned() {
    let source = "
        start:
            movx r0, #3
        again:
            add r0, r0, #-1
            jnz r0, #again
            jl #start
            done
    ";
    let expected = [
        "movx r0, #3",
        "nopa; nopx; nopm; nopv",
        "add r0, r0, #-1",
        "jnz r0, #0x10",
        "5× nop",
        "jl #0x0",
        "nopa; nopb; nopx; nopm; nopv",
        "4× nop",
        "done",
    ];
    assert_eq!(bundles(source), expected);
    let program = assemble(source).unwrap();
    assert_eq!(program.address_of("start"), Some(0));
    assert_eq!(program.address_of("again"), Some(16));
    // The return address.
    assert_eq!((program.text.len() - 4) % 16, 0);
}

#[test]
fn what_is_under_way_at_a_jump_has_arrived_at_its_target() {
    assert_eq!(bundles("lda r1, [sp, #-4]\n j #0"), ["lda r1, [sp, #-4]", "j #0x0", "5× nop"]);
    let error = assemble("lda r1, [sp, #-4]; j #0").unwrap_err();
    assert_eq!(error.to_string(), "line 1: a bundle with a jump has a result that comes after its target");
}

#[test]
fn hardware_loops_have_a_wide_last_bundle_after_enough_others() {
    let source = "
            movx r0, #5
            add.nc lc, r0, #0
            movxm ls, #body
            movxm le, #last
        body:
            add r1, r1, r0
        last:
            add r2, r2, #1
            done
    ";
    let program = assemble(source).unwrap();
    let (body, last) = (program.address_of("body").unwrap(), program.address_of("last").unwrap());
    assert_eq!((body % 16, last % 16), (0, 0));
    let lines = bundles(source);
    assert!(lines.contains(&"nopa; nopb; nops; add r2, r2, #1; nopm; nopv".to_owned()), "{lines:?}");
    let set_up = lines.iter().position(|line| line.starts_with("movxm le")).unwrap();
    assert!(lines[set_up + 1].contains("6× nop") || lines[set_up + 2].contains("nop"), "{lines:?}");
}

#[test]
fn data_names_and_numbers() {
    let program = assemble(
        "
        .equ BASE, 0x70400
        .data BASE+0x100
        table: .byte 1, -1, 255
        .align 4
        .half 0x1234
        .zero 2
        end: .word table, end+4, -1
        .text
            movxm p0, #table        // a comment
            movxm p1, #0xFFFFFFFF
            mova r0, /* another */ #-0x10
        ",
    )
    .unwrap();
    let bytes = [1, 255, 255, 0, 0x34, 0x12, 0, 0, 0, 5, 7, 0, 0x0C, 5, 7, 0, 255, 255, 255, 255];
    assert_eq!(program.data, [Segment { address: 0x7_0500, bytes: bytes.to_vec() }]);
    let text = disassemble(&program.text);
    assert!(text.contains("movxm p0, #460032") && text.contains("movxm p1, #-1"), "{text}");
    assert_eq!(program.address_of("end"), Some(0x7_0508));
}

#[test]
fn mistakes_are_reported_with_their_line() {
    let cases = [
        ("nop\nfrobnicate r1", "line 2: no instruction is called `frobnicate`"),
        (
            "eqz r1, #2",
            "line 1: `eqz r1, #2` is not one of: eqz (a register such as r0) , (a register such as r0)",
        ),
        ("add r1, r2, #64", "line 1: operand `#64` of `add` is not a signed number of 7 bits"),
        (
            "lda r1, [p0, #6]",
            "line 1: operand `#6` of `lda` is not a multiple of 4 in a signed field of 6 bits",
        ),
        ("j #nowhere", "line 1: symbol `nowhere` is not defined"),
        ("a: nop\na: nop", "line 2: symbol `a` is defined twice"),
        ("nopx; nopx", "line 1: `nopx` and `nopx` both need slot alu"),
        (".data 0x10", "line 1: 0 bytes at 0x10 do not fit into data memory, 0x40000 to 0x7ffff"),
        (
            ".data 0x7fffc\n.word 1, 2",
            "line 2: 8 bytes at 0x7fffc do not fit into data memory, 0x40000 to 0x7ffff",
        ),
        (".byte 1", "line 1: data among bundles needs .manual"),
        (".manual\n.byte 256", "line 2: 256 does not fit into 8 bits"),
        (".data 0x70000\nnop", "line 2: bundles belong into .text"),
        ("mova r0, #1+", "line 1: `1+` is neither a number nor a symbol"),
        (".align 3", "line 1: .align takes a power of two up to 4096"),
        (".bytes 1", "line 1: `.bytes 1` is no directive"),
    ];
    for (source, message) in cases {
        assert_eq!(assemble(source).unwrap_err().to_string(), message, "{source}");
    }
    let error = assemble(&"nopxm\n".repeat(0x4000 / 6 + 1)).unwrap_err();
    assert_eq!(error.to_string(), "line 2731: 16386 bytes at 0x0 do not fit into program memory, 16 KiB");
}

proptest! {
    #[test]
    fn what_is_printed_assembles_to_the_same_bytes(
        text in proptest::collection::vec(any::<u8>(), 0..300),
        nops in proptest::collection::vec(0..8_usize, 0..20),
    ) {
        let mut program = text;
        for size in nops {
            program.extend(schedule::nops(1, 2 * (size + 1)));
        }
        prop_assert_eq!(assemble(&disassemble(&program)).unwrap().text, program);
    }

    #[test]
    fn no_text_makes_the_assembler_panic(source in "(([a-z.0-9]{1,5}|movxm|lda|mova|\\.zero|\\.align|\\.data)[ a-z0-9#,;:+x/*.\\[\\]-]{0,20}\n){0,6}") {
        let _ = assemble(&source);
    }
}
