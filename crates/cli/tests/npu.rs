//! `boswell npu`, through the program.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use xdna::array::Descriptor;
use xdna::loopback;
use xdna::stream::{Builder, Form, Header, Operation, Tile};
use xdna::xclbin::partition::{Group, GroupKind, Image, Partition};
use xdna::xclbin::{self, Kind, Section, metadata};
use xdna::{cdo, pdi};

fn boswell(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_boswell")).args(args).stdin(Stdio::null()).output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr_of_failure(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn save(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn inspect(path: &Path) -> (String, Value) {
    let path = path.to_str().unwrap();
    let text = stdout(&boswell(&["npu", "inspect", path]));
    let json = stdout(&boswell(&["npu", "inspect", "--json", path]));
    (text, serde_json::from_str(&json).unwrap())
}

fn a_cdo() -> Vec<u8> {
    cdo::write([
        cdo::Command::Write { address: 0x0021_F000, value: 2 },
        cdo::Command::MaskWrite { address: 0x0023_2000, mask: 1, value: 1 },
    ])
}

fn an_xclbin() -> Vec<u8> {
    let image = pdi::write(1, &a_cdo());
    let group = Group {
        name: "DPU".into(),
        kind: GroupKind::Primary,
        pdi_id: 1,
        kernel_ids: vec![0x901],
        pre_groups: vec![],
    };
    let partition = Partition {
        name: "QoS".into(),
        operations_per_cycle: 2048,
        columns: 1,
        start_columns: vec![1, 2, 3, 4],
        images: vec![Image { uuid: uuid::Uuid::nil(), pdi: &image, groups: vec![group] }],
    };
    let kernels = metadata::to_bytes(&[metadata::Kernel {
        name: "MLIR_AIE".into(),
        kernel_id: 0x901,
        functional: 0,
        arguments: vec![],
        instances: vec!["MLIRAIE".into()],
    }]);
    let section = |kind, bytes| Section { kind, name: "", bytes };
    xclbin::write(&[
        section(Kind::EMBEDDED_METADATA, &kernels),
        section(Kind::AIE_PARTITION, &partition.to_bytes()),
    ])
}

#[test]
fn inspect_shows_every_kind_of_file() {
    let folder = TempDir::new().unwrap();
    let (text, json) = inspect(&save(&folder, "a.cdo", &a_cdo()));
    assert!(text.contains("write      0x0021f000 = 0x00000002\n"), "{text}");
    assert_eq!(json["commands"][1]["op"], "maskwrite");

    let (text, json) = inspect(&save(&folder, "a.pdi", &pdi::write(5, &a_cdo())));
    assert!(text.contains("checksums        right\n"), "{text}");
    assert_eq!((&json["kind"], &json["id"]), (&"PDI".into(), &5.into()));

    let (text, json) = inspect(&save(&folder, "a.xclbin", &an_xclbin()));
    assert!(text.contains("MLIR_AIE") && text.contains("AIE_PARTITION"), "{text}");
    let partition = &json["sections"][1]["content"];
    assert_eq!(partition["images"][0]["image"]["commands"][0]["value"], "0x00000002");
    assert_eq!(json["sections"][0]["content"][0]["kernel_id"], "0x901");

    for form in [Form::Early, Form::V0_1, Form::V1_0] {
        let mut builder = Builder::new(Header::npu1(form, 4));
        builder.push(&Operation::Write { tile: Tile::default(), address: 0x1D214, value: 1 });
        let (text, json) = inspect(&save(&folder, "insts.bin", &builder.finish()));
        assert!(text.contains("write      0x0001d214 = 0x00000001\n"), "{text}");
        assert_eq!(json["form"], form.to_string());
    }
}

#[test]
fn inspect_says_what_is_wrong_with_a_file() {
    let folder = TempDir::new().unwrap();
    let cases: [(&[u8], &str); 4] = [
        (b"hello", "neither xclbin nor PDI nor CDO"),
        (&an_xclbin()[..600], "the xclbin's length is"),
        (b"\x7FELF and more", "an ELF file"),
        (&0x11_u32.to_le_bytes().repeat(20), "as in all streams of 2023"),
    ];
    for (bytes, expected) in cases {
        let path = save(&folder, "file", bytes);
        let stderr = stderr_of_failure(&boswell(&["npu", "inspect", path.to_str().unwrap()]));
        assert!(stderr.contains(expected), "{stderr}");
    }
    let stderr = stderr_of_failure(&boswell(&["npu", "inspect", "no/such/file"]));
    assert!(stderr.contains("cannot read `no/such/file`"), "{stderr}");
}

/// Writes a PDI whose memory tile gives back what it gets, 64 bytes, and its instruction stream.
fn save_loopback(folder: &TempDir) -> (PathBuf, PathBuf) {
    let image = loopback::image(16, &Descriptor::linear(0, 16)).to_pdi(1);
    let stream = loopback::Transfer::new(16, 16).stream(Form::V1_0);
    (save(folder, "loopback.pdi", &image), save(folder, "insts.bin", &stream))
}

#[test]
fn a_kernel_runs_on_the_emulator_from_a_pdi_and_from_an_xclbin_that_was_packed() {
    let folder = TempDir::new().unwrap();
    let (pdi, instructions) = save_loopback(&folder);
    let description =
        br#"{ "kernels": [{ "name": "COPY", "id": 2305, "pdi": "loopback.pdi" }], "columns": 1 }"#;
    let description = save(&folder, "copy.json", description);
    let xclbin = folder.path().join("copy.xclbin");
    let packed = boswell(&["npu", "pack", description.to_str().unwrap(), "-o", xclbin.to_str().unwrap()]);
    stdout(&packed);
    let (text, json) = inspect(&xclbin);
    assert!(text.contains("COPY") && text.contains("bo4"), "{text}");
    assert_eq!(json["sections"].as_array().unwrap().len(), 7);
    let input = save(&folder, "input", b"words that go through the array and back, 64 bytes of them .....");
    for program in [&pdi, &xclbin] {
        let output = folder.path().join("output");
        let buffers = [format!("in:{}", input.display()), format!("out:{}:64", output.display())];
        let [program, instructions] = [program, &instructions].map(|path| path.to_str().unwrap());
        let run = |extra: &[&str]| {
            let fixed = ["npu", "run", program, "--instructions", instructions, "--device", "emulator"];
            let buffers = ["--bo", &buffers[0], "--bo", &buffers[1]];
            boswell(&[&fixed[..], &buffers, extra].concat())
        };
        assert_eq!(stdout(&run(&[])), "1 launches on the emulator\n");
        assert_eq!(fs::read(&output).unwrap(), fs::read(&input).unwrap());
        let json: Value = serde_json::from_str(&stdout(&run(&["--json", "--repeats", "3"]))).unwrap();
        assert_eq!((&json["device"], &json["launches"]), (&"emulator".into(), &3.into()));
    }
}

#[test]
fn a_launch_that_fails_says_what_the_emulator_found() {
    let folder = TempDir::new().unwrap();
    let (pdi, instructions) = save_loopback(&folder);
    let input = save(&folder, "input", &[0; 64]);
    let buffer = format!("in:{}", input.display());
    let [pdi, instructions] = [&pdi, &instructions].map(|path| path.to_str().unwrap());
    let fixed = ["npu", "run", pdi, "--instructions", instructions, "--device", "emulator"];
    let stderr = stderr_of_failure(&boswell(&[&fixed[..], &["--bo", &buffer]].concat()));
    assert!(stderr.contains("and no bo1") && stderr.contains("firmware failed"), "{stderr}");
    let wrong = boswell(&[&fixed[..], &["--bo", "out:file"]].concat());
    assert_eq!(wrong.status.code(), Some(2));
    let stderr = String::from_utf8(wrong.stderr).unwrap();
    assert!(stderr.contains("the number of bytes is missing"), "{stderr}");
    for bytes in ["0", "99999999999", "-1"] {
        let wrong = boswell(&[&fixed[..], &["--bo", &format!("out:file:{bytes}")]].concat());
        assert_eq!(wrong.status.code(), Some(2));
        let stderr = String::from_utf8(wrong.stderr).unwrap();
        assert!(stderr.contains("no number of bytes from 1 to 1073741824"), "{stderr}");
    }
    let kernel = boswell(&[&fixed[..], &["--kernel", "COPY"]].concat());
    assert_eq!(kernel.status.code(), Some(2));
    let eight = ["--bo", "out:file:4"].repeat(8);
    let stderr = stderr_of_failure(&boswell(&[&fixed[..], &eight].concat()));
    assert!(stderr.contains("buffers is 8, expected at most 7"), "{stderr}");
}

#[test]
fn a_description_that_is_wrong_is_refused() {
    let folder = TempDir::new().unwrap();
    save_loopback(&folder);
    let cases = [
        (r#"{ "kernels": [] }"#, "missing field `columns`"),
        (r#"{ "kernels": [], "columns": 9 }"#, "5 columns"),
        (r#"{ "kernels": [], "columns": 1, "colour": 3 }"#, "colour"),
        (r#"{ "kernels": [{ "name": "A", "id": 1, "pdi": "none.pdi" }], "columns": 1 }"#, "none.pdi"),
        (
            r#"{ "kernels": [{ "name": "A", "id": 70000, "pdi": "loopback.pdi" }], "columns": 1 }"#,
            "at most 0xfff",
        ),
        (
            r#"{ "kernels": [{ "name": "A", "id": 1, "pdi": "loopback.pdi",
                 "arguments": [{ "name": "x", "type": "float" }] }], "columns": 1 }"#,
            "argument `x` has type `float`",
        ),
    ];
    for (description, expected) in cases {
        let path = save(&folder, "wrong.json", description.as_bytes());
        let output = folder.path().join("wrong.xclbin");
        let packed = boswell(&["npu", "pack", path.to_str().unwrap(), "-o", output.to_str().unwrap()]);
        let stderr = stderr_of_failure(&packed);
        assert!(stderr.contains(expected), "{stderr}");
        assert!(!output.exists());
    }
}

/// A machine's files below `folder`.
fn put(folder: &TempDir, path: &str, text: &str) {
    let path = folder.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn doctor_finds_what_is_missing_step_by_step() {
    let root = TempDir::new().unwrap();
    let doctor = || {
        let output = boswell(&["npu", "doctor", "--root", root.path().to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    put(&root, "proc/cpuinfo", "processor: 0\nmodel name\t: AMD Ryzen 7 7840U\n");
    put(
        &root,
        "proc/self/limits",
        "Max locked memory         8388608              8388608              bytes\n",
    );
    let text = doctor();
    assert!(text.contains("AMD Ryzen 7 7840U"), "{text}");
    assert!(text.contains("NO  NPU") && text.contains("no device 1022:1502"), "{text}");

    put(&root, "sys/bus/pci/devices/0000:c6:00.1/vendor", "0x1022\n");
    put(&root, "sys/bus/pci/devices/0000:c6:00.1/device", "0x1502\n");
    let text = doctor();
    assert!(text.contains("?   firmware file") && text.contains("NO  driver"), "{text}");
    assert!(text.contains("modprobe amdxdna"), "{text}");

    put(&root, "lib/firmware/amdnpu/1502_00/npu.sbin.xz", "");
    let device = "sys/bus/pci/drivers/amdxdna/0000:c6:00.1";
    for (name, value) in [("vendor", "0x1022"), ("device", "0x1502"), ("revision", "0x00")] {
        put(&root, &format!("{device}/{name}"), value);
    }
    let text = doctor();
    assert!(text.contains("ok  firmware file    amdnpu/1502_00/npu.sbin.xz"), "{text}");
    assert!(text.contains("?   locked memory    at most 8388608 bytes"), "{text}");
    assert!(text.contains("no node in /dev/accel"), "{text}");

    put(&root, &format!("{device}/accel/accel0/dev"), "261:0");
    put(&root, "dev/accel/accel0", "");
    let text = doctor();
    assert!(text.contains("not one of the DRM"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let json = boswell(&["npu", "doctor", "--json", "--root", root.path().to_str().unwrap()]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["usable"], false);
    assert_eq!(json["steps"].as_array().unwrap().last().unwrap()["state"], "bad");
}

#[test]
#[cfg(target_os = "linux")]
fn doctor_says_how_to_get_a_permission() {
    use std::os::unix::fs::PermissionsExt;

    let root = TempDir::new().unwrap();
    let device = "sys/bus/pci/devices/0000:c6:00.1";
    let driver = "sys/bus/pci/drivers/amdxdna/0000:c6:00.1";
    for (name, value) in [("vendor", "0x1022"), ("device", "0x1502"), ("revision", "0x00")] {
        put(&root, &format!("{device}/{name}"), value);
        put(&root, &format!("{driver}/{name}"), value);
    }
    put(&root, &format!("{driver}/accel/accel0/dev"), "261:0");
    put(&root, "dev/accel/accel0", "");
    let node = root.path().join("dev/accel/accel0");
    fs::set_permissions(&node, fs::Permissions::from_mode(0o000)).unwrap();
    let output = without_privileges(&["npu", "doctor", "--root", root.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("NO  device node      no permission to open"), "{text}");
    assert!(text.contains("usermod -aG render"), "{text}");
}

/// Runs the program without what root may do beyond an ordinary user.
#[cfg(target_os = "linux")]
fn without_privileges(args: &[&str]) -> Output {
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};

    // The capabilities of a thread are those of the processes that it starts, if these may gain none.
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let none = CapabilitySet::empty();
            set_no_new_privs(true).unwrap();
            set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
                .unwrap();
            boswell(args)
        });
        thread.join().unwrap()
    })
}

#[test]
fn doctor_is_content_with_the_emulator() {
    let text = stdout(&boswell(&["npu", "doctor", "--device", "emulator"]));
    assert!(text.contains("ok  firmware version 1.5.5.391"), "{text}");
    assert!(text.contains("ok  a launch") && text.contains("The NPU can be used."), "{text}");
}
