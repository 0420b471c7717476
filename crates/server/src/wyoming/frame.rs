//! Events on the wire.

use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The version of the protocol.
const VERSION: &str = "1.9.0";
const MAX_LINE_BYTES: u64 = 64 << 10;
const MAX_DATA_BYTES: u64 = 1 << 20;
const MAX_PAYLOAD_BYTES: u64 = 4 << 20;

/// An event.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Frame {
    pub(super) kind: String,
    /// An object.
    pub(super) data: Value,
    pub(super) payload: Vec<u8>,
}

/// Why an event cannot be read or sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("the connection broke")]
    Io(#[from] std::io::Error),

    #[error("an event is no JSON object with a type: {found}")]
    Header { found: String },

    #[error("an event has {found} bytes of {part}, expected at most {limit}")]
    Size { part: &'static str, found: u64, limit: u64 },
}

impl Frame {
    /// Reads an event; `None` when there are no more.
    ///
    /// # Errors
    /// If it is none, or larger than events are, or the connection breaks within it.
    pub(super) async fn read(from: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<Self>, FrameError> {
        let mut line = Vec::new();
        let n_bytes = (&mut *from).take(MAX_LINE_BYTES).read_until(b'\n', &mut line).await?;
        if n_bytes == 0 {
            return Ok(None);
        }
        if line.last() != Some(&b'\n') && n_bytes as u64 == MAX_LINE_BYTES {
            return Err(FrameError::Size {
                part: "header",
                found: MAX_LINE_BYTES,
                limit: MAX_LINE_BYTES - 1,
            });
        }
        let refuse = || {
            let found = String::from_utf8_lossy(&line[..line.len().min(80)]).trim_end().to_owned();
            FrameError::Header { found }
        };
        let mut header: Map<String, Value> = serde_json::from_slice(&line).map_err(|_| refuse())?;
        let kind = header.get("type").and_then(Value::as_str).ok_or_else(refuse)?.to_owned();
        let size = |name: &str| header.get(name).and_then(Value::as_u64).unwrap_or(0);
        let (n_data, n_payload) = (size("data_length"), size("payload_length"));
        let more = bytes(from, "data", n_data, MAX_DATA_BYTES).await?;
        let payload = bytes(from, "payload", n_payload, MAX_PAYLOAD_BYTES).await?;
        let mut data = match header.remove("data") {
            Some(Value::Object(data)) => data,
            _ => Map::new(),
        };
        if n_data > 0 {
            data.extend(serde_json::from_slice::<Map<String, Value>>(&more).map_err(|_| {
                let found = String::from_utf8_lossy(&more[..more.len().min(80)]).into_owned();
                FrameError::Header { found }
            })?);
        }
        Ok(Some(Self { kind, data: Value::Object(data), payload }))
    }

    /// Sends an event without bytes.
    ///
    /// # Errors
    /// If the connection breaks.
    pub(super) async fn write(
        kind: &str,
        data: &Value,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), FrameError> {
        let data = data.to_string();
        let header = json!({"type": kind, "version": VERSION, "data_length": data.len()});
        to.write_all(format!("{header}\n{data}").as_bytes()).await?;
        Ok(to.flush().await?)
    }
}

async fn bytes(
    from: &mut (impl AsyncBufRead + Unpin),
    part: &'static str,
    n_bytes: u64,
    limit: u64,
) -> Result<Vec<u8>, FrameError> {
    if n_bytes > limit {
        return Err(FrameError::Size { part, found: n_bytes, limit });
    }
    let mut bytes = vec![0; n_bytes as usize];
    from.read_exact(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(mut bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(Frame::read(&mut bytes))
    }

    #[test]
    fn an_event_has_data_in_two_places_and_bytes() {
        let bytes = b"{\"type\":\"t\",\"data\":{\"a\":1,\"b\":2},\"data_length\":7,\"payload_length\":3}\n{\"b\":3}xyz";
        let frame = read(bytes).unwrap().unwrap();
        let expected =
            Frame { kind: "t".to_owned(), data: json!({"a": 1, "b": 3}), payload: b"xyz".to_vec() };
        assert_eq!(frame, expected);
        assert_eq!(read(b"").unwrap(), None);
    }

    #[test]
    fn what_is_written_can_be_read() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (mut bytes, data) = (Vec::new(), json!({"text": "three\none"}));
        runtime.block_on(Frame::write("transcript", &data, &mut bytes)).unwrap();
        let frame = read(&bytes).unwrap().unwrap();
        assert_eq!((frame.kind.as_str(), frame.data), ("transcript", data));
    }

    #[test]
    fn what_is_too_large_or_no_event_is_refused() {
        let cases: [&[u8]; 5] = [
            b"hello\n",
            b"[]\n",
            b"{\"type\":\"t\",\"payload_length\":99999999999}\n",
            b"{\"type\":\"t\",\"data_length\":10}\n{}",
            &[b'x'; 70_000],
        ];
        for case in cases {
            assert!(read(case).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), n in any::<u64>()) {
            let _ = read(&bytes);
            let head = format!("{{\"type\":\"t\",\"data_length\":{n}}}\n");
            let _ = read(&[head.as_bytes(), &bytes].concat());
        }
    }
}
