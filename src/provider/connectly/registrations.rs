//! Webhook registrations: one URL per topic.
//!
//! A reply proves that a write was done as follows. A creation returns the new `id`. A change and a deletion promise no
//! content, and the reply to a change is not documented at all. For these, a 2xx is proof if its body is empty, or is
//! JSON without an error. A 2xx with any other body is not proof. An HTML page, for example, comes from a proxy in
//! front of the provider, and the request may not have reached the provider.

use async_trait::async_trait;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder};
use serde::Serialize;
use serde_json::value::RawValue;

use super::super::http::{Reply, endpoint};
use super::super::json::Object;
use super::{API_KEY, Client, Error, WebhookRegistrations, error};
use crate::domain::webhook::{
    Change, Configuration, ConfigurationChange, Filter, NewRegistration, Registration, RegistrationId, Topic,
};

#[async_trait]
impl WebhookRegistrations for Client {
    async fn list_webhooks(&self) -> Result<Vec<Registration>, Error> {
        let reply = self.http.exchange(self.request(Method::GET, "/webhooks")).await?;
        let object = reply.object();
        let listed = object.as_ref().filter(|_| reply.is_success()).and_then(list);
        listed.ok_or_else(|| self.error(&reply, object.as_ref()))
    }

    async fn create_webhook(&self, new: &NewRegistration) -> Result<Registration, Error> {
        let set = new.configuration.clone().set_fields();
        let body = Body {
            topic: Some(topic_name(new.topic)),
            address: Some(new.address.as_str()),
            configuration: configuration(&set),
        };
        let reply =
            self.http.exchange(with_body(self.request(Method::POST, "/create/webhooks"), &body)).await?;
        let object = reply.object();
        let id = object.as_ref().filter(|_| reply.is_success()).and_then(|object| object.text(&["id"]));
        let Some(id) = id else {
            return Err(self.error(&reply, object.as_ref()));
        };
        Ok(Registration {
            id,
            topic: Some(new.topic),
            provider_topic: topic_name(new.topic).to_owned(),
            address: new.address.to_string(),
            configuration: new.configuration.clone(),
            raw_json: String::new(),
        })
    }

    async fn update_webhook(&self, id: &RegistrationId, change: &Change) -> Result<(), Error> {
        let body = Body {
            topic: None,
            address: change.address.as_ref().map(|address| address.as_str()),
            configuration: configuration(&change.configuration),
        };
        let request = self.request(Method::PUT, &format!("/update/webhooks/{}", id.as_str()));
        self.confirmed(&self.http.exchange(with_body(request, &body)).await?)
    }

    async fn delete_webhook(&self, id: &RegistrationId) -> Result<(), Error> {
        let request = self.request(Method::DELETE, &format!("/delete/webhooks/{}", id.as_str()));
        self.confirmed(&self.http.exchange(request).await?)
    }
}

impl Client {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, endpoint(&self.business, path))
            .header(API_KEY, self.api_key.clone())
            .header(ACCEPT, "application/json")
    }

    /// Finds the provider's confirmation in a reply that promises no content.
    fn confirmed(&self, reply: &Reply) -> Result<(), Error> {
        let object = reply.object();
        let error_body = object.as_ref().and_then(|object| error::find(reply.status, object));
        match &reply.body {
            Ok(body) if reply.is_success() && error_body.is_none() && empty_or_json(body) => Ok(()),
            Ok(_) | Err(_) => Err(self.table.classify(reply, error_body)),
        }
    }
}

fn empty_or_json(body: &[u8]) -> bool {
    body.trim_ascii().is_empty() || serde_json::from_slice::<&RawValue>(body).is_ok()
}

/// The registrations in a reply. `None` if the reply contains no list.
fn list(reply: &Object<'_>) -> Option<Vec<Registration>> {
    let entity = reply.object(&["entity"]);
    let Some(items) = entity.as_ref().unwrap_or(reply).raw(&["webhooks"]) else {
        // An empty list may be omitted.
        return entity.map(|_| Vec::new());
    };
    let items: Vec<&RawValue> = serde_json::from_str(items).ok()?;
    Some(items.into_iter().filter_map(|item| registration(item.get())).collect())
}

fn registration(raw_json: &str) -> Option<Registration> {
    let item = Object::parse(raw_json.as_bytes())?;
    let provider_topic = item.text(&["topic"]).unwrap_or_default();
    let configuration = item.object(&["configuration"]).map(|object| Configuration {
        echo: object.flag(&["echo"]),
        channel_types: strings(&object, &["channelTypes", "channel_types"]),
        filters: object.objects(&["filters"]).iter().map(filter).collect(),
    });
    Some(Registration {
        id: item.text(&["id"]).unwrap_or_default(),
        topic: parse_topic(&provider_topic),
        provider_topic,
        address: item.text(&["address"]).unwrap_or_default(),
        configuration: configuration.unwrap_or_default(),
        raw_json: raw_json.to_owned(),
    })
}

fn filter(filter: &Object<'_>) -> Filter {
    Filter {
        field: filter.text(&["field"]).unwrap_or_default(),
        expression: filter.text(&["expression"]).unwrap_or_default(),
    }
}

/// The strings in the array under these keys; other items are ignored.
fn strings(object: &Object<'_>, keys: &[&str]) -> Vec<String> {
    let items: Option<Vec<&RawValue>> = object.raw(keys).and_then(|text| serde_json::from_str(text).ok());
    items.unwrap_or_default().into_iter().filter_map(|item| serde_json::from_str(item.get()).ok()).collect()
}

/// The provider's name for a topic.
const fn topic_name(topic: Topic) -> &'static str {
    match topic {
        Topic::Messages => "messages",
        Topic::DeliveryStatus => "delivery_status",
        Topic::Report => "report",
    }
}

fn parse_topic(name: &str) -> Option<Topic> {
    match name {
        // One page of the documentation uses the singular.
        "messages" | "message" => Some(Topic::Messages),
        "delivery_status" => Some(Topic::DeliveryStatus),
        "report" => Some(Topic::Report),
        _ => None,
    }
}

/// Absent fields are omitted. In a creation they get their default; in a change they stay unchanged.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    configuration: Option<ConfigurationBody<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfigurationBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    echo: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_types: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filters: Option<Vec<FilterBody<'a>>>,
}

#[derive(Serialize)]
struct FilterBody<'a> {
    field: &'a str,
    expression: &'a str,
}

fn configuration<'a>(change: &'a ConfigurationChange) -> Option<ConfigurationBody<'a>> {
    let filter = |filter: &'a Filter| FilterBody { field: &filter.field, expression: &filter.expression };
    (*change != ConfigurationChange::default()).then(|| ConfigurationBody {
        echo: change.echo,
        channel_types: change.channel_types.as_deref(),
        filters: change.filters.as_ref().map(|filters| filters.iter().map(filter).collect()),
    })
}

fn with_body(request: RequestBuilder, body: &Body<'_>) -> RequestBuilder {
    let body = serde_json::to_vec(body).expect("strings are always JSON");
    request.header(CONTENT_TYPE, "application/json").body(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(text: &str) -> Option<Vec<Registration>> {
        list(&Object::parse(text.as_bytes()).expect("an object"))
    }

    #[test]
    fn registrations_are_parsed_leniently_and_kept_byte_for_byte() {
        let item = r#"{"id":"W1","topic":"messages",  "address":"https://gw.example.org","type":"custom","configuration":{"echo":true,"channel_types":["whatsapp",7,"sms"],"filters":[{"field":"campaign_name","expression":"a-*"},null]}}"#;
        let text = format!(
            r#"{{"entity":{{"businessId":"b","webhooks":[{item},{{"id":2,"topic":"opt_outs","configuration":null}},null]}}}}"#
        );
        let listed = listed(&text).expect("a list");
        assert_eq!(listed.len(), 2);
        assert_eq!((listed[0].id.as_str(), listed[0].topic), ("W1", Some(Topic::Messages)));
        assert_eq!(listed[0].raw_json, item);
        assert_eq!(listed[0].configuration.echo, Some(true));
        assert_eq!(listed[0].configuration.channel_types, ["whatsapp", "sms"]);
        assert_eq!(listed[0].configuration.filters.len(), 1);
        assert_eq!((listed[1].id.as_str(), listed[1].topic), ("2", None));
        assert_eq!(listed[1].provider_topic, "opt_outs");
        assert_eq!(listed[1].configuration, Configuration::default());
    }

    #[test]
    fn empty_list_is_accepted_and_missing_list_is_not() {
        for empty in [
            r#"{"entity":{"webhooks":[]}}"#,
            r#"{"entity":{"webhooks":null}}"#,
            r#"{"entity":{"businessId":"b"}}"#,
            r#"{"webhooks":[]}"#,
        ] {
            assert_eq!(listed(empty), Some(Vec::new()), "{empty}");
        }
        for none in ["{}", r#"{"entity":null}"#, r#"{"entity":{"webhooks":{}}}"#, r#"{"webhooks":"x"}"#] {
            assert_eq!(listed(none), None, "{none}");
        }
    }

    fn error_at(status: u16, body: &'static str) -> Option<Option<crate::domain::RefusalReason>> {
        let reply = Reply { status, retry_after: None, body: Ok(body.as_bytes().into()) };
        reply
            .object()
            .and_then(|object| error::find(reply.status, &object))
            .map(|error_body| error_body.meaning)
    }

    #[test]
    fn success_reply_with_a_message_or_type_is_no_error() {
        for fine in [
            "{}",
            r#"{"id":"W1","topic":"messages","type":"custom"}"#,
            r#"{"message":"Webhook updated"}"#,
            r#"{"error":null}"#,
            r#"{"error":{}}"#,
            r#"{"success":true}"#,
        ] {
            assert_eq!(error_at(200, fine), None, "{fine}");
        }
        for error in [
            r#"{"type":"ERROR_TYPE_UNSPECIFIED","message":"m"}"#,
            r#"{"code":"ERROR_CODE_NEW"}"#,
            r#"{"error":{"message":"m"}}"#,
            r#"{"error":"m"}"#,
            r#"{"success":false}"#,
        ] {
            assert_eq!(error_at(200, error), Some(None), "{error}");
        }
    }
}
