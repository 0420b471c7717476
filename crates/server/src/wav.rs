//! Samples without a head, made into a wav file.

/// Bytes of the head of a wav file.
pub(crate) const HEADER_BYTES: u64 = 44;

/// What samples are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PcmFormat {
    /// Samples a second.
    pub(crate) rate: u32,
    /// Bytes of one sample.
    pub(crate) width: u16,
    pub(crate) channels: u16,
}

impl PcmFormat {
    /// What most programs send: 16 kHz, 16 bits, one channel.
    pub(crate) const USUAL: Self = Self { rate: 16_000, width: 2, channels: 1 };

    /// The head of a wav file with so many bytes of samples; where they are more than it can tell, it tells the most.
    pub(crate) fn wav_header(self, n_bytes: u64) -> Vec<u8> {
        let Self { rate, width, channels } = self;
        let block = width * channels;
        let n_bytes = u32::try_from(n_bytes).unwrap_or(u32::MAX);
        let mut header = Vec::with_capacity(HEADER_BYTES as usize);
        header.extend(*b"RIFF");
        header.extend(n_bytes.saturating_add(HEADER_BYTES as u32 - 8).to_le_bytes());
        header.extend(*b"WAVEfmt ");
        header.extend(16_u32.to_le_bytes());
        header.extend(1_u16.to_le_bytes());
        header.extend(channels.to_le_bytes());
        header.extend(rate.to_le_bytes());
        header.extend((rate * u32::from(block)).to_le_bytes());
        header.extend(block.to_le_bytes());
        header.extend((width * 8).to_le_bytes());
        header.extend(*b"data");
        header.extend(n_bytes.to_le_bytes());
        header
    }
}
