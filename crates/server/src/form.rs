//! What comes in a `multipart/form-data` body: texts, and one recording, which goes to disk as it arrives.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use tokio::io::AsyncWriteExt;
use tokio_stream::{Stream, StreamExt};

use crate::error::ApiError;

/// Most fields in a form.
const MAX_FIELDS: usize = 200;
/// Most bytes of all texts together.
const MAX_TEXT_BYTES: usize = 1 << 20;
/// A client that sends for longer than [`GRACE`] has to send so many bytes a second on average.
const MIN_BYTES_PER_SECOND: f64 = 1000.0;
const GRACE: Duration = Duration::from_secs(60);
/// Most bytes that may arrive without a field or a piece of one coming out of them.
const MAX_UNPARSED_BYTES: u64 = 1 << 20;

/// What bounds a form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FormLimits<'a> {
    /// Most bytes in all.
    pub(crate) max_bytes: u64,
    /// Longest time in which nothing arrives.
    pub(crate) idle: Duration,
    /// Where the recording is kept.
    pub(crate) temp_dir: &'a Path,
}

/// A form as it was sent.
#[derive(Debug, Default)]
pub(crate) struct Form {
    texts: Vec<(String, String)>,
    taken: BTreeSet<&'static str>,
    /// The recording.
    pub(crate) upload: Option<Upload>,
}

/// A recording that was sent: a file without a name, which vanishes with this object.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) file: File,
    /// What the client calls it.
    pub(crate) name: String,
    pub(crate) n_bytes: u64,
}

impl Form {
    /// Reads a request to its end.
    ///
    /// - `file_field`: the name of the field with the recording.
    ///
    /// # Errors
    /// If it is no form, is larger than allowed, stops to arrive, or the recording cannot be stored.
    pub(crate) async fn read(
        request: Request,
        file_field: &str,
        limits: FormLimits<'_>,
    ) -> Result<Self, ApiError> {
        check_announced(&request, limits)?;
        let meter = Arc::new(Meter::new(limits.max_bytes));
        let (parts, body) = request.into_parts();
        let metered = Metered { body: body.into_data_stream(), meter: meter.clone(), n_burst: 0 };
        let request = Request::from_parts(parts, Body::from_stream(metered));
        let multipart = Multipart::from_request(request, &()).await.map_err(|rejection| {
            ApiError::invalid(format!("Expected a multipart/form-data body: {}", rejection.body_text()))
        })?;
        Reading { form: Self::default(), multipart, meter, limits }.run(file_field).await
    }

    /// A form of nothing but texts.
    pub(crate) fn of(texts: Vec<(String, String)>) -> Self {
        Self { texts, ..Self::default() }
    }

    /// Adds a text, which counts for more than one of the same name that was sent.
    pub(crate) fn add(&mut self, name: &str, value: String) {
        self.texts.push((name.to_owned(), value));
    }

    /// The texts as they were sent.
    pub(crate) fn into_texts(self) -> Vec<(String, String)> {
        self.texts
    }

    /// The value of a text that comes once; an empty one counts as none.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
        self.taken.insert(name);
        let value = self.texts.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.trim());
        value.filter(|value| !value.is_empty()).map(str::to_owned)
    }

    /// The fields of an object, spelled `name[key]` or as JSON.
    pub(crate) fn object(&mut self, name: &'static str) -> Vec<(String, String)> {
        self.taken.insert(name);
        let mut fields = Vec::new();
        for (key, value) in self.texts.iter().filter(|(key, _)| base(key) == name) {
            match key[name.len()..].trim_matches(['[', ']']) {
                "" => {
                    let object: serde_json::Map<_, _> = serde_json::from_str(value).unwrap_or_default();
                    fields.extend(object.into_iter().map(|(key, value)| match value {
                        serde_json::Value::String(text) => (key, text),
                        other => (key, other.to_string()),
                    }));
                }
                key => fields.push((key.to_owned(), value.trim().to_owned())),
            }
        }
        fields
    }

    /// The values of a list, however it is spelled: `name` or `name[]` or `name[0]` again and again, a JSON array of
    /// strings, words with commas between.
    pub(crate) fn list(&mut self, name: &'static str) -> Vec<String> {
        self.taken.insert(name);
        let values = self.texts.iter().filter(|(key, _)| base(key) == name);
        let items = values.flat_map(|(_, value)| match serde_json::from_str::<Vec<String>>(value) {
            Ok(items) => items,
            Err(_) => value.split(',').map(str::to_owned).collect(),
        });
        items.map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
    }

    /// Names of the texts that nobody has asked for.
    pub(crate) fn unknown(&self) -> Vec<&str> {
        let names = self.texts.iter().map(|(key, _)| base(key)).filter(|name| !self.taken.contains(name));
        names.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Marks texts as known that have no effect.
    pub(crate) fn ignore(&mut self, names: &[&'static str]) {
        self.taken.extend(names);
    }
}

impl Upload {
    /// Reads a request whose whole body is a recording.
    ///
    /// # Errors
    /// If it is larger than allowed, stops to arrive, or cannot be stored.
    pub(crate) async fn read(request: Request, limits: FormLimits<'_>) -> Result<Self, ApiError> {
        check_announced(&request, limits)?;
        let meter = Meter::new(limits.max_bytes);
        let mut body = request.into_body().into_data_stream();
        let mut storing = Storing::new(limits)?;
        while let Some(chunk) =
            tokio::time::timeout(limits.idle, body.next()).await.map_err(|_| ApiError::too_slow())?
        {
            let chunk = chunk.map_err(|error| ApiError::invalid(format!("The body is damaged: {error}.")))?;
            meter.count(chunk.len() as u64)?;
            storing.write(&chunk).await?;
        }
        storing.finish(String::new()).await
    }
}

/// Who says that it will be too much need not send it.
fn check_announced(request: &Request, limits: FormLimits<'_>) -> Result<(), ApiError> {
    match announced_bytes(request).filter(|n_bytes| *n_bytes > limits.max_bytes) {
        Some(n_bytes) => Err(ApiError::announced_too_large(limits.max_bytes, n_bytes)),
        None => Ok(()),
    }
}

/// How many bytes the body will have, if the head says so.
fn announced_bytes(request: &Request) -> Option<u64> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// `name` of `name[]`, `name[0]` and `name[key]`.
fn base(key: &str) -> &str {
    key.split_once('[').map_or(key, |(name, _)| name)
}

/// A form that arrives.
struct Reading<'a> {
    form: Form,
    multipart: Multipart,
    meter: Arc<Meter>,
    limits: FormLimits<'a>,
}

impl Reading<'_> {
    async fn run(mut self, file_field: &str) -> Result<Form, ApiError> {
        let mut n_text_bytes = 0;
        for n_fields in 0.. {
            let next = tokio::time::timeout(self.limits.idle, self.multipart.next_field()).await;
            let field = next.map_err(|_| ApiError::too_slow())?.map_err(|error| self.meter.error(&error))?;
            self.meter.claim();
            let Some(field) = field else { break };
            if n_fields == MAX_FIELDS {
                return Err(ApiError::invalid(format!("The form has more than {MAX_FIELDS} fields.")));
            }
            let name = field.name().unwrap_or_default().to_owned();
            if name == file_field {
                if self.form.upload.is_some() {
                    return Err(ApiError::param("file", "The form has more than one recording."));
                }
                self.form.upload = Some(store(field, &self.meter, self.limits).await?);
            } else {
                let value = text(field, &self.meter, self.limits, &mut n_text_bytes).await?;
                self.form.texts.push((name, value));
            }
        }
        Ok(self.form)
    }
}

/// The next piece of a field.
async fn chunk(
    field: &mut Field<'_>,
    meter: &Meter,
    limits: FormLimits<'_>,
) -> Result<Option<Bytes>, ApiError> {
    let chunk = tokio::time::timeout(limits.idle, field.chunk()).await.map_err(|_| ApiError::too_slow())?;
    meter.claim();
    meter.check_pace()?;
    chunk.map_err(|error| meter.error(&error))
}

async fn text(
    mut field: Field<'_>,
    meter: &Meter,
    limits: FormLimits<'_>,
    n_bytes: &mut usize,
) -> Result<String, ApiError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = chunk(&mut field, meter, limits).await? {
        *n_bytes += chunk.len();
        if *n_bytes > MAX_TEXT_BYTES {
            return Err(ApiError::too_large(MAX_TEXT_BYTES as u64, *n_bytes as u64));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

async fn store(mut field: Field<'_>, meter: &Meter, limits: FormLimits<'_>) -> Result<Upload, ApiError> {
    let name = field.file_name().unwrap_or_default().to_owned();
    let mut storing = Storing::new(limits)?;
    while let Some(chunk) = chunk(&mut field, meter, limits).await? {
        storing.write(&chunk).await?;
    }
    storing.finish(name).await
}

/// A recording on its way to the disk.
struct Storing<'a> {
    file: tokio::fs::File,
    n_bytes: u64,
    folder: &'a Path,
}

impl<'a> Storing<'a> {
    fn new(FormLimits { temp_dir: folder, .. }: FormLimits<'a>) -> Result<Self, ApiError> {
        let file = tempfile::tempfile_in(folder).map_err(|error| no_room(folder, &error))?;
        Ok(Self { file: tokio::fs::File::from_std(file), n_bytes: 0, folder })
    }

    async fn write(&mut self, chunk: &[u8]) -> Result<(), ApiError> {
        self.n_bytes += chunk.len() as u64;
        self.file.write_all(chunk).await.map_err(|error| no_room(self.folder, &error))
    }

    async fn finish(mut self, name: String) -> Result<Upload, ApiError> {
        self.file.flush().await.map_err(|error| no_room(self.folder, &error))?;
        Ok(Upload { file: self.file.into_std().await, name, n_bytes: self.n_bytes })
    }
}

fn no_room(folder: &Path, error: &std::io::Error) -> ApiError {
    tracing::error!(folder = %folder.display(), "cannot store a recording: {error}");
    ApiError::storage()
}

/// Counts what arrives: in all, and since something came out of it.
#[derive(Debug)]
struct Meter {
    since: Instant,
    max_bytes: u64,
    n_bytes: AtomicU64,
    n_unparsed: AtomicU64,
}

impl Meter {
    fn new(max_bytes: u64) -> Self {
        Self { since: Instant::now(), max_bytes, n_bytes: AtomicU64::new(0), n_unparsed: AtomicU64::new(0) }
    }

    /// Gives up clients that send just enough not to seem idle.
    fn check_pace(&self) -> Result<(), ApiError> {
        let (elapsed, n_bytes) = (self.since.elapsed(), self.n_bytes.load(Ordering::Relaxed));
        let is_slow = elapsed > GRACE && (n_bytes as f64) < MIN_BYTES_PER_SECOND * elapsed.as_secs_f64();
        if is_slow { Err(ApiError::too_slow()) } else { Ok(()) }
    }

    /// Counts bytes of a body that is not parsed.
    fn count(&self, n_new: u64) -> Result<(), ApiError> {
        let n_bytes = self.n_bytes.fetch_add(n_new, Ordering::Relaxed) + n_new;
        if n_bytes > self.max_bytes {
            return Err(ApiError::too_large(self.max_bytes, n_bytes));
        }
        self.check_pace()
    }

    fn claim(&self) {
        self.n_unparsed.store(0, Ordering::Relaxed);
    }

    /// What is wrong with a body that cannot be parsed further.
    fn error(&self, error: &MultipartError) -> ApiError {
        let found = self.n_bytes.load(Ordering::Relaxed);
        if found > self.max_bytes || error.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return ApiError::too_large(self.max_bytes, found);
        }
        ApiError::invalid(format!("The multipart/form-data body is damaged: {}", error.body_text()))
    }
}

/// A body whose bytes are counted. It ends with an error where they are too many.
struct Metered<S> {
    body: S,
    meter: Arc<Meter>,
    /// Bytes given since it last asked to wait.
    n_burst: u64,
}

impl<S: Stream<Item = Result<Bytes, axum::Error>> + Unpin> Stream for Metered<S> {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // The parser takes all that is there before it looks at it: it must not be more than memory should hold.
        if self.n_burst > MAX_UNPARSED_BYTES / 4 {
            self.n_burst = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = Pin::new(&mut self.body).poll_next(context);
        let Poll::Ready(Some(Ok(bytes))) = &next else {
            self.n_burst = 0;
            return next;
        };
        let n_new = bytes.len() as u64;
        self.n_burst += n_new;
        let n_bytes = self.meter.n_bytes.fetch_add(n_new, Ordering::Relaxed) + n_new;
        let n_unparsed = self.meter.n_unparsed.fetch_add(n_new, Ordering::Relaxed) + n_new;
        if n_bytes > self.meter.max_bytes {
            return Poll::Ready(Some(Err(axum::Error::new("too many bytes"))));
        }
        if n_unparsed > MAX_UNPARSED_BYTES + n_new {
            return Poll::Ready(Some(Err(axum::Error::new("no field in all these bytes"))));
        }
        next
    }
}

#[cfg(test)]
mod tests;
