//! Outputs in the rough, from half of the bits of each weight.

use std::cell::RefCell;
use std::ops::Range;

use super::rows::{PackedRows, RowScale, bytes_of_row};
use super::{
    Epilogue, Finish, Input, Linear, MAX_COLUMNS, PACKED_ROWS, Precision, columns_per_task, multiply,
};
use crate::arch::{Kernel, Simd, left_byte, run_on};
use crate::line::Aligned;
use crate::threads::{Threads, TileMut};
use crate::vector::{dot, max};

/// An output is further from what it is in the rough than so many standard deviations once in a thousand million, if
/// the lower bits of weights have nothing to do with the input.
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
    /// `[n_panels, n_pairs + 2, panel]`: the upper bits of the weights in an even word and, above them, in the next; then
    /// of each output the sum of these and the mean of the lower bits, both f32.
    panels: Aligned,
    /// Words of a panel in `panels`.
    panel_len: usize,
    /// Of each panel, the greatest standard deviation of an output's lower bits, in what they are worth.
    deviations: Vec<f32>,
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
        let panel_len = (weights.n_words().div_ceil(2) + 2) * panel;
        let mut panels = Aligned::zeroed(n_panels * panel_len);
        let mut deviations = vec![0.0; n_panels];
        let parts = panels.words_mut().chunks_exact_mut(panel_len).zip(&mut deviations);
        let mut parts: Vec<_> = parts.collect();
        let steps = weights.scales().0;
        threads.for_each_chunk(&mut parts, 1, |idx, parts| {
            for (out, deviation) in parts {
                let deviations = split(weights.panel(idx), weights.n_in(), panel, out);
                let steps = &steps[idx * panel..];
                **deviation = deviations.zip(steps).map(|(bits, step)| bits * step).fold(0.0, f32::max);
            }
        });
        Self { panels, panel_len, deviations, n_rough: n_panels * panel }
    }

    /// `out = x · wᵀ + bias` for one row, `[n_in]`; `out` is `[n_out]`, its first outputs in the rough.
    ///
    /// # Panics
    /// If a shape does not fit.
    pub fn multiply(&self, threads: &Threads, layer: &Linear, x: &[f32], out: &mut [f32]) {
        let weights = &layer.weights;
        assert_eq!([x.len(), out.len()], [weights.n_in(), weights.n_out()], "x or out is not one row");
        let panel = weights.tile().columns;
        let mut row = ROW.take();
        run_on(weights.set(), PackRow { x, n_words: weights.n_words(), row: &mut row });
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
        ROW.set(row);
    }

    /// Makes the greatest of some outputs of [`multiply`](Self::multiply) exact: as good as surely none of the others is
    /// greater. Those that are −∞ stay so.
    ///
    /// # Panics
    /// If a shape does not fit.
    pub fn refine(&self, layer: &Linear, x: &[f32], among: Range<usize>, out: &mut [f32]) {
        let panel = layer.weights.tile().columns;
        let slack = SURELY * dot(x, x).sqrt();
        let (rough, exact) =
            (among.start..among.end.min(self.n_rough), among.start.max(self.n_rough)..among.end);
        let mut greatest = if exact.is_empty() { f32::NEG_INFINITY } else { max(&out[exact]) };
        let panels = rough.start / panel..rough.end.div_ceil(panel);
        if panels.is_empty() {
            return;
        }
        let mut maxima = MAXIMA.take();
        run_on(layer.weights.set(), Maxima { numbers: &out[..self.n_rough], maxima: &mut maxima });
        let first = panels.clone().max_by(|a, b| maxima[*a].total_cmp(&maxima[*b]));
        let first = first.expect("there is a panel");
        // The one that is likely the greatest first: few others can then be greater.
        let panels = std::iter::once(first).chain(panels.filter(|idx| *idx != first));
        with_packed(x, layer, |packed| {
            for idx in panels {
                if maxima[idx] + slack * self.deviations[idx] <= greatest {
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
        MAXIMA.set(maxima);
    }
}

thread_local! {
    static ROW: RefCell<Row> = RefCell::default();
    static MAXIMA: RefCell<Vec<f32>> = RefCell::default();
}

/// Finds the greatest number of each panel.
struct Maxima<'a> {
    numbers: &'a [f32],
    maxima: &'a mut Vec<f32>,
}

impl Kernel for Maxima<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.maxima.clear();
        for panel in self.numbers.chunks_exact(S::TILE_COLUMNS) {
            self.maxima.push(simd.max_lane(simd.max(simd.load(panel), simd.load(&panel[S::LANES..]))));
        }
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

/// Takes the upper bits out of a panel of weights, with their sums and the means of the lower bits. Returns the
/// standard deviations of these.
fn split<'a>(
    weights: &[u32],
    n_in: usize,
    panel: usize,
    out: &'a mut [u32],
) -> impl Iterator<Item = f32> + 'a {
    let (pairs, numbers) = out.split_at_mut(out.len() - 2 * panel);
    let (sums, means) = bytemuck::cast_slice_mut::<_, f32>(numbers).split_at_mut(panel);
    let mut squares = vec![0.0; panel];
    for (idx, (out, pair)) in pairs.chunks_exact_mut(panel).zip(weights.chunks(2 * panel)).enumerate() {
        for (half, words) in pair.chunks_exact(panel).enumerate() {
            // What stands behind the last input is nothing.
            let n_left = n_in.saturating_sub(4 * (2 * idx + half));
            let inputs = if n_left < 4 { (1 << (8 * n_left)) - 1 } else { u32::MAX };
            for (i, word) in words.iter().enumerate() {
                let word = (word ^ SIGNS) & inputs;
                let (upper, lower) = (word & UPPER, word & !UPPER);
                out[i] |= upper >> (4 - 4 * half);
                sums[i] += sum_of_bytes(upper >> 4);
                means[i] += sum_of_bytes(lower);
                squares[i] +=
                    lower.to_le_bytes().map(|bits| u32::from(bits) * u32::from(bits)).iter().sum::<u32>()
                        as f32;
            }
        }
    }
    let n = n_in as f32;
    means.iter_mut().for_each(|mean| *mean /= n);
    let means = &*means;
    squares.into_iter().zip(means).map(move |(squares, mean)| (squares / n - mean * mean).max(0.0).sqrt())
}

/// The sum of four small bytes.
fn sum_of_bytes(word: u32) -> f32 {
    (word.wrapping_mul(0x0101_0101) >> 24) as f32
}

/// One row of an input as bytes.
#[derive(Default)]
struct Row {
    words: Aligned, // a whole number of pairs
    scale: f32,
    /// The byte that stands for zero.
    zero: f32,
    /// The sum of all bytes, less those for zero.
    sum: f32,
}

struct PackRow<'a> {
    x: &'a [f32],
    n_words: usize,
    row: &'a mut Row,
}

impl Kernel for PackRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, n_words, row } = self;
        let bytes = bytemuck::cast_slice_mut(row.words.at_least(n_words.next_multiple_of(S::LANES.max(2))));
        let RowScale { scale, offset } = bytes_of_row(simd, x, bytes);
        bytes[x.len()..].fill(0);
        let sum: i32 = bytes.iter().map(|byte| left_byte::<S>(*byte)).sum();
        (row.scale, row.zero) = (scale, (-offset / scale).round_ties_even());
        row.sum = sum as f32 - row.zero * x.len() as f32;
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
        let parts = out.chunks_exact_mut(columns).zip(panels.chunks_exact(panel_len));
        for ((out, panel), at) in parts.zip((0..).step_by(columns)) {
            let (pairs, numbers) = panel.split_at(panel_len - 2 * columns);
            let products = upper_products(simd, row.words.words(), pairs);
            for (v, out) in out.chunks_exact_mut(S::LANES).enumerate() {
                let number = |from: usize| simd.as_f32(simd.load_words(&numbers[from + v * S::LANES..]));
                let (at, sum, mean) = (at + v * S::LANES, number(0), number(columns));
                // A weight is 16 times its upper bits and its lower ones, less what turning its sign has added.
                let upper = simd.sub(products[v], simd.mul(sum, simd.splat(row.zero)));
                let lower = simd.mul(simd.sub(mean, simd.splat(128.0)), simd.splat(row.sum));
                let steps = simd.mul_add(upper, simd.splat(16.0), lower);
                let scale = simd.mul(simd.load(&scales[at..]), simd.splat(row.scale));
                simd.store(simd.mul_add(steps, scale, simd.load(&layer.bias[first + at..])), out);
            }
        }
    }
}

/// How far ahead, in bytes, panels of upper bits are asked for, which come from memory.
const BYTES_AHEAD: usize = 2048;

/// The products of bytes with the upper bits of a panel, `[n_pairs, TILE_COLUMNS]`: whole numbers. Sums of even words
/// and of odd ones need not wait for each other.
#[inline(always)]
fn upper_products<S: Simd>(simd: S, bytes: &[u32], pairs: &[u32]) -> [S::F32; 2] {
    let zero = simd.splat_word(0);
    let (mut even, mut odd) = ([zero; 2], [zero; 2]);
    for (bytes, pair) in bytes.chunks_exact(2).zip(pairs.chunks_exact(S::TILE_COLUMNS)) {
        simd.prefetch(pair, BYTES_AHEAD);
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
