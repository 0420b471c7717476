//! What is at which address of a tile. What is not here is not modelled, and refused.

use aie2::PROGRAM_MEMORY_BYTES;
use xdna::array::{CORE_CONTROL, CORE_STATUS, Direction, PROGRAM_AT, SHIM_DEMUX, SHIM_MUX, TileKind};

use super::{Body, Name, Refusal, Tile, refuse};
use crate::core::DATA_MEMORY_BYTES;

/// Bytes of the switch's registers: masters, slaves, packet slots.
const SWITCH_BYTES: u32 = 0x400;
/// Bytes of a lock's register, and of a descriptor's.
const LOCK_STRIDE: u32 = 0x10;
const DESCRIPTOR_STRIDE: u32 = 0x20;

/// What lies at an address.
enum What {
    /// A byte offset in data memory.
    Data(usize),
    /// A byte offset in program memory.
    Program(usize),
    Lock(u8),
    /// A descriptor, and a word of it.
    Descriptor(u8, usize),
    Control(Direction, u8),
    Queue(Direction, u8),
    /// An offset from the switch's first register.
    Switch(u32),
    CoreControl,
    CoreStatus,
    Mux,
    Demux,
    /// Isolation, clocks and resets of modules: tools set them up, and nothing here depends on them.
    Quiet,
}

fn what(kind: TileKind, offset: u32) -> Option<What> {
    let data_bytes = match kind {
        TileKind::Shim => 0,
        TileKind::Mem => super::MEM_TILE_BYTES,
        TileKind::Core => DATA_MEMORY_BYTES,
    };
    if (offset as usize) < data_bytes {
        return Some(What::Data(offset as usize));
    }
    let within = |start: u32, bytes: u32| (start..start + bytes).contains(&offset).then(|| offset - start);
    if let Some(at) = within(kind.locks_at(), u32::from(kind.n_locks()) * LOCK_STRIDE) {
        return at.is_multiple_of(LOCK_STRIDE).then_some(What::Lock((at / LOCK_STRIDE) as u8));
    }
    if let Some(at) = within(kind.descriptors_at(), u32::from(kind.n_descriptors()) * DESCRIPTOR_STRIDE) {
        let word = (at % DESCRIPTOR_STRIDE / 4) as usize;
        return (word < kind.descriptor_words())
            .then_some(What::Descriptor((at / DESCRIPTOR_STRIDE) as u8, word));
    }
    for direction in [Direction::S2mm, Direction::Mm2s] {
        if let Some(at) = within(kind.channels_at(direction), u32::from(kind.n_channels()) * 8) {
            let channel = (at / 8) as u8;
            let is_control = at % 8 == 0;
            return Some(if is_control {
                What::Control(direction, channel)
            } else {
                What::Queue(direction, channel)
            });
        }
    }
    if let Some(at) = within(kind.switch_at(), SWITCH_BYTES) {
        return Some(What::Switch(at));
    }
    match (kind, offset) {
        (TileKind::Core, PROGRAM_AT..) if offset < PROGRAM_AT + PROGRAM_MEMORY_BYTES as u32 => {
            Some(What::Program((offset - PROGRAM_AT) as usize))
        }
        (TileKind::Core, CORE_CONTROL) => Some(What::CoreControl),
        (TileKind::Core, CORE_STATUS) => Some(What::CoreStatus),
        (TileKind::Shim, SHIM_MUX) => Some(What::Mux),
        (TileKind::Shim, SHIM_DEMUX) => Some(What::Demux),
        (TileKind::Core, 0x3_6030 | 0x6_0000 | 0x6_0010)
        | (TileKind::Mem, 0x9_6030 | 0xF_FF00 | 0xF_FF10)
        | (TileKind::Shim, 0x3_6030 | 0xF_FF00 | 0xF_FF04 | 0xF_FF10 | 0xF_FF14 | 0xF_FF20 | 0xF_FF28) => {
            Some(What::Quiet)
        }
        _ => None,
    }
}

fn unknown<T>(tile: &Tile, offset: u32) -> Result<T, Refusal> {
    refuse!("{}: register {offset:#07x} is not modelled", Name(tile.place))
}

/// Writes a register.
pub(super) fn write(tile: &mut Tile, offset: u32, value: u32) -> Result<(), Refusal> {
    let Some(what) = what(tile.kind, offset) else { return unknown(tile, offset) };
    let name = Name(tile.place);
    match (what, &mut tile.body) {
        (What::Data(at), Body::Mem { data, .. }) => data[at..at + 4].copy_from_slice(&value.to_le_bytes()),
        (What::Data(at), Body::Core { module, .. }) => {
            module.data[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        (What::Program(at), Body::Core { compute, .. }) => compute.write(at, value),
        (What::CoreControl, Body::Core { compute, .. }) => {
            if value > 3 {
                refuse!("{name}: core control {value:#x}: bits beyond enable and reset are not modelled")
            }
            compute.control(value);
        }
        (What::Lock(id), body) => {
            let set = match body {
                Body::Shim { locks, .. } => locks.set(id, value as i32),
                Body::Mem { locks, .. } => locks.set(id, value as i32),
                Body::Core { module, .. } => module.locks.set(id, value as i32),
            };
            if let Err(error) = set {
                refuse!("{name}: {error}")
            }
        }
        (What::Descriptor(number, word), _) => {
            let (kind, descriptors) = (tile.kind, &tile.descriptors);
            if tile.channels.iter().any(|channel| channel.uses(descriptors, kind, number)) {
                refuse!("{name}: buffer descriptor {number} is written while a task that uses it is not done")
            }
            tile.descriptors[usize::from(number)][word] = value;
        }
        (What::Control(direction, channel), _) => {
            let idx = tile.channel_idx(direction, channel);
            if let Err(reason) = tile.channels[idx].set_control(value) {
                refuse!("{name}: control of {direction} channel {channel} = {reason}")
            }
        }
        (What::Queue(direction, channel), _) => tile.push_task(direction, channel, value)?,
        (What::Switch(at), _) => match tile.switch.register(at) {
            Some(register) => *register = value,
            None => return unknown(tile, offset),
        },
        (What::Mux, Body::Shim { mux, .. }) => *mux = value,
        (What::Demux, Body::Shim { demux, .. }) => *demux = value,
        (What::Quiet, _) => {}
        _ => return unknown(tile, offset),
    }
    Ok(())
}

/// Reads a register.
pub(super) fn read(tile: &mut Tile, offset: u32) -> Result<u32, Refusal> {
    let Some(what) = what(tile.kind, offset) else { return unknown(tile, offset) };
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
    Ok(match (what, &tile.body) {
        (What::Data(at), Body::Mem { data, .. }) => word(&data[at..at + 4]),
        (What::Data(at), Body::Core { module, .. }) => word(&module.data[at..at + 4]),
        (What::CoreControl, Body::Core { compute, .. }) => compute.control_word(),
        (What::CoreStatus, Body::Core { compute, .. }) => compute.status(),
        (What::Lock(id), body) => match body {
            Body::Shim { locks, .. } => locks.value(id) as u32,
            Body::Mem { locks, .. } => locks.value(id) as u32,
            Body::Core { module, .. } => module.locks.value(id) as u32,
        },
        (What::Descriptor(number, word), _) => tile.descriptors[usize::from(number)][word],
        (What::Control(direction, channel), _) => tile.channels[tile.channel_idx(direction, channel)].control,
        (What::Switch(at), _) => match tile.switch.register(at) {
            Some(register) => *register,
            None => return unknown(tile, offset),
        },
        (What::Mux, Body::Shim { mux, .. }) => *mux,
        (What::Demux, Body::Shim { demux, .. }) => *demux,
        (What::Quiet, _) => 0,
        _ => return unknown(tile, offset),
    })
}
