//! Outputs in the rough, from half of the bits of each weight.

use std::ops::Range;

use super::rows::{PackedRows, RowScale, bytes_of_row};
use super::{
    Epilogue, Finish, Input, Linear, MAX_COLUMNS, PACKED_ROWS, Precision, columns_per_task, multiply,
};
use crate::arch::{Kernel, Simd, run_on};
use crate::line::Aligned;
use crate::threads::{Threads, TileMut};
use crate::vector::{dot, max};

/// A weight is 16 times its upper four bits, plus its lower ones, minus this: they are 0 to 15, at a mean of 7.5.
const MEAN: f32 = 128.0 - 7.5;
/// The standard deviation of the lower four bits.
const DEVIATION: f32 = 4.61;
/// An output is further from what it is in the rough than so many standard deviations once in a thousand million.
const SURELY: f32 = 6.0;
/// The upper four bits of each weight of a word, after its sign was turned.
const UPPER: u32 = 0xf0f0_f0f0;
/// The signs of the weights of a word.
const SIGNS: u32 = 0x8080_8080;

/// The upper four bits of a layer's weights of bytes, by which its greatest outputs are found.
///
/// One row times a matrix takes as long as the matrix takes to be read. Of a decoder's logits only the greatest must be
/// exact; half of the bits tell which those may be, and [`refine`](Self::refine) computes them from whole bytes, to what
/// [`linear`](super::linear) gives.
pub struct Coarse {
    /// `[n_panels, n_pairs + 1, panel]`: the bits of the weights in an even word and, above them, in the next; last the
    /// sum of each output's bits, f32.
    panels: Aligned,
    /// Words of a panel in `panels`.
    panel_len: usize,
    /// The most that a step of weights is worth in each panel.
    steps: Vec<f32>,
    /// Outputs that are rough: whole panels, from the first on.
    n_rough: usize,
}

impl Coarse {
    /// Of a layer in bytes, for its first `n_rough` outputs, down to a whole panel; all others are exact.
    ///
    /// # Panics
    /// If the layer is in other numbers, or has less outputs.
    pub fn new(threads: &Threads, layer: &Linear, n_rough: usize) -> Self {
        let weights = &layer.weights;
        assert_eq!(weights.precision(), Precision::Int8, "only bytes have upper bits");
        assert!(n_rough <= weights.n_out(), "{n_rough} of {} outputs", weights.n_out());
        let panel = weights.tile().columns;
        let n_panels = n_rough / panel;
        let panel_len = (weights.n_words().div_ceil(2) + 1) * panel;
        let mut panels = Aligned::zeroed(n_panels * panel_len);
        threads.for_each_chunk(&mut panels.words_mut()[..n_panels * panel_len], panel_len, |idx, out| {
            upper_bits(weights.panel(idx), weights.n_in(), panel, out);
        });
        let steps = weights.scales().0.chunks(panel).take(n_panels).map(max).collect();
        Self { panels, panel_len, steps, n_rough: n_panels * panel }
    }

    /// `out = x · wᵀ + bias` for one row, `[n_in]`; `out` is `[n_out]`, its first outputs in the rough.
    ///
    /// # Panics
    /// If a shape does not fit.
    pub fn multiply(&self, threads: &Threads, layer: &Linear, x: &[f32], out: &mut [f32]) {
        let weights = &layer.weights;
        assert_eq!([x.len(), out.len()], [weights.n_in(), weights.n_out()], "x or out is not one row");
        let panel = weights.tile().columns;
        let row = run_on(weights.set(), PackRow { x, n_words: weights.n_words() });
        let columns = columns_per_task(threads, out.len(), weights);
        with_packed(x, layer, |packed| {
            threads.for_each_chunk(out, columns, |idx, out| {
                let first = idx * columns;
                let (rough, exact) = out.split_at_mut(self.n_rough.saturating_sub(first).min(out.len()));
                let panels = &self.panels.words()[first.min(self.n_rough) / panel * self.panel_len..];
                let first_exact = first + rough.len();
                let (row, panel_len) = (&row, self.panel_len);
                run_on(weights.set(), Rough { row, panels, panel_len, layer, first, out: rough });
                exactly(packed, layer, first_exact, exact);
            });
        });
    }

    /// Makes the greatest of some outputs of [`multiply`](Self::multiply) exact: none of the others could be greater.
    /// Those that are −∞ stay so.
    ///
    /// # Panics
    /// If a shape does not fit.
    pub fn refine(&self, layer: &Linear, x: &[f32], among: Range<usize>, out: &mut [f32]) {
        let panel = layer.weights.tile().columns;
        let slack = SURELY * DEVIATION * dot(x, x).sqrt();
        let (rough, exact) =
            (among.start..among.end.min(self.n_rough), among.start.max(self.n_rough)..among.end);
        let mut greatest = if exact.is_empty() { f32::NEG_INFINITY } else { max(&out[exact]) };
        let panels = rough.start / panel..rough.end.div_ceil(panel);
        let maxima = run_on(layer.weights.set(), Maxima(&out[..self.n_rough]));
        let Some(first) = panels.clone().max_by(|a, b| maxima[*a].total_cmp(&maxima[*b])) else { return };
        with_packed(x, layer, |packed| {
            // The one that is likely the greatest first: few others can then be greater.
            for idx in std::iter::once(first).chain(panels.filter(|idx| *idx != first)) {
                if maxima[idx] + slack * self.steps[idx] <= greatest {
                    continue;
                }
                let (mut found, start) = ([0.0; MAX_COLUMNS], idx * panel);
                exactly(packed, layer, start, &mut found[..panel]);
                let outs = (start..).zip(&mut out[start..start + panel]);
                for ((at, out), found) in outs.zip(found).filter(|((_, out), _)| out.is_finite()) {
                    *out = found;
                    if rough.contains(&at) {
                        greatest = greatest.max(found);
                    }
                }
            }
        });
    }
}

/// The greatest number of each panel.
struct Maxima<'a>(&'a [f32]);

impl Kernel for Maxima<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<f32> {
        let mut maxima = Vec::with_capacity(self.0.len() / S::TILE_COLUMNS);
        for panel in self.0.chunks_exact(S::TILE_COLUMNS) {
            maxima.push(simd.max_lane(simd.max(simd.load(panel), simd.load(&panel[S::LANES..]))));
        }
        maxima
    }
}

/// Does something with one row that is packed for a layer.
fn with_packed(x: &[f32], layer: &Linear, work: impl FnOnce(&PackedRows)) {
    let mut packed = PACKED_ROWS.take();
    packed.pack(Input::matrix(x, x.len()), &layer.weights);
    work(&packed);
    PACKED_ROWS.set(packed);
}

/// Some outputs of one row, from the first of a panel on, as [`linear`](super::linear) has them.
fn exactly(packed: &PackedRows, layer: &Linear, start: usize, out: &mut [f32]) {
    if !out.is_empty() {
        let (columns, out) = (start..start + out.len(), TileMut::whole(out, out.len()));
        multiply(packed, layer, Finish::new(layer, Epilogue::Store, 0..1, columns, out));
    }
}

/// Takes the upper bits out of a panel of weights, and adds them up.
fn upper_bits(weights: &[u32], n_in: usize, panel: usize, out: &mut [u32]) {
    let (pairs, sums) = out.split_at_mut(out.len() - panel);
    let sums: &mut [f32] = bytemuck::cast_slice_mut(sums);
    for ((pair_idx, out), pair) in pairs.chunks_exact_mut(panel).enumerate().zip(weights.chunks(2 * panel)) {
        for (half, words) in pair.chunks_exact(panel).enumerate() {
            // What stands behind the last input is nothing.
            let n_left = n_in.saturating_sub(4 * (2 * pair_idx + half));
            let inputs = if n_left < 4 { (1 << (8 * n_left)) - 1 } else { u32::MAX };
            for ((out, sum), word) in out.iter_mut().zip(&mut *sums).zip(words) {
                let bits = (word ^ SIGNS) & UPPER & inputs;
                *out |= bits >> (4 - 4 * half);
                *sum += (bits >> 4).wrapping_mul(0x0101_0101).wrapping_shr(24) as f32;
            }
        }
    }
}

/// One row of an input as bytes.
struct Row {
    words: Vec<u32>, // of a whole number of pairs
    scale: f32,
    /// The byte that stands for zero.
    zero: f32,
    /// The sum of all bytes, less those for zero.
    sum: f32,
}

struct PackRow<'a> {
    x: &'a [f32],
    n_words: usize,
}

impl Kernel for PackRow<'_> {
    type Output = Row;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Row {
        let mut words = vec![0; self.n_words.next_multiple_of(S::LANES.max(2))];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        let RowScale { scale, offset } = bytes_of_row(simd, self.x, bytes);
        bytes[self.x.len()..].fill(0);
        let zero = (-offset / scale).round_ties_even();
        let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
        Row { sum: sum as f32 - zero * self.x.len() as f32, words, scale, zero }
    }
}

/// A task: some panels of the upper bits times a row.
struct Rough<'a> {
    row: &'a Row,
    panels: &'a [u32], // from the first of the task on
    panel_len: usize,
    layer: &'a Linear,
    first: usize, // output
    out: &'a mut [f32],
}

impl Kernel for Rough<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { row, panels, panel_len, layer, first, out } = self;
        let columns = S::TILE_COLUMNS;
        let scales = &layer.weights.scales().0[first..];
        let rest = simd.splat(-MEAN * row.sum);
        let parts = out.chunks_exact_mut(columns).zip(panels.chunks_exact(panel_len));
        for ((out, panel), at) in parts.zip((0..).step_by(columns)) {
            let (pairs, sums) = panel.split_at(panel_len - columns);
            let products = upper_products(simd, &row.words, pairs);
            for (v, out) in out.chunks_exact_mut(S::LANES).enumerate() {
                let at = at + v * S::LANES;
                let sum = simd.as_f32(simd.load_words(&sums[v * S::LANES..]));
                let centred = simd.sub(products[v], simd.mul(sum, simd.splat(row.zero)));
                let steps = simd.mul_add(centred, simd.splat(16.0), rest);
                let scale = simd.mul(simd.load(&scales[at..]), simd.splat(row.scale));
                simd.store(simd.mul_add(steps, scale, simd.load(&layer.bias[first + at..])), out);
            }
        }
    }
}

/// The products of bytes with the upper bits of a panel, `[n_pairs, TILE_COLUMNS]`: whole numbers. Sums of even words
/// and of odd ones need not wait for each other.
#[inline(always)]
fn upper_products<S: Simd>(simd: S, bytes: &[u32], pairs: &[u32]) -> [S::F32; 2] {
    let zero = simd.splat_word(0);
    let (mut even, mut odd) = ([zero; 2], [zero; 2]);
    for (bytes, pair) in bytes.chunks_exact(2).zip(pairs.chunks_exact(S::TILE_COLUMNS)) {
        for v in 0..2 {
            let [low, high] = simd.nibbles(simd.load_words(&pair[v * S::LANES..]));
            even[v] = simd.dot_bytes(simd.splat_word(bytes[0]), low, even[v]);
            odd[v] = simd.dot_bytes(simd.splat_word(bytes[1]), high, odd[v]);
        }
    }
    [simd.add(simd.to_f32(even[0]), simd.to_f32(odd[0])), simd.add(simd.to_f32(even[1]), simd.to_f32(odd[1]))]
}

#[cfg(test)]
mod tests;
