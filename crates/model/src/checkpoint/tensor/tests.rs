use ::safetensors::SafeTensors;

use super::*;

fn tensor(dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> Tensor<'static> {
    Tensor::new("t".to_owned(), shape.to_vec(), dtype, Cow::Owned(bytes))
}

#[test]
#[ignore = "needs ../shared"]
fn golden_blocks_have_the_same_values() {
    let file = std::fs::read(crate::checkpoint::tests::shared("golden/ops/quant.safetensors")).unwrap();
    let golden = SafeTensors::deserialize(&file).unwrap();
    let dtypes = [
        ("Q4_0", Dtype::Q4_0),
        ("Q4_1", Dtype::Q4_1),
        ("Q5_0", Dtype::Q5_0),
        ("Q5_1", Dtype::Q5_1),
        ("Q8_0", Dtype::Q8_0),
        ("F16", Dtype::F16),
        ("BF16", Dtype::Bf16),
    ];
    for (name, dtype) in dtypes {
        let bytes = golden.tensor(&format!("{name}_bytes")).unwrap();
        let values = golden.tensor(&format!("{name}_values")).unwrap();
        let expected: Vec<f32> = values.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        let found = tensor(dtype, values.shape(), bytes.data().to_vec()).to_f32().unwrap();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn every_half_becomes_the_same_number() {
    let bits: Vec<u16> = (0..=u16::MAX).filter(|bits| f16::from_bits(*bits).is_finite()).collect();
    let bytes: Vec<u8> = bits.iter().flat_map(|bits| bits.to_le_bytes()).collect();
    let expected: Vec<f32> = bits.iter().map(|bits| f16::from_bits(*bits).to_f32()).collect();
    assert_eq!(tensor(Dtype::F16, &[bits.len()], bytes).to_f32().unwrap(), expected);
}

#[test]
fn blocks_are_taken_apart_by_hand() {
    // d = 2, m = -1; nibbles: low 0 to 15, high all 9.
    let nibbles: Vec<u8> = (0..16).map(|i| 0x90 | i).collect();
    let (d, m) = (f16::from_f32(2.0).to_le_bytes(), f16::from_f32(-1.0).to_le_bytes());
    let high = 0x8000_0001_u32.to_le_bytes(); // the fifth bit of the first and of the last value
    let cases: [(Dtype, Vec<u8>, [f32; 4]); 5] = [
        (Dtype::Q4_0, [&d[..], &nibbles].concat(), [-16.0, 14.0, 2.0, 2.0]),
        (Dtype::Q4_1, [&d[..], &m, &nibbles].concat(), [-1.0, 29.0, 17.0, 17.0]),
        (Dtype::Q5_0, [&d[..], &high, &nibbles].concat(), [0.0, -2.0, -14.0, 18.0]),
        (Dtype::Q5_1, [&d[..], &m, &high, &nibbles].concat(), [31.0, 29.0, 17.0, 49.0]),
        (
            Dtype::Q8_0,
            [&d[..], &(-16..16).map(|i: i8| i as u8).collect::<Vec<_>>()].concat(),
            [-32.0, -2.0, 0.0, 30.0],
        ),
    ];
    for (dtype, bytes, [first, fifteenth, sixteenth, last]) in cases {
        let values = tensor(dtype, &[1, 32], bytes).to_f32().unwrap();
        assert_eq!(
            [values[0], values[15], values[16], values[31]],
            [first, fifteenth, sixteenth, last],
            "{dtype}"
        );
    }
}

#[test]
fn values_that_are_not_finite_are_named() {
    for (place, value) in [(0, f32::NAN), (CHUNK, f32::INFINITY), (3 * CHUNK, f32::NEG_INFINITY)] {
        let mut values = vec![f32::MAX; 3 * CHUNK + 1];
        values[place] = value;
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let error = tensor(Dtype::F32, &[values.len()], bytes).to_f32().unwrap_err();
        let expected = format!("tensor `t` has the value {value} at index {place}, expected finite weights");
        assert_eq!(error.to_string(), expected);
    }
    let scale = [f16::INFINITY.to_le_bytes().to_vec(), vec![1; 32]].concat();
    assert!(matches!(tensor(Dtype::Q8_0, &[32], scale).to_f32(), Err(Error::NotFinite { index: 0, .. })));
}

#[test]
fn rows_of_blocks_end_with_a_block() {
    assert_eq!(Dtype::Q4_0.byte_len(&[2, 64]), Some(72));
    assert_eq!(Dtype::Q4_0.byte_len(&[64, 2]), None);
    assert_eq!(Dtype::F32.byte_len(&[]), Some(4));
    assert_eq!(Dtype::F32.byte_len(&[usize::MAX, 2]), None);
    assert_eq!(Dtype::F32.byte_len(&[usize::MAX / 2]), None);
}
