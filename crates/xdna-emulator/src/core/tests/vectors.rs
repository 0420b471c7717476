//! Vector instructions.

use super::*;

/// Loads the bytes 1 to 64 into x1, and 65 to 96 into wl2.
const LOADED: &str = "
    movxm p0, #0x70100
    mova dj0, #0
    mova dj1, #32
    mova dj2, #64
    vldb wl1, [p0, dj0]
    vldb wh1, [p0, dj1]
    vldb wl2, [p0, dj2]
";

/// The 16 bits at a lane of the bytes from 0x70100 on.
fn lane(i: u32) -> u32 {
    (2 * i + 1) | ((2 * i + 2) << 8)
}

#[test]
fn lanes_are_extracted_and_inserted() {
    let machine = done(&format!(
        "{LOADED}
        mova r16, #0
        mova r17, #17
        mova r18, #31
        vextract.s16 r1, x1, r16
        vextract.s16 r2, x1, r17
        vextract.s16 r3, x1, r18
        mova r29, #9
        movxm r4, #0x8123ABCD
        vinsert.32 x3, x1, r29, r4
        mova r16, #18
        mova r17, #19
        mova r18, #20
        vextract.s16 r5, x3, r16
        vextract.s16 r6, x3, r17
        vextract.s16 r7, x3, r18
        vbcst.16 x4, r4
        vextract.s16 r8, x4, r18
        vextract.s16 p1, x4, r18
        mov r9, p1
        done"
    ));
    let found = [1, 2, 3, 5, 6, 7, 8, 9].map(|i| machine.r(i));
    let expected = [lane(0), lane(17), lane(31), 0xFFFF_ABCD, 0xFFFF_8123, lane(20), 0xFFFF_ABCD, 0xF_ABCD];
    assert_eq!(found, expected);
    let outside = failure("mova r16, #32\n vextract.s16 r1, x1, r16");
    assert_eq!(outside, "`vextract.s16 r1, x1, r16` is not modelled: lane 32 of 32");
}

#[test]
fn vectors_and_accumulators_are_moved_whole_and_in_parts() {
    let machine = done(&format!(
        "{LOADED}
        vmov bmh3, x1           // the upper half of accumulator 3
        vmov bml8, bmh3
        vmov x5, bml8
        vmov wl6, amhh3         // its highest quarter: bytes 33 to 64
        vmov wh6, wl2
        vmov amll8, wh6
        vmov x7, bml8
        vclr bml8
        vmov x8, bml8
        mova r16, #0
        mova r17, #16
        vextract.s16 r1, x5, r17
        vextract.s16 r2, x6, r16
        vextract.s16 r3, x6, r17
        vextract.s16 r4, x7, r16
        vextract.s16 r5, x7, r17
        vextract.s16 r6, x8, r17
        done"
    ));
    let expected = [lane(16), lane(16), lane(32), lane(32), lane(16), 0];
    assert_eq!([1, 2, 3, 4, 5, 6].map(|i| machine.r(i)), expected);
}

#[test]
fn a_vector_that_was_just_moved_is_not_read() {
    let message = "`vmov x2, x1` is not modelled: it reads a vector that the bundle before it has moved";
    assert_eq!(failure(".manual\n vbcst.16 x1, r0\n vmov x2, x1"), message);
    assert_eq!(done(".manual\n vbcst.16 x1, r0\n vmov x2, x3\n done").core.cycles(), 3);
}

/// A program that puts a number into every lane of bml0 and converts it to r1.
fn converted(bits: u32, rounding: i32) -> String {
    let inserts: String = (0..16).map(|i| format!("mova r29, #{i}\n vinsert.32 x0, x0, r29, r4\n")).collect();
    format!(
        "mova r5, #{rounding}\n mov crRnd, r5\n movxm r4, #{bits}\n {inserts} vmov bml0, x0
        vconv.bf16.fp32 wl2, bml0\n mova r16, #15\n vextract.s16 r1, x2, r16
        movxm p0, #0x70200\n mova dj0, #32\n vst.conv.bf16.fp32 bml0, [p0, dj0]
        nop\n nop\n nop\n lda r2, [p0, dj0]\n done"
    )
}

#[test]
fn floats_become_bf16_rounded_to_even() {
    let cases = [
        (0x3F80_0000, 0x3F80),
        (0x3F80_8000, 0x3F80),
        (0x3F81_8000, 0x3F82),
        (0x3F80_8001, 0x3F81),
        (0xC049_0FDB, 0xC049),
        (0x7F7F_FFFF, 0x7F80),
        (0xFF80_0000, 0xFF80),
        (0, 0),
    ];
    for (bits, expected) in cases {
        let machine = done(&converted(bits, 12));
        assert_eq!(machine.r(1) & 0xFFFF, expected, "{bits:#010x}");
        assert_eq!(machine.r(2), expected | (expected << 16), "{bits:#010x}");
        assert_eq!(machine.modules[3].data[0x21F], 0);
        assert_eq!(machine.modules[3].data[0x23F], (expected >> 8) as u8);
    }
    // What is exact needs no rounding.
    assert_eq!(done(&converted(0x3F80_0000, 0)).r(1), 0x3F80);
    assert_eq!(
        failure(&converted(0x3F80_0001, 0)),
        "`vconv.bf16.fp32 wl2, bml0` is not modelled: rounding mode 0"
    );
    let denormal = failure(&converted(1, 12));
    assert_eq!(
        denormal,
        "`vconv.bf16.fp32 wl2, bml0` is not modelled: denormal or not a number (0x00000001)"
    );
}

#[test]
fn converted_stores_reach_memory_later_than_loads_that_follow() {
    let source = |nops: &str| {
        format!(
            ".manual\n movxm p0, #0x70100\n vst.conv.bf16.fp32 bml0, [p0, dj0]\n {nops} lda r1, [p0, #0]
            nop\n nop\n nop\n nop\n nop\n nop\n done"
        )
    };
    assert_eq!(done(&source("")).r(1), 0x0403_0201);
    assert_eq!(done(&source("nop\n")).r(1), 0);
}
