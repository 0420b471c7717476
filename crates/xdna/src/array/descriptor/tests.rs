use proptest::prelude::*;

use super::*;

#[test]
fn descriptors_of_compiled_kernels_read_right() {
    // 512 words at byte 0x1400; takes 1 from lock 0, gives 1 to lock 1, goes on with descriptor 1.
    let found = Descriptor::decode(TileKind::Core, &[0x0140_0200, 0, 0, 0, 0, 0x0E04_3FE0]);
    assert_eq!((found.length, found.address, found.is_valid), (512, 0x1400, true));
    assert_eq!(found.acquire, Some(LockUse { id: 0, value: -1 }));
    assert_eq!(found.release, Some(LockUse { id: 1, value: 1 }));
    assert_eq!((found.next, found.extras), (Some(1), [0; 8]));
    // The shim's of a stream; its caching attributes are not the walk's matter.
    let words = [200, 0x1000, 0x2, 0, 0x8000_0000, 0x0200_0000, 0, 0x0200_0000];
    let found = Descriptor::decode(TileKind::Shim, &words);
    assert_eq!((found.length, found.address, found.burst), (200, 0x2_0000_1000, 2));
    assert_eq!((found.next, found.acquire, found.extras), (None, None, [0, 0, 0, 0, 0, 0x0200_0000, 0, 0]));
}

/// A field as the facts give it: its word, highest and lowest bit, and what it is in a descriptor.
type Field = (usize, u32, u32, fn(&Descriptor) -> u64);

fn step<const N: usize>(found: &Descriptor) -> u64 {
    u64::from(found.dimensions[N].step - 1)
}

fn wrap<const N: usize>(found: &Descriptor) -> u64 {
    found.dimensions[N].wrap.into()
}

/// The iteration's step, wrap and current.
fn iteration<const N: usize>(found: &Descriptor) -> u64 {
    let Iteration { step, wrap, current } = found.iteration;
    [step - 1, wrap - 1, current][N].into()
}

/// The number and the value in seven bits of a lock's use.
fn lock<const N: usize>(found: Option<LockUse>) -> u64 {
    found.map_or(0, |lock| [u64::from(lock.id), u64::from(lock.value as u8 & 0x7F)][N])
}

/// Locks, successor and valid bit of core tiles and shims.
const fn last_word(word: usize) -> [Field; 8] {
    [
        (word, 3, 0, |found| lock::<0>(found.acquire)),
        (word, 11, 5, |found| lock::<1>(found.acquire)),
        (word, 12, 12, |found| found.acquire.is_some().into()),
        (word, 16, 13, |found| lock::<0>(found.release)),
        (word, 24, 18, |found| lock::<1>(found.release)),
        (word, 25, 25, |found| found.is_valid.into()),
        (word, 26, 26, |found| found.next.is_some().into()),
        (word, 30, 27, |found| found.next.unwrap_or(0).into()),
    ]
}

const CORE: [Field; 10] = [
    (0, 13, 0, |found| found.length.into()),
    (0, 27, 14, |found| found.address / 4),
    (2, 12, 0, step::<0>),
    (2, 25, 13, step::<1>),
    (3, 12, 0, step::<2>),
    (3, 20, 13, wrap::<0>),
    (3, 28, 21, wrap::<1>),
    (4, 12, 0, iteration::<0>),
    (4, 18, 13, iteration::<1>),
    (4, 24, 19, iteration::<2>),
];

const SHIM: [Field; 12] = [
    (0, 31, 0, |found| found.length.into()),
    (1, 31, 2, |found| (found.address & 0xFFFF_FFFF) / 4),
    (2, 15, 0, |found| found.address >> 32),
    (3, 19, 0, step::<0>),
    (3, 29, 20, wrap::<0>),
    (4, 19, 0, step::<1>),
    (4, 29, 20, wrap::<1>),
    (4, 31, 30, |found| found.burst.into()),
    (5, 19, 0, step::<2>),
    (6, 19, 0, iteration::<0>),
    (6, 25, 20, iteration::<1>),
    (6, 31, 26, iteration::<2>),
];

const MEM: [Field; 20] = [
    (0, 16, 0, |found| found.length.into()),
    (1, 18, 0, |found| found.address / 4),
    (1, 19, 19, |found| found.next.is_some().into()),
    (1, 25, 20, |found| found.next.unwrap_or(0).into()),
    (2, 16, 0, step::<0>),
    (2, 26, 17, wrap::<0>),
    (3, 16, 0, step::<1>),
    (3, 26, 17, wrap::<1>),
    (4, 16, 0, step::<2>),
    (4, 26, 17, wrap::<2>),
    (5, 16, 0, step::<3>),
    (6, 16, 0, iteration::<0>),
    (6, 22, 17, iteration::<1>),
    (6, 28, 23, iteration::<2>),
    (7, 7, 0, |found| lock::<0>(found.acquire)),
    (7, 14, 8, |found| lock::<1>(found.acquire)),
    (7, 15, 15, |found| found.acquire.is_some().into()),
    (7, 23, 16, |found| lock::<0>(found.release)),
    (7, 30, 24, |found| lock::<1>(found.release)),
    (7, 31, 31, |found| found.is_valid.into()),
];

#[test]
fn every_bit_is_of_the_field_that_the_facts_say() {
    // Where numbers count only with a bit beside them, that bit is set: a successor, an acquire, a release by one.
    let kinds: [(TileKind, Vec<Field>, [u32; 8]); 3] = [
        (TileKind::Core, [&CORE[..], &last_word(5)].concat(), [0, 0, 0, 0, 0, 0x0404_1000, 0, 0]),
        (TileKind::Shim, [&SHIM[..], &last_word(7)].concat(), [0, 0, 0, 0, 0, 0, 0, 0x0404_1000]),
        (TileKind::Mem, MEM.to_vec(), [0, 1 << 19, 0, 0, 0, 0, 0, 0x0100_8000]),
    ];
    for (kind, fields, plain) in kinds {
        let plain = &plain[..kind.descriptor_words()];
        let values = |words: &[u32]| {
            let found = Descriptor::decode(kind, words);
            fields.iter().map(|(.., value)| value(&found)).collect::<Vec<_>>()
        };
        for (idx, (word, high, low, _)) in fields.iter().enumerate() {
            for bit in *low..=*high {
                let mut words = plain.to_vec();
                words[*word] ^= 1 << bit;
                let mut expected = values(plain);
                expected[idx] ^= 1 << (bit - low);
                assert_eq!(values(&words), expected, "{kind:?}, word {word}, bit {bit}");
            }
        }
    }
}

proptest! {
    #[test]
    fn words_are_kept(words in prop::array::uniform8(any::<u32>())) {
        for kind in [TileKind::Core, TileKind::Mem, TileKind::Shim] {
            let words = &words[..kind.descriptor_words()];
            let found = Descriptor::decode(kind, words);
            let encoded = found.encode(kind);
            // All that is not kept are extras, and numbers without effect.
            prop_assert_eq!(Descriptor::decode(kind, &encoded), Descriptor { extras: [0; 8], ..found });
            for (idx, word) in encoded.iter().enumerate() {
                prop_assert_eq!(word & !words[idx], 0);
            }
        }
    }
}
