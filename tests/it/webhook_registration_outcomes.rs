//! The outcome of each provider reply to a read or write of webhook registrations.

use switchboard::pb::v1::WebhookRegistrationTopic;
use switchboard::sandbox::{Fault, FaultRule, Operation};
use tonic::{Code, Status};

use crate::support::gateway::{CONNECTLY, Gateway, Start, metadata, reason};
use crate::webhook_registration::{ADDRESS, change, create, delete, list, new, registered, update};

/// A fault at the provider with the code, reason and cause of a read and of a write.
#[derive(Clone)]
struct Case {
    fault: Fault,
    read: (Code, &'static str, &'static str),
    write: (Code, &'static str, &'static str),
}

fn both(fault: Fault, code: Code, reason: &'static str) -> Case {
    Case { fault, read: (code, reason, ""), write: (code, reason, "") }
}

fn unknown(fault: Fault, cause: &'static str) -> Case {
    Case {
        fault,
        read: (Code::Unavailable, "PROVIDER_UNAVAILABLE", cause),
        write: (Code::FailedPrecondition, "WRITE_OUTCOME_UNKNOWN", cause),
    }
}

fn unreadable(fault: Fault) -> Case {
    Case {
        read: (Code::Internal, "PROVIDER_REPLY_UNREADABLE", "REPLY_UNREADABLE"),
        ..unknown(fault, "REPLY_UNREADABLE")
    }
}

fn cases() -> Vec<Case> {
    use Code::{FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted, Unavailable};
    let body = |status, body: &str| Fault::Body(status, body.to_owned());
    vec![
        both(Fault::Refuse, Unavailable, "PROVIDER_UNREACHABLE"),
        both(Fault::status(400), InvalidArgument, "CONTENT_REJECTED"),
        both(Fault::status(401), FailedPrecondition, "PROVIDER_CREDENTIALS_REJECTED"),
        both(body(401, "<html>"), FailedPrecondition, "PROVIDER_CREDENTIALS_REJECTED"),
        both(Fault::status(403), FailedPrecondition, "PROVIDER_PERMISSION_DENIED"),
        both(Fault::status(404), NotFound, "PROVIDER_NOT_FOUND"),
        both(Fault::status(429), ResourceExhausted, "PROVIDER_THROTTLED"),
        both(body(200, r#"{"error":{"message":"no"}}"#), FailedPrecondition, "PROVIDER_REFUSED"),
        unknown(body(408, "{}"), "PROVIDER_FAILED"),
        unknown(body(409, "<html>"), "PROVIDER_FAILED"),
        unknown(Fault::status(500), "PROVIDER_FAILED"),
        unknown(body(503, "<html>"), "PROVIDER_FAILED"),
        unknown(Fault::CutBeforeReading, "CONNECTION_LOST"),
        unknown(Fault::CutAfterReading, "CONNECTION_LOST"),
        unknown(Fault::CutReply, "REPLY_CUT_OFF"),
        unreadable(Fault::NotJson),
    ]
}

async fn assert_error(
    gateway: &Gateway,
    fault: &Fault,
    error: Result<(), Status>,
    expected: (Code, &str, &str),
    rpc: &str,
) {
    let error = error.expect_err("the fault makes the call fail");
    let found = (error.code(), reason(&error), metadata(&error, "cause"));
    assert_eq!((found.0, found.1.as_str(), found.2.as_str()), expected, "{rpc} {fault:?}: {error:?}");
    assert_eq!(metadata(&error, "account"), CONNECTLY, "{rpc} {fault:?}");
    gateway.connectly().clear_faults().await.expect("faults cleared");
}

#[tokio::test]
async fn each_provider_reply_to_a_list_maps_to_its_status() {
    let mut gateway = Start::quiet().without_retries().start().await;
    let more =
        ["", "{}", "[]", r#"{"entity":null}"#].map(|body| unreadable(Fault::Body(200, body.to_owned())));
    for Case { fault, read, .. } in cases().into_iter().chain(more) {
        let rule = FaultRule::once(fault.clone()).on(Operation::ListWebhooks);
        gateway.connectly().set_fault(rule.clone()).await;
        assert_error(&gateway, &fault, list(&gateway).await.map(|_| ()), read, "list").await;
        if read.1 == "PROVIDER_THROTTLED" {
            // The server now pauses this account.
            gateway = Start::quiet().without_retries().start().await;
        }
        // A creation whose list read fails has written nothing, so the client may retry it.
        gateway.connectly().set_fault(rule).await;
        let error = create(&gateway, new(WebhookRegistrationTopic::Report)).await.map(|_| ());
        assert_error(&gateway, &fault, error, read, "create").await;
        assert_eq!(gateway.connectly().arrivals(Operation::CreateWebhook), 0);
        if read.1 == "PROVIDER_THROTTLED" {
            gateway = Start::quiet().without_retries().start().await;
        }
    }
    list(&gateway).await.expect("the provider works again");
}

#[tokio::test]
async fn each_provider_reply_to_a_write_maps_to_its_outcome() {
    let rpcs = ["create", "update", "delete"];
    for (Case { fault, write, .. }, rpc) in
        cases().into_iter().flat_map(|case| rpcs.map(|rpc| (case.clone(), rpc)))
    {
        // The fault must not hit the list read before the creation.
        if (rpc, &fault) == ("create", &Fault::Refuse) {
            continue;
        }
        // A cut write may have been executed and a throttled account is paused, so each fault has its own server.
        let gateway = Start::quiet().without_retries().start().await;
        let id = registered(&gateway, WebhookRegistrationTopic::Messages).await.webhook_registration_id;
        let provider = gateway.connectly();
        let error = match rpc {
            "create" => {
                provider.set_fault(FaultRule::once(fault.clone()).on(Operation::CreateWebhook)).await;
                create(&gateway, new(WebhookRegistrationTopic::Report)).await.map(|_| ())
            }
            "update" => {
                provider.set_fault(FaultRule::once(fault.clone()).on(Operation::UpdateWebhook)).await;
                let request = change(&id, ADDRESS, None);
                update(&gateway, request).await.map(|_| ())
            }
            _ => {
                provider.set_fault(FaultRule::once(fault.clone()).on(Operation::DeleteWebhook)).await;
                delete(&gateway, CONNECTLY, &id).await
            }
        };
        assert_error(&gateway, &fault, error, write, rpc).await;
    }
}

#[tokio::test]
async fn readable_conflict_refuses_a_delete() {
    let gateway = Start::quiet().start().await;
    gateway.connectly().set_fault(FaultRule::once(Fault::status(409))).await;
    let error = delete(&gateway, CONNECTLY, "W1").await.expect_err("refused");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::FailedPrecondition, "PROVIDER_CONFLICT"));
}

#[tokio::test]
async fn only_an_id_proves_a_creation() {
    let gateway = Start::quiet().start().await;
    for (status, body, expected) in [
        (200, r#"{"id":"W9","type":"custom"}"#, None),
        (201, r#"{"id":9}"#, None),
        (200, "{}", Some("WRITE_OUTCOME_UNKNOWN")),
        (200, "", Some("WRITE_OUTCOME_UNKNOWN")),
        (200, r#"{"id":""}"#, Some("WRITE_OUTCOME_UNKNOWN")),
        (200, r#"{"code":"ERROR_CODE_NEW"}"#, Some("PROVIDER_REFUSED")),
    ] {
        let fault = FaultRule::once(Fault::Body(status, body.to_owned())).on(Operation::CreateWebhook);
        gateway.connectly().set_fault(fault).await;
        let error =
            create(&gateway, new(WebhookRegistrationTopic::Report)).await.err().map(|error| reason(&error));
        assert_eq!(error.as_deref(), expected, "{body}");
    }
}

#[tokio::test]
async fn success_without_an_error_proves_update_and_delete() {
    let gateway = Start::quiet().start().await;
    for (status, body, expected) in [
        (200, "{}", None),
        (204, "", None),
        (200, " \n", None),
        (200, "null", None),
        (200, r#"{"id":"W1","topic":"messages","type":"custom"}"#, None),
        (200, r#"{"message":"Webhook deleted"}"#, None),
        (200, "deleted", Some("WRITE_OUTCOME_UNKNOWN")),
        (200, "<html>", Some("WRITE_OUTCOME_UNKNOWN")),
        (302, "{}", Some("WRITE_OUTCOME_UNKNOWN")),
        (200, r#"{"type":"ERROR_TYPE_UNSPECIFIED","message":"m"}"#, Some("PROVIDER_REFUSED")),
        (200, r#"{"success":false}"#, Some("PROVIDER_REFUSED")),
    ] {
        let fault = FaultRule::times(2, Fault::Body(status, body.to_owned()));
        gateway.connectly().set_fault(fault).await;
        let error = delete(&gateway, CONNECTLY, "W1").await.err().map(|error| reason(&error));
        assert_eq!(error.as_deref(), expected, "delete {status} {body}");
        let request = change("W1", ADDRESS, None);
        let error = update(&gateway, request).await.err().map(|error| reason(&error));
        assert_eq!(error.as_deref(), expected, "update {status} {body}");
    }
}
