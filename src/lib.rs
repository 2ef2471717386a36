//! Switchboard: one gRPC service in front of two WhatsApp business REST APIs, ConnectBy and Connectly.
//!
//! A send goes from [`api`], which parses it into [`domain`] types, to [`dispatch`] and to [`provider`], and its reply
//! comes back the same way. A webhook goes from [`webhook`] (size, signature, [`provider`]'s parser) to the
//! [`journal`]. The journal makes it durable in the [`store`] before the provider gets status 200. From there, [`api`]
//! streams it to every subscriber.
//!
//! | module | owns |
//! |---|---|
//! | [`app`] | building the parts, running them, stopping them in order |
//! | [`api`] | the gRPC services, conversions, and the one table from errors to statuses |
//! | [`admin`] | the operator's pages: metrics, liveness, readiness |
//! | [`backup`] | the commands that write a backup and restore one |
//! | [`cli`] | the output of the commands |
//! | [`config`] | the configuration |
//! | [`demo`] | the sandbox command: the gateway with fake providers |
//! | [`dispatch`] | a send from request to outcome |
//! | [`domain`] | the domain's terms as plain Rust types |
//! | [`journal`] | appending, reading, subscriptions, the in-memory tail |
//! | [`maintenance`] | retention of events, requests and messages; gauges |
//! | [`messages`] | reading and watching messages, and conversations |
//! | [`listener`] | an HTTP listener that limits what its peers can hold |
//! | [`pb`] | the generated contract |
//! | [`provider`] | the REST clients of ConnectBy and Connectly |
//! | [`sandbox`] | fake providers with fault injection |
//! | [`store`] | the durable store of events, requests, messages and subscriptions |
//! | [`telemetry`] | logs and metrics |
//! | [`webhook`] | the HTTP ingress |
//!
//! `ARCHITECTURE.md` gives the reasons and the rules that must not be broken.

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
