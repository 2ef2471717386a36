//! The domain types as plain Rust: accounts, addresses, messages, events, cursors.
//!
//! Every module may depend on this one. It depends on no other module, and on no wire format, storage or network.

/// Implements `Debug` for types that contain personal data or message content: it prints only the type's name.
macro_rules! debug_without_content {
    ($($type:ident),+) => {
        $(impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($type), "(…)"))
            }
        })+
    };
}

pub mod account;
pub mod address;
pub mod components_json;
pub mod contact;
pub mod cursor;
pub mod customer;
pub mod detect;
pub mod event;
pub mod filter;
pub mod flow;
pub mod location;
pub mod media;
pub mod message;
pub mod outcome;
pub mod page;
pub mod provider_text;
pub mod rate_limits;
pub mod refusal_reason;
pub mod request;
pub mod subscription;
pub mod template;
pub mod time;
pub mod webhook;

pub use account::{AccountId, Provider, ProviderMalformed};
pub use address::{Address, PhoneNumber, UserId};
pub use cursor::Cursor;
pub use customer::{CustomerHash, CustomerKey, EventCustomer};
pub use event::{Event, EventId, EventType};
pub use filter::{CustomerFilter, Filter, TypePattern};
pub use location::Location;
pub use media::{MediaKind, MediaLink, MediaType, UploadLimits};
pub use message::{AttemptId, Channel, Message, MessageId, MessageState};
pub use outcome::UnknownReason;
pub use provider_text::ProviderText;
pub use rate_limits::RateLimits;
pub use refusal_reason::{ProviderFault, RefusalReason, ThrottleScope};
pub use request::RequestId;
pub use subscription::{Labels, Subscription, SubscriptionId};
pub use time::UnixMillis;
