//! A disk that lies, beneath the real binary: what was answered is kept, and nothing is told that is not.
#![cfg(target_os = "linux")]

use switchboard::pb::v1::StartPosition;
use switchboard::pb::v1::subscribe_request::Start as From;

use crate::binary::{Home, Server};
use crate::faults::{Call, Effect, Faults, On, Rule};
use crate::gateway::{received, text_of};
use crate::process::post;

#[tokio::test(flavor = "multi_thread")]
async fn every_200_comes_after_the_sync_of_all_that_was_written() {
    let home = Home::new("http://127.0.0.1:1");
    let faults = Faults::new(&home);
    let server = Server::start(faults.on(home.command()));
    let client = reqwest::Client::new();
    for id in ["M1", "M2", "M3"] {
        assert_eq!(post(&client, server.webhook, received(id, id)).await, Some(200));
    }
    let mut unsynced = 0;
    let mut answers = 0;
    for seen in faults.trace() {
        if seen.call == "write" && seen.file.ends_with("-wal") {
            unsynced += 1;
        } else if seen.is_sync_of("-wal") && seen.result == 0 {
            unsynced = 0;
        } else if seen.call == "answer" {
            assert_eq!((seen.file.as_str(), unsynced), ("200", 0));
            answers += 1;
        }
    }
    assert_eq!(answers, 3);
    assert!(server.terminate(), "stops in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_power_cut_everything_answered_200_is_there() {
    let home = Home::new("http://127.0.0.1:1");
    let faults = Faults::new(&home);
    let mut server = Server::start(faults.on(home.command()));
    let client = reqwest::Client::new();
    assert_eq!(post(&client, server.webhook, received("kept", "kept")).await, Some(200));
    faults.set(&[Rule::once(Call::Sync(On::Log), Effect::PowerCut(0))]);
    assert_eq!(post(&client, server.webhook, received("lost", "lost")).await, None);
    assert!(!server.child.wait().expect("gone").success());
    faults.set(&[]);
    let server = Server::start(faults.on(home.command()));
    assert_eq!(post(&client, server.webhook, received("next", "next")).await, Some(200));
    let mut events = server.subscribe(From::Position(StartPosition::Earliest.into())).await;
    assert_eq!(text_of(&events.event().await), "kept");
    assert_eq!(text_of(&events.event().await), "next");
    assert!(server.terminate(), "stops in order");
}
