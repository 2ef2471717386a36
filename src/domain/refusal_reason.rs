//! Why a provider refuses, in one vocabulary for all providers.

use std::time::Duration;

use super::{Provider, ProviderText};

/// The meaning of a provider's refusal, independent of the provider's own terms.
///
/// The provider's code is reported next to it, because several codes can share a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum RefusalReason {
    /// The provider rejected the account's key or secret.
    CredentialsRejected,
    /// The credentials are valid but do not permit this operation.
    PermissionDenied,
    /// Too many calls or messages; a retry a little later can succeed.
    Throttled,
    /// Too many messages of this kind, for the business or for this customer. The limit lasts hours or days, not
    /// seconds.
    Capped,
    /// The customer's last message is more than 24 hours old, or there is none: only a template can be sent.
    SessionWindowClosed,
    /// The recipient is not on WhatsApp or cannot be reached there.
    RecipientNotReachable,
    /// The recipient has opted out of these messages.
    RecipientOptedOut,
    /// The recipient's address is invalid.
    RecipientInvalid,
    /// The number to send from does not belong to the account.
    SenderInvalid,
    /// The provider does not accept the text, an attachment or another part of the message.
    ContentRejected,
    /// The template does not exist in that language, or it is not approved.
    TemplateNotFound,
    /// The template exists, but the parameters do not fit it.
    TemplateParametersRejected,
    /// The template is paused or disabled for its quality, or being deleted.
    TemplatePaused,
    /// The business account is limited, locked, unpaid or in violation of a policy.
    AccountRestricted,
    /// A resource that the request names does not exist.
    NotFound,
    /// A resource that the request names exists already, or is in the wrong state.
    Conflict,
    /// A refusal whose meaning this version does not know.
    Other,
}

/// Whom a provider's limit concerns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ThrottleScope {
    /// All calls of the account.
    #[default]
    Account,
    /// Messages to one customer. It is no reason to slow down messages to other customers.
    Customer,
}

/// A failure that a provider reported. Only `text` can contain message content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderFault {
    /// The provider that reported the failure.
    pub provider: Provider,
    /// What the failure means.
    pub refusal: RefusalReason,
    /// The HTTP status, if the report was an HTTP reply.
    pub http_status: Option<u16>,
    /// The provider's code as text, `131047` or `ERROR_CODE_MESSAGE_TEXT_EMPTY`.
    pub code: Option<String>,
    /// The provider's class of error, `ERROR_TYPE_INVALID_REQUEST` or `OAuthException`.
    pub kind: Option<Box<str>>,
    /// The trace id that the provider's support team asks for.
    pub trace_id: Option<Box<str>>,
    /// Whom a limit of the provider concerns, if the fault is one.
    pub throttle_scope: ThrottleScope,
    /// How long the provider asked Switchboard to wait.
    pub retry_after: Option<Duration>,
    /// The configured route that was called, if routes are configurable: `send_text = "POST /v1.0/message"`.
    pub route: Option<Box<str>>,
    /// What the provider wrote about the failure.
    pub text: Option<Box<ProviderText>>,
}

/// What the failure means, for the log: never the provider's text.
impl std::fmt::Display for ProviderFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(<&str>::from(self.refusal))?;
        if let Some(status) = self.http_status {
            write!(f, ", HTTP status {status}")?;
        }
        if let Some(code) = &self.code {
            write!(f, ", code {code}")?;
        }
        Ok(())
    }
}

impl ProviderFault {
    /// A fault of which nothing but its meaning is known.
    pub const fn new(provider: Provider, refusal: RefusalReason) -> Self {
        Self {
            provider,
            refusal,
            http_status: None,
            code: None,
            kind: None,
            trace_id: None,
            throttle_scope: ThrottleScope::Account,
            retry_after: None,
            route: None,
            text: None,
        }
    }
}
