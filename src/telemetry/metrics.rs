//! The names of all metrics and of their label values, and the recorder that renders the metrics page.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use metrics_util::MetricKindMask;

/// How long the series of a deleted subscription remains. Existing ones are updated every few seconds.
const SUBSCRIPTION_IDLE: Duration = Duration::from_secs(60);

/// Sends by `account` and `outcome`.
pub const SENDS: &str = "switchboard_sends_total";
/// Other writes at a provider, by `account`, `operation` and `outcome`.
pub const WRITES: &str = "switchboard_writes_total";
/// Outcomes that the store could not record at once, by `account`.
pub const UNRECORDED: &str = "switchboard_unrecorded_total";
/// Reads at a provider, by `account`, `operation` and `outcome`.
pub const READS: &str = "switchboard_reads_total";
/// Calls that an account's gate rejected, by `account` and `cause`.
pub const REJECTED_CALLS: &str = "switchboard_rejected_calls_total";
/// Whether calls of a `class` of an `account` fail at once because the provider does not respond: 1 or 0.
pub const BREAKER_OPEN: &str = "switchboard_breaker_open";
/// Webhooks by `account` and `result`.
pub const WEBHOOKS: &str = "switchboard_webhooks_total";
/// Webhooks with a valid signature, by `account` and by the `secret` that signed them: its index in `webhook_secrets`,
/// starting at 1.
pub const SIGNATURES: &str = "switchboard_webhook_signatures_total";
/// Events appended to the journal, by `account` and `type`.
pub const EVENTS: &str = "switchboard_events_total";
/// Open event streams.
pub const SUBSCRIBERS: &str = "switchboard_subscribers";
/// The sequence number of the oldest stored event, or the next sequence number if no event is stored.
pub const JOURNAL_OLDEST: &str = "switchboard_journal_oldest_sequence";
/// The sequence number of the newest event; 0 before the first. With [`JOURNAL_OLDEST`], it gives the number of stored
/// events.
pub const JOURNAL_NEWEST: &str = "switchboard_journal_newest_sequence";
/// When the oldest stored event was received, in seconds since 1970; NaN if no event is stored.
pub const JOURNAL_OLDEST_RECEIVE: &str = "switchboard_journal_oldest_receive_seconds";
/// When the newest event was received, in seconds since 1970; NaN if no event is stored. It is ahead of the current
/// time if the system clock was ahead for a while.
pub const JOURNAL_NEWEST_RECEIVE: &str = "switchboard_journal_newest_receive_seconds";
/// The size of all stored events in bytes. `journal.retention_bytes` limits it.
pub const JOURNAL_BYTES: &str = "switchboard_journal_bytes";
/// The number of events after the position of a `subscription`, including trimmed ones.
pub const SUBSCRIPTION_LAG_EVENTS: &str = "switchboard_subscription_lag_events";
/// The time since the first stored event after the position of a `subscription` was received, in seconds; 0 if there is
/// none.
pub const SUBSCRIPTION_LAG_SECONDS: &str = "switchboard_subscription_lag_seconds";
/// How often a `subscription` lost events that it had not acknowledged.
pub const SUBSCRIPTIONS_EXPIRED: &str = "switchboard_subscriptions_expired_total";
/// Whether the store can write: 1 or 0.
pub const STORE_WRITABLE: &str = "switchboard_store_writable";
/// How often the store was opened again after a disk failure: 0 or 1, because the second failure ends the process.
pub const STORE_REOPENED: &str = "switchboard_store_reopened_total";

/// Lines of the log that were not written, because standard error was closed or its reader did not read.
pub const LOG_LINES_DROPPED: &str = "switchboard_log_lines_dropped_total";

/// Values of the label `outcome` of [`SENDS`] and [`WRITES`].
pub mod outcome {
    /// The provider accepted the message.
    pub const ACCEPTED: &str = "accepted";
    /// The provider refused it.
    pub const REFUSED: &str = "refused";
    /// Nothing reached the provider.
    pub const NOT_SENT: &str = "not_sent";
    /// The outcome is unknown.
    pub const UNKNOWN: &str = "unknown";
}

/// Values of the label `outcome` of [`READS`].
pub mod read {
    /// The provider returned the data.
    pub const ANSWERED: &str = "answered";
    /// The provider refused the read.
    pub const REFUSED: &str = "refused";
    /// Nothing reached the provider.
    pub const NOT_SENT: &str = "not_sent";
    /// The provider sent no reply in time, an error reply, or a reply that cannot be parsed.
    pub const FAILED: &str = "failed";
    /// The account's gate rejected it.
    pub const REJECTED: &str = "rejected";
    /// The server was stopping.
    pub const STOPPED: &str = "stopped";
}

/// Values of the label `cause` of [`REJECTED_CALLS`].
pub mod rejection {
    /// The account's rate limit or its limit of calls in flight left no capacity before the deadline.
    pub const RATE_LIMITED: &str = "rate_limited";
    /// The circuit breaker was open because the provider did not respond.
    pub const CIRCUIT_OPEN: &str = "circuit_open";
}

/// Values of the label `result` of [`WEBHOOKS`].
pub mod webhook {
    /// Status 200: the event is new.
    pub const STORED: &str = "stored";
    /// Status 200: the event was stored before.
    pub const DUPLICATE: &str = "duplicate";
    /// Status 401: no such account, or it has no webhooks. The label `account` is empty.
    pub const NO_ACCOUNT: &str = "no_account";
    /// Status 404 or 405: not `POST /webhooks/{account}`. The label `account` is the account that the path names, or empty.
    pub const UNMATCHED: &str = "unmatched";
    /// Status 401: the signature is missing, malformed or wrong.
    pub const REJECTED: &str = "rejected";
    /// Status 413: the body is too large.
    pub const TOO_LARGE: &str = "too_large";
    /// Status 400 or 408: the body was truncated or did not arrive in time.
    pub const UNREADABLE: &str = "unreadable";
    /// Status 503: too many large webhooks at once.
    pub const CROWDED: &str = "crowded";
    /// Status 503: the event could not be stored.
    pub const NOT_STORED: &str = "not_stored";

    /// The results of requests that name an account with webhooks.
    pub const OF_ACCOUNTS: [&str; 8] =
        [STORED, DUPLICATE, UNMATCHED, REJECTED, TOO_LARGE, UNREADABLE, CROWDED, NOT_STORED];
}

/// The recorder of the metrics with the label `subscription`. Clients create and delete subscriptions, so a series that is
/// no longer updated must disappear. All other series remain.
pub(crate) fn subscriptions() -> &'static PrometheusRecorder {
    static RECORDER: OnceLock<PrometheusRecorder> = OnceLock::new();
    RECORDER.get_or_init(|| subscription_recorder(SUBSCRIPTION_IDLE))
}

/// Makes a recorder that removes series that have not been updated for this time.
pub(crate) fn subscription_recorder(idle: Duration) -> PrometheusRecorder {
    let recorder = PrometheusBuilder::new().idle_timeout(MetricKindMask::ALL, Some(idle)).build_recorder();
    metrics::with_local_recorder(&recorder, || {
        describe_gauge!(
            SUBSCRIPTION_LAG_EVENTS,
            "Events after the position of a subscription, including trimmed ones"
        );
        describe_gauge!(
            SUBSCRIPTION_LAG_SECONDS,
            "The time since the first stored event after the position of a subscription was received, in seconds"
        );
        describe_counter!(
            SUBSCRIPTIONS_EXPIRED,
            "How often a subscription lost events that it had not acknowledged"
        );
    });
    recorder
}

/// Renders the metrics page.
pub fn render() -> String {
    let handle = install();
    handle.run_upkeep();
    handle.render() + &subscriptions().handle().render()
}

/// Creates the counters of an account, because the first increase of a counter that did not exist is invisible to queries.
pub fn register_account(account: &str) {
    for outcome in [outcome::ACCEPTED, outcome::REFUSED, outcome::NOT_SENT, outcome::UNKNOWN] {
        counter!(SENDS, "account" => account.to_owned(), "outcome" => outcome).increment(0);
    }
    for reason in [rejection::RATE_LIMITED, rejection::CIRCUIT_OPEN] {
        counter!(REJECTED_CALLS, "account" => account.to_owned(), "reason" => reason).increment(0);
    }
    counter!(UNRECORDED, "account" => account.to_owned()).increment(0);
}

/// Installs the recorder. All servers in one process share it.
pub fn install() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        // A program that embeds this library may have installed its own recorder. Then this one stays empty.
        let _ = metrics::set_global_recorder(recorder);
        describe_counter!(SENDS, "Messages handed to a provider, by outcome");
        describe_counter!(WRITES, "Other writes handed to a provider, by operation and outcome");
        describe_counter!(UNRECORDED, "Outcomes that the store could not record at once");
        describe_counter!(READS, "Reads at a provider, by operation and outcome");
        describe_counter!(REJECTED_CALLS, "Calls that the gate rejected, by cause");
        describe_gauge!(
            BREAKER_OPEN,
            "Whether calls of a class fail at once because the provider does not respond"
        );
        describe_counter!(WEBHOOKS, "Webhooks received, by result");
        describe_counter!(
            SIGNATURES,
            "Webhooks with a valid signature, by the index in webhook_secrets, starting at 1, of the secret that signed them"
        );
        describe_counter!(EVENTS, "Events appended to the journal, by type");
        describe_gauge!(SUBSCRIBERS, "Open event streams");
        describe_gauge!(JOURNAL_OLDEST, "The sequence number of the oldest stored event");
        describe_gauge!(JOURNAL_NEWEST, "The sequence number of the newest event");
        describe_gauge!(
            JOURNAL_OLDEST_RECEIVE,
            "When the oldest stored event was received, in seconds since 1970"
        );
        describe_gauge!(
            JOURNAL_NEWEST_RECEIVE,
            "When the newest event was received, in seconds since 1970"
        );
        describe_gauge!(JOURNAL_BYTES, "The size of all stored events in bytes");
        describe_gauge!(STORE_WRITABLE, "Whether the store can write");
        describe_counter!(STORE_REOPENED, "How often the store was opened again after a disk failure");
        describe_counter!(LOG_LINES_DROPPED, "Log lines that were not written");
        counter!(LOG_LINES_DROPPED).increment(0);
        gauge!(SUBSCRIBERS).increment(0);
        handle
    })
}
