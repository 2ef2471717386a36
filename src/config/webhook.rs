//! `[webhook]`: where providers deliver.

use std::net::SocketAddr;
use std::time::Duration;

use url::Url;

use super::table::Table;
use super::value;
use crate::domain::AccountId;

/// The HTTP listener for `POST /webhooks/{account}`.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Where to listen; port 0 takes any free one. Any address: what comes in is signed.
    /// Default `127.0.0.1:8080`.
    pub listen: SocketAddr,
    /// Under which URL the providers reach `listen`, without `/webhooks/{account}`: the default address for
    /// `CreateWebhook`. http or https, without user, query and fragment. Default: none.
    pub public_url: Option<Url>,
    /// The largest body that is accepted, in bytes; 1 KiB to 1.25 MiB. Default 1 MiB. An event can contain a part of a
    /// body three times: typed, in the JSON of unsupported content, and in the raw body. Clients accept messages of at
    /// most 4 MiB.
    pub max_body_bytes: usize,
    /// How long a request's header may take to arrive, then its body, and then its answer to be taken; 1 s to 1 min.
    /// Default 10 s.
    pub read_timeout: Duration,
    /// How long a connection may stand without a request; 1 s to 1 h. Default 3 min: longer than common proxies keep
    /// theirs, so that none sends a request into a connection that is being closed.
    pub idle_timeout: Duration,
    /// The most open connections; 16 to 65536. Default 1024. When all are taken, a newcomer gets the place of the one
    /// that has waited for its peer the longest.
    pub max_connections: usize,
}

impl Webhook {
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let listen = table.required("listen", value::address);
        let public_url = table.optional("public_url", value::url);
        let max_body_bytes = table.required("max_body_bytes", value::integer(1024..=1280 * 1024));
        let timeouts = Duration::from_secs(1)..=Duration::from_secs(60);
        let read_timeout = table.required("read_timeout", value::duration(timeouts));
        let idle_timeouts = Duration::from_secs(1)..=Duration::from_secs(3600);
        let idle_timeout = table.required("idle_timeout", value::duration(idle_timeouts));
        let max_connections = table.required("max_connections", value::integer(16..=65_536));
        Some(Self {
            listen: listen?,
            public_url,
            max_body_bytes: usize::try_from(max_body_bytes?).ok()?,
            read_timeout: read_timeout?,
            idle_timeout: idle_timeout?,
            max_connections: usize::try_from(max_connections?).ok()?,
        })
    }

    /// Where the providers reach an account's webhooks, if that is configured.
    pub fn address_of(&self, account: &AccountId) -> Option<Url> {
        let mut address = self.public_url.clone()?;
        address.set_path(&format!("{}/webhooks/{account}", address.path().trim_end_matches('/')));
        Some(address)
    }
}
