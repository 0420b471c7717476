//! Buffer descriptors: what a DMA channel moves, in which order, and which locks it takes for it.

use super::TileKind;

/// A dimension of the walk through memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dimension {
    /// Words from one element to the next.
    pub step: u32,
    /// Elements before the next dimension moves on; 0: no end.
    pub wrap: u32,
}

impl Default for Dimension {
    /// Word after word.
    fn default() -> Self {
        Self { step: 1, wrap: 0 }
    }
}

/// How the start moves from one use of the descriptor to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Iteration {
    /// Words.
    pub step: u32,
    /// Uses before it starts again.
    pub wrap: u32,
    /// Where it is, from 0.
    pub current: u32,
}

impl Default for Iteration {
    /// It does not move.
    fn default() -> Self {
        Self { step: 1, wrap: 1, current: 0 }
    }
}

/// A lock, and what is asked of it or added to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockUse {
    /// The lock, as the tile's DMA numbers it.
    pub id: u8,
    /// Acquired: −n waits for at least n, n for exactly n, and n is taken. Released: n is added.
    pub value: i8,
}

/// A buffer descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Descriptor {
    /// Words to move.
    pub length: u32,
    /// The first byte: in the tile's memory as its DMA sees it, or for a shim in the host's.
    pub address: u64,
    /// The innermost dimension first; the last one that a tile kind has knows no wrap. A shim and a core have three.
    pub dimensions: [Dimension; 4],
    /// How the start moves.
    pub iteration: Iteration,
    /// Taken before.
    pub acquire: Option<LockUse>,
    /// Given after.
    pub release: Option<LockUse>,
    /// The descriptor that follows.
    pub next: Option<u8>,
    /// Whether it may be used at all.
    pub is_valid: bool,
    /// A shim's bursts: 0 to 3.
    pub burst: u8,
    /// What it says that this type has no room for: packets, padding, compression.
    pub extras: Extras,
}

/// Bits of a descriptor that only special uses have, as they lie in its words.
pub type Extras = [u32; 8];

/// Bits of a word: the lowest, and how many.
#[derive(Clone, Copy)]
struct Bits(u32, u32);

impl Bits {
    fn get(self, word: u32) -> u32 {
        word >> self.0 & self.mask()
    }

    fn put(self, value: u32) -> u32 {
        (value & self.mask()) << self.0
    }

    fn mask(self) -> u32 {
        (1 << self.1) - 1
    }
}

/// Where step and wrap of the dimensions lie: word and bits of each.
type Walk = [(Option<(usize, Bits)>, Option<(usize, Bits)>); 4];

/// Where everything lies in the words of a tile kind.
struct Places {
    walk: Walk,
    iteration: (usize, [Bits; 3]),
    /// The word with locks and flags, and: acquire enable, value, id, release value, id, valid.
    locks: (usize, [Bits; 6]),
    next: (usize, Bits, Bits),
}

fn places(kind: TileKind) -> Places {
    let at = |word, low, width| Some((word, Bits(low, width)));
    match kind {
        TileKind::Core => Places {
            walk: [
                (at(2, 0, 13), at(3, 13, 8)),
                (at(2, 13, 13), at(3, 21, 8)),
                (at(3, 0, 13), None),
                (None, None),
            ],
            iteration: (4, [Bits(0, 13), Bits(13, 6), Bits(19, 6)]),
            locks: (5, LOCKS),
            next: (5, Bits(26, 1), Bits(27, 4)),
        },
        TileKind::Shim => Places {
            walk: [
                (at(3, 0, 20), at(3, 20, 10)),
                (at(4, 0, 20), at(4, 20, 10)),
                (at(5, 0, 20), None),
                (None, None),
            ],
            iteration: (6, [Bits(0, 20), Bits(20, 6), Bits(26, 6)]),
            locks: (7, LOCKS),
            next: (7, Bits(26, 1), Bits(27, 4)),
        },
        TileKind::Mem => Places {
            walk: [
                (at(2, 0, 17), at(2, 17, 10)),
                (at(3, 0, 17), at(3, 17, 10)),
                (at(4, 0, 17), at(4, 17, 10)),
                (at(5, 0, 17), None),
            ],
            iteration: (6, [Bits(0, 17), Bits(17, 6), Bits(23, 6)]),
            locks: (7, [Bits(15, 1), Bits(8, 7), Bits(0, 8), Bits(24, 7), Bits(16, 8), Bits(31, 1)]),
            next: (1, Bits(19, 1), Bits(20, 6)),
        },
    }
}

/// Locks and flags of cores and shims.
const LOCKS: [Bits; 6] = [Bits(12, 1), Bits(5, 7), Bits(0, 4), Bits(18, 7), Bits(13, 4), Bits(25, 1)];

/// Sign-extends 7 bits.
fn signed(value: u32) -> i8 {
    ((value << 1) as u8 as i8) >> 1
}

impl Descriptor {
    /// A descriptor that moves `length` words from or to `address`, one after the other.
    pub fn linear(address: u64, length: u32) -> Self {
        Self { address, length, is_valid: true, ..Self::default() }
    }

    /// Reads a descriptor of a tile kind.
    ///
    /// # Panics
    /// If `words` are fewer than the kind has.
    pub fn decode(kind: TileKind, words: &[u32]) -> Self {
        let places = places(kind);
        let value = |(word, bits): (usize, Bits)| bits.get(words[word]);
        let dimension = |place: usize| Dimension {
            step: places.walk[place].0.map_or(0, value) + 1,
            wrap: places.walk[place].1.map_or(0, value),
        };
        let (word, iteration) = places.iteration;
        let (lock_word, locks) = places.locks;
        let [acquire, acquire_value, acquire_id, release_value, release_id, valid] =
            locks.map(|bits| bits.get(words[lock_word]));
        let (next_word, use_next, next) = places.next;
        let (length, address) = match kind {
            TileKind::Core => (words[0] & 0x3FFF, u64::from(words[0] >> 14 & 0x3FFF) * 4),
            TileKind::Mem => (words[0] & 0x1_FFFF, u64::from(words[1] & 0x7_FFFF) * 4),
            TileKind::Shim => (words[0], u64::from(words[1] & !3) | u64::from(words[2] & 0xFFFF) << 32),
        };
        let mut found = Self {
            length,
            address,
            dimensions: std::array::from_fn(dimension),
            iteration: Iteration {
                step: iteration[0].get(words[word]) + 1,
                wrap: iteration[1].get(words[word]) + 1,
                current: iteration[2].get(words[word]),
            },
            acquire: (acquire != 0).then(|| LockUse { id: acquire_id as u8, value: signed(acquire_value) }),
            release: (release_value != 0)
                .then(|| LockUse { id: release_id as u8, value: signed(release_value) }),
            next: (use_next.get(words[next_word]) != 0).then(|| next.get(words[next_word]) as u8),
            is_valid: valid != 0,
            burst: if kind == TileKind::Shim { (words[4] >> 30) as u8 } else { 0 },
            extras: [0; 8],
        };
        let known = found.encode(kind);
        for (idx, word) in known.iter().enumerate() {
            // A lock's or a successor's number without its enable bit is no use of it.
            let ignored = if idx == lock_word { ignored_locks(&found, locks) } else { 0 };
            let ignored = ignored | if idx == next_word { next.put(u32::MAX) } else { 0 };
            found.extras[idx] = words[idx] & !word & !ignored;
        }
        found
    }

    /// The descriptor's words, as many as the tile kind has.
    ///
    /// # Panics
    /// If a step is 0, or an iteration's wrap.
    pub fn encode(&self, kind: TileKind) -> Vec<u32> {
        let places = places(kind);
        let mut words = vec![0; kind.descriptor_words()];
        match kind {
            TileKind::Core => words[0] = self.length & 0x3FFF | ((self.address / 4) as u32 & 0x3FFF) << 14,
            TileKind::Mem => {
                words[0] = self.length & 0x1_FFFF;
                words[1] = (self.address / 4) as u32 & 0x7_FFFF;
            }
            TileKind::Shim => {
                words[0] = self.length;
                words[1] = self.address as u32 & !3;
                words[2] = (self.address >> 32) as u32 & 0xFFFF;
                words[4] = u32::from(self.burst & 3) << 30;
            }
        }
        for (dimension, (step, wrap)) in self.dimensions.iter().zip(places.walk) {
            assert!(dimension.step > 0, "a step of 0 words");
            if let Some((word, bits)) = step {
                words[word] |= bits.put(dimension.step - 1);
            }
            if let Some((word, bits)) = wrap {
                words[word] |= bits.put(dimension.wrap);
            }
        }
        let (word, [step, wrap, current]) = places.iteration;
        assert!(self.iteration.step > 0 && self.iteration.wrap > 0, "an iteration of 0");
        words[word] |= step.put(self.iteration.step - 1) | wrap.put(self.iteration.wrap - 1);
        words[word] |= current.put(self.iteration.current);
        let (word, [enable, acquire_value, acquire_id, release_value, release_id, valid]) = places.locks;
        if let Some(LockUse { id, value }) = self.acquire {
            words[word] |= enable.put(1) | acquire_value.put(value as u32) | acquire_id.put(id.into());
        }
        if let Some(LockUse { id, value }) = self.release {
            words[word] |= release_value.put(value as u32) | release_id.put(id.into());
        }
        words[word] |= valid.put(self.is_valid.into());
        if let Some(following) = self.next {
            let (word, use_next, next) = places.next;
            words[word] |= use_next.put(1) | next.put(following.into());
        }
        words
    }
}

/// The bits of lock numbers and values that stand there without effect.
fn ignored_locks(found: &Descriptor, bits: [Bits; 6]) -> u32 {
    let [_, acquire_value, acquire_id, _, release_id, _] = bits;
    let acquire =
        if found.acquire.is_none() { acquire_value.put(u32::MAX) | acquire_id.put(u32::MAX) } else { 0 };
    let release = if found.release.is_none() { release_id.put(u32::MAX) } else { 0 };
    acquire | release
}

#[cfg(test)]
mod tests;
