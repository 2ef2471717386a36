//! The operations of the simulated providers.

use std::fmt;
use std::str::FromStr;

macro_rules! operations {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// One documented call of either provider, identified by its route.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Operation {
            $($(#[$doc])* $variant,)+
        }

        impl Operation {
            /// Every operation of both providers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The operation's name: `send_text`, `list_contacts`, …
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

operations! {
    /// ConnectBy: `GET /v1.0/contacts`.
    ListContacts = "list_contacts",
    /// ConnectBy: `POST /v1.0/contacts`.
    CreateContact = "create_contact",
    /// ConnectBy: `PUT /v1.0/contacts/{id}`.
    UpdateContact = "update_contact",
    /// ConnectBy: `DELETE /v1.0/contacts/{id}`.
    DeleteContact = "delete_contact",
    /// ConnectBy: `GET /v1.0/flowdata`.
    ListFlowData = "list_flow_data",
    /// ConnectBy: `POST /v1.0/message`.
    SendText = "send_text",
    /// ConnectBy: `POST /v1.0/message/media`.
    SendMedia = "send_media",
    /// ConnectBy: `GET /v1.0/templates`. Connectly: `POST …/get/templates`.
    ListTemplates = "list_templates",
    /// ConnectBy: `POST /v1.0/templates/media`.
    UploadTemplateMedia = "upload_template_media",
    /// ConnectBy: `GET /whatsapp_media/{name}`.
    FetchMedia = "fetch_media",
    /// ConnectBy: `POST /v1.0/templates/send`. Connectly: `POST …/send/whatsapp_templated_messages`.
    SendTemplate = "send_template",
    /// Connectly: `POST …/send/messages`, for every kind of message.
    SendMessage = "send_message",
    /// Connectly: `POST …/create/webhooks`.
    CreateWebhook = "create_webhook",
    /// Connectly: `GET …/webhooks`.
    ListWebhooks = "list_webhooks",
    /// Connectly: `PUT …/update/webhooks/{id}`.
    UpdateWebhook = "update_webhook",
    /// Connectly: `DELETE …/delete/webhooks/{id}`.
    DeleteWebhook = "delete_webhook",
}

/// The error for a string that is not the name of an [`Operation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be the name of an operation, like `send_text` or `list_contacts`")]
pub struct UnknownOperation;

impl FromStr for Operation {
    type Err = UnknownOperation;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|operation| operation.as_str() == s).ok_or(UnknownOperation)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
