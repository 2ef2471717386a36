//! Publishers: they deliver signed webhooks as a provider does, and deliver again what was not answered 200.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use switchboard::sandbox::connectly::sign;

use crate::binary::{ACCOUNTS, SECRET};
use crate::ledger::{Ledger, held};
use crate::record::{Key, Post, digest};

/// How long a provider waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How large the text of a large message is.
const LARGE: usize = 200_000;

/// How many of its own bodies a publisher remembers, to deliver them once more.
const REMEMBERED: usize = 64;

/// What a publisher publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wares {
    /// All kinds of small webhooks.
    Small,
    /// Large messages, so that slow readers fall behind.
    Large,
}

/// One who delivers.
pub(crate) struct Publisher {
    pub(crate) name: String,
    pub(crate) wares: Wares,
    /// Where to deliver to.
    pub(crate) to: SocketAddr,
    pub(crate) random: fastrand::Rng,
    pub(crate) ledger: Arc<Ledger>,
}

/// A body, and by what it is found again.
#[derive(Clone)]
struct Body {
    account: &'static str,
    text: String,
    key: Key,
}

impl Publisher {
    /// Publishes until it is enough, and delivers the last until it is taken.
    pub(crate) async fn run(mut self) {
        let client = reqwest::Client::builder().timeout(TIMEOUT).build().expect("a client");
        let mut delivered: Vec<(Body, Post)> = Vec::new();
        for n in 0.. {
            if self.ledger.enough.clone().run_until_cancelled(self.pause()).await.is_none() {
                break;
            }
            // What was taken comes again: the answer may have been lost on the way back.
            let again = (self.wares == Wares::Small && self.random.u8(0..12) == 0)
                .then(|| delivered.len().checked_sub(1).map(|last| self.random.usize(0..=last)))
                .flatten();
            let (body, mut post) = match again {
                Some(at) => delivered.swap_remove(at),
                None => {
                    let body = self.body(n);
                    let post = Post {
                        key: body.key.clone(),
                        began: self.ledger.now(),
                        tries: 0,
                        accepted: Vec::new(),
                    };
                    (body, post)
                }
            };
            self.deliver(&client, &body, &mut post).await;
            if delivered.len() == REMEMBERED {
                let at = self.random.usize(0..REMEMBERED);
                held(&self.ledger.posts).push(delivered.swap_remove(at).1);
            }
            delivered.push((body, post));
        }
        held(&self.ledger.posts).extend(delivered.into_iter().map(|(_, post)| post));
    }

    /// Waits until there is something to publish.
    async fn pause(&mut self) {
        let pace = match self.wares {
            Wares::Small => self.random.u64(0..40),
            Wares::Large => 1_000,
        };
        let mut stalled = self.ledger.stalled.subscribe();
        let needed = async {
            match self.wares {
                Wares::Small => std::future::pending().await,
                Wares::Large => stalled.wait_for(|readers| *readers > 0).await.map(|_| ()),
            }
        };
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(pace)) => {}
            _ = needed => {}
        }
    }

    /// Delivers until it is taken. Now and then the provider gives up before.
    async fn deliver(&mut self, client: &reqwest::Client, body: &Body, post: &mut Post) {
        let url = format!("http://{}/webhooks/{}", self.to, body.account);
        let signature = sign(SECRET, body.text.as_bytes());
        while !self.ledger.give_up.is_cancelled() {
            post.tries += 1;
            let request =
                client.post(&url).header("x-connectly-hmac-sha256", &signature).body(body.text.clone());
            match request.send().await.map(|answer| answer.status().as_u16()) {
                Ok(200) => {
                    let again = !post.accepted.is_empty();
                    post.accepted.push(self.ledger.now());
                    self.ledger.published.send_modify(|bytes| *bytes += 2 * body.text.len());
                    self.ledger.count(if again { "webhooks taken again" } else { "webhooks taken" });
                    if held(&self.ledger.backup).is_some() {
                        self.ledger.count("webhooks taken after the backup");
                    }
                    return;
                }
                Ok(503) => {
                    self.ledger.unstored.send_modify(|count| *count += 1);
                    self.ledger.count("webhooks answered 503");
                }
                // No fault is the webhook's.
                Ok(status) => self.ledger.count(&format!("wrong: webhooks answered {status}")),
                Err(_) => self.ledger.count("webhooks not answered"),
            }
            if self.random.u8(0..20) == 0 {
                self.ledger.count("webhooks given up");
                return;
            }
            tokio::time::sleep(Duration::from_millis(self.random.u64(20..200))).await;
        }
    }

    fn body(&mut self, n: u64) -> Body {
        let account = ACCOUNTS[self.random.usize(0..ACCOUNTS.len())];
        let id = format!("{}-{n}", self.name);
        if self.wares == Wares::Large {
            return message(account, &id, &"x".repeat(LARGE));
        }
        match self.random.u8(0..100) {
            0..50 => message(account, &id, &id),
            // An id that was there before, at either account, in other bytes; it may be that it was not taken then.
            50..55 => {
                let earlier = format!("{}-{}", self.name, self.random.u64(0..=n));
                message(account, &earlier, &id)
            }
            // An id that all publishers deliver.
            55..60 => message(account, &format!("all-{}", n / 8), &id),
            60..90 => status(account, &format!("{}-{}", self.name, n / 3), self.random.usize(0..4)),
            // Without an identity, and told apart by the body alone.
            90..95 => nameless(account, json!({"topic": "weather", "told": id})),
            // Without an identity, and all the same.
            _ => nameless(account, json!({"topic": "weather", "told": n % 3})),
        }
    }
}

fn body(account: &'static str, identity: String, body: &serde_json::Value) -> Body {
    Body { account, text: body.to_string(), key: Key::Identity(account.to_owned(), identity) }
}

fn message(account: &'static str, id: &str, text: &str) -> Body {
    let told = json!({
        "topic": "messages",
        "timestamp": "1700000000",
        "sender": {"id": "+15550100001", "channelType": "whatsapp", "name": "Ada"},
        "recipient": {"id": "+15550100002", "channelType": "whatsapp", "name": "Shop"},
        "message": {"id": id, "text": text},
    });
    body(account, format!("message {id}"), &told)
}

fn status(account: &'static str, id: &str, word: usize) -> Body {
    let word = ["sent", "delivered", "read", "failed"][word];
    let told = json!({
        "topic": "delivery_status",
        "timestamp": "1700000001",
        "sender": {"id": "+15550100002", "channelType": "whatsapp"},
        "recipient": {"id": "+15550100001", "channelType": "whatsapp"},
        "statusUpdate": {"id": id, "status": word},
    });
    body(account, format!("status {id} {word}"), &told)
}

fn nameless(account: &'static str, told: serde_json::Value) -> Body {
    let text = told.to_string();
    let key = Key::Body(account.to_owned(), digest(text.as_bytes()));
    Body { account, text, key }
}
