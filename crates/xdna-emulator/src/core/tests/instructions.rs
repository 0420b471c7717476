//! Each scalar instruction against what it should compute.

use super::*;

/// Pairs of numbers: the awkward ones, and others.
fn pairs() -> Vec<(u32, u32)> {
    let awkward =
        [0, 1, 2, 31, 127, 128, 0x7FFF, 0x8000, 0xFFFF, i32::MAX as u32, 1 << 31, u32::MAX - 1, u32::MAX];
    let mut pairs: Vec<_> = awkward.iter().flat_map(|a| awkward.map(|b| (*a, b))).collect();
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.rotate_left(13)
    };
    pairs.extend((0..50).map(|_| (next(), next())));
    pairs
}

/// Runs an instruction on r1 and r2, with 1 in r27, and returns r3.
fn result(instruction: &str, a: u32, b: u32) -> u32 {
    done(&format!("mova r27, #1\n movxm r1, #{a}\n movxm r2, #{b}\n {instruction}\n done")).r(3)
}

#[test]
fn results_of_two_numbers() {
    type Oracle = fn(i64, i64) -> i64;
    /// Lowest 32 bits without sign.
    fn unsigned(x: i64) -> i64 {
        x & 0xFFFF_FFFF
    }
    let cases: [(&str, Oracle); 18] = [
        ("add r3, r1, r2", |a, b| a + b),
        ("sub r3, r1, r2", |a, b| a - b),
        ("mul r3, r1, r2", i64::wrapping_mul),
        ("and r3, r1, r2", |a, b| a & b),
        ("or r3, r1, r2", |a, b| a | b),
        ("xor r3, r1, r2", |a, b| a ^ b),
        ("eq r3, r1, r2", |a, b| i64::from(a == b)),
        ("ne r3, r1, r2", |a, b| i64::from(a != b)),
        ("lt r3, r1, r2", |a, b| i64::from(a < b)),
        ("ge r3, r1, r2", |a, b| i64::from(a >= b)),
        ("ltu r3, r1, r2", |a, b| i64::from(unsigned(a) < unsigned(b))),
        ("geu r3, r1, r2", |a, b| i64::from(unsigned(a) >= unsigned(b))),
        ("sel.eqz r3, r1, r2, r27", |_, b| b),
        ("sel.nez r3, r1, r2, r27", |a, _| a),
        ("add r3, r1, #-64", |a, _| a - 64),
        ("add.nc r3, r1, #31", |a, _| a + 31),
        ("mov r3, #-512", |_, _| -512),
        ("movx r3, #1023", |_, _| 1023),
    ];
    for (instruction, oracle) in cases {
        for (a, b) in pairs() {
            let expected = oracle(i64::from(a as i32), i64::from(b as i32)) as u32;
            assert_eq!(result(instruction, a, b), expected, "{instruction} of {a:#x}, {b:#x}");
        }
    }
}

#[test]
fn results_of_one_number() {
    type Oracle = fn(i64) -> i64;
    let cases: [(&str, Oracle); 9] = [
        ("abs r3, r1", i64::abs),
        ("clz r3, r1", |a| (0..32).take_while(|bit| (a >> (31 - bit)) & 1 == 0).count() as i64),
        ("eqz r3, r1", |a| i64::from(a == 0)),
        ("nez r3, r1", |a| i64::from(a != 0)),
        ("extend.s8 r3, r1", |a| (a & 0xFF) - ((a & 0x80) << 1)),
        ("extend.s16 r3, r1", |a| (a & 0xFFFF) - ((a & 0x8000) << 1)),
        ("extend.u8 r3, r1", |a| a & 0xFF),
        ("extend.u16 r3, r1", |a| a & 0xFFFF),
        ("mov r3, r1", |a| a),
    ];
    for (instruction, oracle) in cases {
        for (a, _) in pairs() {
            let expected = oracle(i64::from(a as i32)) as u32;
            assert_eq!(result(instruction, a, 0), expected, "{instruction} of {a:#x}");
        }
    }
}

#[test]
fn shifts_go_left_and_with_negative_amounts_right() {
    for (a, _) in pairs().into_iter().step_by(7) {
        for amount in -31..32_i32 {
            let (left, right) = (u64::from(a) << amount.max(0), (-amount).max(0));
            let logical = left as u32 >> right;
            let arithmetic = left as u32 as i32 >> right;
            assert_eq!(result("lshl r3, r1, r2", a, amount as u32), logical, "{a:#x} by {amount}");
            assert_eq!(result("ashl r3, r1, r2", a, amount as u32), arithmetic as u32, "{a:#x} by {amount}");
        }
    }
}

#[test]
fn thirty_two_steps_divide() {
    for (a, b) in pairs().into_iter().filter(|(_, b)| *b != 0) {
        let steps = "divs r3, r3, r2\n".repeat(32);
        let machine = done(&format!("movxm r31, #{a}\n movxm r2, #{b}\n movx r3, #0\n {steps} done"));
        assert_eq!((machine.r(31), machine.r(3)), (a / b, a % b), "{a} / {b}");
    }
}

#[test]
fn loads_extend_and_stores_cut_off() {
    let machine = done(
        "
        movxm p0, #0x70200
        movxm r1, #0x8091A2F3
        mova dj0, #4
        mova dj1, #1
        mova dj2, #2
        st r1, [p0, #0]
        lda.s8 r2, [p0, #0]
        lda.u8 r3, [p0, dj1]
        lda.s16 r4, [p0, #2]
        lda.u16 r5, [p0, dj2]
        lda.s8 r6, [p0, dj1]
        lda.s16 r7, [p0, dj2]
        st r1, [p0, dj0]
        st.s8 r2, [p0, dj0]
        movxm sp, #0x70300
        st r1, [sp, #-4]
        lda r8, [sp, #-4]
        lda p1, [sp, #-4]
        mov r9, p1
        lda r10, [p0, dj0]
        done
        ",
    );
    let extended = [0xFFFF_FFF3, 0xA2, 0xFFFF_8091, 0x8091, 0xFFFF_FFA2, 0xFFFF_8091, 0x8091_A2F3];
    assert_eq!([2, 3, 4, 5, 6, 7, 8].map(|i| machine.r(i)), extended);
    // Pointers have 20 bits.
    assert_eq!(machine.r(9), 0x1_A2F3);
    assert_eq!(machine.r(10), 0x8091_A2F3);
}

#[test]
fn pointers_step_modulo_their_20_bits() {
    let machine = done(
        "
        movxm p0, #0xFFFF0
        mova m1, #-16
        padda [p0], #0x20
        mov r1, p0
        paddb [p0], m1
        mov r2, p0
        padds [p0], #-0x20
        mov r3, p0
        paddb [p0], #0x30
        mov r4, p0
        padds [p0], m1
        mov r5, p0
        movxm sp, #0x70000
        paddb [sp], #64
        paddb [sp], #-32
        mov r6, sp
        mova dj3, #-1
        mov r7, dj3
        event #1
        done
        ",
    );
    let expected = [0x10, 0, 0xF_FFE0, 0x10, 0, 0x7_0020, 0xF_FFFF];
    assert_eq!([1, 2, 3, 4, 5, 6, 7].map(|i| machine.r(i)), expected);
    assert_eq!(machine.core.stack_high(), 0x7_0040);
}

#[test]
fn calls_jumps_and_loops() {
    let machine = done(
        "
            movxm sp, #0x70000
            jl #triangle
            mov r10, r0
            movx r1, #3
            jz r1, #never
            jnz r1, #on
        never:
            mova r11, #1
        on:
            movx r1, #0
            jnz r1, #never
            jz r1, #end
            mova r11, #2
        end:
            done

        // r0 = 1 + 2 + … + 20
        triangle:
            mova r2, #20
            mova r0, #0
            mova r3, #0
            add.nc lc, r2, #0
            movxm ls, #each
            movxm le, #last
        each:
            add r3, r3, #1
        last:
            add r0, r0, r3
            ret lr
        ",
    );
    assert_eq!([machine.r(10), machine.r(11)], [210, 0]);
}

#[test]
fn what_was_issued_before_the_end_is_finished() {
    let machine = done(
        "
        .manual
        movxm p0, #0x70000
        mova r1, #3
        mul r2, r1, r1; st.s8 r2, [p0, #0]
        done
        ",
    );
    assert_eq!([machine.r(2), machine.word(0)], [9, 9]);
}
