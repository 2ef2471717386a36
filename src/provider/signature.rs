//! Webhook signatures. No webhook is parsed before its signature is verified.
//!
//! Only [`Unverified::verify`] creates a [`Verified`], and parsers accept nothing else. Code that skips the check does
//! not compile.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use ulid::Ulid;

/// How a provider signs webhooks: the header, and the active secrets. Each of them may have been used.
#[derive(Clone, Debug)]
pub struct Scheme {
    header: &'static str,
    secrets: Vec<SecretString>,
}

/// A received webhook whose signature is not checked yet.
#[derive(Debug)]
pub struct Unverified {
    body: Bytes,
    signature: Option<String>,
}

/// A webhook whose sender knows an active secret.
pub struct Verified {
    body: Bytes,
    secret_number: usize,
}

/// Why a signature is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The signature header is missing or is not text.
    #[error("the signature header is missing")]
    Missing,
    /// The header is not padded standard Base64 of 32 bytes.
    #[error("the signature is not the Base64 of an HMAC-SHA256")]
    Malformed,
    /// No active secret produces this signature for this body.
    #[error("the signature matches no secret")]
    Mismatch,
}

impl Scheme {
    /// Base64 of the HMAC-SHA256 over the raw body, in a header. `None` without secrets, because then no signature can
    /// be valid.
    pub fn hmac_sha256_base64(header: &'static str, secrets: &[SecretString]) -> Option<Self> {
        (!secrets.is_empty()).then(|| Self { header, secrets: secrets.to_vec() })
    }

    /// A scheme with the same header and the same number of secrets, which are random. No signature matches. Verifying
    /// with it takes as long as with this one.
    pub fn with_random_secrets(&self) -> Self {
        let secret = |_| SecretString::from(format!("{}{}", Ulid::generate(), Ulid::generate()));
        Self { header: self.header, secrets: self.secrets.iter().map(secret).collect() }
    }

    /// The number of active secrets.
    pub fn secret_count(&self) -> usize {
        self.secrets.len()
    }

    /// The name of the header that carries the signature.
    pub fn header(&self) -> &'static str {
        self.header
    }
}

/// Returns the HMAC in a signature header.
fn decode(signature: Option<&str>) -> Result<[u8; 32], Rejection> {
    let signature = signature.ok_or(Rejection::Missing)?;
    let tag = STANDARD.decode(signature.trim()).map_err(|_| Rejection::Malformed)?;
    tag.try_into().map_err(|_| Rejection::Malformed)
}

/// Checks what can be checked before the body has arrived: that the header has the form of a signature.
///
/// # Errors
///
/// Fails if the signature is missing or malformed.
pub fn check_form(signature: Option<&str>) -> Result<(), Rejection> {
    decode(signature).map(drop)
}

impl Unverified {
    /// A webhook with this body and the value of its signature header.
    pub fn new(body: Bytes, signature: Option<&str>) -> Self {
        Self { body, signature: signature.map(str::to_owned) }
    }

    /// Checks the signature against every secret in constant time.
    ///
    /// # Errors
    ///
    /// Fails if the signature is missing, malformed or matches no secret.
    pub fn verify(self, scheme: &Scheme) -> Result<Verified, Rejection> {
        let tag = decode(self.signature.as_deref())?;
        // Every secret is tried, so the duration does not reveal which one matches.
        let matching =
            scheme.secrets.iter().zip(1..).fold(None, |matching: Option<usize>, (secret, number)| {
                let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
                    .expect("HMAC accepts a key of any length");
                mac.update(&self.body);
                let matches = mac.verify_slice(&tag).is_ok();
                matching.or(matches.then_some(number))
            });
        matching.map(|secret_number| Verified { body: self.body, secret_number }).ok_or(Rejection::Mismatch)
    }
}

impl Verified {
    /// The body, byte for byte.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The number of the secret that matches the signature, counted from 1 in the configured order.
    pub fn secret_number(&self) -> usize {
        self.secret_number
    }
}

impl std::fmt::Debug for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Verified({} bytes)", self.body.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"topic":"messages","timestamp":"1700000000","sender":{"id":"+15550100001","channelType":"whatsapp","name":"Ada"},"recipient":{"id":"+15550100002","channelType":"whatsapp","name":"Shop"},"message":{"id":"01HF7YAT00EXAMPLE000000001","text":"hi"}}"#;
    const VALID: &str = "RuA3eItnvRHB+I2aqI6owBplLCt3b7ECBF+Kq6oR1xI=";

    fn scheme(secrets: &[&str]) -> Scheme {
        let secrets: Vec<SecretString> = secrets.iter().map(|&secret| secret.into()).collect();
        Scheme::hmac_sha256_base64("x-connectly-hmac-sha256", &secrets).expect("a scheme")
    }

    fn verify(body: &str, signature: Option<&str>, secrets: &[&str]) -> Result<(), Rejection> {
        Unverified::new(Bytes::copy_from_slice(body.as_bytes()), signature)
            .verify(&scheme(secrets))
            .map(|_| ())
    }

    #[test]
    fn published_test_vector_is_accepted() {
        assert_eq!(BODY.len(), 245);
        assert_eq!(verify(BODY, Some(VALID), &["test-webhook-secret"]), Ok(()));
    }

    #[test]
    fn any_active_secret_is_accepted() {
        assert_eq!(verify(BODY, Some(VALID), &["old", "test-webhook-secret", "new"]), Ok(()));
        assert_eq!(verify(BODY, Some(VALID), &["old", "new"]), Err(Rejection::Mismatch));
    }

    #[test]
    fn number_of_the_matching_secret_is_reported() {
        let number = |secrets: &[&str]| {
            let webhook = Unverified::new(Bytes::from_static(BODY.as_bytes()), Some(VALID));
            webhook.verify(&scheme(secrets)).expect("a valid signature").secret_number()
        };
        let active = "test-webhook-secret";
        assert_eq!(number(&[active]), 1);
        assert_eq!(number(&[active, "new"]), 1);
        assert_eq!(number(&["old", "older", active]), 3);
        assert_eq!(number(&["old", active, active]), 2);
    }

    #[test]
    fn invalid_signature_is_rejected() {
        let secret = &["test-webhook-secret"];
        assert_eq!(verify(&format!("{BODY}\n"), Some(VALID), secret), Err(Rejection::Mismatch));
        assert_eq!(verify(BODY, None, secret), Err(Rejection::Missing));
        for bad in [
            "",
            "abc",
            "RuA3eItnvRHB+I2aqI6owBplLCt3b7ECBF+Kq6oR1xI",
            "RuA3eItnvRHB-I2aqI6owBplLCt3b7ECBF-Kq6oR1xI=",
            "AAAA",
        ] {
            assert_eq!(verify(BODY, Some(bad), secret), Err(Rejection::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn scheme_without_secrets_is_none() {
        assert!(Scheme::hmac_sha256_base64("x-connectly-hmac-sha256", &[]).is_none());
    }
}
