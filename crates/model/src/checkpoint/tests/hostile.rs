//! Files that are cut off, changed or made up: each gives an error, none a panic.

use proptest::prelude::*;
use serde_json::json;

use super::super::{config, ggml, pickle, recognise, safetensors, torch};
use super::write::{self, int, safetensors_file, text, weights};
use super::{Checkpoint, hugging_face};
use crate::{Dims, Error, Generation};

type Reader = fn(&[u8]) -> Result<super::Contents, Error>;

/// A small file of each format, and what reads it.
fn files() -> [(&'static str, Vec<u8>, Reader); 3] {
    let weights = weights();
    [
        ("safetensors", write::safetensors(&weights, true, str::to_owned), |file| {
            safetensors::read(file, "f", 0)
        }),
        ("torch", write::torch(&weights), |file| torch::read(file, "f")),
        ("ggml", write::ggml(&weights, &[b"a", b"bc"]), |file| ggml::read(file, "f")),
    ]
}

/// Reads a file and every tensor in it; neither may panic, whatever the file.
fn survive(read: Reader, file: &[u8]) {
    let Ok(contents) = read(file) else { return };
    for entry in contents.tensors.values() {
        let Ok(dtype) = entry.dtype else { continue };
        let bytes = &file[entry.bytes.clone()];
        assert_eq!(dtype.byte_len(&entry.shape), Some(bytes.len()));
        let _ = super::Tensor::new("t".to_owned(), entry.shape.clone(), dtype, bytes.into()).to_f32();
    }
    for range in contents.tokens.iter().flatten() {
        let _ = &file[range.clone()];
    }
}

#[test]
fn every_cut_gives_an_error() {
    for (format, file, read) in files() {
        assert!(read(&file).is_ok());
        // In steps, for time; ggml files that end with a tensor are complete.
        for len in (0..file.len()).filter(|len| len % 7 == 0 || *len > file.len() - 100 || *len < 300) {
            let result = read(&file[..len]);
            let is_complete =
                format == "ggml" && result.as_ref().is_ok_and(|found| found.tensors.len() < weights().len());
            assert!(is_complete || result.is_err(), "{format}: {len} of {} bytes are a model", file.len());
        }
    }
}

#[test]
fn every_changed_byte_is_survived() {
    for (_, file, read) in files() {
        for place in
            (0..file.len()).filter(|place| *place < 4000 || *place + 4000 > file.len() || place % 61 == 0)
        {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = file.clone();
                changed[place] = byte;
                survive(read, &changed);
            }
        }
    }
}

#[test]
fn cut_files_name_what_is_cut() {
    let [(_, by_hf, _), (_, by_torch, _), (_, by_ggml, _)] = files();
    let cut = |file: &[u8], read: Reader| match read(&file[..file.len() - 1]) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("a file that is cut off is a model"),
    };
    let (len, cut_len) = (by_hf.len(), by_hf.len() - 1);
    let expected = "`f` is cut off: tensor `decoder.blocks.1.mlp.0.weight` ends at byte";
    assert_eq!(
        cut(&by_hf, |file| safetensors::read(file, "f", 0)),
        format!("{expected} {len}, the file has {cut_len}")
    );
    let (len, cut_len) = (by_ggml.len(), by_ggml.len() - 1);
    assert_eq!(
        cut(&by_ggml, |file| ggml::read(file, "f")),
        format!("{expected} {len}, the file has {cut_len}")
    );
    assert_eq!(cut(&by_torch, |file| torch::read(file, "f")), "`f` is not a complete zip archive");
}

#[test]
fn tables_of_contents_that_lie_are_named() {
    let cases = [
        (
            json!({"w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 8]}}),
            "tensor `w` has 8 bytes for [2, 2] in f32, expected 16 bytes",
        ),
        (
            json!({"w": {"dtype": "F16", "shape": [4], "data_offsets": [8, 0]}}),
            "tensor `w` has the data offsets (8, 0), expected a start and an end after it",
        ),
        (
            json!({"w": {"dtype": "F16", "shape": [u64::MAX, 2], "data_offsets": [0, 8]}}),
            "tensor `w` has 8 bytes for [18446744073709551615, 2] in f16, expected a possible shape",
        ),
        (
            json!({"w": {"dtype": "F16", "shape": [4], "data_offsets": [0, u64::MAX]}}),
            "tensor `w` has the data offsets (0, 18446744073709551615), expected a start and an end after it",
        ),
        (json!({"__metadata__": {"n_mels": "many"}}), "`f`: n_mels is many, expected a whole number"),
        (json!({"__metadata__": {"n_mels": "80"}}), "`f`: n_audio_ctx is missing, expected a whole number"),
        (
            json!({"w": {"dtype": "F16"}}),
            "`f` is not the JSON that it should be: `w`: missing field `shape` at line 1 column 20",
        ),
        (
            json!([1]),
            "`f` is not the JSON that it should be: invalid type: sequence, expected an object of tensors at line 1 column 0",
        ),
    ];
    for (header, expected) in cases {
        let error = safetensors::read(&safetensors_file(&header.to_string(), &[0; 8]), "f", 0).err().unwrap();
        assert_eq!(chain(&error), expected);
    }
    let twice = r#"{"w":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},"w":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}"#;
    let error = safetensors::read(&safetensors_file(twice, &[0; 8]), "f", 0).err().unwrap();
    assert!(chain(&error).contains("tensor `w` is there twice"));
    let error = safetensors::read(&[0xff; 32], "f", 0).err().unwrap().to_string();
    assert_eq!(
        error,
        format!("`f`: the length of the table of contents is {}, expected at most 16777216 bytes", u64::MAX)
    );
}

fn chain(error: &Error) -> String {
    let source = std::error::Error::source(error).map_or(String::new(), |source| format!(": {source}"));
    format!("{error}{source}")
}

#[test]
fn ggml_files_that_lie_are_named() {
    let valid = write::ggml(&weights()[..1], &[b"a"]);
    let changed = |place: usize, value: i32| {
        let mut file = valid.clone();
        file[place..place + 4].copy_from_slice(&value.to_le_bytes());
        ggml::read(&file, "f").err().unwrap().to_string()
    };
    let n_tokens = 4 + 11 * 4 + 8 + 4 * 80 * 2;
    let tensor = n_tokens + 4 + 4 + 1;
    let cases = [
        (4, -1, "`f`: n_vocab is -1, expected 0 or more"),
        (8, 0, "`f`: n_audio_ctx is 0, expected 1 to 32768"),
        (44, 1002, "`f`: the version of the block formats is 1, expected 0 or 2"),
        (48, 79, "`f`: the number of mel filters is 79, expected n_mels, which is 80"),
        (52, i32::MAX, "`f` is cut off: the mel filters ends at byte 687194767096, the file has 4589"),
        (n_tokens, i32::MAX, "`f`: a tensor's number of axes is -1, expected 0 or more"),
        (n_tokens + 4, i32::MAX, "`f` is cut off: token 0 ends at byte 2147484351, the file has 4589"),
        (
            tensor,
            9,
            "`f`: the tensor at byte 705 is 9 axes and a name of 20 bytes, expected 1 to 3 axes and a name of 1 to 256 bytes",
        ),
        (
            tensor + 8,
            12,
            "tensor `encoder.conv1.weight` has ggml type 12, expected f32, f16, bf16, q4_0, q4_1, q5_0, q5_1 or q8_0 (types 0, 1, 30, 2, 3, 6, 7, 8)",
        ),
        (
            tensor + 8,
            2,
            "tensor `encoder.conv1.weight` has shape [8, 80, 3] in q4_0, expected rows of whole blocks",
        ),
        (
            tensor + 12,
            4,
            "`f` is cut off: tensor `encoder.conv1.weight` ends at byte 5869, the file has 4589",
        ),
    ];
    for (place, value, expected) in cases {
        let found = changed(place, value);
        if place == n_tokens {
            // The tokens swallow the tensors; where that ends depends on the weights.
            assert!(
                found.starts_with("`f` is cut off: token ")
                    || found.starts_with("`f`: the length of a token is"),
                "{found}"
            );
        } else {
            assert_eq!(found, expected);
        }
    }
    let twice = [&valid[..], &valid[tensor..]].concat();
    let error = ggml::read(&twice, "f").err().unwrap().to_string();
    assert_eq!(error, "tensor `encoder.conv1.weight` has a second entry in the file, expected one");
}

#[test]
fn pickles_that_do_more_are_named() {
    let cases: [(&[u8], &str); 12] = [
        (b"", "its end at byte 0, expected more bytes"),
        (b"\x80\x02.", "too few values on its stack at byte 2, expected enough for the opcode"),
        (b"N.", "None at byte 1, expected a dict at the top"),
        (
            b"cos\nsystem\nX\x02\0\0\0ls\x85R.",
            "the class `os system` at byte 19, expected a function that makes a tensor or a dict",
        ),
        (b"\x80\x02ios\nsystem\n.", "the opcode 'i' at byte 2, expected one that a state dict needs"),
        (b"}(K\x01u.", "a key without a value at byte 4, expected pairs"),
        (b"}(K", "its end at byte 2, expected more bytes"),
        (b"(t", "its end at byte 2, expected more bytes"),
        (b"t", "no mark at byte 0, expected one before the opcode"),
        (b"h\x05.", "a reference to 5 at byte 0, expected one to an earlier value"),
        (
            b"X\xff\xff\xff\x7fab",
            "a text of 2147483647 bytes at byte 0, expected at most as many as are left",
        ),
        (b"}X\x01\0\0\0aK\x07s.", "the number 7 at byte 10, expected a tensor with a name"),
    ];
    for (pickle, expected) in cases {
        let error = pickle::read(pickle, "f").unwrap_err().to_string();
        assert_eq!(error, format!("`f`: the pickle has {expected}"), "{pickle:?}");
    }
}

#[test]
fn pickles_cannot_grow() {
    // Depth: a tuple in a tuple, a million times. Width: a dict that holds itself. Both are read and refused.
    let deep = [&b")"[..], &vec![b'\x85'; 1_000_000], b"."].concat();
    assert!(pickle::read(&deep, "f").is_err());
    let own = [&b"}q\x00"[..], &text("a"), b"h\x00s."].concat();
    assert!(pickle::read(&own, "f").is_err());
}

#[test]
fn pickles_of_other_protocols_are_read() {
    let tensor = |global: &dyn Fn(&str, &str) -> Vec<u8>| {
        let id = [
            b"(",
            &*text("storage"),
            &global("torch", "FloatStorage"),
            &text("0"),
            &text("cpu"),
            &int(2),
            b"tQ",
        ]
        .concat();
        let call =
            [&*global("torch._utils", "_rebuild_tensor_v2"), b"(", &id, &int(1), b"K\x02\x85K\x01\x85\x89"];
        [&call.concat()[..], &global("collections", "OrderedDict"), b")RtR"].concat()
    };
    let old = |module: &str, name: &str| format!("c{module}\n{name}\n").into_bytes();
    let short = |text: &str| [b"\x8c", &[text.len() as u8][..], text.as_bytes()].concat();
    let new =
        |module: &str, name: &str| [&short(module)[..], b"\x94", &short(name), b"\x94\x93\x94"].concat();
    // An ordered dict with attributes, and a parameter around the tensor; protocol 2 and 4.
    let ordered = |global: &dyn Fn(&str, &str) -> Vec<u8>| {
        let parameter =
            [&*global("torch._utils", "_rebuild_parameter"), b"(", &tensor(global), b"\x88NtR"].concat();
        let items = [b"(", &*text("w"), &parameter, b"u"].concat();
        [&*global("collections", "OrderedDict"), b")R", &items, b"}(", &text("_metadata"), b"}ub."].concat()
    };
    let pickles =
        [[b"\x80\x02", &*ordered(&old)].concat(), [b"\x80\x04\x95........", &*ordered(&new)].concat()];
    for pickle in pickles {
        let state = pickle::read(&pickle, "f").unwrap();
        let [(name, tensor)] = &state.tensors[..] else { panic!("{} tensors", state.tensors.len()) };
        assert_eq!((*name, tensor.storage_class, tensor.storage_key), ("w", "FloatStorage", "0"));
        assert_eq!((tensor.offset, &tensor.shape[..], &tensor.strides[..]), (1, &[2][..], &[1][..]));
        assert!(state.dims.is_none());
    }
}

#[test]
fn numbers_in_pickles_are_read() {
    let cases: [(&[u8], i64); 6] = [
        (b"K\xff", 255),
        (b"M\xff\xff", 65535),
        (b"J\xff\xff\xff\xff", -1),
        (b"\x8a\x00", 0),
        (b"\x8a\x02\x00\x80", -32768),
        (b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", i64::MAX),
    ];
    for (number, expected) in cases {
        let pickle =
            [b"}", &*text("dims"), b"}", &text("n_mels"), number, b"ss", &text("model_state_dict"), b"}s."]
                .concat();
        assert_eq!(pickle::read(&pickle, "f").unwrap().dims.unwrap()["n_mels"], expected, "{number:?}");
    }
}

#[test]
fn tensors_outside_of_their_storage_are_named() {
    let file = write::torch(&weights());
    let replaced = |from: &[u8], to: &[u8]| {
        let place = file.windows(from.len()).position(|window| window == from).unwrap();
        let mut file = file.clone();
        file[place..place + from.len()].copy_from_slice(to);
        // The archive has a checksum of the pickle, which must fit again.
        torch::read(&repacked(&file), "f").err().unwrap().to_string()
    };
    let cases = [
        (
            text("3"),
            text("9"),
            "tensor `decoder.blocks.1.cross_attn.out.weight` has the storage \"9\", expected a storage of the archive",
        ),
        (
            [b"(", &*int(8), &int(80), &int(3), b"t"].concat(),
            [b"(", &*int(9), &int(80), &int(3), b"t"].concat(),
            "tensor `encoder.conv1.weight` has a storage of 4080 bytes for [9, 80, 3] in f16 from value 0, expected 4320 bytes after the offset",
        ),
        (
            [b"(", &*int(240), &int(3), &int(1), b"t"].concat(),
            [b"(", &*int(1), &int(8), &int(640), b"t"].concat(),
            "tensor `encoder.conv1.weight` has shape [8, 80, 3] with strides [1, 8, 640], expected rows one after the other",
        ),
        (b"little".to_vec(), b"biggle".to_vec(), "`f`: byteorder is \"biggle\", expected little"),
    ];
    for (from, to, expected) in cases {
        assert_eq!(replaced(&from, &to), expected);
    }
}

/// The same archive with checksums that fit: all files are stored as they are.
fn repacked(file: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut old = zip::ZipArchive::new(std::io::Cursor::new(file)).unwrap();
    let mut new = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for i in 0..old.len() {
        let entry = old.by_index(i).unwrap();
        new.start_file(entry.name().unwrap(), zip::write::SimpleFileOptions::default()).unwrap();
        let start = entry.data_start().unwrap() as usize;
        new.write_all(&file[start..start + entry.size() as usize]).unwrap();
    }
    new.finish().unwrap().into_inner()
}

#[test]
fn configs_that_lie_are_named() {
    let cases = [
        ("d_model", json!("512"), "`f`: d_model is \"512\", expected a whole number"),
        ("vocab_size", json!(-3), "`f`: vocab_size is -3, expected a whole number"),
        ("num_mel_bins", json!(96), "`f`: n_mels is 96, expected 80 or 128"),
        ("encoder_ffn_dim", json!(9), "`f`: encoder_ffn_dim is 9, expected 4 times d_model, which is 8"),
        ("model_type", json!("bert"), "`f`: model_type is \"bert\", expected \"whisper\""),
        ("activation_function", json!("relu"), "`f`: activation_function is \"relu\", expected \"gelu\""),
        ("encoder_layers", json!(1e9 as u64), "`f`: n_audio_layer is 1000000000, expected 1 to 256"),
    ];
    for (name, value, expected) in cases {
        let mut config = write::config();
        config[name] = value;
        assert_eq!(config::read_dims(&config.to_string(), "f").unwrap_err().to_string(), expected);
    }
    let mut config = write::config();
    config.as_object_mut().unwrap().remove("decoder_layers");
    let error = config::read_dims(&config.to_string(), "f").unwrap_err().to_string();
    assert_eq!(error, "`f`: decoder_layers is missing, expected a whole number");
}

#[test]
fn what_is_no_model_is_called_by_its_name() {
    let cases: [(&[u8], &str); 6] = [
        (b"GGUF\x03", "a GGUF file"),
        (b"\x80\x02}q", "a bare pickle, as PyTorch wrote before version 1.6"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer, not the file itself"),
        (b"\n<!DOCTYPE html>", "an HTML or XML page"),
        (b" {\"error\": 1}", "a JSON file"),
        (b"RIFF", "of an unknown format (it begins with [52, 49, 46, 46])"),
    ];
    for (bytes, expected) in cases {
        let error = recognise(bytes, "f").unwrap_err().to_string();
        let rest = "expected a safetensors file, a PyTorch zip archive or a ggml file of whisper.cpp";
        assert_eq!(error, format!("`f` is {expected}, {rest}"));
    }
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, b"").unwrap();
    assert!(
        Checkpoint::open(&empty).unwrap_err().to_string().ends_with("is empty, expected a file with weights")
    );
    assert!(matches!(Checkpoint::open(&folder.path().join("none")), Err(Error::Io { .. })));
}

/// Opcodes that a pickle can have, with arguments that often fit.
fn opcode() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"(".to_vec()),
        prop::sample::select(b")]}Nts0ueabQR\x85\x86\x87\x88\x89\x93\x94.".to_vec())
            .prop_map(|opcode| vec![opcode]),
        (prop::sample::select(b"KqhjrMJ\x8a".to_vec()), any::<[u8; 4]>()).prop_map(|(opcode, bytes)| [
            &[opcode][..],
            &bytes
        ]
        .concat()),
        (0_u8..4).prop_map(|place| vec![b'q', place]),
        (0_u8..4).prop_map(|place| vec![b'h', place]),
        prop::sample::select(vec!["storage", "dims", "n_mels", "0", "model_state_dict"]).prop_map(text),
        prop::sample::select(vec![
            "torch\nHalfStorage",
            "torch._utils\n_rebuild_tensor_v2",
            "collections\nOrderedDict"
        ])
        .prop_map(|global| format!("c{global}\n").into_bytes()),
        any::<u8>().prop_map(|byte| vec![byte]),
    ]
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for (_, file, read) in files() {
            survive(read, &bytes);
            // Behind a valid start.
            let keep = (bytes.len() * 37) % file.len();
            survive(read, &[&file[..keep], &bytes].concat());
        }
        let _ = recognise(&bytes, "f");
        let _ = pickle::read(&bytes, "f");
    }

    #[test]
    fn no_program_makes_the_pickle_machine_panic(program in prop::collection::vec(opcode(), 0..60)) {
        let _ = pickle::read(&program.concat(), "f");
    }

    #[test]
    fn no_changes_make_a_reader_panic(changes in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..12)) {
        for (_, mut file, read) in files() {
            // Most changes go where the tables of contents are.
            let len = file.len();
            for (i, (place, byte)) in changes.iter().enumerate() {
                let range = if i % 4 == 0 { len } else { len.min(1500) };
                file[place.index(range)] = *byte;
            }
            survive(read, &file);
        }
    }

    #[test]
    fn no_json_makes_a_reader_panic(text in any::<String>(), number in any::<f64>(), whole in any::<i64>()) {
        let dims: Dims = write::DIMS;
        let _ = config::read_dims(&text, "f");
        let _ = config::read_index(&text, "f");
        let _ = Generation::from_json(&text, "f", &dims);
        let _ = safetensors::read(&safetensors_file(&text, &[0; 8]), "f", 0);
        for value in [json!(text), json!(number), json!(whole), json!([whole]), json!({&text: number}), json!(null)] {
            for field in write::config().as_object().unwrap().keys() {
                let mut config = write::config();
                config[field] = value.clone();
                if let Ok(dims) = config::read_dims(&config.to_string(), "f") {
                    prop_assert!(dims.n_text_state % dims.n_text_head == 0);
                }
            }
            for field in ["suppress_tokens", "alignment_heads", "lang_to_id", "is_multilingual"] {
                let _ = Generation::from_json(&json!({field: value}).to_string(), "f", &dims);
            }
            for field in ["dtype", "shape", "data_offsets"] {
                let mut info = json!({"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]});
                info[field] = value.clone();
                let header = json!({hugging_face("encoder.conv1.bias"): info});
                survive(|file| safetensors::read(file, "f", 0), &safetensors_file(&header.to_string(), &[0; 8]));
            }
        }
    }
}
