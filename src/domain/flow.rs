//! Responses of customers to WhatsApp Flows.

use std::collections::BTreeMap;
use std::fmt;

use super::UnixMillis;
use super::event::Party;

/// One customer's response to one flow.
#[derive(Clone, PartialEq, Eq)]
pub struct FlowResponse {
    /// The flow's id at Meta; empty if the provider omits it.
    pub flow_id: String,
    /// The customer.
    pub sender: Party,
    /// The answers, or why they could not be parsed. The reason never quotes an answer.
    pub answers: Result<Answers, &'static str>,
    /// The provider's text of the answers. If the row contains no such text, the whole row.
    pub raw_json: String,
    /// When the response was created, if the provider's text is a valid time.
    pub create_time: Option<UnixMillis>,
    /// When it was last changed, if the provider's text is a valid time.
    pub update_time: Option<UnixMillis>,
}

/// The answers of a flow response.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// The answers by field name. A value that is not a string is its JSON text.
    pub fields: BTreeMap<String, String>,
    /// The token that the flow was sent with; empty if there is none.
    pub flow_token: String,
}

impl fmt::Debug for FlowResponse {
    /// Leaves out the answers and the customer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowResponse").field("flow_id", &self.flow_id).finish_non_exhaustive()
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answers({} fields)", self.fields.len())
    }
}
