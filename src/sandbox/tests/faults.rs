//! Each fault as a client sees it.

use std::time::Instant;

use super::super::{Fault, FaultDetail, FaultMalformed, FaultRule, Operation};
use super::*;

#[tokio::test]
async fn latency_delays_reply_and_combines_with_other_faults() {
    within(async {
        let sandbox = started().await;
        let provider = sandbox.connectby();
        provider.set_fault(FaultRule::once(Fault::Latency(Duration::from_millis(150)))).await;
        provider.set_fault(FaultRule::once(Fault::status(503))).await;
        let begun = Instant::now();
        assert_eq!(provider.text(&client()).send().await.unwrap().status(), 503);
        assert!(begun.elapsed() >= Duration::from_millis(150));
        assert_eq!(provider.text(&client()).send().await.unwrap().status(), 200);
    })
    .await;
}

#[tokio::test]
async fn status_fault_applies_to_its_operation_and_times() {
    within(async {
        let sandbox = started().await;
        let (provider, client) = (sandbox.connectby(), client());
        let throttled =
            Fault::Status { status: 429, retry_after: Some("7".to_owned()), body: Some("{}".to_owned()) };
        provider.set_fault(FaultRule::times(2, throttled).on(Operation::SendText)).await;
        provider.set_fault(FaultRule::always(Fault::status(401)).on(Operation::SendText)).await;
        assert_eq!(provider.get(&client, "/v1.0/contacts").send().await.unwrap().status(), 200);
        for expected in [429, 429, 401, 401] {
            let reply = provider.text(&client).send().await.unwrap();
            assert_eq!(reply.status().as_u16(), expected);
            assert_eq!(reply.headers().contains_key("retry-after"), expected == 429);
        }
        provider.clear_faults().await.unwrap();
        assert_eq!(provider.text(&client).send().await.unwrap().status(), 200);
        assert_eq!(provider.arrivals(Operation::SendText), 5);
    })
    .await;
}

#[tokio::test]
async fn status_fault_without_body_has_the_providers_body() {
    within(async {
        let sandbox = started().await;
        sandbox.connectby().set_fault(FaultRule::once(Fault::status(429))).await;
        let (_, reply) = body(sandbox.connectby().text(&client()).send().await.unwrap()).await;
        assert_eq!(reply["success"], false);
        sandbox.connectby().set_fault(FaultRule::once(Fault::status(502))).await;
        let reply = sandbox.connectby().text(&client()).send().await.unwrap();
        assert_eq!(reply.headers()["content-type"], "text/html; charset=utf-8");
        sandbox.connectly().set_fault(FaultRule::once(Fault::status(500))).await;
        let (_, reply) = body(sandbox.connectly().text(&client()).send().await.unwrap()).await;
        assert_eq!(reply["code"], "ERROR_CODE_UNSPECIFIED");
    })
    .await;
}

#[tokio::test]
async fn failure_with_http_200_and_non_json_body_are_sent() {
    within(async {
        let sandbox = started().await;
        let provider = sandbox.connectby();
        for fault in [
            Fault::SuccessFalse { code: None },
            Fault::SuccessFalse { code: Some(131047) },
            Fault::NotJson,
            Fault::Body(202, "half a {".to_owned()),
        ] {
            provider.set_fault(FaultRule::once(fault)).await;
        }
        let (status, reply) = body(provider.text(&client()).send().await.unwrap()).await;
        assert_eq!((status.as_u16(), &reply["success"]), (200, &json!(false)));
        let (_, reply) = body(provider.text(&client()).send().await.unwrap()).await;
        assert_eq!(reply["responseData"]["error"]["code"], 131047);
        let reply = provider.text(&client()).send().await.unwrap();
        assert_eq!((reply.status().as_u16(), &reply.text().await.unwrap()[..5]), (200, "<!DOC"));
        let reply = provider.text(&client()).send().await.unwrap();
        assert_eq!((reply.status().as_u16(), reply.text().await.unwrap().as_str()), (202, "half a {"));

        sandbox.connectly().set_fault(FaultRule::once(Fault::SuccessFalse { code: None })).await;
        let (status, reply) = body(sandbox.connectly().text(&client()).send().await.unwrap()).await;
        assert_eq!((status.as_u16(), reply.get("id")), (200, None));
    })
    .await;
}

#[tokio::test]
async fn cut_before_reading_leaves_no_logged_call() {
    within(async {
        let sandbox = started().await;
        let (provider, client) = (sandbox.connectby(), client());
        let rule = FaultRule::once(Fault::CutBeforeReading).on(Operation::SendText);
        provider.set_fault(rule.clone()).await;
        assert!(provider.text(&client).send().await.is_err(), "on a new connection");

        let listed = provider.get(&client, "/v1.0/contacts").send().await.unwrap();
        listed.bytes().await.unwrap();
        provider.set_fault(rule.clone()).await;
        let listed = provider.get(&client, "/v1.0/contacts").send().await.unwrap();
        assert_eq!(listed.status(), 200, "the rule is for another operation");
        listed.bytes().await.unwrap();
        assert!(provider.text(&client).send().await.is_err(), "on a pooled connection");

        assert_eq!(provider.arrivals(Operation::SendText), 0);
        assert_eq!(provider.faults(), []);
        assert_eq!(provider.text(&client).send().await.unwrap().status(), 200);
    })
    .await;
}

#[tokio::test]
async fn cut_after_reading_leaves_an_executed_call() {
    within(async {
        let sandbox = started().await;
        let provider = sandbox.connectby();
        provider.set_fault(FaultRule::once(Fault::CutAfterReading)).await;
        let new = json!({"name": "Asha", "country_code": "91", "phone_number": "9812345670"});
        assert!(provider.post(&client(), "/v1.0/contacts", &new).send().await.is_err());
        assert_eq!(provider.calls()[0].json().unwrap(), new);
        let page = provider.get(&client(), "/v1.0/contacts?page=3").send().await.unwrap();
        assert_eq!(body(page).await.1["contacts"].as_array().unwrap().len(), 6);
    })
    .await;
}

#[tokio::test]
async fn cut_reply_ends_in_the_middle_of_its_body() {
    within(async {
        let sandbox = started().await;
        let provider = sandbox.connectby();
        provider.set_fault(FaultRule::once(Fault::CutReply)).await;
        let mut reply = provider.text(&client()).send().await.unwrap();
        assert_eq!(reply.status(), 200);
        let whole = reply.content_length().unwrap() as usize;
        let half = reply.chunk().await.unwrap().unwrap();
        assert_eq!(half.len(), whole / 2);
        assert!(reply.chunk().await.is_err());
        assert_eq!(provider.arrivals(Operation::SendText), 1);
    })
    .await;
}

#[tokio::test]
async fn refusing_port_refuses_until_faults_are_cleared() {
    within(async {
        let sandbox = started().await;
        let (provider, client) = (sandbox.connectly(), client());
        provider.text(&client).send().await.unwrap().bytes().await.unwrap();
        for _ in 0..3 {
            provider.set_fault(FaultRule::always(Fault::Refuse)).await;
            provider.set_fault(FaultRule::always(Fault::Refuse)).await;
            let refused = super::client();
            for _ in 0..3 {
                assert!(provider.text(&refused).send().await.unwrap_err().is_connect());
            }
            provider.clear_faults().await.unwrap();
            assert_eq!(provider.text(&client).send().await.unwrap().status(), 201);
        }
        assert_eq!(provider.arrivals(Operation::SendMessage), 4);
    })
    .await;
}

#[tokio::test]
async fn refusing_port_drops_calls_in_progress() {
    within(async {
        let sandbox = started().await;
        let provider = sandbox.connectly();
        provider.set_fault(FaultRule::once(Fault::Latency(Duration::from_secs(3600)))).await;
        let client = client();
        let waiting = provider.text(&client).send();
        let refuse = async {
            while provider.arrivals(Operation::SendMessage) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            provider.set_fault(FaultRule::always(Fault::Refuse)).await;
        };
        let (answer, ()) = tokio::join!(waiting, refuse);
        assert!(!answer.unwrap_err().is_timeout());
    })
    .await;
}

#[tokio::test]
async fn connection_closes_after_reply_without_announcement() {
    within(async {
        let sandbox = started().await;
        let provider = sandbox.connectby();
        provider.set_fault(FaultRule::once(Fault::CloseAfterReply)).await;
        let mut stream = tokio::net::TcpStream::connect((
            provider.base_url().host_str().unwrap(),
            provider.base_url().port().unwrap(),
        ))
        .await
        .unwrap();
        let request = format!(
            "GET /v1.0/contacts HTTP/1.1\r\nhost: x\r\nsecret_key: {}\r\n\r\n",
            provider.secret_key()
        );
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
        let mut reply = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut reply).await.unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200") && !head.to_lowercase().contains("connection:"), "{head}");
        assert!(serde_json::from_str::<Value>(body).is_ok());
    })
    .await;
}

#[tokio::test]
async fn unknown_route_gets_404_and_is_logged() {
    within(async {
        let sandbox = started().await;
        let provider = sandbox.connectly();
        let reply = provider.post(&client(), "no/such/thing?x=1", &json!({})).send().await.unwrap();
        assert_eq!(reply.status(), 404);
        assert_eq!(reply.headers()["content-type"], "text/plain; charset=utf-8");
        let calls = provider.calls();
        assert_eq!((calls[0].operation, provider.unknown_route_arrivals()), (None, 1));
        assert!(calls[0].path.ends_with("/no/such/thing?x=1"));
    })
    .await;
}

#[test]
fn faults_and_operations_round_trip_through_plain_values() {
    let detail = FaultDetail {
        latency: Some(Duration::from_millis(3)),
        status: Some(429),
        retry_after: Some("1".to_owned()),
        code: Some(131056),
        body: Some("x".to_owned()),
    };
    for kind in Fault::KINDS {
        let fault = Fault::from_kind(kind, detail.clone()).unwrap();
        assert_eq!(fault.kind(), *kind);
        assert_eq!(Fault::from_kind(kind, fault.detail()).unwrap(), fault);
    }
    let none = FaultDetail::default;
    assert_eq!(Fault::from_kind("nothing", none()), Err(FaultMalformed::Kind));
    assert_eq!(Fault::from_kind("latency", none()), Err(FaultMalformed::LatencyMissing));
    assert_eq!(
        Fault::from_kind("status", FaultDetail { status: Some(100), ..none() }),
        Err(FaultMalformed::Status)
    );
    for operation in Operation::ALL {
        assert_eq!(operation.as_str().parse(), Ok(*operation));
    }
    assert!("send".parse::<Operation>().is_err());
}
