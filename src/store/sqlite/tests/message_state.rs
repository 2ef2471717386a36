//! Statuses: how they move messages forward, and what they are notified to mean.

use super::*;
use crate::domain::event::ReportedFault;
use crate::domain::message::MessageProblem;
use crate::domain::{ProviderFault, RefusalReason};

use MessageState::{Accepted, Delivered, Failed, Read, Sent, Unknown};

/// What the last event says that it means: the message, its state, and whether it came late.
async fn last_effect(opened: &Opened) -> String {
    opened.events().await.pop().expect("an event").1
}

/// A message that the provider took as `P`.
async fn sent(opened: &Opened) -> Message {
    opened.sent(&draft(), accepted(&["P"])).await.message.expect("kept")
}

fn fault(code: &str) -> ReportedFault {
    let fault = ProviderFault {
        code: Some(code.to_owned()),
        ..ProviderFault::new(Provider::Connectly, RefusalReason::RecipientNotReachable)
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
async fn statuses_move_a_message_forward_and_say_how_far_it_has_come() {
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
async fn every_state_follows_its_order_whatever_comes_when() {
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
            let troubled = opened.message(id).await.expect("kept").problem.is_some();
            assert_eq!(troubled, after == Failed);
        }
    }
}

#[tokio::test]
async fn a_repeated_status_changes_nothing() {
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
async fn a_failure_is_explained_until_a_delivery_disproves_it() {
    let opened = open();
    let Message { id, .. } = opened.sent(&draft(), accepted(&["P", "Q"])).await.message.expect("kept");
    opened.commit_one(failed("P", Some(fault("1")))).await;
    let problem = |code| Some(MessageProblem::Failed(fault(code)));
    assert_eq!(opened.message(id).await.expect("kept").problem, problem("1"));
    opened.commit_one(failed("Q", Some(fault("2")))).await;
    assert_eq!(last_effect(&opened).await, format!("{id} Some(Failed) true"));
    assert_eq!(opened.message(id).await.expect("kept").problem, problem("1"), "the first request_state");
    opened.commit_one(status("acme", "Q", Some(Delivered), None)).await;
    let message = opened.message(id).await.expect("kept");
    assert_eq!((message.state, message.problem), (Delivered, None));
}

#[tokio::test]
async fn a_failure_that_the_provider_does_not_explain_is_one_all_the_same() {
    let opened = open();
    let Message { id, .. } = sent(&opened).await;
    opened.commit_one(failed("P", None)).await;
    let message = opened.message(id).await.expect("kept");
    let Some(MessageProblem::Failed(reported)) = message.problem else { panic!("{message:?}") };
    assert_eq!(
        (reported.fault.refusal, reported.fault.provider),
        (RefusalReason::Other, Provider::Connectly)
    );
}

#[tokio::test]
async fn what_is_reported_of_messages_that_are_not_ours_has_a_life_too() {
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
    assert_eq!(last_effect(&opened).await, " Some(Sent) false", "ids are one account's");
    assert_eq!(opened.notified(), Vec::<Vec<Message>>::new());
}

#[tokio::test]
async fn a_status_that_overtakes_the_reply_counts_when_the_reply_comes() {
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
async fn an_unknown_message_is_found_by_no_id_of_the_providers_until_it_is_proven() {
    let opened = open();
    let id = opened.unknown_attempt("r").await;
    opened.commit_one(status("acme", "P", Some(Sent), None)).await;
    assert_eq!(last_effect(&opened).await, " Some(Sent) false");
    assert_eq!(opened.state(id).await, Some(Unknown), "nothing says that it is this one");
    opened.commit_one(status("acme", "P", Some(Delivered), proof(id, 1, Some("P")))).await;
    assert_eq!(last_effect(&opened).await, format!("{id} Some(Delivered) false"));
    assert_eq!(opened.state(id).await, Some(Delivered));
}

#[tokio::test]
async fn what_was_reported_before_the_proof_counts_and_makes_later_words_stale() {
    let opened = open();
    let id = opened.unknown_attempt("r").await;
    opened.commit_one(status("acme", "P", Some(Delivered), None)).await;
    opened.commit_one(status("acme", "P", Some(Sent), proof(id, 1, Some("P")))).await;
    assert_eq!(last_effect(&opened).await, format!("{id} Some(Delivered) true"));
    assert_eq!(opened.state(id).await, Some(Delivered));
    assert_eq!(opened.request_state("r").await, Some(("accepted", 1)));
}

#[tokio::test]
async fn the_time_of_the_last_change_is_that_of_the_state() {
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
    assert_eq!((message.state, message.update_time), (Accepted, accepted_at), "an unknown word is no state");
}
