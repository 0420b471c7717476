//! Reference numbers for tests, from the folder that `BOSWELL_SHARED` names, or `shared` beside the workspace.

use std::collections::HashMap;
use std::path::PathBuf;

use safetensors::{Dtype, SafeTensors};

/// Finds a file of the reference data.
pub(crate) fn path(name: &str) -> PathBuf {
    let root = std::env::var_os("BOSWELL_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    root.join(name)
}

/// Reads a JSON file of the reference data.
pub(crate) fn json(name: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path(name)).unwrap()).unwrap()
}

/// Reads a file of arrays: `f32`, or `i16` scaled to `[-1, 1]`.
pub(crate) fn arrays(name: &str) -> HashMap<String, Vec<f32>> {
    let bytes = std::fs::read(path(name)).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let values = |tensor: &safetensors::tensor::TensorView<'_>| match tensor.dtype() {
        Dtype::F32 => {
            tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
        }
        Dtype::I16 => tensor
            .data()
            .chunks_exact(2)
            .map(|b| f32::from(i16::from_le_bytes(b.try_into().unwrap())) / 32768.0)
            .collect(),
        other => panic!("{other:?}"),
    };
    file.iter().map(|(name, tensor)| (name.to_owned(), values(&tensor))).collect()
}

/// Reads a recording to its end.
pub(crate) fn decode(reader: &mut crate::AudioReader) -> Result<Vec<f32>, crate::Error> {
    let (mut waveform, mut chunk) = (Vec::new(), Vec::new());
    while reader.next_chunk(&mut chunk)? {
        waveform.extend_from_slice(&chunk);
    }
    Ok(waveform)
}

/// The largest difference between two arrays of one length.
pub(crate) fn max_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
