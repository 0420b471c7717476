//! The exposed pipeline: when what is written becomes visible. Each rule, changed by one, must be noticed.

use super::*;

/// A program that shows a rule, and registers or what else it leaves when the rule holds.
struct Rule {
    source: &'static str,
    /// Registers from r10 on.
    expected: &'static [u32],
    /// The latency that it shows.
    latency: fn(&mut Latencies) -> &mut u32,
    /// Changes of it that must be noticed.
    changes: &'static [i32],
}

/// Every latency that decides about results.
const RULES: [Rule; 10] = [
    Rule {
        source: "mova r1, #5\n mov r10, r1",
        expected: &[5],
        latency: |latencies| &mut latencies.result,
        changes: &[1],
    },
    Rule {
        source: "mova r1, #5\n mova r2, #3\n mul r1, r2, r2\n mov r10, r1\n mov r11, r1",
        expected: &[5, 9],
        latency: |latencies| &mut latencies.multiply,
        changes: &[-1, 1],
    },
    Rule {
        source: "
            movxm p0, #0x70000
            mova r1, #5
            lda r1, [p0, #0]
            nop
            nop
            nop
            nop
            nop
            mov r10, r1
            mov r11, r1",
        expected: &[5, 77],
        latency: |latencies| &mut latencies.load,
        changes: &[-1, 1],
    },
    // A register that is being loaded is spilled with its old value.
    Rule {
        source: "
            movxm sp, #0x70100
            movxm p0, #0x70000
            mova r1, #5
            lda.u8 r1, [p0, dj0]
            nop
            nop
            nop
            nop
            nop
            st r1, [sp, #-4]
            st r1, [sp, #-8]
            lda r10, [sp, #-4]
            lda r11, [sp, #-8]
            nop
            nop
            nop
            nop
            nop
            nop",
        expected: &[5, 77],
        latency: |latencies| &mut latencies.load,
        changes: &[-1, 1],
    },
    Rule {
        source: "
            mova r1, #9
            mov lr, r1
            jl #back
            nop
            nop
            mov r10, lr
            mov r11, lr
            nop
        back:
            nop",
        expected: &[9, 28],
        latency: |latencies| &mut latencies.link,
        changes: &[-1, 1],
    },
    Rule {
        source: "
            movxm p0, #0x70000
            st.s16 r1, [p0, #2]
            nop
            nop
            nop
            mova r1, #3
            mova r1, #4
            mova r1, #5
            lda r10, [p0, #0]
            nop
            nop
            nop
            nop
            nop
            nop",
        expected: &[(4 << 16) + 77],
        latency: |latencies| &mut latencies.part_word_data,
        changes: &[-1, 1],
    },
    // Its address is read at once.
    Rule {
        source: "
            movxm p0, #0x70000
            mova r2, #4
            st.s8 r1, [p0, dj0]
            mov dj0, r2
            nop
            nop
            nop
            mova r1, #6
            mova r1, #7
            lda r10, [p0, #0]
            lda r11, [p0, #4]
            nop
            nop
            nop
            nop
            nop
            nop",
        expected: &[6, 0],
        latency: |latencies| &mut latencies.part_word_data,
        changes: &[-1, 1],
    },
    Rule {
        source: "
            mova r1, #1
            jnz r1, #there
            mova r1, #0
            add r10, r10, #1
            add r10, r10, #1
            add r10, r10, #1
            add r10, r10, #1
            add r10, r10, #1
        there:
            nop",
        expected: &[4],
        latency: |latencies| &mut latencies.delay_slots,
        changes: &[-1, 1],
    },
    Rule {
        source: "
            mova r1, #5
            mova r16, #3
            vbcst.16 x1, r1
            nop
            vextract.s16 r1, x2, r16
            mov r10, r1
            mov r11, r1",
        expected: &[5, 0],
        latency: |latencies| &mut latencies.vector_move,
        changes: &[-1, 1],
    },
    Rule {
        source: "
            mova r1, #5
            vbcst.16 x1, r1
            nop
            vmov bml0, x1
            nop
            vclr bml0
            nop
            nop
            nop
            nop
            vmov x2, bml0
            vmov x3, bml0
            nop
            vextract.s16 r10, x2, r16
            vextract.s16 r11, x3, r16
            nop",
        expected: &[5, 0],
        latency: |latencies| &mut latencies.vector_float,
        changes: &[-1, 1],
    },
];

/// What a rule's program leaves, or why it fails.
fn outcome(rule: &Rule, latencies: Latencies) -> Result<Vec<u32>, String> {
    let source = format!(".manual\n{}\n done", rule.source);
    let mut machine = Machine::with_latencies(&source, latencies);
    let stop = machine.run().map_err(|fault| fault.to_string())?;
    assert_eq!(stop, Stop::Done);
    Ok((10..).zip(rule.expected).map(|(i, _)| machine.r(i)).collect())
}

#[test]
fn results_become_visible_when_the_rules_say() {
    for rule in &RULES {
        assert_eq!(outcome(rule, Latencies::default()), Ok(rule.expected.to_vec()), "{}", rule.source);
    }
}

#[test]
fn every_rule_changed_by_one_is_noticed() {
    for rule in &RULES {
        for change in rule.changes {
            let mut latencies = Latencies::default();
            let latency = (rule.latency)(&mut latencies);
            *latency = latency.checked_add_signed(*change).unwrap();
            assert_ne!(outcome(rule, latencies), Ok(rule.expected.to_vec()), "{change} in {}", rule.source);
        }
    }
}

#[test]
fn a_bundle_reads_everything_before_it_writes_anything() {
    let machine = done(
        "
        .manual
        movxm p0, #0x70000
        mova r1, #1
        mova r2, #2
        or r2, r1, r1; mov r1, r2
        lda r3, [p0, #0]; st r1, [p0, #0]; movx r1, #9
        nop
        nop
        nop
        nop
        nop
        nop
        done
        ",
    );
    assert_eq!([machine.r(1), machine.r(2), machine.r(3), machine.word(0)], [9, 1, 77, 2]);
}

#[test]
fn conditions_and_return_addresses_are_read_when_the_jump_is_issued() {
    let machine = done(
        "
        .manual
            mova r1, #1
            movxm lr, #there
            ret lr; mov r2, r1
            mov lr, r2
            nop
            nop
            nop
            nop
            mova r3, #1
        there:
            jz r0, #end; mova r0, #1
            nop
            nop
            nop
            nop
            nop
            mova r3, #2
        end:
            done
        ",
    );
    assert_eq!(machine.r(3), 0);
}

#[test]
fn a_hardware_loop_ends_with_the_bundle_at_le() {
    let source = |count: i32, end: &str| {
        format!(
            "
            mova r1, #{count}
            add.nc lc, r1, #0
            movxm ls, #first
            movxm le, #{end}
        first:
            add r2, r2, #1
        last:
            add r3, r3, #1
        after:
            nopa; nopb; nops; add r4, r4, #1; nopm; nopv
            done
            "
        )
    };
    let counts = |count, end| {
        let machine = done(&source(count, end));
        [2, 3, 4].map(|i| machine.r(i))
    };
    assert_eq!(counts(5, "last"), [5, 5, 1]);
    assert_eq!(counts(1, "last"), [1, 1, 1]);
    // Were `le` the end of the loop, this would be the same.
    assert_eq!(counts(5, "after"), [5, 5, 5]);
}

#[test]
fn what_programs_may_not_rely_on_is_an_error() {
    let cases = [
        (
            "movxm p0, #0x70000\n st.s8 r1, [p0, #0]\n nop\n lda r2, [p0, #0]",
            "memory access 2 bundles after the part-word store at pc 0x0006, 7 are needed",
        ),
        (
            "movxm p0, #0x70000\n st.s8 r1, [p0, #0]; st r1, [p0, #0]",
            "memory access 0 bundles after the part-word store at pc 0x0006, 7 are needed",
        ),
        ("j #0\n j #6", "jump in a delay slot of the jump to 0x0000"),
        (
            "
            movxm ls, #0
            mova lc, #2
            movxm le, #32
            .align 16
            nopxm
            nopxm
            nop
            nop
            nopb; nopa; nops; nopx; nopm; nopv",
            "last bundle of a hardware loop comes 5 bundles after the loop is set up, 7 are needed",
        ),
        (
            "
            movxm le, #32
            mova lc, #2
            j #0
            .align 16
            nopxm
            nopxm
            nop
            nop
            nopb; nopa; nops; nopx; nopm; nopv",
            "last bundle of a hardware loop is in a delay slot",
        ),
    ];
    for (source, message) in cases {
        assert_eq!(failure(&format!(".manual\n{source}")), message);
    }
    let small = format!(".manual\n mova lc, #2\n movxm le, #32\n{}nop\nnop", "nop\n".repeat(11));
    assert_eq!(
        failure(&small),
        "last bundle of a hardware loop has 2 bytes at 0x0020, 16 at a multiple of 16 are needed"
    );
}
