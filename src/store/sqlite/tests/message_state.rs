//! Statuses: how they advance messages, and the effect that they report.

use super::*;
use crate::domain::event::ReportedFault;
use crate::domain::message::MessageProblem;
use crate::domain::{ProviderFault, RefusalReason};

use MessageState::{Accepted, Delivered, Failed, Read, Sent, Unknown};

/// The effect that the last event reports: the message, its state, and whether the status was stale.
async fn last_effect(opened: &Opened) -> String {
    opened.events().await.pop().expect("an event").1
}

/// A message that the provider accepted as `P`.
async fn sent(opened: &Opened) -> Message {
    opened.sent(&draft(), accepted(&["P"])).await.message.expect("kept")
}

fn fault(code: &str) -> ReportedFault {
    let fault = ProviderFault {
        code: Some(code.to_owned()),
        ..ProviderFault::new(Provider::CONNECTLY, RefusalReason::RecipientNotReachable)
    };
    ReportedFault { fault, raw_json: "{}".to_owned() }
}

fn failed(provider_id: &str, fault: Option<ReportedFault>) -> Op {
    let mut op = status("acme", provider_id, Some(Failed), None);
    if let Op::Append(append) = &mut op
        && let Payload::MessageStatus(status) = &mut append.event.payload
    {
        status.fault = fault;
    }
    op
}

#[tokio::test]
async fn statuses_advance_a_message_and_report_its_state() {
    let opened = open();
    let Message { id, .. } = sent(&opened).await;
    for (state, after, stale) in [
        (Some(Sent), "Some(Sent)", false),
        (None, "Some(Sent)", false),
        (Some(Read), "Some(Read)", false),
        (Some(Delivered), "Some(Read)", true),
    ] {
        opened.commit_one(status("acme", "P", state, None)).await;
        assert_eq!(last_effect(&opened).await, format!("{id} {after} {stale}"), "{state:?}");
    }
    let message = opened.message(id).await.expect("kept");
    assert_eq!((message.state, message.provider_state.as_deref()), (Read, Some("read")));
}

#[tokio::test]
async fn states_advance_in_order_for_every_order_of_statuses() {
    for first in [Sent, Failed, Delivered, Read] {
        for second in [Sent, Failed, Delivered, Read] {
            if first == second {
                continue;
            }
            let opened = open();
            let Message { id, .. } = sent(&opened).await;
            opened.commit_one(status("acme", "P", Some(first), None)).await;
            opened.commit_one(status("acme", "P", Some(second), None)).await;
            let (after, stale) = (first.max(second), second < first);
            assert_eq!(last_effect(&opened).await, format!("{id} Some({after:?}) {stale}"));
            assert_eq!(opened.state(id).await, Some(after));
            let has_problem = opened.message(id).await.expect("kept").problem.is_some();
            assert_eq!(has_problem, after == Failed);
        }
    }
}

#[tokio::test]
async fn repeated_status_changes_nothing() {
    let opened = open();
    let Message { id, .. } = sent(&opened).await;
    opened.commit_one(status("acme", "P", Some(Sent), None)).await;
    opened.notified();
    let before = opened.message(id).await;
    let repeated = status("acme", "P", Some(Sent), proof(id, 1, Some("Q")));
    assert_eq!(opened.commit_one(repeated).await, OpResult::Duplicate);
    assert_eq!(opened.message(id).await, before);
    assert_eq!(opened.notified(), Vec::<Vec<Message>>::new());
}

#[tokio::test]
async fn failure_keeps_its_fault_until_a_delivery_disproves_it() {
    let opened = open();
    let Message { id, .. } = opened.sent(&draft(), accepted(&["P", "Q"])).await.message.expect("kept");
    opened.commit_one(failed("P", Some(fault("1")))).await;
    let problem = |code| Some(MessageProblem::Failed(fault(code)));
    assert_eq!(opened.message(id).await.expect("kept").problem, problem("1"));
    opened.commit_one(failed("Q", Some(fault("2")))).await;
    assert_eq!(last_effect(&opened).await, format!("{id} Some(Failed) true"));
    assert_eq!(opened.message(id).await.expect("kept").problem, problem("1"), "the first fault stays");
    opened.commit_one(status("acme", "Q", Some(Delivered), None)).await;
    let message = opened.message(id).await.expect("kept");
    assert_eq!((message.state, message.problem), (Delivered, None));
}

#[tokio::test]
async fn unexplained_failure_has_reason_other() {
    let opened = open();
    let Message { id, .. } = sent(&opened).await;
    opened.commit_one(failed("P", None)).await;
    let message = opened.message(id).await.expect("kept");
    let Some(MessageProblem::Failed(reported)) = message.problem else { panic!("{message:?}") };
    assert_eq!(
        (reported.fault.refusal, reported.fault.provider),
        (RefusalReason::Other, Provider::CONNECTLY)
    );
}

#[tokio::test]
async fn statuses_of_foreign_messages_advance_a_state_too() {
    let opened = open();
    for (state, status_effect) in [
        (None, " None false"),
        (Some(Delivered), " Some(Delivered) false"),
        (Some(Sent), " Some(Delivered) true"),
    ] {
        opened.commit_one(status("acme", "theirs", state, None)).await;
        assert_eq!(last_effect(&opened).await, status_effect);
    }
    opened.commit_one(status("globex", "theirs", Some(Sent), None)).await;
    assert_eq!(last_effect(&opened).await, " Some(Sent) false", "provider ids are scoped to an account");
    assert_eq!(opened.notified(), Vec::<Vec<Message>>::new());
}

#[tokio::test]
async fn status_before_the_reply_counts_once_the_reply_arrives() {
    for with_request in [true, false] {
        let opened = open();
        opened.commit_one(failed("P", Some(fault("1")))).await;
        let message = if with_request {
            opened.attempt("r", None).await;
            opened.finish_request("r", 1, accepted(&["P"])).await.message
        } else {
            opened.sent(&draft(), accepted(&["P"])).await.message
        };
        let message = message.expect("kept");
        assert_eq!(
            (message.state, message.problem.clone()),
            (Failed, Some(MessageProblem::Failed(fault("1"))))
        );
        assert_eq!(message.provider_state.as_deref(), Some("failed"));
        assert_eq!(opened.message(message.id).await.as_ref(), Some(&message));
        assert_eq!(opened.times_accepted(message.id).await, 1);
        opened.commit_one(status("acme", "P", Some(Read), None)).await;
        assert_eq!(last_effect(&opened).await, format!("{} Some(Read) false", message.id));
    }
}

#[tokio::test]
async fn unknown_message_has_no_provider_id_until_proof() {
    let opened = open();
    let id = opened.unknown_attempt("r").await;
    opened.commit_one(status("acme", "P", Some(Sent), None)).await;
    assert_eq!(last_effect(&opened).await, " Some(Sent) false");
    assert_eq!(opened.state(id).await, Some(Unknown), "no proof joins the id to this message");
    opened.commit_one(status("acme", "P", Some(Delivered), proof(id, 1, Some("P")))).await;
    assert_eq!(last_effect(&opened).await, format!("{id} Some(Delivered) false"));
    assert_eq!(opened.state(id).await, Some(Delivered));
}

#[tokio::test]
async fn report_before_the_proof_makes_an_earlier_state_stale() {
    let opened = open();
    let id = opened.unknown_attempt("r").await;
    opened.commit_one(status("acme", "P", Some(Delivered), None)).await;
    opened.commit_one(status("acme", "P", Some(Sent), proof(id, 1, Some("P")))).await;
    assert_eq!(last_effect(&opened).await, format!("{id} Some(Delivered) true"));
    assert_eq!(opened.state(id).await, Some(Delivered));
    assert_eq!(opened.request_state("r").await, Some(("accepted", 1)));
}

#[tokio::test]
async fn update_time_changes_only_with_the_state() {
    let opened = open();
    let early = UnixMillis(1_000);
    let message = Message { create_time: early, update_time: early, ..draft() };
    opened.commit_one(opened.begin_op("r", None, Some(message.clone()))).await;
    assert_eq!(opened.message(message.id).await.expect("kept").update_time, early);
    let accepted_at =
        opened.finish_request("r", 1, accepted(&["P"])).await.message.expect("kept").update_time;
    assert!(accepted_at > early);
    opened.commit_one(status("acme", "P", None, None)).await;
    let message = opened.message(message.id).await.expect("kept");
    assert_eq!(
        (message.state, message.update_time),
        (Accepted, accepted_at),
        "an unknown word changes no state"
    );
}
