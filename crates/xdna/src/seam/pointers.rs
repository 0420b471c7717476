//! Which fields of which ioctl are pointers, and how much memory each must point to.

/// What a field that is a pointer (a `u64`) must point to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointerRule {
    /// Nothing: the field must be zero.
    Null {
        /// The field's offset.
        at: usize,
    },
    /// So many bytes.
    Fixed {
        /// The field's offset.
        at: usize,
        /// Bytes.
        bytes: usize,
    },
    /// `u32` at `count_at` elements of `element` bytes.
    Counted {
        /// The field's offset.
        at: usize,
        /// Offset of the number of elements.
        count_at: usize,
        /// Bytes of an element.
        element: usize,
    },
    /// `u64` at `length_at` bytes.
    Long {
        /// The field's offset.
        at: usize,
        /// Offset of the number of bytes.
        length_at: usize,
    },
    /// `u32` at `count_at` elements of `u32` at `element_at` bytes.
    Product {
        /// The field's offset.
        at: usize,
        /// Offset of the number of elements.
        count_at: usize,
        /// Offset of the bytes of an element.
        element_at: usize,
    },
    /// No pointer, but this `u32` must have this value for the others to hold.
    Value {
        /// The field's offset.
        at: usize,
        /// The value.
        is: u32,
    },
    /// No pointer, but this `u32` must not have this value: its payload would hold pointers itself.
    Not {
        /// The field's offset.
        at: usize,
        /// The value.
        is: u32,
    },
}

impl PointerRule {
    /// The field that is a pointer, and how many bytes it needs in this `argument`: `None` if it is no pointer.
    ///
    /// # Panics
    /// If `argument` is shorter than the ioctl's struct.
    pub fn need(self, argument: &[u8]) -> Option<(usize, usize)> {
        let u32_at = |at: usize| u32::from_le_bytes(word(argument, at)) as usize;
        match self {
            Self::Null { at } => Some((at, 0)),
            Self::Fixed { at, bytes } => Some((at, bytes)),
            Self::Counted { at, count_at, element } => Some((at, u32_at(count_at).saturating_mul(element))),
            Self::Long { at, length_at } => {
                let length = u64::from_le_bytes(word(argument, length_at));
                Some((at, usize::try_from(length).unwrap_or(usize::MAX)))
            }
            Self::Product { at, count_at, element_at } => {
                Some((at, u32_at(count_at).saturating_mul(u32_at(element_at))))
            }
            Self::Value { .. } | Self::Not { .. } => None,
        }
    }

    /// Whether the rule, if it is one about a value, holds in `argument`.
    ///
    /// # Panics
    /// If `argument` is shorter than the ioctl's struct.
    pub fn holds(self, argument: &[u8]) -> bool {
        match self {
            Self::Value { at, is } => u32::from_le_bytes(word(argument, at)) == is,
            Self::Not { at, is } => u32::from_le_bytes(word(argument, at)) != is,
            _ => true,
        }
    }
}

fn word<const N: usize>(argument: &[u8], at: usize) -> [u8; N] {
    argument[at..at + N].try_into().expect("the range is N long")
}

/// The rules of every ioctl that this crate makes: `None` for all others, which a real node refuses.
pub fn rules_of(number: u32) -> Option<&'static [PointerRule]> {
    use PointerRule::{Counted, Fixed, Long, Not, Null, Product, Value};

    use crate::uapi;
    const EXT: PointerRule = Null { at: 0 };
    const RULES: &[(u32, &[PointerRule])] = &[
        (uapi::CREATE_HWCTX.number, &[EXT, Fixed { at: 16, bytes: size_of::<uapi::QosInfo>() }]),
        (uapi::DESTROY_HWCTX.number, &[]),
        // Other parameters than CONFIG_CU are handles, which this crate does not use.
        (uapi::CONFIG_HWCTX.number, &[Value { at: 4, is: 0 }, Counted { at: 8, count_at: 16, element: 1 }]),
        (uapi::CREATE_BO.number, &[Null { at: 8 }]),
        (uapi::GET_BO_INFO.number, &[EXT]),
        (uapi::SYNC_BO.number, &[]),
        // One command: then its field is a handle and not a pointer.
        (
            uapi::EXEC_CMD.number,
            &[EXT, Value { at: 40, is: 1 }, Counted { at: 32, count_at: 44, element: 4 }],
        ),
        (uapi::GET_INFO.number, &[Not { at: 0, is: 0 }, Counted { at: 8, count_at: 4, element: 1 }]),
        (uapi::GET_ARRAY.number, &[Product { at: 16, count_at: 8, element_at: 4 }]),
        (
            uapi::VERSION.number,
            &[Long { at: 24, length_at: 16 }, Long { at: 40, length_at: 32 }, Long { at: 56, length_at: 48 }],
        ),
        (uapi::GEM_CLOSE.number, &[]),
        (uapi::SYNCOBJ_CREATE.number, &[]),
        (uapi::SYNCOBJ_DESTROY.number, &[]),
        (
            uapi::SYNCOBJ_TIMELINE_WAIT.number,
            &[Counted { at: 0, count_at: 24, element: 4 }, Counted { at: 8, count_at: 24, element: 8 }],
        ),
        (
            uapi::SYNCOBJ_QUERY.number,
            &[Counted { at: 0, count_at: 16, element: 4 }, Counted { at: 8, count_at: 16, element: 8 }],
        ),
    ];
    RULES.iter().find(|(known, _)| *known == number).map(|(_, rules)| *rules)
}
