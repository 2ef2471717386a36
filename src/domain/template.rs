//! Templates: as a provider lists them, and as a message fills them.

use std::fmt;

use super::{Location, UnixMillis};

/// A message made from a template.
#[derive(Clone, PartialEq)]
pub struct Filled {
    /// The template's name.
    pub name: String,
    /// The language's code. Empty: the provider's default, where it has one.
    pub language: String,
    /// What fills the header.
    pub header: Option<Header>,
    /// What fills the body's parameters, in their order.
    pub body: Vec<Parameter>,
    /// What fills the buttons.
    pub buttons: Vec<Button>,
}

impl fmt::Debug for Filled {
    /// Leaves out what is filled in: message text never reaches a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filled")
            .field("name", &self.name)
            .field("language", &self.language)
            .finish_non_exhaustive()
    }
}

debug_without_content!(Header, HeaderMedia, Parameter, Value, Button, ButtonValue);

/// What fills a header.
#[derive(Clone, PartialEq)]
pub enum Header {
    /// The parameter of a text header.
    Text(Parameter),
    /// A picture.
    Image(HeaderMedia),
    /// A film.
    Video(HeaderMedia),
    /// A document.
    Document(HeaderMedia),
    /// A place.
    Location(Location),
}

/// A media file in a header.
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderMedia {
    /// Where the provider finds it.
    pub url: String,
    /// The name that the customer sees; empty: the provider's choice.
    pub file_name: String,
}

/// What fills one parameter.
#[derive(Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name; empty: by position.
    pub name: String,
    /// The value.
    pub value: Value,
}

/// The value of a parameter.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// An amount of money.
    Currency {
        /// What is shown where the amount cannot be.
        fallback_value: String,
        /// ISO 4217.
        code: String,
        /// The amount times 1000.
        amount_thousandths: i64,
    },
    /// A date or time, as text.
    DateTime {
        /// What is shown.
        fallback_value: String,
    },
}

/// What fills one button.
#[derive(Clone, PartialEq, Eq)]
pub struct Button {
    /// Which one, counted from 0 over all buttons.
    pub index: u32,
    /// The value.
    pub value: ButtonValue,
}

/// The value of a button.
#[derive(Clone, PartialEq, Eq)]
pub enum ButtonValue {
    /// Put behind the button's URL.
    UrlSuffix(String),
    /// Comes back when the customer presses it.
    QuickReplyPayload(String),
    /// What the button copies.
    CouponCode(String),
}

/// A template as the provider lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The provider's id.
    pub id: String,
    /// The name.
    pub name: String,
    /// The language's code.
    pub language: String,
    /// Whether it can be sent, where the provider's word is one we know.
    pub status: Option<Status>,
    /// The provider's word.
    pub provider_status: String,
    /// What it is for, where the provider's word is one we know.
    pub category: Option<Category>,
    /// The provider's word.
    pub provider_category: String,
    /// How parameters are told apart, where the provider says.
    pub parameter_format: Option<ParameterFormat>,
    /// Its parts, in the provider's order.
    pub components: Vec<Component>,
    /// Why it was rejected; empty if it was not.
    pub rejection_reason: String,
    /// How customers like it; empty if the provider does not say.
    pub quality: String,
    /// When it was created.
    pub create_time: Option<UnixMillis>,
    /// When it was last changed.
    pub update_time: Option<UnixMillis>,
    /// The provider's JSON, byte for byte: ConnectBy wants it back.
    pub raw_json: String,
}

/// Whether a template can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It can.
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
    /// There are too many.
    LimitExceeded,
}

/// What a template is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// Offers and news.
    Marketing,
    /// What a customer waits for.
    Utility,
    /// One-time passwords.
    Authentication,
}

/// How parameters are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterFormat {
    /// By position.
    Positional,
    /// By name.
    Named,
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Which part, where the provider's word is one we know.
    pub part: Option<Part>,
    /// The provider's word.
    pub provider_type: String,
    /// What a header holds, in the provider's word; empty for other parts.
    pub format: String,
    /// The text, with parameters in double braces.
    pub text: String,
    /// The buttons.
    pub buttons: Vec<ComponentButton>,
    /// The provider's JSON.
    pub raw_json: String,
}

/// Which part of a template.
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
    /// What it does, in the provider's word.
    pub kind: String,
    /// What stands on it.
    pub text: String,
    /// Where it leads.
    pub url: String,
    /// Whom it calls.
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

/// Where a page of templates starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TemplateListStart {
    /// At the first template.
    #[default]
    First,
    /// Behind a cursor of the provider's.
    After(String),
    /// Before a cursor of the provider's.
    Before(String),
}
