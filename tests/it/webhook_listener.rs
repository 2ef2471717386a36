//! Limits of the webhook listener: connections, timeouts and sizes.

use std::net::SocketAddr;
use std::time::Duration;

use switchboard::sandbox::connectly::sign;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::support::binary::{Home, SECRET, Server};
use crate::support::gateway::{CONNECTLY, Gateway, Start, TIMEOUT, received, within};

const HALF_A_HEADER: &[u8] = b"POST /webhooks/demo-connectly HTTP/1.1\r\nhost: switch";

/// A raw TCP connection.
struct Peer(TcpStream);

impl Peer {
    async fn connect(to: SocketAddr) -> Self {
        Self(within(TcpStream::connect(to)).await.expect("connects"))
    }

    async fn connect_and_send(to: SocketAddr, bytes: &[u8]) -> Self {
        let mut peer = Self::connect(to).await;
        peer.send(bytes).await;
        peer
    }

    /// A peer whose body the server waits for.
    async fn with_a_body(gateway: &Gateway, body: &str) -> Self {
        let signature = sign(gateway.connectly().webhook_secret(), body.as_bytes());
        let head = format!(
            "POST /webhooks/{CONNECTLY} HTTP/1.1\r\nhost: switchboard\r\nexpect: 100-continue\r\n\
             x-connectly-hmac-sha256: {signature}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut peer = Self::connect_and_send(gateway.at.webhook, head.as_bytes()).await;
        assert_eq!(peer.status().await, "HTTP/1.1 100 Continue");
        peer
    }

    async fn send(&mut self, bytes: &[u8]) {
        within(self.0.write_all(bytes)).await.expect("sent");
    }

    /// Reads the head of a response without a body and returns its first line.
    async fn status(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within(self.0.read_u8()).await.expect("an answer"));
        }
        String::from_utf8_lossy(&head).lines().next().expect("a line").to_owned()
    }

    /// Waits until the server has closed the connection, and returns the bytes before that.
    async fn read_until_closed(&mut self) -> String {
        let mut received_bytes = Vec::new();
        // A reset counts as closed.
        let _ = within(self.0.read_to_end(&mut received_bytes)).await;
        String::from_utf8_lossy(&received_bytes).into_owned()
    }
}

#[tokio::test]
async fn slow_request_header_closes_the_connection() {
    let gateway = Start::quiet().with("WEBHOOK__READ_TIMEOUT", "1s").start().await;
    let mut silent = Peer::connect_and_send(gateway.at.webhook, HALF_A_HEADER).await;
    assert_eq!(silent.read_until_closed().await, "");
    // A header that arrives in small pieces does not extend the timeout.
    let mut slow = Peer::connect_and_send(gateway.at.webhook, HALF_A_HEADER).await;
    within(async {
        let mut often = tokio::time::interval(Duration::from_millis(50));
        while slow.0.write_all(b"x").await.is_ok() {
            often.tick().await;
        }
    })
    .await;
}

#[tokio::test]
async fn idle_connection_is_closed() {
    let gateway = Start::quiet().with("WEBHOOK__IDLE_TIMEOUT", "2s").start().await;
    let mut silent = Peer::connect(gateway.at.webhook).await;
    let body = received("M1", "one");
    let mut idle = Peer::with_a_body(&gateway, &body).await;
    idle.send(body.as_bytes()).await;
    assert_eq!(idle.status().await, "HTTP/1.1 200 OK");
    assert_eq!(idle.read_until_closed().await, "");
    assert_eq!(silent.read_until_closed().await, "");
}

/// A request without a body that the server always rejects.
const REFUSED: &[u8] = b"GET /webhooks/demo-connectly HTTP/1.1\r\nhost: switchboard\r\n\r\n";

/// A peer that sends requests and reads no responses until its writes block, and the number of bytes sent.
async fn peer_that_reads_nothing(to: SocketAddr) -> (TcpStream, usize) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("set");
    let mut peer = within(socket.connect(to)).await.expect("connects");
    let requests = REFUSED.repeat(1000);
    let mut sent = 0;
    within(async {
        let stuck = Duration::from_millis(300);
        while let Ok(more) = timeout(stuck, peer.write(&requests[sent % requests.len()..])).await {
            sent += more.expect("open");
        }
    })
    .await;
    (peer, sent)
}

#[tokio::test]
async fn peer_that_reads_no_responses_is_closed() {
    let gateway = Start::quiet().with("WEBHOOK__READ_TIMEOUT", "1s").start().await;
    let (mut peer, _) = peer_that_reads_nothing(gateway.at.webhook).await;
    within(async { while peer.write_all(REFUSED).await.is_ok() {} }).await;
}

#[tokio::test]
async fn peer_that_reads_responses_late_gets_all_of_them() {
    let gateway = Start::quiet().with("WEBHOOK__READ_TIMEOUT", "1m").start().await;
    let (mut peer, sent) = peer_that_reads_nothing(gateway.at.webhook).await;
    let (mut answers, mut requests) = peer.split();
    let begun = &REFUSED[sent % REFUSED.len()..];
    let last = b"GET /webhooks/demo-connectly HTTP/1.1\r\nhost: switchboard\r\nconnection: close\r\n\r\n";
    let rest = [begun, last].concat();
    let mut received_bytes = Vec::new();
    let (asked, answered) =
        within(async { tokio::join!(requests.write_all(&rest), answers.read_to_end(&mut received_bytes)) })
            .await;
    asked.expect("sent");
    answered.expect("closed gracefully");
    let count = String::from_utf8_lossy(&received_bytes).matches("HTTP/1.1 405 ").count();
    assert_eq!(count, sent / REFUSED.len() + 2);
}

#[tokio::test]
async fn incomplete_requests_do_not_delay_shutdown() {
    let gateway =
        Start::quiet().with("WEBHOOK__READ_TIMEOUT", "1m").with("SHUTDOWN__GRACE", "10m").start().await;
    let mut idle = Peer::connect(gateway.at.webhook).await;
    let mut half = Peer::connect_and_send(gateway.at.webhook, HALF_A_HEADER).await;
    let mut operators = Peer::connect_and_send(gateway.at.admin, b"GET /met").await;
    // A later connection was served, so the server has accepted these.
    gateway.deliver(&received("M1", "one")).await;
    gateway.stop().await;
    for peer in [&mut idle, &mut half, &mut operators] {
        assert_eq!(peer.read_until_closed().await, "");
    }
}

#[tokio::test]
async fn shutdown_answers_a_request_in_flight() {
    let gateway = Start::quiet().start().await;
    let body = received("M1", "one");
    let mut peer = Peer::with_a_body(&gateway, &body).await;
    gateway.begin_shutdown();
    // The server has closed the port.
    within(async { while TcpStream::connect(gateway.at.webhook).await.is_ok() {} }).await;
    peer.send(body.as_bytes()).await;
    assert!(peer.read_until_closed().await.starts_with("HTTP/1.1 200 OK"));
    gateway.stop().await;
}

#[tokio::test]
async fn connections_over_the_limit_do_not_block_a_webhook() {
    let gateway = Start::quiet()
        .with("WEBHOOK__MAX_CONNECTIONS", "16")
        .with("WEBHOOK__READ_TIMEOUT", "1m")
        .start()
        .await;
    let body = received("slow", "slow");
    let mut crowd = Vec::new();
    for _ in 0..16 {
        crowd.push(Peer::connect(gateway.at.webhook).await);
        crowd.push(Peer::connect_and_send(gateway.at.webhook, HALF_A_HEADER).await);
        crowd.push(Peer::with_a_body(&gateway, &body).await);
    }
    gateway.deliver(&received("M1", "one")).await;
    // The server closes the connections that waited longest. The last one can complete its request.
    let mut last = crowd.pop().expect("the last");
    last.send(body.as_bytes()).await;
    assert_eq!(last.status().await, "HTTP/1.1 200 OK");
    for peer in &mut crowd[..16] {
        assert_eq!(peer.read_until_closed().await, "");
    }
}

#[tokio::test]
async fn slow_large_bodies_do_not_block_a_webhook() {
    let gateway = Start::quiet().with("WEBHOOK__READ_TIMEOUT", "1m").start().await;
    let body = received("slow", &"x".repeat(100_000));
    let mut crowd = Vec::new();
    for _ in 0..140 {
        let mut peer = Peer::with_a_body(&gateway, &body).await;
        peer.send(&body.as_bytes()[..70_000]).await;
        crowd.push(peer);
    }
    gateway.deliver(&received("M1", "one")).await;
    // The requests complete in the order of their start.
    for mut peer in crowd {
        peer.send(&body.as_bytes()[70_000..]).await;
        assert_eq!(peer.status().await, "HTTP/1.1 200 OK");
    }
}

#[tokio::test]
async fn oversized_request_header_is_rejected() {
    let gateway = Start::quiet().start().await;
    let with = |bytes: usize| {
        let start = format!("GET /webhooks/{CONNECTLY} HTTP/1.1\r\nhost: switchboard\r\nfiller: ");
        let end = "\r\n\r\n";
        format!("{start}{}{end}", "x".repeat(bytes - start.len() - end.len()))
    };
    let mut within_bounds = Peer::connect_and_send(gateway.at.webhook, with(32 * 1024 - 1).as_bytes()).await;
    assert_eq!(within_bounds.status().await, "HTTP/1.1 405 Method Not Allowed");
    let mut beyond =
        Peer::connect_and_send(gateway.at.webhook, &with(64 * 1024).as_bytes()[..32 * 1024]).await;
    assert!(beyond.read_until_closed().await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn metric_counts_signatures_per_secret() {
    let gateway =
        Start::quiet().with("ACCOUNTS__DEMO_CONNECTLY__WEBHOOK_SECRETS", "a,b,c,old,new").start().await;
    let signed_by = async |place: usize| {
        let line =
            format!(r#"switchboard_webhook_signatures_total{{account="{CONNECTLY}",secret="{place}"}}"#);
        let page = reqwest::get(format!("http://{}/metrics", gateway.at.admin)).await.expect("answers");
        let page = page.text().await.expect("a page");
        page.lines().find_map(|found| Some(found.strip_prefix(&line)?.trim().to_owned()))
    };
    assert_eq!((signed_by(4).await, signed_by(5).await), (Some("0".into()), Some("0".into())));
    let body = received("M1", "one");
    let posted = async |secret: &str| {
        gateway.post(CONNECTLY, Some(&sign(secret, body.as_bytes())), body.clone()).await
    };
    // A duplicate webhook counts too.
    assert_eq!((posted("old").await, posted("old").await, posted("new").await), (200, 200, 200));
    assert_eq!(posted("unknown").await, 401);
    assert_eq!((signed_by(4).await, signed_by(5).await), (Some("2".into()), Some("1".into())));
    assert_eq!(signed_by(6).await, None);
}

/// The process has fewer file descriptors than allowed connections.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn lack_of_file_descriptors_does_not_block_a_webhook() {
    let home = Home::new("http://127.0.0.1:1");
    let server = Server::start(home.command_with_ulimit("-n 64"));
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(Peer::connect_and_send(server.webhook, HALF_A_HEADER).await);
    }
    let body = received("M1", "one");
    let posted = reqwest::Client::new()
        .post(format!("http://{}/webhooks/globex", server.webhook))
        .header("x-connectly-hmac-sha256", sign(SECRET, body.as_bytes()))
        .timeout(TIMEOUT)
        .body(body);
    assert_eq!(posted.send().await.expect("answers").status(), 200);
    assert!(server.log.lock().expect("unpoisoned").contains("connection accept failed"));
    drop(crowd);
    assert!(server.terminate());
}
