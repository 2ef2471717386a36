//! A recently restored store. A request that it does not know may have been executed after the backup, so its outcome is
//! unknown. The server reports that before any other error.

use futures_util::stream;
use switchboard::pb::v1::contact_service_client::ContactServiceClient;
use switchboard::pb::v1::send_messages_response::Result as Item;
use switchboard::pb::v1::template_service_client::TemplateServiceClient;
use switchboard::pb::v1::{
    CheckMode, Contact, CreateContactRequest, CreateWebhookRegistrationRequest, GetMessageRequest,
    MediaHeader, MessageState, SendChecks, SendMediaRequest, SendMessageRequest, SendMessagesRequest,
    TemplateMessage, UploadTemplateMediaHeader, UploadTemplateMediaRequest, WebhookRegistrationTopic,
    get_message_request, send_message_request,
};
use switchboard::sandbox::{Fault, FaultRule, Operation};
use tonic::{Code, Status};

use crate::support::cli::{path_str, succeeds};
use crate::support::gateway::{
    CONNECTBY, CONNECTLY, CUSTOMER, Gateway, Start, metadata, reason, received, text, within,
};
use crate::webhook_registration;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

/// Stops the server, backs its store up, restores the backup, and starts a server on the restored store.
async fn restart_from_backup(gateway: Gateway, start: Start) -> Gateway {
    let folder = gateway.stop().await;
    let (store, backup) = (folder.path().join("switchboard.db"), folder.path().join("switchboard.backup"));
    succeeds(&["backup", "--store", path_str(&store), "--to", path_str(&backup)]);
    std::fs::rename(&store, folder.path().join("lost.db")).expect("moved away");
    let _ = std::fs::remove_file(folder.path().join("switchboard.db-wal"));
    succeeds(&["restore", "--store", path_str(&store), "--from", path_str(&backup)]);
    start.on(folder).start().await
}

fn assert_unknown(error: &Status, expected: &str) {
    assert_eq!((error.code(), reason(error).as_str()), (Code::FailedPrecondition, expected), "{error:?}");
    assert_eq!((metadata(error, "cause"), metadata(error, "attempt")), ("RESTORED".into(), "1".into()));
    assert_eq!(metadata(error, "message_id"), "", "the store does not know the message");
}

fn contact(resend_after_attempt: u32) -> CreateContactRequest {
    CreateContactRequest {
        account: CONNECTBY.to_owned(),
        contact: Some(Contact {
            name: "Asha Rao".to_owned(),
            country_code: "+91".to_owned(),
            phone_number: "9812345670".to_owned(),
            ..Contact::default()
        }),
        request_id: "contact".to_owned(),
        resend_after_attempt,
    }
}

#[tokio::test]
async fn writes_after_restore_are_unknown_until_resent_explicitly() {
    let gateway = restart_from_backup(Start::quiet().start().await, Start::quiet()).await;
    let mut contacts = ContactServiceClient::new(gateway.channel.clone());
    let mut templates = TemplateServiceClient::new(gateway.channel.clone());
    let upload = |resend_after_attempt| {
        let header = UploadTemplateMediaHeader {
            account: CONNECTBY.to_owned(),
            file_name: String::new(),
            request_id: "upload".to_owned(),
            resend_after_attempt,
        };
        stream::iter([UploadTemplateMediaRequest { header: Some(header), chunk: PNG.to_vec().into() }])
    };
    let webhook = |resend_after_attempt| CreateWebhookRegistrationRequest {
        request_id: "webhook".to_owned(),
        resend_after_attempt,
        ..webhook_registration::new(WebhookRegistrationTopic::Report)
    };

    for _ in 0..2 {
        let error = within(contacts.create_contact(contact(0))).await.expect_err("outcome unknown");
        assert_unknown(&error, "WRITE_OUTCOME_UNKNOWN");
        let error = within(templates.upload_template_media(upload(0))).await.expect_err("outcome unknown");
        assert_unknown(&error, "WRITE_OUTCOME_UNKNOWN");
        let error = webhook_registration::create(&gateway, webhook(0)).await.expect_err("outcome unknown");
        assert_unknown(&error, "WRITE_OUTCOME_UNKNOWN");
    }
    for operation in [Operation::CreateContact, Operation::UploadTemplateMedia] {
        assert_eq!(gateway.connectby().arrivals(operation), 0, "{operation:?}");
    }
    assert_eq!(gateway.connectly().arrivals(Operation::CreateWebhook), 0);

    for replayed in [false, true] {
        let contact = within(contacts.create_contact(contact(1))).await.expect("resent");
        assert_eq!(contact.into_inner().replayed, replayed);
        let upload = within(templates.upload_template_media(upload(1))).await.expect("resent");
        assert_eq!(upload.into_inner().replayed, replayed);
        let webhook = webhook_registration::create(&gateway, webhook(1)).await.expect("resent");
        assert_eq!(webhook.replayed, replayed);
    }
    for operation in [Operation::CreateContact, Operation::UploadTemplateMedia] {
        assert_eq!(gateway.connectby().arrivals(operation), 1, "{operation:?}");
    }
    assert_eq!(gateway.connectly().arrivals(Operation::CreateWebhook), 1);
}

#[tokio::test]
async fn stream_items_and_media_after_restore_are_unknown_too() {
    let gateway = restart_from_backup(Start::quiet().start().await, Start::quiet()).await;
    let item = |tag: &str, resend_after_attempt| SendMessagesRequest {
        tag: tag.to_owned(),
        request: Some(SendMessageRequest {
            request_id: "item".to_owned(),
            resend_after_attempt,
            ..text(CONNECTLY, "item")
        }),
    };
    for (request, arrivals) in [(item("repeated", 0), 0), (item("resent", 1), 1)] {
        let answers = within(gateway.messages().send_messages(stream::iter([request]))).await.expect("opens");
        let answer = within(answers.into_inner().message()).await.expect("open").expect("an answer");
        match answer.result.expect("never empty") {
            Item::Failure(error) => {
                assert_eq!((error.reason.as_str(), arrivals), ("SEND_OUTCOME_UNKNOWN", 0));
                assert_eq!(error.metadata["attempt"], "1");
                assert_eq!(error.metadata["cause"], "RESTORED");
            }
            Item::Response(_) => assert_eq!(arrivals, 1),
        }
        assert_eq!(gateway.connectly().arrivals(Operation::SendMessage), arrivals);
    }

    let file = |resend_after_attempt| {
        let header = MediaHeader {
            account: CONNECTBY.to_owned(),
            to: CUSTOMER.to_owned(),
            request_id: "file".to_owned(),
            resend_after_attempt,
            ..MediaHeader::default()
        };
        stream::iter([SendMediaRequest { header: Some(header), chunk: PNG.to_vec().into() }])
    };
    let error = within(gateway.messages().send_media(file(0))).await.expect_err("outcome unknown");
    assert_unknown(&error, "SEND_OUTCOME_UNKNOWN");
    assert!(!within(gateway.messages().send_media(file(1))).await.expect("resent").into_inner().replayed);
}

/// An error of a new send says that it was rejected and not sent. That is false for a send that may have been sent.
#[tokio::test]
async fn possibly_sent_message_is_never_reported_as_not_sent() {
    let gateway = restart_from_backup(Start::quiet().start().await, Start::quiet()).await;
    let with_template = SendMessageRequest {
        content: Some(send_message_request::Content::Template(TemplateMessage {
            name: "unknown-template".to_owned(),
            language: "en".to_owned(),
            ..TemplateMessage::default()
        })),
        request_id: "template".to_owned(),
        ..text(CONNECTBY, "")
    };
    let error = gateway.send(with_template.clone()).await.expect_err("outcome unknown");
    assert_unknown(&error, "SEND_OUTCOME_UNKNOWN");
    // An explicit resend is checked as a new send.
    let again = SendMessageRequest { resend_after_attempt: 1, ..with_template };
    let error = gateway.send(again).await.expect_err("no such template");
    assert_eq!(reason(&error), "TEMPLATE_NOT_FOUND", "{error:?}");

    // The customer's last message is years old.
    gateway.deliver(&received("M1", "hello")).await;
    let windowed = |request_id: &str| SendMessageRequest {
        checks: Some(SendChecks { session_window: CheckMode::Enforce.into(), ..Default::default() }),
        request_id: request_id.to_owned(),
        ..text(CONNECTLY, "hello")
    };
    let error = gateway.send(windowed("")).await.expect_err("closed");
    assert_eq!(reason(&error), "SESSION_WINDOW_CLOSED");
    let error = gateway.send(windowed("window")).await.expect_err("outcome unknown");
    assert_unknown(&error, "SEND_OUTCOME_UNKNOWN");
}

/// An open circuit breaker rejects new calls and reports that nothing was sent.
#[tokio::test]
async fn possibly_sent_message_does_not_wait_for_a_down_provider() {
    let start = || {
        Start::quiet()
            .with("ACCOUNTS__DEMO_CONNECTLY__GATE__PATIENCE", "100ms")
            .with("ACCOUNTS__DEMO_CONNECTLY__GATE__BREAKER_FAILURES", "1")
    };
    let gateway = restart_from_backup(start().start().await, start()).await;
    gateway.connectly().set_fault(FaultRule::always(Fault::Refuse)).await;
    for _ in 0..2 {
        let error = gateway.send(text(CONNECTLY, "x")).await.expect_err("refused");
        assert_eq!(reason(&error), "PROVIDER_UNREACHABLE");
    }
    let request = SendMessageRequest { request_id: "down".to_owned(), ..text(CONNECTLY, "down") };
    let error = gateway.send(request).await.expect_err("outcome unknown");
    assert_unknown(&error, "SEND_OUTCOME_UNKNOWN");
}

#[tokio::test]
async fn restore_keeps_messages_in_the_backup_and_no_others() {
    let gateway = Start::quiet().start().await;
    let request = SendMessageRequest { request_id: "kept".to_owned(), ..text(CONNECTLY, "kept") };
    let kept = gateway.send(request.clone()).await.expect("accepted");
    let gateway = restart_from_backup(gateway, Start::quiet()).await;
    assert_eq!(gateway.send(request).await.expect("known").message_id, kept.message_id);
    let find = async |id: &str| {
        let key = Some(get_message_request::Key::RequestId(id.to_owned()));
        within(gateway.messages().get_message(GetMessageRequest { account: CONNECTLY.to_owned(), key })).await
    };
    let found = find("kept").await.expect("known").into_inner().message.expect("present");
    assert_eq!(found.state(), MessageState::Accepted);
    assert_eq!(
        reason(&find("lost").await.expect_err("the store does not know the message")),
        "MESSAGE_NOT_FOUND"
    );
}
