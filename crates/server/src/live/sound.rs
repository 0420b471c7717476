//! How clients write samples.

/// How samples are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SoundFormat {
    /// 16 bits, little-endian, of so many samples a second.
    Pcm16 { rate: u32 },
    /// G.711 µ-law, 8 kHz.
    MuLaw,
    /// G.711 A-law, 8 kHz.
    ALaw,
}

impl SoundFormat {
    /// Samples a second.
    pub(super) fn rate(self) -> u32 {
        match self {
            Self::Pcm16 { rate } => rate,
            Self::MuLaw | Self::ALaw => 8_000,
        }
    }

    /// Appends samples, `[-1, 1]`. Of 16 bits, a byte that has no partner yet is left in `bytes`.
    pub(super) fn decode(self, bytes: &mut Vec<u8>, samples: &mut Vec<f32>) {
        let unit = |sample: i16| f32::from(sample) / 32_768.0;
        match self {
            Self::Pcm16 { .. } => {
                let pairs = bytes.chunks_exact(2);
                samples.extend(pairs.map(|pair| unit(i16::from_le_bytes([pair[0], pair[1]]))));
                bytes.drain(..bytes.len() / 2 * 2);
            }
            Self::MuLaw => samples.extend(bytes.drain(..).map(|byte| unit(mu_law(byte)))),
            Self::ALaw => samples.extend(bytes.drain(..).map(|byte| unit(a_law(byte)))),
        }
    }
}

/// Source: ITU-T G.711, table 2.
fn mu_law(byte: u8) -> i16 {
    let byte = !byte;
    let (exponent, mantissa) = (byte >> 4 & 7, i16::from(byte & 15));
    let magnitude = (((mantissa << 3) + 0x84) << exponent) - 0x84;
    if byte & 0x80 == 0 { magnitude } else { -magnitude }
}

/// Source: ITU-T G.711, table 1.
fn a_law(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let (exponent, mantissa) = (byte >> 4 & 7, i16::from(byte & 15));
    let magnitude = match exponent {
        0 => (mantissa << 4) + 8,
        _ => ((mantissa << 4) + 0x108) << (exponent - 1),
    };
    if byte & 0x80 == 0 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g711_is_unfolded_as_the_standard_says() {
        assert_eq!([0xff, 0x7f, 0x80, 0x00, 0xf0].map(mu_law), [0, 0, 32_124, -32_124, 120]);
        assert_eq!([0xd5, 0x55, 0xaa, 0x2a].map(a_law), [8, -8, 32_256, -32_256]);
    }

    #[test]
    fn half_a_sample_waits_for_the_other_half() {
        let format = SoundFormat::Pcm16 { rate: 16_000 };
        let (mut bytes, mut samples) = (vec![0, 0x40, 0], Vec::new());
        format.decode(&mut bytes, &mut samples);
        assert_eq!((samples.as_slice(), bytes.as_slice()), (&[0.5][..], &[0][..]));
        bytes.push(0xc0);
        format.decode(&mut bytes, &mut samples);
        assert_eq!(samples, [0.5, -0.5]);
    }
}
