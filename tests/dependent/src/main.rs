//! Sends a message through the sandbox of the program that SWITCHBOARD_BIN names, and waits for its event. It uses the
//! crate as its documentation says, and no other library except a runtime.

use std::error::Error;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use switchboard_client::tonic::Code;
use switchboard_client::v1::event::Payload;
use switchboard_client::v1::send_message_request::Content;
use switchboard_client::v1::subscribe_request::Start;
use switchboard_client::v1::{MediaHeader, SendMessageRequest, StartPosition, SubscribeRequest, Text};
use switchboard_client::{Client, StreamItem, prost_types};

/// Stops with the program.
struct Sandbox {
    server: Child,
    address: String,
}

impl Sandbox {
    fn start() -> Result<Self, Box<dyn Error>> {
        let mut command = Command::new(std::env::var("SWITCHBOARD_BIN")?);
        for section in ["GRPC", "WEBHOOK", "ADMIN"] {
            command.env(format!("SWITCHBOARD__{section}__LISTEN"), "127.0.0.1:0");
        }
        let mut server = command.arg("sandbox").stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(server.stdout.take().ok_or("the sandbox has no output")?).lines();
        let mut sandbox = Self { server, address: String::new() };
        for line in lines {
            if let ["gRPC", address] = line?.split_whitespace().collect::<Vec<_>>()[..] {
                sandbox.address = address.to_owned();
                return Ok(sandbox);
            }
        }
        Err("the sandbox ended before it printed its gRPC address".into())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sandbox = Sandbox::start()?;
    let client = Client::builder(&sandbox.address).timeout(Duration::from_secs(60)).connect().await?;
    let sent = client
        .call(SendMessageRequest {
            account: "demo-connectly".to_owned(),
            to: "+15550100001".to_owned(),
            content: Some(Content::Text(Text { body: "Hello!".to_owned() })),
            ..SendMessageRequest::default()
        })
        .await?;
    let id = sent.message.ok_or("the response has no message")?.message_id;

    let failed = client
        .send_media(MediaHeader::default(), "Hello!")
        .await
        .err()
        .ok_or("a request without an account succeeded")?;
    assert_eq!(failed.code(), Code::InvalidArgument);
    assert!(!failed.request_id().is_empty());

    let mut events = client.subscribe(SubscribeRequest {
        start: Some(Start::Position(StartPosition::Earliest.into())),
        idle_timeout: Some(prost_types::Duration { seconds: 30, nanos: 0 }),
        ..SubscribeRequest::default()
    });
    while let Some(item) = events.next().await? {
        let StreamItem::Event(event) = item else { continue };
        if let Some(Payload::MessageAccepted(accepted)) = event.payload
            && accepted.message.is_some_and(|message| message.message_id == id)
        {
            events.close().await?;
            println!("received the event of {id}");
            return Ok(());
        }
    }
    Err("the stream ended without an event of the message".into())
}
