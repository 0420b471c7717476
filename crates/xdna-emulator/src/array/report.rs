//! What everything waits for, when nothing moves.

use std::fmt::Write as _;

use xdna::array::{Direction, Tile as Place};

use super::{Array, Body, Name, Tile};
use crate::core::{Locks, Stop};
use crate::firmware::CoreReport;

impl Array {
    /// The state of all that is not at rest: channels, cores, and the lock table.
    pub(crate) fn report(&self) -> String {
        let mut out = String::new();
        for tile in &self.tiles {
            for direction in [Direction::S2mm, Direction::Mm2s] {
                for channel in 0..tile.kind.n_channels() {
                    self.channel_line(tile, direction, channel, &mut out);
                }
            }
            core_line(tile, &mut out);
        }
        for tile in &self.tiles {
            match &tile.body {
                Body::Shim { locks, .. } => lock_line(tile, locks, &mut out),
                Body::Mem { locks, .. } => lock_line(tile, locks, &mut out),
                Body::Core { module, .. } => lock_line(tile, &module.locks, &mut out),
            }
        }
        out
    }

    /// The cores that have run.
    pub(crate) fn cores(&self) -> Vec<CoreReport> {
        let core = |tile: &Tile| {
            let Body::Core { compute, .. } = &tile.body else { return None };
            let (core, _) = compute.started()?;
            let Place { col, row } = tile.place;
            Some(CoreReport { col, row, cycles: core.cycles(), stack_high: core.stack_high() })
        };
        self.tiles.iter().filter_map(core).collect()
    }

    fn channel_line(&self, tile: &Tile, direction: Direction, channel: u8, out: &mut String) {
        let state = &tile.channels[tile.channel_idx(direction, channel)];
        let Some(current) = &state.current else { return };
        let waits = match current.descriptor.acquire {
            Some(lock) if !current.is_acquired => {
                format!("waits for lock {} (request {})", lock.id, lock.value)
            }
            _ if direction == Direction::S2mm => "waits for words of its stream".to_owned(),
            _ => "waits for room at the end of its route, or has no route".to_owned(),
        };
        let (done, length, number) = (current.done, current.descriptor.length, current.number);
        line(
            out,
            format_args!(
                "{}: {direction} channel {channel}, buffer descriptor {number}, {done} of {length} words: {waits}",
                Name(tile.place)
            ),
        );
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "  {text}").expect("a string takes everything");
}

fn core_line(tile: &Tile, out: &mut String) {
    let Body::Core { compute, .. } = &tile.body else { return };
    let Some((core, stop)) = compute.started() else { return };
    let name = Name(tile.place);
    let (pc, cycles) = (core.pc(), core.cycles());
    match stop {
        Some(Stop::Blocked { lock, request }) => line(
            out,
            format_args!(
                "{name}: core at pc {pc:#06x} after {cycles} bundles: waits for its lock {lock} (request {request})"
            ),
        ),
        Some(Stop::Done) => line(out, format_args!("{name}: core is done after {cycles} bundles")),
        _ => line(out, format_args!("{name}: core at pc {pc:#06x} after {cycles} bundles")),
    }
}

/// The locks of a tile that are not zero.
fn lock_line<const N: usize>(tile: &Tile, locks: &Locks<N>, out: &mut String) {
    let values = (0..N as u8).map(|id| (id, locks.value(id))).filter(|(_, value)| *value != 0);
    let values: Vec<String> = values.map(|(id, value)| format!("{id}={value}")).collect();
    let is_used = tile.channels.iter().any(super::channel::Channel::is_busy);
    if !values.is_empty() || is_used {
        let values = if values.is_empty() { "all 0".to_owned() } else { values.join(" ") };
        line(out, format_args!("{}: locks {values}", Name(tile.place)));
    }
}
