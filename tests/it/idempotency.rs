//! Writes with an idempotency key (`request_id`): the server makes each one once, for any number of retries.

use std::time::Duration;

use futures_util::stream;
use switchboard::pb::v1::contact_service_client::ContactServiceClient;
use switchboard::pb::v1::send_message_request::Content;
use switchboard::pb::v1::template_service_client::TemplateServiceClient;
use switchboard::pb::v1::{
    CheckMode, Contact, CreateContactRequest, Location, MediaHeader, SendChecks, SendMediaRequest,
    SendMessageRequest, TemplateMessage, UploadTemplateMediaHeader, UploadTemplateMediaRequest,
    WebhookRegistrationTopic,
};
use switchboard::sandbox::{Fault, FaultRule, Operation};
use tonic::{Code, Status};

use crate::support::gateway::{
    CONNECTBY, CONNECTLY, CUSTOMER, Gateway, Start, metadata, reason, text, within,
};
use crate::webhook_registration;

/// The RPCs that take an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    Message,
    Media,
    Contact,
    TemplateMedia,
    Webhook,
}

/// The result of a write: what it created, and whether the reply is a replay.
pub(crate) type WriteResult = Result<(String, bool), Status>;

/// The variable parts of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) id: &'a str,
    pub(crate) resend_after: u32,
    /// A part of the content.
    pub(crate) content: &'a str,
}

impl<'a> Call<'a> {
    pub(crate) const fn new(id: &'a str) -> Self {
        Self { id, resend_after: 0, content: "one" }
    }

    pub(crate) const fn resend_after(self, resend_after: u32) -> Self {
        Self { resend_after, ..self }
    }
}

impl Write {
    pub(crate) const ALL: [Self; 5] =
        [Self::Message, Self::Media, Self::Contact, Self::TemplateMedia, Self::Webhook];

    pub(crate) async fn call(
        self,
        gateway: &Gateway,
        Call { id, resend_after, content }: Call<'_>,
    ) -> WriteResult {
        let (request_id, resend_after_attempt) = (id.to_owned(), resend_after);
        let account = CONNECTBY.to_owned();
        let chunk = format!("%PDF-1.7\n{content}").into_bytes().into();
        match self {
            Self::Message => {
                let request =
                    SendMessageRequest { request_id, resend_after_attempt, ..text(CONNECTBY, content) };
                let answer = within(gateway.messages().send_message(request)).await?.into_inner();
                Ok((answer.message.expect("present").message_id, answer.replayed))
            }
            Self::Media => {
                let header = MediaHeader {
                    account,
                    to: CUSTOMER.to_owned(),
                    request_id,
                    resend_after_attempt,
                    ..MediaHeader::default()
                };
                let pieces = stream::iter([SendMediaRequest { header: Some(header), chunk }]);
                let answer = within(gateway.messages().send_media(pieces)).await?.into_inner();
                Ok((answer.message.expect("present").message_id, answer.replayed))
            }
            Self::Contact => {
                let contact = Contact {
                    name: content.to_owned(),
                    country_code: "91".to_owned(),
                    phone_number: "9812345670".to_owned(),
                    ..Contact::default()
                };
                let request = CreateContactRequest {
                    account,
                    contact: Some(contact),
                    request_id,
                    resend_after_attempt,
                };
                let mut client = ContactServiceClient::new(gateway.channel.clone());
                let answer = within(client.create_contact(request)).await?.into_inner();
                Ok((format!("{:?}", answer.contact.expect("present")), answer.replayed))
            }
            Self::TemplateMedia => {
                let header = UploadTemplateMediaHeader {
                    account,
                    request_id,
                    resend_after_attempt,
                    ..UploadTemplateMediaHeader::default()
                };
                let pieces = stream::iter([UploadTemplateMediaRequest { header: Some(header), chunk }]);
                let mut client = TemplateServiceClient::new(gateway.channel.clone());
                let answer = within(client.upload_template_media(pieces)).await?.into_inner();
                Ok((answer.url, answer.replayed))
            }
            Self::Webhook => {
                let address = format!("https://hooks.example.org/{content}");
                let mut request = webhook_registration::new_at(&address, WebhookRegistrationTopic::Report);
                (request.request_id, request.resend_after_attempt) = (request_id, resend_after_attempt);
                let answer = webhook_registration::create(gateway, request).await?;
                Ok((answer.webhook_registration.expect("present").webhook_registration_id, answer.replayed))
            }
        }
    }

    pub(crate) fn operation(self) -> Operation {
        match self {
            Self::Message => Operation::SendText,
            Self::Media => Operation::SendMedia,
            Self::Contact => Operation::CreateContact,
            Self::TemplateMedia => Operation::UploadTemplateMedia,
            Self::Webhook => Operation::CreateWebhook,
        }
    }

    /// How many calls reached the provider.
    pub(crate) fn arrivals(self, gateway: &Gateway) -> usize {
        match self {
            Self::Webhook => gateway.connectly().arrivals(self.operation()),
            _ => gateway.connectby().arrivals(self.operation()),
        }
    }

    /// Sets a provider fault for the next calls of this write.
    pub(crate) async fn fault(self, gateway: &Gateway, times: u32, fault: Fault) {
        let rule = FaultRule::times(times, fault).on(self.operation());
        match self {
            Self::Webhook => gateway.connectly().set_fault(rule).await,
            _ => gateway.connectby().set_fault(rule).await,
        }
    }

    /// Calls twice with one idempotency key. The second call starts when the first one has reached the provider.
    pub(crate) async fn call_twice(self, gateway: &Gateway) -> (WriteResult, WriteResult) {
        let first = self.call(gateway, Call::new("a"));
        let second = async {
            while self.arrivals(gateway) == 0 {
                tokio::task::yield_now().await;
            }
            self.call(gateway, Call::new("a")).await
        };
        tokio::join!(first, second)
    }

    pub(crate) fn unknown_reason(self) -> &'static str {
        match self {
            Self::Message | Self::Media => "SEND_OUTCOME_UNKNOWN",
            Self::Contact | Self::TemplateMedia | Self::Webhook => "WRITE_OUTCOME_UNKNOWN",
        }
    }

    /// Checks that the result is an unknown outcome of this attempt.
    pub(crate) fn assert_unknown(self, result: WriteResult, attempt: u32) {
        let error = result.expect_err("outcome unknown");
        assert_eq!(
            (error.code(), reason(&error).as_str()),
            (Code::FailedPrecondition, self.unknown_reason()),
            "{self:?}"
        );
        assert_eq!(metadata(&error, "attempt"), attempt.to_string(), "{self:?}");
        assert_eq!(metadata(&error, "cause"), "REPLY_UNREADABLE", "{self:?}");
    }
}

/// A reply that proves neither success nor failure. The fake provider does not execute the request.
pub(crate) const UNREADABLE: Fault = Fault::NotJson;

#[tokio::test]
async fn retry_gets_the_first_reply_and_sends_nothing() {
    let gateway = Start::quiet().start().await;
    for write in Write::ALL {
        let (first, replayed) = write.call(&gateway, Call::new(&format!("{write:?}"))).await.expect("done");
        assert!(!replayed, "{write:?}");
        let list_calls = gateway.connectly().arrivals(Operation::ListWebhooks);
        for _ in 0..3 {
            let again = write.call(&gateway, Call::new(&format!("{write:?}"))).await;
            assert_eq!(again.expect("known"), (first.clone(), true), "{write:?}");
        }
        assert_eq!(write.arrivals(&gateway), 1, "{write:?}");
        assert_eq!(
            gateway.connectly().arrivals(Operation::ListWebhooks),
            list_calls,
            "a retry reads no list"
        );
    }
}

#[tokio::test]
async fn requests_without_a_request_id_are_not_deduplicated() {
    let gateway = Start::quiet().start().await;
    for write in [Write::Message, Write::Media, Write::TemplateMedia] {
        for _ in 0..2 {
            assert!(!write.call(&gateway, Call::new("")).await.expect("done").1);
        }
        assert_eq!(write.arrivals(&gateway), 2, "{write:?}");
    }
}

#[tokio::test]
async fn retry_of_a_request_in_flight_joins_it() {
    for write in Write::ALL {
        let gateway = Start::quiet().start().await;
        write.fault(&gateway, 1, Fault::Latency(Duration::from_millis(400))).await;
        let (first, second) = write.call_twice(&gateway).await;
        assert_eq!(first.expect("done").0, second.expect("joined").0, "{write:?}");
        assert_eq!(write.arrivals(&gateway), 1, "{write:?}");
    }
}

#[tokio::test]
async fn joined_request_gets_the_refusal_too() {
    for write in Write::ALL {
        let gateway = Start::quiet().start().await;
        write.fault(&gateway, 1, Fault::Latency(Duration::from_millis(400))).await;
        write.fault(&gateway, 1, Fault::status(400)).await;
        let (first, second) = write.call_twice(&gateway).await;
        let (first, second) = (first.expect_err("refused"), second.expect_err("refused"));
        assert_eq!((first.code(), reason(&first)), (second.code(), reason(&second)), "{write:?}");
        assert_eq!(write.arrivals(&gateway), 1, "{write:?}");
    }
}

#[tokio::test]
async fn joined_registration_gets_the_conflict_too() {
    let gateway = Start::quiet().start().await;
    let rule = FaultRule::once(Fault::Latency(Duration::from_millis(400))).on(Operation::ListWebhooks);
    gateway.connectly().set_fault(rule).await;
    let request = switchboard::pb::v1::CreateWebhookRegistrationRequest {
        request_id: "a".to_owned(),
        ..webhook_registration::new(WebhookRegistrationTopic::Messages)
    };
    let first = webhook_registration::create(&gateway, request.clone());
    let second = async {
        while gateway.connectly().arrivals(Operation::ListWebhooks) == 0 {
            tokio::task::yield_now().await;
        }
        webhook_registration::create(&gateway, request.clone()).await
    };
    let (first, second) = tokio::join!(first, second);
    for error in [first, second] {
        let error = error.expect_err("already registered");
        assert_eq!(
            (error.code(), reason(&error).as_str()),
            (Code::AlreadyExists, "WEBHOOK_REGISTRATION_EXISTS")
        );
        assert!(!metadata(&error, "webhook_registration_id").is_empty(), "{error:?}");
    }
    assert_eq!(gateway.connectly().arrivals(Operation::ListWebhooks), 1);
}

#[tokio::test]
async fn cancelled_joiner_does_not_end_the_request() {
    for write in Write::ALL {
        let gateway = Start::quiet().start().await;
        write.fault(&gateway, 1, Fault::Latency(Duration::from_millis(400))).await;
        let arrived = async {
            while write.arrivals(&gateway) == 0 {
                tokio::task::yield_now().await;
            }
        };
        // The first client cancels when its write is in flight.
        tokio::select! {
            result = write.call(&gateway, Call::new("a")) => panic!("ended too early: {result:?}"),
            () = arrived => {}
        }
        let impatient = tokio::time::timeout(Duration::from_millis(20), write.call(&gateway, Call::new("a")));
        let (impatient, patient) = tokio::join!(impatient, write.call(&gateway, Call::new("a")));
        assert!(impatient.is_err(), "{write:?}");
        patient.expect("done");
        assert_eq!(write.arrivals(&gateway), 1, "{write:?}");
    }
}

#[tokio::test]
async fn request_id_is_bound_to_one_content_and_one_rpc() {
    let gateway = Start::quiet().start().await;
    let reused = |result: WriteResult, what: &str| {
        let error = result.expect_err(what);
        assert_eq!(
            (error.code(), reason(&error).as_str()),
            (Code::FailedPrecondition, "REQUEST_ID_REUSED"),
            "{what}"
        );
    };
    for write in Write::ALL {
        let id = format!("{write:?}");
        write.call(&gateway, Call::new(&id)).await.expect("done");
        reused(write.call(&gateway, Call { content: "two", ..Call::new(&id) }).await, &id);
        reused(write.call(&gateway, Call { content: "two", ..Call::new(&id).resend_after(1) }).await, &id);
        assert_eq!(write.arrivals(&gateway), 1, "{write:?}");
    }
    for write in [Write::Media, Write::Contact, Write::TemplateMedia] {
        reused(write.call(&gateway, Call::new("Message")).await, "another RPC");
    }
    reused(Write::Message.call(&gateway, Call::new("Contact")).await, "another RPC");
}

#[tokio::test]
async fn phone_number_format_does_not_change_the_content() {
    let gateway = Start::quiet().start().await;
    let to = |to: &str| SendMessageRequest {
        to: to.to_owned(),
        request_id: "a".to_owned(),
        ..text(CONNECTBY, "hi")
    };
    let first = gateway.send(to("+1 555-010-0001")).await.expect("accepted");
    for (spelled, session_window) in
        [("15550100001", CheckMode::Unspecified), ("+15550100001", CheckMode::Enforce)]
    {
        let checks = Some(SendChecks { session_window: session_window.into(), ..SendChecks::default() });
        let again = SendMessageRequest { channel: 1, checks, ..to(spelled) };
        assert_eq!(gateway.send(again).await.expect("known").message_id, first.message_id);
    }
    let other = gateway.send(to("+15550100003")).await.expect_err("another customer");
    assert_eq!(reason(&other), "REQUEST_ID_REUSED");
}

#[tokio::test]
async fn content_includes_all_fields_but_the_checks() {
    let gateway = Start::quiet().start().await;
    let place = |name: &str| {
        let (latitude, longitude) = (12.97, 77.59);
        Content::Location(Location { latitude, longitude, name: name.to_owned(), ..Location::default() })
    };
    let first = SendMessageRequest {
        campaign_name: "spring".to_owned(),
        recipient_name: "Ada".to_owned(),
        content: Some(place("Shop")),
        request_id: "a".to_owned(),
        ..text(CONNECTLY, "")
    };
    let (skip, enforce) = (CheckMode::Skip.into(), CheckMode::Enforce.into());
    let checks = Some(SendChecks { session_window: enforce, template: skip });
    let message = gateway.send(first.clone()).await.expect("accepted");
    let again = SendMessageRequest { checks, ..first.clone() };
    assert_eq!(gateway.send(again).await.expect("known").message_id, message.message_id);
    for other in [
        SendMessageRequest { campaign_name: "autumn".to_owned(), ..first.clone() },
        SendMessageRequest { recipient_name: String::new(), ..first.clone() },
        SendMessageRequest { content: Some(place("Depot")), ..first },
    ] {
        let error = gateway.send(other).await.expect_err("other content");
        assert_eq!(reason(&error), "REQUEST_ID_REUSED");
    }

    let raw = |json: &str| SendMessageRequest {
        content: Some(Content::Template(TemplateMessage {
            name: "shop_here".to_owned(),
            language: "en".to_owned(),
            components_json: json.to_owned(),
            ..TemplateMessage::default()
        })),
        request_id: "b".to_owned(),
        ..text(CONNECTBY, "")
    };
    gateway.send(raw("[]")).await.expect("accepted");
    let error = gateway.send(raw("[ ]")).await.expect_err("other bytes");
    assert_eq!(reason(&error), "REQUEST_ID_REUSED");
}

#[tokio::test]
async fn request_ids_are_scoped_to_the_account() {
    let gateway = Start::quiet().start().await;
    for account in [CONNECTBY, CONNECTLY] {
        let request = SendMessageRequest { request_id: "a".to_owned(), ..text(account, "hi") };
        assert_eq!(gateway.send(request).await.expect("accepted").account, account);
    }
    assert_eq!(gateway.connectby().arrivals(Operation::SendText), 1);
    assert_eq!(gateway.connectly().arrivals(Operation::SendMessage), 1);
}

#[tokio::test]
async fn refused_request_frees_the_request_id_for_other_content() {
    let gateway = Start::quiet().start().await;
    for write in Write::ALL {
        let id = format!("{write:?}");
        write.fault(&gateway, 1, Fault::status(400)).await;
        let error = write.call(&gateway, Call::new(&id)).await.expect_err("refused");
        assert_ne!(reason(&error), write.unknown_reason(), "{write:?}");
        let (_, replayed) =
            write.call(&gateway, Call { content: "two", ..Call::new(&id) }).await.expect("done");
        assert!(!replayed, "{write:?}");
        assert_eq!(write.arrivals(&gateway), 2, "{write:?}");
    }
}

#[tokio::test]
async fn unsent_request_frees_the_request_id_for_other_content() {
    let gateway = Start::quiet().with("ACCOUNTS__DEMO_CONNECTBY__GATE__MAX_QUEUE_WAIT", "1s").start().await;
    for write in [Write::Message, Write::Contact] {
        gateway.connectby().set_fault(FaultRule::always(Fault::Refuse)).await;
        let error = write.call(&gateway, Call::new("a")).await.expect_err("not sent");
        assert_eq!((error.code(), reason(&error).as_str()), (Code::Unavailable, "PROVIDER_UNREACHABLE"));
        gateway.connectby().clear_faults().await.expect("faults cleared");
    }
    // The circuit breaker may need a moment to detect that the provider is back.
    loop {
        match Write::Message.call(&gateway, Call { content: "two", ..Call::new("a") }).await {
            Ok((_, replayed)) => break assert!(!replayed),
            Err(error) => assert_eq!(error.code(), Code::Unavailable, "{error:?}"),
        }
    }
    assert_eq!(Write::Message.arrivals(&gateway), 1);
}
