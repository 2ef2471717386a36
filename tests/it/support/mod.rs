//! The harness of the integration tests.
//!
//! | name | meaning |
//! |---|---|
//! | [`gateway::Gateway`] | the server in the test process, with a fake API of each provider; built by [`gateway::Start`] |
//! | [`gateway::Subscriber`] | an open `Subscribe` stream |
//! | `Sandbox`, `ConnectBy`, `Connectly` | the fake providers of `switchboard::sandbox`: they inject faults and record calls |
//! | `calls`, `arrivals` | the requests that a fake provider received, and their number for one operation |
//! | `FaultRule` | a fault of a fake provider, such as a cut connection or an HTTP status |
//! | [`binary::Server`] | the real binary as a process, for kills, disks, clocks and logs; runs in a [`binary::Home`] |
//! | [`provider`] | the fake Connectly in front of which the real binary runs |
//! | [`faults::Faults`] | disk, power and clock faults of a process, injected with `LD_PRELOAD` (Linux only) |
//! | [`faulty_host::FaultyHost`] | a home, its faults and an HTTP client |
//! | [`cli`] | commands such as `switchboard backup` |
//!
//! A test waits with [`gateway::within`], which fails after [`gateway::TIMEOUT`].

pub(crate) mod binary;
pub(crate) mod cli;
#[cfg(target_os = "linux")]
#[expect(dead_code, reason = "the robustness tests use the rest")]
pub(crate) mod faults;
#[cfg(target_os = "linux")]
pub(crate) mod faulty_host;
pub(crate) mod gateway;
pub(crate) mod provider;
