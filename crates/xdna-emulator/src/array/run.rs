//! The run loop: every DMA channel moves as far as locks and streams allow, then every core runs until it must wait, tile
//! by tile in a fixed order, until what is waited for has happened, or nothing moves any more.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use xdna::array::switch::{Port, across};
use xdna::array::{Direction, LockUse, Tile as Place, TileKind};

use super::channel::STREAM_WORDS;
use super::{Array, Body, Host, Name, Refusal, Tile, refuse};
use crate::core::{LockOverflow, Locks, Side, Windows};

/// Bundles that a core issues before the DMA has its turn again.
const TURN: u64 = 10_000;

/// How a run ended.
#[derive(Debug)]
pub(crate) enum End {
    /// What was waited for has happened.
    Reached,
    /// Nothing moves any more.
    Deadlock,
    /// It was told to stop.
    Cancelled,
    /// It took longer than it may.
    Late,
}

/// A place where words arrive: a tile's S2MM channel.
type Sink = (usize, usize);

impl Array {
    /// Lets cores go, as the firmware does when a context starts.
    pub(crate) fn launch(&mut self) {
        for tile in &mut self.tiles {
            if let Body::Core { compute, .. } = &mut tile.body {
                compute.launch();
            }
        }
    }

    /// Runs until `is_reached`.
    pub(crate) fn run_until(
        &mut self,
        host: &Host<'_>,
        cancelled: &AtomicBool,
        deadline: Instant,
        mut is_reached: impl FnMut(&mut Self) -> Result<bool, Refusal>,
    ) -> Result<End, Refusal> {
        loop {
            if is_reached(self)? {
                return Ok(End::Reached);
            }
            if cancelled.load(Ordering::Acquire) {
                return Ok(End::Cancelled);
            }
            if Instant::now() >= deadline {
                return Ok(End::Late);
            }
            let mut moved = false;
            for tile in 0..self.tiles.len() {
                for channel in 0..self.tiles[tile].channels.len() {
                    moved |= self.step_channel(tile, channel, host)?;
                }
            }
            for tile in 0..self.tiles.len() {
                moved |= self.step_core(tile)?;
            }
            if !moved {
                return Ok(if is_reached(self)? { End::Reached } else { End::Deadlock });
            }
        }
    }

    /// Takes a token of each of these channels, if all of them have one.
    pub(crate) fn take_tokens(
        &mut self,
        direction: Direction,
        channel: u8,
        places: &[Place],
    ) -> Result<bool, Refusal> {
        if places.is_empty() {
            refuse!("a sync names no tiles")
        }
        let mut sources = Vec::with_capacity(places.len());
        for place in places {
            let Some(tile) = self.index(*place) else {
                refuse!("a sync names tile ({},{}), which the context does not have", place.col, place.row)
            };
            if channel >= self.tiles[tile].kind.n_channels() {
                refuse!(
                    "a sync names {direction} channel {channel} of the {}, which it does not have",
                    Name(*place)
                )
            }
            sources.push((tile, self.tiles[tile].channel_idx(direction, channel)));
        }
        if sources.iter().any(|(tile, channel)| self.tiles[*tile].channels[*channel].tokens == 0) {
            return Ok(false);
        }
        for (tile, channel) in sources {
            self.tiles[tile].channels[channel].tokens -= 1;
        }
        Ok(true)
    }

    /// Moves a channel as far as it goes; returns whether it moved.
    fn step_channel(&mut self, tile: usize, channel: usize, host: &Host<'_>) -> Result<bool, Refusal> {
        let mut moved = false;
        let is_source = channel >= usize::from(self.tiles[tile].kind.n_channels());
        while let Some(current) = &self.tiles[tile].channels[channel].current {
            if !current.is_acquired {
                if let Some(lock) = current.descriptor.acquire
                    && !self.lock(tile, lock, LockStep::Acquire)?
                {
                    return Ok(moved);
                }
                moved = true;
                if let Some(current) = &mut self.tiles[tile].channels[channel].current {
                    current.is_acquired = true;
                }
                continue;
            }
            if current.is_done() {
                if let Some(lock) = current.descriptor.release {
                    self.lock(tile, lock, LockStep::Release)?;
                }
                self.tiles[tile].finish_descriptor(channel)?;
                moved = true;
                continue;
            }
            let words =
                if is_source { self.send(tile, channel, host)? } else { self.receive(tile, channel, host)? };
            if words == 0 {
                return Ok(moved);
            }
            moved = true;
        }
        Ok(moved)
    }

    /// Sends words of the descriptor in use, as many as all sinks take; returns how many.
    fn send(&mut self, tile: usize, channel: usize, host: &Host<'_>) -> Result<u32, Refusal> {
        let sinks = self.sinks(tile, channel)?;
        if sinks.is_empty() {
            return Ok(0);
        }
        let room = |array: &Self| {
            let free =
                |(tile, channel): &Sink| STREAM_WORDS - array.tiles[*tile].channels[*channel].stream.len();
            sinks.iter().map(free).min().unwrap_or(0)
        };
        let mut sent = 0;
        for _ in 0..room(self) {
            let Some(current) = &self.tiles[tile].channels[channel].current else { break };
            if current.is_done() {
                break;
            }
            let word = self.read_memory(tile, current.address(), host)?;
            for (tile, channel) in &sinks {
                self.tiles[*tile].channels[*channel].stream.push_back(word);
            }
            if let Some(current) = &mut self.tiles[tile].channels[channel].current {
                current.advance();
            }
            sent += 1;
        }
        Ok(sent)
    }

    /// Stores words that have arrived for the descriptor in use; returns how many.
    fn receive(&mut self, tile: usize, channel: usize, host: &Host<'_>) -> Result<u32, Refusal> {
        let mut received = 0;
        while let Some(current) = &self.tiles[tile].channels[channel].current
            && !current.is_done()
        {
            let address = current.address();
            let Some(word) = self.tiles[tile].channels[channel].stream.pop_front() else { break };
            self.write_memory(tile, address, word, host)?;
            if let Some(current) = &mut self.tiles[tile].channels[channel].current {
                current.advance();
            }
            received += 1;
        }
        Ok(received)
    }

    /// Where the words of an MM2S channel go. Nowhere, if a route is not complete.
    fn sinks(&self, tile: usize, channel: usize) -> Result<Vec<Sink>, Refusal> {
        let source = &self.tiles[tile];
        let number = (channel - usize::from(source.kind.n_channels())) as u8;
        let start = match &source.body {
            Body::Shim { mux, .. } => match mux_port(number, *mux) {
                Some(port) => port,
                None => return Ok(Vec::new()),
            },
            _ => Port::Dma(number),
        };
        let mut open = vec![(tile, start)];
        let (mut seen, mut sinks) = (open.clone(), Vec::new());
        while let Some((at, slave)) = open.pop() {
            for master in self.tiles[at].switch.fed_by(slave)? {
                if let Some(channel) = self.sink_behind(at, master)? {
                    sinks.push((at, channel));
                } else if let Some((slave, (cols, rows))) = across(master) {
                    let Place { col, row } = self.tiles[at].place;
                    let next = col.checked_add_signed(cols).zip(row.checked_add_signed(rows));
                    let next = next.and_then(|(col, row)| self.index(Place { col, row }));
                    if let Some(next) = next
                        && !seen.contains(&(next, slave))
                    {
                        seen.push((next, slave));
                        open.push((next, slave));
                    }
                }
            }
        }
        sinks.sort_unstable();
        Ok(sinks)
    }

    /// The S2MM channel that a master port feeds, if it feeds one.
    fn sink_behind(&self, tile: usize, master: Port) -> Result<Option<usize>, Refusal> {
        let tile = &self.tiles[tile];
        Ok(match (master, &tile.body) {
            (Port::Dma(number), _) => Some(tile.channel_idx(Direction::S2mm, number)),
            (Port::South(port), Body::Shim { demux, .. }) => demux_channel(port, *demux).map(usize::from),
            (Port::Core(_) | Port::Control | Port::Fifo, _) => {
                refuse!("{}: data arrives at port {master:?}, which is not modelled", Name(tile.place))
            }
            _ => None,
        })
    }

    /// Reads a word as a tile's DMA does.
    fn read_memory(&self, tile: usize, address: u64, host: &Host<'_>) -> Result<u32, Refusal> {
        let name = Name(self.tiles[tile].place);
        if self.tiles[tile].kind == TileKind::Shim {
            return match host.read(address) {
                Some(word) => Ok(word),
                None => refuse!("{name}: DMA reads from {address:#x}, which is in no buffer of the command"),
            };
        }
        let (tile, at) = self.memory_at(tile, address)?;
        let bytes: &[u8] = match &self.tiles[tile].body {
            Body::Mem { data, .. } => data,
            Body::Core { module, .. } => &module.data[..],
            Body::Shim { .. } => refuse!("{name}: no memory at {address:#x}"),
        };
        Ok(u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")))
    }

    /// Writes a word as a tile's DMA does.
    fn write_memory(&mut self, tile: usize, address: u64, word: u32, host: &Host<'_>) -> Result<(), Refusal> {
        let name = Name(self.tiles[tile].place);
        if self.tiles[tile].kind == TileKind::Shim {
            return match host.write(address, word) {
                Some(()) => Ok(()),
                None => refuse!("{name}: DMA writes to {address:#x}, which is in no buffer of the command"),
            };
        }
        let (tile, at) = self.memory_at(tile, address)?;
        let bytes: &mut [u8] = match &mut self.tiles[tile].body {
            Body::Mem { data, .. } => data,
            Body::Core { module, .. } => &mut module.data[..],
            Body::Shim { .. } => refuse!("{name}: no memory at {address:#x}"),
        };
        bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        Ok(())
    }

    /// Whose memory an address of a tile's DMA is, and where in it. Memory tiles see those at their sides.
    fn memory_at(&self, tile: usize, address: u64) -> Result<(usize, usize), Refusal> {
        let place = self.tiles[tile].place;
        let (side, at, bytes) = match self.tiles[tile].kind {
            TileKind::Mem => (address >> 19, address & 0x7_FFFF, super::MEM_TILE_BYTES as u64),
            _ => (1, address, crate::core::DATA_MEMORY_BYTES as u64),
        };
        match self.beside(tile, side) {
            Some(tile) if at + 4 <= bytes => Ok((tile, at as usize)),
            _ => refuse!("{}: DMA reaches for {address:#x}, where there is no memory", Name(place)),
        }
    }

    /// The tile at a memory tile's side: 0 west, 1 itself, 2 east.
    fn beside(&self, tile: usize, side: u64) -> Option<usize> {
        let Place { col, row } = self.tiles[tile].place;
        let away = [-1, 0, 1].get(usize::try_from(side).ok()?)?;
        self.index(Place { col: col.checked_add_signed(*away)?, row })
    }

    /// Takes or gives a lock as a tile's DMA numbers it; returns whether it could be taken.
    fn lock(&mut self, tile: usize, lock: LockUse, step: LockStep) -> Result<bool, Refusal> {
        let place = self.tiles[tile].place;
        let (owner, id) = match self.tiles[tile].kind {
            TileKind::Mem => (self.beside(tile, u64::from(lock.id / 64)), lock.id % 64),
            _ => (Some(tile), lock.id),
        };
        let Some(owner) = owner else { refuse!("{}: lock {} belongs to no tile", Name(place), lock.id) };
        let value = lock.value.into();
        let done = match &mut self.tiles[owner].body {
            Body::Shim { locks, .. } => step.apply(locks, id, value),
            Body::Mem { locks, .. } => step.apply(locks, id, value),
            Body::Core { module, .. } => step.apply(&mut module.locks, id, value),
        };
        done.map_err(|error| Refusal(format!("{}: DMA: {error}", Name(place))))
    }

    /// Lets a core run for its turn; returns whether it issued anything.
    fn step_core(&mut self, tile: usize) -> Result<bool, Refusal> {
        let place = self.tiles[tile].place;
        let limit = self.cycle_limit;
        let [neighbours @ .., own] = self.core_tiles(place);
        let Some(Tile { body: Body::Core { module, compute }, .. }) = own else { return Ok(false) };
        let Some(core) = compute.running() else { return Ok(false) };
        let before = core.cycles();
        let mut windows = Windows::own(module);
        for (side, neighbour) in [Side::South, Side::West, Side::North].into_iter().zip(neighbours) {
            if let Some(Tile { body: Body::Core { module, .. }, .. }) = neighbour {
                windows = windows.with(side, module);
            }
        }
        let stop = match core.run(&mut windows, TURN) {
            Ok(stop) => stop,
            Err(fault) => refuse!("{}: {fault}", Name(place)),
        };
        let after = core.cycles();
        if after > limit {
            refuse!("{}: the core has issued {after} bundles, more than it may ({limit})", Name(place))
        }
        compute.stopped(stop);
        Ok(after != before)
    }

    /// The tiles whose memory a core sees: south, west, north and its own.
    fn core_tiles(&mut self, place: Place) -> [Option<&mut Tile>; 4] {
        let at = |cols: i8, rows: i8| {
            let (col, row) = (place.col.checked_add_signed(cols)?, place.row.checked_add_signed(rows)?);
            self.index(Place { col, row })
        };
        let wanted = [at(0, -1), at(-1, 0), at(0, 1), at(0, 0)];
        let mut found = [const { None }; 4];
        for (idx, tile) in self.tiles.iter_mut().enumerate() {
            if let Some(side) = wanted.iter().position(|wanted| *wanted == Some(idx)) {
                found[side] = Some(tile);
            }
        }
        found
    }
}

/// What a descriptor does with a lock.
#[derive(Clone, Copy)]
enum LockStep {
    Acquire,
    Release,
}

impl LockStep {
    fn apply<const N: usize>(self, locks: &mut Locks<N>, id: u8, value: i32) -> Result<bool, LockOverflow> {
        match self {
            Self::Acquire => Ok(locks.acquire(id, value)),
            Self::Release => locks.release(id, value).map(|()| true),
        }
    }
}

/// The slave port through which a shim's MM2S channel enters the switch, if the multiplexer lets it.
fn mux_port(channel: u8, mux: u32) -> Option<Port> {
    let (port, low) = if channel == 0 { (3, 10) } else { (7, 14) };
    (mux >> low & 3 == 1).then_some(Port::South(port))
}

/// The S2MM channel of a shim that a southern master port leads to, if the demultiplexer lets it.
fn demux_channel(port: u8, demux: u32) -> Option<u8> {
    let (channel, low) = match port {
        2 => (0, 4),
        3 => (1, 6),
        _ => return None,
    };
    (demux >> low & 3 == 1).then_some(channel)
}
