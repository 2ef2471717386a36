//! The replies of ConnectBy.

use reqwest::multipart::{Form, Part};

use super::super::connectby::{self, GraphErrors, IllegalEscape, PastTheEnd};
use super::super::{Operation, Options};
use super::*;

async fn with(connectby: connectby::Options) -> Sandbox {
    Sandbox::start(Options { connectby, ..Options::instant() }).await.unwrap()
}

#[tokio::test]
async fn wrong_key_is_refused() {
    within(async {
        let sandbox = started().await;
        let provider = sandbox.connectby();
        let list = || client().get(provider.base_url().join("/v1.0/contacts").unwrap());
        for request in [list(), list().header("secret_key", "wrong")] {
            let (status, body) = body(request.send().await.unwrap()).await;
            assert_eq!((status.as_u16(), &body["success"]), (401, &json!(false)));
        }
        assert_eq!(provider.arrivals(Operation::ListContacts), 2);
        assert!(provider.calls().iter().all(|call| call.header("secret_key").is_none()));
    })
    .await;
}

#[tokio::test]
async fn text_is_accepted_and_logged() {
    within(async {
        let sandbox = started().await;
        let provider = sandbox.connectby();
        let (status, reply) = body(provider.text(&client()).send().await.unwrap()).await;
        assert_eq!(status, 200);
        assert_eq!(reply["success"], true);
        assert_eq!(reply["responseData"]["contacts"][0]["wa_id"], "919812345670");
        assert!(reply["responseData"]["messages"][0]["id"].as_str().unwrap().starts_with("wamid."));

        let calls = provider.calls();
        assert_eq!(calls.len(), 1);
        assert_eq!((calls[0].sequence, calls[0].operation), (1, Some(Operation::SendText)));
        assert_eq!((calls[0].method.as_str(), calls[0].path.as_str()), ("POST", "/v1.0/message"));
        assert_eq!(calls[0].content_type(), Some("application/json"));
        assert_eq!(calls[0].json().unwrap()["message"], "hello");
        provider.clear_calls();
        assert_eq!((provider.calls().len(), provider.arrivals(Operation::SendText)), (0, 0));
    })
    .await;
}

#[tokio::test]
async fn text_or_recipient_over_limit_is_refused() {
    within(async {
        let sandbox = started().await;
        for (to_number, message, expected) in [
            ("919812345670", "😀".repeat(1024), 200),
            ("919812345670", "😀".repeat(1025), 400),
            ("+919812345670", "hello".to_owned(), 400),
            ("919812345670", String::new(), 400),
        ] {
            let text = json!({"to_number": to_number, "message": message});
            let sent = sandbox.connectby().post(&client(), "/v1.0/message", &text).send().await.unwrap();
            assert_eq!(sent.status().as_u16(), expected, "{to_number} {}", message.len());
        }
    })
    .await;
}

#[tokio::test]
async fn contacts_are_paged_and_can_be_changed() {
    within(async {
        let sandbox = started().await;
        let (provider, client) = (sandbox.connectby(), client());
        let page = async |number: u32| {
            let listed =
                provider.get(&client, &format!("/v1.0/contacts?page={number}")).send().await.unwrap();
            body(listed).await.1["contacts"].as_array().unwrap().clone()
        };
        assert_eq!([page(1).await.len(), page(2).await.len(), page(3).await.len()], [20, 20, 5]);
        assert_eq!(page(4).await.len(), 0);
        assert_eq!(page(2).await[0]["id"], 21);

        let new =
            json!({"name": "Asha", "country_code": "91", "phone_number": "9812345670", "dob": "1990-05-01"});
        let (_, created) = body(provider.post(&client, "/v1.0/contacts", &new).send().await.unwrap()).await;
        let id = created["contactId"].as_u64().unwrap();
        assert_eq!(page(3).await[5], json!({"id": id, "name": "Asha", "phone": "9812345670"}));

        let url = provider.base_url().join(&format!("/v1.0/contacts/{id}")).unwrap();
        let key = provider.secret_key();
        let renamed = client.put(url.clone()).header("secret_key", key).body(r#"{"name":"Asha Rao"}"#);
        assert_eq!(renamed.send().await.unwrap().status(), 200);
        assert_eq!(page(3).await[5]["name"], "Asha Rao");
        for expected in [200, 404] {
            let deleted = client.delete(url.clone()).header("secret_key", key).send().await.unwrap();
            assert_eq!(deleted.status().as_u16(), expected);
        }
        let nameless = json!({"country_code": "91", "phone_number": "1"});
        assert_eq!(provider.post(&client, "/v1.0/contacts", &nameless).send().await.unwrap().status(), 400);
    })
    .await;
}

#[tokio::test]
async fn page_after_end_repeats_last_page_if_configured() {
    within(async {
        let past_the_end = PastTheEnd::RepeatsLast;
        let sandbox = with(connectby::Options { past_the_end, ..Default::default() }).await;
        let page = sandbox.connectby().get(&client(), "/v1.0/contacts?page=99").send().await.unwrap();
        assert_eq!(body(page).await.1["contacts"].as_array().unwrap().len(), 5);
    })
    .await;
}

#[tokio::test]
async fn one_flow_response_has_illegal_escape() {
    within(async {
        let sandbox = started().await;
        let page = sandbox.connectby().get(&client(), "/v1.0/flowdata").send().await.unwrap();
        let (_, page) = body(page).await;
        let rows = page["flowdata"].as_array().unwrap();
        let answers = |row: usize| rows[row]["flow_response"].as_str().unwrap();
        assert!(answers(0).contains(r"\@") && serde_json::from_str::<Value>(answers(0)).is_err());
        assert!(serde_json::from_str::<Value>(answers(1)).is_ok());
        assert!(rows[0].as_object().unwrap().values().all(Value::is_string));

        let illegal_escape = IllegalEscape::InPage;
        let sandbox = with(connectby::Options { illegal_escape, ..Default::default() }).await;
        let page = sandbox.connectby().get(&client(), "/v1.0/flowdata").send().await.unwrap();
        let page = page.text().await.unwrap();
        assert!(page.contains(r"asha\@example.org") && serde_json::from_str::<Value>(&page).is_err());
    })
    .await;
}

#[tokio::test]
async fn media_over_limit_of_its_kind_is_refused() {
    within(async {
        let sandbox = started().await;
        let provider = sandbox.connectby();
        for (content_type, bytes, expected) in [
            ("image/png", 5 << 20, 200),
            ("image/png", (5 << 20) + 1, 400),
            ("video/mp4", 16 << 20, 200),
            ("application/pdf", (16 << 20) + 1, 400),
            ("audio/ogg", 10, 400),
        ] {
            let file = Part::bytes(vec![b'\r'; bytes]).file_name("file").mime_str(content_type).unwrap();
            let form = Form::new().text("to_number", "919812345670").part("file", file);
            let url = provider.base_url().join("/v1.0/message/media").unwrap();
            let sent = client().post(url).header("secret_key", provider.secret_key()).multipart(form);
            let (status, reply) = body(sent.send().await.unwrap()).await;
            assert_eq!(status.as_u16(), expected, "{content_type} {bytes}");
            assert_eq!(reply["responseDataArray"].is_array(), expected == 200);
        }
    })
    .await;
}

#[tokio::test]
async fn uploaded_media_is_served_without_key() {
    within(async {
        let sandbox = started().await;
        let provider = sandbox.connectby();
        let file = Part::bytes(&b"\x89PNG\r\n"[..]).file_name("a.png").mime_str("image/png").unwrap();
        let url = provider.base_url().join("/v1.0/templates/media").unwrap();
        let sent = client().post(url).header("secret_key", provider.secret_key());
        let (_, reply) = body(sent.multipart(Form::new().part("file", file)).send().await.unwrap()).await;
        let url = reply["fileUrl"].as_str().unwrap();
        assert!(url.ends_with(".png"));
        let served = client().get(url).send().await.unwrap();
        assert_eq!(served.headers()["content-type"], "image/png");
        assert_eq!(served.bytes().await.unwrap(), &b"\x89PNG\r\n"[..]);
    })
    .await;
}

#[tokio::test]
async fn template_pages_link_in_both_directions() {
    within(async {
        let sandbox = started().await;
        let (provider, client) = (sandbox.connectby(), client());
        let page = async |url: &str| {
            body(provider.get(&client, url).send().await.unwrap()).await.1["responseData"].clone()
        };
        let (mut pages, mut link) = (Vec::new(), Some("/v1.0/templates".to_owned()));
        while let Some(url) = link {
            let next = page(&url).await;
            link = next["paging"]["next"].as_str().map(str::to_owned);
            pages.push(next);
        }
        assert!(pages.len() >= 3);
        assert!(pages[0]["paging"]["previous"].is_null());
        let statuses: Vec<_> =
            pages.iter().flat_map(|p| p["data"].as_array().unwrap()).map(|t| t["status"].clone()).collect();
        assert!(statuses.contains(&json!("PAUSED")) && statuses.contains(&json!("REJECTED")));
        let back = page(pages[1]["paging"]["previous"].as_str().unwrap()).await;
        assert_eq!(back["data"], pages[0]["data"]);
        let bad = provider.get(&client, "/v1.0/templates?after=nonsense").send().await.unwrap();
        assert_eq!(bad.status(), 400);
    })
    .await;
}

#[tokio::test]
async fn template_message_is_checked_like_meta_does() {
    within(async {
        let sandbox = with(connectby::Options::default()).await;
        let (provider, client) = (sandbox.connectby(), client());
        let text = |texts: &[&str]| -> Value {
            texts.iter().map(|text| json!({"type": "text", "text": text})).collect()
        };
        let named = json!([{"type": "text", "parameter_name": "first_name", "text": "Asha"}]);
        let day = json!({"type": "text", "parameter_name": "day", "text": "Monday"});
        let time = json!({"type": "text", "parameter_name": "time", "text": "10:00"});
        let button = |sub_type: &str, parameter: Value| {
            json!({"type": "button", "sub_type": sub_type, "index": "0", "parameters": [parameter]})
        };
        let code = json!({"type": "text", "text": "123456"});
        let coupon = json!({"type": "coupon_code", "coupon_code": "TEN"});
        let image = json!({"type": "image", "image": {"link": "https://files.example.org/a.png"}});
        let shop = json!({"type": "button", "sub_type": "url", "index": 1, "parameters": [code]});
        let action = json!({"type": "action", "action": {"flow_token": "T"}});
        let flow = |index: &str| {
            json!({"type": "button", "sub_type": "flow", "index": index, "parameters": [action]})
        };
        let visit_body = json!({"type": "body", "parameters": text(&["Asha"])});
        let cards = |indexes: &[u32]| {
            let cards: Value = indexes.iter().map(|index| json!({"card_index": index})).collect();
            json!([{"type": "carousel", "cards": cards}])
        };
        let expires = json!({"type": "limited_time_offer", "parameters": [
            {"type": "limited_time_offer", "limited_time_offer": {"expiration_time_ms": 1_800_000_000_000_u64}}
        ]});
        let sale = |header: &Value| {
            let body = json!({"type": "body", "parameters": text(&["A"])});
            json!([{"type": "header", "parameters": [header]}, body, shop])
        };
        let cases = [
            ("order_update", "en", json!([{"type": "body", "parameters": text(&["A", "B"])}]), None),
            ("order_update", "de", json!([{"type": "body", "parameters": text(&["A"])}]), Some(132000)),
            ("order_update", "en", json!([{"type": "body", "parameters": text(&["A", ""])}]), Some(131008)),
            ("order_update", "fr", json!([]), Some(132001)),
            ("summer_sale", "en_US", sale(&image), None),
            ("summer_sale", "en_US", sale(&code), Some(132012)),
            ("login_code", "en", json!([{"type": "body", "parameters": text(&["1"])}]), Some(131008)),
            (
                "login_code",
                "en",
                json!([{"type": "body", "parameters": text(&["1"])}, button("url", code.clone())]),
                None,
            ),
            ("welcome_coupon", "en", json!([button("copy_code", coupon.clone())]), None),
            ("book_visit", "en", json!([visit_body, flow("1")]), None),
            ("book_visit", "en", json!([visit_body]), Some(131009)),
            ("book_visit", "en", json!([visit_body, flow("0")]), Some(132012)),
            ("new_arrivals", "en", cards(&[1, 0]), None),
            ("new_arrivals", "en", cards(&[0]), Some(131009)),
            ("new_arrivals", "en", Value::Null, Some(131009)),
            ("shop_here", "en", cards(&[0]), Some(132000)),
            ("flash_sale", "en", json!([expires, button("copy_code", coupon.clone())]), None),
            ("flash_sale", "en", json!([button("copy_code", coupon)]), Some(131009)),
            ("shop_here", "en", Value::Null, None),
            ("shop_here", "en", json!([button("CATALOG", action.clone())]), None),
            ("our_picks", "en", json!([button("mpm", action)]), None),
            ("our_picks", "en", Value::Null, Some(131009)),
            (
                "appointment",
                "en",
                json!([{"type": "header", "parameters": named}, {"type": "body", "parameters": [time, day]}]),
                None,
            ),
            ("winter_sale", "en", Value::Null, Some(132015)),
            ("free_money", "en", Value::Null, Some(132001)),
        ];
        let listed = super::super::connectby::seeded_templates();
        for (name, language, components, expected) in cases {
            let template = listed.iter().find(|t| t["name"] == name && t["language"] == language).cloned();
            let template = template.unwrap_or(json!({"name": name, "language": language}));
            let send = json!({"to_number": "919812345670", "components": components, "template": template});
            let sent = provider.post(&client, "/v1.0/templates/send", &send).send().await.unwrap();
            let (status, reply) = body(sent).await;
            assert_eq!(reply["responseData"]["error"]["code"].as_i64(), expected, "{name}: {reply}");
            assert_eq!(status == 200, expected.is_none());
        }
        let mut other = listed[0].clone();
        other.as_object_mut().unwrap().remove("sub_category");
        let send = json!({"to_number": "919812345670", "template": other});
        let sent = provider.post(&client, "/v1.0/templates/send", &send).send().await.unwrap();
        assert_eq!(sent.status(), 400);
    })
    .await;
}

#[tokio::test]
async fn graph_error_is_at_top_level_if_configured() {
    within(async {
        let graph_errors = GraphErrors::AtTopLevel;
        let sandbox = with(connectby::Options { graph_errors, ..Default::default() }).await;
        let send = json!({"to_number": "919812345670", "template": {"name": "none", "language": "en"}});
        let sent = sandbox.connectby().post(&client(), "/v1.0/templates/send", &send).send().await.unwrap();
        let (status, reply) = body(sent).await;
        assert_eq!((status.as_u16(), &reply["error"]["code"]), (404, &json!(132001)));
    })
    .await;
}
