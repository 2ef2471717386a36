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

pub mod admin;
pub mod api;
pub mod app;
pub mod backup;
pub mod cli;
pub mod config;
pub mod demo;
pub mod dispatch;
pub mod domain;
pub mod journal;
pub mod listener;
pub mod maintenance;
pub mod messages;
pub mod pb;
pub mod provider;
pub mod sandbox;
pub mod store;
pub mod telemetry;
pub mod webhook;
