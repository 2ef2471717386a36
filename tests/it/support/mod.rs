//! The harness of the integration tests.

pub(crate) mod binary;
pub(crate) mod cli;
#[cfg(target_os = "linux")]
#[expect(dead_code, reason = "the robustness tests use the rest")]
pub(crate) mod faults;
#[cfg(target_os = "linux")]
pub(crate) mod faulty_host;
pub(crate) mod gateway;
pub(crate) mod provider;
