//! The gRPC API, with one module per service.
//!
//! It parses requests into `domain`, calls `dispatch`, `messages` and `journal`, and converts their results into the
//! contract's messages. It contains no business rules. `service` maps each RPC to its handler.
//!
//! **Invariants.** Only `error/status` makes a `Status` from an error. Each event is encoded once, by
//! [`encode_event`], in the transaction that appends it to the journal.

mod account;
mod call;
mod contact;
mod conversation;
mod error;
mod event;
mod flow;
mod message;
mod request;
mod response;
mod sandbox;
mod service;
mod subscription;
mod template;
mod transport;
mod webhook_registration;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

pub use response::convert::encode_event;
pub use response::encoded::{Encoded, EncodedList};
pub use transport::grpc_web::with_grpc_web;
pub use transport::truncated_body::reject_truncated_bodies;

use crate::config;
use crate::dispatch::Dispatch;
use crate::journal::Journal;
use crate::messages::Messages;
use crate::sandbox::Sandbox;
use transport::end_at_stop::EndAtStop;

/// The generated service traits. Their messages are those of `pb`.
mod served {
    #![allow(
        clippy::all,
        missing_docs,
        missing_debug_implementations,
        unreachable_pub,
        rustdoc::all,
        reason = "generated code"
    )]

    pub(super) mod v1 {
        include!(concat!(env!("OUT_DIR"), "/served/switchboard.v1.rs"));
    }

    pub(super) mod sandbox {
        pub(in super::super) mod v1 {
            include!(concat!(env!("OUT_DIR"), "/served/switchboard.sandbox.v1.rs"));
        }
    }
}

/// What the services use.
#[derive(Clone, Debug)]
pub struct Api {
    /// Calls providers, and has the accounts.
    pub dispatch: Dispatch,
    /// Reads and watches messages.
    pub messages: Messages,
    /// Reads events, and manages subscriptions.
    pub journal: Journal,
    /// The public address of webhooks, and the maximum size of their bodies.
    pub webhook: config::Webhook,
    /// Cancelled when the server reports not ready because it is going to shut down. It still serves.
    pub leaving: CancellationToken,
    /// Cancelled when the server shuts down; then all streams end.
    pub stopping: CancellationToken,
    /// The fake providers of the sandbox. If present, `SandboxService` is served too.
    pub sandbox: Option<Arc<Sandbox>>,
}

impl Api {
    /// Returns all services, including health and reflection, and the task that updates the health status.
    ///
    /// The caller must run the task, which ends with `stopping`.
    pub fn routes(self) -> (Routes, impl Future<Output = ()> + Send + use<>) {
        use served::sandbox::v1::sandbox_service_server::SandboxServiceServer;
        use served::v1::account_service_server::AccountServiceServer;
        use served::v1::contact_service_server::ContactServiceServer;
        use served::v1::conversation_service_server::ConversationServiceServer;
        use served::v1::event_service_server::EventServiceServer;
        use served::v1::flow_service_server::FlowServiceServer;
        use served::v1::message_service_server::MessageServiceServer;
        use served::v1::subscription_service_server::SubscriptionServiceServer;
        use served::v1::template_service_server::TemplateServiceServer;
        use served::v1::webhook_registration_service_server::WebhookRegistrationServiceServer;

        let not_serving = CancellationToken::new();
        let (health, update_health) = transport::health::service(
            self.journal.health(),
            self.leaving.clone(),
            self.stopping.clone(),
            not_serving.clone(),
        );
        let health = EndAtStop { service: health, stopping: not_serving };
        let (reflection, reflection_alpha) = transport::reflection::services(self.sandbox.is_some());
        let reflection = EndAtStop { service: reflection, stopping: self.stopping.clone() };
        let reflection_alpha = EndAtStop { service: reflection_alpha, stopping: self.stopping.clone() };
        let sandbox_service = self.sandbox.clone().map(|sandbox| {
            let accounts = self.dispatch.accounts().clone();
            SandboxServiceServer::new(sandbox::SandboxApi { accounts, sandbox })
        });
        let mut routes = Routes::builder();
        routes
            .add_service(AccountServiceServer::new(self.clone()))
            .add_service(MessageServiceServer::new(self.clone()))
            .add_service(ContactServiceServer::new(self.clone()))
            .add_service(ConversationServiceServer::new(self.clone()))
            .add_service(FlowServiceServer::new(self.clone()))
            .add_service(SubscriptionServiceServer::new(self.clone()))
            .add_service(TemplateServiceServer::new(self.clone()))
            .add_service(WebhookRegistrationServiceServer::new(self.clone()))
            .add_service(EventServiceServer::new(self))
            .add_service(health)
            .add_service(reflection)
            .add_service(reflection_alpha);
        if let Some(sandbox_service) = sandbox_service {
            routes.add_service(sandbox_service);
        }
        (routes.routes(), update_health)
    }
}
