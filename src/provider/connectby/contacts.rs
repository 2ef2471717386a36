//! ConnectBy's contact list.
//!
//! ConnectBy has no call that reads a single contact. It does not document what an update does to omitted fields.

use async_trait::async_trait;
use reqwest::RequestBuilder;
use serde::Serialize;

use super::super::http::{Reply, endpoint};
use super::super::json::Object;
use super::super::{Contacts, Error};
use super::page::List;
use super::{Client, Confirmation, json};
use crate::config::Route;
use crate::domain::contact::{ContactId, ContactUpdate, Created, Details, ListedContact, NewContact};
use crate::domain::page::{Page, PagePosition};

#[async_trait]
impl Contacts for Client {
    async fn list_contacts(&self, position: Option<&PagePosition>) -> Result<Page<ListedContact>, Error> {
        let list = List { name: "list_contacts", route: &self.routes.list_contacts, keys: &["contacts"] };
        self.page(list, position, read_contact).await
    }

    async fn create_contact(&self, contact: &NewContact) -> Result<Created, Error> {
        let route = &self.routes.create_contact;
        let body = Body {
            country_code: Some(contact.country_code.as_str()),
            phone_number: Some(contact.phone_number.as_str()),
            ..Body::new(&contact.name, &contact.details)
        };
        let reply = self.exchange(route, |request| json(request, body.to_json())).await?;
        let created = self.confirmed(&reply, |reply| match reply.text(&["contactId", "contact_id"]) {
            Some(id) => {
                Confirmation::Id(Created { id, message: reply.text(&["message"]).unwrap_or_default() })
            }
            None => Confirmation::None,
        });
        created.map_err(|error| error.at_route("create_contact", route))
    }

    async fn update_contact(&self, contact: &ContactUpdate) -> Result<String, Error> {
        let route = &self.routes.update_contact;
        let body = Body {
            name: &contact.name,
            country_code: None,
            phone_number: None,
            email: contact.email.as_deref(),
            gender: contact.gender.as_deref(),
            dob: contact.date_of_birth.as_ref().map(|change| change.as_str()),
            note: contact.note.as_deref(),
        };
        let reply =
            self.exchange_with_id(route, &contact.id, |request| json(request, body.to_json())).await?;
        let message = self.confirmed(&reply, confirming_message);
        message.map_err(|error| error.at_route("update_contact", route))
    }

    async fn delete_contact(&self, id: &ContactId) -> Result<String, Error> {
        let route = &self.routes.delete_contact;
        let reply = self.exchange_with_id(route, id, |request| request).await?;
        let message = self.confirmed(&reply, confirming_message);
        message.map_err(|error| error.at_route("delete_contact", route))
    }
}

impl Client {
    /// Calls a route that has an `{id}`. An id contains only characters that need no escaping in any part of a URL.
    async fn exchange_with_id(
        &self,
        route: &Route,
        id: &ContactId,
        fill: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Reply, Error> {
        let url = endpoint(&self.base_url, &route.path.replace("{id}", id.as_str()));
        self.http.exchange(fill(self.request(route, url))).await
    }
}

/// The provider confirms a change only by a message.
fn confirming_message(reply: &Object<'_>) -> Confirmation<String> {
    reply.string(&["message"]).map_or(Confirmation::None, Confirmation::Statement)
}

/// The body of a write. Absent fields are omitted.
#[derive(Debug, Serialize)]
struct Body<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    country_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gender: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dob: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
}

impl<'a> Body<'a> {
    fn new(name: &'a str, details: &'a Details) -> Self {
        Self {
            name,
            country_code: None,
            phone_number: None,
            email: details.email.as_deref(),
            gender: details.gender.as_deref(),
            dob: details.date_of_birth.as_ref().map(|date| date.as_str()),
            note: details.note.as_deref(),
        }
    }

    fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings are always JSON")
    }
}

/// Parses a row of the list. For a row that is not an object, only the raw JSON is set.
fn read_contact(row: &str) -> ListedContact {
    let raw_json = row.to_owned();
    let Some(row) = Object::parse(row.as_bytes()) else {
        return ListedContact { raw_json, ..ListedContact::default() };
    };
    ListedContact {
        id: row.text(&["id", "contactId", "contact_id"]).unwrap_or_default(),
        name: row.text(&["name"]).unwrap_or_default(),
        phone_number: row.text(&["phone", "phone_number", "phoneNumber"]).unwrap_or_default(),
        email: row.text(&["email"]),
        gender: row.text(&["gender"]),
        date_of_birth: row.text(&["dob", "date_of_birth", "dateOfBirth"]),
        note: row.text(&["note"]),
        raw_json,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_contact_row_keeps_its_readable_fields() {
        let row = r#"{"id": 1, "name": "John Doe", "phone": "1234567890"}"#;
        let read = read_contact(row);
        assert_eq!((read.id.as_str(), read.name.as_str()), ("1", "John Doe"));
        assert_eq!((read.phone_number.as_str(), read.raw_json.as_str()), ("1234567890", row));
        assert_eq!(
            (&read.email, &read.gender, &read.date_of_birth, &read.note),
            (&None, &None, &None, &None)
        );

        let read = read_contact(
            r#"{"id":"c-1","name":null,"phone":919812345670,"email":"a@b.c","gender":"","dob":"1990-05-01","note":"n","x":[]}"#,
        );
        assert_eq!((read.id.as_str(), read.name.as_str()), ("c-1", ""));
        assert_eq!(read.phone_number, "919812345670");
        assert_eq!((read.email.as_deref(), read.gender), (Some("a@b.c"), None));
        assert_eq!((read.date_of_birth.as_deref(), read.note.as_deref()), (Some("1990-05-01"), Some("n")));

        for malformed in ["null", "7", "\"x\"", "[]"] {
            assert_eq!(
                read_contact(malformed),
                ListedContact { raw_json: malformed.to_owned(), ..ListedContact::default() }
            );
        }
    }
}
