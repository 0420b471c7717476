//! x86-64 with AMX: register tiles of 16 rows of 64 bytes, multiplied whole. There are eight; four hold sums.
//!
//! The instructions are not among Rust's stable intrinsics yet, so they are written as assembly.
#![allow(unsafe_code, reason = "instruction-set module")]

use std::arch::asm;
use std::sync::OnceLock;

use super::{Operands, Product};

/// Rows of a tile of [`tile`].
pub(super) const ROWS: usize = 32;
/// Words that a register holds of one row, and rows that it has.
pub(super) const STEPS: usize = 16;
/// Columns of a tile of [`tile`], in words.
const COLUMNS: usize = 32;

/// Whether this CPU has AMX for bf16 and for bytes, and the system lets this process use it: it keeps no room for the
/// registers before it is asked to.
pub(super) fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| has_instructions() && is_permitted())
}

fn has_instructions() -> bool {
    const BF16: u32 = 1 << 22;
    const TILE: u32 = 1 << 24;
    const INT8: u32 = 1 << 25;
    const ALL: u32 = BF16 | TILE | INT8;
    let leaf = |leaf, subleaf| std::arch::x86_64::__cpuid_count(leaf, subleaf);
    leaf(0, 0).eax >= 7 && leaf(7, 0).edx & ALL == ALL
}

/// Asks the kernel to keep the registers when it switches threads.
///
/// Source: Linux, `Documentation/arch/x86/xstate.rst`.
#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const XFEATURE_XTILEDATA: u64 = 18;
    let result: i64;
    // SAFETY: the call changes nothing but which registers the kernel saves; it reads and writes no memory.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

/// What `ldtilecfg` reads.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// Makes all registers of this thread 16 rows of 64 bytes.
#[inline(always)]
pub(super) fn configure() {
    const EIGHT: usize = 8;
    static CONFIGURATION: Configuration = {
        let (mut row_bytes, mut rows) = ([0; 16], [0; 16]);
        let mut idx = 0;
        while idx < EIGHT {
            (row_bytes[idx], rows[idx]) = (4 * STEPS as u16, STEPS as u8);
            idx += 1;
        }
        Configuration { palette: 1, start_row: 0, reserved: [0; 14], row_bytes, rows }
    };
    // SAFETY: only kernels that were started after `is_available` said yes get here; 64 bytes are read.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const CONFIGURATION, options(nostack, readonly)) }
}

/// [`super::Simd::tile`] for bf16 and bytes.
#[inline(always)]
pub(super) fn tile<P: Product>(operands: Operands<'_>, out: &mut [u32], accumulate: bool) {
    let rows = operands.rows;
    assert!((1..=ROWS).contains(&rows), "a tile cannot have {rows} rows");
    let whole_rows = rows.next_multiple_of(STEPS);
    let operands = Operands { rows: whole_rows, ..operands };
    if out.len() >= whole_rows * COLUMNS {
        return whole::<P>(operands, out, accumulate);
    }
    let out = &mut out[..rows * COLUMNS];
    let mut padded = [0; ROWS * COLUMNS];
    if accumulate {
        padded[..out.len()].copy_from_slice(out);
    }
    whole::<P>(operands, &mut padded, accumulate);
    out.copy_from_slice(&padded[..out.len()]);
}

/// [`tile`] for 16 or 32 rows.
#[inline(always)]
fn whole<P: Product>(operands: Operands<'_>, out: &mut [u32], accumulate: bool) {
    let Operands { rows, a, a_stride, b, .. } = operands;
    let n_k = b.len() / COLUMNS;
    assert!(n_k.is_multiple_of(STEPS) && b.len() == n_k * COLUMNS, "b is not whole steps of a tile");
    let n_steps = n_k / STEPS;
    assert!(n_steps == 0 || a.len() >= (n_steps - 1) * a_stride + rows * STEPS, "a is shorter than its rows");
    assert!(out.len() >= rows * COLUMNS, "out is shorter than the tile");
    let product = Addresses {
        a: a.as_ptr(),
        a_bytes: 4 * a_stride,
        b: b.as_ptr(),
        n_steps,
        out: out.as_mut_ptr(),
        accumulate,
    };
    // SAFETY: the slices are as long as was just asserted, and the CPU has AMX where this is called.
    unsafe {
        match (P::PER_WORD, rows) {
            (2, STEPS) => bf16_16(product),
            (2, _) => bf16_32(product),
            (4, STEPS) => bytes_16(product),
            (4, _) => bytes_32(product),
            (n, _) => panic!("AMX has no products of {n} numbers in a word"),
        }
    }
}

/// The operands of the assembly, with bounds checked.
struct Addresses {
    a: *const u32, // `n_steps` pieces of 16 or 32 rows of `STEPS` words, `a_bytes` apart
    a_bytes: usize,
    b: *const u32, // [STEPS * n_steps, COLUMNS]
    n_steps: usize,
    out: *mut u32, // [16 or 32, COLUMNS]
    accumulate: bool,
}

/// A function for tiles of 16 rows, which takes the registers 0 and 1 for sums, and one for 32 rows, with 2 and 3.
macro_rules! products {
    ($name_16:ident, $name_32:ident, $dot:literal) => {
        /// # Safety
        /// The CPU has AMX, its registers are configured, and the operands are as long as they say.
        #[inline(always)]
        unsafe fn $name_16(x: Addresses) {
            // SAFETY: as the function's.
            unsafe {
                asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "test {accumulate:e}, {accumulate:e}",
                    "jz 2f",
                    "tileloadd tmm0, [{out} + {row}*1]",
                    "tileloadd tmm1, [{out} + {row}*1 + 64]",
                    "2:",
                    "test {n}, {n}",
                    "jz 4f",
                    "3:",
                    "tileloadd tmm4, [{a} + {line}*1]",
                    "tileloadd tmm6, [{b} + {row}*1]",
                    concat!($dot, " tmm0, tmm4, tmm6"),
                    "tileloadd tmm7, [{b} + {row}*1 + 64]",
                    concat!($dot, " tmm1, tmm4, tmm7"),
                    "add {a}, {a_bytes}",
                    "add {b}, 2048",
                    "dec {n}",
                    "jnz 3b",
                    "4:",
                    "tilestored [{out} + {row}*1], tmm0",
                    "tilestored [{out} + {row}*1 + 64], tmm1",
                    a = inout(reg) x.a => _,
                    a_bytes = in(reg) x.a_bytes,
                    line = in(reg) 4 * STEPS,
                    b = inout(reg) x.b => _,
                    n = inout(reg) x.n_steps => _,
                    out = in(reg) x.out,
                    row = in(reg) 4 * COLUMNS,
                    accumulate = in(reg) u32::from(x.accumulate),
                    out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }

        /// # Safety
        /// The CPU has AMX, its registers are configured, and the operands are as long as they say.
        #[inline(always)]
        unsafe fn $name_32(x: Addresses) {
            // SAFETY: as the function's; the lower half of a piece of `a` and of `out` is 16 rows further.
            unsafe {
                asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    "test {accumulate:e}, {accumulate:e}",
                    "jz 2f",
                    "tileloadd tmm0, [{out} + {row}*1]",
                    "tileloadd tmm1, [{out} + {row}*1 + 64]",
                    "tileloadd tmm2, [{out} + {row}*1 + 2048]",
                    "tileloadd tmm3, [{out} + {row}*1 + 2112]",
                    "2:",
                    "test {n}, {n}",
                    "jz 4f",
                    "3:",
                    "tileloadd tmm4, [{a} + {line}*1]",
                    "tileloadd tmm6, [{b} + {row}*1]",
                    concat!($dot, " tmm0, tmm4, tmm6"),
                    "tileloadd tmm7, [{b} + {row}*1 + 64]",
                    concat!($dot, " tmm1, tmm4, tmm7"),
                    "tileloadd tmm5, [{a} + {line}*1 + 1024]",
                    concat!($dot, " tmm2, tmm5, tmm6"),
                    concat!($dot, " tmm3, tmm5, tmm7"),
                    "add {a}, {a_bytes}",
                    "add {b}, 2048",
                    "dec {n}",
                    "jnz 3b",
                    "4:",
                    "tilestored [{out} + {row}*1], tmm0",
                    "tilestored [{out} + {row}*1 + 64], tmm1",
                    "tilestored [{out} + {row}*1 + 2048], tmm2",
                    "tilestored [{out} + {row}*1 + 2112], tmm3",
                    a = inout(reg) x.a => _,
                    a_bytes = in(reg) x.a_bytes,
                    line = in(reg) 4 * STEPS,
                    b = inout(reg) x.b => _,
                    n = inout(reg) x.n_steps => _,
                    out = in(reg) x.out,
                    row = in(reg) 4 * COLUMNS,
                    accumulate = in(reg) u32::from(x.accumulate),
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

products!(bf16_16, bf16_32, "tdpbf16ps");
products!(bytes_16, bytes_32, "tdpbusd");
