//! The registrations of webhooks, one per topic.

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use url::Url;

use super::super::exchange::Request;
use super::super::reply::Reply;
use super::{ConnectlyTopic, DuplicateTopic, Registration, error};

/// All registrations.
#[derive(Debug, Default)]
pub(super) struct Registrations {
    registrations: Mutex<Vec<Registration>>,
}

impl Registrations {
    pub(super) fn list(&self) -> Vec<Registration> {
        self.look(|registrations| registrations.clone())
    }

    pub(super) fn address(&self, topic: ConnectlyTopic) -> Option<Url> {
        self.look(|registrations| registrations.iter().find(|r| r.topic == topic).map(|r| r.address.clone()))
    }

    /// Whether echoes of the business's own messages are registered.
    pub(super) fn wants_echo(&self) -> bool {
        self.look(|registrations| {
            let mut messages = registrations.iter().filter(|r| r.topic == ConnectlyTopic::Messages);
            messages.any(|r| r.configuration["echo"] == true)
        })
    }

    /// Sets the address of a topic, or removes the registration. The rest of the configuration is unchanged.
    pub(super) fn set(&self, topic: ConnectlyTopic, address: Option<Url>) {
        self.look(|registrations| {
            let index = registrations.iter().position(|r| r.topic == topic);
            match (index, address) {
                (Some(index), Some(address)) => registrations[index].address = address,
                (Some(index), None) => drop(registrations.remove(index)),
                (None, Some(address)) => registrations.push(new(topic, address, &Value::Null)),
                (None, None) => {}
            }
        });
    }

    pub(super) fn create(&self, request: &Request, duplicate_topic: DuplicateTopic) -> Reply {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let Ok(topic) = body["topic"].as_str().unwrap_or_default().parse::<ConnectlyTopic>() else {
            return error::malformed("The topic is unknown");
        };
        let Some(address) = address(&body["address"]) else {
            return error::malformed("The address is not a URL");
        };
        self.look(|registrations| {
            if let Some(index) = registrations.iter().position(|r| r.topic == topic) {
                match duplicate_topic {
                    DuplicateTopic::Conflict => return error::for_status(409),
                    DuplicateTopic::Replace => drop(registrations.remove(index)),
                }
            }
            let registration = new(topic, address, &body["configuration"]);
            let reply = Reply::json(200, &json!({"id": registration.id}));
            registrations.push(registration);
            reply
        })
    }

    pub(super) fn list_reply(&self, business_id: &str) -> Reply {
        let webhook = |r: Registration| {
            json!({
                "id": r.id,
                "topic": r.topic.as_str(),
                "address": r.address.as_str(),
                "configuration": r.configuration,
            })
        };
        let webhooks: Vec<Value> = self.list().into_iter().map(webhook).collect();
        Reply::json(200, &json!({"entity": {"businessId": business_id, "webhooks": webhooks}}))
    }

    /// Changes the given fields, and leaves the others as they are.
    pub(super) fn update(&self, request: &Request) -> Reply {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let moved = address(&body["address"]);
        if !body.is_object() || (moved.is_none() && !body["address"].is_null()) {
            return error::malformed("The address is not a URL");
        }
        self.look(|registrations| {
            let id = request.last_segment();
            let Some(registration) = registrations.iter_mut().find(|r| r.id == id) else {
                return error::not_found("There is no such webhook");
            };
            if let Some(address) = moved {
                registration.address = address;
            }
            if let Some(given) = body["configuration"].as_object() {
                for (key, value) in given {
                    registration.configuration[key] = value.clone();
                }
            }
            Reply::json(200, &json!({"id": id}))
        })
    }

    pub(super) fn delete(&self, request: &Request) -> Reply {
        self.look(|registrations| {
            let before = registrations.len();
            registrations.retain(|r| r.id != request.last_segment());
            if registrations.len() == before {
                error::not_found("There is no such webhook")
            } else {
                Reply::json(200, &json!({}))
            }
        })
    }

    fn look<T>(&self, look: impl FnOnce(&mut Vec<Registration>) -> T) -> T {
        look(&mut self.registrations.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn new(topic: ConnectlyTopic, address: Url, configuration: &Value) -> Registration {
    let mut complete = json!({"echo": false, "channelTypes": [], "filters": []});
    for (key, value) in configuration.as_object().into_iter().flatten() {
        complete[key] = value.clone();
    }
    // Each topic has one registration, so its id is constant and examples can use it.
    let id = format!("webhook-{}", topic.as_str().replace('_', "-"));
    Registration { id, topic, address, configuration: complete }
}

/// Connectly requires https. The sandbox also accepts http, because a receiver on loopback has no certificate.
fn address(given: &Value) -> Option<Url> {
    let url = Url::parse(given.as_str()?).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}
