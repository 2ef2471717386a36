//! `ContactService`.

use std::sync::Arc;

use prost::Message as _;
use tonic::{Request, Response, Status, async_trait};

use crate::api::error::status;
use crate::api::request::deadline::deadline;
use crate::api::request::paging::Place;
use crate::api::request::violations::{CHECKED, ViolationReason, Violations};
use crate::api::served::v1::contact_service_server::ContactService;
use crate::api::{Api, request::idempotency, request::paging, request::parse};
use crate::domain::contact::{
    ContactId, ContactUpdate, CountryCode, Created, DateOfBirth, Details, ListedContact, MAX_PHONE_DIGITS,
    NationalNumber, NewContact,
};
use crate::domain::request::Request as IdempotentRequest;
use crate::pb::v1;
use crate::provider::{Account, Accounts, connectby};

const LIST: &str = "ContactService.ListContacts";

#[async_trait]
impl ContactService for Api {
    async fn list_contacts(
        &self,
        request: Request<v1::ListContactsRequest>,
    ) -> Result<Response<v1::ListContactsResponse>, Status> {
        let deadline = deadline(request.metadata());
        let request = request.into_inner();
        let mut violations = Violations::default();
        let account = account(&request.account, self.dispatch.accounts(), &mut violations)?;
        let size = paging::page_size(request.page_size, &mut violations);
        violations.check()?;
        let account = account.expect(CHECKED);
        let place = Place::decode(LIST, account.id(), &request.page_token)?;
        let page = self
            .dispatch
            .read(account, "list_contacts", deadline, || {
                contacts(account).list_contacts(place.provider_page.as_ref())
            })
            .await
            .map_err(|error| status::read_failed(account, &error))?;
        let (contacts, next_page_token) = place.slice(LIST, account.id(), page, contact_from_list, size);
        Ok(Response::new(v1::ListContactsResponse { contacts, next_page_token }))
    }

    async fn create_contact(
        &self,
        request: Request<v1::CreateContactRequest>,
    ) -> Result<Response<v1::CreateContactResponse>, Status> {
        let deadline = deadline(request.metadata());
        let Creation { account, contact, request } =
            creation(request.into_inner(), self.dispatch.accounts())?;
        let write = move |account: Arc<Account>| {
            let contact = contact.clone();
            async move {
                let Created { id, message } = contacts(&account).create_contact(&contact).await?;
                let response = v1::CreateContactResponse {
                    contact: Some(contact_from_creation(id, contact)),
                    provider_message: message,
                    replayed: false,
                };
                Ok(response.encode_to_vec().into())
            }
        };
        let completed = self
            .dispatch
            .write_once(&account, "create_contact", request, deadline, write)
            .await
            .map_err(|error| status::write_failed(&account, &error))?;
        let response =
            v1::CreateContactResponse { replayed: completed.replayed, ..idempotency::reply(&completed)? };
        Ok(Response::new(response))
    }

    async fn update_contact(
        &self,
        request: Request<v1::UpdateContactRequest>,
    ) -> Result<Response<v1::UpdateContactResponse>, Status> {
        let deadline = deadline(request.metadata());
        let (account, contact) = update(request.into_inner(), self.dispatch.accounts())?;
        let write = move |account: Arc<Account>| {
            let contact = contact.clone();
            async move { contacts(&account).update_contact(&contact).await }
        };
        let provider_message = self
            .dispatch
            .write(&account, "update_contact", deadline, write)
            .await
            .map_err(|error| status::write_failed(&account, &error))?;
        Ok(Response::new(v1::UpdateContactResponse { contact: None, provider_message }))
    }

    async fn delete_contact(
        &self,
        request: Request<v1::DeleteContactRequest>,
    ) -> Result<Response<v1::DeleteContactResponse>, Status> {
        let deadline = deadline(request.metadata());
        let (account, id) = deletion(&request.into_inner(), self.dispatch.accounts())?;
        let write = move |account: Arc<Account>| {
            let id = id.clone();
            async move { contacts(&account).delete_contact(&id).await }
        };
        let provider_message = self
            .dispatch
            .write(&account, "delete_contact", deadline, write)
            .await
            .map_err(|error| status::write_failed(&account, &error))?;
        Ok(Response::new(v1::DeleteContactResponse { provider_message }))
    }
}

fn contacts(account: &Account) -> &connectby::Client {
    account.contacts().expect("validation rejects accounts without contacts")
}

/// Finds the account that a request names. A violation if its provider has no contacts.
fn account<'a>(
    id: &str,
    accounts: &'a Accounts,
    violations: &mut Violations,
) -> Result<Option<&'a Arc<Account>>, Status> {
    let account = parse::account("account", id, accounts, violations)?;
    if let Some(account) = account
        && account.contacts().is_none()
    {
        violations.add(
            "account",
            ViolationReason::Unsupported,
            format!("{} does not support contacts", account.provider()),
        );
    }
    Ok(account)
}

/// A parsed request for a new contact.
struct Creation {
    account: Arc<Account>,
    contact: NewContact,
    request: Option<IdempotentRequest>,
}

fn creation(request: v1::CreateContactRequest, accounts: &Accounts) -> Result<Creation, Status> {
    let mut violations = Violations::default();
    let account = account(&request.account, accounts, &mut violations)?;
    let key = idempotency::read("", &request.request_id, request.resend_after_attempt, &mut violations);
    let idempotent = key.map(|key| key.request(idempotency::of_contact(&request)));
    let Some(contact) = required_contact(request.contact, &mut violations) else {
        return Err(violations.into());
    };

    let name = name(&contact.name, &mut violations);
    let country_code = parse::required("contact.country_code", &contact.country_code, &mut violations);
    let phone_number = parse::required("contact.phone_number", &contact.phone_number, &mut violations);
    if let (Some(code), Some(number)) = (&country_code, &phone_number) {
        check_phone_length(code, number, &mut violations);
    }
    let details = details(contact, &mut violations);

    violations.check()?;
    let (Some(account), Some(name), Some(country_code), Some(phone_number)) =
        (account, name, country_code, phone_number)
    else {
        unreachable!("{CHECKED}")
    };
    let contact = NewContact { name, country_code, phone_number, details };
    Ok(Creation { account: Arc::clone(account), contact, request: idempotent })
}

fn update(
    request: v1::UpdateContactRequest,
    accounts: &Accounts,
) -> Result<(Arc<Account>, ContactUpdate), Status> {
    let mut violations = Violations::default();
    let account = account(&request.account, accounts, &mut violations)?;
    let Some(contact) = required_contact(request.contact, &mut violations) else {
        return Err(violations.into());
    };

    let id = parse::required("contact.contact_id", &contact.contact_id, &mut violations);
    let name = name(&contact.name, &mut violations);
    for (field, text) in
        [("contact.country_code", &contact.country_code), ("contact.phone_number", &contact.phone_number)]
    {
        if !text.is_empty() {
            violations.add(
                field,
                ViolationReason::Unsupported,
                "must be empty: the provider cannot change it",
            );
        }
    }
    let details = details(contact, &mut violations);

    violations.check()?;
    let (Some(account), Some(id), Some(name)) = (account, id, name) else { unreachable!("{CHECKED}") };
    Ok((Arc::clone(account), ContactUpdate { id, name, details }))
}

fn deletion(
    request: &v1::DeleteContactRequest,
    accounts: &Accounts,
) -> Result<(Arc<Account>, ContactId), Status> {
    let mut violations = Violations::default();
    let account = account(&request.account, accounts, &mut violations)?;
    let id = parse::required("contact_id", &request.contact_id, &mut violations);
    violations.check()?;
    let (Some(account), Some(id)) = (account, id) else { unreachable!("{CHECKED}") };
    Ok((Arc::clone(account), id))
}

fn required_contact(contact: Option<v1::Contact>, violations: &mut Violations) -> Option<v1::Contact> {
    if contact.is_none() {
        violations.add("contact", ViolationReason::Required, "must be given");
    }
    contact
}

fn must_be_empty(field: &str, text: &str, allowed: &str, violations: &mut Violations) {
    if !text.is_empty() {
        violations.add(field, ViolationReason::Malformed, allowed);
    }
}

fn name(name: &str, violations: &mut Violations) -> Option<String> {
    if name.trim().is_empty() {
        violations.add("contact.name", ViolationReason::Required, "must be given, and not white space alone");
        return None;
    }
    parse::check_length("contact.name", name, 512, violations);
    Some(name.to_owned())
}

fn check_phone_length(code: &CountryCode, number: &NationalNumber, violations: &mut Violations) {
    if code.as_str().len() + number.as_str().len() > MAX_PHONE_DIGITS {
        let allowed = format!(
            "must have at most {MAX_PHONE_DIGITS} digits together with the digits of the country code"
        );
        violations.add("contact.phone_number", ViolationReason::OutOfRange, allowed);
    }
}

/// Parses the optional fields.
fn details(contact: v1::Contact, violations: &mut Violations) -> Details {
    for (field, text, max) in [
        ("contact.email", &contact.email, 320),
        ("contact.gender", &contact.gender, 64),
        ("contact.note", &contact.note, 4_096),
    ] {
        parse::check_length(field, text.as_deref().unwrap_or_default(), max, violations);
    }
    let date_of_birth = date_of_birth(contact.date_of_birth.as_deref(), violations);
    must_be_empty("contact.raw_json", &contact.raw_json, "must be empty: it is output only", violations);
    Details { email: contact.email, gender: contact.gender, date_of_birth, note: contact.note }
}

fn date_of_birth(text: Option<&str>, violations: &mut Violations) -> Option<DateOfBirth> {
    match text?.parse::<DateOfBirth>() {
        Ok(date) => Some(date),
        Err(error) => {
            violations.add("contact.date_of_birth", ViolationReason::Malformed, error.to_string());
            None
        }
    }
}

fn contact_from_creation(id: String, contact: NewContact) -> v1::Contact {
    let NewContact { name, country_code, phone_number, details } = contact;
    let Details { email, gender, date_of_birth, note } = details;
    v1::Contact {
        contact_id: id,
        name,
        country_code: country_code.as_str().to_owned(),
        phone_number: phone_number.as_str().to_owned(),
        email,
        gender,
        date_of_birth: date_of_birth.map(|date| date.as_str().to_owned()),
        note,
        raw_json: String::new(),
    }
}

fn contact_from_list(contact: ListedContact) -> v1::Contact {
    let ListedContact { id, name, phone_number, email, gender, date_of_birth, note, raw_json } = contact;
    v1::Contact {
        contact_id: id,
        name,
        country_code: String::new(),
        phone_number,
        email,
        gender,
        date_of_birth,
        note,
        raw_json,
    }
}
