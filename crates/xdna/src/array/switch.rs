//! Stream switches: the ports of each kind of tile, in the order of their registers, and what lies behind them.

use super::TileKind;

/// A port of a tile's stream switch: what is behind it, and which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Port {
    /// The core.
    Core(u8),
    /// A DMA channel.
    Dma(u8),
    /// The tile's control packets.
    Control,
    /// A buffer of the switch's own.
    Fifo,
    /// The tile below, or the host's side of a shim.
    South(u8),
    /// The tile to the left.
    West(u8),
    /// The tile above.
    North(u8),
    /// The tile to the right.
    East(u8),
    /// Event traces.
    Trace(u8),
}

/// What follows each other in a switch's registers.
type Row = &'static [(fn(u8) -> Port, u8)];

fn control(_: u8) -> Port {
    Port::Control
}

fn fifo(_: u8) -> Port {
    Port::Fifo
}

fn masters(kind: TileKind) -> Row {
    use Port::{Core, Dma, East, North, South, West};
    match kind {
        TileKind::Core => {
            &[(Core, 1), (Dma, 2), (control, 1), (fifo, 1), (South, 4), (West, 4), (North, 6), (East, 4)]
        }
        TileKind::Mem => &[(Dma, 6), (control, 1), (South, 4), (North, 6)],
        TileKind::Shim => &[(control, 1), (fifo, 1), (South, 6), (West, 4), (North, 6), (East, 4)],
    }
}

fn slaves(kind: TileKind) -> Row {
    use Port::{Core, Dma, East, North, South, Trace, West};
    match kind {
        TileKind::Core => &[
            (Core, 1),
            (Dma, 2),
            (control, 1),
            (fifo, 1),
            (South, 6),
            (West, 4),
            (North, 4),
            (East, 4),
            (Trace, 2),
        ],
        TileKind::Mem => &[(Dma, 6), (control, 1), (South, 6), (North, 4), (Trace, 1)],
        TileKind::Shim => {
            &[(control, 1), (fifo, 1), (South, 8), (West, 4), (North, 4), (East, 4), (Trace, 1)]
        }
    }
}

fn port_at(row: Row, mut idx: usize) -> Option<Port> {
    for (port, count) in row {
        if idx < usize::from(*count) {
            return Some(port(idx as u8));
        }
        idx -= usize::from(*count);
    }
    None
}

fn position(row: Row, wanted: Port) -> Option<usize> {
    let mut ports = row.iter().flat_map(|(port, count)| (0..*count).map(port));
    ports.position(|port| port == wanted)
}

/// How many master ports a tile's switch has.
pub fn n_masters(kind: TileKind) -> usize {
    masters(kind).iter().map(|(_, count)| usize::from(*count)).sum()
}

/// How many slave ports a tile's switch has.
pub fn n_slaves(kind: TileKind) -> usize {
    slaves(kind).iter().map(|(_, count)| usize::from(*count)).sum()
}

/// The number of a master port, if the tile has it.
pub fn master_idx(kind: TileKind, port: Port) -> Option<usize> {
    position(masters(kind), port)
}

/// The number of a slave port, if the tile has it.
pub fn slave_idx(kind: TileKind, port: Port) -> Option<usize> {
    position(slaves(kind), port)
}

/// The master port of a number, if the tile has so many.
pub fn master_at(kind: TileKind, idx: usize) -> Option<Port> {
    port_at(masters(kind), idx)
}

/// The neighbour's slave port that a master port leads to, and where the neighbour is (columns, rows away).
pub fn across(master: Port) -> Option<(Port, (i8, i8))> {
    match master {
        Port::North(idx) => Some((Port::South(idx), (0, 1))),
        Port::South(idx) => Some((Port::North(idx), (0, -1))),
        Port::East(idx) => Some((Port::West(idx), (1, 0))),
        Port::West(idx) => Some((Port::East(idx), (-1, 0))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_have_the_numbers_that_programs_use() {
        assert_eq!(master_idx(TileKind::Core, Port::Dma(0)), Some(1));
        assert_eq!(master_idx(TileKind::Core, Port::South(0)), Some(5));
        assert_eq!(slave_idx(TileKind::Core, Port::South(1)), Some(6));
        assert_eq!(master_idx(TileKind::Shim, Port::North(1)), Some(13));
        assert_eq!(slave_idx(TileKind::Shim, Port::South(3)), Some(5));
        assert_eq!(master_idx(TileKind::Mem, Port::North(0)), Some(11));
        assert_eq!(slave_idx(TileKind::Mem, Port::North(0)), Some(13));
        assert_eq!(slave_idx(TileKind::Shim, Port::Dma(0)), None);
        assert_eq!((n_masters(TileKind::Core), n_slaves(TileKind::Core)), (23, 25));
        for kind in [TileKind::Core, TileKind::Mem, TileKind::Shim] {
            for idx in 0..n_masters(kind) {
                let port = master_at(kind, idx).unwrap();
                assert_eq!(master_idx(kind, port), Some(idx), "{kind:?} {port:?}");
            }
        }
    }

    #[test]
    fn ports_follow_each_other_as_the_facts_list_them() {
        // Names with the number of ports of each.
        let cases = [
            (TileKind::Core, "core1 dma2 control1 fifo1 south4 west4 north6 east4", true),
            (TileKind::Core, "core1 dma2 control1 fifo1 south6 west4 north4 east4 trace2", false),
            (TileKind::Mem, "dma6 control1 south4 north6", true),
            (TileKind::Mem, "dma6 control1 south6 north4 trace1", false),
            (TileKind::Shim, "control1 fifo1 south6 west4 north6 east4", true),
            (TileKind::Shim, "control1 fifo1 south8 west4 north4 east4 trace1", false),
        ];
        for (kind, ports, is_master) in cases {
            let mut listed = Vec::new();
            for name in ports.split(' ') {
                let (name, count) = name.split_at(name.len() - 1);
                let port = |idx| match name {
                    "core" => Port::Core(idx),
                    "dma" => Port::Dma(idx),
                    "control" => Port::Control,
                    "fifo" => Port::Fifo,
                    "south" => Port::South(idx),
                    "west" => Port::West(idx),
                    "north" => Port::North(idx),
                    "east" => Port::East(idx),
                    _ => Port::Trace(idx),
                };
                listed.extend((0..count.parse().unwrap()).map(port));
            }
            let count = if is_master { n_masters(kind) } else { n_slaves(kind) };
            assert_eq!(listed.len(), count, "{kind:?}: {ports}");
            for (idx, port) in listed.into_iter().enumerate() {
                let found = if is_master { master_idx(kind, port) } else { slave_idx(kind, port) };
                assert_eq!(found, Some(idx), "{kind:?}: {port:?}");
            }
        }
    }

    #[test]
    fn a_master_leads_to_the_opposite_slave_of_the_tile_at_its_side() {
        assert_eq!(across(Port::North(2)), Some((Port::South(2), (0, 1))));
        assert_eq!(across(Port::South(3)), Some((Port::North(3), (0, -1))));
        assert_eq!(across(Port::East(1)), Some((Port::West(1), (1, 0))));
        assert_eq!(across(Port::West(0)), Some((Port::East(0), (-1, 0))));
        assert_eq!(across(Port::Dma(0)), None);
    }
}
