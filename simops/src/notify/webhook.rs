//! Webhooks that follow the Standard Webhooks specification: a constant message id, the time of the
//! attempt, and a signature.

use std::fmt;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde_json::json;
use sha2::Sha256;

use super::{AlertSink, Dialer};
use crate::alert::{Message, Outcome};
use crate::kpi::event::hash_key;
use crate::{Error, Result};

/// The prefix of a secret in the standard format.
const PREFIX: &str = "whsec_";

/// The key that signs messages. `Debug` does not show it.
#[derive(Clone)]
pub struct SigningSecret(Vec<u8>);

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(***)")
    }
}

impl SigningSecret {
    /// Parses a secret: base64 after `whsec_`, or the bytes of any other text.
    ///
    /// # Errors
    /// `Invalid` for `field` if the text after `whsec_` is not base64.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        let Some(encoded) = text.strip_prefix(PREFIX) else {
            return Ok(Self(text.as_bytes().to_vec()));
        };
        let decoded = STANDARD.decode(encoded).ok().filter(|bytes| !bytes.is_empty());
        decoded.map(Self).ok_or_else(|| {
            Error::invalid(field, "is set to something (not shown) that is not base64 after whsec_")
        })
    }

    /// The signature of a message: `v1,` followed by base64.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        // HMAC accepts keys of any length, so this cannot fail.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// A webhook.
pub struct Webhook {
    dialer: Dialer,
    // Several secrets while one is being replaced.
    secrets: Vec<SigningSecret>,
    target: String,
}

impl Webhook {
    /// A webhook at the dialer's URL.
    pub fn new(dialer: Dialer, secrets: Vec<SigningSecret>) -> Self {
        let target = hash_key(dialer.url()).simple().to_string();
        Self { dialer, secrets, target }
    }
}

#[async_trait]
impl AlertSink for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn target(&self) -> &str {
        &self.target
    }

    async fn send(&self, message: &Message, at: Timestamp) -> Outcome {
        let body = json!({
            "type": message.kind,
            "timestamp": message.created_at,
            "text": message.text,
            "data": message.data,
        });
        let body = body.to_string().into_bytes();
        let (id, seconds) = (message.id.to_string(), at.as_second());
        let signatures: Vec<_> =
            self.secrets.iter().map(|secret| secret.sign(&id, seconds, &body)).collect();
        let mut headers = vec![("webhook-id", id), ("webhook-timestamp", seconds.to_string())];
        if !signatures.is_empty() {
            headers.push(("webhook-signature", signatures.join(" ")));
        }
        self.dialer.send(&headers, body).await
    }
}
