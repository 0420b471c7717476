use proptest::prelude::*;

use super::*;
use crate::cdo::{self, Command};

fn cdo_bytes() -> Vec<u8> {
    let data = Words::new(&[1, 0, 0, 0, 2, 0, 0, 0]);
    cdo::write([
        Command::Write { address: 0x0021_F000, value: 2 },
        Command::DmaWrite { address: 0x0020_0400, data },
    ])
}

#[test]
fn what_is_written_is_read() {
    let cdo = cdo_bytes();
    let bytes = write(7, &cdo);
    let pdi = Pdi::parse(&bytes).unwrap();
    assert_eq!((pdi.id(), pdi.idcode(), pdi.checksums_hold()), (7, IDCODE, true));
    assert_eq!(pdi.cdo(), Cdo::parse(&cdo).unwrap());
}

#[test]
fn a_wrong_checksum_is_told_and_wrong_counts_are_refused() {
    let mut bytes = write(7, &cdo_bytes());
    bytes[IMAGE_OFFSET + 8] ^= 1;
    assert!(!Pdi::parse(&bytes).unwrap().checksums_hold());
    bytes[TABLE_OFFSET + 12] = 2;
    assert!(Pdi::parse(&bytes).unwrap_err().to_string().contains("1 images and 2 partitions"));
    assert!(Pdi::parse(&bytes[..0x100]).unwrap_err().to_string().contains("partition header"));
}

/// The same commands as [`cdo_bytes`], grouped, with the data behind them.
fn transformed() -> Vec<u8> {
    let mut bytes = write(7, &cdo_bytes()[..20]);
    let mut commands = Vec::new();
    words::push(&mut commands, &[3, 1, 0x0021_F000, 2]);
    words::push(&mut commands, &[5, 1, 0, 0x0020_0400, 0, 1 << 16 | 2]);
    let length = commands.len() as u32;
    let mark = TRANSFORM_MARK | 1 << 8 | length << 16;
    for (at, value) in [(112, TRANSFORMED), (116, length), (120, mark)] {
        bytes[PARTITION_OFFSET + at..][..4].copy_from_slice(&value.to_le_bytes());
    }
    bytes.extend(commands);
    words::push(&mut bytes, &[1, 2]);
    bytes
}

#[test]
fn a_transformed_image_means_the_same() {
    let (plain, transformed) = (write(7, &cdo_bytes()), transformed());
    let commands = |bytes: &[u8]| -> Vec<String> {
        let pdi = Pdi::parse(bytes).unwrap();
        let commands = pdi.cdo().commands().filter(|command| !matches!(command, Command::Nop { .. }));
        commands.map(|command| format!("{command:?}")).collect()
    };
    assert_eq!(commands(&plain), commands(&transformed));
    assert!(Pdi::parse(&transformed).unwrap().cdo().is_transformed());
    // Packers have cut off as much as a CDO's header.
    let short = &transformed[..transformed.len() - 4];
    assert_eq!(commands(short).len(), 2);
    let mut shorter = transformed.clone();
    let length = shorter.len() - 12;
    shorter[length..length + 4].copy_from_slice(&30_u32.to_le_bytes());
    assert!(Pdi::parse(&shorter).unwrap_err().to_string().contains("data zone"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(at in 0_usize..600, value: u32, cut in 0_usize..600) {
        for good in [write(7, &cdo_bytes()), transformed()] {
            let mut bytes = good;
            let at = at.min(bytes.len() - 4);
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            if let Ok(pdi) = Pdi::parse(&bytes) {
                pdi.cdo().commands().count();
            }
            let _ = Pdi::parse(&bytes[..cut.min(bytes.len())]);
        }
    }
}
