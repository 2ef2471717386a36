//! Media uploads: validation, the request to the provider, and uploads that are never sent.

use std::time::Duration;

use futures_util::stream;
use switchboard::pb::v1::message_service_client::MessageServiceClient;
use switchboard::pb::v1::template_service_client::TemplateServiceClient;
use switchboard::pb::v1::{
    GetAccountRequest, MediaHeader, Message, MessageState, SendMediaRequest, UploadTemplateMediaHeader,
    UploadTemplateMediaRequest,
};
use switchboard::sandbox::{Call, Fault, FaultRule, Operation};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support::gateway::{
    CONNECTBY, CONNECTLY, CUSTOMER, Gateway, Start, connect, details, fields, metadata, reason, within,
};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
const PDF: &[u8] = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n";

/// A file of this length that starts with `head`.
fn file(head: &[u8], length: usize) -> Vec<u8> {
    let rest = (head.len()..length).map(|n| u8::try_from(n % 251).expect("less than 251"));
    head.iter().copied().chain(rest).collect()
}

fn header(account: &str) -> MediaHeader {
    MediaHeader { account: account.to_owned(), to: CUSTOMER.to_owned(), ..MediaHeader::default() }
}

/// A message with the header, then the file in chunks of 64 KiB.
fn chunks(header: MediaHeader, file: &[u8]) -> Vec<SendMediaRequest> {
    let first = SendMediaRequest { header: Some(header), chunk: Default::default() };
    let chunk = |chunk: &[u8]| SendMediaRequest { header: None, chunk: chunk.to_vec().into() };
    std::iter::once(first).chain(file.chunks(64 << 10).map(chunk)).collect()
}

async fn call(
    channel: Channel,
    chunks: impl Stream<Item = SendMediaRequest> + Send + 'static,
) -> Result<Message, Status> {
    let answer = within(MessageServiceClient::new(channel).send_media(chunks)).await?;
    Ok(answer.into_inner().message.expect("a message"))
}

async fn send(gateway: &Gateway, header: MediaHeader, file: &[u8]) -> Result<Message, Status> {
    call(gateway.channel.clone(), stream::iter(chunks(header, file))).await
}

/// Sends without closing the stream. The server must reply before the end.
async fn send_without_closing(gateway: &Gateway, chunks: Vec<SendMediaRequest>) -> Status {
    let endless = stream::iter(chunks).chain(stream::pending());
    call(gateway.channel.clone(), endless).await.expect_err("an open stream is never sent")
}

async fn upload(gateway: &Gateway, header: UploadTemplateMediaHeader, file: &[u8]) -> Result<String, Status> {
    let first = UploadTemplateMediaRequest { header: Some(header), chunk: file.to_vec().into() };
    let mut client = TemplateServiceClient::new(gateway.channel.clone());
    Ok(within(client.upload_template_media(stream::iter([first]))).await?.into_inner().url)
}

fn upload_header(account: &str) -> UploadTemplateMediaHeader {
    UploadTemplateMediaHeader {
        account: account.to_owned(),
        file_name: String::new(),
        ..UploadTemplateMediaHeader::default()
    }
}

fn boundary(call: &Call) -> &str {
    call.content_type()
        .and_then(|found| found.strip_prefix("multipart/form-data; boundary="))
        .expect("multipart")
}

/// The expected form, byte for byte.
fn form(boundary: &str, to: Option<&str>, name: &str, mime: &str, file: &[u8]) -> Vec<u8> {
    let mut form = Vec::new();
    if let Some(to) = to {
        let part = "Content-Disposition: form-data; name=\"to_number\"";
        form.extend_from_slice(format!("--{boundary}\r\n{part}\r\n\r\n{to}\r\n").as_bytes());
    }
    let part =
        format!("Content-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: {mime}");
    form.extend_from_slice(format!("--{boundary}\r\n{part}\r\n\r\n").as_bytes());
    form.extend_from_slice(file);
    form.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    form
}

#[tokio::test]
async fn file_reaches_connectby_as_a_form_with_content_length() {
    let gateway = Start::quiet().start().await;
    let picture = file(PNG, 100_000);
    let message = send(&gateway, header(CONNECTBY), &picture).await.expect("accepted");
    assert!(message.message_id.starts_with("msg_"), "{message:?}");
    assert!(message.provider_message_ids[0].starts_with("wamid."), "{message:?}");
    assert_eq!((message.account.as_str(), message.to.as_str()), (CONNECTBY, CUSTOMER));
    assert_eq!(message.state(), MessageState::Accepted);

    let named = MediaHeader { file_name: "Účet č. 7.pdf".to_owned(), ..header(CONNECTBY) };
    let bill = file(PDF, 1_000_000);
    send(&gateway, named, &bill).await.expect("accepted");

    let calls = gateway.connectby().calls();
    assert_eq!(calls.len(), 2);
    for (call, name, mime, file) in [
        (&calls[0], "image.png", "image/png", &picture),
        (&calls[1], "Účet č. 7.pdf", "application/pdf", &bill),
    ] {
        assert_eq!((call.method.as_str(), call.path.as_str()), ("POST", "/v1.0/message/media"));
        assert!(call.body == form(boundary(call), Some("15550100001"), name, mime, file), "{name}");
        assert_eq!(call.header("content-length"), Some(call.body.len().to_string().as_str()));
        assert_eq!(call.header("transfer-encoding"), None);
    }
}

#[tokio::test]
async fn largest_document_arrives_unchanged_and_larger_is_rejected() {
    let gateway = Start::quiet().start().await;
    let document = file(PDF, 16 << 20);
    send(&gateway, header(CONNECTBY), &document).await.expect("accepted");
    let call = gateway.connectby().calls().pop().expect("arrived");
    assert!(
        call.body == form(boundary(&call), Some("15550100001"), "document.pdf", "application/pdf", &document)
    );

    let error = send(&gateway, header(CONNECTBY), &file(PDF, (16 << 20) + 1)).await.expect_err("too large");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
    assert_eq!(fields(&error), ["chunk"]);
    assert_eq!(gateway.connectby().arrivals(Operation::SendMedia), 1);
}

#[tokio::test]
async fn oversized_file_is_rejected_before_its_end() {
    let gateway = Start::quiet().with("ACCOUNTS__DEMO_CONNECTBY__LIMITS__VIDEO_BYTES", "2048").start().await;
    let largest = 16 << 20;
    for (head, length, word) in [
        (PNG, (5 << 20) + 1, "image"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", 40_000, "video"),
        // The file exceeds the largest limit of any type.
        (PDF, largest + 1, "document"),
    ] {
        let error = send_without_closing(&gateway, chunks(header(CONNECTBY), &file(head, length))).await;
        assert_eq!((error.code(), fields(&error)), (Code::InvalidArgument, vec!["chunk".to_owned()]));
        assert!(error.message().contains(word), "{error:?}");
    }
    // The size of a short file is known only at its end.
    let error = send(&gateway, header(CONNECTBY), &file(b"\0\0\0\x18ftypmp42\0\0\0\0", 2_049)).await;
    assert_eq!(fields(&error.expect_err("too large")), ["chunk"]);
    send(&gateway, header(CONNECTBY), &file(b"\0\0\0\x18ftypmp42\0\0\0\0", 2_048)).await.expect("fits");
    assert_eq!(gateway.connectby().arrivals(Operation::SendMedia), 1);
}

#[tokio::test]
async fn get_account_returns_the_file_limits() {
    let gateway =
        Start::quiet().with("ACCOUNTS__DEMO_CONNECTBY__LIMITS__DOCUMENT_BYTES", "100000").start().await;
    let mut shown = Vec::new();
    for account in [CONNECTBY, CONNECTLY] {
        let request = GetAccountRequest { account: account.to_owned() };
        let account = gateway.accounts().get_account(request).await.expect("present").into_inner().account;
        let account = account.expect("present");
        let limits = account.limits.expect("present");
        shown.push((limits.image_bytes, limits.video_bytes, limits.document_bytes));
        let rpcs = account.capabilities.expect("present").rpcs;
        for rpc in ["MessageService.SendMedia", "TemplateService.UploadTemplateMedia"] {
            assert_eq!(rpcs.contains(&rpc.to_owned()), limits.image_bytes.is_some(), "{rpcs:?}");
        }
    }
    assert_eq!(shown, [(Some(5 << 20), Some(16 << 20), Some(100_000)), (None, None, None)]);
}

#[tokio::test]
async fn each_file_type_is_sent_with_its_mime_type_or_rejected() {
    let gateway = Start::quiet().start().await;
    for (content, named, name, mime) in [
        (&b"\xff\xd8\xff\xe0\0\x10JFIF\0"[..], "", "image.jpg", "image/jpeg"),
        (b"\0\0\0\x18ftyp3gp5\0\0\0\0", "", "video.3gp", "video/3gpp"),
        (b"a;b\nc;d\n", "", "document.txt", "text/plain"),
        (b"a;b\nc;d\n", "table.csv", "table.csv", "text/plain"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", "old.xls", "old.xls", "application/vnd.ms-excel"),
    ] {
        let header = MediaHeader { file_name: named.to_owned(), ..header(CONNECTBY) };
        send(&gateway, header, content).await.expect("accepted");
        let call = gateway.connectby().calls().pop().expect("arrived");
        assert!(call.body == form(boundary(&call), Some("15550100001"), name, mime, content), "{name}");
    }
    gateway.connectby().clear_calls();
    for (content, code, field) in [
        (&b""[..], Code::InvalidArgument, "chunk"),
        (b"GIF89a\0\0", Code::InvalidArgument, "chunk"),
        (b"\0\0\0\0", Code::InvalidArgument, "chunk"),
        (b"ID3\x04\0\0\0", Code::Unimplemented, "chunk"),
        (b"OggS\0\x02\0\0", Code::Unimplemented, "chunk"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", Code::Unimplemented, "chunk"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", Code::InvalidArgument, "header.file_name"),
    ] {
        let error = send(&gateway, header(CONNECTBY), content).await.expect_err("cannot be sent");
        assert_eq!((error.code(), fields(&error)), (code, vec![field.to_owned()]), "{content:?}");
        let error = upload(&gateway, upload_header(CONNECTBY), content).await.expect_err("cannot be sent");
        assert_eq!((error.code(), fields(&error)), (code, vec![field.to_owned()]), "{content:?}");
    }
    assert_eq!(gateway.connectby().calls().len(), 0);
}

#[tokio::test]
async fn invalid_media_header_is_rejected_before_the_file_is_read() {
    let gateway = Start::quiet().start().await;
    let nothing = MediaHeader::default();
    let wrong = MediaHeader {
        account: "Not An Id".to_owned(),
        to: "+0".to_owned(),
        channel: 99,
        file_name: "a/b".to_owned(),
        ..MediaHeader::default()
    };
    let long = MediaHeader { file_name: "x".repeat(241), ..header(CONNECTBY) };
    let unsupported = MediaHeader { to: "bsuid:US.778".to_owned(), channel: 2, ..header(CONNECTBY) };
    let all = ["header.account", "header.to", "header.channel", "header.file_name"];
    for (header, code, expected) in [
        (nothing, Code::InvalidArgument, &all[..2]),
        (wrong, Code::InvalidArgument, &all[..]),
        (long, Code::InvalidArgument, &all[3..]),
        (unsupported, Code::Unimplemented, &all[1..3]),
        (header("unknown-account"), Code::NotFound, &all[..1]),
        (header(CONNECTLY), Code::Unimplemented, &all[..1]),
    ] {
        let first = SendMediaRequest { header: Some(header), chunk: PNG.into() };
        let error = send_without_closing(&gateway, vec![first]).await;
        assert_eq!((error.code(), fields(&error)), (code, expected.iter().map(|&f| f.into()).collect()));
    }
    let headless = SendMediaRequest { header: None, chunk: PNG.into() };
    let error = send_without_closing(&gateway, vec![headless]).await;
    assert_eq!((error.code(), fields(&error)), (Code::InvalidArgument, vec!["header".to_owned()]));
    let error = call(gateway.channel.clone(), stream::iter([])).await.expect_err("empty");
    assert_eq!((error.code(), fields(&error)), (Code::InvalidArgument, vec!["header".to_owned()]));

    let repeated_header = SendMediaRequest { header: Some(header(CONNECTBY)), chunk: PNG.into() };
    let error = send_without_closing(&gateway, vec![repeated_header.clone(), repeated_header]).await;
    assert_eq!((error.code(), fields(&error)), (Code::InvalidArgument, vec!["header".to_owned()]));

    let huge = SendMediaRequest { header: Some(header(CONNECTBY)), chunk: file(PDF, 5 << 20).into() };
    let error = call(gateway.channel.clone(), stream::iter([huge])).await.expect_err("one message");
    assert_eq!((error.code(), fields(&error)), (Code::InvalidArgument, vec!["chunk".to_owned()]));
    assert_eq!(gateway.connectby().calls().len() + gateway.connectly().calls().len(), 0);
}

#[tokio::test]
async fn invalid_template_media_header_is_rejected_at_once() {
    let gateway = Start::quiet().start().await;
    let wrong = UploadTemplateMediaHeader {
        account: String::new(),
        file_name: "a\nb".to_owned(),
        ..UploadTemplateMediaHeader::default()
    };
    for (header, code, expected) in [
        (wrong, Code::InvalidArgument, &["header.account", "header.file_name"][..]),
        (upload_header("unknown-account"), Code::NotFound, &["header.account"]),
        (upload_header(CONNECTLY), Code::Unimplemented, &["header.account"]),
    ] {
        let first = UploadTemplateMediaRequest { header: Some(header), chunk: PNG.into() };
        let endless = stream::iter([first]).chain(stream::pending());
        let mut client = TemplateServiceClient::new(gateway.channel.clone());
        let error = within(client.upload_template_media(endless)).await.expect_err("invalid");
        assert_eq!((error.code(), fields(&error)), (code, expected.iter().map(|&f| f.into()).collect()));
    }
    assert_eq!(gateway.connectby().calls().len() + gateway.connectly().calls().len(), 0);
}

#[tokio::test]
async fn uploaded_template_media_is_served_at_the_returned_url() {
    let gateway = Start::quiet().start().await;
    let picture = file(PNG, 400_000);
    let url = upload(&gateway, upload_header(CONNECTBY), &picture).await.expect("uploaded");
    let call = gateway.connectby().calls().pop().expect("arrived");
    assert_eq!((call.method.as_str(), call.path.as_str()), ("POST", "/v1.0/templates/media"));
    assert!(call.body == form(boundary(&call), None, "image.png", "image/png", &picture));
    assert_eq!(call.header("content-length"), Some(call.body.len().to_string().as_str()));
    let served = within(reqwest::get(url)).await.expect("answers").bytes().await.expect("a file");
    assert!(served == picture);
}

#[tokio::test]
async fn message_has_every_returned_provider_id() {
    let gateway = Start::quiet().start().await;
    let fault = r#"{"success":true,"responseDataArray":[{"messages":[{"id":"wamid.A"}]},{"messages":[{"id":"wamid.B"}]}]}"#;
    gateway.connectby().set_fault(FaultRule::once(Fault::Body(200, fault.to_owned()))).await;
    let message = send(&gateway, header(CONNECTBY), PNG).await.expect("accepted");
    assert_eq!(message.provider_message_ids, ["wamid.A", "wamid.B"]);
}

/// Provider faults with code, reason (empty if the outcome is unknown) and cause.
fn faults() -> Vec<(Fault, Code, &'static str, &'static str)> {
    use Code::{FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted, Unavailable};
    let status =
        |status, body: &str| Fault::Status { status, retry_after: None, body: Some(body.to_owned()) };
    let unknown = |fault, cause| (fault, FailedPrecondition, "", cause);
    vec![
        (Fault::Refuse, Unavailable, "PROVIDER_UNREACHABLE", ""),
        unknown(Fault::CutBeforeReading, "CONNECTION_LOST"),
        unknown(Fault::CutAfterReading, "CONNECTION_LOST"),
        unknown(Fault::CutReply, "REPLY_CUT_OFF"),
        unknown(Fault::NotJson, "REPLY_UNREADABLE"),
        unknown(Fault::Body(200, "{}".to_owned()), "REPLY_UNREADABLE"),
        unknown(Fault::status(500), "PROVIDER_FAILED"),
        unknown(Fault::SuccessFalse { code: Some(131_000) }, "PROVIDER_FAILED"),
        (Fault::status(401), FailedPrecondition, "PROVIDER_CREDENTIALS_REJECTED", ""),
        (status(404, "<html>?</html>"), NotFound, "PROVIDER_NOT_FOUND", ""),
        (Fault::status(413), InvalidArgument, "CONTENT_REJECTED", ""),
        (status(415, ""), InvalidArgument, "CONTENT_REJECTED", ""),
        (Fault::status(429), ResourceExhausted, "PROVIDER_THROTTLED", ""),
        (Fault::SuccessFalse { code: None }, FailedPrecondition, "PROVIDER_REFUSED", ""),
        (Fault::SuccessFalse { code: Some(131_053) }, InvalidArgument, "CONTENT_REJECTED", ""),
    ]
}

#[tokio::test]
async fn each_provider_reply_to_media_maps_to_its_outcome() {
    let mut gateway = Start::quiet().without_retries().start().await;
    // One file is buffered in memory. The other is spooled to disk and exceeds the transport buffers.
    for length in [1_000, 4 << 20] {
        let picture = file(PNG, length);
        for (fault, code, expected, cause) in faults() {
            let expected = if expected.is_empty() { "SEND_OUTCOME_UNKNOWN" } else { expected };
            gateway.connectby().set_fault(FaultRule::once(fault.clone())).await;
            let error =
                send(&gateway, header(CONNECTBY), &picture).await.expect_err("the fault makes the call fail");
            assert_eq!((error.code(), reason(&error).as_str()), (code, expected), "{fault:?}: {error:?}");
            assert_eq!(metadata(&error, "cause"), cause, "{fault:?}");
            assert!(metadata(&error, "message_id").starts_with("msg_"), "{fault:?}");
            if code == Code::NotFound {
                assert_eq!(metadata(&error, "route"), "send_media = \"POST /v1.0/message/media\"");
            }
            gateway.connectby().clear_faults().await.expect("faults cleared");
            if expected == "PROVIDER_THROTTLED" {
                // The server now pauses the account for as long as the provider asked for.
                gateway = Start::quiet().without_retries().start().await;
            }
        }
    }
    gateway.connectby().clear_calls();
    send(&gateway, header(CONNECTBY), PNG).await.expect("the provider works again");
    assert_eq!(gateway.connectby().arrivals(Operation::SendMedia), 1);
}

#[tokio::test]
async fn each_provider_reply_to_template_media_maps_to_its_outcome() {
    let mut gateway = Start::quiet().without_retries().start().await;
    let no_url = Fault::Body(200, r#"{"success":true,"fileUrl":""}"#.to_owned());
    let no_proof = Fault::Body(200, r#"{"fileUrl":"https://api.example/1.png"}"#.to_owned());
    let further = [no_url, no_proof].map(|fault| (fault, Code::FailedPrecondition, "", "REPLY_UNREADABLE"));
    for (fault, code, expected, cause) in faults().into_iter().chain(further) {
        let expected = if expected.is_empty() { "WRITE_OUTCOME_UNKNOWN" } else { expected };
        gateway.connectby().set_fault(FaultRule::once(fault.clone())).await;
        let error =
            upload(&gateway, upload_header(CONNECTBY), PNG).await.expect_err("the fault makes the call fail");
        assert_eq!((error.code(), reason(&error).as_str()), (code, expected), "{fault:?}: {error:?}");
        assert_eq!(metadata(&error, "cause"), cause, "{fault:?}");
        if code == Code::NotFound {
            let route = "upload_template_media = \"POST /v1.0/templates/media\"";
            assert_eq!(metadata(&error, "route"), route);
        }
        gateway.connectby().clear_faults().await.expect("faults cleared");
        if expected == "PROVIDER_THROTTLED" {
            // The server now pauses this account.
            gateway = Start::quiet().without_retries().start().await;
        }
    }
    upload(&gateway, upload_header(CONNECTBY), PNG).await.expect("the provider works again");
}

#[tokio::test]
async fn media_send_without_a_timely_reply_is_unknown() {
    let gateway = Start::quiet().with("ACCOUNTS__DEMO_CONNECTBY__UPLOAD_TIMEOUT", "1s").start().await;
    gateway.connectby().set_fault(FaultRule::once(Fault::Latency(Duration::from_secs(30)))).await;
    let error = send(&gateway, header(CONNECTBY), PNG).await.expect_err("too late");
    assert_eq!(reason(&error), "SEND_OUTCOME_UNKNOWN");
    assert_eq!(metadata(&error, "cause"), "TIMED_OUT");
}

#[tokio::test]
async fn upload_may_take_longer_than_other_requests() {
    let gateway = Start::quiet().with("ACCOUNTS__DEMO_CONNECTBY__REQUEST_TIMEOUT", "1s").start().await;
    gateway.connectby().set_fault(FaultRule::once(Fault::Latency(Duration::from_secs(2)))).await;
    send(&gateway, header(CONNECTBY), PNG).await.expect("accepted after two seconds");
}

/// Starts an upload and returns when the server has received most of 3 MiB, which is more than the transport buffers.
async fn begin_upload(
    calls: &mut JoinSet<Result<Message, Status>>,
    channel: Channel,
) -> mpsc::Sender<SendMediaRequest> {
    let (sender, receiver) = mpsc::channel(1);
    calls.spawn(call(channel, ReceiverStream::new(receiver)));
    for piece in chunks(header(CONNECTBY), &file(PDF, 3 << 20)) {
        within(sender.send(piece)).await.expect("the call is open");
    }
    sender
}

#[tokio::test]
async fn cancelled_upload_sends_nothing() {
    let gateway = Start::quiet().start().await;
    // The request streams stay open: the clients cancel and never close them.
    let mut open = Vec::new();
    for _ in 0..8 {
        let mut calls = JoinSet::new();
        open.push(begin_upload(&mut calls, gateway.channel.clone()).await);
        calls.shutdown().await;
    }
    // This call uses the same connection, so the server has processed every earlier cancel when it replies.
    send(&gateway, header(CONNECTBY), PNG).await.expect("accepted");
    let provider = gateway.connectby().clone();
    gateway.stop().await;
    assert_eq!(provider.arrivals(Operation::SendMedia), 1);
}

#[tokio::test]
async fn upload_with_a_broken_connection_sends_nothing() {
    let gateway = Start::quiet().start().await;
    let at = gateway.at;
    let caller = move || {
        // A client that crashes: its sockets are closed without a cancel.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut calls = JoinSet::new();
            let open = begin_upload(&mut calls, connect(at).await).await;
            std::mem::forget((calls, open));
        });
        drop(runtime);
    };
    for _ in 0..4 {
        tokio::task::spawn_blocking(caller).await.expect("no panic");
    }
    send(&gateway, header(CONNECTBY), PNG).await.expect("accepted");
    let provider = gateway.connectby().clone();
    gateway.stop().await;
    assert_eq!(provider.arrivals(Operation::SendMedia), 1);
}

#[tokio::test]
async fn shutdown_ends_an_incomplete_upload() {
    let gateway = Start::quiet().start().await;
    let mut calls = JoinSet::new();
    let open = begin_upload(&mut calls, gateway.channel.clone()).await;
    gateway.begin_shutdown();
    let error = within(calls.join_next()).await.expect("one").expect("no panic").expect_err("not sent");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::Unavailable, "SERVER_STOPPING"));
    drop(open);
    let provider = gateway.connectby().clone();
    gateway.stop().await;
    assert_eq!(provider.calls().len(), 0);
}

#[tokio::test]
async fn upload_beyond_the_limit_fails_with_a_retry_delay() {
    let gateway = Start::quiet().start().await;
    let mut calls = JoinSet::new();
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(begin_upload(&mut calls, gateway.channel.clone()).await);
    }
    let error = send(&gateway, header(CONNECTBY), PNG).await.expect_err("no free slot");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::ResourceExhausted, "UPLOADS_EXHAUSTED"));
    let details = details(&error);
    assert!(details.retry_info().and_then(|info| info.retry_delay).is_some(), "{details:?}");
    // The server still validates headers.
    let error = send(&gateway, MediaHeader::default(), PNG).await.expect_err("invalid");
    assert_eq!(error.code(), Code::InvalidArgument);
    // The end of one upload frees a slot.
    drop(open.pop());
    within(calls.join_next()).await.expect("one").expect("no panic").expect("accepted");
    send(&gateway, header(CONNECTBY), PNG).await.expect("accepted");
}
