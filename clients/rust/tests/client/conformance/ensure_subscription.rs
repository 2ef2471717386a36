//! Creating a subscription, or changing it to the wanted state.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Response;
use prost::Message as _;
use serde::Deserialize;
use switchboard_client::prost_types::FieldMask;
use switchboard_client::v1::create_subscription_request::Start;
use switchboard_client::v1::{
    CreateSubscriptionRequest, CreateSubscriptionResponse, EventFilter, GetSubscriptionRequest,
    GetSubscriptionResponse, StartPosition, Subscription, UpdateSubscriptionRequest,
    UpdateSubscriptionResponse,
};
use tonic::Status;
use tonic::body::Body;

use super::server::{Server, reply};
use super::{Case, ExpectedError, OneOrMore, ScriptedStatus, Word, cases};
use crate::within;

/// The fields of a subscription and of the requests for it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Fields {
    subscription_id: String,
    accounts: Vec<String>,
    types: Vec<String>,
    labels: HashMap<String, String>,
    position: Option<String>,
    update_mask: Vec<String>,
}

impl Fields {
    fn subscription(self) -> Subscription {
        let Self { subscription_id, accounts, types, labels, .. } = self;
        let has_filter = !(accounts.is_empty() && types.is_empty());
        let filter = has_filter.then(|| EventFilter { accounts, types, ..EventFilter::default() });
        Subscription { subscription_id, filter, labels, ..Subscription::default() }
    }

    fn create_request(self) -> CreateSubscriptionRequest {
        let position = self.position.as_deref().expect("a position");
        let position = StartPosition::from_str_name(position).expect("a known position");
        let subscription_id = self.subscription_id.clone();
        let subscription = Subscription { subscription_id: String::new(), ..self.subscription() };
        CreateSubscriptionRequest {
            subscription_id,
            subscription: (subscription != Subscription::default()).then_some(subscription),
            start: Some(Start::Position(position.into())),
        }
    }

    fn update_request(self) -> UpdateSubscriptionRequest {
        let paths = self.update_mask.clone();
        UpdateSubscriptionRequest {
            subscription: Some(self.subscription()),
            update_mask: Some(FieldMask { paths }),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Call {
    create_subscription: Option<Fields>,
    get_subscription: Option<Fields>,
    update_subscription: Option<Fields>,
    #[serde(rename = "reply")]
    reply: Stored,
}

/// `ok`, a status, or the stored subscription.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Stored {
    Word(Word),
    Fail(ScriptedStatus),
    Subscription(Fields),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SubscriptionCase {
    name: String,
    #[serde(rename = "why")]
    _why: Option<String>,
    subscription: Fields,
    server: VecDeque<Call>,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Expect {
    accounts: Vec<String>,
    types: Vec<String>,
    labels: HashMap<String, String>,
    code: Option<String>,
    reason: String,
}

/// The server's side of a case.
struct Script {
    /// The expected calls that did not arrive yet.
    left: VecDeque<Call>,
    unexpected: Vec<String>,
}

impl Script {
    /// Compares a call with the expected one, and returns the subscription of the reply.
    fn handle(&mut self, method: &str, request: Bytes) -> Result<Subscription, Status> {
        let failed = || Status::failed_precondition("the case does not have this call");
        let Some(call) = self.left.pop_front() else {
            self.unexpected.push(method.to_owned());
            return Err(failed());
        };
        let of_request = |subscription: &Option<Subscription>| subscription.clone().unwrap_or_default();
        let (is_expected, made) = match (method, &call) {
            ("CreateSubscription", Call { create_subscription: Some(fields), .. }) => {
                let got = CreateSubscriptionRequest::decode(request).expect("decodes");
                (got == fields.clone().create_request(), of_request(&got.subscription))
            }
            ("GetSubscription", Call { get_subscription: Some(fields), .. }) => {
                let got = GetSubscriptionRequest::decode(request).expect("decodes");
                (got.subscription_id == fields.subscription_id, Subscription::default())
            }
            ("UpdateSubscription", Call { update_subscription: Some(fields), .. }) => {
                let got = UpdateSubscriptionRequest::decode(request).expect("decodes");
                (got == fields.clone().update_request(), of_request(&got.subscription))
            }
            _ => (false, Subscription::default()),
        };
        if !is_expected {
            self.unexpected.push(format!("{method}, want {call:?}"));
            return Err(failed());
        }
        match call.reply {
            Stored::Word(Word::Ok) => Ok(made),
            Stored::Word(Word::Silence) => Err(Status::internal("unknown reply")),
            Stored::Fail(scripted) => Err(scripted.status()),
            Stored::Subscription(fields) => Ok(fields.subscription()),
        }
    }
}

fn answer(method: &str, subscription: Result<Subscription, Status>) -> Response<Body> {
    match method {
        "CreateSubscription" => reply(
            subscription.map(|subscription| CreateSubscriptionResponse { subscription: Some(subscription) }),
        ),
        "GetSubscription" => reply(
            subscription.map(|subscription| GetSubscriptionResponse { subscription: Some(subscription) }),
        ),
        _ => reply(
            subscription.map(|subscription| UpdateSubscriptionResponse { subscription: Some(subscription) }),
        ),
    }
}

impl Case for SubscriptionCase {
    const TABLE: &str = include_str!("../../../../conformance/ensure_subscription.json");

    fn name(&self) -> &str {
        &self.name
    }

    async fn run(self) {
        let script = Arc::new(Mutex::new(Script { left: self.server, unexpected: Vec::new() }));
        let (_server, client) = Server::with_client({
            let script = Arc::clone(&script);
            move |method: String, request| {
                let handled = script.lock().expect("unpoisoned").handle(&method, request);
                async move { answer(&method, handled) }
            }
        })
        .await;
        let result = within(client.ensure_subscription(self.subscription.create_request())).await;
        let script = script.lock().expect("unpoisoned");
        assert_eq!(script.unexpected, [""; 0]);
        assert!(script.left.is_empty(), "missing: {:?}", script.left);
        match (self.expect.code, result) {
            (Some(code), Err(error)) => {
                ExpectedError { code: OneOrMore::One(code), reason: self.expect.reason }.check(&error);
            }
            (None, Ok(got)) => {
                let sorted = |mut values: Vec<String>| {
                    values.sort_unstable();
                    values
                };
                let filter = got.filter.unwrap_or_default();
                assert_eq!(sorted(filter.accounts), sorted(self.expect.accounts));
                assert_eq!(sorted(filter.types), sorted(self.expect.types));
                assert_eq!(got.labels, self.expect.labels);
            }
            (expected, result) => panic!("{result:?}, want {expected:?}"),
        }
    }
}

cases! {
    SubscriptionCase:
    missing_subscription_is_created
    equal_subscription_is_left_alone
    other_filter_is_updated
    other_labels_are_updated
    absent_filter_and_labels_clear_the_stored_ones
    every_step_is_retried_after_unavailable
    subscription_deleted_meanwhile_is_created
    rejected_filter_is_an_error
    server_that_is_full_is_an_error
}
