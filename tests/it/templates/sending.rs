//! The requests that template messages become.

use serde_json::json;
use switchboard::pb::v1::{Location, MessageState};

use super::*;
use crate::support::gateway::{CONNECTBY, CONNECTLY, Start};

#[tokio::test]
async fn image_template_reaches_connectby_as_documented() {
    let gateway = Start::quiet().start().await;
    set_list_reply(&gateway, page(UNUSUAL_TEMPLATE, "{}")).await;
    let accepted =
        r#"{"success":true,"responseData":{"messages":[{"id":"wamid.1","message_status":"accepted"}]}}"#;
    let rule = FaultRule::once(Fault::Body(200, accepted.to_owned())).on(Operation::SendTemplate);
    gateway.connectby().set_fault(rule).await;
    let request = TemplateMessage {
        header: header(template_header::Header::Image(media("https://example.com/dummy-image.jpg", ""))),
        ..template("dummy_template", "en", &["Dummy text message"])
    };
    let message = gateway
        .send(SendMessageRequest { to: "911234567890".to_owned(), ..send(CONNECTBY, request) })
        .await
        .expect("accepted");
    assert_eq!((message.state(), message.provider_state.as_str()), (MessageState::Accepted, "accepted"));
    assert_eq!(message.provider_message_ids, ["wamid.1"]);

    let call = sent(&gateway);
    assert_eq!((call.method.as_str(), call.path.as_str()), ("POST", "/v1.0/templates/send"));
    assert_eq!(call.content_type(), Some("application/json"));
    let body = call.json().expect("JSON");
    assert_eq!(body.as_object().map(|body| body.len()), Some(3));
    assert_eq!(body["to_number"], "911234567890");
    assert_eq!(
        body["components"],
        json!([
            {"type": "header", "parameters": [
                {"type": "image", "image": {"link": "https://example.com/dummy-image.jpg"}}
            ]},
            {"type": "body", "parameters": [{"type": "text", "text": "Dummy text message"}]},
        ])
    );
    let raw = std::str::from_utf8(&call.body).expect("text");
    assert!(raw.contains(&format!(r#""template":{UNUSUAL_TEMPLATE}"#)), "{raw}");
}

#[tokio::test]
async fn one_time_password_reaches_connectby_as_documented() {
    let gateway = Start::quiet().start().await;
    let code = "ONE-TIME PASSWORD";
    let request =
        TemplateMessage { buttons: vec![url_suffix(0, code)], ..template("login_code", "en", &[code]) };
    let message = gateway.send(send(CONNECTBY, request)).await.expect("accepted");
    assert!(message.provider_message_ids[0].starts_with("wamid."));
    let listed = get(&gateway, CONNECTBY, "login_code", "en").await.expect("present").raw_json;
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(
        sent(&gateway).json().expect("JSON"),
        json!({
            "to_number": "15550100001",
            "components": [
                {"type": "body", "parameters": [{"type": "text", "text": code}]},
                {"type": "button", "sub_type": "url", "index": "0",
                 "parameters": [{"type": "text", "text": code}]},
            ],
            "template": listed,
        })
    );
}

#[tokio::test]
async fn named_parameters_of_a_later_page_template_reach_connectby() {
    let gateway = Start::quiet().start().await;
    let request = TemplateMessage {
        header: header(template_header::Header::Text(named("first_name", "Asha"))),
        body: vec![named("day", "Monday"), named("time", "10:00")],
        ..template("appointment", "en", &[])
    };
    gateway.send(send(CONNECTBY, request)).await.expect("accepted");
    assert_eq!(gateway.connectby().arrivals(Operation::ListTemplates), 2);
    assert_eq!(
        sent(&gateway).json().expect("JSON")["components"],
        json!([
            {"type": "header", "parameters": [
                {"type": "text", "parameter_name": "first_name", "text": "Asha"}
            ]},
            {"type": "body", "parameters": [
                {"type": "text", "parameter_name": "day", "text": "Monday"},
                {"type": "text", "parameter_name": "time", "text": "10:00"},
            ]},
        ])
    );
}

#[tokio::test]
async fn every_parameter_type_reaches_connectby() {
    let gateway = Start::quiet().start().await;
    set_list_reply(&gateway, page(UNUSUAL_TEMPLATE, "{}")).await;
    let success = Fault::Body(200, r#"{"success":true}"#.to_owned());
    gateway.connectby().set_fault(FaultRule::always(success).on(Operation::SendTemplate)).await;
    let url = "https://example.com/a";
    let place = Location {
        latitude: 12.97,
        longitude: -180.0,
        name: "Shop".to_owned(),
        address: "1 Main Road".to_owned(),
    };
    for (given, expected) in [
        (template_header::Header::Video(media(url, "")), json!({"type": "video", "video": {"link": url}})),
        (
            template_header::Header::Document(media(url, "a b.pdf")),
            json!({"type": "document", "document": {"link": url, "filename": "a b.pdf"}}),
        ),
        (
            template_header::Header::Document(media(url, "")),
            json!({"type": "document", "document": {"link": url}}),
        ),
        (
            template_header::Header::Location(place),
            json!({"type": "location", "location":
                {"latitude": 12.97, "longitude": -180.0, "name": "Shop", "address": "1 Main Road"}}),
        ),
        (
            template_header::Header::Location(Location::default()),
            json!({"type": "location", "location": {"latitude": 0.0, "longitude": 0.0}}),
        ),
        (template_header::Header::Text(text("t")), json!({"type": "text", "text": "t"})),
    ] {
        let request = TemplateMessage { header: header(given), ..template("dummy_template", "en", &[]) };
        gateway.send(unchecked(CONNECTBY, request)).await.expect("accepted");
        let components = sent(&gateway).json().expect("JSON")["components"].clone();
        assert_eq!(components, json!([{"type": "header", "parameters": [expected]}]));
    }
    let request = TemplateMessage {
        body: vec![currency("EUR"), date_time("on Monday")],
        buttons: vec![quick_reply(9, "p"), coupon(2, "SAVE")],
        ..template("dummy_template", "en", &[])
    };
    gateway.send(unchecked(CONNECTBY, request)).await.expect("accepted");
    assert_eq!(
        sent(&gateway).json().expect("JSON")["components"],
        json!([
            {"type": "body", "parameters": [
                {"type": "currency",
                 "currency": {"fallback_value": "€ 1", "code": "EUR", "amount_1000": 1000}},
                {"type": "date_time", "date_time": {"fallback_value": "on Monday"}},
            ]},
            {"type": "button", "sub_type": "quick_reply", "index": "9",
             "parameters": [{"type": "payload", "payload": "p"}]},
            {"type": "button", "sub_type": "copy_code", "index": "2",
             "parameters": [{"type": "coupon_code", "coupon_code": "SAVE"}]},
        ])
    );
    gateway.send(unchecked(CONNECTBY, template("dummy_template", "en", &[]))).await.expect("accepted");
    assert_eq!(sent(&gateway).json().expect("JSON").get("components"), None, "no component has a parameter");
}

#[tokio::test]
async fn template_reaches_connectly_with_the_documented_body() {
    let gateway = Start::quiet().start().await;
    let request = TemplateMessage {
        header: header(template_header::Header::Document(media("https://files.example.org/a.pdf", "a.pdf"))),
        ..template("invoice", "en", &["Ada"])
    };
    let request =
        SendMessageRequest { sender: Some("+1 555 010 0002".to_owned()), ..send(CONNECTLY, request) };
    let message = gateway.send(request).await.expect("accepted");
    assert_eq!((message.provider_message_ids.len(), message.state()), (1, MessageState::Accepted));
    let call = gateway.connectly().calls().pop().expect("arrived");
    let path =
        format!("/v1/businesses/{}/send/whatsapp_templated_messages", gateway.connectly().business_id());
    assert_eq!((call.method.as_str(), call.path.clone()), ("POST", path));
    assert_eq!(call.content_type(), Some("application/json"));
    assert_eq!(
        call.json().expect("JSON"),
        json!({
            "sender": "+15550100002", "number": CUSTOMER, "templateName": "invoice", "language": "en",
            "parameters": [
                {"name": "header_document", "value": "https://files.example.org/a.pdf", "filename": "a.pdf"},
                {"name": "body_1", "value": "Ada"},
            ],
            "callbackData": {"sb": format!("{}/1", message.message_id)},
        })
    );
}

#[tokio::test]
async fn parameters_reach_connectly_by_name_or_position() {
    let gateway = Start::quiet().start().await;
    let url = "https://example.com/a";
    let cases = [
        (
            TemplateMessage {
                header: header(template_header::Header::Image(media(url, ""))),
                buttons: vec![url_suffix(0, "summer")],
                ..template("summer_sale", "en_US", &["Ada"])
            },
            json!([{"name": "header_image", "value": url}, {"name": "body_1", "value": "Ada"},
                   {"name": "button_1_url", "value": "summer"}]),
        ),
        (
            TemplateMessage {
                header: header(template_header::Header::Video(media(url, ""))),
                body: vec![text("a"), named("var1", "b"), text("c")],
                buttons: vec![url_suffix(9, "z"), url_suffix(1, "y")],
                ..template("t", "en", &[])
            },
            json!([{"name": "header_video", "value": url}, {"name": "body_1", "value": "a"},
                   {"name": "var1", "value": "b"}, {"name": "body_3", "value": "c"},
                   {"name": "button_10_url", "value": "z"}, {"name": "button_2_url", "value": "y"}]),
        ),
        (
            TemplateMessage {
                header: header(template_header::Header::Text(text("t"))),
                ..template("t", "en", &[])
            },
            json!([{"name": "header_text", "value": "t"}]),
        ),
        (
            TemplateMessage {
                header: header(template_header::Header::Text(named("h", "t"))),
                ..template("t", "en", &[])
            },
            json!([{"name": "h", "value": "t"}]),
        ),
    ];
    for (request, expected) in cases {
        // The test checks the request only. The provider may refuse it.
        let _ = gateway.send(send(CONNECTLY, request)).await;
        let call = gateway.connectly().calls().pop().expect("arrived").json().expect("JSON");
        assert_eq!(call["parameters"], expected);
    }
    let request = TemplateMessage { body: vec![named("var1", "Ada")], ..template("named_greeting", "", &[]) };
    let to = "bsuid:US.778".to_owned();
    let _ = gateway.send(SendMessageRequest { to: to.clone(), ..send(CONNECTLY, request) }).await;
    let mut call = gateway.connectly().calls().pop().expect("arrived").json().expect("JSON");
    let tag = call.as_object_mut().and_then(|call| call.remove("callbackData")).expect("present");
    assert!(tag["sb"].as_str().is_some_and(|sb| sb.starts_with("msg_") && sb.ends_with("/1")), "{tag}");
    assert_eq!(
        call,
        json!({"number": to, "templateName": "named_greeting",
               "parameters": [{"name": "var1", "value": "Ada"}]})
    );
}

#[tokio::test]
async fn components_json_reaches_connectby_byte_for_byte() {
    let gateway = Start::quiet().start().await;
    let flow = r#"[ {"type":"BODY","parameters":[{"type":"text","text":"\u00e1da"}]},
        {"x": 1.50, "type": "button", "sub_type": "flow", "index": 1, "parameters": [{"type": "action", "action": {"flow_token": "T"}}]} ]"#;
    let cards = r#"[{"type":"carousel","cards":[{"card_index":0,"components":[]},{"card_index":1}]}]"#;
    let offer = r#"[{"type":"limited_time_offer","parameters":[{"type":"limited_time_offer","limited_time_offer":{"expiration_time_ms":1800000000000}}]},{"type":"button","sub_type":"copy_code","index":"0","parameters":[{"type":"coupon_code","coupon_code":"FLASH"}]}]"#;
    let products = r#"[{"type":"button","sub_type":"mpm","index":"0","parameters":[{"type":"action","action":{"sections":[]}}]}]"#;
    for (name, json) in [
        ("book_visit", flow),
        ("new_arrivals", cards),
        ("flash_sale", offer),
        ("our_picks", products),
        ("shop_here", "[]"),
    ] {
        let request = TemplateMessage { components_json: json.to_owned(), ..template(name, "en", &[]) };
        gateway.send(send(CONNECTBY, request)).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let call = sent(&gateway);
        let body = std::str::from_utf8(&call.body).expect("text");
        assert!(body.contains(&format!(r#""components":{json},"template":"#)), "{body}");
    }
    // A catalog button needs no component.
    gateway.send(send(CONNECTBY, template("shop_here", "en", &[]))).await.expect("accepted");
    assert_eq!(sent(&gateway).json().expect("JSON").get("components"), None);
}

#[tokio::test]
async fn campaign_reaches_connectly_with_a_template() {
    let gateway = Start::quiet().start().await;
    let request = SendMessageRequest {
        campaign_name: "spring".to_owned(),
        ..send(CONNECTLY, template("order_update", "en", &["Ada", "A-77"]))
    };
    gateway.send(request).await.expect("accepted");
    let call = gateway.connectly().calls().pop().expect("arrived").json().expect("JSON");
    assert_eq!((&call["campaignName"], &call["templateName"]), (&json!("spring"), &json!("order_update")));
}
