//! Keys for one session, which a program gives to a browser that is not to have its own.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::config::{Config, now};
use crate::error::ApiError;

/// Secrets that are remembered at once.
const MAX_REMEMBERED: usize = 10_000;
/// Seconds that a secret may be used for unless asked otherwise, and the shortest and longest that may be asked for.
const LIFETIMES_S: (u64, u64, u64) = (600, 10, 7200);

/// The secrets that may be used now.
#[derive(Default)]
pub(crate) struct Secrets {
    /// By the hash of each.
    given: Mutex<HashMap<[u8; 32], Given>>,
}

struct Given {
    until: Instant,
    config: Config,
}

/// A secret as its owner gets it.
#[derive(Debug)]
pub(super) struct Secret {
    pub(super) value: String,
    /// Seconds since 1970.
    pub(super) expires_at: u64,
}

impl Secrets {
    /// Makes a secret that lets somebody open sessions with `config`.
    ///
    /// # Errors
    /// Status 429 if there are too many, 500 if the system has no random numbers.
    pub(super) fn give(&self, config: Config, lifetime: Duration) -> Result<Secret, ApiError> {
        let mut bytes = [0; 24];
        getrandom::fill(&mut bytes).map_err(|error| {
            tracing::error!("the system gives no random numbers: {error}");
            ApiError::internal()
        })?;
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let value = format!("ek_{digits}");
        let now_ = Instant::now();
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.retain(|_, given| given.until > now_);
        if given.len() >= MAX_REMEMBERED {
            return Err(ApiError::busy(60));
        }
        given.insert(hash(&value), Given { until: now_ + lifetime, config });
        Ok(Secret { value, expires_at: now() + lifetime.as_secs() })
    }

    /// What a session is to do that is opened with `key`; `None` if that is no secret, or no longer.
    pub(super) fn config(&self, key: &str) -> Option<Config> {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let given = given.get(&hash(key)).filter(|given| given.until > Instant::now())?;
        Some(given.config.clone())
    }
}

/// How long a secret is to be of use, as `expires_after` of a request says.
///
/// # Errors
/// Status 400 if it makes no sense.
pub(super) fn lifetime(expires_after: &Value) -> Result<Duration, ApiError> {
    let (usual, least, most) = LIFETIMES_S;
    let seconds = match &expires_after["seconds"] {
        Value::Null => Some(usual),
        given => given.as_u64().filter(|seconds| (least..=most).contains(seconds)),
    };
    seconds.map(Duration::from_secs).ok_or_else(|| {
        ApiError::param("expires_after.seconds", format!("Expected {least} to {most} seconds."))
    })
}

/// A map of hashes tells nobody by its timing how much of a guess was right.
fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_is_of_use_for_its_time() {
        let secrets = Secrets::default();
        let secret = secrets.give(Config::new("m"), Duration::from_secs(60)).unwrap();
        assert!(secret.value.starts_with("ek_") && secret.expires_at >= now() + 59);
        assert_eq!(secrets.config(&secret.value), Some(Config::new("m")));
        assert_eq!(secrets.config("ek_00"), None);
        let short = secrets.give(Config::new("m"), Duration::ZERO).unwrap();
        assert_eq!(secrets.config(&short.value), None);
        secrets.give(Config::new("m"), Duration::ZERO).unwrap();
        assert_eq!(secrets.given.lock().unwrap().len(), 2, "what is over is forgotten");
    }

    #[test]
    fn lifetimes_are_bounded() {
        assert_eq!(lifetime(&Value::Null).unwrap(), Duration::from_secs(600));
        assert_eq!(lifetime(&json!({"seconds": 30})).unwrap(), Duration::from_secs(30));
        for bad in [json!(1), json!(7201), json!(-5), json!("long")] {
            assert!(lifetime(&json!({"seconds": bad})).is_err(), "{bad}");
        }
    }
}
