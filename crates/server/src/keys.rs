//! Who may ask: keys, of which only the hashes are kept.

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::error::ApiError;

/// The keys that a server knows. Without any, everybody may ask.
#[derive(Clone, Default)]
pub struct Keys {
    hashes: Vec<[u8; 32]>,
}

impl Keys {
    /// Keys as they are told: each is the key itself, or `sha256:` and the 64 hexadecimal digits of its SHA-256.
    ///
    /// # Errors
    /// The first that is empty or is no hash after `sha256:`.
    pub fn new(keys: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, crate::Error> {
        let hashes = keys.into_iter().map(|key| hash_of(key.as_ref().trim())).collect::<Result<_, _>>()?;
        Ok(Self { hashes })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Lets requests pass that bring one of the keys, as `Authorization: Bearer KEY`.
    ///
    /// # Errors
    /// Status 401 for all others.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        if self.is_empty() {
            return Ok(());
        }
        let Some(key) = key_of(headers) else {
            return Err(ApiError::key(
                "You didn't provide an API key. Send it in an Authorization header: Bearer YOUR_KEY.",
            ));
        };
        if self.knows(key) { Ok(()) } else { Err(ApiError::key("Incorrect API key provided.")) }
    }

    /// Whether `key` is one of the keys. Takes as long whichever it is.
    pub(crate) fn knows(&self, key: &str) -> bool {
        let hash = Sha256::digest(key.as_bytes());
        let is_any =
            self.hashes.iter().fold(Choice::from(0), |any, known| any | known.as_slice().ct_eq(&hash));
        is_any.into()
    }
}

/// Tells how many there are, not which.
impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} keys", self.hashes.len())
    }
}

/// The key that a request brings.
pub(crate) fn key_of(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    // Deepgram's clients say `Token`.
    ["bearer", "token"].iter().any(|known| scheme.eq_ignore_ascii_case(known)).then(|| key.trim())
}

fn hash_of(key: &str) -> Result<[u8; 32], crate::Error> {
    let refuse = |found: &str| crate::Error::Setting {
        name: "an API key",
        found: found.to_owned(),
        expected: "a key, or `sha256:` and 64 hexadecimal digits",
    };
    let Some(hex) = key.strip_prefix("sha256:") else {
        return if key.is_empty() { Err(refuse("empty")) } else { Ok(Sha256::digest(key.as_bytes()).into()) };
    };
    let mut hash = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return Err(refuse("a hash of another length"));
    }
    for (byte, digits) in hash.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        let digit =
            |digit: u8| (digit as char).to_digit(16).ok_or_else(|| refuse("a hash with other digits"));
        *byte = (digit(digits[0])? << 4 | digit(digits[1])?) as u8;
    }
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(keys: &Keys, authorization: &str) -> bool {
        let mut headers = HeaderMap::new();
        if !authorization.is_empty() {
            headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        }
        keys.check(&headers).is_ok()
    }

    #[test]
    fn one_of_the_keys_lets_pass() {
        // sha256 of "second"
        let hash = "sha256:16367aacb67a4a017c8da8ab95682ccb390863780f7114dda0a0e0c55644c7c4";
        let keys = Keys::new(["first", hash]).unwrap();
        for good in ["Bearer first", "bearer first", "Bearer second", "Token first"] {
            assert!(check(&keys, good), "{good}");
        }
        for bad in ["", "first", "Basic first", "Bearer firs", "Bearer first2", "Bearer ", hash] {
            assert!(!check(&keys, bad), "{bad}");
        }
        assert!(!format!("{keys:?}").contains("first"));
    }

    #[test]
    fn without_keys_everybody_passes() {
        for any in ["", "Bearer x", "?"] {
            assert!(check(&Keys::default(), any));
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for bad in ["", "  ", "sha256:12", &format!("sha256:{}", "x".repeat(64))] {
            assert!(Keys::new([bad]).is_err(), "{bad}");
        }
    }
}
