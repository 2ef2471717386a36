//! `grpc.health.v1`, by service name.
//!
//! The empty name and the services that can work without the store are SERVING until the server prepares to stop. `EventService`
//! and `SubscriptionService` are NOT_SERVING while the store cannot write, because no event can arrive then.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthService, HealthServer};
use tonic_health::server::health_reporter;

use crate::store::Health;

/// The services that can work without the store.
const WITHOUT_STORE: [&str; 7] = [
    "switchboard.v1.AccountService",
    "switchboard.v1.ContactService",
    "switchboard.v1.ConversationService",
    "switchboard.v1.FlowService",
    "switchboard.v1.MessageService",
    "switchboard.v1.TemplateService",
    "switchboard.v1.WebhookRegistrationService",
];

/// The services that need a store that can write.
const WITH_STORE: [&str; 2] = ["switchboard.v1.EventService", "switchboard.v1.SubscriptionService"];

/// Returns the service, and the task that updates it until the server prepares to stop. At the stop, after it
/// has reported to all watches, the task cancels `not_serving`.
pub(in crate::api) fn service(
    mut store: watch::Receiver<Health>,
    leaving: CancellationToken,
    stopping: CancellationToken,
    not_serving: CancellationToken,
) -> (HealthServer<impl HealthService>, impl Future<Output = ()> + Send + use<>) {
    let (reporter, service) = health_reporter();
    let update = async move {
        for name in WITHOUT_STORE {
            reporter.set_service_status(name, ServingStatus::Serving).await;
        }
        loop {
            let status = match *store.borrow_and_update() {
                Health::Writable => ServingStatus::Serving,
                Health::Failing | Health::Dead => ServingStatus::NotServing,
            };
            for name in WITH_STORE {
                reporter.set_service_status(name, status).await;
            }
            tokio::select! {
                () = leaving.cancelled() => break,
                changed = store.changed() => if changed.is_err() { break },
            }
        }
        for name in [""].into_iter().chain(WITHOUT_STORE).chain(WITH_STORE) {
            reporter.set_service_status(name, ServingStatus::NotServing).await;
        }
        stopping.cancelled().await;
        not_serving.cancel();
    };
    (service, update)
}
