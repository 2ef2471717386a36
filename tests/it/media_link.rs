//! Media messages by URL, which Connectly fetches.

use switchboard::pb::v1::media::Source;
use switchboard::pb::v1::send_message_request::Content;
use switchboard::pb::v1::{Channel, Media, MediaKind, SendMessageRequest};
use tonic::Code;

use crate::support::gateway::{CONNECTBY, CONNECTLY, CUSTOMER, Start, fields, reason, text};

fn at(url: &str) -> Media {
    Media { source: Some(Source::Url(url.to_owned())), ..Media::default() }
}

fn link(kind: MediaKind) -> Media {
    Media { kind: kind.into(), ..at("https://files.example.org/a?b=1") }
}

fn media(account: &str, link: Media) -> SendMessageRequest {
    SendMessageRequest { content: Some(Content::Media(link)), ..text(account, "") }
}

#[tokio::test]
async fn media_link_reaches_connectly_as_one_attachment() {
    let gateway = Start::quiet().start().await;
    let caption = "☃".repeat(1_024);
    let invoice =
        Media { caption: caption.clone(), file_name: "Účet.pdf".to_owned(), ..link(MediaKind::Document) };
    let url = "https://files.example.org/a?b=1";
    for (link, expected) in [
        (
            invoice,
            serde_json::json!({"type": "document", "url": url, "caption": caption, "filename": "Účet.pdf"}),
        ),
        (link(MediaKind::Image), serde_json::json!({"type": "image", "url": url})),
        (link(MediaKind::Video), serde_json::json!({"type": "video", "url": url})),
        (link(MediaKind::Audio), serde_json::json!({"type": "audio", "url": url})),
    ] {
        let message = gateway.send(media(CONNECTLY, link)).await.expect("accepted");
        assert_eq!(message.provider_message_ids.len(), 1);
        let call = gateway.connectly().calls().pop().expect("arrived");
        assert!(call.path.ends_with("/send/messages"), "{}", call.path);
        assert_eq!(
            call.json(),
            Some(serde_json::json!({
                "recipient": {"id": CUSTOMER, "channelType": "whatsapp"},
                "message": {"attachments": [expected]},
                "callbackData": {"sb": format!("{}/1", message.message_id)},
            }))
        );
    }
}

#[tokio::test]
async fn invalid_media_link_reports_all_violations_and_sends_nothing() {
    let gateway = Start::quiet().start().await;
    let url = |url: &str| Media { kind: MediaKind::Image.into(), ..at(url) };
    let all =
        Media { caption: "☃".repeat(1_025), file_name: "a.png".to_owned(), ..url("files.example.org/a") };
    let audio = Media { caption: "hear".to_owned(), ..link(MediaKind::Audio) };
    let path = Media { file_name: "../a".to_owned(), ..link(MediaKind::Document) };
    for (link, expected) in [
        (Media::default(), &["media.kind", "media.url"][..]),
        (Media { kind: 99, ..link(MediaKind::Image) }, &["media.kind"]),
        (all, &["media.url", "media.caption", "media.file_name"]),
        (audio, &["media.caption"]),
        (path, &["media.file_name"]),
        (url("ftp://files.example.org/a"), &["media.url"]),
        (url("https://"), &["media.url"]),
        (url("https://files.example.org/a b"), &["media.url"]),
        (url(&format!("https://files.example.org/{}", "x".repeat(2_048))), &["media.url"]),
    ] {
        let error = gateway.send(media(CONNECTLY, link)).await.expect_err("invalid");
        assert_eq!((error.code(), reason(&error).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
        assert_eq!(fields(&error), expected);
        assert!(!error.message().contains("files.example.org"), "{error:?}");
    }
    assert_eq!(gateway.connectly().calls().len(), 0);
}

#[tokio::test]
async fn media_link_over_sms_or_to_connectby_is_unsupported() {
    let gateway = Start::quiet().start().await;
    let sms = SendMessageRequest { channel: Channel::Sms.into(), ..media(CONNECTLY, link(MediaKind::Image)) };
    let error = gateway.send(sms).await.expect_err("no files over SMS");
    assert_eq!((error.code(), fields(&error)), (Code::Unimplemented, vec!["channel".to_owned()]));
    let error = gateway.send(media(CONNECTBY, link(MediaKind::Image))).await.expect_err("no links");
    assert_eq!((error.code(), fields(&error)), (Code::Unimplemented, vec!["media".to_owned()]));
    assert!(error.message().contains("SendMedia"), "{error:?}");
    assert_eq!(gateway.connectby().calls().len() + gateway.connectly().calls().len(), 0);
}
