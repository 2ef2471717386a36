//! Proofs before and after an attempt ends: in every order the message is accepted and `message.accepted` is appended
//! once.

use super::*;

use MessageState::{Accepted, Delivered, Sent};

/// An echo with our tag.
fn echo(id: &str, proof: Option<Proof>) -> Op {
    written(true, id, Party::default(), "", None, proof)
}

/// All kinds of proof of an attempt at a message. Two of them name the provider's id `P`, the third names none.
fn proofs(id: MessageId, number: u32) -> [Op; 3] {
    [
        status("acme", "P", Some(Sent), proof(id, number, Some("P"))),
        echo("P", proof(id, number, Some("P"))),
        answer("A", proof(id, number, None)),
    ]
}

/// Asserts that a message is accepted or further, and that `message.accepted` was appended once.
async fn assert_accepted(opened: &Opened, id: MessageId, case: &str) {
    let message = opened.message(id).await.expect("kept");
    assert!(message.state >= Accepted, "{case}: {message:?}");
    assert_eq!(message.problem, None, "{case}");
    assert_eq!(opened.times_accepted(id).await, 1, "{case}");
}

#[tokio::test]
async fn proof_of_any_attempt_resolves_an_unknown_outcome() {
    for resends in 0..3 {
        for number in 1..=resends + 1 {
            for kind in 0..3 {
                let opened = open();
                let id = opened.unknown_attempt("r").await;
                for attempt in 1..=resends {
                    opened.attempt("r", Some(attempt)).await;
                    opened.finish_request("r", attempt + 1, unknown()).await;
                }
                let proof = proofs(id, number).into_iter().nth(kind).expect("three kinds");
                opened.commit_one(proof).await;
                let case = format!("attempt {number} of {}, kind {kind}", resends + 1);
                assert_accepted(&opened, id, &case).await;
                assert_eq!(opened.request_state("r").await, Some(("accepted", resends + 1)), "{case}");
                assert!(
                    matches!(opened.begin("r", Some(resends + 1)).await, BeginResult::Known(_)),
                    "{case}"
                );
                let kinds: Vec<_> = opened.events().await.iter().map(|(kind, _)| *kind).collect();
                assert_eq!(kinds.len(), 2, "{case}");
                assert_eq!(kinds[0], EventType::MessageAccepted, "{case}: it precedes its proof");
            }
        }
    }
}

#[tokio::test]
async fn proof_joins_the_providers_id() {
    let opened = open();
    let id = opened.unknown_attempt("r").await;
    opened.commit_one(echo("P", proof(id, 1, Some("P")))).await;
    let message = opened.message(id).await.expect("kept");
    assert_eq!((message.state, message.provider_ids), (Accepted, vec!["P".to_owned()]));
    opened.commit_one(status("acme", "P", Some(Delivered), None)).await;
    assert_eq!(opened.state(id).await, Some(Delivered), "by the provider's id alone");
}

#[tokio::test]
async fn proof_during_an_attempt_outweighs_its_outcome() {
    for resend in [false, true] {
        for kind in 0..3 {
            for outcome in [accepted(&["P", "Q"]), unknown(), AttemptOutcome::NotDone] {
                let opened = open();
                let attempt = if resend {
                    opened.unknown_attempt("r").await;
                    2
                } else {
                    1
                };
                let (number, id) = opened.attempt("r", resend.then_some(1)).await;
                assert_eq!(number, attempt);
                opened.commit_one(proofs(id, 1).into_iter().nth(kind).expect("three kinds")).await;
                let case = format!("resend {resend}, kind {kind}, {outcome:?}");
                assert_accepted(&opened, id, &case).await;
                assert_eq!(opened.request_state("r").await, Some(("accepted", attempt)), "{case}");

                let ended = opened.finish_request("r", attempt, outcome.clone()).await;
                assert_accepted(&opened, id, &case).await;
                assert_eq!(ended.message, opened.message(id).await, "{case}");
                assert_eq!(ended.record, opened.record("r").await, "{case}");
                assert_eq!(opened.request_state("r").await, Some(("accepted", attempt)), "{case}");
                if matches!(outcome, AttemptOutcome::Accepted { .. }) {
                    let ids = ended.message.expect("kept").provider_ids;
                    assert_eq!(ids, ["P", "Q"], "{case}: the reply's ids are added");
                }
            }
        }
    }
}

#[tokio::test]
async fn proof_of_a_reverted_resend_counts() {
    let opened = open();
    let id = opened.unknown_attempt("r").await;
    opened.attempt("r", Some(1)).await;
    opened.finish_request("r", 2, AttemptOutcome::NotDone).await;
    opened.commit_one(answer("A", proof(id, 2, None))).await;
    assert_eq!(opened.request_state("r").await, Some(("accepted", 1)));
    assert_accepted(&opened, id, "reverted").await;
}

#[tokio::test]
async fn proof_before_the_end_of_a_plain_send_counts() {
    for kind in 0..3 {
        for outcome in [accepted(&["P"]), accepted(&[]), unknown()] {
            let opened = open();
            let sent = draft();
            opened.commit_one(proofs(sent.id, 1).into_iter().nth(kind).expect("three kinds")).await;
            assert_eq!(opened.message(sent.id).await, None, "its send has not finished");
            assert_eq!(opened.times_accepted(sent.id).await, 0);
            let message = opened.sent(&sent, outcome.clone()).await.message.expect("kept");
            let case = format!("kind {kind}, {outcome:?}");
            assert_accepted(&opened, sent.id, &case).await;
            assert_eq!(opened.message(sent.id).await.as_ref(), Some(&message), "{case}");
            assert_eq!(message.state, if kind == 0 { Sent } else { Accepted }, "{case}");
            let named = kind < 2 || outcome == accepted(&["P"]);
            assert_eq!(message.provider_ids, if named { vec!["P"] } else { vec![] }, "{case}");
            opened.sent(&sent, outcome).await;
            assert_accepted(&opened, sent.id, &case).await;
        }
    }
}

#[tokio::test]
async fn plain_send_that_was_not_executed_leaves_no_message() {
    let opened = open();
    let sent = draft();
    let nothing = FinishResult { record: None, message: None };
    assert_eq!(opened.sent(&sent, AttemptOutcome::NotDone).await, nothing);
    assert_eq!(opened.message(sent.id).await, None);
    assert!(opened.events().await.is_empty());
}

#[tokio::test]
async fn plain_send_with_unknown_outcome_stays_unknown_until_proof() {
    let opened = open();
    let sent = draft();
    let message = opened.sent(&sent, unknown()).await.message.expect("kept");
    assert_eq!(message.state, MessageState::Unknown);
    assert_eq!(message.provider_ids, Vec::<String>::new());
    assert!(opened.events().await.is_empty());
    opened.notified();
    opened.commit_one(status("acme", "P", Some(Sent), proof(sent.id, 1, Some("P")))).await;
    assert_accepted(&opened, sent.id, "proven").await;
    let notified: Vec<_> = opened.notified().into_iter().flatten().collect();
    assert_eq!(notified, [opened.message(sent.id).await.expect("kept")], "once, with its current state");
}

#[tokio::test]
async fn status_with_our_tag_names_the_message_before_its_row() {
    let opened = open();
    let sent = draft();
    opened.commit_one(status("acme", "P", None, proof(sent.id, 1, Some("P")))).await;
    assert_eq!(opened.events().await[0].1, format!("{} Some(Accepted) false", sent.id));
    opened.commit_one(status("acme", "P", Some(Sent), None)).await;
    assert_eq!(opened.events().await[1].1, format!("{} Some(Sent) false", sent.id));
    let message = opened.sent(&sent, unknown()).await.message.expect("kept");
    assert_eq!((message.state, message.provider_ids), (Sent, vec!["P".to_owned()]));
}

#[tokio::test]
async fn proof_of_another_accounts_message_is_ignored() {
    let opened = open();
    let id = opened.unknown_attempt("r").await;
    opened.commit_one(status("globex", "P", Some(Sent), proof(id, 1, Some("P")))).await;
    assert_eq!(opened.request_state("r").await, Some(("unknown", 1)));
    assert_eq!(opened.state(id).await, Some(MessageState::Unknown));
    let events = opened.events().await;
    assert_eq!(events, [(EventType::MessageStatus, " Some(Sent) false".to_owned())]);

    // The same if the event arrives before the message has a row.
    let sent = draft();
    opened.commit_one(status("globex", "Q", Some(Sent), proof(sent.id, 1, Some("Q")))).await;
    let message = opened.sent(&sent, unknown()).await.message.expect("kept");
    assert_eq!((message.state, message.provider_ids), (MessageState::Unknown, vec![]));
    opened.commit_one(status("globex", "Q", Some(Delivered), None)).await;
    assert_eq!(opened.state(sent.id).await, Some(MessageState::Unknown));
    assert_eq!(opened.times_accepted(sent.id).await, 0);
}

#[tokio::test]
async fn provider_id_joined_to_a_message_stays_with_it() {
    let opened = open();
    let first = opened.sent(&draft(), accepted(&["P"])).await.message.expect("kept");
    let second = opened.unknown_attempt("r").await;
    opened.commit_one(status("acme", "P", Some(Sent), proof(second, 1, Some("P")))).await;
    assert_eq!(opened.state(first.id).await, Some(Sent));
    assert_eq!(opened.state(second).await, Some(MessageState::Unknown));
    let third = opened.sent(&draft(), accepted(&["P"])).await.message.expect("kept");
    opened.commit_one(status("acme", "P", Some(Delivered), None)).await;
    assert_eq!(opened.state(first.id).await, Some(Delivered));
    assert_eq!(opened.state(third.id).await, Some(Accepted));
}

#[tokio::test]
async fn provider_state_of_reply_applies_until_a_status_advances_it() {
    for overtaken in [false, true] {
        let opened = open();
        let (_, id) = opened.attempt("r", None).await;
        if overtaken {
            opened.commit_one(status("acme", "P", Some(Sent), proof(id, 1, Some("P")))).await;
        }
        let outcome = AttemptOutcome::Accepted {
            reply: None,
            provider_ids: vec!["P".to_owned()],
            provider_state: Some("held".to_owned()),
            recipient_wa_id: None,
        };
        let message = opened.finish_request("r", 1, outcome).await.message.expect("kept");
        let word = if overtaken { "sent" } else { "held" };
        assert_eq!(message.provider_state.as_deref(), Some(word));
    }
}

#[tokio::test]
async fn proofs_survive_restart() {
    let opened = open();
    let (_, id) = opened.attempt("r", None).await;
    let sent = draft();
    opened.commit_one(answer("A", proof(id, 1, None))).await;
    opened.commit_one(answer("B", proof(sent.id, 1, None))).await;
    let opened = opened.reopen();
    assert_eq!(opened.request_state("r").await, Some(("accepted", 1)));
    assert_accepted(&opened, id, "reopened").await;
    let message = opened.sent(&sent, unknown()).await.message.expect("kept");
    assert_eq!(message.state, Accepted);
}

/// If the disk was full, an outcome may be written long after it became known. Clocks may also go back.
#[tokio::test]
async fn late_written_outcome_keeps_receive_times_monotonic() {
    let opened = open();
    let with_request = opened.attempt("r", None).await.1;
    let without = draft();
    opened.commit_one(append("acme", None, "before")).await;
    for (id, message) in [(Some("r"), None), (None, Some(without.clone()))] {
        let Op::FinishAttempt(mut end) = opened.finish_op(id, 1, message, accepted(&[])) else {
            unreachable!("an end")
        };
        end.end_time = end.end_time.minus(std::time::Duration::from_secs(3_600));
        opened.finish(Op::FinishAttempt(end)).await;
    }
    opened.commit_one(append("acme", None, "after")).await;
    let times: Vec<i64> =
        opened.committed.lock().expect("unpoisoned").iter().map(|event| receive_time(event).0).collect();
    assert_eq!(times.len(), 4);
    assert!(times.is_sorted(), "{times:?}");
    for id in [with_request, without.id] {
        assert_eq!(opened.state(id).await, Some(Accepted));
    }
}
