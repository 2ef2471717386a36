//! TLS with the default options. A process reads the trusted authorities from its environment once, so each case runs in
//! a separate process.

use std::process::{Command, Output};

use rcgen::{CertificateParams, DnType, KeyPair};
use switchboard_client::Client;
use switchboard_client::v1::ListAccountsRequest;
use tempfile::NamedTempFile;

use crate::fake_server::FakeServer;
use crate::within;

/// Passes the address of the server to the child processes, which run this same test.
const ADDRESS: &str = "SWITCHBOARD_TESTS_TLS_ADDRESS";

/// Calls the server from a process that trusts `authorities`.
async fn call_from_process(server: &FakeServer, authorities: &[u8]) -> Output {
    let file = NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), authorities).expect("written");
    let mut command = Command::new(std::env::current_exe().expect("a program"));
    command.args(["--exact", "--nocapture", "tls::only_authorities_of_environment_are_trusted"]);
    command.env(ADDRESS, server.address()).env("SSL_CERT_FILE", file.path()).env_remove("SSL_CERT_DIR");
    let ran = tokio::task::spawn_blocking(move || command.output().expect("starts"));
    within(ran).await.expect("no panic")
}

#[tokio::test]
async fn only_authorities_of_environment_are_trusted() {
    if let Ok(address) = std::env::var(ADDRESS) {
        let called = async { Client::connect(address).await?.call(ListAccountsRequest::default()).await };
        match within(called).await {
            Ok(_) => println!("answered"),
            Err(error) => println!("failed: {error}"),
        }
        return;
    }
    let server = FakeServer::over_tls().await;
    let output = call_from_process(&server, server.authority().as_ref()).await;
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && stdout.contains("answered"), "{output:?}");
    assert_eq!(server.calls().len(), 1);

    let mut another = CertificateParams::new(["localhost".to_owned()]).expect("usable");
    another.distinguished_name.push(DnType::CommonName, "another authority");
    let cert = another.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate");
    let output = call_from_process(&server, cert.pem().as_bytes()).await;
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("failed: Unavailable") && stdout.contains("UnknownIssuer"), "{output:?}");
    assert_eq!(server.calls().len(), 1);
}
