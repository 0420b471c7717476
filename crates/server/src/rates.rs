//! How often one client may ask: a bucket of requests for each, that fills at a steady pace.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use axum::http::HeaderMap;

use crate::error::ApiError;
use crate::keys::key_of;

/// Above so many clients, those that have been away long enough are forgotten.
const MAX_REMEMBERED: usize = 10_000;

/// How often each client has asked lately.
pub(crate) struct Rates {
    per_minute: f64,
    /// Makes clients numbers that nobody outside can guess.
    hasher: RandomState,
    buckets: Mutex<HashMap<u64, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    n_left: f64,
    at: Instant,
}

impl Rates {
    /// - `per_minute`: requests a minute, which may come all at once.
    pub(crate) fn new(per_minute: u32) -> Self {
        Self { per_minute: per_minute.into(), hasher: RandomState::new(), buckets: Mutex::default() }
    }

    /// Counts a request of the client that has this key, or else this address.
    ///
    /// # Errors
    /// Status 429 if it is one too many.
    pub(crate) fn check(&self, headers: &HeaderMap, address: Option<IpAddr>) -> Result<(), ApiError> {
        let mut hasher = self.hasher.build_hasher();
        match (key_of(headers), address) {
            (Some(key), _) => hasher.write(key.as_bytes()),
            (None, Some(address)) => hasher.write(address.to_string().as_bytes()),
            (None, None) => {}
        }
        self.count(hasher.finish(), Instant::now())
    }

    fn count(&self, client: u64, now: Instant) -> Result<(), ApiError> {
        let per_second = self.per_minute / 60.0;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_REMEMBERED {
            buckets.retain(|_, bucket| now.duration_since(bucket.at).as_secs() < 60);
        }
        let bucket = buckets.entry(client).or_insert(Bucket { n_left: self.per_minute, at: now });
        let gained = now.duration_since(bucket.at).as_secs_f64() * per_second;
        *bucket = Bucket { n_left: (bucket.n_left + gained).min(self.per_minute), at: now };
        if bucket.n_left < 1.0 {
            let wait_s = (1.0 - bucket.n_left) / per_second;
            return Err(ApiError::too_often(wait_s.ceil() as u64));
        }
        bucket.n_left -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_client_may_ask_so_often_a_minute_and_others_do_not_count() {
        let (rates, now) = (Rates::new(30), Instant::now());
        assert!((0..30).all(|_| rates.count(1, now).is_ok()));
        assert_eq!(rates.count(1, now).unwrap_err().status, 429);
        assert!(rates.count(2, now).is_ok());
        assert!(rates.count(1, now + Duration::from_millis(2100)).is_ok());
        assert!(rates.count(1, now + Duration::from_millis(2200)).is_err());
        assert!((0..30).all(|_| rates.count(1, now + Duration::from_secs(600)).is_ok()));
    }

    #[test]
    fn clients_are_forgotten() {
        let (rates, now) = (Rates::new(1), Instant::now());
        for client in 0..MAX_REMEMBERED as u64 {
            rates.count(client, now).unwrap();
        }
        rates.count(u64::MAX, now + Duration::from_secs(61)).unwrap();
        assert_eq!(rates.buckets.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_key_goes_before_an_address() {
        let rates = Rates::new(1);
        let (mut headers, here) = (HeaderMap::new(), Some(IpAddr::from([127, 0, 0, 1])));
        assert!(rates.check(&headers, here).is_ok() && rates.check(&headers, here).is_err());
        headers.insert("authorization", "Bearer mine".parse().unwrap());
        assert!(rates.check(&headers, here).is_ok());
    }
}
