//! Tests of the client against a server that fails on purpose. The server's own tests contain those against the real server.

mod calls;
mod conformance;
mod event_stream;
mod fake_server;
mod logging;
#[expect(dead_code, reason = "only the server's tests silence connections")]
mod proxy;
mod tls;
mod uploads;

use std::time::Duration;

/// Waits for a future, and fails if it takes too long.
async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("finishes in time")
}
