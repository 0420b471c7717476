//! `boswell npu`, through the program.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

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

    for form in [Form::V0_1, Form::V1_0] {
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
        (&0x11_u32.to_le_bytes().repeat(20), "2023"),
    ];
    for (bytes, expected) in cases {
        let path = save(&folder, "file", bytes);
        let stderr = stderr_of_failure(&boswell(&["npu", "inspect", path.to_str().unwrap()]));
        assert!(stderr.contains(expected), "{stderr}");
    }
    let stderr = stderr_of_failure(&boswell(&["npu", "inspect", "no/such/file"]));
    assert!(stderr.contains("cannot read `no/such/file`"), "{stderr}");
}
