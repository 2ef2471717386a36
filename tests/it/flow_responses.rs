//! Flow responses, also from pages that are not valid JSON.

use switchboard::pb::v1::contact_service_client::ContactServiceClient;
use switchboard::pb::v1::flow_service_client::FlowServiceClient;
use switchboard::pb::v1::{
    Channel, FlowResponse, ListContactsRequest, ListFlowResponsesRequest, ListFlowResponsesResponse, Party,
};
use switchboard::sandbox::connectby::{IllegalEscape, PastTheEnd};
use switchboard::sandbox::{Fault, FaultRule, Operation};
use tonic::{Code, Status};

use crate::support::gateway::{
    CONNECTBY, CONNECTLY, Gateway, Start, assert_malformed_page_token, assert_page_size_out_of_range, fields,
    metadata, read_in_pages, reason, within,
};

async fn list(
    gateway: &Gateway,
    account: &str,
    page_token: &str,
) -> Result<ListFlowResponsesResponse, Status> {
    let request = ListFlowResponsesRequest {
        account: account.to_owned(),
        page_token: page_token.to_owned(),
        ..Default::default()
    };
    let client = &mut FlowServiceClient::new(gateway.channel.clone());
    within(client.list_flow_responses(request)).await.map(tonic::Response::into_inner)
}

/// Every flow response, from all pages.
async fn all(gateway: &Gateway) -> Vec<FlowResponse> {
    let (mut responses, mut token) = (Vec::new(), String::new());
    for _ in 0..20 {
        let page = list(gateway, CONNECTBY, &token).await.expect("listed");
        responses.extend(page.flow_responses);
        token = page.next_page_token;
        if token.is_empty() {
            return responses;
        }
    }
    panic!("the list has no end")
}

#[tokio::test]
async fn every_flow_response_is_listed_once_despite_broken_pages() {
    for illegal_escape in [IllegalEscape::InFlowResponse, IllegalEscape::InPage] {
        for past_the_end in [PastTheEnd::Empty, PastTheEnd::RepeatsLast] {
            let start = Start::quiet().connectby(|options| {
                options.illegal_escape = illegal_escape;
                options.past_the_end = past_the_end;
            });
            let gateway = start.start().await;
            let responses = all(&gateway).await;
            assert_eq!(responses.len(), 23, "{illegal_escape:?} {past_the_end:?}");
            for (index, response) in responses.iter().enumerate() {
                let number = format!("9198123{index:05}");
                assert_eq!(response.problem, "", "{illegal_escape:?} {past_the_end:?} {index}");
                assert_eq!(response.flow_id, "9001112223334445");
                let sender = Party {
                    address: format!("+{number}"),
                    phone_number: format!("+{number}"),
                    channel: Channel::Whatsapp.into(),
                    ..Party::default()
                };
                assert_eq!(response.sender, Some(sender));
                assert_eq!(response.flow_token, format!("{number}-9001112223334445"));
                let seconds = 1_738_651_325 + 60 * i64::try_from(index).expect("small");
                let at = Some(prost_types::Timestamp { seconds, nanos: 0 });
                assert_eq!((response.create_time, response.update_time), (at, at));
                assert_eq!(response.answers.len(), 2, "the flow token is not an answer");
            }
            assert_eq!(responses[0].answers["screen_0_Name_0"], "Asha");
            assert_eq!(responses[0].answers["screen_0_Email_ID_4"], "asha@example.org");
            assert!(responses[0].raw_json.contains(r#""asha\@example.org""#), "{illegal_escape:?}");
            assert_eq!(responses[22].answers["screen_0_Slot_1"], "0_10:00_AM");
        }
    }
}

#[tokio::test]
async fn flow_responses_are_the_same_for_each_page_size() {
    let gateway = Start::quiet().start().await;
    let page = async |page_size, page_token| {
        let request = ListFlowResponsesRequest { account: CONNECTBY.to_owned(), page_size, page_token };
        let client = &mut FlowServiceClient::new(gateway.channel.clone());
        within(client.list_flow_responses(request)).await.map(tonic::Response::into_inner)
    };
    let expected = all(&gateway).await;
    for page_size in [1, 2, 1_000] {
        let responses = read_in_pages(page_size, async |token| {
            let page = page(page_size, token).await.expect("listed");
            (page.flow_responses, page.next_page_token)
        });
        assert_eq!(responses.await, expected, "{page_size}");
    }
    assert_page_size_out_of_range(&page(1_001, String::new()).await.expect_err("too large"));

    let request = ListContactsRequest { account: CONNECTBY.to_owned(), ..Default::default() };
    let client = &mut ContactServiceClient::new(gateway.channel.clone());
    let contacts = within(client.list_contacts(request)).await.expect("listed").into_inner();
    let error = page(1, contacts.next_page_token).await.expect_err("the token of another list");
    assert_malformed_page_token(&error);
}

#[tokio::test]
async fn unreadable_flow_response_has_a_problem_and_hides_no_other() {
    let gateway = Start::quiet().start().await;
    let page = r#"{"flowdata":[
        {"flow_id":"1","from_number":"919812345670","flow_response":"{\"a\":\"b\"}","created_at":"soon"},
        {"flow_id":"2","from_number":"not-a-number","flow_response":"secret words","created_at":1738651325},
        "secret",
        {"flow_id":4,"flow_response":"{\"n\":1.50,\"l\":[1, 2]}"}
    }"#;
    gateway.connectby().set_fault(FaultRule::once(Fault::Body(200, page.to_owned()))).await;
    let rows = list(&gateway, CONNECTBY, "").await.expect("listed").flow_responses;
    let ids: Vec<&str> = rows.iter().map(|row| row.flow_id.as_str()).collect();
    assert_eq!(ids, ["1", "2", "", "4"]);
    let odd: Vec<bool> = rows.iter().map(|row| !row.problem.is_empty()).collect();
    assert_eq!(odd, [false, true, true, false]);
    assert!(rows.iter().all(|row| !row.problem.contains("secret")));
    assert_eq!((rows[0].answers["a"].as_str(), rows[0].create_time), ("b", None));
    assert_eq!((rows[1].raw_json.as_str(), rows[1].answers.len()), ("secret words", 0));
    assert_eq!(rows[1].sender.as_ref().expect("always").address, "not-a-number");
    assert_eq!(rows[1].create_time.expect("a time").seconds, 1_738_651_325);
    assert_eq!(rows[2].raw_json, "\"secret\"");
    assert_eq!((rows[3].answers["n"].as_str(), rows[3].answers["l"].as_str()), ("1.50", "[1, 2]"));
}

#[tokio::test]
async fn truncated_page_is_an_error() {
    let gateway = Start::quiet().start().await;
    let page = r#"{"flowdata":[{"flow_id":"1","flow_response":"{}"},{"flow_id":"2""#;
    gateway.connectby().set_fault(FaultRule::once(Fault::Body(200, page.to_owned()))).await;
    let error = list(&gateway, CONNECTBY, "").await.expect_err("unreadable");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::Internal, "PROVIDER_REPLY_UNREADABLE"));
}

#[tokio::test]
async fn each_provider_reply_to_a_list_maps_to_its_status() {
    use Code::{FailedPrecondition, Internal, NotFound, ResourceExhausted, Unavailable};
    let mut gateway = Start::quiet().without_retries().start().await;
    for (fault, code, expected) in [
        (Fault::status(401), FailedPrecondition, "PROVIDER_CREDENTIALS_REJECTED"),
        (Fault::status(404), NotFound, "PROVIDER_NOT_FOUND"),
        (Fault::status(429), ResourceExhausted, "PROVIDER_THROTTLED"),
        (Fault::status(502), Unavailable, "PROVIDER_UNAVAILABLE"),
        (Fault::CutReply, Unavailable, "PROVIDER_UNAVAILABLE"),
        (Fault::Refuse, Unavailable, "PROVIDER_UNREACHABLE"),
        (Fault::NotJson, Internal, "PROVIDER_REPLY_UNREADABLE"),
        (Fault::Body(200, r#"{"flowdata":"none"}"#.to_owned()), Internal, "PROVIDER_REPLY_UNREADABLE"),
        (Fault::SuccessFalse { code: None }, FailedPrecondition, "PROVIDER_REFUSED"),
    ] {
        gateway.connectby().set_fault(FaultRule::once(fault.clone())).await;
        let error = list(&gateway, CONNECTBY, "").await.expect_err("the fault makes the call fail");
        assert_eq!((error.code(), reason(&error).as_str()), (code, expected), "{fault:?}: {error:?}");
        if code == NotFound {
            assert_eq!(metadata(&error, "route"), r#"list_flow_responses = "GET /v1.0/flowdata""#);
        }
        gateway.connectby().clear_faults().await.expect("faults cleared");
        if expected == "PROVIDER_THROTTLED" {
            // The server now pauses this account.
            gateway = Start::quiet().without_retries().start().await;
        }
    }
}

#[tokio::test]
async fn flow_responses_of_connectly_are_unsupported() {
    let gateway = Start::quiet().start().await;
    let error = list(&gateway, CONNECTLY, "").await.expect_err("unsupported");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::Unimplemented, "PROVIDER_UNSUPPORTED"));
    assert_eq!(fields(&error), ["account"]);
    assert_eq!(fields(&list(&gateway, "", "").await.expect_err("no account")), ["account"]);
    let error = list(&gateway, CONNECTBY, "?").await.expect_err("no token");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::InvalidArgument, "PAGE_TOKEN_MALFORMED"));
    assert_eq!(gateway.connectby().arrivals(Operation::ListFlowData), 0);
}
