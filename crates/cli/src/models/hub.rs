//! What the program says to the Hugging Face hub, or to a server that speaks the same.
//!
//! Source of the protocol: `file_download.py` and `hf_api.py` in huggingface/huggingface_hub.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use ureq::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use super::cache::{REVISION, hf_home};

const PUBLIC_ENDPOINT: &str = "https://huggingface.co";
const MAX_REDIRECTS: usize = 8;
/// A description of a repository is far smaller.
const MAX_DESCRIPTION_BYTES: u64 = 16 << 20;
/// Where the hub tells why it refuses.
const ERROR_CODE: &str = "x-error-code";

/// A connection to the hub.
#[derive(Debug)]
pub(crate) struct Hub {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
}

/// What the hub says about a repository.
#[derive(Debug)]
pub(crate) struct Description {
    /// The commit that the revision is at.
    pub(crate) commit: String,
    pub(crate) files: Vec<RemoteFile>,
}

/// A file of a repository.
#[derive(Debug, Clone)]
pub(crate) struct RemoteFile {
    pub(crate) name: String,
    /// What the hub said about the content, if it did.
    pub(crate) content: Option<Content>,
}

/// What a file's content must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    /// The content's name: its SHA-256 in hex for large files, its git hash for small ones.
    pub(crate) etag: String,
    pub(crate) bytes: u64,
}

#[derive(Deserialize)]
struct DescriptionJson {
    sha: String,
    siblings: Vec<SiblingJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SiblingJson {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<LfsJson>,
}

#[derive(Deserialize)]
struct LfsJson {
    sha256: String,
    size: u64,
}

impl Hub {
    /// The hub that the environment names: `HF_ENDPOINT`; `HF_TOKEN`, or the token that `hf auth login` has stored;
    /// `SSL_CERT_FILE`, proxies by `HTTPS_PROXY` and `NO_PROXY`.
    ///
    /// # Errors
    /// If one of these is not usable.
    pub(crate) fn from_env() -> Result<Self> {
        let endpoint = env("HF_ENDPOINT").unwrap_or_else(|| PUBLIC_ENDPOINT.into());
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        let is_url = endpoint.parse::<Uri>().is_ok_and(|uri| uri.scheme().is_some() && uri.host().is_some());
        if !is_url {
            bail!("HF_ENDPOINT is `{endpoint}`, expected an address such as {PUBLIC_ENDPOINT}");
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("boswell/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(root_certs()?).build())
            .timeout_resolve(Some(Duration::from_secs(20)))
            .timeout_connect(Some(Duration::from_secs(20)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .timeout_per_read(Some(Duration::from_secs(60)))
            .build()
            .new_agent();
        Ok(Self { agent, endpoint, token: token() })
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Asks what `repository` (`organisation/name`) holds.
    ///
    /// # Errors
    /// If the hub cannot be reached, has no such repository or does not give it away, with what to do about it.
    pub(crate) fn describe(&self, repository: &str) -> Result<Description> {
        let url = format!("{}/api/models/{repository}/revision/{REVISION}?blobs=true", self.endpoint);
        let mut response = self.send(&Method::GET, &url, 0, Redirects::Follow)?;
        self.check(repository, &response)?;
        let text = response.body_mut().with_config().limit(MAX_DESCRIPTION_BYTES).read_to_string();
        let text = text.with_context(|| format!("the answer of {} broke off", self.endpoint))?;
        let json: DescriptionJson = serde_json::from_str(&text)
            .with_context(|| format!("{} does not answer as the Hugging Face hub does", self.endpoint))?;
        if json.sha.is_empty() || !json.sha.chars().all(|c| c.is_ascii_hexdigit()) {
            bail!("the hub names commit `{}` of {repository}, expected a hexadecimal number", json.sha);
        }
        Ok(Description {
            commit: json.sha,
            files: json.siblings.into_iter().map(SiblingJson::into_file).collect(),
        })
    }

    /// Asks what a file's content must be, where the description of the repository did not say.
    ///
    /// # Errors
    /// If the hub does not say it either.
    pub(crate) fn content(&self, repository: &str, commit: &str, file: &str) -> Result<Content> {
        let response =
            self.send(&Method::HEAD, &self.file_url(repository, commit, file), 0, Redirects::Stay)?;
        if !response.status().is_redirection() {
            self.check(repository, &response)?;
        }
        let headers = response.headers();
        let etag = text(headers, "x-linked-etag").or(text(headers, "etag")).map(plain_etag);
        let bytes = text(headers, "x-linked-size").or(text(headers, "content-length"));
        match (etag, bytes.and_then(|bytes| bytes.parse().ok())) {
            (Some(etag), Some(bytes)) => Content { etag, bytes }.checked(file),
            _ => bail!("the hub does not say how large `{file}` is and what its checksum is"),
        }
    }

    /// Starts to fetch a file, from byte `offset` on. The answer may hold the whole file all the same: its status says.
    ///
    /// # Errors
    /// If the hub cannot be reached.
    pub(crate) fn open(
        &self,
        repository: &str,
        commit: &str,
        file: &str,
        offset: u64,
    ) -> Result<Response<Body>> {
        self.send(&Method::GET, &self.file_url(repository, commit, file), offset, Redirects::Follow)
    }

    fn file_url(&self, repository: &str, commit: &str, file: &str) -> String {
        format!("{}/{repository}/resolve/{commit}/{file}", self.endpoint)
    }

    /// Sends a request and follows redirects. The token goes to the hub alone, not to where it redirects.
    fn send(&self, method: &Method, url: &str, offset: u64, redirects: Redirects) -> Result<Response<Body>> {
        let mut url = url.to_owned();
        for _ in 0..MAX_REDIRECTS {
            let mut request = ureq::http::Request::builder().method(method.clone()).uri(&url);
            // A compressed answer would have another size and no ranges.
            request = request.header(header::ACCEPT_ENCODING, "identity");
            if offset > 0 {
                request = request.header(header::RANGE, format!("bytes={offset}-"));
            }
            if let Some(token) = self.token.as_ref().filter(|_| origin(&url) == origin(&self.endpoint)) {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            let request = request.body(()).with_context(|| format!("not an address: {url}"))?;
            let response =
                self.agent.run(request).with_context(|| format!("cannot reach {}", origin(&url)))?;
            let stays = redirects == Redirects::Stay && response.headers().contains_key("x-linked-etag");
            match text(response.headers(), "location") {
                Some(location) if response.status().is_redirection() && !stays => {
                    url = resolve(&url, location)?;
                }
                _ => return Ok(response),
            }
        }
        Err(anyhow!("more than {MAX_REDIRECTS} redirects, the last to {url}"))
    }

    /// Turns the hub's refusals into words.
    ///
    /// # Errors
    /// If the status is not a success.
    pub(crate) fn check(&self, repository: &str, response: &Response<Body>) -> Result<()> {
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let at = &self.endpoint;
        let with_token =
            if self.token.is_some() { "the token in use may not see it" } else { "set HF_TOKEN" };
        match (status, text(response.headers(), ERROR_CODE)) {
            (_, Some("GatedRepo")) => {
                bail!("{repository} asks for consent: give it at {at}/{repository}, then set HF_TOKEN")
            }
            (_, Some("RepoNotFound")) | (StatusCode::NOT_FOUND, None) => {
                bail!("{at} has no model {repository} (if it is private: {with_token})")
            }
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => {
                bail!("{at} does not give {repository} away (status {}): {with_token}", status.as_u16())
            }
            (StatusCode::TOO_MANY_REQUESTS, _) => {
                bail!("{at} has had too many requests from here: try again later, or set HF_TOKEN")
            }
            (_, code) => {
                let why = text(response.headers(), "x-error-message").or(code).unwrap_or("no reason given");
                bail!("{at} answered with status {}: {why}", status.as_u16())
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Redirects {
    Follow,
    /// Follow until the answer names the content, which the place of the content does not.
    Stay,
}

impl SiblingJson {
    fn into_file(self) -> RemoteFile {
        let content = match (self.lfs, self.blob_id, self.size) {
            (Some(lfs), ..) => Some(Content { etag: lfs.sha256, bytes: lfs.size }),
            (None, Some(etag), Some(bytes)) => Some(Content { etag, bytes }),
            _ => None,
        };
        RemoteFile { name: self.rfilename, content }
    }
}

impl Content {
    /// The content, if its name can name a file.
    ///
    /// # Errors
    /// If it cannot.
    pub(crate) fn checked(self, file: &str) -> Result<Self> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if self.etag.is_empty() || self.etag.len() > 128 || !self.etag.chars().all(is_plain) {
            bail!("the hub gives `{file}` the etag `{}`, expected a checksum", self.etag);
        }
        Ok(self)
    }
}

/// `"…"` and `W/"…"` without their wrapping.
fn plain_etag(etag: &str) -> String {
    etag.trim_start_matches("W/").trim_matches('"').to_owned()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Scheme, host and port of an address.
fn origin(url: &str) -> &str {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    let end = url[after_scheme..].find(['/', '?', '#']).map_or(url.len(), |at| after_scheme + at);
    &url[..end]
}

/// Where `location` leads, seen from `url`.
fn resolve(url: &str, location: &str) -> Result<String> {
    if location.starts_with("http://") || location.starts_with("https://") {
        Ok(location.to_owned())
    } else if location.starts_with('/') && !location.starts_with("//") {
        Ok(format!("{}{location}", origin(url)))
    } else {
        Err(anyhow!("{} redirects to `{location}`, which is no address", origin(url)))
    }
}

/// The certificates that are trusted: Mozilla's, or those of the file that `SSL_CERT_FILE` names.
fn root_certs() -> Result<RootCerts> {
    let Some(path) = env("SSL_CERT_FILE") else { return Ok(RootCerts::WebPki) };
    let pem = std::fs::read(&path).with_context(|| format!("cannot read SSL_CERT_FILE `{path}`"))?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        bail!("SSL_CERT_FILE `{path}` holds no certificate in PEM form");
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

/// The user's access token: `HF_TOKEN`, or the file of `hf auth login`.
fn token() -> Option<String> {
    if let Some(token) = env("HF_TOKEN") {
        return Some(token);
    }
    let path = match env("HF_TOKEN_PATH") {
        Some(path) => path.into(),
        None => hf_home().ok()?.join("token"),
    };
    let token = std::fs::read_to_string(path).ok()?.trim().to_owned();
    (!token.is_empty()).then_some(token)
}

/// Whether the environment forbids the network, as the hub's own programs read it.
pub(crate) fn is_offline_by_env() -> bool {
    let is_on = |value: String| ["1", "on", "yes", "true"].contains(&value.to_lowercase().as_str());
    ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].into_iter().filter_map(env).any(is_on)
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_from_where_they_stand() {
        assert_eq!(resolve("https://a.b:1/c/d?e", "/f?g=1").unwrap(), "https://a.b:1/f?g=1");
        assert_eq!(resolve("https://a.b/c", "https://cdn.x/y").unwrap(), "https://cdn.x/y");
        for bad in ["//evil/x", "file:///etc/passwd", "relative", ""] {
            assert!(resolve("https://a.b/c", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        assert_eq!(origin("https://a.b:1/c?d"), "https://a.b:1");
        assert_eq!(origin("https://a.b?d=http://x/"), "https://a.b");
        // A host that only starts like the hub is another host.
        assert_ne!(origin("https://huggingface.co.evil.org/x"), origin("https://huggingface.co/x"));
    }

    #[test]
    fn an_etag_that_is_no_plain_name_is_refused() {
        let content = |etag: &str| Content { etag: etag.into(), bytes: 1 }.checked("config.json");
        assert!(content("0123abc").is_ok());
        for bad in ["", "../../x", "a/b", "a\\b", &"a".repeat(129)] {
            assert!(content(bad).is_err(), "{bad}");
        }
        assert_eq!(plain_etag("W/\"abc\""), "abc");
    }
}
