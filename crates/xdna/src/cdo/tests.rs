use proptest::prelude::*;

use super::*;

fn commands(data: &[u8]) -> Vec<Command<'_>> {
    vec![
        Command::MaskWrite { address: 0x0023_2000, mask: 2, value: 2 },
        Command::Write { address: 0x0021_F000, value: 2 },
        Command::DmaWrite { address: 0x0022_0000, data: Words::new(data) },
        Command::Write { address: 0x1_0021_F000, value: 3 },
        Command::MaskWrite { address: 0x2_0023_2000, mask: 1, value: 1 },
        Command::MaskPoll { address: 0x0023_2004, mask: 1, expected: 1, timeout_ms: 10 },
        Command::Nop { payload: 300 },
        Command::End,
    ]
}

#[test]
fn what_is_written_is_read_and_data_is_aligned() {
    for words in [0, 1, 4, 252, 253, 254, 1000] {
        let data: Vec<u8> = (0..words * 4).map(|idx| idx as u8).collect();
        let bytes = write(commands(&data));
        let cdo = Cdo::parse(&bytes).unwrap();
        let read: Vec<_> = cdo.commands().filter(|command| *command != Command::Nop { payload: 0 }).collect();
        assert_eq!(read, commands(&data));
        let Some(Command::DmaWrite { data, .. }) =
            cdo.commands().find(|command| matches!(command, Command::DmaWrite { .. }))
        else {
            panic!("no DMA write")
        };
        let offset = data.bytes().as_ptr() as usize - bytes.as_ptr() as usize;
        assert_eq!((offset + pdi::CDO_OFFSET) % 16, 0, "{words} words");
    }
}

#[test]
fn a_broken_cdo_is_refused_with_the_place() {
    let good = write(commands(&[0; 16]));
    let broken = |at: usize, value: u32| {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        Cdo::parse(&bytes).unwrap_err().to_string()
    };
    assert!(broken(4, 0x1234).contains("header"), "{}", broken(4, 0x1234));
    assert!(broken(16, 0).contains("checksum"));
    assert!(broken(20, 0x0003_010C).contains("command at word 0 is 0x0c"), "{}", broken(20, 0x0003_010C));
    assert!(broken(20, 0x0003_0202).contains("module 1"));
    assert!(broken(20, 0x0002_0102).contains("2 words, expected 3 words"));
    assert!(broken(20, 0x00FF_0102).contains("but only"));
    assert!(Cdo::parse(&good[..good.len() - 4]).unwrap_err().to_string().contains("commands need"));
}

#[test]
fn commands_lie_in_their_words_as_loaders_read_them() {
    let data = [1, 0, 0, 0, 2, 0, 0, 0];
    let cases: [(Command<'_>, &[u32]); 9] = [
        (Command::MaskWrite { address: 1, mask: 2, value: 3 }, &[0x0003_0102, 1, 2, 3]),
        (Command::Write { address: 1, value: 2 }, &[0x0002_0103, 1, 2]),
        (Command::DmaWrite { address: 0x7_0000_0001, data: Words::new(&data) }, &[0x0004_0105, 7, 1, 1, 2]),
        (
            Command::MaskPoll { address: 0x7_0000_0001, mask: 2, expected: 3, timeout_ms: 4 },
            &[0x0005_0106, 7, 1, 2, 3, 4],
        ),
        (Command::MaskWrite { address: 0x7_0000_0001, mask: 2, value: 3 }, &[0x0004_0107, 7, 1, 2, 3]),
        (Command::Write { address: 0x7_0000_0001, value: 2 }, &[0x0003_0108, 7, 1, 2]),
        (Command::Nop { payload: 1 }, &[0x0001_0111, 0]),
        (Command::Nop { payload: 0 }, &[0x0000_0111]),
        (Command::End, &[0x0000_01FF]),
    ];
    for (command, words) in cases {
        let mut bytes = Vec::new();
        command.encode(&mut bytes);
        assert_eq!(Words::new(&bytes).iter().collect::<Vec<_>>(), words, "{command}");
    }
    // From 255 words on, the length has a word of its own.
    let mut bytes = Vec::new();
    Command::DmaWrite { address: 0, data: Words::new(&[0; 253 * 4]) }.encode(&mut bytes);
    assert_eq!(Words::new(&bytes[..8]).iter().collect::<Vec<_>>(), [0x00FF_0105, 255]);
    // Length of the header, magic, version, words behind it, and NOT of their sum.
    let written = write([Command::Write { address: 1, value: 2 }]);
    let header: Vec<u32> = Words::new(&written[..20]).iter().collect();
    assert_eq!(header, [4, 0x004F_4443, 0x200, 3, !(4 + 0x004F_4443 + 0x200 + 3)]);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u32>(), 0..64), cut in 0_usize..300) {
        let mut words: Vec<u32> = vec![4, MAGIC, VERSION, body.len() as u32];
        words.push(!words.iter().fold(0_u32, |sum, word| sum.wrapping_add(*word)));
        words.extend(body);
        let mut bytes = Vec::new();
        words::push(&mut bytes, &words);
        if let Ok(cdo) = Cdo::parse(&bytes) {
            let mut again = Vec::new();
            cdo.commands().for_each(|command| command.encode(&mut again));
        }
        let _ = Cdo::parse(&bytes[..cut.min(bytes.len())]);
        let _ = Cdo::parse_transformed(&bytes, cut);
    }

    #[test]
    fn commands_that_exist_make_a_round_trip(
        kinds in prop::collection::vec((0_u32..6, any::<u64>(), any::<u32>(), any::<u32>(), 0_usize..300), 0..20)
    ) {
        let data: Vec<u8> = (0..1200).map(|idx| idx as u8).collect();
        let commands: Vec<Command<'_>> = kinds.iter().map(|&(kind, address, mask, value, len)| match kind {
            0 => Command::MaskWrite { address, mask, value },
            1 => Command::Write { address, value },
            2 => Command::DmaWrite { address, data: Words::new(&data[..len * 4]) },
            3 => Command::MaskPoll { address, mask, expected: value, timeout_ms: len as u32 },
            4 => Command::Nop { payload: len as u32 + 1 },
            _ => Command::Write { address: address & 0xFFFF_FFFF, value },
        }).collect();
        let bytes = write(commands.iter().copied());
        let read: Vec<_> = Cdo::parse(&bytes).unwrap().commands()
            .filter(|command| *command != Command::Nop { payload: 0 }).collect();
        prop_assert_eq!(read, commands);
    }
}
