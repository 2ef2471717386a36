//! The program's side of a case.

use std::future::pending;

use serde::Deserialize;
use switchboard_client::v1::{Event, SubscribeGap};
use switchboard_client::{Error, EventStream, Reason, StreamItem, parse_reason};
use tokio::sync::Notify;

use super::ScriptedGap;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProgramStep {
    event: Option<String>,
    gap: Option<ScriptedGap>,
    pub(super) r#do: Vec<Action>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action {
    Finish,
    Leave,
    Fail,
    Cancel,
    Acknowledge,
    AcknowledgeStale,
    AcknowledgePrevious,
    AcknowledgeForeign,
}

/// How the program's loop ended.
#[derive(Debug)]
pub(super) enum LoopEnd {
    Done,
    Program,
    Failed(Error),
}

/// The program's loop. It never returns after `cancel`.
pub(super) async fn program(
    events: &mut EventStream,
    steps: Vec<ProgramStep>,
    cancelled: &Notify,
) -> LoopEnd {
    let mut steps = steps.into_iter();
    let mut previous: Option<Event> = None;
    loop {
        let item = match events.next().await {
            Ok(Some(item)) => item,
            Ok(None) => {
                assert_eq!(steps.as_slice().len(), 0, "missing: {steps:?}");
                return LoopEnd::Done;
            }
            Err(error) => {
                assert_eq!(steps.as_slice().len(), 0, "missing: {steps:?}");
                return LoopEnd::Failed(error);
            }
        };
        let step = steps.next().unwrap_or_else(|| panic!("unexpected item {item:?}"));
        let event = match item {
            StreamItem::Event(event) => {
                assert_eq!((Some(&event.cursor), None), (step.event.as_ref(), step.gap));
                event
            }
            StreamItem::Gap(gap) => {
                let SubscribeGap { after_cursor, resume_cursor, missed, .. } = gap;
                let missed = missed.expect("is set");
                let gap = ScriptedGap { after_cursor, resume_cursor, missed };
                assert_eq!((Some(gap), None), (step.gap, step.event));
                Event::default()
            }
            other => panic!("unexpected item {other:?}"),
        };
        for action in step.r#do {
            match action {
                Action::Finish => {}
                Action::Leave | Action::Fail => {
                    assert_eq!(steps.as_slice().len(), 0, "missing: {steps:?}");
                    return LoopEnd::Program;
                }
                Action::Cancel => {
                    assert_eq!(steps.as_slice().len(), 0, "missing: {steps:?}");
                    cancelled.notify_one();
                    pending::<()>().await;
                }
                Action::Acknowledge => events.acknowledge(&event).await.expect("is confirmed"),
                Action::AcknowledgeStale => {
                    let error = events.acknowledge(&event).await.expect_err("is stale");
                    assert_eq!(parse_reason(error.reason()), Reason::SubscriptionGenerationStale);
                }
                Action::AcknowledgePrevious => {
                    events.acknowledge(previous.as_ref()).await.expect("is confirmed");
                }
                Action::AcknowledgeForeign => {
                    let foreign = Event { cursor: "foreign".to_owned(), ..Event::default() };
                    // The call may fail.
                    drop(events.acknowledge(&foreign).await);
                }
            }
        }
        previous = Some(event);
    }
}
