use bytes::Bytes;
use proptest::prelude::*;

mod kinds;

use super::*;
use crate::domain::event::ReportedMessage;
use crate::provider::signature::{Scheme, Unverified};

/// Signs and parses a body. Only a verified webhook can be parsed.
fn incoming(body: &[u8]) -> Incoming {
    use base64::Engine as _;
    use hmac::{KeyInit as _, Mac as _};
    let scheme = Scheme::hmac_sha256_base64("x", &["secret".into()]).expect("a secret");
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(b"secret").expect("a key");
    mac.update(body);
    let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    let verified = Unverified::new(Bytes::copy_from_slice(body), Some(&signature))
        .verify(&scheme)
        .expect("a valid signature");
    read(
        &"acme".parse().expect("an id"),
        &["+15550100002".parse().expect("a number")],
        &Secrets::new(["secret".into()]),
        &verified,
    )
}

fn message(incoming: &Incoming) -> &ReportedMessage {
    match &incoming.event.payload {
        Payload::MessageReceived(message) | Payload::MessageEcho(message) => message,
        other => panic!("no message: {other:?}"),
    }
}

const CUSTOMER: &str = r#""sender":{"id":"+15550100001","channelType":"whatsapp","name":"Ada"},"recipient":{"id":"+15550100002","channelType":"whatsapp","name":null}"#;

#[test]
fn text_is_parsed_with_and_without_a_topic() {
    for topic in [r#""topic":"messages","#, ""] {
        let read = incoming(
            format!(r#"{{{topic}"timestamp":"1700000000",{CUSTOMER},"message":{{"id":"M1","text":"hi","attachments":[],"location":null}},"metadata":null}}"#)
                .as_bytes(),
        );
        assert_eq!(read.event.event_type().as_str(), "message.received");
        assert_eq!(read.event.occur_time, Some(UnixMillis(1_700_000_000_000)));
        assert_eq!(read.identity, Some(Identity::message("M1")));
        let message = message(&read);
        assert_eq!(message.content, ReportedContent::Text("hi".to_owned()));
        assert_eq!(message.sender.address, "+15550100001");
        assert_eq!((message.sender.name.as_str(), message.recipient.name.as_str()), ("Ada", ""));
        assert_eq!(message.sender.channel, Some(Channel::WhatsApp));
    }
}

#[test]
fn earliest_sample_is_parsed_and_has_no_identity() {
    let read = incoming(
        br#"{ "timestamp": "1639083206", "sender": { "id": "+16315555500", "channelType": "whatsapp" }, "recipient": { "id": "123456123", "channelType": "whatsapp" }, "message": { "text": "TEST 11" } }"#,
    );
    assert_eq!(read.identity, None);
    assert_eq!(message(&read).content, ReportedContent::Text("TEST 11".to_owned()));
    assert_eq!(message(&read).recipient.address, "123456123");
    assert_eq!(message(&read).recipient.phone_number, "");
}

#[test]
fn customer_without_a_phone_number_has_a_user_id_address() {
    let read = incoming(
        br#"{"sender":{"id":"US.ENT.778","userId":"US.ENT.778","phoneNumber":""},"message":{"id":"M2","text":"hi"}}"#,
    );
    assert_eq!(message(&read).sender.address, "bsuid:US.ENT.778");
    assert_eq!(
        (message(&read).sender.user_id.as_str(), message(&read).sender.phone_number.as_str()),
        ("US.ENT.778", "")
    );
}

#[test]
fn phone_number_without_plus_and_unusual_user_id_are_kept() {
    let sender = |sender: &str| {
        let read =
            incoming(format!(r#"{{"sender":{sender},"message":{{"id":"M2","text":"hi"}}}}"#).as_bytes());
        let Party { address, phone_number, user_id, .. } = message(&read).sender.clone();
        (address, phone_number, user_id)
    };
    let expected =
        |address: &str, phone: &str, user: &str| (address.to_owned(), phone.to_owned(), user.to_owned());
    assert_eq!(
        sender(r#"{"id":"US.123","phoneNumber":"15550107777"}"#),
        expected("+15550107777", "+15550107777", "US.123")
    );
    assert_eq!(
        sender(r#"{"id":"15550107778","userId":"US.9_x"}"#),
        expected("15550107778", "", "US.9_x"),
        "a bare number can be an id of another kind"
    );
    assert_eq!(sender(r#"{"id":"x","phoneNumber":"unlisted"}"#), expected("x", "unlisted", ""));
}

#[test]
fn own_message_is_an_echo_by_flag_or_by_sender() {
    let by_flag =
        incoming(format!(r#"{{{CUSTOMER},"message":{{"id":"M3","text":"x","isEcho":true}}}}"#).as_bytes());
    let by_sender = incoming(br#"{"sender":{"id":"+15550100002"},"message":{"id":"M3","text":"x"}}"#);
    for read in [by_flag, by_sender] {
        assert_eq!(read.event.event_type().as_str(), "message.echo");
        assert_eq!(read.identity, Some(Identity::echo("M3")));
    }
}

#[test]
fn status_is_parsed_with_error_campaign_and_callback_data() {
    let read = incoming(
        br#"{"topic":"delivery_status","timestamp":"1700000010","sender":{"id":"+15550100002","channelType":"whatsapp","name":null},"recipient":{"id":"+15550100001","channelType":"whatsapp","name":null},"metadata":null,"statusUpdate":{"id":"S1","status":"delivery_failed","error":{"message":"Message template inputs invalid","userMessage":"a secret","type":"ERROR_TYPE_INVALID_REQUEST","code":"ERROR_CODE_MESSAGE_TEMPLATE_INPUT_INVALID","cntTraceId":"10000000000000000002","details":{}},"metadata":{"campaignName":"spring"}},"callbackData":{"order": "77", "n": 12345678901234567890}}"#,
    );
    assert_eq!(read.identity, Some(Identity::status("S1", "delivery_failed")));
    assert_eq!(read.event.callback_data.as_deref(), Some(r#"{"order": "77", "n": 12345678901234567890}"#));
    let Payload::MessageStatus(status) = &read.event.payload else { panic!("{read:?}") };
    assert_eq!((status.provider_message_id.as_str(), status.status), ("S1", Some(MessageState::Failed)));
    assert_eq!(status.campaign_name, "spring");
    let fault = status.fault.as_ref().expect("an error");
    assert_eq!(fault.fault.refusal, RefusalReason::TemplateParametersRejected);
    assert_eq!(fault.fault.trace_id.as_deref(), Some("10000000000000000002"));
    let text = fault.fault.text.as_ref().expect("a text");
    assert_eq!(text.message, "Message template inputs invalid; a ***");
    assert!(
        fault.raw_json.starts_with(r#"{"message":"Message template inputs invalid","userMessage":"a ***","#)
    );
}

#[test]
fn known_statuses_are_mapped_and_an_unknown_one_is_kept() {
    for (word, state) in [
        ("sent", Some(MessageState::Sent)),
        ("delivered", Some(MessageState::Delivered)),
        ("read", Some(MessageState::Read)),
        ("delivery_failure", Some(MessageState::Failed)),
        ("pondered", None),
    ] {
        let read = incoming(
            format!(
                r#"{{"topic":"delivery_status","statusUpdate":{{"id":"S","status":"{word}","error":null}}}}"#
            )
            .as_bytes(),
        );
        let Payload::MessageStatus(status) = &read.event.payload else { panic!("{read:?}") };
        assert_eq!((status.status, status.provider_status.as_str()), (state, word));
        assert!(status.fault.is_none());
    }
}

#[test]
fn legacy_campaign_name_is_found_beside_the_status() {
    let read = incoming(br#"{"metadata":{"campaign_name":"old"},"statusUpdate":{"id":"S","status":"read"}}"#);
    let Payload::MessageStatus(status) = &read.event.payload else { panic!("{read:?}") };
    assert_eq!(status.campaign_name, "old");
}

#[test]
fn body_that_cannot_be_parsed_becomes_an_unknown_event() {
    for body in [
        &b""[..],
        b"hello",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        br#"{"topic":"report","report":{"id":"r"}}"#,
        br#"{"topic":"report","message":{"id":"M","text":"x"}}"#,
        br#"{"topic":"messages","statusUpdate":{"id":"S","status":"read"}}"#,
        br#"{"topic":"brand_new","message":{"text":"x"}}"#,
        br#"{"topic":"messages"}"#,
        br#"{"topic":"messages","message":"x","buttonResponse":[]}"#,
        br#"{"sender":{"id":"+15550100001"},"sticker":{"id":"1"}}"#,
        br#"{"topic":"delivery_status","statusUpdate":{"status":"read"}}"#,
        br#"{"topic":"delivery_status","statusUpdate":[]}"#,
    ] {
        let read = incoming(body);
        assert_eq!(read.event.event_type().as_str(), "unknown", "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn message_that_cannot_be_parsed_is_unsupported_content() {
    for body in [
        &br#"{"message":{"id":"M","text":""}}"#[..],
        br#"{"message":{"id":"M","text":"","isButtonResponse":true}}"#,
        br#"{"message":{"id":"M","attachments":[{"type":"image"}]}}"#,
        br#"{"message":{"id":"M","text":"x","attachments":[{"type":"image","url":"https://x"},{"type":"image"}]}}"#,
        br#"{"message":{"id":"M","text":"x","attachments":["https://x"]}}"#,
        br#"{"message":{"id":"M","location":{"latitude":12.97}}}"#,
        br#"{"message":{"id":"M","location":{"latitude":91,"longitude":0}}}"#,
        br#"{"message":{"id":"M","location":{"latitude":"NaN","longitude":0}}}"#,
        br#"{"message":{"id":"M","location":{"latitude":1,"longitude":1},"attachments":[{"url":"https://x"}]}}"#,
        br#"{"message":{"id":"M","referral":{"sourceId":"9"}}}"#,
        br#"{"message":{"id":"M","text":"Orders","listReply":{"id":"r1"}}}"#,
        br#"{"message":{"id":"M","reaction":{"emoji":"x"}}}"#,
        br#"{"message":{"id":"M","text":"","contacts":[{"name":{}}]}}"#,
        br#"{"message":{"id":"M"},"sticker":{"id":"1"}}"#,
        br#"{"buttonResponse":{"id":"B"}}"#,
        br#"{"topic":"messages","sender":{"id":"+15550100001"}}"#,
    ] {
        let read = incoming(body);
        let shown = String::from_utf8_lossy(body);
        assert_eq!(read.event.event_type().as_str(), "message.received", "{shown}");
        assert!(matches!(message(&read).content, ReportedContent::Unsupported { .. }), "{shown}");
        assert_eq!(read.identity, None, "{shown}");
    }
}

#[test]
fn only_parsed_messages_and_runs_with_an_id_have_an_identity() {
    for (body, identity) in [
        (&br#"{"message":{"id":"M","reaction":{"emoji":"x"}}}"#[..], None),
        (br#"{"buttonResponse":{"id":"B"}}"#, None),
        (br#"{"buttonResponse":{"id":"B","text":"Yes"}}"#, Some(Identity::message("B"))),
        (br#"{"message":{"id":"M","isEcho":true,"order":{"x":1}}}"#, None),
        (br#"{"message":{"id":"M","isEcho":true,"text":"x"}}"#, Some(Identity::echo("M"))),
        (
            br#"{"report":{"id":"r","last_run":{"id":"R","status":"processing"}}}"#,
            Some(Identity::report("R", "processing")),
        ),
        (br#"{"report":{"id":"r","last_run":{"status":"completed"}}}"#, None),
    ] {
        assert_eq!(incoming(body).identity, identity, "{}", String::from_utf8_lossy(body));
    }
}

const TAG: &str = r#""callbackData":{"sb":"msg_01J0000000000000000000MARK/2","d":{"order": 77}}"#;

#[test]
fn returned_tag_proves_the_attempt_and_its_message_id() {
    let status = r#""topic":"delivery_status","statusUpdate":{"id":"S1","status":"sent"}"#;
    for (body, id) in [
        (status, Some("S1")),
        (r#""message":{"id":"M1","isEcho":true,"text":"x"}"#, Some("M1")),
        (r#""sender":{"id":"+15550100002"},"message":{"id":"M1","text":"x"}"#, Some("M1")),
        (r#""message":{"id":"M1","isEcho":true,"listMessage":{"x":1}}"#, Some("M1")),
        (r#""message":{"isEcho":true,"text":"x"}"#, None),
        // A message that quotes another one carries the tag of the quoted message, whether it is an echo or not.
        (r#""message":{"id":"M2","isEcho":true,"text":"x"},"context":{"replyToId":"S1"}"#, Some("S1")),
        (r#""message":{"id":"M2","text":"x"},"context":{"replyToId":"S1"}"#, Some("S1")),
        (r#""buttonResponse":{"id":"B","text":"Yes"},"context":{"replyToId":"S1"}"#, Some("S1")),
        (r#""buttonResponse":{"id":"B","text":"Yes"}"#, None),
        (r#""message":{"id":"M2","text":"x"}"#, None),
        (r#""message":{"id":"M2","reaction":{"emoji":"x"}}"#, None),
        (r#""message":{"id":"M2","reaction":{"emoji":"x"}},"context":{"replyToId":"S1"}"#, None),
        (r#""statusUpdate":{"status":"sent"}"#, None),
        (r#""topic":"brand_new""#, None),
    ] {
        let read = incoming(format!("{{{body},{TAG}}}").as_bytes());
        let proof = read.proof.expect(body);
        assert_eq!(proof.attempt.to_string(), "msg_01J0000000000000000000MARK/2");
        assert_eq!(proof.provider_message_id.as_deref(), id, "{body}");
        assert_eq!(read.event.callback_data.as_deref(), Some(r#"{"order": 77}"#), "{body}");
    }
}

#[test]
fn returned_tag_may_be_a_string_or_lack_client_data() {
    let sb = r#""sb":"msg_01J0000000000000000000MARK/1""#;
    for (tag, data) in [
        (format!("{{{sb}}}"), None),
        (format!(r#"{{{sb},"d":null}}"#), Some("null")),
        (format!(r#"{{"d":1E400,{sb},"extra":[]}}"#), Some("1E400")),
        (serde_json::to_string(&format!(r#"{{{sb},"d":"\u00e9"}}"#)).expect("JSON"), Some(r#""\u00e9""#)),
    ] {
        for key in ["callbackData", "callback_data"] {
            let body = format!(r#"{{"statusUpdate":{{"id":"S","status":"read"}},"{key}":{tag}}}"#);
            let read = incoming(body.as_bytes());
            assert_eq!(read.event.callback_data.as_deref(), data, "{tag}");
            assert_eq!(read.proof.map(|proof| proof.attempt.number), Some(1), "{tag}");
        }
    }
}

#[test]
fn callback_data_without_a_tag_is_kept_and_proves_nothing() {
    for data in [
        "7",
        "-1e999",
        r#""{\"sb\":7}""#,
        r#"[{"sb":"msg_01J0000000000000000000MARK/1"}]"#,
        r#"{"sb":"msg_01J0000000000000000000MARK/0","d":1}"#,
        r#"{"sb":"msg_01J0000000000000000000MARK/99999999999999999999","d":1}"#,
        r#"{"sb" : {"sb":"msg_01J0000000000000000000MARK/1"}}"#,
    ] {
        let body = format!(r#"{{"statusUpdate":{{"id":"S","status":"read"}},"callbackData":{data}}}"#);
        let read = incoming(body.as_bytes());
        assert_eq!(read.event.callback_data.as_deref(), Some(data));
        assert_eq!(read.proof, None, "{data}");
    }
    let none = incoming(br#"{"statusUpdate":{"id":"S","status":"read"},"callbackData":null}"#);
    assert_eq!((none.event.callback_data, none.proof), (None, None));
}

proptest! {
    #[test]
    fn any_body_parses_without_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = incoming(&body);
    }

    #[test]
    fn any_json_of_known_keys_parses_without_panic(body in r#"(\{|\}|\[|\]|,|:|"message"|"text"|"id"|"statusUpdate"|"status"|"topic"|"messages"|"report"|"last_run"|"result"|"url"|"completed"|"attachments"|"location"|"latitude"|"longitude"|"callbackData"|"sb"|"d"|"buttonResponse"|"referral"|"context"|"timestamp"|null|true|1|"1"|-9e9|"a"){0,32}"#) {
        let _ = incoming(body.as_bytes());
    }
}

#[test]
fn message_that_cannot_be_parsed_keeps_its_parties() {
    for body in [
        r#""message":{"id":"M1","reaction":{"emoji":"x"}}"#,
        r#""message":{"id":"M1"}"#,
        r#""topic":"messages","sticker":{"url":"x"}"#,
        r#""buttonResponse":{"id":"M1"}"#,
    ] {
        let read = incoming(format!("{{{CUSTOMER},{body}}}").as_bytes());
        assert_eq!(read.event.event_type().as_str(), "message.received", "{body}");
        assert_eq!(message(&read).sender.phone_number, "+15550100001", "{body}");
        assert_eq!(message(&read).recipient.phone_number, "+15550100002", "{body}");
    }
    let own = r#"{"topic":"messages","sender":{"id":"+15550100002"},"recipient":{"id":"+15550100001"}}"#;
    let read = incoming(own.as_bytes());
    assert_eq!(read.event.event_type().as_str(), "message.echo");
    assert_eq!(message(&read).recipient.phone_number, "+15550100001");
}

#[test]
fn party_has_every_id_in_every_spelling() {
    for ids in [
        r#""userId":"US.1","parentUserId":"US.ENT.9","username":"ada","channelType":"whatsapp""#,
        r#""user_id":"US.1","parent_user_id":"US.ENT.9","userName":"ada","channel_type":"whatsapp""#,
        r#""userId":"US.1","parentUserId":"US.ENT.9","profile":{"username":"ada"},"channelType":"whatsapp""#,
    ] {
        let body = format!(
            r#"{{"sender":{{"id":"+15550100001","phoneNumber":"+15550100001",{ids}}},"message":{{"text":"x"}}}}"#
        );
        let expected = Party {
            address: "+15550100001".to_owned(),
            phone_number: "+15550100001".to_owned(),
            user_id: "US.1".to_owned(),
            parent_user_id: "US.ENT.9".to_owned(),
            username: "ada".to_owned(),
            name: String::new(),
            channel: Some(Channel::WhatsApp),
            provider_channel: "whatsapp".to_owned(),
        };
        assert!(message(&incoming(body.as_bytes())).sender == expected, "{ids}");
    }
    for (word, channel) in [("SMS", Some(Channel::Sms)), ("rcs", None), ("", None)] {
        let body = format!(r#"{{"sender":{{"id":"x","channelType":"{word}"}},"message":{{"text":"x"}}}}"#);
        let read = incoming(body.as_bytes());
        let sender = &message(&read).sender;
        assert_eq!((sender.channel, sender.provider_channel.as_str()), (channel, word));
        assert_eq!((sender.address.as_str(), sender.user_id.as_str()), ("x", ""));
    }
}
