//! What each answer of the provider to a registration's reads and writes means.

use switchboard::pb::v1::{UpdateWebhookRequest, WebhookTopic};
use switchboard::sandbox::{Fault, FaultRule, Operation};
use tonic::{Code, Status};

use crate::support::gateway::{CONNECTLY, Gateway, Start, metadata, reason};
use crate::webhook_registration::{ADDRESS, create, delete, list, new, registered, update};

/// A fault at the provider, and the code, reason and cause of a read and of a write.
#[derive(Clone)]
struct Case {
    fault: Fault,
    read: (Code, &'static str, &'static str),
    write: (Code, &'static str, &'static str),
}

fn both(fault: Fault, code: Code, reason: &'static str) -> Case {
    Case { fault, read: (code, reason, ""), write: (code, reason, "") }
}

fn unclear(fault: Fault, cause: &'static str) -> Case {
    Case {
        fault,
        read: (Code::Unavailable, "PROVIDER_UNAVAILABLE", cause),
        write: (Code::FailedPrecondition, "WRITE_OUTCOME_UNKNOWN", cause),
    }
}

fn unreadable(fault: Fault) -> Case {
    Case {
        read: (Code::Internal, "PROVIDER_REPLY_UNREADABLE", "REPLY_UNREADABLE"),
        ..unclear(fault, "REPLY_UNREADABLE")
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
        unclear(body(408, "{}"), "PROVIDER_FAILED"),
        unclear(body(409, "<html>"), "PROVIDER_FAILED"),
        unclear(Fault::status(500), "PROVIDER_FAILED"),
        unclear(body(503, "<html>"), "PROVIDER_FAILED"),
        unclear(Fault::CutBeforeReading, "CONNECTION_LOST"),
        unclear(Fault::CutAfterReading, "CONNECTION_LOST"),
        unclear(Fault::CutReply, "REPLY_CUT_OFF"),
        unreadable(Fault::NotJson),
    ]
}

async fn told_is(
    gateway: &Gateway,
    fault: &Fault,
    told: Result<(), Status>,
    expected: (Code, &str, &str),
    rpc: &str,
) {
    let told = told.expect_err("a fault is no success");
    let found = (told.code(), reason(&told), metadata(&told, "cause"));
    assert_eq!((found.0, found.1.as_str(), found.2.as_str()), expected, "{rpc} {fault:?}: {told:?}");
    assert_eq!(metadata(&told, "account"), CONNECTLY, "{rpc} {fault:?}");
    gateway.connectly().clear_faults().await.expect("listens again");
}

#[tokio::test]
async fn every_answer_to_a_list_has_its_meaning() {
    let mut gateway = Start::quiet().one_try().start().await;
    let more =
        ["", "{}", "[]", r#"{"entity":null}"#].map(|body| unreadable(Fault::Body(200, body.to_owned())));
    for Case { fault, read, .. } in cases().into_iter().chain(more) {
        let rule = FaultRule::once(fault.clone()).on(Operation::ListWebhooks);
        gateway.connectly().set_fault(rule.clone()).await;
        told_is(&gateway, &fault, list(&gateway).await.map(|_| ()), read, "list").await;
        if read.1 == "PROVIDER_THROTTLED" {
            // This account rests now.
            gateway = Start::quiet().one_try().start().await;
        }
        // A creation whose look fails has written nothing, and may be called again.
        gateway.connectly().set_fault(rule).await;
        let told = create(&gateway, new(WebhookTopic::Report)).await.map(|_| ());
        told_is(&gateway, &fault, told, read, "create").await;
        assert_eq!(gateway.connectly().arrivals(Operation::CreateWebhook), 0);
        if read.1 == "PROVIDER_THROTTLED" {
            gateway = Start::quiet().one_try().start().await;
        }
    }
    list(&gateway).await.expect("all is well again");
}

#[tokio::test]
async fn every_answer_to_a_write_has_its_outcome() {
    let rpcs = ["create", "update", "delete"];
    for (Case { fault, write, .. }, rpc) in
        cases().into_iter().flat_map(|case| rpcs.map(|rpc| (case.clone(), rpc)))
    {
        // The look before a creation must not fail already.
        if (rpc, &fault) == ("create", &Fault::Refuse) {
            continue;
        }
        // What was cut may have been done, and who was throttled rests: each fault has a server of its own.
        let gateway = Start::quiet().one_try().start().await;
        let id = registered(&gateway, WebhookTopic::Messages).await.id;
        let provider = gateway.connectly();
        let told = match rpc {
            "create" => {
                provider.set_fault(FaultRule::once(fault.clone()).on(Operation::CreateWebhook)).await;
                create(&gateway, new(WebhookTopic::Report)).await.map(|_| ())
            }
            "update" => {
                provider.set_fault(FaultRule::once(fault.clone()).on(Operation::UpdateWebhook)).await;
                let request = UpdateWebhookRequest {
                    account: CONNECTLY.to_owned(),
                    webhook_id: id.clone(),
                    address: Some(ADDRESS.to_owned()),
                    configuration: None,
                };
                update(&gateway, request).await
            }
            _ => {
                provider.set_fault(FaultRule::once(fault.clone()).on(Operation::DeleteWebhook)).await;
                delete(&gateway, CONNECTLY, &id).await
            }
        };
        told_is(&gateway, &fault, told, write, rpc).await;
    }
}

#[tokio::test]
async fn a_conflict_that_is_readable_is_a_refusal_of_any_other_write() {
    let gateway = Start::quiet().start().await;
    gateway.connectly().set_fault(FaultRule::once(Fault::status(409))).await;
    let told = delete(&gateway, CONNECTLY, "W1").await.expect_err("refused");
    assert_eq!((told.code(), reason(&told).as_str()), (Code::FailedPrecondition, "PROVIDER_CONFLICT"));
}

#[tokio::test]
async fn a_creation_is_proved_by_an_id_alone() {
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
        let told = create(&gateway, new(WebhookTopic::Report)).await.err().map(|told| reason(&told));
        assert_eq!(told.as_deref(), expected, "{body}");
    }
}

#[tokio::test]
async fn a_change_and_a_deletion_are_proved_by_a_success_without_an_error() {
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
        let told = delete(&gateway, CONNECTLY, "W1").await.err().map(|told| reason(&told));
        assert_eq!(told.as_deref(), expected, "delete {status} {body}");
        let request = UpdateWebhookRequest {
            account: CONNECTLY.to_owned(),
            webhook_id: "W1".to_owned(),
            address: Some(ADDRESS.to_owned()),
            configuration: None,
        };
        let told = update(&gateway, request).await.err().map(|told| reason(&told));
        assert_eq!(told.as_deref(), expected, "update {status} {body}");
    }
}
