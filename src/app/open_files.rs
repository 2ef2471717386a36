//! The limit of open file descriptors, and how many connections of clients fit into it.

use super::ADMIN_LIMITS;
use crate::config::Config;

/// Descriptors for everything but accepted connections: the store, its readers, files of uploads, calls to providers.
const RESERVED: usize = 512;

/// The limit of open files is lower than what the configuration allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the process may open {limit} files, but `grpc.max_connections` and `webhook.max_connections` need {needed}, so \
     only {grpc_connections} gRPC connections are accepted: raise the hard limit of open files (`ulimit -Hn`, \
     LimitNOFILE of systemd), or lower these keys"
)]
pub struct TooFewOpenFiles {
    limit: usize,
    needed: usize,
    /// How many gRPC connections fit.
    pub grpc_connections: usize,
}

/// Raises the soft limit of open files to the hard one, as the runtimes of Go and Java do. Most systems set a soft limit
/// of 1,024.
///
/// # Errors
///
/// If even the hard limit is lower than what the configuration allows.
pub fn raise_open_files_limit(config: &Config) -> Result<(), TooFewOpenFiles> {
    let Some(limit) = raise() else { return Ok(()) };
    let others = config.webhook.max_connections + ADMIN_LIMITS.connections + RESERVED;
    let needed = others + config.grpc.max_connections;
    if needed <= limit {
        return Ok(());
    }
    // Webhooks come first. They evict idle peers when descriptors run out, and calls of clients cannot be evicted.
    let grpc_connections = limit.saturating_sub(others).max(limit / 4).min(config.grpc.max_connections);
    Err(TooFewOpenFiles { limit, needed, grpc_connections })
}

/// Returns the limit, or none if there is no limit.
#[cfg(target_os = "linux")]
fn raise() -> Option<usize> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let limit = if raised { maximum } else { current };
    limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Other systems keep their limit, which is not known here.
#[cfg(not(target_os = "linux"))]
fn raise() -> Option<usize> {
    None
}
