//! The contacts.

use serde_json::{Value, json};

use super::super::exchange::Request;
use super::super::reply::Reply;
use super::{PastTheEnd, object, page, refusal, required};

/// The number of contacts of a new account: two full pages and a part of the third.
const SEEDED: u64 = 45;
/// The fields that are optional in every write.
const OPTIONAL: [&str; 4] = ["email", "gender", "dob", "note"];

/// The contacts in the order of their ids, each with all fields that were written to it.
#[derive(Debug)]
pub(super) struct Contacts {
    next_id: u64,
    contacts: Vec<(u64, Value)>,
}

impl Contacts {
    pub(super) fn seeded() -> Self {
        let contact = |id| {
            let phone = format!("98123{id:05}");
            (id, json!({"name": format!("Contact {id}"), "country_code": "91", "phone_number": phone}))
        };
        Self { next_id: SEEDED + 1, contacts: (1..=SEEDED).map(contact).collect() }
    }

    pub(super) fn list(&self, request: &Request, past_the_end: PastTheEnd) -> Reply {
        let listed = |(id, contact): &(u64, Value)| {
            let (name, phone) = (&contact["name"], &contact["phone_number"]);
            json!({"id": id, "name": name, "phone": phone})
        };
        match page(&self.contacts, request, past_the_end) {
            Ok(contacts) => {
                let contacts: Vec<Value> = contacts.iter().map(listed).collect();
                Reply::json(200, &json!({"contacts": contacts}))
            }
            Err(refusal) => refusal,
        }
    }

    pub(super) fn create(&mut self, request: &Request) -> Reply {
        let body = match validated_body(request, &["name", "country_code", "phone_number"]) {
            Ok(body) => body,
            Err(refusal) => return refusal,
        };
        let id = self.next_id;
        self.next_id += 1;
        self.contacts.push((id, body));
        Reply::json(200, &json!({"message": "Contact created successfully", "contactId": id}))
    }

    /// Changes the given fields, and leaves the others as they are.
    pub(super) fn update(&mut self, request: &Request) -> Reply {
        let body = match validated_body(request, &["name"]) {
            Ok(body) => body,
            Err(refusal) => return refusal,
        };
        let Some(index) = self.index(request) else { return refusal(404, "Contact not found") };
        let contact = &mut self.contacts[index].1;
        for key in ["name"].into_iter().chain(OPTIONAL) {
            if !body[key].is_null() {
                contact[key] = body[key].clone();
            }
        }
        Reply::json(200, &json!({"message": "Contact updated successfully"}))
    }

    pub(super) fn delete(&mut self, request: &Request) -> Reply {
        let Some(index) = self.index(request) else { return refusal(404, "Contact not found") };
        self.contacts.remove(index);
        Reply::json(200, &json!({"message": "Contact deleted successfully"}))
    }

    fn index(&self, request: &Request) -> Option<usize> {
        let id: u64 = request.last_segment().parse().ok()?;
        self.contacts.binary_search_by_key(&id, |(id, _)| *id).ok()
    }
}

fn validated_body(request: &Request, required_keys: &[&str]) -> Result<Value, Reply> {
    let body = object(request)?;
    for key in required_keys {
        required(&body, key)?;
    }
    for key in OPTIONAL {
        if !(body[key].is_null() || body[key].is_string()) {
            return Err(refusal(400, &format!("The {key} field must be a string")));
        }
    }
    match body["dob"].as_str() {
        // An empty date clears the date, as an empty text clears the other fields.
        Some(date) if !date.is_empty() && !is_date(date) => {
            Err(refusal(400, "The dob field must be YYYY-MM-DD"))
        }
        _ => Ok(body),
    }
}

fn is_date(text: &str) -> bool {
    text.len() == 10
        && text
            .bytes()
            .enumerate()
            .all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() })
}
