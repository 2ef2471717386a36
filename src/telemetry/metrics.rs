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
/// Reads at a provider, by `account`, `operation` and `outcome`.
pub const READS: &str = "switchboard_reads_total";
/// Calls that an account's gate did not let through, by `account` and `cause`.
pub const REJECTED_CALLS: &str = "switchboard_rejected_calls_total";
/// Whether calls of a `class` of an `account` fail at once, because the provider does not answer: 1 or 0.
pub const BREAKER_OPEN: &str = "switchboard_breaker_open";
/// Webhooks by `account` and `result`.
pub const WEBHOOKS: &str = "switchboard_webhooks_total";
/// Webhooks with a valid signature, by `account` and by the `secret` that made it: its place in `webhook_secrets`, from
/// 1 on.
pub const SIGNATURES: &str = "switchboard_webhook_signatures_total";
/// Events put into the journal, by `account` and `type`.
pub const EVENTS: &str = "switchboard_events_total";
/// Open event streams.
pub const SUBSCRIBERS: &str = "switchboard_subscribers";
/// The number of the oldest event that the journal still has, or of the next one if it has none.
pub const JOURNAL_OLDEST: &str = "switchboard_journal_oldest_sequence";
/// The number of the newest event; 0 before the first. With [`JOURNAL_OLDEST`]: how many there are.
pub const JOURNAL_NEWEST: &str = "switchboard_journal_newest_sequence";
/// When the oldest event that the journal still has was received, in seconds since 1970; NaN if there is none.
pub const JOURNAL_OLDEST_RECEIVE: &str = "switchboard_journal_oldest_receive_seconds";
/// When the newest event was received, in seconds since 1970; NaN if there is none. Ahead of the time when the machine's
/// clock was ahead for a while.
pub const JOURNAL_NEWEST_RECEIVE: &str = "switchboard_journal_newest_receive_seconds";
/// What the events that the journal still has take, in bytes: what `journal.retention_bytes` goes by.
pub const JOURNAL_BYTES: &str = "switchboard_journal_bytes";
/// How many events lie behind the place of a `subscription`, those that are gone included; 0 when it was deleted.
pub const SUBSCRIPTION_LAG_EVENTS: &str = "switchboard_subscription_lag_events";
/// How long ago the first event behind the place of a `subscription` was received, of those that are left, in seconds; 0
/// if there is none, or when it was deleted.
pub const SUBSCRIPTION_LAG_SECONDS: &str = "switchboard_subscription_lag_seconds";
/// How often a `subscription` lost events that it had not acknowledged.
pub const SUBSCRIPTIONS_EXPIRED: &str = "switchboard_subscriptions_expired_total";
/// Whether the store can write: 1 or 0.
pub const STORE_WRITABLE: &str = "switchboard_store_writable";

/// How often the store was opened again because its disk had failed: 0 or 1, for the second failure ends the process.
pub const STORE_REOPENED: &str = "switchboard_store_reopened_total";

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

/// Values of the label `outcome` of [`READS`].
pub mod read {
    /// The provider gave what was asked for.
    pub const ANSWERED: &str = "answered";
    /// The provider said no.
    pub const REFUSED: &str = "refused";
    /// Nothing reached the provider.
    pub const NOT_SENT: &str = "not_sent";
    /// No reply in time, one that says that the provider has trouble, or one that cannot be read.
    pub const FAILED: &str = "failed";
    /// The account's gate did not let it through.
    pub const REJECTED: &str = "rejected";
    /// The server was stopping.
    pub const STOPPED: &str = "stopped";
}

/// Values of the label `cause` of [`REJECTED_CALLS`].
pub mod rejection {
    /// The account's rate, or the calls in flight, left no room before the deadline.
    pub const RATE_LIMITED: &str = "rate_limited";
    /// The provider had not answered lately.
    pub const CIRCUIT_OPEN: &str = "circuit_open";
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
    /// Answered 503: too many large webhooks at once.
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
        describe_counter!(READS, "Reads at a provider, by operation and outcome");
        describe_counter!(REJECTED_CALLS, "Calls that were not let through to a provider, by reason");
        describe_gauge!(
            BREAKER_OPEN,
            "Whether calls of a class fail at once, for the provider does not answer"
        );
        describe_counter!(WEBHOOKS, "Webhooks received, by how they were answered");
        describe_counter!(
            SIGNATURES,
            "Webhooks with a valid signature, by the place in webhook_secrets, from 1 on, of the secret that made it"
        );
        describe_counter!(EVENTS, "Events put into the journal, by type");
        describe_gauge!(SUBSCRIBERS, "Open event streams");
        describe_gauge!(JOURNAL_OLDEST, "The number of the oldest event that the journal still has");
        describe_gauge!(JOURNAL_NEWEST, "The number of the journal's newest event");
        describe_gauge!(
            JOURNAL_OLDEST_RECEIVE,
            "When the oldest event that the journal still has was received, in seconds since 1970"
        );
        describe_gauge!(
            JOURNAL_NEWEST_RECEIVE,
            "When the journal's newest event was received, in seconds since 1970"
        );
        describe_gauge!(JOURNAL_BYTES, "What the events that the journal still has take, in bytes");
        describe_gauge!(
            SUBSCRIPTION_LAG_EVENTS,
            "Events behind the place of a subscription, those that are gone included"
        );
        describe_gauge!(
            SUBSCRIPTION_LAG_SECONDS,
            "How long ago the first event behind the place of a subscription was received, in seconds"
        );
        describe_counter!(
            SUBSCRIPTIONS_EXPIRED,
            "How often a subscription lost events that it had not acknowledged"
        );
        describe_gauge!(STORE_WRITABLE, "Whether the store can write");
        describe_counter!(STORE_REOPENED, "Times that the store was opened again because its disk had failed");
        handle
    })
}
