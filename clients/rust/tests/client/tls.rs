//! TLS as it is by default. What a process trusts is decided once and by its environment, so there are some of them.

use std::process::{Command, Output};

use rcgen::{CertificateParams, DnType, KeyPair};
use switchboard::client::Client;
use switchboard::pb::v1::ListAccountsRequest;
use tempfile::NamedTempFile;

use super::scripted::Scripted;
use crate::gateway::within;

/// Names the server to the processes that the test starts: to itself.
const ADDRESS: &str = "SWITCHBOARD_TESTS_TLS_ADDRESS";

/// Asks the server in a process that trusts the authorities in a file.
async fn ask(server: &Scripted, authorities: &[u8]) -> Output {
    let file = NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), authorities).expect("written");
    let mut command = Command::new(std::env::current_exe().expect("a program"));
    command.args([
        "--exact",
        "--nocapture",
        "client::tls::the_machines_authorities_are_trusted_and_no_others",
    ]);
    command.env(ADDRESS, server.address()).env("SSL_CERT_FILE", file.path()).env_remove("SSL_CERT_DIR");
    let ran = tokio::task::spawn_blocking(move || command.output().expect("starts"));
    within(ran).await.expect("no panic")
}

#[tokio::test]
async fn the_machines_authorities_are_trusted_and_no_others() {
    if let Ok(address) = std::env::var(ADDRESS) {
        let asked = async { Client::connect(address).await?.call(ListAccountsRequest {}).await };
        match within(asked).await {
            Ok(_) => println!("answered"),
            Err(error) => println!("failed: {error}"),
        }
        return;
    }
    let server = Scripted::over_tls().await;
    let output = ask(&server, server.authority().as_ref()).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("answered"), "{output:?}");
    assert_eq!(server.calls().len(), 1);

    let mut another = CertificateParams::new(["localhost".to_owned()]).expect("usable");
    another.distinguished_name.push(DnType::CommonName, "another authority");
    let cert = another.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate");
    let output = ask(&server, cert.pem().as_bytes()).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("failed: Unavailable") && said.contains("UnknownIssuer"), "{output:?}");
    assert_eq!(server.calls().len(), 1);
}
