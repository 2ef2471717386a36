//! `ListTemplates` and `GetTemplate`.

use switchboard::pb::v1::{ParameterFormat, TemplateCategory, TemplateComponentType, TemplateStatus};
use tonic::Code;

use super::*;
use crate::support::gateway::{
    CONNECTBY, CONNECTLY, Start, assert_malformed_page_token, assert_page_size_out_of_range, fields,
    metadata, read_in_pages, reason,
};

#[tokio::test]
async fn connectby_templates_are_paged_in_both_directions() {
    let gateway = Start::quiet().start().await;
    let mut pages = vec![list(&gateway, CONNECTBY, "").await.expect("a page")];
    while let Some(token) = pages.last().map(|page| &page.next_page_token).filter(|token| !token.is_empty()) {
        pages.push(list(&gateway, CONNECTBY, token).await.expect("a page"));
    }
    let sizes: Vec<usize> = pages.iter().map(|page| page.templates.len()).collect();
    assert_eq!(sizes, [3, 3, 3, 3, 1]);
    assert!(pages[0].previous_page_token.is_empty());
    let back = list(&gateway, CONNECTBY, &pages[2].previous_page_token).await.expect("a page");
    assert_eq!(back.templates, pages[1].templates);

    let calls = gateway.connectby().calls();
    assert_eq!((calls[0].method.as_str(), calls[0].path.as_str()), ("GET", "/v1.0/templates"));
    assert!(calls[1].path.starts_with("/v1.0/templates?after="), "{}", calls[1].path);
    assert!(calls[5].path.starts_with("/v1.0/templates?before="), "{}", calls[5].path);

    let first = &pages[0].templates[1];
    assert_eq!((first.name.as_str(), first.language.as_str()), ("summer_sale", "en_US"));
    assert_eq!((first.status(), first.provider_status.as_str()), (TemplateStatus::Approved, "APPROVED"));
    assert_eq!(
        (first.category(), first.provider_category.as_str()),
        (TemplateCategory::Marketing, "MARKETING")
    );
    assert_eq!(first.parameter_format(), ParameterFormat::Positional);
    assert_eq!(first.provider_quality, "GREEN");
    let components: Vec<_> =
        first.components.iter().map(|c| (c.r#type(), c.provider_format.as_str(), c.buttons.len())).collect();
    assert_eq!(
        components,
        [
            (TemplateComponentType::Header, "IMAGE", 0),
            (TemplateComponentType::Body, "", 0),
            (TemplateComponentType::Buttons, "", 2),
        ]
    );
    assert_eq!(first.components[2].buttons[1].url, "https://shop.example.org/{{1}}");
    let rejected = &pages[2].templates[0];
    assert_eq!(
        (rejected.status(), rejected.provider_rejection_reason.as_str()),
        (TemplateStatus::Rejected, "SCAM")
    );
}

#[tokio::test]
async fn connectly_templates_are_one_page_per_name_and_language() {
    let gateway = Start::quiet().start().await;
    let page = list(&gateway, CONNECTLY, "").await.expect("a page");
    assert!(page.next_page_token.is_empty() && page.previous_page_token.is_empty());
    assert_eq!(page.templates.len(), 8);
    let call = gateway.connectly().calls().pop().expect("arrived");
    let path = format!("/v1/businesses/{}/get/templates", gateway.connectly().business_id());
    assert_eq!((call.method.as_str(), call.path.clone()), ("POST", path));
    assert_eq!((call.content_type(), call.body.as_ref()), (Some("application/json"), &b"{}"[..]));

    let german = &page.templates[1];
    assert_eq!((german.name.as_str(), german.language.as_str()), ("order_update", "de"));
    assert_eq!(german.status(), TemplateStatus::Approved);
    assert_eq!(german.provider_status, "MESSAGE_TEMPLATE_STATUS_APPROVED");
    assert_eq!(german.category(), TemplateCategory::Utility);
    assert_eq!(german.create_time.map(|time| time.seconds), Some(1_767_323_045));
    assert_eq!(german.components[0].text, "Hallo {{1}}, Ihre Bestellung {{2}} ist unterwegs.");
    assert_eq!(german.components[0].provider_format, "");
    let sale = &page.templates[2];
    assert_eq!(sale.components[0].provider_format, "IMAGE");
    assert_eq!(sale.components[2].buttons[0].url, "https://shop.example.org/{{1}}");
    let rejected = &page.templates[7];
    assert_eq!(
        (rejected.status(), rejected.provider_rejection_reason.as_str()),
        (TemplateStatus::Rejected, "INVALID_FORMAT")
    );
}

#[tokio::test]
async fn templates_are_the_same_for_each_page_size_and_direction() {
    let gateway = Start::quiet().start().await;
    for (account, count) in [(CONNECTBY, 13), (CONNECTLY, 8)] {
        let expected = read_in_pages(100, async |token| {
            let page = list(&gateway, account, &token).await.expect("a page");
            (page.templates, page.next_page_token)
        });
        let expected = expected.await;
        assert_eq!(expected.len(), count);
        for page_size in [1, 2, 3, 1_000] {
            let last_previous = std::sync::Mutex::new(String::new());
            let templates = read_in_pages(page_size, async |token| {
                let page = list_page(&gateway, account, page_size, &token).await.expect("a page");
                assert_eq!(page.previous_page_token.is_empty(), token.is_empty(), "{account} {page_size}");
                *last_previous.lock().expect("not poisoned") = page.previous_page_token;
                (page.templates, page.next_page_token)
            });
            assert_eq!(templates.await, expected, "{account} {page_size}");

            let mut token = last_previous.into_inner().expect("not poisoned");
            let mut pages = Vec::new();
            while !token.is_empty() {
                let page = list_page(&gateway, account, page_size, &token).await.expect("a page");
                assert!(page.templates.len() <= page_size as usize);
                pages.push(page.templates);
                token = page.previous_page_token;
            }
            let before: Vec<_> = pages.into_iter().rev().flatten().collect();
            assert!(expected.starts_with(&before), "{account} {page_size}");
            assert!(before.len() + page_size as usize >= count, "{account} {page_size}: {}", before.len());
        }
        let error = list_page(&gateway, account, 1_001, "").await.expect_err("too large");
        assert_page_size_out_of_range(&error);
    }
}

#[tokio::test]
async fn page_after_a_previous_page_continues_forward() {
    let gateway = Start::quiet().start().await;
    for (account, steps) in [(CONNECTBY, 3), (CONNECTLY, 2)] {
        let mut pages = vec![list_page(&gateway, account, 2, "").await.expect("a page")];
        for _ in 0..steps {
            let token = &pages.last().expect("present").next_page_token;
            pages.push(list_page(&gateway, account, 2, token).await.expect("a page"));
        }
        let previous = &pages[steps].previous_page_token;
        let back = list_page(&gateway, account, 2, previous).await.expect("a page");
        assert_eq!(back.templates.last(), pages[steps - 1].templates.last(), "{account}");
        let forward = list_page(&gateway, account, 2, &back.next_page_token).await.expect("a page");
        assert_eq!(forward.templates, pages[steps].templates, "{account}");
    }
}

#[tokio::test]
async fn page_after_the_end_of_a_shorter_list_is_empty() {
    let gateway = Start::quiet().start().await;
    let mut token = String::new();
    for _ in 0..3 {
        token = list_page(&gateway, CONNECTLY, 2, &token).await.expect("a page").next_page_token;
    }
    let body = r#"{"entity":{"templateGroups":[{"id":"g","templates":[{"id":"1"}]}]}}"#.to_owned();
    gateway.connectly().set_fault(FaultRule::once(Fault::Body(200, body))).await;
    let page = list_page(&gateway, CONNECTLY, 2, &token).await.expect("a page");
    assert_eq!((page.templates.len(), page.next_page_token.as_str()), (0, ""));
}

#[tokio::test]
async fn listed_template_keeps_the_providers_bytes() {
    let gateway = Start::quiet().start().await;
    set_list_reply(&gateway, page(&format!(" {UNUSUAL_TEMPLATE}\n"), "{}")).await;
    let page = list(&gateway, CONNECTBY, "").await.expect("a page");
    assert_eq!(page.templates[0].raw_json, UNUSUAL_TEMPLATE);
    assert_eq!(page.templates[0].components[0].raw_json, r#"{"type":"HEADER","format":"IMAGE"}"#);
    assert_eq!(page.templates[0].components[1].text, "¡Hola {{1}} 😀!");

    let item = r#"{"id": 13, "language": {"code":"en"},  "x":[ 12345678901234567890 ]}"#;
    let body = format!(r#"{{"entity":{{"templateGroups":[{{"id":"g","templates":[ {item} ]}}]}}}}"#);
    gateway.connectly().set_fault(FaultRule::once(Fault::Body(200, body))).await;
    let page = list(&gateway, CONNECTLY, "").await.expect("a page");
    assert_eq!(page.templates[0].raw_json, item);
    assert_eq!((page.templates[0].name.as_str(), page.templates[0].template_id.as_str()), ("g", "13"));
}

#[tokio::test]
async fn page_token_contains_no_url_and_is_bound_to_its_account() {
    let gateway = Start::quiet().start().await;
    let elsewhere = r#"{"next":"https://elsewhere.example/steal?after=CUR%202"}"#;
    set_list_reply(&gateway, page("", elsewhere)).await;
    let token = list(&gateway, CONNECTBY, "").await.expect("a page").next_page_token;
    list(&gateway, CONNECTBY, &token).await.expect("a page");
    assert_eq!(gateway.connectby().calls()[1].path, "/v1.0/templates?after=CUR+2");

    for (account, token) in [(CONNECTLY, token.as_str()), (CONNECTBY, "x"), (CONNECTBY, &token[1..])] {
        let error = list(&gateway, account, token).await.expect_err("a foreign token");
        assert_malformed_page_token(&error);
    }
}

#[tokio::test]
async fn list_with_a_repeated_page_ends() {
    let gateway = Start::quiet().start().await;
    set_list_reply(
        &gateway,
        page(UNUSUAL_TEMPLATE, r#"{"next":"https://h/t?after=A","previous":"https://h/t?before=A"}"#),
    )
    .await;
    let first = list(&gateway, CONNECTBY, "").await.expect("a page");
    let second = list(&gateway, CONNECTBY, &first.next_page_token).await.expect("a page");
    assert_eq!(second.next_page_token, "");

    gateway.connectby().clear_calls();
    let error = get(&gateway, CONNECTBY, "other", "en").await.expect_err("not found");
    assert_eq!(reason(&error), "TEMPLATE_NOT_FOUND");
    assert_eq!(gateway.connectby().arrivals(Operation::ListTemplates), 2);
}

#[tokio::test]
async fn get_template_needs_the_exact_name_and_language() {
    let gateway = Start::quiet().start().await;
    for (account, id) in [(CONNECTBY, "1200000000000008"), (CONNECTLY, "1300000000000002")] {
        assert_eq!(get(&gateway, account, "order_update", "de").await.expect("present").template_id, id);
        for (name, language) in
            [("order_update", "fr"), ("order_updat", "de"), ("Order_Update", "de"), ("order_update", "DE")]
        {
            let error = get(&gateway, account, name, language).await.expect_err("not found");
            assert_eq!((error.code(), reason(&error).as_str()), (Code::NotFound, "TEMPLATE_NOT_FOUND"));
            assert_eq!(metadata(&error, "account"), account);
        }
    }
    let error = get(&gateway, CONNECTBY, "", "").await.expect_err("empty");
    assert_eq!(fields(&error), ["name", "language"]);
    let error = get(&gateway, "NO", &"é".repeat(513), "").await.expect_err("all wrong");
    assert_eq!(fields(&error), ["account", "name", "language"]);
    for error in [
        list(&gateway, "unknown-account", "").await.err(),
        get(&gateway, "unknown-account", "n", "l").await.err(),
    ] {
        assert_eq!(reason(&error.expect("no such account")), "ACCOUNT_NOT_FOUND");
    }
    let error = list(&gateway, "", "").await.expect_err("empty");
    assert_eq!(fields(&error), ["account"]);
}

#[tokio::test]
async fn each_provider_reply_to_a_read_maps_to_its_status() {
    let status =
        |status, body: &str| Fault::Status { status, retry_after: None, body: Some(body.to_owned()) };
    let ok = |body: &str| Fault::Body(200, body.to_owned());
    let mut gateway = Start::quiet().without_retries().start().await;
    let cases = [
        (Fault::Refuse, Code::Unavailable, "PROVIDER_UNREACHABLE", ""),
        (Fault::CutBeforeReading, Code::Unavailable, "PROVIDER_UNAVAILABLE", "CONNECTION_LOST"),
        (Fault::CutAfterReading, Code::Unavailable, "PROVIDER_UNAVAILABLE", "CONNECTION_LOST"),
        (Fault::CutReply, Code::Unavailable, "PROVIDER_UNAVAILABLE", "REPLY_CUT_OFF"),
        (Fault::status(500), Code::Unavailable, "PROVIDER_UNAVAILABLE", "PROVIDER_FAILED"),
        (status(503, "<html>"), Code::Unavailable, "PROVIDER_UNAVAILABLE", "PROVIDER_FAILED"),
        (Fault::NotJson, Code::Internal, "PROVIDER_REPLY_UNREADABLE", "REPLY_UNREADABLE"),
        (ok("{}"), Code::Internal, "PROVIDER_REPLY_UNREADABLE", "REPLY_UNREADABLE"),
        (ok("[]"), Code::Internal, "PROVIDER_REPLY_UNREADABLE", "REPLY_UNREADABLE"),
        (
            ok(&format!(r#"{{"x":"{}"}}"#, "x".repeat(5 << 20))),
            Code::Internal,
            "PROVIDER_REPLY_UNREADABLE",
            "REPLY_TOO_LARGE",
        ),
        (Fault::status(401), Code::FailedPrecondition, "PROVIDER_CREDENTIALS_REJECTED", ""),
        (status(403, "no"), Code::FailedPrecondition, "PROVIDER_PERMISSION_DENIED", ""),
        (status(404, "?"), Code::NotFound, "PROVIDER_NOT_FOUND", ""),
        (Fault::status(429), Code::ResourceExhausted, "PROVIDER_THROTTLED", ""),
        (Fault::SuccessFalse { code: None }, Code::FailedPrecondition, "PROVIDER_REFUSED", ""),
    ];
    for account in [CONNECTBY, CONNECTLY] {
        for (fault, code, expected, cause) in cases.clone() {
            for read in ["list", "get"] {
                let at: &switchboard::sandbox::Endpoint =
                    if account == CONNECTBY { gateway.connectby() } else { gateway.connectly() };
                at.set_fault(FaultRule::once(fault.clone())).await;
                let error = match read {
                    "list" => list(&gateway, account, "").await.map(|_| ()),
                    _ => get(&gateway, account, "order_update", "en").await.map(|_| ()),
                };
                let error = error.expect_err("the fault makes the call fail");
                let kind = fault.kind();
                assert_eq!((error.code(), reason(&error).as_str()), (code, expected), "{kind}: {error:?}");
                assert_eq!(metadata(&error, "cause"), cause, "{kind}");
                assert_eq!(metadata(&error, "account"), account);
                if expected == "PROVIDER_NOT_FOUND" && account == CONNECTBY {
                    assert_eq!(metadata(&error, "route"), r#"list_templates = "GET /v1.0/templates""#);
                }
                at.clear_faults().await.expect("faults cleared");
                if expected == "PROVIDER_THROTTLED" {
                    // The server now pauses this account.
                    gateway = Start::quiet().without_retries().start().await;
                }
            }
        }
        list(&gateway, account, "").await.expect("the provider works again");
    }
    // Codes that ConnectBy passes on from Meta.
    gateway.connectby().set_fault(FaultRule::once(Fault::SuccessFalse { code: Some(131_000) })).await;
    assert_eq!(reason(&list(&gateway, CONNECTBY, "").await.expect_err("failed")), "PROVIDER_UNAVAILABLE");
    gateway.connectby().set_fault(FaultRule::once(Fault::SuccessFalse { code: Some(80_008) })).await;
    let error = list(&gateway, CONNECTBY, "").await.expect_err("throttled");
    assert_eq!(
        (reason(&error).as_str(), metadata(&error, "provider_code").as_str()),
        ("PROVIDER_THROTTLED", "80008")
    );
}

#[tokio::test]
async fn capabilities_include_templates() {
    let gateway = Start::quiet().start().await;
    let listed = gateway.accounts().list_accounts(switchboard::pb::v1::ListAccountsRequest::default()).await;
    for account in listed.expect("listed").into_inner().accounts {
        let capabilities = account.capabilities.expect("present");
        for rpc in ["TemplateService.ListTemplates", "TemplateService.GetTemplate"] {
            assert!(capabilities.rpcs.iter().any(|listed| listed == rpc), "{rpc} at {}", account.account);
        }
        assert!(capabilities.contents.iter().any(|content| content == "template"));
    }
}
