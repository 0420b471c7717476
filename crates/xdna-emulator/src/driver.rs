//! The driver: what ioctls mean, and what they refuse.

mod contexts;
mod execute;
mod memory;
mod query;
mod syncobj;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use xdna::seam::{Errno, Mapping, Node, Request};
use xdna::uapi;

use crate::fault::{Fault, FaultKind};
use crate::firmware::CoreReport;
use crate::options::Options;
use contexts::Context;
use execute::Job;
pub(crate) use execute::Mapped;
use memory::Bo;
use syncobj::Timeline;

/// Contexts that npu1 holds.
const MAX_CONTEXTS: usize = 6;

/// What processes hold, and what they did wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Audit {
    /// Open nodes.
    pub nodes: usize,
    /// Bos of all kinds.
    pub bos: usize,
    /// Contexts.
    pub contexts: usize,
    /// Timeline syncobjs.
    pub syncobjs: usize,
    /// Maps of bos.
    pub maps: usize,
    /// Launches, failed ones included.
    pub launches: u64,
    /// Maps that were taken away while a command that used them was in flight: on a real machine this blocks.
    pub unmapped_in_flight: usize,
}

/// The machine: what all of its processes share.
#[derive(Debug)]
pub(crate) struct Machine {
    options: Options,
    /// What CLOCK_MONOTONIC is here: time since the machine was made, and a second.
    start: Instant,
    faults: Mutex<Vec<Fault>>,
    reports: Mutex<Vec<String>>,
    cores: Mutex<Vec<CoreReport>>,
    audit: Mutex<Audit>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Machine {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            options,
            start: Instant::now(),
            faults: Mutex::default(),
            reports: Mutex::default(),
            cores: Mutex::default(),
            audit: Mutex::default(),
        }
    }

    pub(crate) fn inject(&self, fault: Fault) {
        locked(&self.faults).push(fault);
    }

    pub(crate) fn take_reports(&self) -> Vec<String> {
        std::mem::take(&mut *locked(&self.reports))
    }

    pub(crate) fn cores(&self) -> Vec<CoreReport> {
        locked(&self.cores).clone()
    }

    pub(crate) fn audit(&self) -> Audit {
        *locked(&self.audit)
    }

    fn count(&self, change: impl FnOnce(&mut Audit)) {
        change(&mut locked(&self.audit));
    }

    fn report(&self, text: String) {
        tracing::debug!("emulated NPU: {text}");
        locked(&self.reports).push(text);
    }

    /// The fault that this launch has, if any; counts the launch.
    fn next_fault(&self) -> Option<FaultKind> {
        self.count(|audit| audit.launches += 1);
        let mut faults = locked(&self.faults);
        let due = faults.iter().position(|fault| fault.after == 0);
        for fault in faults.iter_mut() {
            fault.after = fault.after.saturating_sub(1);
        }
        due.map(|idx| faults.remove(idx).kind)
    }
}

/// An open node.
#[derive(Debug)]
pub(crate) struct Client {
    shared: Arc<Shared>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

/// What a node's ioctls and its worker share.
#[derive(Debug)]
struct Shared {
    machine: Arc<Machine>,
    state: Mutex<State>,
    /// Told of every change of the state.
    changed: Condvar,
    is_gone: AtomicBool,
}

/// What a node holds.
#[derive(Debug, Default)]
struct State {
    bos: HashMap<u32, Bo>,
    /// By the first address of the map.
    maps: BTreeMap<u64, memory::Map>,
    heap: Option<u32>,
    contexts: HashMap<u32, Context>,
    syncobjs: HashMap<u32, Timeline>,
    jobs: VecDeque<Job>,
    last_handle: u32,
    last_address: u64,
    is_closing: bool,
}

impl State {
    /// A handle that was never given before.
    fn new_handle(&mut self) -> u32 {
        self.last_handle += 1;
        self.last_handle
    }
}

impl Client {
    pub(crate) fn new(machine: Arc<Machine>) -> Self {
        machine.count(|audit| audit.nodes += 1);
        let shared = Arc::new(Shared {
            machine,
            state: Mutex::default(),
            changed: Condvar::new(),
            is_gone: AtomicBool::new(false),
        });
        Self { shared, worker: Mutex::new(None) }
    }

    /// Starts the thread that carries out commands, if it does not run yet.
    fn start_worker(&self) {
        locked(&self.worker).get_or_insert_with(|| {
            let shared = self.shared.clone();
            std::thread::spawn(move || execute::work(&shared))
        });
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// Waits for a change of the state, until `deadline` (of [`Node::monotonic`]) at most.
    fn wait<'a>(&self, state: MutexGuard<'a, State>, deadline: Duration) -> (MutexGuard<'a, State>, bool) {
        let left = deadline.saturating_sub(self.machine.now());
        // Condition variables do not take waits of centuries.
        let left = left.min(Duration::from_secs(3600));
        let (state, _) = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        (state, self.machine.now() >= deadline)
    }

    fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }
}

impl Machine {
    fn now(&self) -> Duration {
        // Not zero at first, so that "in the past" exists.
        self.start.elapsed() + Duration::from_secs(1)
    }
}

impl Node for Client {
    fn ioctl(&self, request: Request<'_>) -> Result<(), Errno> {
        let Request { number, argument, pointers } = request;
        if (number >> 16 & 0x3FFF) as usize != argument.len() {
            return Err(Errno::EINVAL);
        }
        if self.shared.is_gone() && number != uapi::GEM_CLOSE.number {
            return Err(Errno::ENODEV);
        }
        let mut call = Call { argument, pointers };
        let shared = &self.shared;
        match number {
            n if n == uapi::VERSION.number => query::version(shared, &mut call),
            n if n == uapi::GET_INFO.number => query::get_info(shared, &mut call),
            n if n == uapi::GET_ARRAY.number => query::get_array(shared, &mut call),
            n if n == uapi::CREATE_BO.number => memory::create(shared, &mut call),
            n if n == uapi::GET_BO_INFO.number => memory::info(shared, &mut call),
            n if n == uapi::SYNC_BO.number => memory::sync(shared, &mut call),
            n if n == uapi::GEM_CLOSE.number => memory::close(shared, &mut call),
            n if n == uapi::CREATE_HWCTX.number => contexts::create(shared, &mut call),
            n if n == uapi::CONFIG_HWCTX.number => contexts::configure(shared, &mut call),
            n if n == uapi::DESTROY_HWCTX.number => contexts::destroy(shared, &mut call),
            n if n == uapi::EXEC_CMD.number => {
                self.start_worker();
                contexts::execute(shared, &mut call)
            }
            n if n == uapi::SYNCOBJ_CREATE.number => syncobj::create(shared, &mut call),
            n if n == uapi::SYNCOBJ_DESTROY.number => syncobj::destroy(shared, &mut call),
            n if n == uapi::SYNCOBJ_QUERY.number => syncobj::query(shared, &mut call),
            n if n == uapi::SYNCOBJ_TIMELINE_WAIT.number => syncobj::wait(shared, &mut call),
            n if n == uapi::SET_STATE.number => Err(Errno::EACCES),
            n if n == uapi::WAIT_CMD.number => Err(Errno::EOPNOTSUPP),
            _ => Err(Errno::ENOTTY),
        }
    }

    fn map(&self, offset: u64, length: usize, align: usize) -> Result<Mapping, Errno> {
        if self.shared.is_gone() {
            return Err(Errno::ENODEV);
        }
        memory::map(&self.shared, offset, length, align)
    }

    fn flush(&self, bytes: &[u8]) {
        memory::flush(&self.shared, bytes);
    }

    fn invalidate(&self, bytes: &mut [u8]) {
        memory::invalidate(&self.shared, bytes);
    }

    fn monotonic(&self) -> Duration {
        self.shared.machine.now()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        {
            let mut state = self.shared.state();
            state.is_closing = true;
            for context in state.contexts.values() {
                context.cancel();
            }
        }
        self.shared.changed.notify_all();
        if let Some(worker) = locked(&self.worker).take()
            && worker.join().is_err()
        {
            tracing::error!("the emulated NPU's thread has panicked");
        }
        let state = self.shared.state();
        self.shared.machine.count(|audit| {
            audit.nodes -= 1;
            audit.bos -= state.bos.len();
            audit.contexts -= state.contexts.len();
            audit.syncobjs -= state.syncobjs.len();
        });
    }
}

/// An ioctl's argument, with what its pointers point to.
struct Call<'a, 'b> {
    argument: &'a mut [u8],
    pointers: &'b mut [xdna::seam::Pointer<'a>],
}

impl Call<'_, '_> {
    fn get<T: bytemuck::Pod>(&self) -> T {
        bytemuck::pod_read_unaligned(self.argument)
    }

    fn put<T: bytemuck::Pod>(&mut self, value: &T) {
        self.argument.copy_from_slice(bytemuck::bytes_of(value));
    }

    /// `length` bytes of what the pointer at `at` points to.
    fn memory(&mut self, at: usize, length: usize) -> Result<&mut [u8], Errno> {
        let pointer = self.pointers.iter_mut().find(|pointer| pointer.at == at);
        match pointer {
            Some(pointer) => pointer.memory.get_mut(..length).ok_or(Errno::EFAULT),
            None if length == 0 => Ok(&mut []),
            None => Err(Errno::EFAULT),
        }
    }
}
