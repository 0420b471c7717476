use tempfile::TempDir;

use super::*;

/// A machine's files, with devices of these places and numbers.
fn machine(devices: &[(&str, &str, Option<&str>)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (bdf, device, node) in devices {
        let folder = root.path().join("sys/bus/pci/drivers/amdxdna").join(bdf);
        fs::create_dir_all(&folder).unwrap();
        for (name, value) in
            [("vendor", "0x1022"), ("device", device), ("revision", "0x00"), ("vbnv", "RyzenAI-npu1")]
        {
            fs::write(folder.join(name), format!("{value}\n")).unwrap();
        }
        if let Some(node) = node {
            fs::create_dir_all(folder.join("accel").join(node)).unwrap();
        }
    }
    root
}

#[test]
fn devices_are_found_by_their_driver_and_told_apart() {
    let root =
        machine(&[("0000:c6:00.1", "0x1502", Some("accel0")), ("0000:04:00.1", "0x17f0", Some("accel1"))]);
    fs::create_dir_all(root.path().join("sys/bus/pci/drivers/amdxdna/module")).unwrap();
    let found = find(root.path());
    assert_eq!(
        found.iter().map(|found| found.bdf.as_str()).collect::<Vec<_>>(),
        ["0000:04:00.1", "0000:c6:00.1"]
    );
    assert!(!found[0].is_npu1() && found[1].is_npu1());
    assert_eq!(found[1].name.as_deref(), Some("RyzenAI-npu1"));
    assert_eq!(found[1].node.as_deref(), Some(root.path().join("dev/accel/accel0").as_path()));
    let error = found[0].open().unwrap_err().to_string();
    assert!(error.contains("1022:17f0 revision 0, not an npu1"), "{error}");
    assert!(find(&root.path().join("nothing")).is_empty());
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn an_open_that_fails_says_what_to_do() {
    use std::os::unix::fs::PermissionsExt;

    let root = machine(&[("0000:c6:00.1", "0x1502", Some("accel0")), ("0000:c7:00.1", "0x1502", None)]);
    let found = find(root.path());
    let error = found[0].open().unwrap_err().to_string();
    assert!(error.contains("there is no `") && error.contains("6.14"), "{error}");
    let error = found[1].open().unwrap_err().to_string();
    assert!(error.contains("no node in /dev/accel"), "{error}");

    let node = found[0].node.clone().unwrap();
    fs::create_dir_all(node.parent().unwrap()).unwrap();
    fs::write(&node, "not a device").unwrap();
    let error = found[0].open().unwrap_err();
    assert!(matches!(error, Error::ForeignNode { .. }), "{error}");
    fs::set_permissions(&node, fs::Permissions::from_mode(0o000)).unwrap();
    as_an_ordinary_user(|| {
        let error = found[0].open().unwrap_err();
        assert!(matches!(error, Error::Permission { .. }), "{error}");
        assert!(error.to_string().contains("usermod -aG render"), "{error}");
    });
}

/// Runs `test` in a thread that may open only what its user may, even if that user is root.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn as_an_ordinary_user(test: impl FnOnce() + Send) {
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            set_capabilities(None, none).unwrap();
            test();
        });
        thread.join().unwrap();
    });
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn another_driver_s_node_is_refused() {
    let error = open_node(Path::new("/dev/null")).unwrap_err().to_string();
    assert!(error.contains("not one of the DRM"), "{error}");
}
