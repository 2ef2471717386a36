//! A host on which the binary runs with injected faults, through several restarts.

use switchboard::pb::v1::SendMessageRequest;
use switchboard::sandbox::Sandbox;

use super::binary::{ACCOUNT, Home, Server, post};
use super::faults::{Faults, Seen};
use super::gateway::{received_now, text, within};
use super::provider;

/// A folder with a configuration and a store, and the faults of the processes that use it.
pub(crate) struct FaultyHost {
    pub(crate) home: Home,
    pub(crate) faults: Faults,
    client: reqwest::Client,
}

impl FaultyHost {
    /// The provider cannot be reached.
    pub(crate) fn new() -> Self {
        Self::with_base_url("http://127.0.0.1:1")
    }

    /// The server sends to a fake Connectly.
    pub(crate) async fn with_provider() -> (Self, Sandbox) {
        let sandbox = provider::start().await;
        let host = Self::with_base_url(sandbox.connectly().base_url().as_str());
        (host, sandbox)
    }

    fn with_base_url(base_url: &str) -> Self {
        let home = Home::new(base_url);
        let faults = Faults::new(&home);
        Self { home, faults, client: reqwest::Client::new() }
    }

    pub(crate) fn start(&self) -> Server {
        Server::start(self.faults.on(self.home.command()))
    }

    /// Posts a webhook. The server appends an event whose text is `id`.
    pub(crate) async fn post(&self, server: &Server, id: &str) -> Option<u16> {
        post(&self.client, server.webhook, received_now(id, id)).await
    }

    /// Posts a webhook until the server answers 200, as a provider retries. The server may have closed the pooled
    /// connection, and it answers 503 while it stops.
    pub(crate) async fn post_until_accepted(&self, server: &Server, id: &str) {
        within(async {
            while self.post(server, id).await != Some(200) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Posts webhooks that together are so large that the store checkpoints its write-ahead log.
    pub(crate) async fn post_large(&self, server: &Server, name: &str) {
        let padding = "x".repeat(1_000_000);
        for n in 0..3 {
            let id = format!("{name}{n}");
            let posted =
                post(&self.client, server.webhook, received_now(&id, &format!("{id} {padding}"))).await;
            assert_eq!(posted, Some(200));
        }
    }

    /// Waits until the server's log contains a text.
    pub(crate) async fn logged(&self, server: &Server, text: &str) {
        within(async {
            while !server.log.lock().expect("unpoisoned").contains(text) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Waits until the fault library has traced a call that matches.
    pub(crate) async fn traced(&self, matches: impl Fn(&Seen) -> bool) {
        within(async {
            while !self.faults.trace().iter().any(&matches) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

/// A text message with an idempotency key. Its text is the key, which tells arrivals at the provider apart.
pub(crate) fn keyed_text(request_id: &str) -> SendMessageRequest {
    SendMessageRequest { request_id: request_id.to_owned(), ..text(ACCOUNT, request_id) }
}
