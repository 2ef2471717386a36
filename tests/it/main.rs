//! The real server, on ports of the system's choice, through its generated clients.
//!
//! The words: a [`gateway::Gateway`] is the whole server in this process, in front of both imitated providers, whose
//! handles set faults and count what arrived. A [`process::Server`] is the real binary, for what only a process can
//! suffer. Every test of a promise says the promise in its name.

mod backup;
mod beside;
mod binary;
mod callback_data;
mod client;
mod clock;
mod contacts;
mod contract;
mod disk;
mod errors;
mod events;
mod faults;
mod flows;
mod full_disk;
mod gate;
mod gateway;
mod interrupted;
mod killing;
mod listener;
mod lives;
mod media;
mod media_link;
mod power_cut;
mod process;
mod reading;
mod receiving;
mod repeating;
mod restored;
mod retention;
mod send_messages;
mod sending;
mod steering;
mod stopping;
mod streaming;
mod subscription_requests;
mod subscriptions;
mod templates;
mod verifying;
mod web;
mod webhook_outcomes;
mod webhooks;
