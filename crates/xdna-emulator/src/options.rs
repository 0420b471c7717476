//! What machine is emulated.

use std::time::Duration;

use xdna::device::DriverVersion;

/// Which addresses the device uses for the host's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// The process's own (PASID): a buffer has no address before it is mapped.
    Process,
    /// Addresses that the driver gives (IOVA).
    Given,
}

/// What machine is emulated.
#[derive(Debug, Clone)]
pub struct Options {
    /// The driver's version.
    pub driver_version: DriverVersion,
    /// Which addresses the device uses.
    pub addressing: Addressing,
    /// How long a command may take before the driver gives it up.
    pub hang_limit: Duration,
    /// Whether cores are stopped that store outside of their stack and the buffers that the DMA takes from them.
    pub guard: bool,
    /// Bundles that a core may issue in a context; more than any kernel needs.
    pub cycle_limit: u64,
    /// How long the driver waits for commands when their context is destroyed.
    pub drain_limit: Duration,
}

impl Default for Options {
    /// A driver as of 2026, with the process's addresses.
    fn default() -> Self {
        Self {
            driver_version: DriverVersion { major: 0, minor: 6 },
            addressing: Addressing::Process,
            hang_limit: Duration::from_secs(60),
            guard: false,
            cycle_limit: 100_000_000_000,
            drain_limit: Duration::from_secs(2),
        }
    }
}
