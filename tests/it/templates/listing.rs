//! Listing templates and getting one.

use switchboard::pb::v1::{ParameterFormat, TemplateCategory, TemplateComponentType, TemplateStatus};
use tonic::Code;

use super::*;
use crate::support::gateway::{CONNECTBY, CONNECTLY, Start, fields, metadata, reason};

#[tokio::test]
async fn connectbys_templates_come_page_by_page_and_back_again() {
    let gateway = Start::quiet().start().await;
    let mut pages = vec![list(&gateway, CONNECTBY, "").await.expect("a page")];
    while let Some(token) = pages.last().map(|page| &page.next_page_token).filter(|token| !token.is_empty()) {
        pages.push(list(&gateway, CONNECTBY, token).await.expect("a page"));
    }
    let sizes: Vec<usize> = pages.iter().map(|page| page.templates.len()).collect();
    assert_eq!(sizes, [3, 3, 2]);
    assert!(pages[0].previous_page_token.is_empty());
    let back = list(&gateway, CONNECTBY, &pages[2].previous_page_token).await.expect("a page");
    assert_eq!(back.templates, pages[1].templates);

    let calls = gateway.connectby().calls();
    assert_eq!((calls[0].method.as_str(), calls[0].path.as_str()), ("GET", "/v1.0/templates"));
    assert!(calls[1].path.starts_with("/v1.0/templates?after="), "{}", calls[1].path);
    assert!(calls[3].path.starts_with("/v1.0/templates?before="), "{}", calls[3].path);

    let first = &pages[0].templates[1];
    assert_eq!((first.name.as_str(), first.language.as_str()), ("summer_sale", "en_US"));
    assert_eq!((first.status(), first.provider_status.as_str()), (TemplateStatus::Approved, "APPROVED"));
    assert_eq!(
        (first.category(), first.provider_category.as_str()),
        (TemplateCategory::Marketing, "MARKETING")
    );
    assert_eq!(first.parameter_format(), ParameterFormat::Positional);
    assert_eq!(first.quality, "GREEN");
    let components: Vec<_> =
        first.components.iter().map(|c| (c.r#type(), c.format.as_str(), c.buttons.len())).collect();
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
    assert_eq!((rejected.status(), rejected.rejection_reason.as_str()), (TemplateStatus::Rejected, "SCAM"));
}

#[tokio::test]
async fn connectlys_templates_come_at_once_one_for_each_name_and_language() {
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
    assert_eq!(german.components[0].format, "");
    let sale = &page.templates[2];
    assert_eq!(sale.components[0].format, "IMAGE");
    assert_eq!(sale.components[2].buttons[0].url, "https://shop.example.org/{{1}}");
    let rejected = &page.templates[7];
    assert_eq!(
        (rejected.status(), rejected.rejection_reason.as_str()),
        (TemplateStatus::Rejected, "INVALID_FORMAT")
    );
}

#[tokio::test]
async fn a_listed_template_keeps_the_providers_own_bytes() {
    let gateway = Start::quiet().start().await;
    listing(&gateway, page(&format!(" {ODD}\n"), "{}")).await;
    let page = list(&gateway, CONNECTBY, "").await.expect("a page");
    assert_eq!(page.templates[0].raw_json, ODD);
    assert_eq!(page.templates[0].components[0].raw_json, r#"{"type":"HEADER","format":"IMAGE"}"#);
    assert_eq!(page.templates[0].components[1].text, "¡Hola {{1}} 😀!");

    let item = r#"{"id": 13, "language": {"code":"en"},  "x":[ 12345678901234567890 ]}"#;
    let body = format!(r#"{{"entity":{{"templateGroups":[{{"id":"g","templates":[ {item} ]}}]}}}}"#);
    gateway.connectly().set_fault(FaultRule::once(Fault::Body(200, body))).await;
    let page = list(&gateway, CONNECTLY, "").await.expect("a page");
    assert_eq!(page.templates[0].raw_json, item);
    assert_eq!((page.templates[0].name.as_str(), page.templates[0].id.as_str()), ("g", "13"));
}

#[tokio::test]
async fn a_page_token_holds_no_url_and_is_good_for_its_account_alone() {
    let gateway = Start::quiet().start().await;
    let elsewhere = r#"{"next":"https://elsewhere.example/steal?after=CUR%202"}"#;
    listing(&gateway, page("", elsewhere)).await;
    let token = list(&gateway, CONNECTBY, "").await.expect("a page").next_page_token;
    list(&gateway, CONNECTBY, &token).await.expect("a page");
    assert_eq!(gateway.connectby().calls()[1].path, "/v1.0/templates?after=CUR+2");

    for (account, token) in [(CONNECTLY, token.as_str()), (CONNECTBY, "x"), (CONNECTBY, &token[1..])] {
        let told = list(&gateway, account, token).await.expect_err("not its token");
        assert_eq!((told.code(), reason(&told).as_str()), (Code::InvalidArgument, "PAGE_TOKEN_MALFORMED"));
        assert_eq!(fields(&told), ["page_token"]);
    }
}

#[tokio::test]
async fn a_list_that_repeats_itself_ends() {
    let gateway = Start::quiet().start().await;
    listing(&gateway, page(ODD, r#"{"next":"https://h/t?after=A","previous":"https://h/t?before=A"}"#)).await;
    let first = list(&gateway, CONNECTBY, "").await.expect("a page");
    let second = list(&gateway, CONNECTBY, &first.next_page_token).await.expect("a page");
    assert_eq!(second.next_page_token, "");

    gateway.connectby().clear_calls();
    let told = get(&gateway, CONNECTBY, "other", "en").await.expect_err("not there");
    assert_eq!(reason(&told), "TEMPLATE_NOT_FOUND");
    assert_eq!(gateway.connectby().arrivals(Operation::ListTemplates), 2);
}

#[tokio::test]
async fn a_template_is_got_by_its_exact_name_and_language() {
    let gateway = Start::quiet().start().await;
    for (account, id) in [(CONNECTBY, "1200000000000008"), (CONNECTLY, "1300000000000002")] {
        assert_eq!(get(&gateway, account, "order_update", "de").await.expect("there").id, id);
        for (name, language) in
            [("order_update", "fr"), ("order_updat", "de"), ("Order_Update", "de"), ("order_update", "DE")]
        {
            let told = get(&gateway, account, name, language).await.expect_err("not there");
            assert_eq!((told.code(), reason(&told).as_str()), (Code::NotFound, "TEMPLATE_NOT_FOUND"));
            assert_eq!(metadata(&told, "account"), account);
        }
    }
    let told = get(&gateway, CONNECTBY, "", "").await.expect_err("empty");
    assert_eq!(fields(&told), ["name", "language"]);
    let told = get(&gateway, "NO", &"é".repeat(513), "").await.expect_err("all wrong");
    assert_eq!(fields(&told), ["account", "name", "language"]);
    for told in [list(&gateway, "nobody", "").await.err(), get(&gateway, "nobody", "n", "l").await.err()] {
        assert_eq!(reason(&told.expect("there is nobody")), "ACCOUNT_NOT_FOUND");
    }
    let told = list(&gateway, "", "").await.expect_err("empty");
    assert_eq!(fields(&told), ["account"]);
}

#[tokio::test]
async fn every_answer_to_a_list_has_its_meaning_and_a_failed_read_may_be_tried_again() {
    let status =
        |status, body: &str| Fault::Status { status, retry_after: None, body: Some(body.to_owned()) };
    let ok = |body: &str| Fault::Body(200, body.to_owned());
    let mut gateway = Start::quiet().one_try().start().await;
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
                let told = match read {
                    "list" => list(&gateway, account, "").await.map(|_| ()),
                    _ => get(&gateway, account, "order_update", "en").await.map(|_| ()),
                };
                let told = told.expect_err("a fault is no success");
                let kind = fault.kind();
                assert_eq!((told.code(), reason(&told).as_str()), (code, expected), "{kind}: {told:?}");
                assert_eq!(metadata(&told, "cause"), cause, "{kind}");
                assert_eq!(metadata(&told, "account"), account);
                if expected == "PROVIDER_NOT_FOUND" && account == CONNECTBY {
                    assert_eq!(metadata(&told, "route"), r#"list_templates = "GET /v1.0/templates""#);
                }
                at.clear_faults().await.expect("listens again");
                if expected == "PROVIDER_THROTTLED" {
                    // This account rests now.
                    gateway = Start::quiet().one_try().start().await;
                }
            }
        }
        list(&gateway, account, "").await.expect("all is well again");
    }
    // What ConnectBy passes on from Meta.
    gateway.connectby().set_fault(FaultRule::once(Fault::SuccessFalse { code: Some(131_000) })).await;
    assert_eq!(reason(&list(&gateway, CONNECTBY, "").await.expect_err("failed")), "PROVIDER_UNAVAILABLE");
    gateway.connectby().set_fault(FaultRule::once(Fault::SuccessFalse { code: Some(80_008) })).await;
    let told = list(&gateway, CONNECTBY, "").await.expect_err("throttled");
    assert_eq!(
        (reason(&told).as_str(), metadata(&told, "provider_code").as_str()),
        ("PROVIDER_THROTTLED", "80008")
    );
}

#[tokio::test]
async fn accounts_say_that_templates_work() {
    let gateway = Start::quiet().start().await;
    let listed = gateway.accounts().list_accounts(switchboard::pb::v1::ListAccountsRequest {}).await;
    for account in listed.expect("listed").into_inner().accounts {
        let able = account.capabilities.expect("there");
        for rpc in ["TemplateService.ListTemplates", "TemplateService.GetTemplate"] {
            assert!(able.rpcs.iter().any(|able| able == rpc), "{rpc} at {}", account.id);
        }
        assert!(able.contents.iter().any(|content| content == "template"));
    }
}
