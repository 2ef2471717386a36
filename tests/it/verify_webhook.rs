//! `VerifyWebhook`: which check accepts or rejects a webhook.

use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::{
    StartPosition, SubscribeRequest, VerifyWebhookSignatureRequest, VerifyWebhookSignatureResponse,
    WebhookSignatureCheck,
};
use switchboard::sandbox::connectly::sign;

use crate::support::gateway::{CONNECTBY, CONNECTLY, Gateway, Start, fields, received, text_of, within};

const VECTOR: &str = include_str!("../fixtures/connectly/text.json");
const VECTOR_SECRET: &str = "test-webhook-secret";
const VECTOR_SIGNATURE: &str = "RuA3eItnvRHB+I2aqI6owBplLCt3b7ECBF+Kq6oR1xI=";

async fn gateway_with_vector_secret() -> Gateway {
    Start::quiet().with("ACCOUNTS__DEMO_CONNECTLY__WEBHOOK_SECRETS", VECTOR_SECRET).start().await
}

async fn verify(gateway: &Gateway, body: &[u8], signature: &str) -> VerifyWebhookSignatureResponse {
    let request = VerifyWebhookSignatureRequest {
        account: CONNECTLY.to_owned(),
        body: body.to_vec().into(),
        signature: signature.to_owned(),
    };
    within(gateway.webhook_registrations().verify_webhook_signature(request))
        .await
        .expect("answers")
        .into_inner()
}

#[tokio::test]
async fn published_vector_is_valid_and_appends_no_event() {
    let gateway = gateway_with_vector_secret().await;
    let expected = VerifyWebhookSignatureResponse {
        valid: true,
        failed_check: WebhookSignatureCheck::Unspecified.into(),
        problem: String::new(),
        event_types: vec!["message.received".to_owned()],
    };
    for signature in [VECTOR_SIGNATURE, &format!(" {VECTOR_SIGNATURE}\n")] {
        assert_eq!(verify(&gateway, VECTOR.as_bytes(), signature).await, expected);
    }
    // The journal contains no event of the verified webhook, and the same webhook is no duplicate when it arrives.
    let after = received("M1", "after");
    let signature = sign(VECTOR_SECRET, after.as_bytes());
    assert_eq!(gateway.post(CONNECTLY, Some(&signature), after).await, 200);
    assert_eq!(gateway.post(CONNECTLY, Some(VECTOR_SIGNATURE), VECTOR).await, 200);
    let start = Some(From::Position(StartPosition::Earliest.into()));
    let request = SubscribeRequest { start, ..SubscribeRequest::default() };
    let events = gateway.subscribe(request).await.expect("subscribed").events(2).await;
    assert_eq!((text_of(&events[0]), text_of(&events[1])), ("after", "hi"));
}

#[tokio::test]
async fn event_types_are_those_of_the_ingested_events() {
    let gateway = Start::quiet().start().await;
    let secret = gateway.connectly().webhook_secret();
    for (body, event_type) in [
        (include_str!("../fixtures/connectly/report.json"), "report.run"),
        (include_str!("../fixtures/connectly/echo.json"), "message.echo"),
        (include_str!("../fixtures/connectly/delivery_failed.json"), "message.status"),
        (r#"{"message":{"id":"M1","sticker":{"id":1}}}"#, "message.received"),
        ("no JSON", "unknown"),
    ] {
        let answer = verify(&gateway, body.as_bytes(), &sign(secret, body.as_bytes())).await;
        assert_eq!((answer.valid, answer.event_types), (true, vec![event_type.to_owned()]));
    }
}

#[tokio::test]
async fn first_failed_check_is_named_with_advice() {
    use WebhookSignatureCheck::{BodySize, SignatureFormat, SignatureMatches, SignaturePresent};
    let gateway = gateway_with_vector_secret().await;
    let hexadecimal = "46e037788b67bd11c1f88d9aa88ea8c01a652c2b776fb102045f8aabaa11d712";
    let url_safe = "RuA3eItnvRHB-I2aqI6owBplLCt3b7ECBF-Kq6oR1xI=";
    let spaced = VECTOR.replace(':', ": ");
    let lined = format!("{VECTOR}\n");
    let signed_with_line = sign(VECTOR_SECRET, lined.as_bytes());
    let large = "x".repeat((1 << 20) + 1);
    for (body, signature, check, word) in [
        (large.as_str(), VECTOR_SIGNATURE, BodySize, "max_body_bytes"),
        (large.as_str(), "", SignaturePresent, "x-connectly-hmac-sha256"),
        (VECTOR, "", SignaturePresent, "x-connectly-hmac-sha256"),
        (VECTOR, hexadecimal, SignatureFormat, "hexadecimal"),
        (VECTOR, &format!("sha256={hexadecimal}"), SignatureFormat, "hexadecimal"),
        (VECTOR, &format!("sha256={VECTOR_SIGNATURE}"), SignatureFormat, "begins with"),
        (VECTOR, url_safe, SignatureFormat, "URL-safe"),
        (VECTOR, VECTOR_SIGNATURE.trim_end_matches('='), SignatureFormat, "padding"),
        (VECTOR, "AAAA", SignatureFormat, "truncated"),
        (VECTOR, &sign("another secret", VECTOR.as_bytes()), SignatureMatches, "`webhook_secrets`"),
        (&spaced, VECTOR_SIGNATURE, SignatureMatches, "parsed and rewritten"),
        (&lined, VECTOR_SIGNATURE, SignatureMatches, "adds a line end"),
        (VECTOR, &signed_with_line, SignatureMatches, "removes the"),
    ] {
        let answer = verify(&gateway, body.as_bytes(), signature).await;
        assert_eq!((answer.valid, answer.failed_check()), (false, check), "{signature}: {answer:?}");
        assert!(answer.problem.contains(word), "{signature}: {answer:?}");
        assert!(answer.event_types.is_empty());
        let quoted = [VECTOR_SECRET, "+15550100001", VECTOR_SIGNATURE, hexadecimal];
        assert!(!quoted.iter().any(|quoted| answer.problem.contains(quoted)), "{answer:?}");
        // The webhook listener agrees, by its status code.
        let refusal = if check == BodySize { 413 } else { 401 };
        let header = Some(signature).filter(|signature| !signature.is_empty());
        assert_eq!(gateway.post(CONNECTLY, header, body.to_owned()).await, refusal, "{signature}");
    }
}

#[tokio::test]
async fn account_without_webhooks_fails_the_first_check() {
    let gateway = Start::quiet().with("ACCOUNTS__DEMO_CONNECTLY__WEBHOOK_SECRETS", "").start().await;
    for (account, word) in [(CONNECTBY, "connectby"), (CONNECTLY, "`webhook_secrets`")] {
        let request = VerifyWebhookSignatureRequest {
            account: account.to_owned(),
            body: VECTOR.into(),
            signature: VECTOR_SIGNATURE.to_owned(),
        };
        let answer = within(gateway.webhook_registrations().verify_webhook_signature(request))
            .await
            .expect("answers")
            .into_inner();
        assert_eq!((answer.valid, answer.failed_check()), (false, WebhookSignatureCheck::AccountHasWebhooks));
        assert!(answer.problem.contains(word), "{answer:?}");
    }
    let error = gateway
        .webhook_registrations()
        .verify_webhook_signature(VerifyWebhookSignatureRequest::default())
        .await
        .expect_err("empty");
    assert_eq!(fields(&error), ["account"]);
}
