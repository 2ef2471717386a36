//! The templates of a new Connectly account: lists them, and checks template messages.

use serde_json::{Value, json};
use url::Url;

use super::super::reply::Reply;
use super::error;

const EXAMPLE_URL: &str = "https://files.example.org/example";

/// One translation of a template.
#[derive(Debug)]
struct Template {
    id: &'static str,
    name: &'static str,
    language: &'static str,
    category: &'static str,
    status: &'static str,
    /// `IMAGE`, `VIDEO` or `DOCUMENT`.
    header: Option<&'static str>,
    body: &'static str,
    /// Text and URL of each button, in order.
    buttons: &'static [(&'static str, &'static str)],
}

const PLAIN: Template = Template {
    id: "",
    name: "",
    language: "en",
    category: "UTILITY",
    status: "APPROVED",
    header: None,
    body: "",
    buttons: &[],
};

const SEEDED: [Template; 8] = [
    Template {
        id: "1300000000000001",
        name: "order_update",
        body: "Hi {{1}}, your order {{2}} has shipped.",
        ..PLAIN
    },
    Template {
        id: "1300000000000002",
        name: "order_update",
        language: "de",
        body: "Hallo {{1}}, Ihre Bestellung {{2}} ist unterwegs.",
        ..PLAIN
    },
    Template {
        id: "1300000000000003",
        name: "summer_sale",
        language: "en_US",
        category: "MARKETING",
        header: Some("IMAGE"),
        body: "Hello {{1}}, the sale is on.",
        buttons: &[("Shop", "https://shop.example.org/{{1}}")],
        ..PLAIN
    },
    Template {
        id: "1300000000000004",
        name: "invoice",
        header: Some("DOCUMENT"),
        body: "Your invoice, {{1}}.",
        ..PLAIN
    },
    Template {
        id: "1300000000000005",
        name: "login_code",
        category: "AUTHENTICATION",
        body: "*{{1}}* is your verification code.",
        buttons: &[("Copy code", "https://www.whatsapp.com/otp/code/?otp_type=COPY_CODE&code=otp{{1}}")],
        ..PLAIN
    },
    Template { id: "1300000000000006", name: "named_greeting", body: "Good morning, {{var1}}.", ..PLAIN },
    Template {
        id: "1300000000000007",
        name: "winter_sale",
        category: "MARKETING",
        status: "PENDING",
        body: "It is cold.",
        ..PLAIN
    },
    Template {
        id: "1300000000000008",
        name: "free_money",
        category: "MARKETING",
        status: "REJECTED",
        body: "Send us your card.",
        ..PLAIN
    },
];

/// The templates of the account.
#[derive(Debug)]
pub(super) struct Templates {
    templates: &'static [Template],
}

impl Templates {
    pub(super) fn seeded() -> Self {
        Self { templates: &SEEDED }
    }

    /// Lists all templates, with translations grouped by name. There is no paging.
    pub(super) fn list(&self) -> Reply {
        let groups: Vec<Value> = self
            .templates
            .chunk_by(|a, b| a.name == b.name)
            .map(|group| {
                let templates: Vec<Value> = group.iter().map(Template::json).collect();
                let first = &group[0];
                let (name, category) = (first.name, first.category);
                json!({"id": name, "name": name, "category": category, "templates": templates})
            })
            .collect();
        Reply::json(200, &json!({"entity": {"templateGroups": groups}}))
    }

    /// Checks a template message. Without a language, it is for `en`.
    pub(super) fn check_send(&self, name: &str, language: Option<&str>, given: &Value) -> Result<(), Reply> {
        let language = language.filter(|language| !language.is_empty()).unwrap_or("en");
        let found = self.templates.iter().find(|t| t.name == name && t.language == language);
        let Some(template) = found.filter(|template| template.status == "APPROVED") else {
            let message = "There is no approved template of this name in this language";
            let code = "ERROR_CODE_MESSAGE_TEMPLATE_NOT_FOUND";
            return Err(error::reply(404, "ERROR_TYPE_INVALID_REQUEST", code, message));
        };
        let invalid = |message: &str| error::invalid("ERROR_CODE_MESSAGE_TEMPLATE_INPUT_INVALID", message);
        let given = given.as_array().map(Vec::as_slice).unwrap_or_default();
        let needed = template.parameters();
        for name in &needed {
            let value = given.iter().find(|p| p["name"] == **name).and_then(|p| p["value"].as_str());
            match value {
                Some(value) if is_medium(name) && Url::parse(value).is_err() => {
                    return Err(invalid(&format!("The parameter {name} is not a URL")));
                }
                Some(value) if !value.is_empty() => {}
                _ => return Err(invalid(&format!("The parameter {name} is missing"))),
            }
        }
        let ours = |name: &str| ["body_", "header_", "button_"].iter().any(|prefix| name.starts_with(prefix));
        let stray = given
            .iter()
            .filter_map(|p| p["name"].as_str())
            .find(|name| ours(name) && !needed.iter().any(|needed| needed == name));
        match stray {
            Some(name) => Err(invalid(&format!("The template has no parameter {name}"))),
            None => Ok(()),
        }
    }
}

impl Template {
    /// The names of the parameters that a send must contain.
    fn parameters(&self) -> Vec<String> {
        let header = self.header.map(|format| format!("header_{}", format.to_lowercase()));
        let body = variables(self.body).map(|name| match name.parse::<u32>() {
            Ok(position) => format!("body_{position}"),
            Err(_) => name.to_owned(),
        });
        let buttons = (1..).zip(self.buttons).filter(|(_, (_, url))| variables(url).next().is_some());
        let buttons = buttons.map(|(number, _)| format!("button_{number}_url"));
        header.into_iter().chain(body).chain(buttons).collect()
    }

    fn json(&self) -> Value {
        let mut components = Vec::new();
        let mut external = Vec::new();
        if let Some(format) = self.header {
            components.push(json!({"header": {"media": {
                "type": format!("TYPE_{format}"), "example": [EXAMPLE_URL]
            }}}));
            external.push(json!({"type": "HEADER", "format": format, "text": "", "buttons": [],
                "example": {"headerText": [], "headerHandle": [EXAMPLE_URL], "bodyText": []}}));
        }
        let examples: Vec<&str> = variables(self.body).map(|_| "Ada").collect();
        components.push(json!({"body": {"text": {"text": self.body, "example": examples}}}));
        external
            .push(json!({"type": "BODY", "format": "FORMAT_UNSPECIFIED", "text": self.body, "buttons": [],
            "example": {"headerText": [], "headerHandle": [], "bodyText": examples}}));
        if !self.buttons.is_empty() {
            let buttons: Vec<Value> = self.buttons.iter().map(|(text, url)| {
                json!({"type": "URL", "text": text, "url": url, "phoneNumber": "", "example": []})
            }).collect();
            external.push(json!({"type": "BUTTONS", "format": "FORMAT_UNSPECIFIED", "text": "",
                "buttons": buttons, "example": null}));
        }
        let rejected = (self.status == "REJECTED").then_some("INVALID_FORMAT");
        json!({
            "id": self.id,
            "language": {"code": self.language},
            "status": format!("MESSAGE_TEMPLATE_STATUS_{}", self.status),
            "createdAt": "2026-01-02T03:04:05Z",
            "updatedAt": "2026-01-02T03:04:05Z",
            "rejectionReason": rejected,
            "templateComponents": components,
            "channel": {"id": "sandbox-channel", "externalId": "200",
                        "channelType": "CHANNEL_TYPE_WHATSAPP_CLOUD"},
            "externalTemplate": {"whatsapp": {
                "id": self.id,
                "name": self.name,
                "language": self.language,
                "status": self.status,
                "category": self.category,
                "components": external,
                "lastUpdatedTime": "2026-01-02T03:04:05Z",
                "rejectedReason": rejected.unwrap_or("NONE"),
                "qualityScore": {"score": "UNKNOWN"},
            }},
        })
    }
}

fn is_medium(name: &str) -> bool {
    matches!(name, "header_image" | "header_video" | "header_document")
}

/// The names between `{{` and `}}`.
fn variables(text: &str) -> impl Iterator<Item = &str> {
    text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(name, _)| name.trim())
}
