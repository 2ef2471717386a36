//! Tests of the sandbox with real sockets, a real HTTP client and a real webhook receiver.

#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing good should panic")]

mod connectby;
mod connectly;
mod customers;
mod faults;
mod receiver;
mod webhooks;

use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

use super::{ConnectBy, Connectly, Options, Sandbox};

/// A client without proxies, redirects and retries.
fn client() -> Client {
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .timeout(Duration::from_secs(10))
        .build()
        .unwrap()
}

async fn started() -> Sandbox {
    Sandbox::start(Options::instant()).await.unwrap()
}

async fn body(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}")))
}

fn post(
    client: &Client,
    base: url::Url,
    path: &str,
    key: (&str, &str),
    body: &Value,
) -> reqwest::RequestBuilder {
    client
        .post(base.join(path).unwrap())
        .header(key.0, key.1)
        .header("content-type", "application/json")
        .body(body.to_string())
}

impl ConnectBy {
    fn post(&self, client: &Client, path: &str, body: &Value) -> reqwest::RequestBuilder {
        post(client, self.base_url(), path, ("secret_key", self.secret_key()), body)
    }

    fn get(&self, client: &Client, path: &str) -> reqwest::RequestBuilder {
        client.get(self.base_url().join(path).unwrap()).header("secret_key", self.secret_key())
    }

    fn text(&self, client: &Client) -> reqwest::RequestBuilder {
        self.post(client, "/v1.0/message", &json!({"to_number": "919812345670", "message": "hello"}))
    }
}

impl Connectly {
    fn post(&self, client: &Client, path: &str, body: &Value) -> reqwest::RequestBuilder {
        let path = format!("/v1/businesses/{}/{path}", self.business_id());
        post(client, self.base_url(), &path, ("x-api-key", self.api_key()), body)
    }

    fn text(&self, client: &Client) -> reqwest::RequestBuilder {
        let recipient = json!({"id": "+15550100001", "channelType": "whatsapp"});
        let body =
            json!({"recipient": recipient, "message": {"text": "hello"}, "callbackData": {"ticket": 7}});
        self.post(client, "send/messages", &body)
    }
}

/// Waits until no message has webhooks to deliver.
async fn all_webhooks_delivered(provider: &Connectly) {
    while provider.messages_in_progress() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Runs a test with a timeout in real time, because real sockets do not follow tokio's paused clock.
async fn within<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), test).await.expect("the test takes too long")
}
