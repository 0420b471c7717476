//! Stream switches: which slave port feeds which master ports of a tile, and which port of which neighbour follows.
//!
//! Circuits are modelled. Ports and slots may be set up for packets (tools do so for task-complete tokens, which need
//! no model), but no data goes through them.

use xdna::array::TileKind;
use xdna::array::switch::{Port, master_at, n_masters, n_slaves, slave_idx};

use super::{Refusal, refuse};

/// Packet slots of a slave.
const SLOTS: usize = 4;
const ENABLE: u32 = 1 << 31;
const PACKET: u32 = 1 << 30;
/// The slave that feeds a circuit's master.
const SLAVE_MASK: u32 = 0x7F;

/// A tile's switch.
pub(super) struct Switch {
    kind: TileKind,
    masters: Vec<u32>,
    slaves: Vec<u32>,
    slots: Vec<u32>,
}

impl Switch {
    pub(super) fn new(kind: TileKind) -> Self {
        let (masters, slaves) = (n_masters(kind), n_slaves(kind));
        Self { kind, masters: vec![0; masters], slaves: vec![0; slaves], slots: vec![0; slaves * SLOTS] }
    }

    /// The register at `offset` from the switch's first, if there is one.
    pub(super) fn register(&mut self, offset: u32) -> Option<&mut u32> {
        let idx = |from: u32| ((offset - from) / 4) as usize;
        match offset {
            0..0x100 => self.masters.get_mut(idx(0)),
            0x100..0x200 => self.slaves.get_mut(idx(0x100)),
            _ => self.slots.get_mut(idx(0x200)),
        }
    }

    /// The master ports that a slave port feeds.
    pub(super) fn fed_by(&self, slave: Port) -> Result<Vec<Port>, Refusal> {
        let Some(slave_idx) = slave_idx(self.kind, slave) else {
            refuse!("a {:?} tile's switch has no slave port {slave:?}", self.kind)
        };
        let word = self.slaves[slave_idx];
        if word & ENABLE == 0 {
            return Ok(Vec::new());
        }
        if word & PACKET != 0 {
            refuse!(
                "slave port {slave:?} of a {:?} tile is packet-switched; data goes by circuits only",
                self.kind
            )
        }
        let feeds = self.masters.iter().enumerate().filter(|(_, word)| {
            **word & ENABLE != 0 && **word & PACKET == 0 && **word & SLAVE_MASK == slave_idx as u32
        });
        Ok(feeds.filter_map(|(idx, _)| master_at(self.kind, idx)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slave_feeds_all_masters_that_choose_it() {
        let mut switch = Switch::new(TileKind::Core);
        let south = 5;
        for master in [1, 13] {
            *switch.register(master * 4).unwrap() = ENABLE | south;
        }
        assert_eq!(switch.fed_by(Port::South(0)).unwrap(), [], "the slave is not enabled");
        *switch.register(0x100 + south * 4).unwrap() = ENABLE;
        assert_eq!(switch.fed_by(Port::South(0)).unwrap(), [Port::Dma(0), Port::North(0)]);
        *switch.register(0x100 + south * 4).unwrap() |= PACKET;
        assert!(switch.fed_by(Port::South(0)).is_err());
        assert!(switch.register(0x200 + 25 * 16).is_none());
    }
}
