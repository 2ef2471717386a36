//! `[webhook]`: the listener for the providers' webhooks.

use std::net::SocketAddr;
use std::time::Duration;

use url::Url;

use super::table::Table;
use super::value;
use crate::domain::AccountId;

/// The HTTP listener for `POST /webhooks/{account}`.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// The address to listen on; port 0 takes any free one. Any address is allowed, because webhooks are signed.
    /// Default `127.0.0.1:8080`.
    pub listen: SocketAddr,
    /// The URL at which the providers reach `listen`, without `/webhooks/{account}`. It is the default address for
    /// `CreateWebhookRegistration`. http or https, without user, query and fragment. Default: none.
    pub public_url: Option<Url>,
    /// The largest body that is accepted, in bytes; 1 KiB to 1.25 MiB. Default 1 MiB. An event can contain a part of a
    /// body three times: typed, in the JSON of unsupported content, and in the raw body. Clients accept messages of at
    /// most 4 MiB.
    pub max_body_bytes: usize,
    /// The timeout for receiving a request's header, then for its body, and then for sending the reply; 1 s to 1 min.
    /// Default 10 s.
    pub read_timeout: Duration,
    /// How long a connection may be idle between requests; 1 s to 1 h. Default 3 min. This is longer than the idle
    /// timeout of common proxies, so a proxy does not send a request into a connection that is closing.
    pub idle_timeout: Duration,
    /// The maximum number of open connections; 16 to 65536. Default 1024. At the maximum, a new connection replaces the
    /// one that has waited longest for its peer.
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

    /// The URL of an account's webhooks, if `public_url` is configured.
    pub fn address_of(&self, account: &AccountId) -> Option<Url> {
        let mut address = self.public_url.clone()?;
        address.set_path(&format!("{}/webhooks/{account}", address.path().trim_end_matches('/')));
        Some(address)
    }
}
