//! The capabilities of providers, one trait each.
//!
//! A provider's client implements [`Client`] and returns itself for each capability that it has. The rest of the server
//! knows these traits only.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use super::signature::{Scheme, Verified};
use super::{AcceptedMessage, Capabilities, Error, Incoming, TemplateMismatch, Upload, ValidationIssue};
use crate::domain::contact::{ContactId, ContactUpdate, Created, ListedContact, NewContact};
use crate::domain::flow::FlowResponse;
use crate::domain::message::Outgoing;
use crate::domain::page::{Page, PagePosition};
use crate::domain::template::{self, Definition, Filled, TemplateListStart};
use crate::domain::webhook::{Change, NewRegistration, Registration, RegistrationId};
use crate::domain::{AccountId, Address, AttemptId, Channel, Provider, ProviderFault};

/// One account at one provider.
#[async_trait]
pub trait Client: Messaging {
    /// The provider.
    fn provider(&self) -> Provider;

    /// What the account can do.
    fn capabilities(&self) -> Capabilities;

    /// Sends a small read to check whether the provider responds.
    ///
    /// # Errors
    ///
    /// Fails if the provider's reply is not the expected one. Such an error can still contain a reply.
    async fn probe(&self) -> Result<(), Error>;

    /// Absent if the provider has no templates.
    fn templates(&self) -> Option<&dyn Templates> {
        None
    }

    /// Absent if the provider has no contact list.
    fn contacts(&self) -> Option<&dyn Contacts> {
        None
    }

    /// Absent if the provider does not list flow responses.
    fn flows(&self) -> Option<&dyn Flows> {
        None
    }

    /// Absent if the provider accepts no files.
    fn uploads(&self) -> Option<&dyn Uploads> {
        None
    }

    /// Absent if webhooks cannot be registered with the provider.
    fn registrations(&self) -> Option<&dyn WebhookRegistrations> {
        None
    }

    /// Absent if the provider sends no webhooks, or if no secret is configured.
    fn webhooks(&self) -> Option<&dyn WebhookParser> {
        None
    }
}

/// Sends messages.
pub trait Messaging: Debug + Send + Sync {
    /// Converts a message into what the provider accepts. `template` is the listed template of a template message. It
    /// is required if [`Templates::needs_definition`] is true.
    ///
    /// # Errors
    ///
    /// Fails if the provider would certainly refuse the message.
    fn prepare(
        self: Arc<Self>,
        message: Outgoing,
        template: Option<Arc<Definition>>,
    ) -> Result<Box<dyn PreparedSend>, ProviderFault>;
}

/// A message in the form that its provider accepts.
#[async_trait]
pub trait PreparedSend: Send + Sync {
    /// Sends the message once. If the provider returns data with the message's events, that data contains the attempt
    /// id.
    ///
    /// # Errors
    ///
    /// Fails unless the provider accepts the message.
    async fn send(&self, attempt: AttemptId) -> Result<AcceptedMessage, Error>;
}

/// Lists templates, and knows the provider's rules for filling them.
#[async_trait]
pub trait Templates: Send + Sync {
    /// Reads a page of the account's templates.
    ///
    /// # Errors
    ///
    /// Fails if the page cannot be fetched or parsed.
    async fn list_templates(&self, start: &TemplateListStart) -> Result<template::Page, Error>;

    /// Finds the template with this name and language in the account's list.
    ///
    /// # Errors
    ///
    /// Fails with `TemplateNotFound` if the list does not contain it. Otherwise fails if the list cannot be fetched or
    /// parsed.
    async fn find_template(&self, name: &str, language: &str) -> Result<Definition, Error>;

    /// Whether a template message can be sent only together with the listed template.
    fn needs_definition(&self) -> bool;

    /// The issues of this template message that do not depend on the template.
    fn validate(&self, filled: &Filled, channel: Option<Channel>) -> Vec<ValidationIssue>;

    /// All values that do not match the listed template.
    fn mismatches(&self, template: &Definition, filled: &Filled) -> Vec<TemplateMismatch>;
}

/// The account's contact list.
#[async_trait]
pub trait Contacts: Send + Sync {
    /// Reads a page of contacts.
    ///
    /// # Errors
    ///
    /// Fails if the page cannot be fetched or parsed.
    async fn list_contacts(&self, position: Option<&PagePosition>) -> Result<Page<ListedContact>, Error>;

    /// Creates a contact.
    ///
    /// # Errors
    ///
    /// Fails unless the provider confirms the contact.
    async fn create_contact(&self, contact: &NewContact) -> Result<Created, Error>;

    /// Changes a contact, and returns the provider's message.
    ///
    /// # Errors
    ///
    /// Fails unless the provider confirms the change.
    async fn update_contact(&self, contact: &ContactUpdate) -> Result<String, Error>;

    /// Deletes a contact, and returns the provider's message.
    ///
    /// # Errors
    ///
    /// Fails unless the provider confirms the deletion.
    async fn delete_contact(&self, id: &ContactId) -> Result<String, Error>;
}

/// The responses of customers to flows.
#[async_trait]
pub trait Flows: Send + Sync {
    /// Reads a page of responses.
    ///
    /// # Errors
    ///
    /// Fails if the page cannot be fetched or parsed.
    async fn list_flow_responses(&self, position: Option<&PagePosition>)
    -> Result<Page<FlowResponse>, Error>;
}

/// Files of the client; [`Limits::upload`](super::Limits::upload) has the maximum sizes.
#[async_trait]
pub trait Uploads: Send + Sync {
    /// Sends a file to a customer.
    ///
    /// # Errors
    ///
    /// Fails unless the provider accepts the message.
    async fn send_media(&self, to: &Address, file: Upload) -> Result<AcceptedMessage, Error>;

    /// Uploads a file for a template's header and returns its URL.
    ///
    /// # Errors
    ///
    /// Fails unless the provider accepts the file.
    async fn upload_template_media(&self, file: Upload) -> Result<String, Error>;
}

/// The webhook addresses that are registered with the provider.
#[async_trait]
pub trait WebhookRegistrations: Send + Sync {
    /// Lists all registrations.
    ///
    /// # Errors
    ///
    /// Fails if the list cannot be fetched or parsed.
    async fn list_webhooks(&self) -> Result<Vec<Registration>, Error>;

    /// Registers an address.
    ///
    /// # Errors
    ///
    /// Fails unless the provider confirms the registration.
    async fn create_webhook(&self, new: &NewRegistration) -> Result<Registration, Error>;

    /// Changes a registration.
    ///
    /// # Errors
    ///
    /// Fails unless the provider confirms the change.
    async fn update_webhook(&self, id: &RegistrationId, change: &Change) -> Result<(), Error>;

    /// Deletes a registration.
    ///
    /// # Errors
    ///
    /// Fails unless the provider confirms the deletion.
    async fn delete_webhook(&self, id: &RegistrationId) -> Result<(), Error>;
}

/// Verifies and parses the provider's webhooks.
pub trait WebhookParser: Send + Sync {
    /// How the provider signs webhooks for this account.
    fn scheme(&self) -> &Scheme;

    /// Parses a webhook. A body that cannot be parsed becomes an event too.
    fn parse(&self, account: &AccountId, webhook: &Verified) -> Vec<Incoming>;
}
