//! The command `switchboard health`: asks a running server whether it is healthy, for probes that run a command.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// How long to wait for the connection, and then for the reply.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Why a server does not count as healthy.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// No server accepts connections at the address.
    #[error("no server responds at {0}")]
    Unreachable(SocketAddr, #[source] tonic::transport::Error),
    /// The server did not answer the call.
    #[error("the server at {0} did not answer")]
    Failed(SocketAddr, #[source] Box<tonic::Status>),
    /// The server answered that it does not serve.
    #[error("the server at {0} is not serving")]
    NotServing(SocketAddr),
}

/// Asks the server that listens at this address for the health of a service. The empty name is the whole server.
///
/// # Errors
///
/// If the server does not answer that the service is serving.
pub async fn check_health(listen: SocketAddr, service: &str) -> Result<(), HealthError> {
    let mut at = listen;
    // A server that listens on all addresses is also on loopback.
    match listen {
        SocketAddr::V4(address) if address.ip().is_unspecified() => at.set_ip(Ipv4Addr::LOCALHOST.into()),
        SocketAddr::V6(address) if address.ip().is_unspecified() => at.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    let endpoint = Endpoint::from_shared(format!("http://{at}")).expect("an address is valid in a URL");
    let channel = endpoint
        .connect_timeout(TIMEOUT)
        .timeout(TIMEOUT)
        .connect()
        .await
        .map_err(|error| HealthError::Unreachable(at, error))?;
    let reply = HealthClient::new(channel)
        .check(HealthCheckRequest { service: service.to_owned() })
        .await
        .map_err(|status| HealthError::Failed(at, Box::new(status)))?;
    match reply.into_inner().status() {
        ServingStatus::Serving => Ok(()),
        _ => Err(HealthError::NotServing(at)),
    }
}
