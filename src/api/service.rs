//! The services: for each RPC, the handler that executes it.
//!
//! **Invariants.** The generated service traits are implemented only here, and only by the adapter in `serve!`. It
//! turns the transport's request into a [`Call`], passes it to the handler, and does nothing else. So nothing that a
//! `Call` carries can be forgotten by an RPC.

use futures_util::stream::BoxStream;
use tonic::{Request, Response, Status, Streaming, async_trait};

use crate::api::call::Call;
use crate::api::event::stream::EventStream;
use crate::api::message::send_messages::ResponseStream;
use crate::api::sandbox::SandboxApi;
use crate::api::served::sandbox::v1::sandbox_service_server::SandboxService;
use crate::api::served::v1::account_service_server::AccountService;
use crate::api::served::v1::contact_service_server::ContactService;
use crate::api::served::v1::conversation_service_server::ConversationService;
use crate::api::served::v1::event_service_server::EventService;
use crate::api::served::v1::flow_service_server::FlowService;
use crate::api::served::v1::message_service_server::MessageService;
use crate::api::served::v1::subscription_service_server::SubscriptionService;
use crate::api::served::v1::template_service_server::TemplateService;
use crate::api::served::v1::webhook_registration_service_server::WebhookRegistrationService;
use crate::api::{
    Api, EncodedList, account, contact, conversation, event, flow, message, sandbox, subscription, template,
    webhook_registration,
};
use crate::pb::{sandbox::v1 as pb_sandbox, v1};

/// Implements a service. Each line is an RPC: its request, its response, and its handler. `as` names the trait's type
/// of a response stream.
macro_rules! serve {
    ($service:ident for $api:ty {
        $($rpc:ident($request:ty) -> $response:ty $(as $stream:ident)? => $handler:path;)*
    }) => {
        #[async_trait]
        impl $service for $api {
            $(
                $(type $stream = $response;)?

                async fn $rpc(&self, request: Request<$request>) -> Result<Response<$response>, Status> {
                    $handler(self, Call::from(request)).await.map(Response::new)
                }
            )*
        }
    };
}

serve!(AccountService for Api {
    list_accounts(v1::ListAccountsRequest) -> v1::ListAccountsResponse => account::list_accounts;
    get_account(v1::GetAccountRequest) -> v1::GetAccountResponse => account::get_account;
});

serve!(ContactService for Api {
    list_contacts(v1::ListContactsRequest) -> v1::ListContactsResponse => contact::list_contacts;
    create_contact(v1::CreateContactRequest) -> v1::CreateContactResponse => contact::create_contact;
    update_contact(v1::UpdateContactRequest) -> v1::UpdateContactResponse => contact::update_contact;
    delete_contact(v1::DeleteContactRequest) -> v1::DeleteContactResponse => contact::delete_contact;
});

serve!(ConversationService for Api {
    get_conversation(v1::GetConversationRequest) -> v1::GetConversationResponse => conversation::get_conversation;
});

serve!(EventService for Api {
    subscribe(v1::SubscribeRequest) -> EventStream as SubscribeStream => event::subscribe;
    list_events(v1::ListEventsRequest) -> EncodedList => event::list_events;
});

serve!(FlowService for Api {
    list_flow_responses(v1::ListFlowResponsesRequest) -> v1::ListFlowResponsesResponse => flow::list_flow_responses;
});

serve!(MessageService for Api {
    send_message(v1::SendMessageRequest) -> v1::SendMessageResponse => message::send_message;
    send_media(Streaming<v1::SendMediaRequest>) -> v1::SendMediaResponse => message::media::send_media;
    send_messages(Streaming<v1::SendMessagesRequest>) -> ResponseStream as SendMessagesStream =>
        message::send_messages::send_messages;
    get_message(v1::GetMessageRequest) -> v1::GetMessageResponse => message::watch::get_message;
    watch_message(v1::WatchMessageRequest)
        -> BoxStream<'static, Result<v1::WatchMessageResponse, Status>> as WatchMessageStream =>
        message::watch::watch_message;
    list_messages(v1::ListMessagesRequest) -> v1::ListMessagesResponse => message::list::list_messages;
});

serve!(SubscriptionService for Api {
    create_subscription(v1::CreateSubscriptionRequest) -> v1::CreateSubscriptionResponse => subscription::create;
    get_subscription(v1::GetSubscriptionRequest) -> v1::GetSubscriptionResponse => subscription::get;
    list_subscriptions(v1::ListSubscriptionsRequest) -> v1::ListSubscriptionsResponse => subscription::list;
    update_subscription(v1::UpdateSubscriptionRequest) -> v1::UpdateSubscriptionResponse => subscription::update;
    seek_subscription(v1::SeekSubscriptionRequest) -> v1::SeekSubscriptionResponse => subscription::seek;
    delete_subscription(v1::DeleteSubscriptionRequest) -> v1::DeleteSubscriptionResponse => subscription::delete;
    acknowledge(v1::AcknowledgeRequest) -> v1::AcknowledgeResponse => subscription::acknowledge;
});

serve!(TemplateService for Api {
    list_templates(v1::ListTemplatesRequest) -> v1::ListTemplatesResponse => template::list_templates;
    get_template(v1::GetTemplateRequest) -> v1::GetTemplateResponse => template::get_template;
    upload_template_media(Streaming<v1::UploadTemplateMediaRequest>) -> v1::UploadTemplateMediaResponse =>
        message::media::upload_template_media;
});

serve!(WebhookRegistrationService for Api {
    create_webhook_registration(v1::CreateWebhookRegistrationRequest) -> v1::CreateWebhookRegistrationResponse =>
        webhook_registration::create_webhook_registration;
    list_webhook_registrations(v1::ListWebhookRegistrationsRequest) -> v1::ListWebhookRegistrationsResponse =>
        webhook_registration::list_webhook_registrations;
    update_webhook_registration(v1::UpdateWebhookRegistrationRequest) -> v1::UpdateWebhookRegistrationResponse =>
        webhook_registration::update_webhook_registration;
    delete_webhook_registration(v1::DeleteWebhookRegistrationRequest) -> v1::DeleteWebhookRegistrationResponse =>
        webhook_registration::delete_webhook_registration;
    verify_webhook_signature(v1::VerifyWebhookSignatureRequest) -> v1::VerifyWebhookSignatureResponse =>
        webhook_registration::verify_webhook_signature;
});

serve!(SandboxService for SandboxApi {
    inject_message(pb_sandbox::InjectMessageRequest) -> pb_sandbox::InjectMessageResponse => sandbox::inject_message;
    inject_webhook(pb_sandbox::InjectWebhookRequest) -> pb_sandbox::InjectWebhookResponse => sandbox::inject_webhook;
    set_fault(pb_sandbox::SetFaultRequest) -> pb_sandbox::SetFaultResponse => sandbox::set_fault;
    clear_faults(pb_sandbox::ClearFaultsRequest) -> pb_sandbox::ClearFaultsResponse => sandbox::clear_faults;
    list_calls(pb_sandbox::ListCallsRequest) -> pb_sandbox::ListCallsResponse => sandbox::list_calls;
});
