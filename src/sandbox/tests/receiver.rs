//! A webhook endpoint that records what it receives and replies with given statuses.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use url::Url;

pub(super) struct Received {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Received {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn signed_with(&self, secret: &str) -> bool {
        let given = self.headers.get("x-connectly-hmac-sha256").map(|value| value.to_str().unwrap());
        given == Some(super::super::connectly::sign(secret, &self.body).as_str())
    }

    /// `sent`, `delivered`, `read`, or the text of a message.
    pub(super) fn word(&self) -> String {
        let json = self.json();
        let status = json["statusUpdate"]["status"].as_str();
        status.or(json["message"]["text"].as_str()).unwrap().to_owned()
    }
}

pub(super) struct Receiver {
    pub(super) url: Url,
    received: mpsc::UnboundedReceiver<Received>,
    answers: Arc<Mutex<VecDeque<u16>>>,
    _server: JoinSet<()>,
}

impl Receiver {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/webhooks/demo", listener.local_addr().unwrap())).unwrap();
        let (sender, received) = mpsc::unbounded_channel();
        let answers = Arc::new(Mutex::new(VecDeque::new()));
        let script = answers.clone();
        let take = move |headers: HeaderMap, body: Bytes| async move {
            let _ = sender.send(Received { headers, body });
            let answer = script.lock().unwrap().pop_front().unwrap_or(200);
            StatusCode::from_u16(answer).unwrap()
        };
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, Router::new().fallback(take)).await.unwrap() });
        Self { url, received, answers, _server: server }
    }

    /// Sets the statuses of the next replies. After these, it replies 200.
    pub(super) fn answer(&self, answers: &[u16]) {
        self.answers.lock().unwrap().extend(answers);
    }

    pub(super) async fn next(&mut self) -> Received {
        self.received.recv().await.unwrap()
    }

    pub(super) async fn words(&mut self, count: usize) -> Vec<String> {
        let mut words = Vec::new();
        for _ in 0..count {
            words.push(self.next().await.word());
        }
        words
    }

    /// Whether no webhook arrives within a short time.
    pub(super) async fn stays_quiet(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(100), self.received.recv()).await.is_err()
    }
}
