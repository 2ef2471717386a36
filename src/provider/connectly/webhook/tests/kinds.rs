//! Every type of event, in each spelling and position that the documentation shows.

use super::*;
use crate::domain::event::{Attachment, Referral, ReportRun, ReportStatus};
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
    message(&read(body)).content.clone()
}

fn file(kind: Option<MediaKind>, word: &str, url: &str) -> Attachment {
    Attachment {
        kind,
        provider_kind: word.to_owned(),
        url: url.to_owned(),
        caption: String::new(),
        file_name: String::new(),
        mime_type: String::new(),
        sha256: String::new(),
        size_bytes: None,
        media_id: String::new(),
    }
}

fn unsupported(kind: &str, raw: &str) -> ReportedContent {
    ReportedContent::Unsupported { provider_kind: kind.to_owned(), raw_json: raw.to_owned() }
}

fn button(text: &str, payload: &str) -> ReportedContent {
    ReportedContent::ButtonReply { text: text.to_owned(), payload: payload.to_owned() }
}

#[test]
fn audio_sample_is_parsed() {
    let read = read(sample!("audio"));
    assert_eq!(read.event.event_type().as_str(), "message.received");
    assert_eq!(read.identity, Some(Identity::message("01J0000000000000000000IN01")));
    assert_eq!(read.event.occur_time, Some(UnixMillis(1_700_000_001_000)));
    let url = "https://cdn.connectly.ai/aa00/00000000-0000-4000-8000-000000000001";
    let expected = file(Some(MediaKind::Audio), "audio", url);
    assert_eq!(message(&read).content, ReportedContent::Attachments(vec![expected]));
}

#[test]
fn button_response_sample_is_parsed_with_its_reply_reference() {
    let read = read(sample!("button"));
    assert_eq!(read.identity, Some(Identity::message("01J0000000000000000000IN02")));
    assert_eq!(read.event.callback_data.as_deref(), Some(r#"{"order":"77"}"#));
    let message = message(&read);
    assert_eq!(message.provider_message_id, "01J0000000000000000000IN02");
    assert_eq!(message.reply_to.as_deref(), Some("018d0000-0000-7000-8000-00000000000a"));
    assert_eq!(message.content, button("Yes", "1"));
}

#[test]
fn referral_sample_is_parsed_without_empty_keys() {
    let read = read(sample!("referral"));
    assert_eq!(read.identity, None);
    let message = message(&read);
    assert_eq!(message.content, ReportedContent::Text("I saw your ad".to_owned()));
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
fn text_and_failure_samples_are_parsed() {
    assert_eq!(content(sample!("text")), ReportedContent::Text("hi".to_owned()));
    let read = read(sample!("delivery_failed"));
    assert_eq!(read.identity, Some(Identity::status("01J000000000000000000MOCK1", "delivery_failed")));
    let Payload::MessageStatus(status) = &read.event.payload else { panic!("{read:?}") };
    let fault = &status.fault.as_ref().expect("an error").fault;
    assert_eq!(fault.code.as_deref(), Some("ERROR_CODE_MESSAGE_TEMPLATE_INPUT_INVALID"));
    assert_eq!(status.campaign_name, "spring");
}

#[test]
fn completed_report_is_parsed_in_both_spellings() {
    let camel = sample!("report")
        .replace("last_run", "lastRun")
        .replace("expires_at", "expiresAt")
        .replace("created_at", "createdAt");
    for body in [sample!("report"), &camel] {
        let read = read(body);
        assert_eq!(read.event.event_type().as_str(), "report.run");
        assert_eq!(read.identity, Some(Identity::report("run-7", "completed")));
        assert_eq!(read.event.occur_time, UnixMillis::from_rfc3339("2026-11-21T06:00:05Z"));
        let expected = ReportRun {
            report_id: "rep-1".to_owned(),
            name: "Daily campaigns".to_owned(),
            report_type: "campaign.daily.v1".to_owned(),
            run_id: "run-7".to_owned(),
            status: Some(ReportStatus::Completed),
            provider_status: "completed".to_owned(),
            url: "https://cdn.connectly.ai/reports/run-7.csv?signature=0a1b".to_owned(),
            expire_time: UnixMillis::from_rfc3339("2026-11-21T06:10:00Z"),
            create_time: UnixMillis::from_rfc3339("2026-11-21T06:00:00Z"),
        };
        assert!(*report(&read) == expected);
        assert!(
            !format!("{:?} {read:?}", report(&read)).contains("signature"),
            "the debug output contains the URL"
        );
    }
}

fn report(incoming: &Incoming) -> &ReportRun {
    match &incoming.event.payload {
        Payload::ReportRun(report) => report,
        other => panic!("no report: {other:?}"),
    }
}

#[test]
fn identity_of_a_run_includes_its_status() {
    for (word, status, url) in [
        ("processing", Some(ReportStatus::Processing), false),
        ("completed", Some(ReportStatus::Completed), true),
        ("failed", Some(ReportStatus::Failed), false),
        // It is unknown whether the run is complete, so the URL is passed on.
        ("Completed", None, true),
        ("archived", None, true),
        ("", None, true),
    ] {
        let read = read(&sample!("report").replace("completed", word));
        assert_eq!(read.identity, Some(Identity::report("run-7", word)));
        let report = report(&read);
        assert_eq!((report.status, report.provider_status.as_str()), (status, word));
        assert_eq!(!report.url.is_empty(), url, "{word}");
    }
    assert_eq!(Identity::report("run-7", "failed").as_str(), "report\n6\nfailed\nrun-7");
}

#[test]
fn report_with_a_run_is_typed_if_fields_are_missing() {
    for (body, identity) in [
        (r#"{"report":{"last_run":{"id":"R"}}}"#, Some(Identity::report("R", ""))),
        (r#"{"topic":"report","report":{"last_run":{}}}"#, None),
        (r#"{"topic":"report","report":{"last_run":{"status":"completed"}}}"#, None),
        (
            r#"{"topic":"report","report":{"last_run":{"id":7,"status":"completed","result":null}}}"#,
            Some(Identity::report("7", "completed")),
        ),
        (
            r#"{"topic":"report","report":{"last_run":{"id":7,"status":"completed","result":{"url":""}}}}"#,
            Some(Identity::report("7", "completed")),
        ),
    ] {
        let read = read(body);
        assert_eq!(read.identity, identity, "{body}");
        assert_eq!(report(&read).url, "", "{body}");
    }
}

#[test]
fn attachments_are_parsed_inside_and_beside_the_message() {
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
fn text_beside_files_is_the_caption_of_the_first_without_one() {
    let ReportedContent::Attachments(list) = content(sample!("video_beside")) else { panic!("files") };
    assert_eq!((list[0].kind, list[0].caption.as_str()), (Some(MediaKind::Video), "Look"));

    let two = r#"{"message":{"text":"the text","attachments":[{"type":"document","url":"https://a","filename":"a.pdf","caption":"own"},{"type":"image","url":"https://b"}]}}"#;
    let ReportedContent::Attachments(list) = content(two) else { panic!("files") };
    let captions: Vec<_> = list.iter().map(|file| file.caption.as_str()).collect();
    assert_eq!((captions, list[0].file_name.as_str()), (vec!["own", ""], "a.pdf"));
}

#[test]
fn attachment_details_are_parsed_in_every_spelling() {
    for details in [
        r#""mimeType":"image/png","sha256":"abc=","size":1234,"id":"F1""#,
        r#""mime_type":"image/png","sha256":"abc=","fileSize":"1234","mediaId":"F1""#,
        r#""contentType":"image/png","sha256":"abc=","file_size":1234,"media_id":"F1""#,
    ] {
        let body =
            format!(r#"{{"message":{{"attachments":[{{"type":"image","url":"https://a",{details}}}]}}}}"#);
        let expected = Attachment {
            mime_type: "image/png".to_owned(),
            sha256: "abc=".to_owned(),
            size_bytes: Some(1234),
            media_id: "F1".to_owned(),
            ..file(Some(MediaKind::Image), "image", "https://a")
        };
        assert_eq!(content(&body), ReportedContent::Attachments(vec![expected]), "{details}");
    }
    for size in ["-1", "1.5", "1e3", "\"1 KB\"", "\"\"", "null", "{}", "18446744073709551616"] {
        let body = format!(r#"{{"message":{{"attachments":[{{"url":"https://a","size":{size}}}]}}}}"#);
        let ReportedContent::Attachments(list) = content(&body) else { panic!("files") };
        assert_eq!(list[0].size_bytes, None, "{size}");
    }
}

#[test]
fn metadata_is_kept_byte_for_byte() {
    for (metadata, kept) in [
        (r#"{"campaignName": "spring", "n":1.50}"#, true),
        (r#""spring""#, true),
        ("[1, 2]", true),
        ("null", false),
        ("{ }", false),
        ("[]", false),
        (r#""""#, false),
    ] {
        for own in ["", r#","isEcho":true"#] {
            let body = format!(r#"{{"message":{{"id":"M","text":"x"{own}}},"metadata":{metadata}}}"#);
            let read = read(&body);
            assert_eq!(message(&read).metadata_json, if kept { metadata } else { "" }, "{body}");
        }
    }
    assert_eq!(message(&read(r#"{"message":{"id":"M","text":"x"}}"#)).metadata_json, "");
}

#[test]
fn unsupported_content_has_its_kind_and_json() {
    const WHOLE_BODY: &str = "the whole body";
    for (body, kind, raw) in [
        (
            r#"{"message": {"id":"M", "sticker":{"id":1.0}} }"#,
            "sticker",
            r#"{"id":"M", "sticker":{"id":1.0}}"#,
        ),
        // Content next to the object is a part of the message, so the whole body is kept.
        (r#"{"message":{"id":"M"},"reaction":{"emoji":"x"}}"#, "reaction", WHOLE_BODY),
        (r#"{"message":{"type":"poll","text":""}}"#, "poll", r#"{"type":"poll","text":""}"#),
        // A known key of content is more exact than the type.
        (
            r#"{"message":{"type":"interactive","listReply":{"id":1}}}"#,
            "listReply",
            r#"{"type":"interactive","listReply":{"id":1}}"#,
        ),
        (
            r#"{"message":{"attachments":[{"type":"hologram"}]}}"#,
            "hologram",
            r#"{"attachments":[{"type":"hologram"}]}"#,
        ),
        (r#"{"message":{"id":"M"},"attachments":[{"type":"image"}]}"#, "image", WHOLE_BODY),
        (r#"{"message":{"id":"M","type":7}}"#, "7", r#"{"id":"M","type":7}"#),
        (r#"{"message":{}}"#, "", "{}"),
        (r#"{"message":{"id":"M"},"button_response":{"id": "B"}}"#, "", r#"{"id": "B"}"#),
        (r#"{"buttonResponse":{"id":"B"},"order":[1]}"#, "order", WHOLE_BODY),
    ] {
        for topic in ["", r#""topic":"messages","#, r#""topic":"message","#] {
            let body = body.replacen('{', &format!("{{{topic}"), 1);
            let read = read(&body);
            assert_eq!(read.event.event_type().as_str(), "message.received", "{body}");
            let raw = if raw == WHOLE_BODY { &body } else { raw };
            assert_eq!(message(&read).content, unsupported(kind, raw), "{body}");
            assert_eq!(read.identity, None, "{body}");
        }
    }
    // Without an object of content, the whole body is kept.
    for body in [
        " {\"topic\":\"messages\", \"sender\":{\"id\":\"+15550100001\"},\"sticker\":{\"url\":\"é\"}} ",
        r#"{"topic":"message","sender":{},"message":"hi"}"#,
    ] {
        let kind = if body.contains("sticker") { "sticker" } else { "" };
        assert_eq!(content(body), unsupported(kind, body));
    }
}

#[test]
fn location_is_parsed_inside_and_beside_the_message() {
    let location = |name: &str, address: &str| {
        let (name, address) = (name.to_owned(), address.to_owned());
        ReportedContent::Location(Location { latitude: 12.97, longitude: -77.59, name, address })
    };
    let sample = sample!("location").replace("77.59", "-77.59");
    assert_eq!(content(&sample), location("Shop", "1 Main Road"));
    for body in [
        r#"{"message":{"id":"M","text":""},"location":{"latitude":"12.97","longitude":"-77.59"}}"#,
        r#"{"message":{"id":"M","location":{"latitude":12.97,"longitude":-77.59,"name":null}}}"#,
    ] {
        assert_eq!(content(body), location("", ""), "{body}");
    }
}

#[test]
fn legacy_button_response_has_no_payload() {
    assert_eq!(content(sample!("button_legacy")), button("Yes", ""));
    assert_eq!(content(r#"{"message":{"text":"Yes","is_button_response":true}}"#), button("Yes", ""));
    assert_eq!(
        content(r#"{"message":{"text":"Yes","isButtonResponse":false}}"#),
        ReportedContent::Text("Yes".to_owned())
    );
}

#[test]
fn button_response_with_snake_case_keys_is_parsed() {
    let body = r#"{"topic":"message","message":null,"button_response":{"id":7,"payload":"1"},"context":{"reply_to_id":"R"},"callback_data":"x"}"#;
    let read = read(body);
    assert_eq!(read.identity, Some(Identity::message("7")));
    assert_eq!(read.event.callback_data.as_deref(), Some("\"x\""));
    assert_eq!(message(&read).reply_to.as_deref(), Some("R"));
    assert_eq!(message(&read).content, button("", "1"));
}

#[test]
fn echo_of_any_content_is_kept() {
    let read = read(sample!("echo"));
    assert_eq!(read.event.event_type().as_str(), "message.echo");
    assert_eq!(read.identity, Some(Identity::echo("01J0000000000000000000EC06")));
    let ReportedContent::Attachments(list) = &message(&read).content else { panic!("files") };
    assert_eq!((list[0].caption.as_str(), list[0].file_name.as_str()), ("Invoice", "a.pdf"));

    let own_number = r#""sender":{"id":"+15550100002"}"#;
    let location = format!(r#"{{{own_number},"message":{{"location":{{"latitude":1,"longitude":2}}}}}}"#);
    assert!(matches!(content(&location), ReportedContent::Location(_)));
    for body in [
        format!(
            r#"{{{own_number},"message":{{"id":"M","text":"Pick one","listMessage":{{"button":{{"text":"Open"}}}}}}}}"#
        ),
        r#"{"message":{"id":"M","isEcho":true}}"#.to_owned(),
        r#"{"isEcho":true,"message":{"id":"M"}}"#.to_owned(),
    ] {
        assert_eq!(type_of(&body), "message.echo", "{body}");
        assert!(matches!(content(&body), ReportedContent::Unsupported { .. }), "{body}");
    }
}

#[test]
fn echo_keeps_reply_referral_and_button() {
    let body = r#"{"sender":{"id":"+15550100002"},"buttonResponse":{"id":"E","text":"Yes","payload":"1"},"context":{"replyToId":"S1"},"referral":{"headline":"Sale"}}"#;
    let read = read(body);
    assert_eq!(read.event.event_type().as_str(), "message.echo");
    assert_eq!(read.identity, Some(Identity::echo("E")));
    let message = message(&read);
    assert_eq!((message.reply_to.as_deref(), &message.content), (Some("S1"), &button("Yes", "1")));
    assert_eq!(message.referral.as_ref().map(|referral| referral.headline.as_str()), Some("Sale"));
}

#[test]
fn own_number_without_plus_is_an_echo() {
    assert_eq!(type_of(r#"{"sender":{"id":"15550100002"},"message":{"text":"x"}}"#), "message.echo");
    assert_eq!(type_of(r#"{"sender":{"id":"5550100002"},"message":{"text":"x"}}"#), "message.received");
}

#[test]
fn unknown_keys_are_ignored() {
    let body = r#"{"v":2,"message":{"text":"x","mood":{"a":1},"reaction":null,"contacts":[],"order":{}}}"#;
    assert_eq!(content(body), ReportedContent::Text("x".to_owned()));
}

#[test]
fn timestamp_is_seconds_or_rfc3339_until_the_year_9999() {
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
        assert_eq!(read.event.occur_time.map(|timestamp| timestamp.0), expected, "{stamp}");
    }
}
