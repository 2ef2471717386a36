//! Switchboard: one gRPC service in front of two WhatsApp-business REST APIs, ConnectBy and Connectly.
//!
//! The map of the house. A send walks from [`api`] (parsed into [`domain`]) to [`dispatch`] to [`provider`] and back. A
//! webhook walks from [`webhook`] (size, signature, [`provider`]'s parser) to the [`journal`], which keeps it in the
//! [`store`] before the provider gets its 200, and from there to every subscriber's stream in [`api`].
//!
//! | module | owns |
//! |---|---|
//! | [`app`] | building the parts, running them, stopping them in order |
//! | [`api`] | the gRPC face: services, conversions, the one table from errors to statuses |
//! | [`admin`] | the operator's pages: metrics, liveness, readiness |
//! | [`backup`] | the commands that write a backup and make a store of one |
//! | [`client`] | calling a gateway from Rust, for programs that do |
//! | [`config`] | what the operator decides |
//! | [`cli`] | the output of the commands |
//! | [`demo`] | the gateway in front of imitated providers |
//! | [`dispatch`] | a send from request to outcome |
//! | [`domain`] | the words of the house as plain Rust |
//! | [`journal`] | appending, reading, the live tail, retention |
//! | [`maintenance`] | retention of events, requests and messages; gauges |
//! | [`messages`] | reading and watching messages, and conversations |
//! | [`listener`] | an HTTP listener that bounds what its peers can hold |
//! | [`pb`] | the contract, generated |
//! | [`provider`] | the REST side: ConnectBy and Connectly |
//! | [`sandbox`] | both providers imitated, with faults on demand |
//! | [`store`] | the one durable home |
//! | [`telemetry`] | logs and metrics |
//! | [`webhook`] | the HTTP ingress |
//!
//! `ARCHITECTURE.md` tells why it is so, and which rules must not be broken.

#[cfg(feature = "server")]
pub mod admin;
#[cfg(feature = "server")]
pub mod api;
#[cfg(feature = "server")]
pub mod app;
#[cfg(feature = "server")]
pub mod backup;
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod demo;
#[cfg(feature = "server")]
pub mod dispatch;
#[cfg(feature = "server")]
pub mod domain;
#[cfg(feature = "server")]
pub mod journal;
#[cfg(feature = "server")]
pub mod listener;
#[cfg(feature = "server")]
pub mod maintenance;
#[cfg(feature = "server")]
pub mod messages;
pub mod pb;
#[cfg(feature = "server")]
pub mod provider;
#[cfg(feature = "server")]
pub mod sandbox;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod telemetry;
#[cfg(feature = "server")]
pub mod webhook;
