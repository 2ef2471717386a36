//! Resends of writes with an unknown outcome, and invalid idempotency keys.

use switchboard::pb::v1::{ListMessagesRequest, Message, SendMessageRequest};
use switchboard::sandbox::{Fault, FaultRule, Operation};
use tonic::Code;

use crate::idempotency::{Call, UNREADABLE, Write};
use crate::support::gateway::{CONNECTBY, Gateway, Start, fields, metadata, reason, text, within};

#[tokio::test]
async fn unknown_outcome_is_resent_only_after_the_named_attempt() {
    for write in Write::ALL {
        let gateway = Start::quiet().start().await;
        write.fault(&gateway, 2, UNREADABLE).await;
        let call = Call::new("a");
        write.assert_unknown(write.call(&gateway, call).await, 1);
        write.assert_unknown(write.call(&gateway, call).await, 1);
        assert_eq!(write.arrivals(&gateway), 1, "{write:?}: a retry sends nothing");

        // A resend that names another attempt than the newest is a retry.
        write.assert_unknown(write.call(&gateway, call.resend_after(7)).await, 1);
        assert_eq!(write.arrivals(&gateway), 1, "{write:?}");

        write.assert_unknown(write.call(&gateway, call.resend_after(1)).await, 2);
        assert_eq!(write.arrivals(&gateway), 2, "{write:?}");
        // A retry of the resend sends nothing.
        write.assert_unknown(write.call(&gateway, call.resend_after(1)).await, 2);
        write.assert_unknown(write.call(&gateway, call).await, 2);
        assert_eq!(write.arrivals(&gateway), 2, "{write:?}");

        let (result, replayed) = write.call(&gateway, call.resend_after(2)).await.expect("done");
        assert!(!replayed, "{write:?}");
        for resend_after in [0, 1, 2, 3] {
            let again = write.call(&gateway, call.resend_after(resend_after)).await.expect("known");
            assert_eq!(again, (result.clone(), true), "{write:?}");
        }
        assert_eq!(write.arrivals(&gateway), 3, "{write:?}");
    }
}

#[tokio::test]
async fn refused_resend_leaves_the_previous_attempt_unknown() {
    for write in Write::ALL {
        let gateway = Start::quiet().start().await;
        write.fault(&gateway, 1, UNREADABLE).await;
        let call = Call::new("a");
        write.assert_unknown(write.call(&gateway, call).await, 1);
        write.fault(&gateway, 1, Fault::status(400)).await;
        let error = write.call(&gateway, call.resend_after(1)).await.expect_err("refused");
        assert_ne!(reason(&error), write.unknown_reason(), "{write:?}");
        write.assert_unknown(write.call(&gateway, call).await, 1);
        assert_eq!(write.arrivals(&gateway), 2, "{write:?}");
        write.call(&gateway, call.resend_after(1)).await.expect("done");
        assert_eq!(write.arrivals(&gateway), 3, "{write:?}");
    }
}

#[tokio::test]
async fn all_attempts_have_one_message_id() {
    let gateway = Start::quiet().start().await;
    let request = |resend_after_attempt| SendMessageRequest {
        request_id: "a".to_owned(),
        resend_after_attempt,
        ..text(CONNECTBY, "hi")
    };
    gateway.connectby().set_fault(FaultRule::once(UNREADABLE)).await;
    let error = gateway.send(request(0)).await.expect_err("unknown");
    let listed = list_messages(&gateway).await;
    let message = gateway.send(request(1)).await.expect("accepted");
    assert_eq!(message.create_time, listed[0].create_time, "the message exists since the first attempt");
    assert_eq!(message.message_id, metadata(&error, "message_id"));
    assert_eq!((message.attempt, message.request_id.as_str()), (2, "a"));
}

#[tokio::test]
async fn rate_limited_resend_reports_its_message_id() {
    let gateway = Start::quiet().with("ACCOUNTS__DEMO_CONNECTBY__GATE__MAX_QUEUE_WAIT", "1s").start().await;
    let request = |resend_after_attempt| SendMessageRequest {
        request_id: "a".to_owned(),
        resend_after_attempt,
        ..text(CONNECTBY, "hi")
    };
    gateway.connectby().set_fault(FaultRule::once(UNREADABLE)).await;
    let unknown = gateway.send(request(0)).await.expect_err("unknown");
    let throttled = Fault::Status { status: 429, retry_after: Some("60".to_owned()), body: None };
    gateway.connectby().set_fault(FaultRule::once(throttled)).await;
    gateway.send(text(CONNECTBY, "another")).await.expect_err("throttled");
    let rejected = gateway.send(request(1)).await.expect_err("the account is paused");
    assert_eq!(reason(&rejected), "ACCOUNT_BUSY");
    assert_eq!(metadata(&rejected, "message_id"), metadata(&unknown, "message_id"));
}

#[tokio::test]
async fn resend_of_an_expired_request_id_continues_the_count() {
    let gateway = Start::quiet().start().await;
    let request =
        SendMessageRequest { request_id: "a".to_owned(), resend_after_attempt: 3, ..text(CONNECTBY, "hi") };
    assert_eq!(gateway.send(request.clone()).await.expect("accepted").attempt, 4);
    assert_eq!(gateway.send(request).await.expect("known").attempt, 4);
    assert_eq!(gateway.connectby().arrivals(Operation::SendText), 1);
}

#[tokio::test]
async fn outcomes_survive_a_restart() {
    let gateway = Start::quiet().start().await;
    let mut done = Vec::new();
    for write in Write::ALL {
        done.push(write.call(&gateway, Call::new(&format!("{write:?}"))).await.expect("done").0);
        // The topic is registered already, so an unreadable reply cannot occur.
        if write != Write::Webhook {
            write.fault(&gateway, 1, UNREADABLE).await;
            let unreadable = format!("{write:?} unreadable");
            write.assert_unknown(write.call(&gateway, Call::new(&unreadable)).await, 1);
        }
    }
    let folder = gateway.stop().await;
    let gateway = Start::quiet().on(folder).start().await;
    for (write, first) in Write::ALL.into_iter().zip(done) {
        let again = write.call(&gateway, Call::new(&format!("{write:?}"))).await.expect("known");
        assert_eq!(again, (first, true), "{write:?}");
        if write != Write::Webhook {
            let unreadable = format!("{write:?} unreadable");
            write.assert_unknown(write.call(&gateway, Call::new(&unreadable)).await, 1);
        }
        assert_eq!(write.arrivals(&gateway), 0, "{write:?}");
    }
}

#[tokio::test]
async fn invalid_request_id_and_resend_without_one_are_rejected() {
    let gateway = Start::quiet().start().await;
    for write in Write::ALL {
        let path = match write {
            Write::Media | Write::TemplateMedia => "header.request_id",
            Write::Message | Write::Contact | Write::Webhook => "request_id",
        };
        for call in [Call::new("").resend_after(1), Call::new("é"), Call::new(&"x".repeat(129))] {
            let error = write.call(&gateway, call).await.expect_err("wrong");
            assert_eq!(
                (error.code(), fields(&error)),
                (Code::InvalidArgument, vec![path.to_owned()]),
                "{write:?}"
            );
        }
        let path = path.replace("request_id", "resend_after_attempt");
        let last = Call::new("a").resend_after(u32::MAX);
        let error = write.call(&gateway, last).await.expect_err("no attempt can follow");
        assert_eq!((error.code(), fields(&error)), (Code::InvalidArgument, vec![path]), "{write:?}");
        assert_eq!(write.arrivals(&gateway), 0, "{write:?}");
    }
}

async fn list_messages(gateway: &Gateway) -> Vec<Message> {
    let request = ListMessagesRequest { account: CONNECTBY.to_owned(), ..ListMessagesRequest::default() };
    within(gateway.messages().list_messages(request)).await.expect("listed").into_inner().messages
}
