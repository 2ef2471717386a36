//! `grpc.health.v1`, by service name.
//!
//! The empty name and the services that need no store are SERVING until the server stops; `EventService` is
//! NOT_SERVING while the store cannot write, for then no events can come.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthService, HealthServer};
use tonic_health::server::health_reporter;

use crate::store::Health;

const ACCOUNTS: &str = "switchboard.v1.AccountService";
const MESSAGES: &str = "switchboard.v1.MessageService";
const CONTACTS: &str = "switchboard.v1.ContactService";
const FLOWS: &str = "switchboard.v1.FlowService";
const TEMPLATES: &str = "switchboard.v1.TemplateService";
const WEBHOOKS: &str = "switchboard.v1.WebhookService";
const EVENTS: &str = "switchboard.v1.EventService";

/// The service, and the task that keeps it true until the server stops.
pub(in crate::api) fn service(
    mut store: watch::Receiver<Health>,
    stopping: CancellationToken,
) -> (HealthServer<impl HealthService>, impl Future<Output = ()> + Send + use<>) {
    let (reporter, service) = health_reporter();
    let keep = async move {
        for name in [ACCOUNTS, MESSAGES, CONTACTS, FLOWS, TEMPLATES, WEBHOOKS] {
            reporter.set_service_status(name, ServingStatus::Serving).await;
        }
        loop {
            let events = match *store.borrow_and_update() {
                Health::Writable => ServingStatus::Serving,
                Health::Failing | Health::Dead => ServingStatus::NotServing,
            };
            reporter.set_service_status(EVENTS, events).await;
            tokio::select! {
                () = stopping.cancelled() => break,
                changed = store.changed() => if changed.is_err() { break },
            }
        }
        for name in ["", ACCOUNTS, MESSAGES, CONTACTS, FLOWS, TEMPLATES, WEBHOOKS, EVENTS] {
            reporter.set_service_status(name, ServingStatus::NotServing).await;
        }
    };
    (service, keep)
}
