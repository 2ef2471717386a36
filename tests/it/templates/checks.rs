//! The check of a template against the provider's list before the send.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use switchboard::sandbox::Endpoint;
use tonic::{Code, Request};

use super::*;
use crate::support::gateway::{CONNECTBY, CONNECTLY, Start, details, fields, metadata, reason};

/// The fake provider of an account.
fn endpoint<'a>(gateway: &'a Gateway, account: &str) -> &'a Endpoint {
    if account == CONNECTBY { gateway.connectby() } else { gateway.connectly() }
}

/// The number of list reads and of template sends at the provider.
fn list_reads_and_sends(gateway: &Gateway, account: &str) -> (usize, usize) {
    let at = endpoint(gateway, account);
    (at.arrivals(Operation::ListTemplates), at.arrivals(Operation::SendTemplate))
}

/// A list with one template: `offer` in `en`, with this status, body and further components.
fn listed(account: &str, status: &str, body: &str, parts: &[serde_json::Value]) -> String {
    let body = json!({"type": "BODY", "text": body});
    let components: Vec<_> = [&[body], parts].concat();
    if account == CONNECTBY {
        let item = json!({"name": "offer", "language": "en", "status": status, "components": components});
        return page(&item.to_string(), "{}");
    }
    let meta = json!({"name": "offer", "language": "en", "status": status, "components": components});
    let item = json!({"language": {"code": "en"}, "externalTemplate": {"whatsapp": meta}});
    json!({"entity": {"templateGroups": [{"id": "offer", "templates": [item]}]}}).to_string()
}

/// Makes the provider return this list and accept every send.
async fn set_template_list(gateway: &Gateway, account: &str, list: String) {
    let at = endpoint(gateway, account);
    at.clear_faults().await.expect("faults cleared");
    at.set_fault(FaultRule::always(Fault::Body(200, list)).on(Operation::ListTemplates)).await;
    let success = Fault::Body(200, r#"{"success":true,"id":"1"}"#.to_owned());
    at.set_fault(FaultRule::always(success).on(Operation::SendTemplate)).await;
}

#[tokio::test]
async fn template_mismatch_fails_with_field_paths_and_sends_nothing() {
    let gateway = Start::quiet().start().await;
    let image = || header(template_header::Header::Image(media("https://secret.example/a", "")));
    let video = || header(template_header::Header::Video(media("https://secret.example/a", "")));
    let sale =
        |header, buttons| TemplateMessage { header, buttons, ..template("summer_sale", "en_US", &["Ada"]) };
    let appointment = |body| TemplateMessage {
        header: header(template_header::Header::Text(named("first_name", "Asha"))),
        body,
        ..template("appointment", "en", &[])
    };
    for (account, template, expected) in [
        (CONNECTBY, template("order_update", "en", &["secret"]), &["template.body"][..]),
        (CONNECTBY, template("winter_sale", "en", &[]), &["template.name"]),
        (CONNECTBY, template("free_money", "en", &["secret"]), &["template.name", "template.body"]),
        (CONNECTBY, sale(video(), vec![url_suffix(1, "secret")]), &["template.header"]),
        (CONNECTBY, sale(None, vec![]), &["template.header", "template.buttons"]),
        (
            CONNECTBY,
            sale(image(), vec![url_suffix(1, "x"), url_suffix(2, "y")]),
            &["template.buttons[1].index"],
        ),
        (
            CONNECTBY,
            sale(image(), vec![url_suffix(1, "x"), coupon(0, "y")]),
            &["template.buttons[1].coupon_code"],
        ),
        (
            CONNECTBY,
            appointment(vec![named("day", "Monday"), named("hour", "secret")]),
            &["template.body[1].name", "template.body"],
        ),
        (CONNECTBY, template("welcome_coupon", "en", &[]), &["template.buttons"]),
        (CONNECTLY, template("order_update", "de", &["a", "b", "secret"]), &["template.body"]),
        (CONNECTLY, template("winter_sale", "en", &[]), &["template.name"]),
        (CONNECTLY, sale(video(), vec![url_suffix(0, "secret")]), &["template.header"]),
        (
            CONNECTLY,
            sale(image(), vec![url_suffix(1, "x")]),
            &["template.buttons[0].index", "template.buttons"],
        ),
        (
            CONNECTLY,
            TemplateMessage { body: vec![named("var2", "secret")], ..template("named_greeting", "en", &[]) },
            &["template.body[0].name"],
        ),
    ] {
        let error = gateway.send(send(account, template.clone())).await.expect_err("does not fit");
        let about = &template.name;
        assert_eq!(
            (error.code(), reason(&error).as_str()),
            (Code::InvalidArgument, "REQUEST_INVALID"),
            "{about}"
        );
        assert_eq!(fields(&error), expected, "{about}");
        let violations = details(&error).bad_request().expect("violations").field_violations.clone();
        assert!(violations.iter().all(|violation| violation.reason == "MISMATCH"), "{violations:?}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
    for account in [CONNECTBY, CONNECTLY] {
        assert_eq!(list_reads_and_sends(&gateway, account).1, 0);
    }
}

#[tokio::test]
async fn template_the_check_cannot_judge_is_sent() {
    let gateway = Start::quiet().start().await;
    let filled = TemplateMessage {
        header: header(template_header::Header::Image(media("https://a.example/a", ""))),
        buttons: vec![url_suffix(3, "x")],
        ..template("offer", "en", &["a"])
    };
    for (account, status, body, part) in [
        (CONNECTBY, "ARCHIVED", "{{1}}", json!({"type": "SOMETHING_NEW"})),
        (CONNECTLY, "ARCHIVED", "{{1}}", json!({"type": "LIMITED_TIME_OFFER"})),
        (CONNECTBY, "APPROVED", "{{1}} {{3}}", json!({"type": "SOMETHING_NEW"})),
        (CONNECTLY, "APPROVED", "{{1", json!({"type": "CAROUSEL", "cards": []})),
    ] {
        set_template_list(&gateway, account, listed(account, status, body, &[part])).await;
        gateway.send(send(account, filled.clone())).await.expect("the check cannot prove a mismatch");
    }
    // At Connectly, a template that is not listed or has no language is sent too.
    set_template_list(&gateway, CONNECTLY, listed(CONNECTLY, "APPROVED", "Hello", &[])).await;
    for (name, language) in [("other", "en"), ("offer", "de"), ("offer", "")] {
        gateway.send(send(CONNECTLY, template(name, language, &["a"]))).await.expect("accepted");
    }
}

#[tokio::test]
async fn template_changed_after_the_list_was_read_is_sent() {
    let gateway = Start::quiet().start().await;
    for account in [CONNECTBY, CONNECTLY] {
        set_template_list(&gateway, account, listed(account, "PENDING", "{{1}}", &[])).await;
        gateway.send(send(account, template("offer", "en", &["a"]))).await.expect_err("not approved yet");
        assert_eq!(
            list_reads_and_sends(&gateway, account),
            (1, 0),
            "the list was read for this send, so it is current"
        );
        set_template_list(&gateway, account, listed(account, "APPROVED", "{{1}}", &[])).await;
        gateway.send(send(account, template("offer", "en", &["a"]))).await.expect("approved now");
        assert_eq!(list_reads_and_sends(&gateway, account), (2, 1));
        set_template_list(&gateway, account, listed(account, "APPROVED", "{{1}} {{2}}", &[])).await;
        gateway.send(send(account, template("offer", "en", &["a", "b"]))).await.expect("has two now");
        assert_eq!(list_reads_and_sends(&gateway, account), (3, 2));
        for _ in 0..3 {
            gateway.send(send(account, template("offer", "en", &["a", "b"]))).await.expect("still has two");
        }
        assert_eq!(list_reads_and_sends(&gateway, account), (3, 5), "a matching template needs no reload");
    }
    let call = sent(&gateway).json().expect("JSON");
    assert_eq!(
        call["template"]["components"][0]["text"], "{{1}} {{2}}",
        "ConnectBy gets the newest template"
    );
}

#[tokio::test]
async fn template_added_after_the_list_was_read_is_sent() {
    let gateway = Start::quiet().start().await;
    set_template_list(&gateway, CONNECTBY, page("", "{}")).await;
    let error = gateway.send(send(CONNECTBY, template("offer", "en", &[]))).await.expect_err("not found");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::NotFound, "TEMPLATE_NOT_FOUND"));
    set_template_list(&gateway, CONNECTBY, listed(CONNECTBY, "APPROVED", "Hello", &[])).await;
    gateway.send(send(CONNECTBY, template("offer", "en", &[]))).await.expect("found");
    assert_eq!(list_reads_and_sends(&gateway, CONNECTBY), (2, 1));
}

#[tokio::test]
async fn stale_list_rejects_no_template_if_it_cannot_be_reloaded() {
    let gateway = Start::quiet().start().await;
    for account in [CONNECTBY, CONNECTLY] {
        set_template_list(&gateway, account, listed(account, "APPROVED", "Hello", &[])).await;
        gateway.send(send(account, template("offer", "en", &[]))).await.expect("accepted");
        endpoint(&gateway, account).clear_faults().await.expect("faults cleared");
        let broken = FaultRule::always(Fault::status(503)).on(Operation::ListTemplates);
        endpoint(&gateway, account).set_fault(broken).await;
        let error = gateway.send(send(account, template("offer", "en", &["a"]))).await.expect_err("mismatch");
        // The Connectly send reached the sandbox, which has no `offer`.
        let (code, expected) = if account == CONNECTBY {
            (Code::Unavailable, "PROVIDER_UNAVAILABLE")
        } else {
            (Code::NotFound, "TEMPLATE_NOT_FOUND")
        };
        assert_eq!((error.code(), reason(&error).as_str()), (code, expected));
    }
    assert_eq!(
        (list_reads_and_sends(&gateway, CONNECTBY).1, list_reads_and_sends(&gateway, CONNECTLY).1),
        (1, 2)
    );
}

#[tokio::test]
async fn template_refusal_makes_the_next_send_reload_the_list() {
    for (account, refused) in [
        (CONNECTBY, r#"{"success":false,"responseData":{"error":{"code":132015}}}"#),
        (CONNECTBY, r#"{"success":false,"responseData":{"error":{"code":132001}}}"#),
        (CONNECTBY, r#"{"success":false,"responseData":{"error":{"code":132000}}}"#),
        (CONNECTLY, r#"{"code":"ERROR_CODE_MESSAGE_TEMPLATE_DELETED"}"#),
    ] {
        let gateway = Start::quiet().start().await;
        set_template_list(&gateway, account, listed(account, "APPROVED", "Hello", &[])).await;
        gateway.send(send(account, template("offer", "en", &[]))).await.expect("accepted");
        let at = endpoint(&gateway, account);
        at.clear_faults().await.expect("faults cleared");
        let refusal = Fault::Status { status: 400, retry_after: None, body: Some(refused.to_owned()) };
        at.set_fault(FaultRule::once(refusal).on(Operation::SendTemplate)).await;
        gateway.send(send(account, template("offer", "en", &[]))).await.expect_err("refused");
        assert_eq!(list_reads_and_sends(&gateway, account), (1, 2), "{refused}");

        set_template_list(&gateway, account, listed(account, "PAUSED", "Hello", &[])).await;
        let error = gateway.send(send(account, template("offer", "en", &[]))).await.expect_err("paused");
        assert_eq!(fields(&error), ["template.name"]);
        assert!(error.message().contains("PAUSED"), "{error:?}");
        assert_eq!(list_reads_and_sends(&gateway, account), (2, 2), "{refused}");
    }
}

#[tokio::test]
async fn unrelated_refusal_keeps_the_cached_list() {
    let gateway = Start::quiet().start().await;
    let good = || send(CONNECTBY, template("order_update", "en", &["a", "b"]));
    gateway.send(good()).await.expect("accepted");
    let closed = FaultRule::once(Fault::SuccessFalse { code: Some(131_047) }).on(Operation::SendTemplate);
    gateway.connectby().set_fault(closed).await;
    gateway.send(good()).await.expect_err("refused");
    gateway.send(good()).await.expect("accepted");
    assert_eq!(list_reads_and_sends(&gateway, CONNECTBY), (1, 3));
}

#[tokio::test]
async fn fifty_concurrent_first_sends_read_the_list_once() {
    let gateway = Start::quiet().start().await;
    for account in [CONNECTBY, CONNECTLY] {
        let slow = FaultRule::always(Fault::Latency(Duration::from_millis(500)));
        endpoint(&gateway, account).set_fault(slow.on(Operation::ListTemplates)).await;
        let sends = (0..50).map(|_| gateway.send(send(account, template("order_update", "en", &["a", "b"]))));
        for sent in join_all(sends).await {
            sent.expect("accepted");
        }
        assert_eq!(list_reads_and_sends(&gateway, account), (1, 50), "{account}");
    }
}

#[tokio::test]
async fn fifty_concurrent_mismatches_share_list_reads() {
    let gateway = Start::quiet().start().await;
    for account in [CONNECTBY, CONNECTLY] {
        gateway.send(send(account, template("order_update", "en", &["a", "b"]))).await.expect("accepted");
        let slow = FaultRule::always(Fault::Latency(Duration::from_secs(1)));
        endpoint(&gateway, account).set_fault(slow.on(Operation::ListTemplates)).await;
        let sends = (0..50).map(|_| gateway.send(send(account, template("order_update", "en", &["a"]))));
        for error in join_all(sends).await {
            assert_eq!(fields(&error.expect_err("one missing")), ["template.body"]);
        }
        let (reads, sends) = list_reads_and_sends(&gateway, account);
        // One read serves the sends before it, the next one those that came during it.
        assert!((2..=4).contains(&reads) && sends == 1, "{account}: {reads} reads");
    }
}

#[tokio::test]
async fn cancelled_send_does_not_end_a_shared_list_read() {
    let gateway = Start::quiet().start().await;
    for account in [CONNECTBY, CONNECTLY] {
        let slow = FaultRule::once(Fault::Latency(Duration::from_millis(800))).on(Operation::ListTemplates);
        endpoint(&gateway, account).set_fault(slow).await;
        let good = || send(account, template("order_update", "en", &["a", "b"]));
        let mut hasty = Request::new(good());
        hasty.set_timeout(Duration::from_millis(200));
        let mut messages = gateway.messages();
        let (left, stayed) = tokio::join!(messages.send_message(hasty), gateway.send(good()));
        if account == CONNECTBY {
            left.expect_err("deadline exceeded");
        }
        stayed.expect("accepted");
        assert_eq!(list_reads_and_sends(&gateway, account).0, 1, "{account}");
    }
}

#[tokio::test]
async fn unreadable_list_blocks_no_send_at_connectly() {
    for fault in [
        Fault::status(500),
        Fault::status(403),
        Fault::status(429),
        Fault::NotJson,
        Fault::CutAfterReading,
        Fault::Body(200, "{}".to_owned()),
    ] {
        let gateway = Start::quiet().start().await;
        gateway.connectly().set_fault(FaultRule::always(fault.clone()).on(Operation::ListTemplates)).await;
        for _ in 0..3 {
            gateway
                .send(send(CONNECTLY, template("order_update", "en", &["a", "b"])))
                .await
                .unwrap_or_else(|error| panic!("{fault:?}: {error:?}"));
        }
        assert_eq!(list_reads_and_sends(&gateway, CONNECTLY).1, 3);
    }
    // A list read that does not return blocks no send either: the send starts before its deadline.
    let gateway = Start::quiet().start().await;
    let never = FaultRule::always(Fault::Latency(Duration::from_secs(60))).on(Operation::ListTemplates);
    gateway.connectly().set_fault(never).await;
    let mut request = Request::new(send(CONNECTLY, template("order_update", "en", &["a", "b"])));
    request.set_timeout(Duration::from_secs(8));
    within(gateway.messages().send_message(request)).await.expect("sent in time");
}

#[tokio::test]
async fn send_that_skips_the_check_reads_only_what_it_needs() {
    let gateway = Start::quiet().start().await;
    for (account, reads) in [(CONNECTBY, 1), (CONNECTLY, 0)] {
        let error = gateway
            .send(unchecked(account, template("order_update", "en", &["a"])))
            .await
            .expect_err("one missing");
        assert_eq!(reason(&error), "TEMPLATE_PARAMETERS_REJECTED", "the provider's own error");
        assert_eq!(list_reads_and_sends(&gateway, account), (reads, 1));
    }
    let error =
        gateway.send(unchecked(CONNECTBY, template("nothing", "en", &[]))).await.expect_err("not found");
    assert_eq!(reason(&error), "TEMPLATE_NOT_FOUND");
    gateway.send(unchecked(CONNECTBY, template("order_update", "en", &["a", "b"]))).await.expect("accepted");
    assert_eq!(list_reads_and_sends(&gateway, CONNECTBY).1, 2);
}

#[tokio::test]
async fn list_is_read_only_up_to_the_needed_page() {
    let gateway = Start::quiet().start().await;
    gateway.send(send(CONNECTBY, template("order_update", "en", &["a", "b"]))).await.expect("on page 1");
    assert_eq!(list_reads_and_sends(&gateway, CONNECTBY).0, 1);
    // The template is on page 3. Pages 2 and 3 are read; page 1 is cached.
    gateway.send(send(CONNECTBY, template("order_update", "de", &["a", "b"]))).await.expect("on page 3");
    assert_eq!(list_reads_and_sends(&gateway, CONNECTBY).0, 3);
    gateway.send(send(CONNECTBY, template("welcome_coupon", "en", &[]))).await.expect_err("no coupon");
    assert_eq!(list_reads_and_sends(&gateway, CONNECTBY).0, 5, "a rejection needs a reload of two pages");
}

#[tokio::test]
async fn missing_component_fails_before_the_send() {
    let gateway = Start::quiet().start().await;
    let raw = |name: &str, json: &str| TemplateMessage {
        components_json: json.to_owned(),
        ..template(name, "en", &[])
    };
    let other_index = r#"[{"type":"button","sub_type":"flow","index":"0"}]"#;
    let typed =
        TemplateMessage { buttons: vec![url_suffix(1, "secret")], ..template("book_visit", "en", &["Ada"]) };
    for (request, expected) in [
        (template("book_visit", "en", &["Ada"]), &["template.components_json"][..]),
        (raw("book_visit", other_index), &["template.components_json"]),
        (typed, &["template.buttons[0].url_suffix", "template.components_json"]),
        (raw("new_arrivals", "[]"), &["template.components_json"]),
        (raw("flash_sale", "[]"), &["template.components_json"]),
        (template("our_picks", "en", &[]), &["template.components_json"]),
    ] {
        let name = request.name.clone();
        let error = gateway.send(send(CONNECTBY, request)).await.expect_err("incomplete");
        assert_eq!((error.code(), reason(&error).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
        assert_eq!(fields(&error), expected, "{name}");
        let violations = details(&error).bad_request().expect("violations").field_violations.clone();
        assert!(violations.iter().all(|violation| violation.reason == "MISMATCH"), "{violations:?}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
    assert_eq!(list_reads_and_sends(&gateway, CONNECTBY).1, 0);

    // Without the check, the provider refuses it.
    let error = gateway.send(unchecked(CONNECTBY, raw("new_arrivals", "[]"))).await.expect_err("refused");
    assert_eq!(metadata(&error, "provider_code"), "131009");
    assert_eq!(list_reads_and_sends(&gateway, CONNECTBY).1, 1);
}

#[tokio::test]
async fn connectly_needs_no_component() {
    let gateway = Start::quiet().start().await;
    let parts = [
        json!({"type": "CAROUSEL", "cards": []}),
        json!({"type": "BUTTONS", "buttons": [{"type": "FLOW", "text": "Book"}]}),
    ];
    set_template_list(&gateway, CONNECTLY, listed(CONNECTLY, "APPROVED", "Hello", &parts)).await;
    gateway.send(send(CONNECTLY, template("offer", "en", &[]))).await.expect("accepted");
    assert_eq!(list_reads_and_sends(&gateway, CONNECTLY), (1, 1));
}
