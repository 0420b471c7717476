//! Hardware contexts: a share of the array, configured with images, that commands are submitted to.

use std::collections::VecDeque;
use std::mem::offset_of;
use std::sync::Arc;
use std::time::Duration;

use bytemuck::bytes_of;

use crate::Error;
use crate::device::Client;
use crate::memory::{Buffer, CommandBuffer, Heap, Lent, Program};
use crate::packet::{self, Health, Layout, State};
use crate::seam::{self, Errno, Pointer};
use crate::uapi::{
    self, ConfigHwctx, CreateHwctx, CuConfig, DestroyHwctx, ExecCmd, HwctxParamConfigCu, QosInfo,
    SyncobjDestroy, SyncobjTimelineWait,
};

/// Commands of one context that may be in flight; the driver would let a caller wait for an end of them.
pub const MAX_IN_FLIGHT: usize = 4;
/// Compute units that a context takes.
const MAX_UNITS: usize = 32;
/// Rows of cores, by which the driver divides the number of tiles.
const CORE_ROWS: u32 = 4;

/// What a context asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContextOptions {
    /// Columns of the array.
    pub columns: u16,
    /// Arithmetic operations per cycle, as an xclbin says.
    pub operations_per_cycle: u32,
    /// Launches a second that are wanted; the driver chooses a clock by it. 0: does not matter.
    pub launches_per_second: u32,
}

impl ContextOptions {
    /// So many columns, and nothing else asked for.
    pub fn columns(columns: u16) -> Self {
        Self { columns, operations_per_cycle: 2048, launches_per_second: 0 }
    }
}

/// A compute unit: an image that the array is configured with when a command is for it.
#[derive(Debug, Clone, Copy)]
pub struct Unit<'a> {
    /// The image: see [`crate::pdi`].
    pub pdi: &'a [u8],
    /// Its function code, as an xclbin says; 0 for most.
    pub functional: u8,
}

/// One launch of a compute unit.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// The unit's place in the context.
    pub unit: u32,
    /// Where the kernel's arguments lie.
    pub layout: &'a Layout,
    /// The instruction stream.
    pub instructions: &'a Arc<Program>,
    /// The buffers, bo0 first. Every one that the stream patches must be among them.
    pub buffers: &'a [&'a Buffer],
}

/// A launch that was submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a launch is done when it has been waited for"]
pub struct Ticket(u64);

/// A hardware context. When it is dropped it is taken away from the device before any memory that the device may
/// still use.
#[derive(Debug)]
pub struct Context {
    client: Arc<Client>,
    handle: u32,
    syncobj: u32,
    n_units: u32,
    /// Old drivers look for the images again when the device wakes up.
    images: Vec<Program>,
    idle: Vec<CommandBuffer>,
    pending: VecDeque<Pending>,
    is_failed: bool,
}

/// A command in flight, with all that it uses.
#[derive(Debug)]
struct Pending {
    point: u64,
    command: CommandBuffer,
    _instructions: Arc<Program>,
    _buffers: Vec<Lent>,
}

impl Context {
    /// Makes a context with these compute units.
    ///
    /// # Errors
    /// [`Error::Launch`] if there are no units or too many; [`Error::NoRoom`] if the device has none left;
    /// [`Error::Memlock`], [`Error::Driver`] or [`Error::Lost`].
    pub fn new(heap: &Heap, options: &ContextOptions, units: &[Unit<'_>]) -> Result<Self, Error> {
        if units.is_empty() || units.len() > MAX_UNITS {
            let expected = format!("1 to {MAX_UNITS}");
            return Err(Error::Launch {
                thing: "the number of compute units",
                found: units.len().to_string(),
                expected,
            });
        }
        let client = heap.client().clone();
        let images: Vec<Program> =
            units.iter().map(|unit| Program::new(heap, unit.pdi)).collect::<Result<_, _>>()?;
        let idle = (0..MAX_IN_FLIGHT).map(|_| CommandBuffer::new(&client)).collect::<Result<_, _>>()?;
        let (handle, syncobj) = create(&client, options)?;
        // From here on the context is destroyed on every way out.
        let context = Self {
            client,
            handle,
            syncobj,
            n_units: units.len() as u32,
            images,
            idle,
            pending: VecDeque::new(),
            is_failed: false,
        };
        context.configure(units)?;
        Ok(context)
    }

    fn configure(&self, units: &[Unit<'_>]) -> Result<(), Error> {
        let head = HwctxParamConfigCu { num_cus: units.len() as u16, ..HwctxParamConfigCu::default() };
        let mut parameter = bytes_of(&head).to_vec();
        for (unit, image) in units.iter().zip(&self.images) {
            let config = CuConfig { cu_bo: image.handle(), cu_func: unit.functional, pad: [0; 3] };
            parameter.extend_from_slice(bytes_of(&config));
        }
        let mut argument = ConfigHwctx {
            handle: self.handle,
            param_type: uapi::DRM_AMDXDNA_HWCTX_CONFIG_CU,
            param_val_size: parameter.len() as u32,
            ..ConfigHwctx::default()
        };
        let pointers = &mut [Pointer { at: offset_of!(ConfigHwctx, param_val), memory: &mut parameter }];
        seam::call_with(&*self.client.node, &uapi::CONFIG_HWCTX, &mut argument, pointers)
            .map_err(|errno| Error::driver("configuring the context", errno))
    }

    /// Submits a launch. Its buffers can be neither read nor written until it has been waited for.
    ///
    /// # Errors
    /// [`Error::QueueFull`] if [`MAX_IN_FLIGHT`] launches have not been waited for; [`Error::InUse`] if a buffer is
    /// being read or written; [`Error::Launch`] if it does not fit the kernel; [`Error::Lost`] if the context has
    /// failed; [`Error::Driver`].
    pub fn submit(&mut self, launch: &Launch<'_>) -> Result<Ticket, Error> {
        const WHAT: &str = "submitting a command";
        if self.is_failed {
            return Err(Error::Lost { what: WHAT });
        }
        if launch.unit >= self.n_units {
            let expected = format!("below {}", self.n_units);
            return Err(Error::Launch {
                thing: "the compute unit",
                found: launch.unit.to_string(),
                expected,
            });
        }
        let addresses: Vec<u64> = launch.buffers.iter().map(|buffer| buffer.shared().address()).collect();
        let instructions = launch.instructions;
        let n_words = u32::try_from(instructions.len() / 4).expect("the heap is smaller");
        let payload = launch.layout.payload(instructions.address(), n_words, &addresses)?;
        let buffers: Vec<Lent> =
            launch.buffers.iter().map(|buffer| buffer.shared().lend()).collect::<Result<_, _>>()?;
        let mut command = self.idle.pop().ok_or(Error::QueueFull)?;
        let handles = launch.buffers.iter().map(|buffer| buffer.shared().handle());
        let handles: Vec<u32> = handles.chain([instructions.handle()]).collect();
        let written = command.write(&packet::start_cu(launch.unit, &payload));
        let point = match written.and_then(|()| self.execute(&command, &handles)) {
            Ok(point) => point,
            Err(error) => {
                self.is_failed |= error.is_fatal();
                self.idle.push(command);
                return Err(error);
            }
        };
        self.pending.push_back(Pending {
            point,
            command,
            _instructions: instructions.clone(),
            _buffers: buffers,
        });
        Ok(Ticket(point))
    }

    fn execute(&self, command: &CommandBuffer, handles: &[u32]) -> Result<u64, Error> {
        let mut argument = ExecCmd {
            hwctx: self.handle,
            r#type: uapi::AMDXDNA_CMD_SUBMIT_EXEC_BUF,
            cmd_handles: command.handle().into(),
            cmd_count: 1,
            arg_count: handles.len() as u32,
            ..ExecCmd::default()
        };
        let mut handles = handles.to_vec();
        let memory = bytemuck::cast_slice_mut(&mut handles);
        let pointers = &mut [Pointer { at: offset_of!(ExecCmd, args), memory }];
        seam::call_with(&*self.client.node, &uapi::EXEC_CMD, &mut argument, pointers)
            .map_err(|errno| Error::driver("submitting a command", errno))?;
        Ok(argument.seq)
    }

    /// Waits until a launch is done, for `timeout` at most. Launches are done in the order of their submission.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::GivenUp`] or [`Error::Lost`] if the device must be opened anew;
    /// [`Error::Failed`] if only this launch failed.
    pub fn wait(&mut self, ticket: Ticket, timeout: Duration) -> Result<(), Error> {
        if self.pending.iter().any(|pending| pending.point == ticket.0)
            && let Err(error) = self.wait_for_point(ticket.0, timeout)
        {
            // What is in flight stays the device's until the context is gone.
            self.is_failed = true;
            return Err(error);
        }
        let mut outcome = Ok(());
        while let Some(pending) = self.pending.pop_front_if(|pending| pending.point <= ticket.0) {
            let is_asked = pending.point == ticket.0;
            let found = self.finish(pending);
            if is_asked {
                outcome = found;
            }
        }
        outcome
    }

    /// Submits a launch and waits for it.
    ///
    /// # Errors
    /// Those of [`Self::submit`] and [`Self::wait`].
    pub fn run(&mut self, launch: &Launch<'_>, timeout: Duration) -> Result<(), Error> {
        let ticket = self.submit(launch)?;
        self.wait(ticket, timeout)
    }

    fn wait_for_point(&self, point: u64, timeout: Duration) -> Result<(), Error> {
        let deadline = self.client.node.monotonic().saturating_add(timeout);
        let mut argument = SyncobjTimelineWait {
            timeout_nsec: i64::try_from(deadline.as_nanos()).unwrap_or(i64::MAX),
            count_handles: 1,
            flags: uapi::DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT,
            ..SyncobjTimelineWait::default()
        };
        let (mut handles, mut points) = ([self.syncobj], [point]);
        let pointers = &mut [
            Pointer {
                at: offset_of!(SyncobjTimelineWait, handles),
                memory: bytemuck::cast_slice_mut(&mut handles),
            },
            Pointer {
                at: offset_of!(SyncobjTimelineWait, points),
                memory: bytemuck::cast_slice_mut(&mut points),
            },
        ];
        seam::call_with(&*self.client.node, &uapi::SYNCOBJ_TIMELINE_WAIT, &mut argument, pointers).map_err(
            |errno| match errno {
                Errno::ETIME => Error::Timeout { after: timeout },
                errno => Error::driver("waiting for a command", errno),
            },
        )
    }

    /// Reads what has become of a command whose fence has signalled: that says only that it is over.
    fn finish(&mut self, mut pending: Pending) -> Result<(), Error> {
        let packet = pending.command.packet();
        let header = u32::from_le_bytes(packet[..4].try_into().expect("a packet has a header"));
        self.idle.push(pending.command);
        match State::of(header) {
            State::Completed => Ok(()),
            State::Error => Err(Error::Failed),
            state => {
                self.is_failed = true;
                Err(Error::GivenUp { state, health: Health::of(&packet) })
            }
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // The context first: memory that a hanging command uses cannot be unmapped before. Fields follow.
        let node = &*self.client.node;
        let mut destroy = DestroyHwctx { handle: self.handle, pad: 0 };
        if let Err(errno) = seam::call(node, &uapi::DESTROY_HWCTX, &mut destroy) {
            tracing::debug!(%errno, "a context could not be destroyed");
        }
        let mut destroy = SyncobjDestroy { handle: self.syncobj, pad: 0 };
        if let Err(errno) = seam::call(node, &uapi::SYNCOBJ_DESTROY, &mut destroy) {
            tracing::debug!(%errno, "a syncobj could not be destroyed");
        }
    }
}

/// Creates a context; returns its handle and its syncobj's.
fn create(client: &Client, options: &ContextOptions) -> Result<(u32, u32), Error> {
    let qos = QosInfo {
        fps: options.launches_per_second,
        priority: uapi::AMDXDNA_QOS_NORMAL_PRIORITY,
        ..QosInfo::default()
    };
    let mut qos = bytes_of(&qos).to_vec();
    let mut argument = CreateHwctx {
        max_opc: options.operations_per_cycle,
        num_tiles: u32::from(options.columns) * CORE_ROWS,
        ..CreateHwctx::default()
    };
    let pointers = &mut [Pointer { at: offset_of!(CreateHwctx, qos_p), memory: &mut qos }];
    seam::call_with(&*client.node, &uapi::CREATE_HWCTX, &mut argument, pointers).map_err(
        |errno| match errno {
            Errno::ENOSPC | Errno::EBUSY | Errno::EAGAIN => Error::NoRoom { source: errno },
            errno => Error::driver("making a context", errno),
        },
    )?;
    Ok((argument.handle, argument.syncobj_handle))
}
