//! Power cuts under the real binary. Writes that no sync covered are lost; nothing that was acknowledged depends on them.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;

use switchboard::pb::v1::message_service_client::MessageServiceClient;
use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::{
    GetMessageRequest, MessageState, SendMessageRequest, SendMessageResponse, StartPosition,
    get_message_request::Key,
};
use switchboard::sandbox::{Fault, FaultRule, Operation};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::Status;
use tonic::transport::Channel;

use crate::support::binary::{ACCOUNT, Home, Server, post};
use crate::support::faults::{Call, Effect, Faults, On, Rule};
use crate::support::faulty_host::{FaultyHost, keyed_text};
use crate::support::gateway::{metadata, reason, received_now, text_of, within};

/// Many clients post webhooks while the power is cut: before and after the sync of a commit, between its page writes,
/// and during a checkpoint. Unsynced writes are lost, or partly on disk.
#[tokio::test(flavor = "multi_thread")]
async fn power_cuts_lose_no_webhook_answered_200() {
    let home = Home::new("http://127.0.0.1:1");
    let faults = Faults::new(&home);
    let client = reqwest::Client::new();
    let mut answered: BTreeSet<String> = BTreeSet::new();
    let cuts = [
        Rule::once(Call::Sync(On::Log), Effect::PowerCut(0)).after(20),
        Rule::once(Call::Sync(On::Log), Effect::PowerCutAfter(0)).after(20),
        Rule::once(Call::Write(On::Log), Effect::PowerCut(0)).after(333),
        Rule::once(Call::Write(On::Log), Effect::PowerCut(7)).after(444),
        Rule::once(Call::Write(On::Database), Effect::PowerCut(0)).after(100),
        Rule::once(Call::Write(On::Database), Effect::PowerCut(8)).after(500),
        Rule::once(Call::Sync(On::Log), Effect::PowerCut(9)).after(30),
    ];
    let rounds = cuts.len();
    for (round, cut) in cuts.into_iter().enumerate() {
        faults.set(&[]);
        let server = Server::start(faults.on(home.command()));
        faults.set(&[cut]);
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let mut posters = JoinSet::new();
        for poster in 0..8 {
            let (client, webhook, sender) = (client.clone(), server.webhook, sender.clone());
            posters.spawn(async move {
                let padding = "x".repeat(10_000);
                for n in 0.. {
                    let id = format!("{round}-{poster}-{n}");
                    match post(&client, webhook, received_now(&id, &format!("{id} {padding}"))).await {
                        Some(200) => sender.send(id).expect("the receiver is open"),
                        _ => return,
                    }
                }
            });
        }
        drop(sender);
        let before = answered.len();
        while let Some(id) = within(receiver.recv()).await {
            answered.insert(id);
        }
        while posters.join_next().await.is_some() {}
        assert!(answered.len() > before, "no load in round {round}");
        assert!(!server.wait_for_exit().await.0.success());
    }

    faults.set(&[]);
    let server = Server::start(faults.on(home.command()));
    assert_eq!(post(&client, server.webhook, received_now("end", "end")).await, Some(200));
    let mut events = server.subscribe(From::Position(StartPosition::Earliest.into())).await;
    let mut stored = BTreeSet::new();
    loop {
        let event = events.event().await;
        let id = text_of(&event).split(' ').next().expect("a word").to_owned();
        if id == "end" {
            break;
        }
        assert!(stored.insert(id), "an event is stored twice");
    }
    let missing: Vec<&String> = answered.difference(&stored).collect();
    assert!(missing.is_empty(), "answered 200 and lost: {missing:?}");
    assert_eq!(faults.trace().iter().filter(|seen| seen.call == "cut").count(), rounds);
    assert!(server.terminate(), "graceful shutdown");
}

async fn send(channel: Channel, request: SendMessageRequest) -> Result<SendMessageResponse, Status> {
    let mut messages = MessageServiceClient::new(channel);
    within(messages.send_message(request)).await.map(tonic::Response::into_inner)
}

async fn state(channel: Channel, id: &str) -> Result<MessageState, Status> {
    let find = GetMessageRequest { account: ACCOUNT.to_owned(), key: Some(Key::RequestId(id.to_owned())) };
    let found = within(MessageServiceClient::new(channel).get_message(find)).await?;
    Ok(found.into_inner().message.expect("present").state())
}

/// The points of a send at which the power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CutPoint {
    /// The attempt is written and not synced.
    AttemptWrite,
    /// The attempt is on disk, and the request is about to be sent.
    RequestSend,
    /// The provider has received the request.
    ProviderReply,
    /// The reply has arrived, the client may have it, and the outcome is not synced.
    OutcomeWrite,
}

#[tokio::test(flavor = "multi_thread")]
async fn power_cut_between_attempt_and_outcome_leaves_send_unknown() {
    let (host, sandbox) = FaultyHost::with_provider().await;
    for (n, cut_point) in
        [CutPoint::AttemptWrite, CutPoint::RequestSend, CutPoint::ProviderReply, CutPoint::OutcomeWrite]
            .into_iter()
            .enumerate()
    {
        let id = format!("r{n}");
        let (faults, provider) = (&host.faults, sandbox.connectly());
        faults.set(&[]);
        let server = host.start();
        assert_eq!(host.post(&server, &format!("kept {n}")).await, Some(200));
        let before = provider.arrivals(Operation::SendMessage);
        match cut_point {
            CutPoint::AttemptWrite => faults.set(&[Rule::once(Call::Sync(On::Log), Effect::PowerCut(0))]),
            CutPoint::RequestSend => faults.set(&[Rule::once(Call::Request, Effect::PowerCut(0))]),
            CutPoint::ProviderReply => {
                let slow = Fault::Latency(std::time::Duration::from_secs(60));
                provider.set_fault(FaultRule::once(slow).on(Operation::SendMessage)).await;
            }
            CutPoint::OutcomeWrite => {
                faults.set(&[Rule::once(Call::Sync(On::Log), Effect::PowerCut(0)).after(1)]);
            }
        }
        let cut = async {
            if cut_point == CutPoint::ProviderReply {
                within(async {
                    while provider.arrivals(Operation::SendMessage) == before {
                        tokio::task::yield_now().await;
                    }
                })
                .await;
                faults.cut_power(0);
            }
        };
        let (sent, ()) = tokio::join!(send(server.channel().await, keyed_text(&id)), cut);
        assert!(cut_point == CutPoint::OutcomeWrite || sent.is_err(), "{cut_point:?}: {sent:?}");
        assert!(!server.wait_for_exit().await.0.success());

        faults.set(&[]);
        let server = host.start();
        let arrived = provider.arrivals(Operation::SendMessage) - before;
        let (channel, again) = (server.channel().await, keyed_text(&id));
        if cut_point == CutPoint::AttemptWrite {
            assert_eq!(arrived, 0);
            assert_eq!(
                reason(&state(channel.clone(), &id).await.expect_err("no record")),
                "MESSAGE_NOT_FOUND"
            );
            assert!(!send(channel, again).await.expect("accepted").replayed);
        } else {
            assert_eq!(arrived, usize::from(cut_point != CutPoint::RequestSend), "{cut_point:?}");
            assert_eq!(
                state(channel.clone(), &id).await.expect("known"),
                MessageState::Unknown,
                "{cut_point:?}"
            );
            let unknown = send(channel, again).await.expect_err("outcome unknown");
            assert_eq!(reason(&unknown), "SEND_OUTCOME_UNKNOWN", "{cut_point:?}");
            assert_eq!(metadata(&unknown, "attempt"), "1");
            assert_eq!(provider.arrivals(Operation::SendMessage) - before, arrived, "{cut_point:?}");
        }
        assert_eq!(host.post(&server, &format!("kept {n}")).await, Some(200));
        assert!(server.terminate(), "graceful shutdown");
    }

    let server = host.start();
    let mut events = server.subscribe(From::Position(StartPosition::Earliest.into())).await;
    let mut kept = Vec::new();
    // One of the sends was accepted, which is an event too.
    for event in events.events(5).await {
        if event.r#type == "message.received" {
            kept.push(text_of(&event).to_owned());
        }
    }
    assert_eq!(kept, ["kept 0", "kept 1", "kept 2", "kept 3"]);
    assert!(server.terminate(), "graceful shutdown");
}
