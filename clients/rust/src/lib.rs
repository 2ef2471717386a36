//! Client library of Switchboard, a gRPC service in front of the WhatsApp APIs of ConnectBy and Connectly.
//!
//! ```no_run
//! # async fn example() -> Result<(), switchboard_client::Error> {
//! use switchboard_client::Client;
//! use switchboard_client::v1::{SendMessageRequest, Text, send_message_request::Content};
//!
//! let client = Client::connect("127.0.0.1:50051").await?;
//! let sent = client
//!     .call(SendMessageRequest {
//!         account: "demo-connectly".to_owned(),
//!         to: "+15550100001".to_owned(),
//!         content: Some(Content::Text(Text { body: "Hello!".to_owned() })),
//!         ..SendMessageRequest::default()
//!     })
//!     .await?;
//! # let _ = sent;
//! # Ok(())
//! # }
//! ```
//!
//! The crate contains the generated messages and gRPC clients ([`v1`], [`sandbox::v1`]) and a layer over them that does
//! six things:
//!
//! - It connects, with TLS and a token: [`Client::builder`].
//! - It retries calls where a retry is safe, and fills in their `request_id`: [`Client::call`].
//! - It uploads files: [`Client::send_media`], [`Client::upload_template_media`].
//! - It converts failures into an [`Error`] with a reason, field violations and a retry delay.
//! - It ensures that a named subscription exists: [`Client::ensure_subscription`].
//! - It follows events across broken connections and server restarts: [`Client::subscribe`].
//!
//! Use the generated clients for other calls, such as the streams `SendMessages` and `WatchMessage`:
//! [`Client::messages`]. The generated clients do not retry.
//!
//! The crate logs retries and reconnects through [`tracing`](https://docs.rs/tracing), without the text of a message.

mod call;
mod connect;
mod error;
mod event_stream;
mod progress;
mod subscription;
mod upload;

pub use call::Call;
pub use connect::{Builder, Client, Service};
pub use error::{Error, FieldViolation, parse_reason};
pub use event_stream::{EventStream, StreamItem};
pub use upload::UploadSource;
pub use v1::Reason;
// Their types are part of this crate's API.
pub use {bytes, prost_types, tonic};

/// Messages and gRPC clients of package `switchboard.v1`, generated from the contract.
#[allow(
    clippy::all,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    rustdoc::all,
    reason = "generated code"
)]
pub mod v1 {
    include!("generated/switchboard.v1.rs");
}

/// The packages under `switchboard.sandbox`.
pub mod sandbox {
    /// Messages and gRPC client of package `switchboard.sandbox.v1`, generated from the contract. Only `switchboard sandbox`
    /// serves it.
    #[allow(
        clippy::all,
        missing_docs,
        missing_debug_implementations,
        unreachable_pub,
        rustdoc::all,
        reason = "generated code"
    )]
    pub mod v1 {
        include!("generated/switchboard.sandbox.v1.rs");
    }
}

/// Compiles the snippets of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
