//! Converts `domain` into the contract's messages. `parse` has the other direction.

pub(in crate::api) mod template;

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;

use crate::api::{error::status, response::event_payload};
use crate::domain::event::{self, Payload, ReportedFault};
use crate::domain::message::{ContentKind, Message, MessageProblem};
use crate::domain::{Channel, Event, EventId, MessageState, Provider, UnixMillis};
use crate::pb::v1;
use crate::provider::{Account, Capabilities, Limits};
use crate::store::{Stamp, StatusEffect};

/// Encodes an event as a `switchboard.v1.Event` without its raw body.
pub fn encode_event(event: &Event, stamp: &Stamp) -> Bytes {
    let payload = match &event.payload {
        Payload::MessageReceived(message) => {
            v1::event::Payload::MessageReceived(event_payload::received(message))
        }
        Payload::MessageAccepted(accepted) => v1::event::Payload::MessageAccepted(v1::MessageAccepted {
            message: Some(message(Message::clone(accepted))),
        }),
        Payload::MessageStatus(status) => {
            v1::event::Payload::MessageStatus(message_status(status, stamp.status_effect))
        }
        Payload::MessageEcho(message) => v1::event::Payload::MessageEcho(event_payload::echo(message)),
        Payload::ReportRun(report) => v1::event::Payload::ReportRun(event_payload::report_run(report)),
        Payload::Unknown { topic, problem } => v1::event::Payload::Unknown(v1::UnknownEvent {
            provider_topic: topic.clone(),
            problem: problem.clone(),
        }),
    };
    let event = v1::Event {
        event_id: event.id.as_str().to_owned(),
        cursor: stamp.cursor.to_string(),
        account: event.account.to_string(),
        provider: provider(event.provider).into(),
        provider_name: event.provider.as_str().to_owned(),
        r#type: event.event_type().as_str().to_owned(),
        receive_time: Some(timestamp(stamp.receive_time)),
        occur_time: event.occur_time.map(timestamp),
        callback_data: event.callback_data.clone().unwrap_or_default(),
        possible_duplicate_of: stamp
            .possible_duplicate_of
            .as_ref()
            .map(EventId::as_str)
            .unwrap_or_default()
            .to_owned(),
        raw_body: Bytes::new(),
        payload: Some(payload),
    };
    event.encode_to_vec().into()
}

fn message_status(status: &event::MessageStatus, life: Option<StatusEffect>) -> v1::MessageStatus {
    let message_id = life.and_then(|life| life.message_id);
    let state_after = life.and_then(|life| life.state_after);
    v1::MessageStatus {
        provider_message_id: status.provider_message_id.clone(),
        status: status.status.map_or(v1::MessageState::Unspecified, message_state).into(),
        provider_status: status.provider_status.clone(),
        failure: status.fault.as_ref().map(reported_fault),
        sender: Some(party(&status.sender)),
        recipient: Some(party(&status.recipient)),
        campaign_name: status.campaign_name.clone(),
        state_after: state_after.map_or(v1::MessageState::Unspecified, message_state).into(),
        stale: life.is_some_and(|life| life.stale),
        message_id: message_id.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

fn reported_fault(reported: &ReportedFault) -> v1::Failure {
    v1::Failure { raw_json: reported.raw_json.clone(), ..status::reported_failure(&reported.fault) }
}

pub(in crate::api) fn party(party: &event::Party) -> v1::Party {
    v1::Party {
        address: party.address.clone(),
        phone_number: party.phone_number.clone(),
        user_id: party.user_id.clone(),
        parent_user_id: party.parent_user_id.clone(),
        username: party.username.clone(),
        name: party.name.clone(),
        channel: party.channel.map_or(v1::Channel::Unspecified, channel).into(),
        provider_channel: party.provider_channel.clone(),
    }
}

pub(in crate::api) fn message(message: Message) -> v1::Message {
    let terminal = message.is_terminal(UnixMillis::now());
    v1::Message {
        message_id: message.id.to_string(),
        provider_message_ids: message.provider_ids,
        account: message.account.to_string(),
        provider: provider(message.provider).into(),
        provider_name: message.provider.as_str().to_owned(),
        terminal,
        sender: message.sender.map(|sender| sender.to_string()).unwrap_or_default(),
        recipient_wa_id: message.recipient_wa_id.unwrap_or_default(),
        content_kind: content_kind(message.content_kind).into(),
        template_name: message.template_name.unwrap_or_default(),
        campaign_name: message.campaign_name.unwrap_or_default(),
        to: message.to.to_string(),
        channel: channel(message.channel).into(),
        state: message_state(message.state).into(),
        provider_state: message.provider_state.unwrap_or_default(),
        failure: message.problem.as_ref().map(|problem| match problem {
            MessageProblem::Failed(reported) => reported_fault(reported),
            MessageProblem::OutcomeUnknown(outcome) => {
                status::outcome_unknown(message.id, message.attempt, outcome)
            }
        }),
        request_id: message.request_id.map(|id| id.to_string()).unwrap_or_default(),
        attempt: message.attempt,
        callback_data: message.callback_data.map(|data| data.as_str().to_owned()).unwrap_or_default(),
        create_time: Some(timestamp(message.create_time)),
        update_time: Some(timestamp(message.update_time)),
    }
}

pub(in crate::api) fn account(account: &Account) -> v1::Account {
    let Capabilities {
        contents,
        channels,
        reports_statuses,
        receives_messages,
        chooses_sender,
        reaches_user_ids,
        partial_contact_updates,
        accepts_campaign_name,
        accepts_recipient_name,
        accepts_template_components,
        rpcs,
    } = account.capabilities();
    let Limits { text_characters, upload, calls_per_second } = account.limits();
    v1::Account {
        account: account.id().to_string(),
        provider: provider(account.provider()).into(),
        provider_name: account.provider().as_str().to_owned(),
        capabilities: Some(v1::Capabilities {
            rpcs: rpcs.iter().map(|&rpc| rpc.to_owned()).collect(),
            contents: contents.iter().map(|&content| content.to_owned()).collect(),
            channels: channels.iter().map(|&supported| channel(supported).into()).collect(),
            reports_statuses,
            receives_messages,
            chooses_sender,
            reaches_user_ids,
            partial_contact_updates,
            accepts_campaign_name,
            accepts_recipient_name,
            accepts_template_components,
        }),
        limits: Some(v1::Limits {
            text_characters,
            image_bytes: upload.map(|limits| limits.image_bytes),
            video_bytes: upload.map(|limits| limits.video_bytes),
            document_bytes: upload.map(|limits| limits.document_bytes),
            calls_per_second: Some(calls_per_second),
        }),
    }
}

/// The provider in the contract. Unspecified if the contract does not list it; its name is in the raw twin.
pub(in crate::api) fn provider(provider: Provider) -> v1::Provider {
    provider_named(provider.as_str())
}

/// The provider of this name. Unspecified if there is none.
pub(in crate::api) fn provider_named(name: &str) -> v1::Provider {
    // `PROVIDER_CONNECTBY` is the provider `connectby`.
    v1::Provider::from_str_name(&format!("PROVIDER_{}", name.to_ascii_uppercase())).unwrap_or_default()
}

pub(in crate::api) fn channel(channel: Channel) -> v1::Channel {
    match channel {
        Channel::WhatsApp => v1::Channel::Whatsapp,
        Channel::Sms => v1::Channel::Sms,
    }
}

fn content_kind(kind: ContentKind) -> v1::ContentKind {
    match kind {
        ContentKind::Text => v1::ContentKind::Text,
        ContentKind::Template => v1::ContentKind::Template,
        ContentKind::Media => v1::ContentKind::Media,
        ContentKind::Location => v1::ContentKind::Location,
    }
}

fn message_state(state: MessageState) -> v1::MessageState {
    match state {
        MessageState::Pending => v1::MessageState::Pending,
        MessageState::Unknown => v1::MessageState::Unknown,
        MessageState::Accepted => v1::MessageState::Accepted,
        MessageState::Sent => v1::MessageState::Sent,
        MessageState::Failed => v1::MessageState::Failed,
        MessageState::Delivered => v1::MessageState::Delivered,
        MessageState::Read => v1::MessageState::Read,
    }
}

pub(in crate::api) fn timestamp(time: UnixMillis) -> prost_types::Timestamp {
    let nanos = i32::try_from(time.0.rem_euclid(1_000) * 1_000_000).expect("less than a second");
    prost_types::Timestamp { seconds: time.0.div_euclid(1_000), nanos }
}

pub(in crate::api) fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).expect("less than a second"),
    }
}
