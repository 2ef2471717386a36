//! Invalid template sends, and template parts that a provider does not support.

use switchboard::pb::v1::{Channel, Location};
use tonic::Code;

use super::*;
use crate::support::gateway::{CONNECTBY, CONNECTLY, Start, details, fields, reason};

#[tokio::test]
async fn unsupported_template_parts_are_unimplemented_at_connectly() {
    let gateway = Start::quiet().start().await;
    let request = TemplateMessage {
        header: header(template_header::Header::Location(Location::default())),
        body: vec![text("a"), currency("EUR"), date_time("Monday")],
        buttons: vec![coupon(3, "SAVE"), url_suffix(0, "x"), quick_reply(1, "p")],
        ..template("t", "en", &[])
    };
    let request = SendMessageRequest { channel: Channel::Sms.into(), ..send(CONNECTLY, request) };
    let error = gateway.send(request).await.expect_err("unsupported");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::Unimplemented, "PROVIDER_UNSUPPORTED"));
    assert_eq!(
        fields(&error),
        [
            "channel",
            "template.header.location",
            "template.body[1].currency",
            "template.body[2].date_time",
            "template.buttons[0].coupon_code",
            "template.buttons[2].quick_reply_payload",
        ]
    );
    assert!(gateway.connectly().calls().is_empty());
}

#[tokio::test]
async fn connectby_requires_a_language() {
    let gateway = Start::quiet().start().await;
    let error =
        gateway.send(send(CONNECTBY, template("login_code", "", &["x"]))).await.expect_err("no language");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
    assert_eq!(fields(&error), ["template.language"]);
    let violations = details(&error).bad_request().expect("violations").field_violations.clone();
    assert_eq!(violations[0].reason, "REQUIRED");
    let error = gateway.send(send(CONNECTBY, template("", "", &[""]))).await.expect_err("all wrong");
    assert_eq!(fields(&error), ["template.name", "template.body[0].text", "template.language"]);
    assert!(gateway.connectby().calls().is_empty());
}

#[tokio::test]
async fn invalid_template_reports_all_violations() {
    let gateway = Start::quiet().start().await;
    let empty = Parameter::default();
    let request = TemplateMessage {
        name: "n".repeat(513),
        header: header(template_header::Header::Image(media("ftp://secret.example/a", "a.png"))),
        body: vec![
            text("good"),
            empty,
            text(""),
            currency("eur"),
            date_time(""),
            named("x", "1"),
            named("x", "2"),
        ],
        buttons: vec![
            url_suffix(10, "x"),
            url_suffix(1, ""),
            coupon(1, "SAVE"),
            TemplateButton { index: 2, value: None },
        ],
        ..template("", "en", &[])
    };
    let error = gateway.send(send(CONNECTBY, request)).await.expect_err("all wrong");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
    assert_eq!(
        fields(&error),
        [
            "template.name",
            "template.header.image.file_name",
            "template.header.image.url",
            "template.body[1].value",
            "template.body[2].text",
            "template.body[3].currency.code",
            "template.body[4].date_time.fallback_value",
            "template.body[6].name",
            "template.buttons[0].index",
            "template.buttons[1].url_suffix",
            "template.buttons[2].index",
            "template.buttons[3].value",
        ]
    );
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");

    let place = |latitude, longitude| {
        template_header::Header::Location(Location { latitude, longitude, ..Location::default() })
    };
    let document = |url: &str| template_header::Header::Document(media(url, ""));
    let (long, longest) = (
        format!("https://a.example/{}", "a".repeat(2_031)),
        format!("https://a.example/{}", "a".repeat(2_030)),
    );
    for (given, expected) in [
        (place(f64::NAN, f64::NAN), vec!["location.latitude", "location.longitude"]),
        (place(90.1, -180.1), vec!["location.latitude", "location.longitude"]),
        (place(f64::INFINITY, 0.0), vec!["location.latitude"]),
        (
            template_header::Header::Location(Location { name: "x".repeat(1_025), ..Location::default() }),
            vec!["location.name"],
        ),
        (document(""), vec!["document.url"]),
        (document("https://"), vec!["document.url"]),
        (document("https:a.example"), vec!["document.url"]),
        (document("https://a.example/a b"), vec!["document.url"]),
        (document("https://a.example/\n"), vec!["document.url"]),
        (document("//a.example/a"), vec!["document.url"]),
        (document("data:text/plain,a"), vec!["document.url"]),
        (document(&long), vec!["document.url"]),
        (
            template_header::Header::Document(media("HTTP://a.example", &"n".repeat(241))),
            vec!["document.file_name"],
        ),
        (template_header::Header::Video(media("x", "v")), vec!["video.file_name", "video.url"]),
        (template_header::Header::Text(Parameter::default()), vec!["text.value"]),
        (template_header::Header::Text(text("")), vec!["text.text"]),
        (template_header::Header::Text(currency("EUR")), vec!["text.currency"]),
        (template_header::Header::Text(date_time("x")), vec!["text.date_time"]),
    ] {
        let request = TemplateMessage { header: header(given.clone()), ..template("t", "en", &[]) };
        let error = gateway.send(send(CONNECTBY, request)).await.expect_err("wrong");
        let expected: Vec<String> = expected.iter().map(|field| format!("template.header.{field}")).collect();
        assert_eq!(fields(&error), expected, "{given:?}");
    }
    let request =
        TemplateMessage { header: Some(TemplateHeader { header: None }), ..template("t", "en", &[]) };
    let error = gateway.send(send(CONNECTBY, request)).await.expect_err("empty");
    assert_eq!(fields(&error), ["template.header.header"]);
    assert!(gateway.connectby().calls().is_empty());

    // The longest URL and the extreme coordinates are valid.
    for given in [document(&longest), place(-90.0, 180.0)] {
        let request = TemplateMessage { header: header(given), ..template("not_listed", "en", &[]) };
        let error = gateway.send(send(CONNECTBY, request)).await.expect_err("not listed");
        assert_eq!(reason(&error), "TEMPLATE_NOT_FOUND");
    }
}

#[tokio::test]
async fn largest_number_of_violations_fits_the_response_headers() {
    let gateway = Start::quiet().start().await;
    let request = TemplateMessage {
        body: vec![Parameter::default(); 65],
        buttons: vec![TemplateButton { index: 99, value: None }; 11],
        ..template("", "", &[])
    };
    let error = gateway.send(send(CONNECTBY, request)).await.expect_err("all wrong");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
    let named_fields = fields(&error);
    assert_eq!(
        named_fields[..4],
        ["template.name", "template.body", "template.buttons", "template.body[0].value"]
    );
    assert_eq!(named_fields.len(), 32);
    // Violations: name, language, body, its 64 parameters, buttons, index and value of 10 buttons. The message lists 8.
    assert!(error.message().ends_with("; and 80 more"), "{}", error.message());
    // The size of the response headers. Many clients accept at most 8 KiB.
    let headers = error.clone().into_http::<()>().headers().clone();
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
    assert!(bytes < 8 << 10, "{bytes}");
}

#[tokio::test]
async fn invalid_components_json_is_rejected_by_kind() {
    let gateway = Start::quiet().start().await;
    let raw = |json: &str| TemplateMessage { components_json: json.to_owned(), ..template("t", "en", &[]) };
    let too_long = format!("[{}]", " ".repeat(65_535));
    let typed = |json: &str| TemplateMessage {
        components_json: json.to_owned(),
        header: header(template_header::Header::Text(text("x"))),
        ..template("t", "en", &["x"])
    };
    for (request, expected) in [
        (raw("{}"), &["MALFORMED"][..]),
        (raw("[secret"), &["MALFORMED"]),
        (raw(&too_long), &["OUT_OF_RANGE"]),
        (typed("[]"), &["MISMATCH"]),
        (typed("secret"), &["MISMATCH", "MALFORMED"]),
        (TemplateMessage { buttons: vec![url_suffix(0, "x")], ..raw("[]") }, &["MISMATCH"]),
    ] {
        let error = gateway.send(send(CONNECTBY, request)).await.expect_err("invalid");
        assert_eq!((error.code(), reason(&error).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
        let violations = details(&error).bad_request().expect("violations").field_violations.clone();
        let reasons: Vec<_> = violations.iter().map(|violation| violation.reason.as_str()).collect();
        assert_eq!(reasons, expected, "{violations:?}");
        assert!(fields(&error).iter().all(|field| field == "template.components_json"), "{violations:?}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
    for (json, code) in [("[]", Code::Unimplemented), ("secret", Code::InvalidArgument)] {
        let error = gateway.send(send(CONNECTLY, raw(json))).await.expect_err("unsupported");
        assert_eq!(error.code(), code);
        assert!(fields(&error).iter().all(|field| field == "template.components_json"), "{error:?}");
    }
    assert!(gateway.connectby().calls().is_empty() && gateway.connectly().calls().is_empty());
}
