//! Contacts: requests to the provider, its replies, and the end of a list that has page numbers only.

use std::time::Duration;

use prost_types::FieldMask;
use serde_json::json;
use switchboard::pb::v1::contact_service_client::ContactServiceClient;
use switchboard::pb::v1::flow_service_client::FlowServiceClient;
use switchboard::pb::v1::{
    Contact, CreateContactRequest, CreateContactResponse, DeleteContactRequest, GetAccountRequest,
    ListContactsRequest, ListContactsResponse, ListFlowResponsesRequest, UpdateContactRequest,
    UpdateContactResponse,
};
use switchboard::sandbox::connectby::PastTheEnd;
use switchboard::sandbox::{Call, Fault, FaultRule, Operation};
use tonic::{Code, Status};

use crate::support::gateway::{
    CONNECTBY, CONNECTLY, Gateway, Start, assert_malformed_page_token, assert_page_size_out_of_range,
    details, fields, metadata, read_in_pages, reason, within,
};

/// Calls a method of the service.
macro_rules! call {
    ($gateway:expr, $method:ident, $request:expr) => {
        within(ContactServiceClient::new($gateway.channel.clone()).$method($request))
            .await
            .map(tonic::Response::into_inner)
    };
}

async fn list(gateway: &Gateway, page_token: &str) -> Result<ListContactsResponse, Status> {
    let request = ListContactsRequest {
        account: CONNECTBY.to_owned(),
        page_token: page_token.to_owned(),
        ..Default::default()
    };
    call!(gateway, list_contacts, request)
}

async fn create(gateway: &Gateway, contact: Contact) -> Result<CreateContactResponse, Status> {
    let request = CreateContactRequest {
        account: CONNECTBY.to_owned(),
        contact: Some(contact),
        ..CreateContactRequest::default()
    };
    call!(gateway, create_contact, request)
}

async fn update(gateway: &Gateway, contact: Contact) -> Result<String, Status> {
    let request =
        UpdateContactRequest { account: CONNECTBY.to_owned(), contact: Some(contact), ..Default::default() };
    call!(gateway, update_contact, request).map(|response| response.provider_message)
}

async fn update_masked(
    gateway: &Gateway,
    contact: Contact,
    paths: &[&str],
) -> Result<UpdateContactResponse, Status> {
    let paths = paths.iter().map(|&path| path.to_owned()).collect();
    let request = UpdateContactRequest {
        account: CONNECTBY.to_owned(),
        contact: Some(contact),
        update_mask: Some(FieldMask { paths }),
    };
    call!(gateway, update_contact, request)
}

async fn delete(gateway: &Gateway, id: &str) -> Result<String, Status> {
    let request = DeleteContactRequest { account: CONNECTBY.to_owned(), contact_id: id.to_owned() };
    call!(gateway, delete_contact, request).map(|response| response.provider_message)
}

/// Every contact, and the number of pages.
async fn all(gateway: &Gateway) -> (Vec<Contact>, usize) {
    let (mut contacts, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = list(gateway, &token).await.expect("listed");
        contacts.extend(page.contacts);
        pages += 1;
        assert!(pages < 20, "the list has no end");
        token = page.next_page_token;
        if token.is_empty() {
            return (contacts, pages);
        }
    }
}

fn asha() -> Contact {
    Contact {
        name: "Asha Rao".to_owned(),
        country_code: "+91".to_owned(),
        phone_number: "98123-45670 ".to_owned(),
        ..Contact::default()
    }
}

fn last_call(gateway: &Gateway) -> Call {
    gateway.connectby().calls().pop().expect("arrived")
}

fn body(status: u16, body: &str) -> Fault {
    Fault::Status { status, retry_after: None, body: Some(body.to_owned()) }
}

#[tokio::test]
async fn every_contact_is_listed_once_for_any_page_past_the_end() {
    for past_the_end in [PastTheEnd::Empty, PastTheEnd::RepeatsLast] {
        let gateway = Start::quiet().connectby(|options| options.past_the_end = past_the_end).start().await;
        let (contacts, pages) = all(&gateway).await;
        let ids: Vec<String> = contacts.iter().map(|contact| contact.contact_id.clone()).collect();
        let expected: Vec<String> = (1..=45).map(|id| id.to_string()).collect();
        assert_eq!(ids, expected, "{past_the_end:?}");
        assert_eq!(pages, 4, "three pages of contacts and the one that shows the end");
        assert_eq!(contacts[6].name, "Contact 7");
        assert_eq!(
            (contacts[6].phone_number.as_str(), contacts[6].country_code.as_str()),
            ("9812300007", "")
        );
        let raw: serde_json::Value = serde_json::from_str(&contacts[6].raw_json).expect("JSON");
        assert_eq!(raw, json!({"id": 7, "name": "Contact 7", "phone": "9812300007"}));
        let called: Vec<_> = gateway.connectby().calls().iter().map(|call| call.path.clone()).collect();
        assert_eq!(called, [1, 2, 3, 4].map(|page| format!("/v1.0/contacts?page={page}")));
    }
}

#[tokio::test]
async fn contacts_are_the_same_for_each_page_size() {
    let gateway = Start::quiet().start().await;
    let request =
        |page_size, page_token| ListContactsRequest { account: CONNECTBY.to_owned(), page_size, page_token };
    let (expected, _) = all(&gateway).await;
    for page_size in [1, 2, 7, 1_000] {
        let contacts = read_in_pages(page_size, async |token| {
            let page = call!(gateway, list_contacts, request(page_size, token)).expect("listed");
            (page.contacts, page.next_page_token)
        });
        assert_eq!(contacts.await, expected, "{page_size}");
    }
    let error = call!(gateway, list_contacts, request(1_001, String::new())).expect_err("too large");
    assert_page_size_out_of_range(&error);
}

#[tokio::test]
async fn page_within_a_providers_page_reads_only_that_page() {
    let gateway = Start::quiet().start().await;
    let request =
        |page_token| ListContactsRequest { account: CONNECTBY.to_owned(), page_size: 10, page_token };
    let mut token = String::new();
    for _ in 0..4 {
        token = call!(gateway, list_contacts, request(token)).expect("listed").next_page_token;
    }
    let called: Vec<_> = gateway.connectby().calls().iter().map(|call| call.path.clone()).collect();
    assert_eq!(called, [1, 1, 2, 2].map(|page| format!("/v1.0/contacts?page={page}")));
}

#[tokio::test]
async fn empty_contact_list_has_no_next_page() {
    let gateway = Start::quiet().start().await;
    for nothing in [r#"{"contacts":[]}"#, r#"{"contacts":null,"message":"none"}"#] {
        gateway.connectby().set_fault(FaultRule::once(Fault::Body(200, nothing.to_owned()))).await;
        let page = list(&gateway, "").await.expect("listed");
        assert_eq!((page.contacts.len(), page.next_page_token.as_str()), (0, ""), "{nothing}");
    }
}

#[tokio::test]
async fn unreadable_contact_hides_no_other_and_keeps_raw_json() {
    let gateway = Start::quiet().start().await;
    let rows = r#"{"contacts":[{"id":1,"name":"A","email":"a@example.org","vip":true},"odd",{"id":"x-2"}]}"#;
    gateway.connectby().set_fault(FaultRule::once(Fault::Body(200, rows.to_owned()))).await;
    let contacts = list(&gateway, "").await.expect("listed").contacts;
    let ids: Vec<&str> = contacts.iter().map(|contact| contact.contact_id.as_str()).collect();
    assert_eq!(ids, ["1", "", "x-2"]);
    assert_eq!(contacts[0].email.as_deref(), Some("a@example.org"));
    assert!(contacts[0].raw_json.ends_with(r#""vip":true}"#));
    assert_eq!(contacts[1].raw_json, "\"odd\"");
}

#[tokio::test]
async fn configured_route_keeps_its_query_and_substitutes_the_id() {
    let gateway = Start::quiet()
        .with("ACCOUNTS__DEMO_CONNECTBY__ROUTES__LIST_CONTACTS", "GET /v1.0/contacts?sort=id")
        .with("ACCOUNTS__DEMO_CONNECTBY__ROUTES__UPDATE_CONTACT", "PATCH /people?id={id}&x=1")
        .with("ACCOUNTS__DEMO_CONNECTBY__ROUTES__DELETE_CONTACT", "POST /people/{id}/gone")
        .start()
        .await;
    list(&gateway, "").await.expect("listed");
    assert_eq!(last_call(&gateway).path, "/v1.0/contacts?sort=id&page=1");

    let contact = Contact { contact_id: "a-7_B".to_owned(), name: "A".to_owned(), ..Contact::default() };
    let error = update(&gateway, contact).await.expect_err("no such route");
    let call = last_call(&gateway);
    assert_eq!((call.method.as_str(), call.path.as_str()), ("PATCH", "/people?id=a-7_B&x=1"));
    assert_eq!((error.code(), reason(&error).as_str()), (Code::NotFound, "PROVIDER_NOT_FOUND"));
    assert_eq!(metadata(&error, "route"), r#"update_contact = "PATCH /people?id={id}&x=1""#);

    delete(&gateway, "7").await.expect_err("no such route");
    let call = last_call(&gateway);
    assert_eq!((call.method.as_str(), call.path.as_str()), ("POST", "/people/7/gone"));
}

#[tokio::test]
async fn foreign_or_truncated_page_token_is_rejected() {
    let gateway = Start::quiet().start().await;
    let token = list(&gateway, "").await.expect("listed").next_page_token;
    for wrong in ["?", &token[1..], &format!("{token}A")] {
        assert_malformed_page_token(&list(&gateway, wrong).await.expect_err("a malformed token"));
    }
    let client = &mut FlowServiceClient::new(gateway.channel.clone());
    let request = ListFlowResponsesRequest { account: CONNECTBY.to_owned(), ..Default::default() };
    let flows = within(client.list_flow_responses(request)).await.expect("listed").into_inner();
    let error = list(&gateway, &flows.next_page_token).await.expect_err("the token of another list");
    assert_malformed_page_token(&error);
    assert_eq!(gateway.connectby().arrivals(Operation::ListContacts), 1);
}

#[tokio::test]
async fn create_contact_sends_the_given_fields_and_nothing_else() {
    let gateway = Start::quiet().start().await;
    let created = create(&gateway, asha()).await.expect("created");
    assert_eq!(created.provider_message, "Contact created successfully");
    let stored = Contact {
        contact_id: "46".to_owned(),
        country_code: "91".to_owned(),
        phone_number: "9812345670".to_owned(),
        ..asha()
    };
    assert_eq!(created.contact, Some(stored));
    let call = last_call(&gateway);
    assert_eq!((call.method.as_str(), call.path.as_str()), ("POST", "/v1.0/contacts"));
    assert_eq!(call.content_type(), Some("application/json"));
    assert_eq!(
        call.json(),
        Some(json!({"name": "Asha Rao", "country_code": "91", "phone_number": "9812345670"}))
    );

    let full = Contact {
        email: Some("asha@example.org".to_owned()),
        gender: Some("female".to_owned()),
        date_of_birth: Some("1990-05-01".to_owned()),
        note: Some(String::new()),
        ..asha()
    };
    let created = create(&gateway, full).await.expect("created").contact.expect("present");
    assert_eq!((created.contact_id.as_str(), created.date_of_birth.as_deref()), ("47", Some("1990-05-01")));
    let sent = last_call(&gateway).json().expect("JSON");
    assert_eq!((&sent["email"], &sent["gender"]), (&json!("asha@example.org"), &json!("female")));
    assert_eq!((&sent["dob"], &sent["note"]), (&json!("1990-05-01"), &json!("")));
}

#[tokio::test]
async fn contact_id_as_text_or_number_proves_the_creation() {
    let gateway = Start::quiet().start().await;
    for (reply, id) in [
        (r#"{"message":"ok","contactId":"c_9"}"#, "c_9"),
        (r#"{"contactId":12345678901234567890}"#, "12345678901234567890"),
        (r#"{"success":true,"contact_id":3,"error":null,"data":{"x":1}}"#, "3"),
    ] {
        gateway.connectby().set_fault(FaultRule::once(Fault::Body(201, reply.to_owned()))).await;
        assert_eq!(create(&gateway, asha()).await.expect("created").contact.expect("present").contact_id, id);
    }
}

#[tokio::test]
async fn contact_is_updated_and_deleted_by_id() {
    let gateway = Start::quiet().start().await;
    let contact = Contact {
        contact_id: "7".to_owned(),
        name: "Asha R.".to_owned(),
        note: Some("VIP".to_owned()),
        ..Contact::default()
    };
    assert_eq!(update(&gateway, contact).await.expect("updated"), "Contact updated successfully");
    let call = last_call(&gateway);
    assert_eq!((call.method.as_str(), call.path.as_str()), ("PUT", "/v1.0/contacts/7"));
    assert_eq!(call.json(), Some(json!({"name": "Asha R.", "note": "VIP"})));
    assert_eq!(delete(&gateway, "8").await.expect("deleted"), "Contact deleted successfully");
    assert_eq!(last_call(&gateway).method.as_str(), "DELETE");

    let (contacts, _) = all(&gateway).await;
    assert_eq!(contacts.len(), 44);
    assert_eq!((contacts[6].name.as_str(), contacts[7].contact_id.as_str()), ("Asha R.", "9"));

    let error = delete(&gateway, "8").await.expect_err("deleted");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::NotFound, "PROVIDER_NOT_FOUND"));
    assert_eq!(metadata(&error, "route"), r#"delete_contact = "DELETE /v1.0/contacts/{id}""#);
}

#[tokio::test]
async fn invalid_contact_reports_all_violations_and_sends_nothing() {
    let gateway = Start::quiet().start().await;
    let error = create(&gateway, Contact::default()).await.expect_err("empty");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
    assert_eq!(fields(&error), ["contact.name", "contact.country_code", "contact.phone_number"]);

    let wrong = Contact {
        contact_id: "7".to_owned(),
        name: " \t".to_owned(),
        country_code: "1234".to_owned(),
        phone_number: "secret".to_owned(),
        date_of_birth: Some("1990-02-30".to_owned()),
        raw_json: "{}".to_owned(),
        ..Contact::default()
    };
    let error = create(&gateway, wrong.clone()).await.expect_err("all wrong");
    let named =
        ["name", "country_code", "phone_number", "date_of_birth"].map(|field| format!("contact.{field}"));
    assert_eq!(fields(&error), named, "a creation ignores output only fields");
    assert!(!format!("{error:?}").contains("secret"));

    let long = Contact { country_code: "420".to_owned(), phone_number: "1234567890123".to_owned(), ..asha() };
    assert_eq!(fields(&create(&gateway, long).await.expect_err("too long")), ["contact.phone_number"]);

    let error =
        update(&gateway, Contact { contact_id: "a/b".to_owned(), ..wrong }).await.expect_err("all wrong");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
    let named = ["contact_id", "name", "date_of_birth"].map(|field| format!("contact.{field}"));
    assert_eq!(fields(&error), named, "an update without a mask ignores immutable fields");

    let error = update(&gateway, Contact { contact_id: "7".to_owned(), ..Contact::default() })
        .await
        .expect_err("no name");
    assert_eq!((error.code(), fields(&error)), (Code::InvalidArgument, vec!["contact.name".to_owned()]));

    for id in ["", "7/..", "..", "7?x=1", "%37"] {
        let error = delete(&gateway, id).await.expect_err("no id");
        assert_eq!((error.code(), fields(&error)), (Code::InvalidArgument, vec!["contact_id".to_owned()]));
    }
    let empty = CreateContactRequest {
        account: CONNECTBY.to_owned(),
        contact: None,
        ..CreateContactRequest::default()
    };
    assert_eq!(fields(&call!(gateway, create_contact, empty).expect_err("empty")), ["contact"]);
    let empty = UpdateContactRequest { account: String::new(), contact: None, ..Default::default() };
    assert_eq!(fields(&call!(gateway, update_contact, empty).expect_err("empty")), ["account", "contact"]);
    assert_eq!(gateway.connectby().calls().len(), 0);
}

#[tokio::test]
async fn mask_that_names_the_phone_number_is_unsupported() {
    let gateway = Start::quiet().start().await;
    for (paths, named) in [
        (&["phone_number"][..], &["contact.phone_number"][..]),
        (&["phone_number", "name", "country_code"], &["contact.country_code", "contact.phone_number"]),
    ] {
        let contact = Contact { contact_id: "7".to_owned(), ..asha() };
        let error = update_masked(&gateway, contact, paths).await.expect_err("unsupported");
        assert_eq!((error.code(), reason(&error).as_str()), (Code::Unimplemented, "PROVIDER_UNSUPPORTED"));
        assert_eq!(fields(&error), named);
    }
    assert_eq!(gateway.connectby().calls().len(), 0);
}

#[tokio::test]
async fn invalid_update_mask_of_a_contact_is_rejected() {
    let gateway = Start::quiet().start().await;
    for (paths, named) in [
        (&["note"][..], "contact.name"),
        (&["name", "Note"], "update_mask"),
        (&["contact.name"], "update_mask"),
        (&["raw_json", "contact_id"], "update_mask"),
        (&[], "update_mask"),
    ] {
        let contact = Contact { contact_id: "7".to_owned(), ..asha() };
        let error = update_masked(&gateway, contact, paths).await.expect_err("invalid");
        assert_eq!((error.code(), reason(&error).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
        assert_eq!(fields(&error), [named], "{paths:?}");
    }
    let nameless = Contact { contact_id: "7".to_owned(), ..Contact::default() };
    let error = update_masked(&gateway, nameless, &["*"]).await.expect_err("no name");
    assert_eq!((error.code(), fields(&error)), (Code::InvalidArgument, vec!["contact.name".to_owned()]));
    assert_eq!(gateway.connectby().calls().len(), 0);
}

#[tokio::test]
async fn update_mask_sends_exactly_its_fields_and_clears_empty_ones() {
    let gateway = Start::quiet().start().await;
    let contact = Contact {
        contact_id: "7".to_owned(),
        email: Some("asha@example.org".to_owned()),
        // Not named by the first two masks, so not read.
        date_of_birth: Some("invalid".to_owned()),
        raw_json: "{}".to_owned(),
        ..asha()
    };
    let text = |text: &str| Some(text.to_owned());
    let expected = Contact { contact_id: "7".to_owned(), name: "Asha Rao".to_owned(), ..Contact::default() };

    let updated = update_masked(&gateway, contact.clone(), &["name"]).await.expect("updated");
    assert_eq!(last_call(&gateway).json(), Some(json!({"name": "Asha Rao"})));
    assert_eq!(updated.contact, Some(expected.clone()));
    assert_eq!(updated.provider_message, "Contact updated successfully");

    let paths = ["note", "name", "contact_id", "raw_json", "note"];
    let updated = update_masked(&gateway, contact.clone(), &paths).await.expect("updated");
    assert_eq!(last_call(&gateway).json(), Some(json!({"name": "Asha Rao", "note": ""})));
    assert_eq!(updated.contact, Some(Contact { note: text(""), ..expected.clone() }));

    let contact = Contact { date_of_birth: None, ..contact };
    let updated = update_masked(&gateway, contact, &["*"]).await.expect("updated");
    let sent = json!({"name": "Asha Rao", "email": "asha@example.org", "gender": "", "dob": "", "note": ""});
    assert_eq!(last_call(&gateway).json(), Some(sent));
    let all = Contact {
        email: text("asha@example.org"),
        gender: text(""),
        date_of_birth: text(""),
        note: text(""),
        ..expected
    };
    assert_eq!(updated.contact, Some(all));
}

#[tokio::test]
async fn listed_contact_can_be_changed_and_sent_back() {
    let gateway = Start::quiet().start().await;
    let listed = list(&gateway, "").await.expect("listed").contacts.swap_remove(6);
    assert!(!listed.phone_number.is_empty() && !listed.raw_json.is_empty());
    let changed = Contact { name: "Asha R.".to_owned(), ..listed };
    update(&gateway, changed).await.expect("updated");
    assert_eq!(last_call(&gateway).json(), Some(json!({"name": "Asha R."})));
}

#[tokio::test]
async fn contacts_of_connectly_are_unsupported() {
    let gateway = Start::quiet().start().await;
    let account = CONNECTLY.to_owned();
    let of = |account: &str| GetAccountRequest { account: account.to_owned() };
    let contact_rpcs = async |account: &str| {
        let got = gateway.accounts().get_account(of(account)).await.expect("present").into_inner();
        let rpcs = got.account.expect("present").capabilities.expect("present").rpcs;
        rpcs.into_iter().filter(|rpc| rpc.starts_with("ContactService.")).collect::<Vec<_>>()
    };
    let named = ["ListContacts", "CreateContact", "UpdateContact", "DeleteContact"];
    assert_eq!(contact_rpcs(CONNECTBY).await, named.map(|rpc| format!("ContactService.{rpc}")));
    assert_eq!(contact_rpcs(CONNECTLY).await, [""; 0]);

    let listing =
        ListContactsRequest { account: account.clone(), page_token: "?".to_owned(), ..Default::default() };
    let creation = CreateContactRequest {
        account: account.clone(),
        contact: Some(asha()),
        ..CreateContactRequest::default()
    };
    let contact = Contact { contact_id: "7".to_owned(), name: "A".to_owned(), ..Contact::default() };
    let change =
        UpdateContactRequest { account: account.clone(), contact: Some(contact), ..Default::default() };
    let deletion = DeleteContactRequest { account, contact_id: "7".to_owned() };
    for error in [
        call!(gateway, list_contacts, listing).map(|_| ()),
        call!(gateway, create_contact, creation).map(|_| ()),
        call!(gateway, update_contact, change).map(|_| ()),
        call!(gateway, delete_contact, deletion).map(|_| ()),
    ] {
        let error = error.expect_err("unsupported");
        assert_eq!((error.code(), reason(&error).as_str()), (Code::Unimplemented, "PROVIDER_UNSUPPORTED"));
        assert_eq!(fields(&error), ["account"]);
    }
    assert_eq!(gateway.connectly().calls().len(), 0);
}

#[tokio::test]
async fn each_provider_reply_to_a_list_maps_to_its_status() {
    use Code::{FailedPrecondition, Internal, NotFound, ResourceExhausted, Unavailable};
    let ok = |text: &str| Fault::Body(200, text.to_owned());
    let throttled = Fault::Status { status: 429, retry_after: Some("7".to_owned()), body: None };
    let cases = [
        (Fault::status(401), FailedPrecondition, "PROVIDER_CREDENTIALS_REJECTED", None),
        (Fault::status(403), FailedPrecondition, "PROVIDER_PERMISSION_DENIED", None),
        (body(404, "<html>?</html>"), NotFound, "PROVIDER_NOT_FOUND", None),
        (body(400, "no"), FailedPrecondition, "PROVIDER_REFUSED", None),
        (throttled, ResourceExhausted, "PROVIDER_THROTTLED", Some(7)),
        (Fault::status(500), Unavailable, "PROVIDER_UNAVAILABLE", Some(1)),
        (Fault::status(503), Unavailable, "PROVIDER_UNAVAILABLE", Some(1)),
        (body(408, ""), Unavailable, "PROVIDER_UNAVAILABLE", Some(1)),
        (Fault::SuccessFalse { code: None }, FailedPrecondition, "PROVIDER_REFUSED", None),
        (Fault::SuccessFalse { code: Some(190) }, FailedPrecondition, "PROVIDER_CREDENTIALS_REJECTED", None),
        (ok(r#"{"success":false,"contacts":[]}"#), FailedPrecondition, "PROVIDER_REFUSED", None),
        (Fault::NotJson, Internal, "PROVIDER_REPLY_UNREADABLE", None),
        (ok(""), Internal, "PROVIDER_REPLY_UNREADABLE", None),
        (ok("null"), Internal, "PROVIDER_REPLY_UNREADABLE", None),
        (ok("[]"), Internal, "PROVIDER_REPLY_UNREADABLE", None),
        (ok("{}"), Internal, "PROVIDER_REPLY_UNREADABLE", None),
        (ok(r#"{"contacts":{}}"#), Internal, "PROVIDER_REPLY_UNREADABLE", None),
        (ok(r#"{"contacts":"none"}"#), Internal, "PROVIDER_REPLY_UNREADABLE", None),
        (ok(r#"{"contacts":[{"id":1}"#), Internal, "PROVIDER_REPLY_UNREADABLE", None),
        (Fault::CutBeforeReading, Unavailable, "PROVIDER_UNAVAILABLE", Some(1)),
        (Fault::CutAfterReading, Unavailable, "PROVIDER_UNAVAILABLE", Some(1)),
        (Fault::CutReply, Unavailable, "PROVIDER_UNAVAILABLE", Some(1)),
        (Fault::Refuse, Unavailable, "PROVIDER_UNREACHABLE", Some(1)),
    ];
    let mut gateway = Start::quiet().without_retries().start().await;
    for (fault, code, expected, wait) in cases {
        gateway.connectby().set_fault(FaultRule::once(fault.clone())).await;
        let error = list(&gateway, "").await.expect_err("the fault makes the call fail");
        assert_eq!((error.code(), reason(&error).as_str()), (code, expected), "{fault:?}: {error:?}");
        let delay = details(&error).retry_info().and_then(|info| info.retry_delay);
        assert_eq!(delay, wait.map(Duration::from_secs), "{fault:?}");
        assert_eq!(metadata(&error, "account"), CONNECTBY);
        if code == NotFound {
            let route = r#"list_contacts = "GET /v1.0/contacts""#;
            assert!(error.message().contains(route), "{error:?}");
            assert_eq!(metadata(&error, "route"), route);
        }
        gateway.connectby().clear_faults().await.expect("faults cleared");
        if expected == "PROVIDER_THROTTLED" {
            // The server now pauses this account.
            gateway = Start::quiet().without_retries().start().await;
        }
    }
    list(&gateway, "").await.expect("the provider works again");
}

#[tokio::test]
async fn each_provider_reply_to_a_write_maps_to_its_outcome() {
    use Code::{FailedPrecondition, NotFound, ResourceExhausted, Unavailable};
    let ok = |text: &str| Fault::Body(200, text.to_owned());
    let refused = |fault, code, reason| (fault, code, reason, "");
    let unknown = |fault, cause| (fault, FailedPrecondition, "WRITE_OUTCOME_UNKNOWN", cause);
    let common = || {
        vec![
            refused(Fault::Refuse, Unavailable, "PROVIDER_UNREACHABLE"),
            refused(Fault::status(401), FailedPrecondition, "PROVIDER_CREDENTIALS_REJECTED"),
            refused(Fault::status(403), FailedPrecondition, "PROVIDER_PERMISSION_DENIED"),
            refused(body(404, "<html>?</html>"), NotFound, "PROVIDER_NOT_FOUND"),
            refused(Fault::status(409), FailedPrecondition, "PROVIDER_CONFLICT"),
            refused(Fault::status(422), FailedPrecondition, "PROVIDER_REFUSED"),
            refused(Fault::status(429), ResourceExhausted, "PROVIDER_THROTTLED"),
            refused(Fault::SuccessFalse { code: None }, FailedPrecondition, "PROVIDER_REFUSED"),
            unknown(Fault::CutBeforeReading, "CONNECTION_LOST"),
            unknown(Fault::CutAfterReading, "CONNECTION_LOST"),
            unknown(Fault::CutReply, "REPLY_CUT_OFF"),
            unknown(Fault::NotJson, "REPLY_UNREADABLE"),
            unknown(ok(""), "REPLY_UNREADABLE"),
            unknown(ok("null"), "REPLY_UNREADABLE"),
            unknown(ok("[]"), "REPLY_UNREADABLE"),
            unknown(ok("{}"), "REPLY_UNREADABLE"),
            unknown(ok(r#"{"success":true}"#), "REPLY_UNREADABLE"),
            unknown(ok(r#"{"message":"done","contactId":1,"error":"what?"}"#), "REPLY_UNREADABLE"),
            refused(ok(r#"{"message":"no","success":false}"#), FailedPrecondition, "PROVIDER_REFUSED"),
            unknown(Fault::SuccessFalse { code: Some(131_000) }, "PROVIDER_FAILED"),
            unknown(body(409, "<html>?</html>"), "PROVIDER_FAILED"),
            unknown(Fault::status(500), "PROVIDER_FAILED"),
            unknown(body(504, ""), "PROVIDER_FAILED"),
        ]
    };
    let mut gateway = Start::quiet().without_retries().start().await;
    for write in ["create", "update", "delete"] {
        let mut cases = common();
        match write {
            "create" => {
                cases.push(unknown(ok(r#"{"message":"done"}"#), "REPLY_UNREADABLE"));
                // A reply with an id and a failure is inconsistent, so the outcome is unknown.
                let both = ok(r#"{"message":"no","contactId":1,"success":false}"#);
                cases.push(unknown(both, "REPLY_UNREADABLE"));
            }
            _ => cases.push(unknown(ok(r#"{"contactId":1}"#), "REPLY_UNREADABLE")),
        }
        for (index, (fault, code, expected, cause)) in cases.into_iter().enumerate() {
            gateway.connectby().set_fault(FaultRule::once(fault.clone())).await;
            let error = match write {
                "create" => create(&gateway, asha()).await.map(|_| ()),
                "update" => {
                    let contact = Contact {
                        contact_id: "7".to_owned(),
                        name: "Asha Rao".to_owned(),
                        ..Contact::default()
                    };
                    update(&gateway, contact).await.map(|_| ())
                }
                // A new id each time, because a contact whose delete reply was cut off is deleted.
                _ => delete(&gateway, &(index + 1).to_string()).await.map(|_| ()),
            };
            let error = error.expect_err("the fault makes the call fail");
            assert_eq!(
                (error.code(), reason(&error).as_str()),
                (code, expected),
                "{write} {fault:?}: {error:?}"
            );
            assert_eq!(metadata(&error, "cause"), cause, "{write} {fault:?}");
            let text = format!("{error:?}");
            assert!(!text.contains("Asha") && !text.contains("98123"), "{write} {fault:?}");
            gateway.connectby().clear_faults().await.expect("faults cleared");
            if expected == "PROVIDER_THROTTLED" {
                // The server now pauses this account.
                gateway = Start::quiet().without_retries().start().await;
            }
        }
    }
}
