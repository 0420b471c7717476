use std::collections::HashMap;
use std::path::PathBuf;

use serde_json::Value;

use super::*;

/// What a test needs to know of a struct: name, fields, size, and whether its bytes make a round trip.
struct Known {
    fields: &'static [(&'static str, usize, usize)],
    bytes: usize,
    round_trips: fn() -> bool,
}

fn known<T: Plain + PartialEq>() -> (&'static str, Known) {
    let round_trips = || {
        let bytes: Vec<u8> = (0..size_of::<T>()).map(|idx| idx as u8 ^ 0xA5).collect();
        let value: T = bytemuck::pod_read_unaligned(&bytes);
        bytemuck::bytes_of(&value) == bytes && value == bytemuck::pod_read_unaligned(&bytes)
    };
    (T::C_NAME, Known { fields: T::FIELDS, bytes: size_of::<T>(), round_trips })
}

macro_rules! all {
    ($($name:ident)*) => { HashMap::from([$(known::<$name>()),*]) };
}

fn all() -> HashMap<&'static str, Known> {
    all! {
        QosInfo CreateHwctx DestroyHwctx CuConfig HwctxParamConfigCu UcInfoEntry FwBufferMetadata ConfigHwctx VaEntry
        VaTbl CreateBo GetBoInfo SyncBo ExecCmd WaitCmd QueryAieStatus QueryAieVersion QueryAieTileMetadata
        QueryAieMetadata QueryClock QueryClockMetadata QuerySensor QueryHwctx GetPowerMode QueryFirmwareVersion
        GetResourceInfo AttributeState QueryTelemetryHeader GetInfo HwctxEntry AsyncError BoUsage AieCoredump
        AieTileAccess DptMetadata SetDptState GetDptState GetArray SetState SetPowerMode Version GemClose PrimeHandle
        SyncobjCreate SyncobjDestroy SyncobjHandle SyncobjTimelineWait SyncobjTimelineArray
    }
}

#[test]
fn every_struct_round_trips_and_its_fields_fill_it() {
    for (name, known) in all() {
        assert!((known.round_trips)(), "{name}");
        let end = known.fields.iter().fold(0, |end, (field, offset, bytes)| {
            assert_eq!(end, *offset, "{name}.{field}");
            end + bytes
        });
        assert_eq!(end, known.bytes, "{name}");
    }
}

#[test]
fn numbers_hold_the_sizes_and_the_drivers_letter() {
    let structs = all();
    for (name, number, argument) in IOCTLS {
        assert_eq!((number >> 16 & 0x3FFF) as usize, structs[argument].bytes, "{name}");
        assert_eq!(number >> 8 & 0xFF, u32::from(b'd'), "{name}");
    }
}

fn reference() -> Value {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    let shared = std::env::var_os("BOSWELL_SHARED").map_or(beside.into(), PathBuf::from);
    serde_json::from_slice(&std::fs::read(shared.join("npu/uapi.json")).unwrap()).unwrap()
}

#[test]
#[ignore = "needs ../shared"]
fn sizes_and_offsets_equal_those_of_the_c_compiler() {
    let (reference, structs) = (reference(), all());
    let expected = reference["structs"].as_object().unwrap();
    assert_eq!(structs.len(), expected.len());
    for (name, layout) in expected {
        let known = &structs[name.as_str()];
        assert_eq!(known.bytes as u64, layout["bytes"].as_u64().unwrap(), "{name}");
        let fields = layout["fields"].as_array().unwrap().iter().filter(|field| field["flexible"].is_null());
        let ours = known.fields.iter().filter(|(field, ..)| *field != "hole");
        let ours: Vec<_> = ours
            .map(|(field, offset, bytes)| (field.trim_start_matches("r#"), *offset as u64, *bytes as u64))
            .collect();
        let theirs: Vec<_> = fields
            .map(|field| {
                let number = |key: &str| field[key].as_u64().unwrap();
                (field["name"].as_str().unwrap(), number("offset"), number("bytes"))
            })
            .collect();
        assert_eq!(ours, theirs, "{name}");
    }
}

#[test]
#[ignore = "needs ../shared"]
fn numbers_and_constants_equal_those_of_the_headers() {
    let reference = reference();
    let expected = reference["ioctls"].as_object().unwrap();
    assert_eq!(IOCTLS.len(), expected.len());
    for (name, number, argument) in IOCTLS {
        let long = ["DRM_IOCTL_AMDXDNA_", "DRM_IOCTL_"].map(|prefix| format!("{prefix}{name}"));
        let entry = long.iter().find_map(|long| expected.get(long)).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(format!("0x{number:08X}"), entry["number"].as_str().unwrap(), "{name}");
        assert_eq!(*argument, entry["argument"].as_str().unwrap(), "{name}");
    }
    let enums = reference["enums"].as_object().unwrap().values().flat_map(|all| all.as_object().unwrap());
    let values: HashMap<&str, i128> = enums
        .chain(reference["constants"].as_object().unwrap())
        .map(|(name, value)| {
            (name.as_str(), value.as_u64().map_or_else(|| i128::from(value.as_i64().unwrap()), i128::from))
        })
        .collect();
    for (name, value) in CONSTANTS {
        assert_eq!(values.get(name), Some(value), "{name}");
    }
}
