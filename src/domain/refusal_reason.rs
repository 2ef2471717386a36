//! Why a provider says no, in one vocabulary for both.

use std::time::Duration;

use super::Provider;

/// What a provider's "no" means, whatever it calls it.
///
/// The provider's own code travels beside it, so that nothing is lost where several codes share a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum RefusalReason {
    /// Our own key or secret was not accepted.
    CredentialsRejected,
    /// Our credentials are good but do not allow this.
    PermissionDenied,
    /// Too many calls or messages; a little later is fine.
    Throttled,
    /// Too many messages of this kind, for the business or for this customer: hours or days, not seconds.
    Capped,
    /// The customer's last message is more than 24 hours ago, or there never was one: only a template may go.
    SessionWindowClosed,
    /// The recipient is not on WhatsApp or cannot be reached there.
    RecipientNotReachable,
    /// The recipient does not want these messages.
    RecipientOptedOut,
    /// The recipient's address is not one.
    RecipientInvalid,
    /// The number to send from is not one of ours.
    SenderInvalid,
    /// The text, attachment or another part of the message is not acceptable.
    ContentRejected,
    /// No such template in that language, or not approved.
    TemplateNotFound,
    /// The template exists, what was filled in does not fit it.
    TemplateParametersRejected,
    /// The template is paused or disabled for its quality, or being deleted.
    TemplatePaused,
    /// The business account is limited, locked, unpaid or in violation of a policy.
    AccountRestricted,
    /// Something named in the request does not exist.
    NotFound,
    /// Something named in the request exists already or is in the wrong state.
    Conflict,
    /// A no that this version does not know more about.
    Other,
}

/// A provider's report of a failure, with everything in it that is no message content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderFault {
    /// Who reports.
    pub provider: Provider,
    /// What it means.
    pub refusal: RefusalReason,
    /// The HTTP status, where the report was an HTTP reply.
    pub http_status: Option<u16>,
    /// The provider's code as text, `131047` or `ERROR_CODE_MESSAGE_TEXT_EMPTY`.
    pub code: Option<String>,
    /// The provider's class of error, `ERROR_TYPE_INVALID_REQUEST` or `OAuthException`.
    pub kind: Option<String>,
    /// The id that the provider's support asks for.
    pub trace_id: Option<String>,
    /// How long the provider asked us to wait.
    pub retry_after: Option<Duration>,
    /// The configured route that was called, where routes are configuration: `send_text = "POST /v1.0/message"`.
    pub route: Option<String>,
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
            retry_after: None,
            route: None,
        }
    }
}
