//! The settings of an account at ConnectBy.

use secrecy::SecretString;
use url::Url;

use super::provider::{ProviderSection, Upstream};
use super::route::Routes;
use super::secret::credential;
use super::table::Table;
use super::value;
use crate::domain::{Provider, UploadLimits};

const BASE_URL: &str = "https://api.connectby.io";

/// The ConnectBy part of an account.
#[derive(Clone, Debug)]
pub struct ConnectBy {
    /// The URL that the routes' paths are appended to. https, or http to a loopback host; without user, query and
    /// fragment. Default `https://api.connectby.io`.
    pub base_url: Url,
    /// The credential, sent in the header `secret_key`: visible ASCII, not empty. Required.
    pub secret_key: SecretString,
    /// The route of each operation.
    pub routes: Routes,
}

impl ConnectBy {
    /// ConnectBy's part of an account's section.
    pub const SECTION: &ProviderSection = &ProviderSection {
        provider: Provider::CONNECTBY,
        // ConnectBy documents no rate. WhatsApp accepts this rate from one business number, until WhatsApp raises it.
        calls_per_second: 80,
        text_characters: Some(1024),
        upload: Some(UploadLimits { image_bytes: 5 << 20, video_bytes: 16 << 20, document_bytes: 16 << 20 }),
        read: |table| Self::read(table).map(Upstream::new),
    };

    fn read(table: &mut Table<'_>) -> Option<Self> {
        let base_url = table.optional("base_url", value::base_url).or_else(|| Url::parse(BASE_URL).ok());
        let secret_key = table.required("secret_key", credential(table.reader()));
        let mut paths = table.table("routes");
        let routes = Routes::read(&mut paths);
        paths.finish();
        Some(Self { base_url: base_url?, secret_key: secret_key?, routes })
    }
}
