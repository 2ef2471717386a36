//! Publishers: clients that deliver signed webhooks as a provider does, and retry until the server responds with 200.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use switchboard::sandbox::connectly::sign;

use crate::binary::{ACCOUNTS, SECRET};
use crate::history::{Key, Webhook, digest};
use crate::recorder::{Recorder, lock};

/// How long a provider waits for a response.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Text length of a large message, in bytes.
const LARGE: usize = 200_000;

/// How many of its webhooks a publisher keeps for later redelivery.
const REMEMBERED: usize = 64;

/// The kind of webhooks that a publisher delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// Small webhooks of all kinds.
    Small,
    /// Large messages. They make slow subscribers lag.
    Large,
}

/// A client that delivers webhooks.
pub(crate) struct Publisher {
    pub(crate) name: String,
    pub(crate) traffic: Traffic,
    pub(crate) server: SocketAddr,
    pub(crate) random: fastrand::Rng,
    pub(crate) recorder: Arc<Recorder>,
}

/// A webhook body and the key that matches it to its events.
#[derive(Clone)]
struct Body {
    account: &'static str,
    text: String,
    key: Key,
}

impl Publisher {
    /// Publishes until publishing stops, and delivers the last webhook until it is accepted.
    pub(crate) async fn run(mut self) {
        let client = reqwest::Client::builder().timeout(TIMEOUT).build().expect("build the HTTP client");
        let mut delivered: Vec<(Body, Webhook)> = Vec::new();
        for n in 0.. {
            if self.recorder.stop_publishing.clone().run_until_cancelled(self.pause()).await.is_none() {
                break;
            }
            // Redelivers an accepted webhook, as a provider does if it lost the response.
            let again = (self.traffic == Traffic::Small && self.random.u8(0..12) == 0)
                .then(|| delivered.len().checked_sub(1).map(|last| self.random.usize(0..=last)))
                .flatten();
            let (body, mut webhook) = match again {
                Some(at) => delivered.swap_remove(at),
                None => {
                    let body = self.body(n);
                    let webhook = Webhook {
                        key: body.key.clone(),
                        invoked: self.recorder.now(),
                        attempts: 0,
                        accepted_at: Vec::new(),
                    };
                    (body, webhook)
                }
            };
            self.deliver(&client, &body, &mut webhook).await;
            if delivered.len() == REMEMBERED {
                let at = self.random.usize(0..REMEMBERED);
                lock(&self.recorder.webhooks).push(delivered.swap_remove(at).1);
            }
            delivered.push((body, webhook));
        }
        lock(&self.recorder.webhooks).extend(delivered.into_iter().map(|(_, webhook)| webhook));
    }

    /// Waits for the interval between webhooks. Large messages are sent earlier if a subscriber has stalled.
    async fn pause(&mut self) {
        let pace = match self.traffic {
            Traffic::Small => self.random.u64(0..40),
            Traffic::Large => 1_000,
        };
        let mut stalled = self.recorder.stalled_subscribers.subscribe();
        let needed = async {
            match self.traffic {
                Traffic::Small => std::future::pending().await,
                Traffic::Large => stalled.wait_for(|subscribers| *subscribers > 0).await.map(|_| ()),
            }
        };
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(pace)) => {}
            _ = needed => {}
        }
    }

    /// Delivers until the server responds with 200. In 5 % of the failed attempts the provider gives up.
    async fn deliver(&mut self, client: &reqwest::Client, body: &Body, webhook: &mut Webhook) {
        let url = format!("http://{}/webhooks/{}", self.server, body.account);
        let signature = sign(SECRET, body.text.as_bytes());
        while !self.recorder.abort.is_cancelled() {
            webhook.attempts += 1;
            let request =
                client.post(&url).header("x-connectly-hmac-sha256", &signature).body(body.text.clone());
            match request.send().await.map(|response| response.status().as_u16()) {
                Ok(200) => {
                    let again = !webhook.accepted_at.is_empty();
                    webhook.accepted_at.push(self.recorder.now());
                    self.recorder.published_bytes.send_modify(|bytes| *bytes += 2 * body.text.len());
                    self.recorder.count(if again { "webhooks accepted again" } else { "webhooks accepted" });
                    if lock(&self.recorder.backup).is_some() {
                        self.recorder.count("webhooks accepted after the backup");
                    }
                    return;
                }
                Ok(503) => {
                    self.recorder.webhooks_503.send_modify(|count| *count += 1);
                    self.recorder.count("webhooks answered 503");
                }
                // The request arrived too slowly by the server's clock, which may have jumped.
                Ok(408) => self.recorder.count("webhooks answered 408"),
                // No injected fault explains another status.
                Ok(status) => self.recorder.count(&format!("error: webhooks answered {status}")),
                Err(_) => self.recorder.count("webhooks without response"),
            }
            if self.random.u8(0..20) == 0 {
                self.recorder.count("webhooks abandoned");
                return;
            }
            tokio::time::sleep(Duration::from_millis(self.random.u64(20..200))).await;
        }
    }

    fn body(&mut self, n: u64) -> Body {
        let account = ACCOUNTS[self.random.usize(0..ACCOUNTS.len())];
        let id = format!("{}-{n}", self.name);
        if self.traffic == Traffic::Large {
            return message(account, &id, &"x".repeat(LARGE));
        }
        match self.random.u8(0..100) {
            0..50 => message(account, &id, &id),
            // An earlier id in another body, on either account. Its first webhook may not have been accepted.
            50..55 => {
                let earlier = format!("{}-{}", self.name, self.random.u64(0..=n));
                message(account, &earlier, &id)
            }
            // An id that all publishers deliver.
            55..60 => message(account, &format!("all-{}", n / 8), &id),
            60..90 => status(account, &format!("{}-{}", self.name, n / 3), self.random.usize(0..4)),
            // Without an identity, with a unique body.
            90..95 => without_identity(account, json!({"topic": "weather", "value": id})),
            // Without an identity, with one of three bodies.
            _ => without_identity(account, json!({"topic": "weather", "value": n % 3})),
        }
    }
}

fn body(account: &'static str, identity: String, body: &serde_json::Value) -> Body {
    Body { account, text: body.to_string(), key: Key::Identity(account.to_owned(), identity) }
}

fn message(account: &'static str, id: &str, text: &str) -> Body {
    let value = json!({
        "topic": "messages",
        "timestamp": "1700000000",
        "sender": {"id": "+15550100001", "channelType": "whatsapp", "name": "Ada"},
        "recipient": {"id": "+15550100002", "channelType": "whatsapp", "name": "Shop"},
        "message": {"id": id, "text": text},
    });
    body(account, format!("message {id}"), &value)
}

fn status(account: &'static str, id: &str, index: usize) -> Body {
    let word = ["sent", "delivered", "read", "failed"][index];
    let value = json!({
        "topic": "delivery_status",
        "timestamp": "1700000001",
        "sender": {"id": "+15550100002", "channelType": "whatsapp"},
        "recipient": {"id": "+15550100001", "channelType": "whatsapp"},
        "statusUpdate": {"id": id, "status": word},
    });
    body(account, format!("status {id} {word}"), &value)
}

fn without_identity(account: &'static str, value: serde_json::Value) -> Body {
    let text = value.to_string();
    let key = Key::Body(account.to_owned(), digest(text.as_bytes()));
    Body { account, text, key }
}
