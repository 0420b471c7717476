use proptest::prelude::*;

use super::*;

const BOUNDARY: &str = "boundary-of-the-test";

/// Reads a body that comes in pieces of so many bytes.
fn read(body: &[u8], piece: usize, max_bytes: u64) -> Result<Form, ApiError> {
    let pieces: Vec<_> = body.chunks(piece).map(|piece| Ok::<_, axum::Error>(piece.to_vec())).collect();
    let request = Request::post("/")
        .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"))
        .body(Body::from_stream(tokio_stream::iter(pieces)))
        .unwrap();
    let limits = FormLimits { max_bytes, idle: Duration::from_secs(5), temp_dir: &std::env::temp_dir() };
    runtime().block_on(Form::read(request, "file", limits))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn part(name: &str, file: Option<&str>, value: &str) -> String {
    let file = file.map_or_else(String::new, |file| format!("; filename=\"{file}\""));
    format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n\r\n{value}\r\n")
}

fn body(parts: &[String]) -> Vec<u8> {
    format!("{}--{BOUNDARY}--\r\n", parts.concat()).into_bytes()
}

#[test]
fn a_form_is_read_whatever_pieces_it_comes_in() {
    let sound = "RIFF".repeat(30_000);
    let parts =
        [part("model", None, "whisper-1"), part("file", Some("a.wav"), &sound), part("k[]", None, "1, 2")];
    for piece in [7, 4096, 1 << 20] {
        let mut form = read(&body(&parts), piece, 1 << 30).unwrap();
        let upload = form.upload.as_ref().unwrap();
        assert_eq!((upload.name.as_str(), upload.n_bytes), ("a.wav", sound.len() as u64));
        assert_eq!(upload.file.metadata().unwrap().len(), sound.len() as u64);
        assert_eq!(form.text("model").as_deref(), Some("whisper-1"));
        assert_eq!(form.unknown(), ["k"]);
        assert_eq!(form.list("k"), ["1", "2"]);
        assert!(form.unknown().is_empty());
    }
}

#[test]
fn what_is_too_large_is_told_so() {
    let large = body(&[part("file", Some("a"), &"x".repeat(100_000))]);
    assert_eq!(read(&large, 1000, 50_000).unwrap_err().status, 413);
    let text = body(&[part("prompt", None, &"x".repeat(MAX_TEXT_BYTES + 1))]);
    assert_eq!(read(&text, 100_000, 1 << 30).unwrap_err().status, 413);
    let many: Vec<String> = (0..=MAX_FIELDS).map(|_| part("a", None, "")).collect();
    assert_eq!(read(&body(&many), 10_000, 1 << 30).unwrap_err().status, 400);
}

#[test]
fn bytes_without_a_field_are_not_kept_in_memory() {
    let preamble = vec![b'x'; 8 << 20];
    assert_eq!(read(&preamble, 64 << 10, 1 << 30).unwrap_err().status, 400);
    let header = format!("--{BOUNDARY}\r\nx-long: {}", "y".repeat(8 << 20));
    assert_eq!(read(header.as_bytes(), 64 << 10, 1 << 30).unwrap_err().status, 400);
}

#[test]
fn a_body_that_is_cut_off_is_an_error() {
    let whole = body(&[part("file", Some("a"), "some sound"), part("model", None, "m")]);
    for n in 0..whole.len() - 6 {
        assert_eq!(read(&whole[..n], 16, 1 << 30).unwrap_err().status, 400, "{n} bytes");
    }
}

#[test]
fn who_sends_nothing_is_given_up() {
    let request = Request::post("/")
        .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"))
        .body(Body::from_stream(tokio_stream::pending::<Result<Vec<u8>, axum::Error>>()))
        .unwrap();
    let limits =
        FormLimits { max_bytes: 1, idle: Duration::from_millis(20), temp_dir: &std::env::temp_dir() };
    let error = runtime().block_on(Form::read(request, "file", limits)).unwrap_err();
    assert_eq!(error.status, 408);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn no_bytes_make_it_panic(
        noise in prop::collection::vec(any::<u8>(), 0..400),
        at in 0usize..200,
        piece in 1usize..300,
    ) {
        let mut bytes = body(&[part("file", Some("a"), "some sound"), part("model", None, "m")]);
        let at = at.min(bytes.len());
        let _ = read(&noise, piece, 1 << 20);
        bytes.splice(at.., noise.iter().copied());
        let _ = read(&bytes, piece, 1 << 20);
    }
}
