//! Every kind of event, in each spelling and place that some page shows.

use super::*;
use crate::domain::event::{Attachment, Referral, ReportCompleted};
use crate::domain::{Location, MediaKind};

macro_rules! sample {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/connectly/", $name, ".json"))
    };
}

fn read(body: &str) -> Incoming {
    incoming(body.as_bytes())
}

fn type_of(body: &str) -> &'static str {
    read(body).event.event_type().as_str()
}

fn content(body: &str) -> ReportedContent {
    message(&read(body)).content.clone().expect("there is a content")
}

fn file(kind: Option<MediaKind>, word: &str, url: &str) -> Attachment {
    Attachment {
        kind,
        provider_kind: word.to_owned(),
        url: url.to_owned(),
        caption: String::new(),
        file_name: String::new(),
    }
}

fn button(text: &str, payload: &str) -> ReportedContent {
    ReportedContent::ButtonReply { text: text.to_owned(), payload: payload.to_owned() }
}

#[test]
fn the_sample_of_a_recording_is_read() {
    let read = read(sample!("audio"));
    assert_eq!(read.event.event_type().as_str(), "message.received");
    assert_eq!(read.identity, Some(Identity::message("01J0000000000000000000IN01")));
    assert_eq!(read.event.occur_time, Some(UnixMillis(1_700_000_001_000)));
    let url = "https://cdn.connectly.ai/aa00/00000000-0000-4000-8000-000000000001";
    let expected = file(Some(MediaKind::Audio), "audio", url);
    assert_eq!(message(&read).content, Some(ReportedContent::Attachments(vec![expected])));
}

#[test]
fn the_sample_of_a_pressed_button_is_read_with_what_it_answers() {
    let read = read(sample!("button"));
    assert_eq!(read.identity, Some(Identity::message("01J0000000000000000000IN02")));
    assert_eq!(read.event.callback_data.as_deref(), Some(r#"{"order":"77"}"#));
    let message = message(&read);
    assert_eq!(message.provider_message_id, "01J0000000000000000000IN02");
    assert_eq!(message.reply_to.as_deref(), Some("018d0000-0000-7000-8000-00000000000a"));
    assert_eq!(message.content, Some(button("Yes", "1")));
}

#[test]
fn the_sample_of_an_advertisement_is_read_and_empty_keys_are_absent() {
    let read = read(sample!("referral"));
    assert_eq!(read.identity, None);
    let message = message(&read);
    assert_eq!(message.content, Some(ReportedContent::Text("I saw your ad".to_owned())));
    let expected = Referral {
        source_url: "https://ads.example.org/1".to_owned(),
        source_id: "9".to_owned(),
        source_type: "ad".to_owned(),
        headline: "Sale".to_owned(),
        body: "Now".to_owned(),
        media_type: "image".to_owned(),
        image_url: "https://img.example.org/1".to_owned(),
        click_id: "CLID".to_owned(),
        ..Referral::default()
    };
    assert_eq!(message.referral, Some(expected.clone()));

    let snake = br#"{"message":{"text":"x"},"referral":{"source_url":"https://ads.example.org/1","source_id":9,"source_type":"ad","headline":"Sale","body":"Now","media_type":"image","image_url":"https://img.example.org/1","ctwa_clid":"CLID"}}"#;
    assert_eq!(super::message(&incoming(snake)).referral, Some(expected));
    for none in ["null", "{}", r#"{"headline":""}"#] {
        let read = incoming(format!(r#"{{"message":{{"text":"x","referral":{none}}}}}"#).as_bytes());
        assert_eq!(super::message(&read).referral, None, "{none}");
    }
}

#[test]
fn the_samples_of_a_text_and_of_a_failure_are_read() {
    assert_eq!(content(sample!("text")), ReportedContent::Text("hi".to_owned()));
    let read = read(sample!("delivery_failed"));
    assert_eq!(read.identity, Some(Identity::status("01J000000000000000000MOCK1", "delivery_failed")));
    let Payload::MessageStatus(status) = &read.event.payload else { panic!("{read:?}") };
    let fault = &status.fault.as_ref().expect("there is an error").fault;
    assert_eq!(fault.code.as_deref(), Some("ERROR_CODE_MESSAGE_TEMPLATE_INPUT_INVALID"));
    assert_eq!(status.campaign_name, "spring");
}

#[test]
fn a_completed_report_is_read_in_both_spellings() {
    let camel = sample!("report")
        .replace("last_run", "lastRun")
        .replace("expires_at", "expiresAt")
        .replace("created_at", "createdAt");
    for body in [sample!("report"), &camel] {
        let read = read(body);
        assert_eq!(read.event.event_type().as_str(), "report.run");
        assert_eq!(read.identity, Some(Identity::report("run-7")));
        assert_eq!(read.event.occur_time, UnixMillis::from_rfc3339("2026-11-21T06:00:05Z"));
        let Payload::ReportCompleted(report) = &read.event.payload else { panic!("{read:?}") };
        let expected = ReportCompleted {
            report_id: "rep-1".to_owned(),
            name: "Daily campaigns".to_owned(),
            report_type: "campaign.daily.v1".to_owned(),
            run_id: "run-7".to_owned(),
            url: "https://cdn.connectly.ai/reports/run-7.csv?signature=0a1b".to_owned(),
            expire_time: UnixMillis::from_rfc3339("2026-11-21T06:10:00Z"),
            create_time: UnixMillis::from_rfc3339("2026-11-21T06:00:00Z"),
        };
        assert!(*report == expected);
        assert!(!format!("{report:?} {read:?}").contains("signature"), "the URL opens the report");
    }
    for status in ["processing", "failed", ""] {
        assert_eq!(type_of(&sample!("report").replace("completed", status)), "unknown", "{status}");
    }
}

#[test]
fn attachments_are_read_inside_the_message_and_beside_it() {
    let url = "https://cdn.connectly.ai/x";
    for (word, kind) in [
        ("image", Some(MediaKind::Image)),
        ("video", Some(MediaKind::Video)),
        ("AUDIO", Some(MediaKind::Audio)),
        ("document", Some(MediaKind::Document)),
        ("hologram", None),
    ] {
        let list = format!(r#""attachments":[{{"type":"{word}","url":"{url}"}}]"#);
        let expected = ReportedContent::Attachments(vec![file(kind, word, url)]);
        for body in [
            format!(r#"{{"message":{{"id":"M","text":"",{list},"location":null}}}}"#),
            format!(r#"{{"message":{{"id":"M","text":null}},{list},"location":null}}"#),
            format!(r#"{{"message":{{"id":"M","attachments":[]}},{list}}}"#),
        ] {
            assert_eq!(content(&body), expected, "{body}");
        }
    }
}

#[test]
fn a_text_beside_files_is_the_caption_of_the_first_unless_that_has_one() {
    let ReportedContent::Attachments(list) = content(sample!("video_beside")) else { panic!("files") };
    assert_eq!((list[0].kind, list[0].caption.as_str()), (Some(MediaKind::Video), "Look"));

    let two = r#"{"message":{"text":"the text","attachments":[{"type":"document","url":"https://a","filename":"a.pdf","caption":"own"},{"type":"image","url":"https://b"}]}}"#;
    let ReportedContent::Attachments(list) = content(two) else { panic!("files") };
    let captions: Vec<_> = list.iter().map(|file| file.caption.as_str()).collect();
    assert_eq!((captions, list[0].file_name.as_str()), (vec!["own", ""], "a.pdf"));
}

#[test]
fn a_place_is_read_inside_the_message_and_beside_it() {
    let place = |name: &str, address: &str| {
        let (name, address) = (name.to_owned(), address.to_owned());
        ReportedContent::Location(Location { latitude: 12.97, longitude: -77.59, name, address })
    };
    let sample = sample!("location").replace("77.59", "-77.59");
    assert_eq!(content(&sample), place("Shop", "1 Main Road"));
    for body in [
        r#"{"message":{"id":"M","text":""},"location":{"latitude":"12.97","longitude":"-77.59"}}"#,
        r#"{"message":{"id":"M","location":{"latitude":12.97,"longitude":-77.59,"name":null}}}"#,
    ] {
        assert_eq!(content(body), place("", ""), "{body}");
    }
}

#[test]
fn the_old_form_of_a_pressed_button_has_no_payload() {
    assert_eq!(content(sample!("button_legacy")), button("Yes", ""));
    assert_eq!(content(r#"{"message":{"text":"Yes","is_button_response":true}}"#), button("Yes", ""));
    assert_eq!(
        content(r#"{"message":{"text":"Yes","isButtonResponse":false}}"#),
        ReportedContent::Text("Yes".to_owned())
    );
}

#[test]
fn every_key_of_a_pressed_button_may_be_spelt_with_underscores() {
    let body = r#"{"topic":"message","message":null,"button_response":{"id":7,"payload":"1"},"context":{"reply_to_id":"R"},"callback_data":"x"}"#;
    let read = read(body);
    assert_eq!(read.identity, Some(Identity::message("7")));
    assert_eq!(read.event.callback_data.as_deref(), Some("\"x\""));
    assert_eq!(message(&read).reply_to.as_deref(), Some("R"));
    assert_eq!(message(&read).content, Some(button("", "1")));
}

#[test]
fn an_echo_of_any_content_is_kept() {
    let read = read(sample!("echo"));
    assert_eq!(read.event.event_type().as_str(), "message.echo");
    assert_eq!(read.identity, Some(Identity::echo("01J0000000000000000000EC06")));
    let Some(ReportedContent::Attachments(list)) = &message(&read).content else { panic!("files") };
    assert_eq!((list[0].caption.as_str(), list[0].file_name.as_str()), ("Invoice", "a.pdf"));

    let ours = r#""sender":{"id":"+15550100002"}"#;
    let place = format!(r#"{{{ours},"message":{{"location":{{"latitude":1,"longitude":2}}}}}}"#);
    assert!(matches!(content(&place), ReportedContent::Location(_)));
    for body in [
        format!(
            r#"{{{ours},"message":{{"id":"M","text":"Pick one","listMessage":{{"button":{{"text":"Open"}}}}}}}}"#
        ),
        r#"{"message":{"id":"M","isEcho":true}}"#.to_owned(),
        r#"{"isEcho":true,"message":{"id":"M"}}"#.to_owned(),
    ] {
        assert_eq!(type_of(&body), "message.echo", "{body}");
        assert_eq!(message(&incoming(body.as_bytes())).content, None, "{body}");
    }
}

#[test]
fn a_number_of_ours_without_its_plus_is_ours_too() {
    assert_eq!(type_of(r#"{"sender":{"id":"15550100002"},"message":{"text":"x"}}"#), "message.echo");
    assert_eq!(type_of(r#"{"sender":{"id":"5550100002"},"message":{"text":"x"}}"#), "message.received");
}

#[test]
fn keys_that_nobody_knows_are_passed_over() {
    let body = r#"{"v":2,"message":{"text":"x","mood":{"a":1},"reaction":null,"contacts":[],"order":{}}}"#;
    assert_eq!(content(body), ReportedContent::Text("x".to_owned()));
}

#[test]
fn moments_are_seconds_or_rfc3339_and_nothing_beyond_the_calendar() {
    for (stamp, expected) in [
        ("\"1700000000\"", Some(1_700_000_000_000)),
        ("1700000000", Some(1_700_000_000_000)),
        ("\"2023-11-14T22:13:20Z\"", Some(1_700_000_000_000)),
        ("\"2023-11-14T22:13:20.999Z\"", Some(1_700_000_000_000)),
        ("\"2023-11-14T23:13:20+01:00\"", Some(1_700_000_000_000)),
        ("\"253402300799\"", Some(253_402_300_799_000)),
        ("\"253402300800\"", None),
        ("9223372036854775807", None),
        ("-1", None),
        ("\"yesterday\"", None),
        ("null", None),
        ("{}", None),
    ] {
        let read = incoming(format!(r#"{{"timestamp":{stamp},"message":{{"text":"x"}}}}"#).as_bytes());
        assert_eq!(read.event.occur_time.map(|moment| moment.0), expected, "{stamp}");
    }
}
