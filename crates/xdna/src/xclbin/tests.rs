use proptest::prelude::*;

use super::metadata::{Argument, Kernel, Qualifier};
use super::partition::{Group, GroupKind, Image, Partition};
use super::topology::{Connection, Instance, Memory};
use super::*;

fn partition(pdi: &[u8]) -> Partition<'_> {
    Partition {
        name: "QoS".into(),
        operations_per_cycle: 2048,
        columns: 1,
        start_columns: vec![1, 2, 3, 4],
        images: vec![Image {
            uuid: Uuid::from_u128(0x1234),
            pdi,
            groups: vec![Group {
                name: "DPU".into(),
                kind: GroupKind::Primary,
                pdi_id: 1,
                kernel_ids: vec![0x901],
                pre_groups: vec![0xC1],
            }],
        }],
    }
}

fn kernels() -> Vec<Kernel> {
    let argument = |id: u32, name: &str, qualifier, offset, size| Argument {
        name: name.into(),
        id,
        qualifier,
        offset,
        size,
        c_type: if qualifier == Qualifier::Global { "void *" } else { "uint64_t" }.into(),
    };
    vec![Kernel {
        name: "MLIR_AIE \"<&>\"".into(),
        kernel_id: 0x901,
        functional: 0,
        arguments: vec![
            argument(0, "opcode", Qualifier::Scalar, 0, 8),
            argument(1, "instr", Qualifier::Global, 8, 8),
            argument(2, "bo0", Qualifier::Global, 0x14, 8),
        ],
        instances: vec!["MLIRAIE".into()],
    }]
}

fn file() -> Vec<u8> {
    let section = |kind, bytes| Section { kind, name: "one", bytes };
    write(&[
        section(Kind::EMBEDDED_METADATA, &metadata::to_bytes(&kernels())),
        section(Kind::AIE_PARTITION, &partition(&[7; 1001]).to_bytes()),
        section(Kind::MEM_TOPOLOGY, &topology::to_bytes(&[Memory::new("HOST", 0x10000, 0x400_0000)])),
    ])
}

#[test]
fn what_is_written_is_read() {
    let bytes = file();
    let xclbin = Xclbin::parse(&bytes).unwrap();
    assert_eq!(bytes.len() % 8, 0);
    assert_eq!(xclbin.sections().len(), 3);
    assert_eq!(xclbin.sections()[1].name, "one");
    assert_eq!(metadata::parse(xclbin.required(Kind::EMBEDDED_METADATA).unwrap()).unwrap(), kernels());
    let section = xclbin.required(Kind::AIE_PARTITION).unwrap();
    let read = Partition::parse(section).unwrap();
    assert_eq!(read, partition(&[7; 1001]));
    assert_eq!(read.to_bytes(), section);
    assert!(read.image_of(0x901).is_some() && read.image_of(0x902).is_none());
    assert_eq!(xclbin.uuid().get_version_num(), 8);
    assert_eq!(write(xclbin.sections()), bytes);
    let error = xclbin.required(Kind::IP_LAYOUT).unwrap_err().to_string();
    assert!(
        error.contains("EMBEDDED_METADATA, AIE_PARTITION, MEM_TOPOLOGY, expected one with IP_LAYOUT"),
        "{error}"
    );
}

#[test]
fn lists_make_a_round_trip() {
    let memories = [Memory::new("HOST", 0x10000, 0x400_0000), Memory::new("SRAM", 0xC000, 0x400_0000)];
    let read: Vec<Memory> = topology::parse(&topology::to_bytes(&memories)).unwrap();
    assert_eq!((read[1].tag(), read[1].size_kb, read[1].used), ("SRAM".into(), 0xC000, 1));
    let connections = [Connection { argument: 1, instance: 0, memory: 1 }];
    assert_eq!(topology::parse::<Connection>(&topology::to_bytes(&connections)).unwrap(), connections);
    let instances = [Instance::dpu("MLIR_AIE:MLIRAIE", 0, 0x901)];
    let read: Vec<Instance> = topology::parse(&topology::to_bytes(&instances)).unwrap();
    assert_eq!((read[0].name(), read[0].properties), ("MLIR_AIE:MLIRAIE".into(), 0x0901_0001));
    let error = topology::parse::<Memory>(&(-1_i64).to_le_bytes()).unwrap_err().to_string();
    assert_eq!(error, "MEM_TOPOLOGY's number of entries is -1, expected 0 or more");
}

#[test]
fn a_description_without_what_a_kernel_needs_is_refused() {
    let wrap = |inner: &str| {
        let xml = format!("<project><platform><device><core>{inner}</core></device></platform></project>");
        metadata::parse(xml.as_bytes()).map(|kernels| kernels.len()).map_err(|error| error.to_string())
    };
    let ids = |id: &str| format!("<extended-data functional=\"0\" dpu_kernel_id=\"{id}\"/>");
    assert_eq!(wrap(""), Ok(0));
    assert_eq!(wrap(&format!("<kernel name=\"a\">{}</kernel>", ids("0x901"))), Ok(1));
    assert!(wrap(&format!("<kernel>{}</kernel>", ids("1"))).unwrap_err().contains("without `name`"));
    assert_eq!(wrap("<kernel name=\"placeholder\"/>"), Ok(0));
    assert!(
        wrap(&format!("<kernel name=\"a\">{}</kernel>", ids("x")))
            .unwrap_err()
            .contains("`x`, expected a number")
    );
    let many = format!("<kernel name=\"a\">{}{}</kernel>", ids("1"), "<instance name=\"i\"/>".repeat(33));
    assert!(wrap(&many).unwrap_err().contains("33 of them"));
    assert!(metadata::parse(b"<project>").is_err());
}

#[test]
fn a_kernel_runs_on_one_image() {
    let mut partition = partition(&[7; 16]);
    partition.images.push(partition.images[0].clone());
    let error = Partition::parse(&partition.to_bytes()).unwrap_err().to_string();
    assert!(error.contains("0x901 of two images"), "{error}");
    partition.images[1].groups[0].kernel_ids = vec![0x902];
    assert_eq!(Partition::parse(&partition.to_bytes()).unwrap(), partition);
}

#[test]
fn a_broken_file_is_refused_with_the_place() {
    let good = file();
    let broken = |at: usize, value: u64| {
        let mut bytes = good.clone();
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        Xclbin::parse(&bytes).unwrap_err().to_string()
    };
    assert!(broken(0, 0).contains("magic"));
    assert!(broken(304, 1).contains("length is 1 in its header"));
    assert!(broken(448, 10_001).contains("number of sections is 10001"));
    assert!(broken(456 + 24, u64::MAX).contains("EMBEDDED_METADATA needs"));
    assert!(broken(456 + 32, u64::MAX).contains("EMBEDDED_METADATA needs"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(at in 0_usize..3000, value: u32, cut in 0_usize..4000) {
        let good = file();
        let mut bytes = good.clone();
        let at = at.min(bytes.len() - 4);
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        for bytes in [&bytes[..], &good[..cut.min(good.len())]] {
            if let Ok(xclbin) = Xclbin::parse(bytes) {
                for section in xclbin.sections() {
                    let _ = Partition::parse(section.bytes);
                    let _ = metadata::parse(section.bytes);
                    let _ = topology::parse::<Memory>(section.bytes);
                }
            }
        }
    }

    #[test]
    fn any_sections_make_a_round_trip(contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8)) {
        let sections: Vec<Section<'_>> = contents.iter().enumerate()
            .map(|(idx, bytes)| Section { kind: Kind(idx as u32), name: "s", bytes }).collect();
        let bytes = write(&sections);
        let xclbin = Xclbin::parse(&bytes).unwrap();
        prop_assert_eq!(xclbin.sections(), &sections[..]);
    }
}
