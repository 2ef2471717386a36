//! Templates: definitions that a provider lists, and messages made from them.

use std::fmt;

pub use super::components_json::{ComponentsJson, ComponentsJsonMalformed};
use super::{Location, UnixMillis};

/// The content of a message made from a template.
#[derive(Clone, PartialEq)]
pub struct Filled {
    /// The template's name.
    pub name: String,
    /// The language code. If empty, the provider uses its default, where it has one.
    pub language: String,
    /// The values for the header.
    pub header: Option<Header>,
    /// The values of the body's parameters, in order.
    pub body: Vec<Parameter>,
    /// The values for the buttons.
    pub buttons: Vec<Button>,
    /// The components as JSON. They replace `header`, `body` and `buttons`.
    pub components_json: Option<ComponentsJson>,
}

impl fmt::Debug for Filled {
    /// Leaves out the parameter values: message text never reaches a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filled")
            .field("name", &self.name)
            .field("language", &self.language)
            .finish_non_exhaustive()
    }
}

debug_without_content!(Header, HeaderMedia, Parameter, Value, Button, ButtonValue);

/// The values for a template's header.
#[derive(Clone, PartialEq)]
pub enum Header {
    /// The parameter of a text header.
    Text(Parameter),
    /// An image.
    Image(HeaderMedia),
    /// A video.
    Video(HeaderMedia),
    /// A document.
    Document(HeaderMedia),
    /// A geographic location.
    Location(Location),
}

/// A media file in a header.
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderMedia {
    /// The URL that the provider downloads the file from.
    pub url: String,
    /// The file name that the customer sees. If empty, the provider chooses.
    pub file_name: String,
}

/// The value of one parameter.
#[derive(Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The parameter's name. If empty, the parameter is positional.
    pub name: String,
    /// The value.
    pub value: Value,
}

/// The value of a parameter.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(String),
    /// An amount of money.
    Currency {
        /// The text to show if the amount cannot be formatted.
        fallback_value: String,
        /// The ISO 4217 currency code.
        code: String,
        /// The amount times 1000.
        amount_thousandths: i64,
    },
    /// A date or time, as text.
    DateTime {
        /// The text to show.
        fallback_value: String,
    },
}

/// The value for one button.
#[derive(Clone, PartialEq, Eq)]
pub struct Button {
    /// The index of the button, counted from 0 over all buttons.
    pub index: u32,
    /// The value.
    pub value: ButtonValue,
}

/// The value of a button.
#[derive(Clone, PartialEq, Eq)]
pub enum ButtonValue {
    /// The suffix that is appended to the button's URL.
    UrlSuffix(String),
    /// The payload that the provider returns when the customer presses the button.
    QuickReplyPayload(String),
    /// The code that the button copies.
    CouponCode(String),
}

/// A template as the provider lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The provider's id.
    pub id: String,
    /// The name.
    pub name: String,
    /// The language code.
    pub language: String,
    /// The status, if the provider's value is a known one.
    pub status: Option<Status>,
    /// The provider's value, verbatim.
    pub provider_status: String,
    /// The category, if the provider's value is a known one.
    pub category: Option<Category>,
    /// The provider's value, verbatim.
    pub provider_category: String,
    /// How parameters are identified, if the provider reports it.
    pub parameter_format: Option<ParameterFormat>,
    /// The components, in the provider's order.
    pub components: Vec<Component>,
    /// Why the template was rejected; empty if it was not.
    pub rejection_reason: String,
    /// The quality rating by customers; empty if the provider omits it.
    pub quality: String,
    /// When it was created.
    pub create_time: Option<UnixMillis>,
    /// When it was last changed.
    pub update_time: Option<UnixMillis>,
    /// The provider's JSON, byte for byte: ConnectBy requires it in sends.
    pub raw_json: String,
}

/// The review status of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It can be sent.
    Approved,
    /// It is being reviewed.
    Pending,
    /// It was rejected.
    Rejected,
    /// It is paused for its quality.
    Paused,
    /// It is disabled.
    Disabled,
    /// Its rejection was appealed.
    InAppeal,
    /// It is being deleted.
    PendingDeletion,
    /// It is deleted.
    Deleted,
    /// The account has reached its limit of templates.
    LimitExceeded,
}

/// The purpose of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// Offers and news.
    Marketing,
    /// Updates that a customer expects.
    Utility,
    /// One-time passwords.
    Authentication,
}

/// How parameters are identified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterFormat {
    /// By position.
    Positional,
    /// By name.
    Named,
}

/// A component of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// The part of the template, if the provider's value is a known one.
    pub part: Option<Part>,
    /// The provider's value, verbatim.
    pub provider_type: String,
    /// The format of a header, as the provider names it; empty for other parts.
    pub format: String,
    /// The text, with placeholders in double braces.
    pub text: String,
    /// The buttons.
    pub buttons: Vec<ComponentButton>,
    /// The provider's JSON.
    pub raw_json: String,
}

/// The parts of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The header.
    Header,
    /// The body.
    Body,
    /// The footer.
    Footer,
    /// The buttons.
    Buttons,
    /// Cards side by side.
    Carousel,
}

/// A button of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentButton {
    /// The button's type, as the provider names it.
    pub kind: String,
    /// The label.
    pub text: String,
    /// The URL that the button opens.
    pub url: String,
    /// The phone number that the button calls.
    pub phone_number: String,
}

/// A page of templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The templates.
    pub templates: Vec<Definition>,
    /// The provider's cursor for the next page, if there is one.
    pub after: Option<String>,
    /// The provider's cursor for the page before, if there is one.
    pub before: Option<String>,
}

/// The start of a page of templates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TemplateListStart {
    /// Starts at the first template.
    #[default]
    First,
    /// Starts after this provider cursor.
    After(String),
    /// Ends before this provider cursor.
    Before(String),
}
