//! `ContactService`.

use std::sync::Arc;

use prost::Message as _;
use tonic::Status;

use crate::api::call::Call;
use crate::api::error::status;
use crate::api::request::field_mask::Fields;
use crate::api::request::paging::NumberedPageToken;
use crate::api::request::violations::{ViolationReason, Violations};
use crate::api::{Api, request::idempotency, request::paging, request::parse};
use crate::domain::contact::{
    ContactId, ContactUpdate, CountryCode, Created, DateChange, DateOfBirth, Details, ListedContact,
    MAX_PHONE_DIGITS, NationalNumber, NewContact,
};
use crate::domain::request::Request as IdempotentRequest;
use crate::pb::v1;
use crate::provider::{Account, Accounts, Contacts};

const LIST: &str = "ContactService.ListContacts";

/// The fields of a contact in an update.
const FIELDS: Fields = Fields {
    resource: "contact",
    mutable: &["name", "email", "gender", "date_of_birth", "note"],
    immutable: &["country_code", "phone_number"],
    ignored: &["contact_id", "raw_json"],
};

/// `ContactService.ListContacts`.
pub(in crate::api) async fn list_contacts(
    api: &Api,
    call: Call<v1::ListContactsRequest>,
) -> Result<v1::ListContactsResponse, Status> {
    let Call { deadline, message: request, .. } = call;
    let mut violations = Violations::default();
    let account = account(&request.account, api.dispatch.accounts(), &mut violations)?;
    let size = paging::page_size(request.page_size, &mut violations);
    let account = violations.all(account)?;
    let start = NumberedPageToken::decode(LIST, account.id(), &request.page_token)?;
    let page = api
        .dispatch
        .read(account, "list_contacts", deadline, || {
            contacts(account).list_contacts(start.provider_page.as_ref())
        })
        .await
        .map_err(|error| status::read_failed(account, &error))?;
    let (contacts, next_page_token) = start.slice(LIST, account.id(), page, contact_from_list, size);
    Ok(v1::ListContactsResponse { contacts, next_page_token })
}

/// `ContactService.CreateContact`.
pub(in crate::api) async fn create_contact(
    api: &Api,
    call: Call<v1::CreateContactRequest>,
) -> Result<v1::CreateContactResponse, Status> {
    let deadline = call.deadline;
    let Creation { account, contact, request } = creation(call.message, api.dispatch.accounts())?;
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
    let completed = api
        .dispatch
        .write(&account, "create_contact", request, deadline, write)
        .await
        .map_err(|error| status::write_failed(&account, &error))?;
    let response =
        v1::CreateContactResponse { replayed: completed.replayed, ..idempotency::reply(&completed)? };
    Ok(response)
}

/// `ContactService.UpdateContact`.
pub(in crate::api) async fn update_contact(
    api: &Api,
    call: Call<v1::UpdateContactRequest>,
) -> Result<v1::UpdateContactResponse, Status> {
    let deadline = call.deadline;
    let (account, contact) = update(call.message, api.dispatch.accounts())?;
    let write = move |account: Arc<Account>| {
        let contact = contact.clone();
        async move {
            let provider_message = contacts(&account).update_contact(&contact).await?;
            let contact = Some(contact_from_update(contact));
            Ok(v1::UpdateContactResponse { contact, provider_message }.encode_to_vec().into())
        }
    };
    let completed = api
        .dispatch
        .write(&account, "update_contact", None, deadline, write)
        .await
        .map_err(|error| status::write_failed(&account, &error))?;
    idempotency::reply(&completed)
}

/// `ContactService.DeleteContact`.
pub(in crate::api) async fn delete_contact(
    api: &Api,
    call: Call<v1::DeleteContactRequest>,
) -> Result<v1::DeleteContactResponse, Status> {
    let deadline = call.deadline;
    let (account, id) = deletion(&call.message, api.dispatch.accounts())?;
    let write = move |account: Arc<Account>| {
        let id = id.clone();
        async move {
            let provider_message = contacts(&account).delete_contact(&id).await?;
            Ok(v1::DeleteContactResponse { provider_message }.encode_to_vec().into())
        }
    };
    let completed = api
        .dispatch
        .write(&account, "delete_contact", None, deadline, write)
        .await
        .map_err(|error| status::write_failed(&account, &error))?;
    idempotency::reply(&completed)
}

fn contacts(account: &Account) -> &dyn Contacts {
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

    let (account, name, country_code, phone_number) =
        violations.all((account, name, country_code, phone_number))?;
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
    // The provider needs the name in every update, so it counts as set.
    let set = [
        ("name", true),
        ("email", contact.email.is_some()),
        ("gender", contact.gender.is_some()),
        ("date_of_birth", contact.date_of_birth.is_some()),
        ("note", contact.note.is_some()),
    ];
    let set = set.into_iter().filter_map(|(path, is_set)| is_set.then_some(path));
    let changed = FIELDS.changed(request.update_mask, set, &mut violations).unwrap_or_default();
    let is_changed = |path| changed.contains(path);

    let name = if is_changed("name") {
        name(&contact.name, &mut violations)
    } else {
        // Without a change, the mask is invalid, which is a violation.
        if !changed.is_empty() {
            let problem = "must be given and named by `update_mask`: the provider needs it in every update";
            violations.add("contact.name", ViolationReason::Required, problem);
        }
        None
    };
    let email = is_changed("email").then(|| contact.email.unwrap_or_default());
    let gender = is_changed("gender").then(|| contact.gender.unwrap_or_default());
    let note = is_changed("note").then(|| contact.note.unwrap_or_default());
    check_lengths(email.as_deref(), gender.as_deref(), note.as_deref(), &mut violations);
    let date_of_birth = if is_changed("date_of_birth") {
        match contact.date_of_birth.as_deref().unwrap_or_default() {
            "" => Some(DateChange::Clear),
            text => date_of_birth(Some(text), &mut violations).map(DateChange::Set),
        }
    } else {
        None
    };

    let (account, id, name) = violations.all((account, id, name))?;
    Ok((Arc::clone(account), ContactUpdate { id, name, email, gender, date_of_birth, note }))
}

fn deletion(
    request: &v1::DeleteContactRequest,
    accounts: &Accounts,
) -> Result<(Arc<Account>, ContactId), Status> {
    let mut violations = Violations::default();
    let account = account(&request.account, accounts, &mut violations)?;
    let id = parse::required("contact_id", &request.contact_id, &mut violations);
    let (account, id) = violations.all((account, id))?;
    Ok((Arc::clone(account), id))
}

fn required_contact(contact: Option<v1::Contact>, violations: &mut Violations) -> Option<v1::Contact> {
    if contact.is_none() {
        violations.add("contact", ViolationReason::Required, "must be given");
    }
    contact
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
    let (email, gender, note) =
        (contact.email.as_deref(), contact.gender.as_deref(), contact.note.as_deref());
    check_lengths(email, gender, note, violations);
    let date_of_birth = date_of_birth(contact.date_of_birth.as_deref(), violations);
    Details { email: contact.email, gender: contact.gender, date_of_birth, note: contact.note }
}

fn check_lengths(email: Option<&str>, gender: Option<&str>, note: Option<&str>, violations: &mut Violations) {
    for (field, text, max) in
        [("contact.email", email, 320), ("contact.gender", gender, 64), ("contact.note", note, 4_096)]
    {
        parse::check_length(field, text.unwrap_or_default(), max, violations);
    }
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

/// The id and the changed fields.
fn contact_from_update(contact: ContactUpdate) -> v1::Contact {
    let ContactUpdate { id, name, email, gender, date_of_birth, note } = contact;
    v1::Contact {
        contact_id: id.as_str().to_owned(),
        name,
        email,
        gender,
        date_of_birth: date_of_birth.map(|change| change.as_str().to_owned()),
        note,
        ..v1::Contact::default()
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
