//! Calling a gateway from Rust: feature `client`.
//!
//! ```no_run
//! # async fn example() -> Result<(), switchboard::client::Error> {
//! use switchboard::client::Client;
//! use switchboard::pb::v1::{SendMessageRequest, Text, send_message_request::Content};
//!
//! let client = Client::connect("http://127.0.0.1:50051").await?;
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
//! It is a thin layer over the generated clients of [`pb`](crate::pb), and four things: one way to [`Builder`] a connection;
//! calls that are tried again only where that is safe, with a `request_id` of their own ([`Client::call`]); errors that a
//! program can act on ([`Error`]); and a subscriber that survives the server's restarts ([`Events`]). Whatever else is
//! wanted, streams of sends above all, the generated clients do: [`Client::messages`].

mod call;
mod connect;
mod error;
mod event_stream;
mod progress;
mod upload;

pub use call::Call;
pub use connect::{Builder, Client, Service};
pub use error::{Error, FieldViolation};
pub use event_stream::{Events, Happened};
// What they take and give is of these.
pub use {prost_types, tonic};
