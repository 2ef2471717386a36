//! Which attempts may begin, and the request's state after each.

use super::*;
use crate::domain::message::MessageProblem;

#[tokio::test]
async fn new_request_begins_attempt_1_with_a_pending_message() {
    let opened = open();
    let sent = draft();
    let begun = opened.commit_one(opened.begin_op("r", None, Some(sent.clone()))).await;
    let attempt = BeginResult::Attempt { number: 1, message_id: Some(sent.id) };
    assert_eq!(begun, OpResult::Begun(Box::new(attempt)));
    let message = Message { request_id: Some(request("r")), ..sent };
    assert_eq!(opened.message(message.id).await, Some(message.clone()));
    let record = opened.record("r").await.expect("kept");
    assert_eq!(record.message.as_ref(), Some(&message));
    assert!(
        matches!(record.state, RequestState::InFlight { replica_id, .. } if replica_id == opened.replica_id)
    );
    assert_eq!(opened.notified(), [[message]]);
}

#[tokio::test]
async fn resend_after_unknown_attempt_gets_the_next_number() {
    let opened = open();
    let (number, id) = opened.attempt("r", Some(3)).await;
    assert_eq!(number, 4);
    let message = opened.message(id).await.expect("kept");
    assert_eq!((message.attempt, message.state), (4, MessageState::Pending));
    assert_eq!(
        opened.finish_request("r", 4, AttemptOutcome::NotDone).await,
        FinishResult { record: None, message: None }
    );
    assert_eq!(opened.record("r").await, None, "the record is deleted again");
    assert_eq!(opened.message(id).await, None);
}

#[tokio::test]
async fn unknown_attempt_is_resent_only_if_named() {
    let opened = open();
    let id = opened.unknown_attempt("r").await;
    for other in [None, Some(2), Some(7)] {
        let BeginResult::Known(record) = opened.begin("r", other).await else {
            panic!("the attempt must not begin")
        };
        assert_eq!(record.state, RequestState::Unknown(unknown_outcome(UnknownReason::TimedOut)));
        assert_eq!((record.attempt, record.message.map(|message| message.id)), (1, Some(id)));
    }
    opened.notified();
    assert_eq!(opened.attempt("r", Some(1)).await, (2, id), "all attempts are one message");
    let message = opened.message(id).await.expect("kept");
    assert_eq!((message.state, message.attempt), (MessageState::Unknown, 2));
    assert_eq!(
        message.problem,
        Some(MessageProblem::OutcomeUnknown(unknown_outcome(UnknownReason::TimedOut)))
    );
    assert_eq!(opened.notified(), [[message]]);
    let again = opened.begin("r", Some(1)).await;
    assert!(
        matches!(again, BeginResult::Known(RequestRecord { attempt: 2, .. })),
        "a blind retry of the resend joins it"
    );
}

#[tokio::test]
async fn no_attempt_begins_while_in_flight_or_after_accepted() {
    let opened = open();
    let (_, id) = opened.attempt("r", None).await;
    for resend_after in [None, Some(1), Some(2)] {
        let BeginResult::Known(record) = opened.begin("r", resend_after).await else { panic!("in flight") };
        assert!(matches!(record.state, RequestState::InFlight { .. }), "{record:?}");
    }
    let mut other = opened.begin_op("r", Some(1), Some(draft()));
    if let Op::BeginAttempt(begin) = &mut other {
        begin.replica_id = ReplicaId::generate();
    }
    assert!(
        matches!(opened.commit_one(other).await, OpResult::Begun(begun) if matches!(*begun, BeginResult::Known(_)))
    );

    opened.finish_request("r", 1, accepted(&["P"])).await;
    for resend_after in [None, Some(1)] {
        let BeginResult::Known(record) = opened.begin("r", resend_after).await else { panic!("accepted") };
        assert_eq!(record.state, RequestState::Accepted { reply: None });
        assert_eq!(record.message, opened.message(id).await);
    }
}

#[tokio::test]
async fn id_of_another_request_is_reused_in_every_state() {
    let opened = open();
    opened.attempt("flying", None).await;
    opened.unknown_attempt("unknown").await;
    opened.attempt("accepted", None).await;
    opened.finish_request("accepted", 1, accepted(&[])).await;
    for id in ["flying", "unknown", "accepted"] {
        for resend_after in [None, Some(1)] {
            let mut op = opened.begin_op(id, resend_after, Some(draft()));
            if let Op::BeginAttempt(begin) = &mut op {
                begin.request.fingerprint = Fingerprint([8; 32]);
            }
            assert_eq!(opened.commit_one(op).await, OpResult::Begun(Box::new(BeginResult::Reused)), "{id}");
        }
    }
    assert_eq!(opened.request_state("unknown").await, Some(("unknown", 1)));
}

#[tokio::test]
async fn request_ids_are_scoped_to_an_account() {
    let opened = open();
    opened.attempt("r", None).await;
    let mut op = opened.begin_op("r", None, Some(Message { account: account("globex"), ..draft() }));
    if let Op::BeginAttempt(begin) = &mut op {
        begin.account = account("globex");
    }
    assert!(
        matches!(opened.commit_one(op).await, OpResult::Begun(begun) if matches!(*begun, BeginResult::Attempt { .. }))
    );
}

#[tokio::test]
async fn first_attempt_that_was_not_executed_leaves_nothing() {
    let opened = open();
    let (_, id) = opened.attempt("r", None).await;
    assert_eq!(
        opened.finish_request("r", 1, AttemptOutcome::NotDone).await,
        FinishResult { record: None, message: None }
    );
    assert_eq!((opened.record("r").await, opened.message(id).await), (None, None));
    let (number, next) = opened.attempt("r", None).await;
    assert_eq!(number, 1, "the id is free again");
    assert_ne!(next, id);
}

#[tokio::test]
async fn resend_that_was_not_executed_reverts_to_previous_attempt() {
    let opened = open();
    let id = opened.unknown_attempt("r").await;
    opened.attempt("r", Some(1)).await;
    opened
        .finish_request("r", 2, AttemptOutcome::Unknown(unknown_outcome(UnknownReason::ConnectionLost)))
        .await;
    assert_eq!(opened.request_state("r").await, Some(("unknown", 2)));
    opened.attempt("r", Some(2)).await;
    let ended = opened.finish_request("r", 3, AttemptOutcome::NotDone).await;
    let record = ended.record.expect("kept");
    let before = RequestState::Unknown(unknown_outcome(UnknownReason::ConnectionLost));
    assert_eq!((record.attempt, record.state), (2, before));
    let message = opened.message(id).await.expect("kept");
    assert_eq!((message.attempt, message.state), (2, MessageState::Unknown));
    assert_eq!(
        message.problem,
        Some(MessageProblem::OutcomeUnknown(unknown_outcome(UnknownReason::ConnectionLost)))
    );
    assert_eq!(opened.attempt("r", Some(2)).await, (3, id), "and can be resent");
}

#[tokio::test]
async fn accepted_resend_resolves_the_unknown_outcome() {
    let opened = open();
    let id = opened.unknown_attempt("r").await;
    opened.attempt("r", Some(1)).await;
    let ended = opened.finish_request("r", 2, accepted(&["P"])).await;
    assert_eq!(ended.record.expect("kept").state, RequestState::Accepted { reply: None });
    let message = opened.message(id).await.expect("kept");
    assert_eq!((message.state, message.attempt, message.problem), (MessageState::Accepted, 2, None));
    assert_eq!(opened.times_accepted(id).await, 1);
}

#[tokio::test]
async fn reply_of_a_non_send_is_stored_byte_for_byte() {
    let opened = open();
    opened.commit_one(opened.begin_op("w", None, None)).await;
    let reply = Some(Bytes::from_static(b"\x00reply\xff"));
    let outcome = AttemptOutcome::Accepted {
        reply: reply.clone(),
        provider_ids: Vec::new(),
        provider_state: None,
        recipient_wa_id: None,
    };
    opened.finish_request("w", 1, outcome).await;
    let opened = opened.reopen();
    let record = opened.record("w").await.expect("kept");
    assert_eq!((record.state, record.message), (RequestState::Accepted { reply }, None));
    assert!(opened.events().await.is_empty(), "no message, no event");
}

#[tokio::test]
async fn finish_requires_same_number_replica_and_message() {
    let opened = open();
    let (_, id) = opened.attempt("r", None).await;
    let stranger = |mut op: Op, change: fn(&mut FinishAttempt)| {
        if let Op::FinishAttempt(end) = &mut op {
            change(end);
        }
        op
    };
    let ours = || opened.finish_op(Some("r"), 1, None, AttemptOutcome::NotDone);
    for op in [
        stranger(ours(), |end| end.attempt = 2),
        stranger(ours(), |end| end.replica_id = ReplicaId::generate()),
        stranger(ours(), |end| end.message = Some(draft())),
    ] {
        let ended = opened.finish(op).await;
        assert!(matches!(ended.record.expect("kept").state, RequestState::InFlight { .. }));
    }
    assert_eq!(opened.state(id).await, Some(MessageState::Pending));
}

#[tokio::test]
async fn finishing_an_attempt_twice_changes_nothing() {
    for outcome in [accepted(&["P", "Q", "P"]), unknown(), AttemptOutcome::NotDone] {
        let opened = open();
        let (_, id) = opened.attempt("r", None).await;
        let first = opened.finish_request("r", 1, outcome.clone()).await;
        let events = opened.events().await;
        opened.notified();
        assert_eq!(opened.finish_request("r", 1, outcome.clone()).await, first);
        assert_eq!(opened.message(id).await, first.message);
        assert_eq!(opened.events().await, events);
        assert_eq!(opened.notified(), Vec::<Vec<Message>>::new(), "no news");
    }
    let opened = open();
    let sent = draft();
    for outcome in [accepted(&["P"]), unknown()] {
        let first = opened.sent(&sent, outcome.clone()).await;
        assert_eq!(opened.sent(&sent, outcome).await, first);
    }
    assert_eq!(opened.times_accepted(sent.id).await, 1);
}

#[tokio::test]
async fn resend_reverted_twice_is_reverted_once() {
    let opened = open();
    opened.unknown_attempt("r").await;
    opened.attempt("r", Some(1)).await;
    let first = opened.finish_request("r", 2, AttemptOutcome::NotDone).await;
    assert_eq!(opened.finish_request("r", 2, AttemptOutcome::NotDone).await, first);
    assert_eq!(opened.request_state("r").await, Some(("unknown", 1)));
}

#[tokio::test]
async fn message_begun_and_reverted_in_one_commit_is_not_published() {
    let opened = open();
    let ops = vec![
        opened.begin_op("r", None, Some(draft())),
        opened.finish_op(Some("r"), 1, None, AttemptOutcome::NotDone),
    ];
    opened.store.commit(ops).await.expect("written");
    assert_eq!(opened.notified(), Vec::<Vec<Message>>::new());
}

#[tokio::test]
async fn message_changed_twice_in_a_commit_is_published_once() {
    let opened = open();
    let sent = draft();
    let ops = vec![
        opened.finish_op(None, 1, Some(sent.clone()), accepted(&["P"])),
        status("acme", "P", Some(MessageState::Sent), None),
        status("acme", "P", Some(MessageState::Delivered), None),
    ];
    opened.store.commit(ops).await.expect("written");
    let notified = opened.notified();
    let state = |message: &Message| (message.id, message.state);
    assert_eq!(
        notified.iter().flatten().map(state).collect::<Vec<_>>(),
        [(sent.id, MessageState::Delivered)]
    );
}

#[tokio::test]
async fn message_is_found_by_each_key_in_its_account_only() {
    let opened = open();
    let (_, old) = opened.attempt("r", None).await;
    opened.finish_request("r", 1, accepted(&["P", "Q"])).await;
    let keys = |id| {
        [
            MessageKey::Id(id),
            MessageKey::Provider("P".to_owned()),
            MessageKey::Provider("Q".to_owned()),
            MessageKey::Request(request("r")),
        ]
    };
    let message = opened.message(old).await;
    assert_eq!(message.as_ref().map(|message| message.provider_ids.join(" ")), Some("P Q".to_owned()));
    for key in keys(old) {
        assert_eq!(opened.store.message(&account("acme"), &key).await.expect("readable"), message, "{key:?}");
        assert_eq!(opened.store.message(&account("globex"), &key).await.expect("readable"), None, "{key:?}");
    }
    // Once the request is deleted its id can be reused, and then names the newest message.
    let soon = UnixMillis(UnixMillis::now().0 + 1_000);
    opened
        .commit_one(Op::Expire { now: UnixMillis(0), requests: soon, messages: UnixMillis(0), max_rows: 10 })
        .await;
    let newer = draft();
    let newer = Message { create_time: UnixMillis(newer.create_time.0 + 1_000), ..newer };
    opened.commit_one(opened.begin_op("r", None, Some(newer.clone()))).await;
    let found = opened.store.message(&account("acme"), &MessageKey::Request(request("r"))).await;
    assert_eq!(found.expect("readable").map(|message| message.id), Some(newer.id));
}

#[tokio::test]
async fn message_is_read_back_as_written() {
    let opened = open();
    let message = Message {
        provider: Provider::CONNECTBY,
        to: "bsuid:US.778".parse().expect("an address"),
        channel: Channel::Sms,
        callback_data: None,
        ..draft()
    };
    let outcome = AttemptOutcome::Accepted {
        reply: None,
        provider_ids: vec!["wamid.\"1\"".to_owned()],
        provider_state: Some("held_for_quality_assessment".to_owned()),
        recipient_wa_id: None,
    };
    let ended = opened.sent(&message, outcome).await.message.expect("kept");
    assert_eq!(ended.provider_state.as_deref(), Some("held_for_quality_assessment"));
    let opened = opened.reopen();
    assert_eq!(opened.message(message.id).await, Some(ended));
}
