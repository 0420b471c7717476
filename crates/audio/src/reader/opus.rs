//! Opus tracks: the identification header and the decoders behind it.

mod packets;

use opus_pure::OpusDecoder;

use self::packets::{MAX_SAMPLES, split_first};
use super::downmix::{LayoutWeights, vorbis_layout};

/// Opus decodes to 48 kHz, whatever rate the encoder was given.
pub(super) const RATE: u32 = 48_000;

/// The decoders of one Opus track, which holds one or more streams of one or two channels.
pub(super) struct OpusTrack {
    streams: Vec<Stream>,
    channels: Vec<Option<(usize, usize)>>, // of the track: the stream and its channel, or silence
    gain: f32,
    weights: LayoutWeights,
    pre_skip: u64,
    plain: Vec<u8>,        // a stream's packet
    interleaved: Vec<f32>, // [n_samples, n_channels]
}

struct Stream {
    decoder: OpusDecoder,
    n_channels: usize,
    samples: Vec<f32>, // [MAX_SAMPLES, n_channels]
}

impl OpusTrack {
    /// Builds the decoders from the identification header (RFC 7845, 5.1).
    ///
    /// The error says what is wrong with the header.
    pub(super) fn new(header: &[u8]) -> Result<Self, String> {
        let header = header.strip_prefix(b"OpusHead").unwrap_or(header);
        let &[_version, n_channels, skip_0, skip_1, _, _, _, _, gain_0, gain_1, family, ref table @ ..] =
            header
        else {
            return Err(format!("the Opus header has {} bytes, expected at least 11", header.len()));
        };
        let (n_streams, n_coupled, mapping) = match (family, table) {
            (0, _) if (1..=2).contains(&n_channels) => {
                (1, n_channels - 1, &[0, 1][..usize::from(n_channels)])
            }
            (1.., &[n_streams, n_coupled, ref mapping @ ..]) if mapping.len() >= usize::from(n_channels) => {
                (n_streams, n_coupled, &mapping[..usize::from(n_channels)])
            }
            _ => return Err(format!("the Opus header maps {n_channels} channels with family {family}")),
        };
        let channel_of = |slot: u8| match slot {
            255 => Some(None),
            slot if u16::from(slot) < 2 * u16::from(n_coupled) => {
                Some(Some((usize::from(slot / 2), usize::from(slot % 2))))
            }
            slot => Some(Some((usize::from(slot - n_coupled), 0))).filter(|_| slot - n_coupled < n_streams),
        };
        let channels: Option<Vec<_>> = mapping.iter().map(|&slot| channel_of(slot)).collect();
        let channels = channels.filter(|channels| !channels.is_empty() && n_coupled <= n_streams.min(127));
        let channels = channels.ok_or_else(|| format!("the Opus header maps {n_streams} streams wrongly"))?;
        let streams: Result<_, _> =
            (0..n_streams).map(|i| Stream::new(if i < n_coupled { 2 } else { 1 })).collect();
        let weights = match family {
            0 | 1 => LayoutWeights::new(vorbis_layout(channels.len()), channels.len()),
            // Ambisonics: the first channel is what a microphone that hears all directions alike records.
            2 | 3 => LayoutWeights::first_only(channels.len()),
            _ => LayoutWeights::new(None, channels.len()),
        };
        let gain_db = f32::from(i16::from_le_bytes([gain_0, gain_1])) / 256.0;
        Ok(Self {
            streams: streams?,
            channels,
            gain: 10f32.powf(gain_db / 20.0),
            weights,
            pre_skip: u64::from(u16::from_le_bytes([skip_0, skip_1])),
            plain: Vec::new(),
            interleaved: Vec::new(),
        })
    }

    /// Builds the decoder of a track that came without a header: one stream of one or two channels.
    pub(super) fn without_header(n_channels: usize) -> Result<Self, String> {
        let n_channels = u8::try_from(n_channels).unwrap_or(u8::MAX);
        Self::new(&[1, n_channels, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    /// Samples at the beginning that are the encoder's delay.
    pub(super) fn pre_skip(&self) -> u64 {
        self.pre_skip
    }

    /// Decodes a packet and appends its mono samples to `out`; an empty packet conceals a lost one.
    pub(super) fn decode(&mut self, packet: &[u8], out: &mut Vec<f32>) -> Result<(), String> {
        let (mut rest, mut n_samples) = (packet, None);
        let n_streams = self.streams.len();
        for (stream_idx, stream) in self.streams.iter_mut().enumerate() {
            let mut own = rest;
            if stream_idx + 1 < n_streams && !packet.is_empty() {
                rest = split_first(rest, &mut self.plain)
                    .ok_or("opus: the streams do not fit into the packet")?;
                own = &self.plain;
            }
            let n_decoded = stream.decode(own)?;
            if *n_samples.get_or_insert(n_decoded) != n_decoded {
                return Err("opus: the streams differ in length".to_owned());
            }
        }
        self.interleave(n_samples.unwrap_or(0));
        let first = out.len();
        self.weights.mix(&self.interleaved, out);
        if self.gain != 1.0 {
            out[first..].iter_mut().for_each(|sample| *sample *= self.gain);
        }
        Ok(())
    }

    /// Puts the streams' channels beside one another, in the track's order.
    fn interleave(&mut self, n_samples: usize) {
        let n_channels = self.channels.len();
        self.interleaved.clear();
        self.interleaved.resize(n_samples * n_channels, 0.0);
        for (channel_idx, source) in self.channels.iter().enumerate() {
            let Some((stream_idx, source_idx)) = *source else { continue };
            let stream = &self.streams[stream_idx];
            let samples = stream.samples.iter().skip(source_idx).step_by(stream.n_channels);
            let places = self.interleaved.iter_mut().skip(channel_idx).step_by(n_channels);
            places.zip(samples).for_each(|(place, &sample)| *place = sample);
        }
    }
}

impl Stream {
    fn new(n_channels: usize) -> Result<Self, String> {
        let decoder = OpusDecoder::new(RATE as i32, n_channels).map_err(|error| error.to_string())?;
        Ok(Self { decoder, n_channels, samples: vec![0.0; MAX_SAMPLES * n_channels] })
    }

    /// Decodes a plain packet into `samples`; gives their number per channel.
    fn decode(&mut self, packet: &[u8]) -> Result<usize, String> {
        let n_wanted = if packet.is_empty() { self.decoder.last_packet_duration() } else { MAX_SAMPLES };
        self.decoder.decode(packet, n_wanted, &mut self.samples).map_err(|error| format!("opus: {error}"))
    }
}

/// How long a packet is that cannot be decoded, in seconds, if its first bytes tell.
pub(super) fn packet_s(packet: &[u8]) -> Option<f64> {
    packets::n_samples(packet).map(|n_samples| n_samples as f64 / f64::from(RATE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_checked() {
        let stereo = b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0";
        assert_eq!(OpusTrack::new(stereo).unwrap().pre_skip(), 312);
        let surround = b"OpusHead\x01\x06\x38\x01\x80\xbb\0\0\0\0\x01\x04\x02\x00\x04\x01\x02\x03\x05";
        let channels = OpusTrack::new(surround).unwrap().channels;
        assert_eq!(channels, [(0, 0), (2, 0), (0, 1), (1, 0), (1, 1), (3, 0)].map(Some));
        for (bad, reason) in [
            (&b"OpusHead\x01\x02"[..], "2 bytes"),
            (b"OpusHead\x01\x03\x38\x01\x80\xbb\0\0\0\0\0", "3 channels with family 0"),
            (b"OpusHead\x01\x06\x38\x01\x80\xbb\0\0\0\0\x01\x04\x02\x00", "6 channels with family 1"),
            (b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\x01\x00\x00\x00\x01", "0 streams wrongly"),
            (b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\x01\x01\x01\x00\x02", "1 streams wrongly"),
            (b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\x01\x01\xff\x00\x01", "1 streams wrongly"),
            (b"OpusHead\x01\x00\x38\x01\x80\xbb\0\0\0\0\x01\x01\x00", "1 streams wrongly"),
        ] {
            let error = OpusTrack::new(bad).err().unwrap();
            assert!(error.contains(reason), "{error}");
        }
    }
}
