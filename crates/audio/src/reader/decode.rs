//! Packets of any codec into mono samples.

use symphonia::core::audio::Channels;
use symphonia::core::codecs::audio::well_known::*;
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::packet::Packet;

use super::downmix::{LayoutWeights, places};
use super::guard::guard;
use super::opus::{self, OpusTrack};

/// The decoder of one track.
pub(super) struct TrackDecoder {
    params: AudioCodecParameters,
    codec: Codec,
}

enum Codec {
    Symphonia {
        decoder: Box<dyn AudioDecoder>,
        mix: Option<(Channels, LayoutWeights)>,
        interleaved: Vec<f32>,
    },
    Opus(Box<OpusTrack>),
}

/// What recorders write is far below these.
const MAX_CHANNELS: usize = 256;
const MAX_FRAMES: u64 = 1 << 17;

impl TrackDecoder {
    /// Builds the decoder of a track.
    ///
    /// The error names the codec that cannot be decoded.
    pub(super) fn new(params: &AudioCodecParameters) -> Result<Self, String> {
        let n_channels = params.channels.as_ref().map_or(0, Channels::count);
        let n_frames = params.max_frames_per_packet.unwrap_or(0);
        // Decoders reserve this much before they have seen a packet.
        if n_channels > MAX_CHANNELS || n_frames > MAX_FRAMES {
            return Err(format!(
                "{} (packets of {n_frames} samples in {n_channels} channels)",
                codec_name(params)
            ));
        }
        let mut params = params.clone();
        if params.codec == CODEC_ID_AAC
            && let Some(plain) = params.extra_data.as_deref().and_then(plain_aac_config)
        {
            params.extra_data = Some(plain);
        }
        let codec = Codec::new(&params)?;
        Ok(Self { params, codec })
    }

    /// Whether the track is Opus.
    pub(super) fn is_opus(&self) -> bool {
        matches!(self.codec, Codec::Opus(_))
    }

    /// Samples at the track's beginning that the codec itself declares to be its delay.
    pub(super) fn pre_skip(&self) -> u64 {
        match &self.codec {
            Codec::Symphonia { .. } => 0,
            Codec::Opus(track) => track.pre_skip(),
        }
    }

    /// Decodes a packet and appends its mono samples to `out`; gives their rate.
    ///
    /// The error says what is wrong with the packet; the next one may be fine.
    pub(super) fn decode(&mut self, packet: &Packet, out: &mut Vec<f32>) -> Result<u32, String> {
        let first = out.len();
        let mut result = self.try_decode(packet, out);
        // Streams that were joined change their channels in the middle, which takes a new decoder.
        if result.as_ref().is_err_and(|reason| reason.contains("signal spec")) {
            self.restart();
            result = self.try_decode(packet, out);
        }
        if result.is_err() {
            out.truncate(first);
        }
        result
    }

    fn try_decode(&mut self, packet: &Packet, out: &mut Vec<f32>) -> Result<u32, String> {
        guard(|| self.codec.decode(packet, out)).unwrap_or_else(|_| {
            self.restart();
            Err("the decoder gave up on it".to_owned())
        })
    }

    fn restart(&mut self) {
        if let Ok(codec) = Codec::new(&self.params) {
            self.codec = codec;
        }
    }
}

impl Codec {
    fn new(params: &AudioCodecParameters) -> Result<Self, String> {
        if params.codec == CODEC_ID_OPUS {
            let n_channels = params.channels.as_ref().map_or(0, Channels::count);
            let track = guard(|| match params.extra_data.as_deref() {
                Some(header) => OpusTrack::new(header),
                None => OpusTrack::without_header(n_channels),
            });
            let track = track.map_err(|_| "Opus".to_owned())?;
            return track
                .map(|track| Self::Opus(Box::new(track)))
                .map_err(|reason| format!("Opus ({reason})"));
        }
        // The Ogg demuxer and the Vorbis decoder know best which samples of a packet are not to be heard;
        // for other codecs the reader's time line does.
        let options = AudioDecoderOptions::default().gapless(params.codec == CODEC_ID_VORBIS);
        let decoder = guard(|| symphonia::default::get_codecs().make_audio_decoder(params, &options));
        match decoder {
            Ok(Ok(decoder)) => Ok(Self::Symphonia { decoder, mix: None, interleaved: Vec::new() }),
            _ => Err(codec_name(params)),
        }
    }

    fn decode(&mut self, packet: &Packet, out: &mut Vec<f32>) -> Result<u32, String> {
        match self {
            Self::Opus(track) => track.decode(&packet.data, out).map(|()| opus::RATE),
            Self::Symphonia { decoder, mix, interleaved } => {
                let decoded = decoder.decode(packet).map_err(|error| error.to_string())?;
                let channels = decoded.spec().channels();
                if channels.count() == 0 {
                    return Err("it has no channels".to_owned());
                }
                if mix.as_ref().is_none_or(|(mixed, _)| mixed != channels) {
                    let weights = LayoutWeights::new(places(channels), channels.count());
                    *mix = Some((channels.clone(), weights));
                }
                if let Some((_, weights)) = mix {
                    decoded.copy_to_vec_interleaved(interleaved);
                    weights.mix(interleaved, out);
                }
                Ok(decoded.spec().rate())
            }
        }
    }
}

/// Rewrites the configuration of high-efficiency AAC to that of the AAC-LC inside of it.
///
/// HE-AAC is AAC-LC of the lower half of the spectrum with a description of the upper half, which a
/// decoder may leave out: what remains reaches to 8 kHz or further, where speech is.
///
/// Returns `None` if the configuration is none of AAC-LC or HE-AAC. Source: ISO/IEC 14496-3, 1.6.2.1.
fn plain_aac_config(config: &[u8]) -> Option<Box<[u8]>> {
    let mut bits = Bits { bytes: config, position: 0 };
    let mut object_type = bits.take(5)?;
    let rate_idx = bits.take(4)?;
    let rate = if rate_idx == 15 { bits.take(24)? } else { 0 };
    let channels = bits.take(4)?;
    if object_type == 5 || object_type == 29 {
        if bits.take(4)? == 15 {
            bits.take(24)?;
        }
        object_type = bits.take(5)?;
    }
    let has_short_frames = bits.take(1)?;
    if object_type != 2 || channels == 0 {
        return None;
    }
    let (mut plain, mut n_bits) = (2u64 << 4 | rate_idx, 9);
    if rate_idx == 15 {
        (plain, n_bits) = (plain << 24 | rate, n_bits + 24);
    }
    // Channels, the frame's length, two flags that are off.
    (plain, n_bits) = ((plain << 4 | channels) << 3 | has_short_frames << 2, n_bits + 7);
    let bytes = plain.to_be_bytes();
    Some(bytes[8 - n_bits / 8..].into())
}

/// A reader of bits, the highest first.
struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Bits<'_> {
    fn take(&mut self, n_bits: usize) -> Option<u64> {
        let mut value = 0;
        for _ in 0..n_bits {
            let byte = self.bytes.get(self.position / 8)?;
            value = value << 1 | u64::from(byte >> (7 - self.position % 8) & 1);
            self.position += 1;
        }
        Some(value)
    }
}

/// What [`TrackDecoder::new`] calls a codec that it has no name for.
pub(super) const UNKNOWN: &str = "unknown";

/// Names a codec for messages.
fn codec_name(params: &AudioCodecParameters) -> String {
    const NAMES: &[(AudioCodecId, &str)] = &[
        (CODEC_ID_AC3, "AC-3"),
        (CODEC_ID_EAC3, "E-AC-3"),
        (CODEC_ID_AC4, "AC-4"),
        (CODEC_ID_DCA, "DTS"),
        (CODEC_ID_TRUEHD, "TrueHD"),
        (CODEC_ID_SPEEX, "Speex"),
        (CODEC_ID_WMA, "Windows Media"),
        (CODEC_ID_WAVPACK, "WavPack"),
        (CODEC_ID_MUSEPACK, "Musepack"),
        (CODEC_ID_MONKEYS_AUDIO, "Monkey's Audio"),
        (CODEC_ID_TTA, "True Audio"),
        (CODEC_ID_ADPCM_G722, "G.722"),
        (CODEC_ID_ADPCM_G726, "G.726"),
        (CODEC_ID_ADPCM_G726LE, "G.726"),
        (CODEC_ID_ADPCM_IMA_QT, "QuickTime IMA ADPCM"),
        (CODEC_ID_PCM_S16BE, "PCM"),
        (CODEC_ID_PCM_S16LE, "PCM"),
        (CODEC_ID_VORBIS, "Vorbis (with a damaged header)"),
        (CODEC_ID_FLAC, "FLAC (with a damaged header)"),
        (CODEC_ID_ALAC, "ALAC (with a damaged header)"),
    ];
    if params.codec == CODEC_ID_AAC {
        let n_channels = params.channels.as_ref().map_or(0, Channels::count);
        return match n_channels {
            3.. => format!("AAC with {n_channels} channels"),
            _ => "AAC of another profile than LC or HE".to_owned(),
        };
    }
    let name = NAMES.iter().find(|&&(id, _)| id == params.codec).map(|&(_, name)| name);
    name.unwrap_or(UNKNOWN).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn he_aac_is_decoded_as_the_lc_inside() {
        let cases: &[(&[u8], Option<&[u8]>)] = &[
            (&[0x12, 0x10], Some(&[0x12, 0x10])), // LC 44.1 kHz stereo
            (&[0x12, 0x10, 0x56, 0xe5, 0xa5, 0x48], Some(&[0x12, 0x10])), // with an SBR hint behind
            (&[0x2b, 0x92, 0x08, 0x00], Some(&[0x13, 0x90])), // HE 22.05 to 44.1 kHz stereo
            (&[0xeb, 0x8a, 0x08, 0x00], Some(&[0x13, 0x88])), // HE v2, mono inside
            (&[0x0a, 0x10], None),                // Main
            (&[0x12, 0x00], None),                // channels given elsewhere
            (&[0x12], None),
        ];
        for (config, plain) in cases {
            assert_eq!(plain_aac_config(config).as_deref(), *plain, "{config:x?}");
        }
    }
}
