//! The news that a job is at its end, sent to whom its `callback_url` names, and signed as standardwebhooks.com says.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

use super::routes::shown;
use super::store::now;
use super::{Job, Jobs};
use crate::state::State;

/// How often it is tried, each time after twice as long as before.
pub(super) const ATTEMPTS: i64 = 8;
const FIRST_WAIT_S: i64 = 5;
/// How often it is looked for news that is to be sent again.
const SWEEP: Duration = Duration::from_secs(1);
/// News that is sent at once.
const AT_ONCE: u32 = 16;

/// Signs messages.
#[derive(Clone)]
pub(crate) struct Signer {
    secret: Vec<u8>,
}

impl Signer {
    /// - `secret`: `whsec_` and base64, or any text.
    pub(crate) fn new(secret: &str) -> Self {
        let decoded = secret.strip_prefix("whsec_").and_then(|text| BASE64_STANDARD.decode(text).ok());
        Self { secret: decoded.unwrap_or_else(|| secret.as_bytes().to_vec()) }
    }

    /// The signature of a message that is sent at a time, in seconds since 1970.
    pub(crate) fn sign(&self, id: &str, at: i64, body: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("any length is a key's");
        mac.update(format!("{id}.{at}.{body}").as_bytes());
        format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// Sends what there is to send, until the server is about to end.
pub(super) async fn run(state: Arc<State>, jobs: Arc<Jobs>) {
    let mut sweep = tokio::time::interval(SWEEP);
    while !state.is_draining() {
        sweep.tick().await;
        match jobs.with_store(|jobs| jobs.store.due_callbacks(AT_ONCE)).await {
            Ok(due) => {
                let sending = due
                    .into_iter()
                    .map(|(job, n_left)| tokio::spawn(send(state.clone(), jobs.clone(), job, n_left)));
                for sent in sending.collect::<Vec<_>>() {
                    // One that panicked is tried again.
                    let _ = sent.await;
                }
            }
            Err(error) => tracing::error!("cannot look for news of jobs: {error}"),
        }
    }
}

async fn send(state: Arc<State>, jobs: Arc<Jobs>, job: Job, n_left: i64) {
    let Some(url) = job.field("callback_url").map(str::to_owned) else { return };
    let Ok(data) = shown(&jobs, &job).await else { return };
    let (id, at) = (format!("msg_{}", job.id), now());
    let body =
        json!({"type": format!("job.{}", job.state.name()), "timestamp": at, "data": data}).to_string();
    let mut headers = vec![("webhook-id", id.clone()), ("webhook-timestamp", at.to_string())];
    if let Some(signer) = &state.signer {
        headers.push(("webhook-signature", signer.sign(&id, at, &body)));
    }
    let sender = state.clone();
    let sent = tokio::task::spawn_blocking(move || sender.outside.post(&url, &headers, &body)).await;
    let next = match sent {
        Ok(Ok(())) => None,
        Ok(Err(reason)) => {
            tracing::warn!(id = job.id, n_left, "the news of a job was not taken: {reason}");
            Some(at + (FIRST_WAIT_S << (ATTEMPTS - n_left).clamp(0, 30)))
        }
        Err(_) => Some(at + FIRST_WAIT_S),
    };
    let id = job.id;
    if let Err(error) = jobs.with_store(move |jobs| jobs.store.called_back(&id, next)).await {
        tracing::error!("cannot note down that news was sent: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_signed_as_the_standard_says() {
        // The example of standardwebhooks.com's specification.
        let signer = Signer::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signature = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
