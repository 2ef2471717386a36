//! How Connectly signs a webhook.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The header that carries the signature.
pub(super) const HEADER: &str = "x-connectly-hmac-sha256";

pub(super) fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body);
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_matches_the_known_vector() {
        let body = concat!(
            r#"{"topic":"messages","timestamp":"1700000000","#,
            r#""sender":{"id":"+15550100001","channelType":"whatsapp","name":"Ada"},"#,
            r#""recipient":{"id":"+15550100002","channelType":"whatsapp","name":"Shop"},"#,
            r#""message":{"id":"01HF7YAT00EXAMPLE000000001","text":"hi"}}"#,
        );
        assert_eq!(body.len(), 245);
        assert_eq!(
            sign("test-webhook-secret", body.as_bytes()),
            "RuA3eItnvRHB+I2aqI6owBplLCt3b7ECBF+Kq6oR1xI="
        );
    }
}
