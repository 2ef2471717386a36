//! The operator's HTTP listener: `/metrics`, `/livez`, `/readyz`.

use std::net::IpAddr;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::uri::Authority;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::store::Health;

/// The state that the pages show.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Whether the store can write.
    pub store: watch::Receiver<Health>,
    /// Cancelled when the server is going to stop. It may still serve.
    pub leaving: CancellationToken,
    /// Renders the metrics.
    pub metrics: fn() -> String,
}

impl Admin {
    /// Returns the HTTP service.
    pub fn router(self) -> Router {
        Router::new()
            .route("/metrics", get(metrics))
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .with_state(self)
            .layer(from_fn(check_host))
    }
}

/// Returns the HTTP service for the time while the store is opened again.
pub fn without_store(metrics: fn() -> String) -> Router {
    let not_ready = || async { (StatusCode::SERVICE_UNAVAILABLE, "the store is being verified\n") };
    Router::new()
        .route("/metrics", get(async move || page(metrics)))
        .route("/livez", get(livez))
        .route("/readyz", get(not_ready))
        .layer(from_fn(check_host))
}

/// Rejects requests whose `Host` is a name other than `localhost`. The owner of a web page can point the page's host name at
/// this listener (DNS rebinding), and the page's scripts could then read the metrics. An address cannot be rebound, and
/// a client without `Host` is no browser.
async fn check_host(request: Request, next: Next) -> Response {
    let mut hosts = request.headers().get_all(HOST).iter();
    let is_local = hosts.next().is_none_or(|host| {
        let authority = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
        authority.is_some_and(|authority| {
            let host = authority.host().trim_start_matches('[').trim_end_matches(']');
            host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
        })
    });
    if is_local && hosts.next().is_none() {
        next.run(request).await
    } else {
        (StatusCode::FORBIDDEN, "the host must be an IP address or localhost\n").into_response()
    }
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    page(admin.metrics)
}

fn page(metrics: fn() -> String) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics())
}

/// Always 200. If only a restart helps, the process ends by itself.
async fn livez() -> (StatusCode, &'static str) {
    (StatusCode::OK, "alive\n")
}

/// 200 while the server can accept webhooks and calls.
async fn readyz(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    let store = *admin.store.borrow();
    match store {
        _ if admin.leaving.is_cancelled() => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
        Health::Writable => (StatusCode::OK, "ready\n"),
        Health::Failing | Health::Dead => (StatusCode::SERVICE_UNAVAILABLE, "the store cannot write\n"),
    }
}
