//! What an unauthenticated peer can learn from the webhook port, and what it can cause in the log.

use switchboard::sandbox::connectly::sign;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::binary::{Home, Server};
use crate::support::gateway::{CONNECTBY, CONNECTLY, Gateway, Start, within};

/// Every kind of account that a request can name.
const NAMED: [&str; 3] = [CONNECTLY, CONNECTBY, "no-such-account"];

/// Sends a request and returns the status line of the first reply.
async fn status_line(gateway: &Gateway, account: &str, headers: &str, body: &str) -> String {
    let mut peer = within(TcpStream::connect(gateway.at.webhook)).await.expect("connects");
    let request = format!("POST /webhooks/{account} HTTP/1.1\r\nhost: switchboard\r\n{headers}\r\n{body}");
    within(peer.write_all(request.as_bytes())).await.expect("sent");
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(within(peer.read_u8()).await.expect("an answer"));
    }
    String::from_utf8(line).expect("text").trim_end().to_owned()
}

#[tokio::test]
async fn known_and_unknown_accounts_get_the_same_replies() {
    let gateway = Start::quiet().with("WEBHOOK__MAX_BODY_BYTES", "1024").start().await;
    let signature = format!("x-connectly-hmac-sha256: {}\r\n", sign("not the secret", b"body"));
    for account in NAMED {
        for headers in ["", "x-connectly-hmac-sha256: AAAA\r\n"] {
            // The reply does not wait for the body.
            let unread =
                status_line(&gateway, account, &format!("{headers}content-length: 10\r\n"), "").await;
            assert_eq!(unread, "HTTP/1.1 401 Unauthorized", "{account} {headers}");
        }
        let waiting = format!("{signature}expect: 100-continue\r\ncontent-length: 4\r\n");
        assert_eq!(status_line(&gateway, account, &waiting, "").await, "HTTP/1.1 100 Continue", "{account}");
        let whole = format!("{signature}content-length: 4\r\n");
        assert_eq!(
            status_line(&gateway, account, &whole, "body").await,
            "HTTP/1.1 401 Unauthorized",
            "{account}"
        );
        let large = format!("{signature}content-length: 1025\r\n");
        let large = status_line(&gateway, account, &large, &"x".repeat(1025)).await;
        assert_eq!(large, "HTTP/1.1 413 Payload Too Large", "{account}");
    }
}

/// Peers that start large bodies and do not finish them take all permits of the account that they name.
#[tokio::test]
async fn stalled_large_bodies_do_not_delay_another_account() {
    let gateway = Start::quiet().start().await;
    let signature = sign("not the secret", b"body");
    let mut stalled = Vec::new();
    for _ in 0..130 {
        let mut peer = within(TcpStream::connect(gateway.at.webhook)).await.expect("connects");
        let head = format!(
            "POST /webhooks/no-such-account HTTP/1.1\r\nhost: switchboard\r\nx-connectly-hmac-sha256: {signature}\r\n\
             content-length: 100000\r\n\r\n{}",
            "x".repeat(70_000)
        );
        within(peer.write_all(head.as_bytes())).await.expect("sent");
        stalled.push(peer);
    }
    let body = crate::support::gateway::received("M1", &"x".repeat(100_000));
    let started = std::time::Instant::now();
    gateway.deliver(&body).await;
    assert!(started.elapsed().as_secs() < 5, "the peers' bodies time out after 10 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn unmatched_request_is_counted_and_logged_without_its_text() {
    let home = Home::new("http://127.0.0.1:1");
    let server = Server::start(home.command());
    let client = reqwest::Client::new();
    for path in ["webhooks/globex/", "webhook/globex", "hostile-text"] {
        let request = client
            .post(format!("http://{}/{path}", server.webhook))
            .header("x-forwarded-for", "203.0.113.7, hostile-text");
        assert_eq!(within(request.send()).await.expect("answers").status(), 404, "{path}");
    }
    let request = client
        .request("HOSTILE".parse().expect("valid"), format!("http://{}/webhooks/globex", server.webhook));
    assert_eq!(within(request.send()).await.expect("answers").status(), 405);
    let metrics = within(reqwest::get(format!("http://{}/metrics", server.admin))).await.expect("answers");
    let metrics = within(metrics.text()).await.expect("a page");
    for (account, count) in [("globex", 3), ("", 1)] {
        let line =
            format!("switchboard_webhooks_total{{account=\"{account}\",result=\"unmatched\"}} {count}\n");
        assert!(metrics.contains(&line), "{line} is missing in {metrics}");
    }
    let log = std::sync::Arc::clone(&server.log);
    assert!(server.terminate(), "graceful shutdown");
    let log = log.lock().expect("unpoisoned");
    assert!(!log.to_lowercase().contains("hostile"), "{log}");
    assert_eq!(log.matches("request is not a webhook").count(), 2, "one line for each account: {log}");
    assert!(log.contains(r#""account":"globex","method":"POST","peer":"127.0.0.1:"#), "{log}");
    assert!(log.contains(r#""forwarded_for":"203.0.113.7""#), "{log}");
}
