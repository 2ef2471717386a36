//! What customers filled into WhatsApp Flows.

use std::collections::BTreeMap;
use std::fmt;

use super::UnixMillis;
use super::event::Party;

/// What one customer filled into one flow.
#[derive(Clone, PartialEq, Eq)]
pub struct FlowResponse {
    /// The flow's id at Meta; empty when the provider does not tell it.
    pub flow_id: String,
    /// The customer.
    pub sender: Party,
    /// The answers as far as they could be read, or why they could not be. The reason quotes no answer.
    pub answers: Result<Answers, &'static str>,
    /// What the provider sent: the text of the answers, or of the whole row where there is no such text.
    pub raw_json: String,
    /// When it was created, if the provider's text is a time.
    pub create_time: Option<UnixMillis>,
    /// When it was last changed, if the provider's text is a time.
    pub update_time: Option<UnixMillis>,
}

/// The answers in a flow.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// By the names of the flow's fields. A value that is not a string is its JSON text.
    pub fields: BTreeMap<String, String>,
    /// The token that the flow was sent with; empty when there is none.
    pub flow_token: String,
}

impl fmt::Debug for FlowResponse {
    /// Leaves out the answers and who gave them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowResponse").field("flow_id", &self.flow_id).finish_non_exhaustive()
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answers({} fields)", self.fields.len())
    }
}
