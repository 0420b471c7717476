//! Speech that is written down while it is spoken, whatever the protocol: sound goes in, and [`News`] come out.

mod agreement;
mod listener;
mod socket;
mod sound;
mod turns;

pub(crate) use agreement::bare;
pub(crate) use listener::{Heard, Listener, Listening, News, Tell, What};
pub(crate) use socket::{Protocol, hearing, speak};
pub(crate) use sound::SoundFormat;
pub(crate) use turns::{MAX_BUFFER_S, TurnDetection};
