//! A provider that is not part of the library. Nothing but the traits of `switchboard::provider` and a section of the
//! configuration is needed for it: the real server sends through it, lists what it has, and receives its webhooks.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::SecretString;
use switchboard::app::{App, Listeners};
use switchboard::config::{self, Config, ProviderSection, Upstream};
use switchboard::domain::contact::{ContactId, ContactUpdate, Created, ListedContact, NewContact};
use switchboard::domain::event::{Identity, Party, Payload, ReportedContent, ReportedMessage};
use switchboard::domain::message::{Content, Outgoing};
use switchboard::domain::page::{Page, PagePosition};
use switchboard::domain::template::{self, Definition, Filled, Status, TemplateListStart};
use switchboard::domain::{
    AccountId, AttemptId, Channel, Event, EventId, Provider, ProviderFault, RefusalReason,
};
use switchboard::pb::v1::contact_service_client::ContactServiceClient;
use switchboard::pb::v1::flow_service_client::FlowServiceClient;
use switchboard::pb::v1::template_service_client::TemplateServiceClient;
use switchboard::pb::v1::{self, SendMessageRequest, TemplateMessage, send_message_request};
use switchboard::provider::signature::{Scheme, Verified};
use switchboard::provider::{
    AcceptedMessage, Accounts, Capabilities, Client, ConnectError, Contacts, Descriptor, Error, Incoming,
    Messaging, PreparedSend, TemplateMismatch, Templates, ValidationIssue, WebhookParser,
};
use switchboard::sandbox::connectly::sign;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tonic::{Code, async_trait};

use crate::support::gateway::{connect, fields, reason, subscribe, text, text_of, within};

const PIGEON: Provider = Provider::new("pigeon");
const ACCOUNT: &str = "loft";
const HEADER: &str = "x-pigeon-signature";

const DESCRIPTOR: &Descriptor = &Descriptor {
    section: &ProviderSection {
        provider: PIGEON,
        calls_per_second: 10,
        text_characters: Some(20),
        upload: None,
        read: |table| table.credential("ring").map(|ring| Upstream::new(Settings { ring })),
    },
    connect: connect_pigeon,
};

#[derive(Debug)]
struct Settings {
    ring: SecretString,
}

/// A client that replies at once.
#[derive(Debug)]
struct Pigeon {
    webhooks: Webhooks,
}

fn connect_pigeon(account: &config::Account) -> Result<Arc<dyn Client>, ConnectError> {
    let settings = account.upstream.get::<Settings>().ok_or("the settings are those of another provider")?;
    let scheme =
        Scheme::hmac_sha256_base64(HEADER, std::slice::from_ref(&settings.ring)).ok_or("no secret")?;
    Ok(Arc::new(Pigeon { webhooks: Webhooks { scheme } }))
}

#[async_trait]
impl Client for Pigeon {
    fn provider(&self) -> Provider {
        PIGEON
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            rpcs: &[
                "MessageService.SendMessage",
                "ContactService.ListContacts",
                "TemplateService.ListTemplates",
            ],
            contents: &["text", "template"],
            channels: &[Channel::WhatsApp],
            reports_statuses: false,
            receives_messages: true,
            chooses_sender: false,
            reaches_user_ids: false,
            partial_contact_updates: false,
            accepts_campaign_name: false,
            accepts_recipient_name: false,
            accepts_template_components: false,
        }
    }

    async fn probe(&self) -> Result<(), Error> {
        Ok(())
    }

    fn templates(&self) -> Option<&dyn Templates> {
        Some(self)
    }

    fn contacts(&self) -> Option<&dyn Contacts> {
        Some(self)
    }

    fn webhooks(&self) -> Option<&dyn WebhookParser> {
        Some(&self.webhooks)
    }
}

impl Messaging for Pigeon {
    fn prepare(
        self: Arc<Self>,
        message: Outgoing,
        template: Option<Arc<Definition>>,
    ) -> Result<Box<dyn PreparedSend>, ProviderFault> {
        let note = match (message.content, template) {
            (Content::Text(text), _) => text,
            (Content::Template(_), Some(template)) => template.name.clone(),
            _ => return Err(refused(RefusalReason::ContentRejected)),
        };
        Ok(Box::new(Note(note)))
    }
}

/// A message as the provider accepts it.
struct Note(String);

#[async_trait]
impl PreparedSend for Note {
    /// Returns the note as the message's state, so that a test sees what was sent.
    async fn send(&self, attempt: AttemptId) -> Result<AcceptedMessage, Error> {
        Ok(AcceptedMessage {
            provider_ids: vec![format!("pigeon-{}", attempt.number)],
            provider_state: Some(self.0.clone()),
            recipient_wa_id: None,
        })
    }
}

#[async_trait]
impl Templates for Pigeon {
    async fn list_templates(&self, _: &TemplateListStart) -> Result<template::Page, Error> {
        Ok(template::Page { templates: vec![greeting()], after: None, before: None })
    }

    async fn find_template(&self, name: &str, language: &str) -> Result<Definition, Error> {
        Some(greeting())
            .filter(|template| template.name == name && template.language == language)
            .ok_or_else(|| Error::Refused(refused(RefusalReason::TemplateNotFound)))
    }

    fn needs_definition(&self) -> bool {
        true
    }

    fn validate(&self, _: &Filled, _: Option<Channel>) -> Vec<ValidationIssue> {
        Vec::new()
    }

    fn mismatches(&self, _: &Definition, filled: &Filled) -> Vec<TemplateMismatch> {
        let mismatch = (!filled.body.is_empty()).then(|| TemplateMismatch {
            field: "template.body".to_owned(),
            problem: "must be empty: a pigeon carries no parameters".to_owned(),
        });
        mismatch.into_iter().collect()
    }
}

#[async_trait]
impl Contacts for Pigeon {
    async fn list_contacts(&self, _: Option<&PagePosition>) -> Result<Page<ListedContact>, Error> {
        let contact =
            ListedContact { id: "7".to_owned(), name: "Ada".to_owned(), ..ListedContact::default() };
        Ok(Page { items: vec![contact], next: None })
    }

    async fn create_contact(&self, _: &NewContact) -> Result<Created, Error> {
        Err(Error::Refused(refused(RefusalReason::PermissionDenied)))
    }

    async fn update_contact(&self, _: &ContactUpdate) -> Result<String, Error> {
        Err(Error::Refused(refused(RefusalReason::PermissionDenied)))
    }

    async fn delete_contact(&self, _: &ContactId) -> Result<String, Error> {
        Err(Error::Refused(refused(RefusalReason::PermissionDenied)))
    }
}

#[derive(Debug)]
struct Webhooks {
    scheme: Scheme,
}

impl WebhookParser for Webhooks {
    fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// The body is the text of a customer's message.
    fn parse(&self, account: &AccountId, webhook: &Verified) -> Vec<Incoming> {
        let text = String::from_utf8_lossy(webhook.body()).into_owned();
        let message = ReportedMessage {
            provider_message_id: text.clone(),
            sender: Party { address: "+15550100001".to_owned(), ..Party::default() },
            recipient: Party::default(),
            reply_to: None,
            referral: None,
            metadata_json: String::new(),
            content: ReportedContent::Text(text.clone()),
        };
        let event = Event {
            id: EventId::generate(),
            account: account.clone(),
            provider: PIGEON,
            occur_time: None,
            callback_data: None,
            payload: Payload::MessageReceived(message),
        };
        vec![Incoming { event, identity: Some(Identity::message(&text)), proof: None }]
    }
}

fn refused(reason: RefusalReason) -> ProviderFault {
    ProviderFault::new(PIGEON, reason)
}

fn greeting() -> Definition {
    Definition {
        id: "1".to_owned(),
        name: "greeting".to_owned(),
        language: "en".to_owned(),
        status: Some(Status::Approved),
        provider_status: "APPROVED".to_owned(),
        category: None,
        provider_category: String::new(),
        parameter_format: None,
        components: Vec::new(),
        rejection_reason: String::new(),
        quality: String::new(),
        create_time: None,
        update_time: None,
        raw_json: "{}".to_owned(),
    }
}

fn greeting_with(parameters: &[&str]) -> SendMessageRequest {
    let body = parameters.iter().map(|text| v1::Parameter {
        value: Some(v1::parameter::Value::Text((*text).to_owned())),
        ..v1::Parameter::default()
    });
    let template = TemplateMessage {
        name: "greeting".to_owned(),
        language: "en".to_owned(),
        body: body.collect(),
        ..TemplateMessage::default()
    };
    SendMessageRequest {
        content: Some(send_message_request::Content::Template(template)),
        ..text(ACCOUNT, "")
    }
}

/// The running server, until it is dropped.
struct Server {
    channel: tonic::transport::Channel,
    webhook: std::net::SocketAddr,
    stop: CancellationToken,
    _folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn start() -> Server {
    let folder = TempDir::new().expect("a folder");
    let text = format!(
        "[journal]\npath = '{}'\n[grpc]\nlisten = '127.0.0.1:0'\n[webhook]\nlisten = '127.0.0.1:0'\n\
         [admin]\nlisten = '127.0.0.1:0'\n[[accounts]]\nid = '{ACCOUNT}'\nprovider = 'pigeon'\nring = 'blue'\n",
        folder.path().join("switchboard.db").display()
    );
    let source = BTreeMap::<String, String>::new();
    let config = Config::parse_with(&[DESCRIPTOR.section], &text, &source).expect("valid");
    let accounts = Accounts::with_providers(&[DESCRIPTOR], &config.accounts).expect("connects");
    let listeners = Listeners::bind(&config).expect("binds");
    let app = App::with_accounts(&config, listeners, None, accounts).expect("builds");
    let (at, stop) = (app.addresses(), CancellationToken::new());
    #[expect(clippy::disallowed_methods, reason = "it ends with `stop`")]
    tokio::spawn(app.run(stop.clone()));
    Server { channel: connect(at).await, webhook: at.webhook, stop, _folder: folder }
}

async fn send(server: &Server, request: SendMessageRequest) -> Result<v1::Message, tonic::Status> {
    let mut client = v1::message_service_client::MessageServiceClient::new(server.channel.clone());
    Ok(within(client.send_message(request)).await?.into_inner().message.expect("a message"))
}

#[tokio::test]
async fn third_provider_sends_texts_and_templates() {
    let server = start().await;
    let message = send(&server, text(ACCOUNT, "coo")).await.expect("accepted");
    assert_eq!((message.provider(), message.provider_name.as_str()), (v1::Provider::Unspecified, "pigeon"));
    assert_eq!(
        (message.provider_message_ids, message.provider_state),
        (vec!["pigeon-1".to_owned()], "coo".to_owned())
    );
    let mut client = v1::message_service_client::MessageServiceClient::new(server.channel.clone());
    let request = v1::GetMessageRequest {
        account: ACCOUNT.to_owned(),
        key: Some(v1::get_message_request::Key::MessageId(message.message_id)),
    };
    let stored = within(client.get_message(request)).await.expect("stored").into_inner().message;
    assert_eq!(stored.expect("a message").provider_name, "pigeon");

    let message = send(&server, greeting_with(&[])).await.expect("accepted");
    assert_eq!((message.template_name.as_str(), message.provider_state.as_str()), ("greeting", "greeting"));
    let error = send(&server, greeting_with(&["x"])).await.expect_err("its own rule");
    assert_eq!(fields(&error), ["template.body"]);
    let error = send(&server, text(ACCOUNT, &"coo".repeat(7))).await.expect_err("its default limit");
    assert_eq!(fields(&error), ["text.body"]);
}

#[tokio::test]
async fn third_provider_delivers_webhooks_to_the_journal() {
    let server = start().await;
    let post = async |signature: &str| {
        let url = format!("http://{}/webhooks/{ACCOUNT}", server.webhook);
        let request = reqwest::Client::new().post(url).header(HEADER, signature).body("arrived");
        within(request.send()).await.expect("answers").status().as_u16()
    };
    assert_eq!(post(&sign("red", b"arrived")).await, 401);
    assert_eq!(post(&sign("blue", b"arrived")).await, 200);
    assert_eq!(post(&sign("blue", b"arrived")).await, 200, "a duplicate");
    let request = v1::SubscribeRequest {
        start: Some(v1::subscribe_request::Start::Position(v1::StartPosition::Earliest.into())),
        ..v1::SubscribeRequest::default()
    };
    let event = subscribe(server.channel.clone(), request).await.expect("subscribed").event().await;
    assert_eq!(
        (text_of(&event), event.provider(), event.provider_name.as_str()),
        ("arrived", v1::Provider::Unspecified, "pigeon")
    );
}

#[tokio::test]
async fn third_provider_lists_what_it_has_and_lacks_the_rest() {
    let server = start().await;
    let account = ACCOUNT.to_owned();
    let mut templates = TemplateServiceClient::new(server.channel.clone());
    let request = v1::ListTemplatesRequest { account: account.clone(), ..Default::default() };
    let listed = within(templates.list_templates(request)).await.expect("listed").into_inner();
    assert_eq!(listed.templates[0].name, "greeting");
    let mut contacts = ContactServiceClient::new(server.channel.clone());
    let request = v1::ListContactsRequest { account: account.clone(), ..Default::default() };
    let listed = within(contacts.list_contacts(request)).await.expect("listed").into_inner();
    assert_eq!(listed.contacts[0].name, "Ada");

    let mut flows = FlowServiceClient::new(server.channel.clone());
    let request = v1::ListFlowResponsesRequest { account: account.clone(), ..Default::default() };
    let no_flows = within(flows.list_flow_responses(request)).await.expect_err("no flows");
    let mut registrations = v1::webhook_registration_service_client::WebhookRegistrationServiceClient::new(
        server.channel.clone(),
    );
    let request = v1::ListWebhookRegistrationsRequest { account, ..Default::default() };
    let no_registrations = within(registrations.list_webhook_registrations(request)).await.expect_err("none");
    let link = v1::Media {
        kind: v1::MediaKind::Image.into(),
        source: Some(v1::media::Source::Url("https://example.com/a.png".to_owned())),
        ..v1::Media::default()
    };
    let request =
        SendMessageRequest { content: Some(send_message_request::Content::Media(link)), ..text(ACCOUNT, "") };
    let no_media = send(&server, request).await.expect_err("no media");
    for (error, field) in [(no_flows, "account"), (no_registrations, "account"), (no_media, "media")] {
        assert_eq!((error.code(), reason(&error).as_str()), (Code::Unimplemented, "PROVIDER_UNSUPPORTED"));
        assert_eq!(fields(&error), [field]);
    }
}
