//! Uploads: chunks, retries, and sources that fail.

use std::io::{self, Read as _, Seek as _, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use switchboard_client::v1::{MediaHeader, SendMediaRequest};
use switchboard_client::{Client, Error, UploadSource};
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tonic::{Code, Status};

use crate::fake_server::{Action, FakeServer};
use crate::within;

fn header() -> MediaHeader {
    MediaHeader { account: "demo-connectby".to_owned(), ..MediaHeader::default() }
}

/// More than two chunks.
fn content() -> Bytes {
    Bytes::from_iter((0..2_500_000_u32).map(|n| (n % 251) as u8))
}

async fn upload(server: &FakeServer, source: impl Into<UploadSource>) -> Result<(), Error> {
    within(server.client().await.send_media(header(), source)).await.map(drop)
}

/// The `request_id` and the content of each attempt.
fn attempts(server: &FakeServer) -> Vec<(String, Vec<u8>)> {
    let attempt = |messages: &Vec<SendMediaRequest>| {
        assert!(messages[1..].iter().all(|message| message.header.is_none() && !message.chunk.is_empty()));
        let content = messages.iter().flat_map(|message| message.chunk.clone()).collect();
        (messages[0].header.as_ref().expect("the first message has the header").request_id.clone(), content)
    };
    server.streams::<SendMediaRequest>().iter().map(attempt).collect()
}

/// The server received the whole content in each of two attempts, with the same `request_id`.
fn assert_retried(server: &FakeServer, content: &[u8]) {
    let attempts = attempts(server);
    assert_eq!(attempts.len(), 2);
    assert!(attempts.iter().all(|(_, received)| received == content), "the whole content");
    assert!(!attempts[0].0.is_empty() && attempts[0].0 == attempts[1].0);
}

#[tokio::test]
async fn upload_of_bytes_is_retried_whole() {
    let server = FakeServer::start([Status::unavailable("starting")]).await;
    upload(&server, content()).await.expect("sent");
    assert_retried(&server, &content());
}

#[tokio::test]
async fn upload_of_file_is_retried_from_its_start() {
    let content = content();
    let mut file = NamedTempFile::new().expect("a file");
    file.write_all(&content).expect("written");

    let server = FakeServer::start([Status::unavailable("starting")]).await;
    upload(&server, file.path()).await.expect("sent");
    assert_retried(&server, &content);

    // An open file is read from its position.
    let server = FakeServer::start([Status::unavailable("starting")]).await;
    let mut open = file.reopen().expect("opens");
    open.read_exact(&mut [0; 10]).expect("read");
    assert_eq!(open.stream_position().expect("a file"), 10);
    upload(&server, tokio::fs::File::from_std(open)).await.expect("sent");
    assert_retried(&server, &content[10..]);
}

#[tokio::test]
async fn upload_of_reader_is_streamed_and_not_retried() {
    let content = content();
    let server = FakeServer::start([] as [Action; 0]).await;
    upload(&server, UploadSource::reader(io::Cursor::new(content.clone()))).await.expect("sent");
    assert_eq!(attempts(&server).remove(0).1, content);

    let server = FakeServer::start([Status::unavailable("starting")]).await;
    let failed =
        upload(&server, UploadSource::reader(io::Cursor::new(content))).await.expect_err("not retried");
    assert_eq!((failed.code(), attempts(&server).len()), (Code::Unavailable, 1));
    assert_eq!(failed.request_id(), attempts(&server)[0].0);
}

#[tokio::test]
async fn upload_of_unread_reader_is_retried() {
    let server = FakeServer::start([] as [Action; 0]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("bound");
    let (mut writer, reader) = tokio::io::duplex(64);
    let client = Client::builder(address.to_string()).connect_lazy().expect("is valid");
    let uploading = client.send_media(header(), UploadSource::reader(reader));
    let serving = async {
        // The reader has no byte until the first connection has broken.
        drop(listener.accept().await.expect("the first attempt"));
        let (mut second, _) = listener.accept().await.expect("the second attempt");
        writer.write_all(b"Hello!").await.expect("the client reads");
        drop(writer);
        let mut upstream = TcpStream::connect(server.proxy().address).await.expect("connects");
        let _ = tokio::io::copy_bidirectional(&mut second, &mut upstream).await;
    };
    let sent = within(async {
        tokio::select! {
            sent = uploading => sent,
            () = serving => panic!("the connection closed before the upload finished"),
        }
    });
    sent.await.expect("sent");
    assert_eq!(attempts(&server).remove(0).1, b"Hello!");
}

#[tokio::test]
async fn empty_upload_is_a_header() {
    for source in [UploadSource::from(""), UploadSource::reader(tokio::io::empty())] {
        let server = FakeServer::start([] as [Action; 0]).await;
        upload(&server, source).await.expect("sent");
        assert_eq!(server.streams::<SendMediaRequest>()[0].len(), 1);
        assert_eq!(attempts(&server)[0].1, b"");
    }
}

/// Fails after its content.
struct Failing(&'static [u8]);

impl AsyncRead for Failing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0.is_empty() {
            return Poll::Ready(Err(io::Error::other("the disk failed")));
        }
        buffer.put_slice(std::mem::take(&mut self.0));
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn upload_is_cancelled_when_its_source_fails() {
    for source in [UploadSource::reader(Failing(b"Hello!")), UploadSource::path("/does/not/exist")] {
        let server = FakeServer::start([] as [Action; 0]).await;
        let failed = upload(&server, source).await.expect_err("the source failed");
        assert_eq!(failed.code(), Code::Cancelled);
        assert!(!failed.request_id().is_empty());
        let cause = std::error::Error::source(&failed).expect("a cause");
        assert!(cause.is::<io::Error>() && failed.to_string().contains(&cause.to_string()), "{failed}");
        // The server received no complete request of it.
        upload(&server, "Hello!").await.expect("sent");
        assert_eq!(attempts(&server).len(), 1);
    }
}
