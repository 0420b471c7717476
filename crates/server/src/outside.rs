//! What the server asks of others: recordings by their address, and the news of a job to whom it may concern.
//!
//! Only hosts that the settings name are asked, and none of them at an address of this machine or of a private network
//! (unless the settings name that very address): a client must not reach through the server what it cannot reach itself.

use std::fs::File;
use std::io::{Read, Seek, copy};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use crate::error::{ApiError, chain};
use crate::form::Upload;

/// A connection is there, or an answer begins, within this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// A whole transfer takes at most this long.
const TRANSFER: Duration = Duration::from_secs(3600);

/// Asks others.
pub(crate) struct Outside {
    hosts: Vec<String>,
    agent: Agent,
}

impl Outside {
    /// - `hosts`: those that may be asked: `example.org`, or `*.example.org` for all below it.
    pub(crate) fn new(hosts: &[String]) -> Self {
        let config = Agent::config_builder()
            .max_redirects(0) // they would lead where nobody looked
            .http_status_as_error(false)
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_global(Some(TRANSFER))
            .proxy(None)
            .build();
        let hosts: Vec<String> = hosts.iter().map(|host| host.to_lowercase()).collect();
        let resolver = Public { inner: DefaultResolver::default(), named: hosts.clone() };
        Self { hosts, agent: Agent::with_parts(config, DefaultConnector::default(), resolver) }
    }

    /// Checks that an address may be asked.
    ///
    /// # Errors
    /// Status 400 if it is none, or of a host that may not be.
    pub(crate) fn check(&self, param: &str, url: &str) -> Result<(), ApiError> {
        let uri: Uri = url.parse().map_err(|_| ApiError::param(param, "It is no address."))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(ApiError::param(param, "Expected an address with http or https."));
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(ApiError::param(param, "Expected an address without a password."));
        }
        let host = uri.host().unwrap_or_default().to_lowercase();
        if self.hosts.iter().any(|allowed| is_host(allowed, &host)) {
            return Ok(());
        }
        Err(ApiError::param(
            param,
            format!("This server does not ask '{host}': its settings do not name it."),
        ))
    }

    /// Fetches a recording. Blocks.
    ///
    /// # Errors
    /// Those of [`check`](Self::check), and if the host does not give it or it is too large.
    pub(crate) fn fetch(&self, url: &str, max_bytes: u64, temp_dir: &Path) -> Result<Upload, ApiError> {
        self.check("url", url)?;
        let refused =
            |reason: String| ApiError::param("url", format!("The recording cannot be fetched: {reason}."));
        let mut answer = self.agent.get(url).call().map_err(|error| refused(chain(&error)))?;
        if !answer.status().is_success() {
            return Err(refused(format!("the answer is {}", answer.status())));
        }
        let stored = tempfile::tempfile_in(temp_dir).map_err(|_| ApiError::storage())?;
        let mut body = answer.body_mut().with_config().limit(u64::MAX).reader().take(max_bytes + 1);
        let n_bytes = fill(&stored, &mut body).map_err(|error| refused(error.to_string()))?;
        if n_bytes > max_bytes {
            return Err(ApiError::too_large(max_bytes, n_bytes));
        }
        let name = url.split(['?', '#']).next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
        Ok(Upload { file: stored, name: name.to_owned(), n_bytes })
    }

    /// Sends JSON. Blocks.
    ///
    /// # Errors
    /// Why it was not taken.
    pub(crate) fn post(&self, url: &str, headers: &[(&str, String)], body: &str) -> Result<(), String> {
        self.check("callback_url", url).map_err(|_| "the host may not be asked any more".to_owned())?;
        let mut request = self.agent.post(url).content_type("application/json");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        match request.send(body) {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("the answer is {}", answer.status())),
            Err(error) => Err(chain(&error)),
        }
    }
}

fn fill(mut file: &File, body: &mut impl Read) -> std::io::Result<u64> {
    let n_bytes = copy(body, &mut file)?;
    file.rewind()?;
    Ok(n_bytes)
}

fn is_host(allowed: &str, host: &str) -> bool {
    match allowed.strip_prefix("*.") {
        Some(domain) => host.strip_suffix(domain).is_some_and(|below| below.ends_with('.')),
        None => allowed == host.trim_matches(['[', ']']) || allowed == host,
    }
}

/// Finds the addresses of hosts, and keeps private ones to itself.
#[derive(Debug)]
struct Public {
    inner: DefaultResolver,
    /// Addresses that the settings name are meant.
    named: Vec<String>,
}

impl Resolver for Public {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let all = self.inner.resolve(uri, config, timeout)?;
        let mut public = self.empty();
        for address in all.iter() {
            if is_public(address.ip()) || self.named.contains(&address.ip().to_string()) {
                public.push(*address);
            }
        }
        if public.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(public) }
    }
}

/// Whether an address is one of the whole internet's, by IANA's registries of special addresses.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => match v6.to_ipv4() {
            Some(v4) => is_public_v4(v4),
            None => is_public_v6(v6),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a, b) == (100, 64 | (b & 63)) // shared by providers
        || (a, b, c) == (192, 0, 0)
        || (a, b & 0xfe) == (198, 18); // benchmarks
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let first = address.segments()[0];
    // 2000::/3 is what is given out; 6to4 and Teredo lead to other networks, 2001:db8 nowhere.
    first & 0xe000 == 0x2000
        && first != 0x2002
        && !(first == 0x2001 && matches!(address.segments()[1], 0 | 0xdb8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_hosts_are_asked() {
        let outside = Outside::new(&["example.org".to_owned(), "*.Example.com".to_owned()]);
        let good = ["http://example.org/a.wav", "https://EXAMPLE.org:8443/", "https://a.b.example.com/x?y"];
        for url in good {
            assert!(outside.check("url", url).is_ok(), "{url}");
        }
        let bad = [
            "http://example.com/",
            "http://badexample.com/",
            "http://example.org.evil.net/",
            "http://example.org@evil.net/",
            "http://user@example.org/",
            "file:///etc/passwd",
            "ftp://example.org/",
            "example.org",
            "",
        ];
        for url in bad {
            assert_eq!(outside.check("url", url).unwrap_err().status, 400, "{url}");
        }
    }

    #[test]
    fn private_addresses_are_known() {
        let private = [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.0.1",
            "0.0.0.0",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fc00::1",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
            "2001:db8::1",
        ];
        for address in private {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in
            ["8.8.8.8", "100.128.0.1", "172.32.0.1", "198.20.0.1", "2606:4700::1111", "2001:4860::8888"]
        {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_name_that_leads_to_a_private_address_is_not_asked() {
        let outside = Outside::new(&["localhost".to_owned()]);
        let error = outside.fetch("http://localhost:1/", 10, &std::env::temp_dir()).unwrap_err();
        assert!(error.body()["error"]["message"].as_str().unwrap().contains("host not found"), "{error:?}");
    }
}
