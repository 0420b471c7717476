//! What can go wrong between a file and its features.

use std::io;

/// What can go wrong between a file and its features. Each message is one line that names the recording.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened or read.
    #[error("cannot read {name}")]
    Read {
        /// The recording, as messages name it.
        name: String,
        /// What the system said.
        source: io::Error,
    },

    /// The content is not that of any container or stream that this crate reads.
    #[error("{name} is not a recording that can be read: found {found}, expected {EXPECTED}")]
    NotAudio {
        /// The recording, as messages name it.
        name: String,
        /// What the content looks like.
        found: String,
    },

    /// The container is fine and holds no audio.
    #[error("{name} has no audio track: found {found}")]
    NoAudioTrack {
        /// The recording, as messages name it.
        name: String,
        /// The container and how many other tracks it has.
        found: String,
    },

    /// The audio is in a codec that this crate does not decode.
    #[error("{name} holds {codec} audio, which cannot be decoded: expected {CODECS}")]
    Codec {
        /// The recording, as messages name it.
        name: String,
        /// The codec.
        codec: String,
    },

    /// The sample rate is outside of what any recorder writes.
    #[error("{name} has a sample rate of {found} Hz, expected {min} to {max} Hz")]
    SampleRate {
        /// The recording, as messages name it.
        name: String,
        /// The rate in the header.
        found: u32,
        /// The lowest rate that is read.
        min: u32,
        /// The highest rate that is read.
        max: u32,
    },

    /// The container was recognised and its headers make no sense, or nothing in it decodes.
    #[error("{name} is damaged: {reason}")]
    Damaged {
        /// The recording, as messages name it.
        name: String,
        /// What was found.
        reason: String,
    },

    /// The temporary file for input that cannot seek, or for a long recording's features, failed.
    #[error("cannot use a temporary file in {}", std::env::temp_dir().display())]
    Temporary(#[source] io::Error),

    /// A waveform without samples was given to [`log_mel`](crate::log_mel).
    #[error("the waveform has no samples, expected at least one")]
    Empty,

    /// The caller's progress function asked to stop.
    #[error("stopped on request")]
    Stopped,
}

const EXPECTED: &str = "wav, flac, mp3, m4a, mp4, aac, ogg, opus, webm, mkv, aiff, caf or sph";
const CODECS: &str = "pcm, adpcm, flac, alac, mp3, aac-lc, vorbis or opus";
