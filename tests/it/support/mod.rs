//! The harness of the integration tests.

pub(crate) mod binary;
pub(crate) mod faults;
pub(crate) mod gateway;
