//! Templates: reads, messages made from templates, and validation.

mod checks;
mod listing;
mod outcomes;
mod requests;
mod sending;

use switchboard::pb::v1::template_service_client::TemplateServiceClient;
use switchboard::pb::v1::{
    CheckMode, CurrencyParameter, DateTimeParameter, GetTemplateRequest, HeaderMedia, ListTemplatesRequest,
    ListTemplatesResponse, Parameter, SendChecks, SendMessageRequest, Template, TemplateButton,
    TemplateHeader, TemplateMessage, header_media, parameter, send_message_request, template_button,
    template_header,
};
use switchboard::sandbox::{Fault, FaultRule, Operation};
use tonic::Status;

use crate::support::gateway::{CUSTOMER, Gateway, within};

/// A template as a later ConnectBy may list it: with unknown fields, an integer that exceeds a double, a duplicate key,
/// and unusual white space.
const UNUSUAL_TEMPLATE: &str = r#"{ "name" : "dummy_template", "language":"en","parameter_format": "POSITIONAL",
    "components":[ {"type":"HEADER","format":"IMAGE"},{"type":"BODY","text":"\u00a1Hola {{1}} \ud83d\ude00!"} ],"status":"APPROVED",
  "category":"MARKETING", "id":"1044750020823458", "x_new": {"big": 123456789012345678901234567890, "ratio": 1.50, "e": 1E2, "n": null, "n": 0}}"#;

fn page(items: &str, paging: &str) -> String {
    format!(r#"{{"success":true,"responseData":{{"data":[{items}],"paging":{paging}}}}}"#)
}

async fn set_list_reply(gateway: &Gateway, body: String) {
    let rule = FaultRule::always(Fault::Body(200, body)).on(Operation::ListTemplates);
    gateway.connectby().set_fault(rule).await;
}

fn templates(gateway: &Gateway) -> TemplateServiceClient<tonic::transport::Channel> {
    TemplateServiceClient::new(gateway.channel.clone())
}

async fn list(gateway: &Gateway, account: &str, token: &str) -> Result<ListTemplatesResponse, Status> {
    list_page(gateway, account, 0, token).await
}

async fn list_page(
    gateway: &Gateway,
    account: &str,
    page_size: u32,
    token: &str,
) -> Result<ListTemplatesResponse, Status> {
    let request =
        ListTemplatesRequest { account: account.to_owned(), page_size, page_token: token.to_owned() };
    Ok(within(templates(gateway).list_templates(request)).await?.into_inner())
}

async fn get(gateway: &Gateway, account: &str, name: &str, language: &str) -> Result<Template, Status> {
    let request = GetTemplateRequest {
        account: account.to_owned(),
        name: name.to_owned(),
        language: language.to_owned(),
    };
    let got = within(templates(gateway).get_template(request)).await?.into_inner();
    Ok(got.template.expect("a template"))
}

fn send(account: &str, template: TemplateMessage) -> SendMessageRequest {
    SendMessageRequest {
        account: account.to_owned(),
        to: CUSTOMER.to_owned(),
        content: Some(send_message_request::Content::Template(template)),
        ..SendMessageRequest::default()
    }
}

/// The same without the template check.
fn unchecked(account: &str, template: TemplateMessage) -> SendMessageRequest {
    SendMessageRequest {
        checks: Some(SendChecks { template: CheckMode::Skip.into(), ..SendChecks::default() }),
        ..send(account, template)
    }
}

fn template(name: &str, language: &str, body: &[&str]) -> TemplateMessage {
    TemplateMessage {
        name: name.to_owned(),
        language: language.to_owned(),
        body: body.iter().map(|value| text(value)).collect(),
        ..TemplateMessage::default()
    }
}

fn text(value: &str) -> Parameter {
    Parameter { value: Some(parameter::Value::Text(value.to_owned())), ..Parameter::default() }
}

fn named(name: &str, value: &str) -> Parameter {
    Parameter { name: name.to_owned(), ..text(value) }
}

fn currency(code: &str) -> Parameter {
    let value = CurrencyParameter {
        fallback_value: "€ 1".to_owned(),
        code: code.to_owned(),
        amount_thousandths: 1_000,
    };
    Parameter { value: Some(parameter::Value::Currency(value)), ..Parameter::default() }
}

fn date_time(fallback_value: &str) -> Parameter {
    let value = DateTimeParameter { fallback_value: fallback_value.to_owned() };
    Parameter { value: Some(parameter::Value::DateTime(value)), ..Parameter::default() }
}

fn header(header: template_header::Header) -> Option<TemplateHeader> {
    Some(TemplateHeader { header: Some(header) })
}

fn media(url: &str, file_name: &str) -> HeaderMedia {
    let source = Some(header_media::Source::Url(url.to_owned()));
    HeaderMedia { source, file_name: file_name.to_owned() }
}

fn url_suffix(index: u32, suffix: &str) -> TemplateButton {
    TemplateButton { index, value: Some(template_button::Value::UrlSuffix(suffix.to_owned())) }
}

fn quick_reply(index: u32, payload: &str) -> TemplateButton {
    TemplateButton { index, value: Some(template_button::Value::QuickReplyPayload(payload.to_owned())) }
}

fn coupon(index: u32, code: &str) -> TemplateButton {
    TemplateButton { index, value: Some(template_button::Value::CouponCode(code.to_owned())) }
}

/// The last template send that reached ConnectBy.
fn sent(gateway: &Gateway) -> switchboard::sandbox::Call {
    let mut calls = gateway.connectby().calls().into_iter();
    calls.rfind(|call| call.operation == Some(Operation::SendTemplate)).expect("a template was sent")
}
