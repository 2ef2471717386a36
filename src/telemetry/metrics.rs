//! The names of all metrics and of their labels' values, and the page that shows them.

use std::sync::OnceLock;

use metrics::{describe_counter, describe_gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Sends by `account` and `outcome`.
pub const SENDS: &str = "switchboard_sends_total";
/// Other writes at a provider, by `account`, `operation` and `outcome`.
pub const WRITES: &str = "switchboard_writes_total";
/// Outcomes that the store could not take at once, by `account`.
pub const UNRECORDED: &str = "switchboard_unrecorded_total";
/// Webhooks by `account` and `result`.
pub const WEBHOOKS: &str = "switchboard_webhooks_total";
/// Events put into the journal, by `account` and `type`.
pub const EVENTS: &str = "switchboard_events_total";
/// Open event streams.
pub const SUBSCRIBERS: &str = "switchboard_subscribers";
/// Whether the store can write: 1 or 0.
pub const STORE_WRITABLE: &str = "switchboard_store_writable";

/// Values of the label `outcome` of [`SENDS`] and [`WRITES`].
pub mod outcome {
    /// The provider took the message.
    pub const ACCEPTED: &str = "accepted";
    /// The provider said no.
    pub const REFUSED: &str = "refused";
    /// Nothing reached the provider.
    pub const NOT_SENT: &str = "not_sent";
    /// Nobody can tell.
    pub const UNKNOWN: &str = "unknown";
}

/// Values of the label `result` of [`WEBHOOKS`].
pub mod webhook {
    /// Answered 200, the event is new.
    pub const STORED: &str = "stored";
    /// Answered 200, the event was known.
    pub const DUPLICATE: &str = "duplicate";
    /// Answered 401: no such account, or it has no webhooks. The label `account` is empty.
    pub const NO_ACCOUNT: &str = "no_account";
    /// Answered 401: the signature is missing, malformed or wrong.
    pub const REJECTED: &str = "rejected";
    /// Answered 413: the body is too large.
    pub const TOO_LARGE: &str = "too_large";
    /// Answered 400 or 408: the body broke off or did not arrive in time.
    pub const UNREADABLE: &str = "unreadable";
    /// Answered 503: too many webhooks at once.
    pub const CROWDED: &str = "crowded";
    /// Answered 503: the event could not be made durable.
    pub const NOT_STORED: &str = "not_stored";
}

/// Starts counting. All servers in one process count together.
pub fn install() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        // Whoever embeds this library may have a recorder of their own; then ours stays empty.
        let _ = metrics::set_global_recorder(recorder);
        describe_counter!(SENDS, "Messages handed to a provider, by outcome");
        describe_counter!(WRITES, "Other writes handed to a provider, by operation and outcome");
        describe_counter!(UNRECORDED, "Outcomes that the store could not take at once");
        describe_counter!(WEBHOOKS, "Webhooks received, by how they were answered");
        describe_counter!(EVENTS, "Events put into the journal, by type");
        describe_gauge!(SUBSCRIBERS, "Open event streams");
        describe_gauge!(STORE_WRITABLE, "Whether the store can write");
        handle
    })
}
