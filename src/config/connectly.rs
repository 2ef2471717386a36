//! The settings of an account at Connectly.

use secrecy::SecretString;
use url::Url;

use super::provider::{ProviderSection, Upstream};
use super::secret::{credential, secret};
use super::table::Table;
use super::value::{self, Raw, parsed};
use crate::domain::{PhoneNumber, Provider};

const BASE_URL: &str = "https://api.connectly.ai";

/// The Connectly part of an account.
#[derive(Clone, Debug)]
pub struct Connectly {
    /// The URL that `/v1/businesses/…` is appended to. https, or http to a loopback host; without user, query and
    /// fragment. Default `https://api.connectly.ai`.
    pub base_url: Url,
    /// The business id in all paths: ASCII letters, digits, `_` and `-`, not empty. Required.
    pub business_id: String,
    /// The credential, sent in the header `X-API-Key`: visible ASCII, not empty. Required.
    pub api_key: SecretString,
    /// The secrets that webhooks may be signed with: several during a rotation. None may be empty. Default: none, and
    /// then the account has no webhooks.
    pub webhook_secrets: Vec<SecretString>,
    /// The business's own numbers, in E.164. A message from one of them is an echo. Default: none.
    pub numbers: Vec<PhoneNumber>,
}

impl Connectly {
    /// Connectly's part of an account's section.
    pub const SECTION: &ProviderSection = &ProviderSection {
        provider: Provider::CONNECTLY,
        // Connectly documents this rate for session sends and for template sends, each.
        calls_per_second: 200,
        text_characters: None,
        upload: None,
        read: |table| Self::read(table).map(Upstream::new),
    };

    fn read(table: &mut Table<'_>) -> Option<Self> {
        let base_url = table.optional("base_url", value::base_url).or_else(|| Url::parse(BASE_URL).ok());
        let business_id = table.required("business_id", business_id);
        let api_key = table.required("api_key", credential(table.reader()));
        let webhook_secrets = table.list("webhook_secrets", secret(table.reader()));
        let numbers = table.list("numbers", parsed);
        Some(Self {
            base_url: base_url?,
            business_id: business_id?,
            api_key: api_key?,
            webhook_secrets,
            numbers,
        })
    }
}

fn business_id(raw: &Raw<'_>) -> Result<String, String> {
    raw.text()
        .filter(|id| !id.is_empty())
        .filter(|id| id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')))
        .map(str::to_owned)
        .ok_or_else(|| "must be ASCII letters, digits, `_` and `-`".to_owned())
}
