//! Memory of the device: the heap for programs, and buffers for tensors and packets.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::Error;
use crate::device::{Client, Device};
use crate::packet::PACKET_BYTES;
use crate::seam::{self, Errno, Mapping};
use crate::uapi::{self, CreateBo, GetBoInfo};

/// Bytes of the heap: what npu1 takes, neither more nor less.
pub const HEAP_BYTES: usize = 64 << 20;
const PAGE: usize = 4096;

/// A bo: memory that the driver knows by a handle, which is given back when it is dropped.
#[derive(Debug)]
struct Bo {
    client: Arc<Client>,
    handle: u32,
}

impl Bo {
    fn new(client: &Arc<Client>, kind: u32, size: usize, what: &'static str) -> Result<Self, Error> {
        let mut create = CreateBo { size: size as u64, r#type: kind, ..CreateBo::default() };
        seam::call(&*client.node, &uapi::CREATE_BO, &mut create).map_err(|errno| match errno {
            Errno::ENOMEM | Errno::EPERM => Error::Memlock { bytes: size, source: errno },
            errno => Error::driver(what, errno),
        })?;
        Ok(Self { client: client.clone(), handle: create.handle })
    }

    fn info(&self) -> Result<GetBoInfo, Error> {
        let mut info = GetBoInfo { handle: self.handle, ..GetBoInfo::default() };
        seam::call(&*self.client.node, &uapi::GET_BO_INFO, &mut info)
            .map_err(|errno| Error::driver("asking where a buffer is", errno))?;
        Ok(info)
    }

    fn map(&self, info: &GetBoInfo, size: usize, align: usize) -> Result<Mapping, Error> {
        self.client.node.map(info.map_offset, size, align).map_err(|errno| match errno {
            Errno::ENOMEM | Errno::EPERM | Errno::EAGAIN => Error::Memlock { bytes: size, source: errno },
            errno => Error::driver("mapping a buffer", errno),
        })
    }
}

impl Drop for Bo {
    fn drop(&mut self) {
        self.client.close_bo(self.handle);
    }
}

/// The heap: memory that the device reads programs from. There is one per open device, and it is mapped before any
/// context is made, as the driver wants it.
#[derive(Debug, Clone)]
pub struct Heap(Arc<HeapMemory>);

#[derive(Debug)]
struct HeapMemory {
    // Dropped in this order: unmapped, then given back.
    mapping: Mutex<Mapping>,
    bo: Bo,
    base: u64,
}

impl Heap {
    /// Makes the device's heap.
    ///
    /// # Errors
    /// [`Error::Memlock`] if so much memory cannot be locked; [`Error::Driver`] or [`Error::Lost`].
    pub fn new(device: &Device) -> Result<Self, Error> {
        let bo = Bo::new(device.client(), uapi::AMDXDNA_BO_DEV_HEAP, HEAP_BYTES, "making the heap")?;
        let info = bo.info()?;
        let mapping = Mutex::new(bo.map(&info, HEAP_BYTES, HEAP_BYTES)?);
        Ok(Self(Arc::new(HeapMemory { mapping, bo, base: info.xdna_addr })))
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.0.bo.client
    }

    fn mapping(&self) -> MutexGuard<'_, Mapping> {
        self.0.mapping.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A program in the heap: an image, or an instruction stream.
#[derive(Debug)]
pub struct Program {
    bo: Bo,
    address: u64,
    length: usize,
    /// Programs keep the heap that they lie in.
    _heap: Heap,
}

impl Program {
    /// Copies `bytes` into the heap.
    ///
    /// # Errors
    /// [`Error::Driver`] if the heap is full, or the driver puts it outside of the heap; [`Error::Lost`].
    pub fn new(heap: &Heap, bytes: &[u8]) -> Result<Self, Error> {
        const WHAT: &str = "making room for a program in the heap";
        let size = bytes.len().next_multiple_of(PAGE).max(PAGE);
        let bo = Bo::new(heap.client(), uapi::AMDXDNA_BO_DEV, size, WHAT)?;
        let address = bo.info()?.xdna_addr;
        let start = address.checked_sub(heap.0.base).and_then(|start| usize::try_from(start).ok());
        let mut mapping = heap.mapping();
        let place = start.and_then(|start| mapping.bytes_mut().get_mut(start..start.checked_add(size)?));
        let place = place.ok_or(Error::Driver { what: WHAT, source: Errno::EFAULT })?;
        place[..bytes.len()].copy_from_slice(bytes);
        heap.client().node.flush(place);
        drop(mapping);
        Ok(Self { bo, address, length: bytes.len(), _heap: heap.clone() })
    }

    pub(crate) fn handle(&self) -> u32 {
        self.bo.handle
    }

    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    /// Its bytes.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

/// Memory that the process and the device share, without copies: for tensors.
///
/// While a command that names it is in flight it can be neither read nor written.
#[derive(Debug)]
pub struct Buffer(Arc<Shared>);

/// What a buffer and the commands that name it share.
#[derive(Debug)]
pub(crate) struct Shared {
    // Dropped in this order: unmapped, then given back.
    mapping: RwLock<Mapping>,
    bo: Bo,
    address: u64,
    length: usize,
    in_flight: AtomicUsize,
}

impl Buffer {
    /// A buffer of `length` bytes, all zero.
    ///
    /// # Errors
    /// [`Error::Memlock`] if so much memory cannot be locked; [`Error::Driver`] or [`Error::Lost`].
    pub fn new(device: &Device, length: usize) -> Result<Self, Error> {
        Self::of_kind(device.client(), uapi::AMDXDNA_BO_SHARE, length)
    }

    fn of_kind(client: &Arc<Client>, kind: u32, length: usize) -> Result<Self, Error> {
        let size = length.next_multiple_of(PAGE).max(PAGE);
        let bo = Bo::new(client, kind, size, "making a buffer")?;
        let info = bo.info()?;
        let mapping = bo.map(&info, size, PAGE)?;
        // Zeroed lines may still be in the CPU's cache and would overwrite the device's results later.
        client.node.flush(mapping.bytes());
        let address = match info.xdna_addr {
            uapi::AMDXDNA_INVALID_ADDR => mapping.address(),
            address => address,
        };
        let (mapping, in_flight) = (RwLock::new(mapping), AtomicUsize::new(0));
        Ok(Self(Arc::new(Shared { mapping, bo, address, length, in_flight })))
    }

    /// Its bytes.
    pub fn len(&self) -> usize {
        self.0.length
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.length == 0
    }

    /// Its content, to be read.
    ///
    /// # Errors
    /// [`Error::InUse`] if a command that names it is in flight.
    pub fn read(&self) -> Result<Reading<'_>, Error> {
        let mapping = self.0.mapping.read().unwrap_or_else(PoisonError::into_inner);
        self.0.check_idle()?;
        Ok(Reading { mapping, length: self.0.length })
    }

    /// Its content, to be written; the device sees it when the result is dropped.
    ///
    /// # Errors
    /// [`Error::InUse`] if a command that names it is in flight.
    pub fn write(&mut self) -> Result<Writing<'_>, Error> {
        let mapping = self.0.mapping.write().unwrap_or_else(PoisonError::into_inner);
        self.0.check_idle()?;
        Ok(Writing { mapping, shared: &self.0 })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl Shared {
    fn check_idle(&self) -> Result<(), Error> {
        match self.in_flight.load(Ordering::Acquire) {
            0 => Ok(()),
            _ => Err(Error::InUse { found: "named by a command that is in flight" }),
        }
    }

    pub(crate) fn handle(&self) -> u32 {
        self.bo.handle
    }

    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    /// Hands it to the device.
    pub(crate) fn lend(self: &Arc<Self>) -> Result<Lent, Error> {
        // Nobody holds a view of it now, and `check_idle` keeps new ones away from here on.
        let lock = self.mapping.try_write();
        let _lock = lock.map_err(|_| Error::InUse { found: "being read or written by the process" })?;
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        Ok(Lent(self.clone()))
    }
}

/// A buffer that the device has. When this is dropped the buffer is the process's again, with what the device wrote.
#[derive(Debug)]
pub(crate) struct Lent(Arc<Shared>);

impl Drop for Lent {
    fn drop(&mut self) {
        let mut mapping = self.0.mapping.write().unwrap_or_else(PoisonError::into_inner);
        self.0.bo.client.node.invalidate(mapping.bytes_mut());
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A buffer's content while it is read.
#[derive(Debug)]
pub struct Reading<'a> {
    mapping: RwLockReadGuard<'a, Mapping>,
    length: usize,
}

impl Deref for Reading<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.mapping.bytes()[..self.length]
    }
}

/// A buffer's content while it is written.
#[derive(Debug)]
pub struct Writing<'a> {
    mapping: RwLockWriteGuard<'a, Mapping>,
    shared: &'a Shared,
}

impl Deref for Writing<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.mapping.bytes()[..self.shared.length]
    }
}

impl DerefMut for Writing<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.mapping.bytes_mut()[..self.shared.length]
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.shared.bo.client.node.flush(self);
    }
}

/// A command bo.
#[derive(Debug)]
pub(crate) struct CommandBuffer(Buffer);

impl CommandBuffer {
    pub(crate) fn new(client: &Arc<Client>) -> Result<Self, Error> {
        Buffer::of_kind(client, uapi::AMDXDNA_BO_CMD, PACKET_BYTES).map(Self)
    }

    pub(crate) fn handle(&self) -> u32 {
        self.0.0.handle()
    }

    pub(crate) fn write(&mut self, packet: &[u8]) -> Result<(), Error> {
        let mut memory = self.0.write()?;
        memory[..packet.len()].copy_from_slice(packet);
        Ok(())
    }

    /// What the driver has made of it.
    pub(crate) fn packet(&mut self) -> Vec<u8> {
        let mut mapping = self.0.0.mapping.write().unwrap_or_else(PoisonError::into_inner);
        self.0.0.bo.client.node.invalidate(mapping.bytes_mut());
        mapping.bytes()[..128].to_vec()
    }
}
