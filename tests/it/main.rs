//! Integration tests of the server through its gRPC and HTTP interfaces. [`support`] explains the harness.

mod backup;
mod backup_concurrency;
mod callback_data;
mod client;
mod clock_jumps;
mod connection_faults;
mod contacts;
mod crash_sends;
mod disk_faults;
mod event_types;
mod flow_responses;
mod full_disk;
mod gate;
mod grpc_web;
mod idempotency;
mod introspection;
mod list_events;
mod location;
mod media;
mod media_link;
mod message_status;
mod power_cut;
mod process;
mod request_validation;
mod resends;
mod restore;
mod retention;
mod sandbox_api;
mod send_messages;
mod send_text;
mod send_text_outcomes;
mod shutdown;
mod subscribe_stream;
mod subscription_requests;
mod subscriptions;
mod support;
mod templates;
mod verify_webhook;
mod webhook_ingest;
mod webhook_listener;
mod webhook_registration;
mod webhook_registration_outcomes;

// The tests in `client` use these paths.
use list_events as reading;
use support::{binary, gateway};
