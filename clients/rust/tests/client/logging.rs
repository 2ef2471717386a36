//! What the client logs about retries and reconnects.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use switchboard_client::v1::subscribe_response::Response as StreamResponse;
use switchboard_client::v1::{
    ClosingReason, SendMessageRequest, SubscribeClosing, SubscribeRequest, Text,
    send_message_request::Content,
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tracing::subscriber::DefaultGuard;

use crate::fake_server::{FakeServer, StreamEnd, StreamScript};
use crate::within;

/// The log of this thread, on which the tests of this file run completely.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("unpoisoned").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn start() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone());
        let guard = tracing::subscriber::set_default(subscriber.finish());
        (log, guard)
    }

    fn lines(&self) -> String {
        String::from_utf8(self.0.lock().expect("unpoisoned").clone()).expect("text")
    }
}

const PRIVATE: &str = "private text";

fn unavailable() -> Status {
    let metadata = [("provider_message".to_owned(), PRIVATE.to_owned())];
    let mut details = ErrorDetails::with_error_info("PROVIDER_UNREACHABLE", "switchboard", metadata);
    details.set_retry_info(Some(Duration::from_millis(1)));
    Status::with_error_details(Code::Unavailable, "try later", details)
}

#[tokio::test]
async fn retry_and_reconnect_are_logged_without_message_text() {
    let (log, _guard) = Log::start();
    let broken = StreamScript(vec![], StreamEnd::Status(unavailable()));
    let closing =
        SubscribeClosing { reason: ClosingReason::IdleTimeout.into(), ..SubscribeClosing::default() };
    let last = StreamScript(vec![StreamResponse::Closing(closing)], StreamEnd::Ok);
    let server = FakeServer::with_streams([broken, last], [unavailable()]).await;
    let client = server.client().await;
    let content = Some(Content::Text(Text { body: PRIVATE.to_owned() }));
    within(client.call(SendMessageRequest { content, ..SendMessageRequest::default() })).await.expect("sent");
    let mut events = client.subscribe(SubscribeRequest::default());
    assert_eq!(within(events.next()).await.expect("ends"), None);

    let lines = log.lines();
    let lines: Vec<_> = lines.lines().filter(|line| line.contains("switchboard_client")).collect();
    for (line, parts) in lines.iter().zip([
        [
            " INFO ",
            "switchboard call failed, retrying",
            "method=\"/switchboard.v1.MessageService/SendMessage\" attempt=1 delay=",
        ],
        [" WARN ", "switchboard event stream broke, reconnecting", "failures=1 delay="],
    ]) {
        for part in parts.into_iter().chain(["error=Unavailable PROVIDER_UNREACHABLE: try later"]) {
            assert!(line.contains(part), "{part} is missing in {line}");
        }
    }
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(!log.lines().contains(PRIVATE), "the log contains message text");
}

#[tokio::test]
async fn unreachable_server_is_logged_and_reported_to_hook() {
    let (log, _guard) = Log::start();
    let server = FakeServer::start([Status::ok("")]).await;
    let client = server.client().await;
    drop(server);
    let (notify, mut causes) = tokio::sync::mpsc::unbounded_channel();
    let mut events = client.subscribe(SubscribeRequest::default()).on_reconnect(move |cause| {
        notify.send(cause.clone()).expect("is read");
    });
    let cause = within(async {
        tokio::select! {
            item = events.next() => panic!("unexpected {item:?}"),
            cause = causes.recv() => cause.expect("a cause"),
        }
    })
    .await;
    assert_eq!(cause.code(), Code::Unavailable);
    assert!(log.lines().contains("reconnecting"), "{}", log.lines());
}
