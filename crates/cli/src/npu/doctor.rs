//! `boswell npu doctor`: what the NPU of a machine needs, step by step.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use xdna::device::{self, Device, Found, NPU1_DEVICE, VENDOR_AMD};
use xdna::loopback;
use xdna::memory::HEAP_BYTES;
use xdna_emulator::{Emulator, Options};

use crate::args::{DoctorArgs, NpuDevice};
use crate::screen::Screen;

/// How long the launch of a test may take.
const LAUNCH_TIME: Duration = Duration::from_secs(10);

/// What a step has found.
enum Finding {
    Good(String),
    /// What is wrong, and what to do about it.
    Bad(String, &'static str),
    /// It may be all right.
    Unclear(String, &'static str),
}

use Finding::{Bad, Good, Unclear};

/// The steps done so far.
#[derive(Default)]
struct Report(Vec<(&'static str, Finding)>);

impl Report {
    fn add(&mut self, step: &'static str, finding: Finding) {
        self.0.push((step, finding));
    }

    fn is_good(&self) -> bool {
        !self.0.iter().any(|(_, finding)| matches!(finding, Bad(..)))
    }
}

/// Checks the machine and prints what was found. The exit code is 0 if the NPU can be used.
///
/// # Errors
/// If standard output does not take it.
pub(crate) fn run(args: &DoctorArgs, screen: &Screen) -> Result<ExitCode> {
    let mut report = Report::default();
    match args.device {
        NpuDevice::Npu => check_machine(&args.root, &mut report),
        NpuDevice::Emulator => match Device::new(Emulator::new(Options::default()).open()) {
            Ok(device) => check_device(&device, &mut report),
            Err(error) => report.add("device", Bad(error.to_string(), "report it: the emulator must open")),
        },
    }
    let text = if args.json { format!("{:#}\n", as_json(&report)) } else { as_text(&report) };
    screen.result(text.as_bytes())?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The steps before the device is open, each of which the next ones need.
fn check_machine(root: &Path, report: &mut Report) {
    report.add("processor", Good(processor(root)));
    report.add("kernel", Good(first_line(&root.join("proc/sys/kernel/osrelease"))));
    if !has_npu(root) {
        let advice = "only Ryzen 7040 and 8040 processors (Phoenix, Hawk Point) have this NPU; where there is one, the \
                      firmware setup may have switched it off (\"IPU\" or \"NPU\"). Its programs run on any machine \
                      with `boswell npu run --device emulator`";
        report.add("NPU", Bad("no device 1022:1502 on the PCI bus".into(), advice));
        return;
    }
    report.add("NPU", Good("1022:1502 on the PCI bus".into()));
    firmware(root, report);
    let found = device::find(root);
    let Some(npu) = found.iter().find(|found| found.is_npu1()) else {
        let advice = "the driver comes with Linux 6.14 and later (DRM_ACCEL_AMDXDNA): `sudo modprobe amdxdna`, and \
                      `sudo dmesg | grep amdxdna` to see what it says";
        report.add("driver", Bad("amdxdna has not taken the NPU".into(), advice));
        return;
    };
    report.add("driver", Good(format!("amdxdna has taken {}", npu.bdf)));
    memory_limit(root, report);
    open(npu, report);
}

fn open(npu: &Found, report: &mut Report) {
    match npu.open() {
        Ok(device) => check_device(&device, report),
        Err(error) => {
            let finding = match error {
                xdna::Error::Permission { path } => Bad(
                    format!("no permission to open `{}`", path.display()),
                    "become a member of the group that owns it, most often with \
                     `sudo usermod -aG render $USER`, and log in again",
                ),
                error => Bad(
                    chain(&error),
                    "`sudo dmesg | grep amdxdna` says why: most often the firmware is missing or does not fit",
                ),
            };
            report.add("device node", finding);
        }
    }
}

/// The steps on an open device.
fn check_device(device: &Device, report: &mut Report) {
    report.add("driver version", Good(device.driver_version().to_string()));
    let answer = |what: Result<String, xdna::Error>| match what {
        Ok(found) => Good(found),
        Err(error) => Unclear(chain(&error), "the driver may be too old: update the kernel"),
    };
    report.add("firmware version", answer(device.firmware_version().map(|version| version.to_string())));
    report.add(
        "array",
        answer(device.array().map(|array| format!("{} columns, {} rows", array.columns, array.rows))),
    );
    report.add(
        "clocks",
        answer(device.clocks().map(|clocks| {
            format!("array {} MHz, controller {} MHz", clocks.array_mhz, clocks.controller_mhz)
        })),
    );
    report.add("contexts in use", answer(device.contexts().map(|contexts| contexts.len().to_string())));
    let launch = loopback::check(device, LAUNCH_TIME);
    report.add(
        "a launch",
        match launch {
            Ok(()) => Good("data went through the array and came back".into()),
            Err(error) => {
                Bad(chain(&error), "`sudo dmesg | grep amdxdna` may say why; other programs may use the NPU")
            }
        },
    );
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        write!(text, ": {inner}").expect("a string takes everything");
        cause = inner.source();
    }
    text
}

fn first_line(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().next().map_or_else(|| "unknown".into(), |line| line.trim().to_owned())
}

fn processor(root: &Path) -> String {
    let text = fs::read_to_string(root.join("proc/cpuinfo")).unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| "unknown".into(), |(_, name)| name.trim().to_owned())
}

/// Whether an npu1 is on the PCI bus, with or without a driver.
fn has_npu(root: &Path) -> bool {
    let entries = fs::read_dir(root.join("sys/bus/pci/devices")).into_iter().flatten().flatten();
    let is = |folder: &Path, name: &str, number: u16| {
        let text = first_line(&folder.join(name));
        u16::from_str_radix(text.trim_start_matches("0x"), 16).is_ok_and(|found| found == number)
    };
    entries
        .map(|entry| entry.path())
        .any(|folder| is(&folder, "vendor", VENDOR_AMD) && is(&folder, "device", NPU1_DEVICE))
}

fn firmware(root: &Path, report: &mut Report) {
    let folder = root.join("lib/firmware/amdnpu/1502_00");
    let files = fs::read_dir(&folder).into_iter().flatten().flatten();
    let names: Vec<String> = files.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    report.add("firmware file", match names.iter().find(|name| name.contains(".sbin")) {
        Some(name) => Good(format!("amdnpu/1502_00/{name}")),
        None => Unclear(
            "no amdnpu/1502_00/*.sbin in /lib/firmware".into(),
            "install linux-firmware (Debian: firmware-amd-graphics), unless your distribution keeps it elsewhere",
        ),
    });
}

/// How much memory this user may lock; the driver locks what it maps.
fn memory_limit(root: &Path, report: &mut Report) {
    let limits = fs::read_to_string(root.join("proc/self/limits")).unwrap_or_default();
    let limit =
        limits.lines().find_map(|line| line.strip_prefix("Max locked memory")?.split_whitespace().next());
    report.add("locked memory", match limit {
        Some("unlimited") => Good("unlimited".into()),
        Some(limit) if limit.parse::<u64>().is_ok_and(|limit| limit >= 4 * HEAP_BYTES as u64) => {
            Good(format!("{limit} bytes"))
        }
        limit => Unclear(
            format!("at most {} bytes", limit.unwrap_or("an unknown number of")),
            "raise it with a line `* - memlock unlimited` in /etc/security/limits.d/npu.conf, and log in again",
        ),
    });
}

fn as_json(report: &Report) -> Value {
    let steps = report.0.iter().map(|(step, finding)| {
        let (state, found, advice) = match finding {
            Good(found) => ("good", found, None),
            Bad(found, advice) => ("bad", found, Some(advice)),
            Unclear(found, advice) => ("unclear", found, Some(advice)),
        };
        json!({ "step": step, "state": state, "found": found, "advice": advice })
    });
    json!({ "usable": report.is_good(), "steps": steps.collect::<Vec<_>>() })
}

fn as_text(report: &Report) -> String {
    let mut text = String::new();
    for (step, finding) in &report.0 {
        let (mark, found, advice) = match finding {
            Good(found) => ("ok", found, None),
            Bad(found, advice) => ("NO", found, Some(advice)),
            Unclear(found, advice) => ("?", found, Some(advice)),
        };
        push_wrapped(&mut text, &format!("{mark:<3} {step:<16} "), found);
        if let Some(advice) = advice {
            push_wrapped(&mut text, &format!("{:21}→ ", ""), advice);
        }
    }
    let verdict = if report.is_good() { "The NPU can be used." } else { "The NPU cannot be used." };
    writeln!(text, "\n{verdict}").expect("a string takes everything");
    text
}

/// Appends `words` behind `head`, in lines of up to 80 characters that begin below the first word.
fn push_wrapped(text: &mut String, head: &str, words: &str) {
    const WIDTH: usize = 80;
    let indent = head.chars().count();
    text.push_str(head);
    let mut column = indent;
    for word in words.split_whitespace() {
        let width = word.chars().count();
        if column > indent && column + 1 + width > WIDTH {
            write!(text, "\n{:indent$}", "").expect("a string takes everything");
            column = indent;
        }
        if column > indent {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += width;
    }
    text.push('\n');
}
