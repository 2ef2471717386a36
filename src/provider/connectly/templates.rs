//! Connectly's list of templates: a single page, grouped by name.

use std::borrow::Cow;
use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::value::RawValue;

use super::super::json::Object;
use super::super::template;
use super::super::{Error, TemplateMismatch, Templates, ValidationIssue, template_check};
use super::{Client, ConnectlyRules, template_send};
use crate::domain::template::{Component, Definition, Filled, Page, TemplateListStart};
use crate::domain::{Channel, Provider};

#[async_trait]
impl Templates for Client {
    /// The list has a single page.
    async fn list_templates(&self, _: &TemplateListStart) -> Result<Page, Error> {
        // Connectly uses POST for this read.
        let reply = self.post_json(&self.get_templates, b"{}".to_vec()).await?;
        let object = reply.object();
        match (reply.status, object.as_ref().and_then(parse_list)) {
            (200..300, Some(templates)) => Ok(Page { templates, after: None, before: None }),
            _ => Err(self.error(&reply, object.as_ref())),
        }
    }

    async fn find_template(&self, name: &str, language: &str) -> Result<Definition, Error> {
        let mut listed = self.list_templates(&TemplateListStart::First).await?.templates.into_iter();
        listed
            .find(|template| template.name == name && template.language == language)
            .ok_or_else(|| template::not_found(Provider::CONNECTLY))
    }

    fn needs_definition(&self) -> bool {
        false
    }

    fn validate(&self, filled: &Filled, channel: Option<Channel>) -> Vec<ValidationIssue> {
        template_send::validate(filled, channel)
    }

    fn mismatches(&self, template: &Definition, filled: &Filled) -> Vec<TemplateMismatch> {
        template_check::mismatches(&ConnectlyRules, template, filled)
    }
}

/// Parses the list: one template per name and language. `None` if the reply contains no list.
fn parse_list(reply: &Object<'_>) -> Option<Vec<Definition>> {
    let entity = reply.object(&["entity"])?;
    let mut templates = Vec::new();
    for raw in template::items(&entity, &["templateGroups", "template_groups"])? {
        let Some(group) = Object::parse(raw.get().as_bytes()) else { continue };
        let listed = template::items(&group, &["templates"]).unwrap_or_default();
        templates.extend(listed.into_iter().filter_map(|raw| definition(&group, raw)));
    }
    Some(templates)
}

/// Parses a template. Fields that Connectly omits are taken from Meta's copy of the template in the same item.
fn definition(group: &Object<'_>, raw: &RawValue) -> Option<Definition> {
    let item = Object::parse(raw.get().as_bytes())?;
    let meta = item
        .object(&["externalTemplate", "external_template"])
        .and_then(|external| external.object(&["whatsapp"]))
        .unwrap_or_default();
    let first_present = |texts: [Option<String>; 3]| texts.into_iter().flatten().next().unwrap_or_default();
    let text = |from: &Object<'_>, key| from.text(&[key]);
    let name = first_present([text(&item, "name"), text(group, "name"), text(&meta, "name")]);
    let provider_status = first_present([text(&item, "status"), text(&meta, "status"), None]);
    let provider_category =
        first_present([text(&item, "category"), text(group, "category"), text(&meta, "category")]);
    Some(Definition {
        id: first_present([text(&item, "id"), text(&meta, "id"), None]),
        // A group's id is its name.
        name: if name.is_empty() { text(group, "id").unwrap_or_default() } else { name },
        language: first_present([template::language(&item), template::language(&meta), None]),
        status: template::status(&provider_status),
        provider_status,
        category: template::category(&provider_category),
        provider_category,
        parameter_format: template::parameter_format(&item).or_else(|| template::parameter_format(&meta)),
        components: components(&item, &meta),
        rejection_reason: first_present([
            template::rejection_reason(&item),
            template::rejection_reason(&meta),
            None,
        ]),
        quality: first_present([template::quality(&item), template::quality(&meta), None]),
        create_time: template::timestamp(&item, &["createdAt", "created_at"]),
        update_time: template::timestamp(&item, &["updatedAt", "updated_at"])
            .or_else(|| template::timestamp(&meta, &["lastUpdatedTime", "last_updated_time"])),
        raw_json: raw.get().to_owned(),
    })
}

/// The components in Meta's form, which has more fields. If there are none, the components in Connectly's form.
fn components(item: &Object<'_>, meta: &Object<'_>) -> Vec<Component> {
    let from = |object: &Object<'_>, keys: &[&str], read: fn(&RawValue) -> Option<Component>| {
        let items = template::items(object, keys).unwrap_or_default();
        items.into_iter().filter_map(read).collect::<Vec<_>>()
    };
    let found = from(meta, &["components"], template::component);
    if !found.is_empty() {
        return found;
    }
    from(item, &["templateComponents", "template_components"], connectly_component)
}

/// Parses a component in Connectly's form: an object whose single key names the part. Only the body and the media
/// header are documented.
fn connectly_component(raw: &RawValue) -> Option<Component> {
    let object: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(raw.get()).ok()?;
    if object.contains_key("type") {
        return template::component(raw);
    }
    let mut entries = object.iter().filter(|(_, value)| value.get() != "null");
    let (key, value) =
        entries.clone().find(|(key, _)| template::part(key).is_some()).or_else(|| entries.next())?;
    let inner = Object::parse(value.get().as_bytes()).unwrap_or_default();
    let text = inner.object(&["text"]);
    let media = inner.object(&["media"]);
    let is_header = key == "header";
    let format = match (&media, &text) {
        (Some(media), _) => media.text(&["type"]).map(|word| template::bare_format(&word)),
        (None, Some(_)) if is_header => Some("TEXT".to_owned()),
        _ => None,
    };
    Some(Component {
        part: template::part(key),
        provider_type: key.clone().into_owned(),
        format: format.unwrap_or_default(),
        text: text.map_or_else(|| inner.text(&["text"]), |text| text.text(&["text"])).unwrap_or_default(),
        buttons: inner.objects(&["buttons"]).iter().map(template::button).collect(),
        raw_json: raw.get().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::template::{Category, Part, Status};

    fn list(text: &str) -> Option<Vec<Definition>> {
        parse_list(&Object::parse(text.as_bytes()).expect("an object"))
    }

    #[test]
    fn documented_list_is_parsed() {
        let text = r#"{"entity":{"templateGroups":[{"id":"order_update","name":"order_update","category":"UTILITY","templates":[{"id":"1300000000000001","language":{"code":"en"},"status":"MESSAGE_TEMPLATE_STATUS_APPROVED","createdAt":"2026-01-02T03:04:05Z","updatedAt":"2026-01-02T03:04:05Z","rejectionReason":null,"templateComponents":[{"header":{"media":{"type":"TYPE_IMAGE","example":["u"]}}},{"body":{"text":{"text":"Hi {{1}}","example":["Ada"]}}},{"footer":{"text":"bye"}},{"novelty":{}}]}]}]}}"#;
        let read = list(text).expect("a list");
        assert_eq!(read.len(), 1);
        let read = &read[0];
        assert_eq!((read.name.as_str(), read.language.as_str()), ("order_update", "en"));
        assert_eq!((read.status, read.category), (Some(Status::Approved), Some(Category::Utility)));
        assert_eq!(read.provider_status, "MESSAGE_TEMPLATE_STATUS_APPROVED");
        assert!(read.create_time.is_some() && read.update_time == read.create_time);
        assert!(text.contains(&read.raw_json));
        let parts: Vec<_> =
            read.components.iter().map(|c| (c.part, c.format.as_str(), c.text.as_str())).collect();
        assert_eq!(
            parts,
            [
                (Some(Part::Header), "IMAGE", ""),
                (Some(Part::Body), "", "Hi {{1}}"),
                (Some(Part::Footer), "", "bye"),
                (None, "", "")
            ]
        );
        assert_eq!(read.components[3].provider_type, "novelty");
    }

    #[test]
    fn missing_fields_are_taken_from_metas_copy_or_the_group() {
        let text = r#"{"entity":{"template_groups":[
            {"id":"g","name":null,"category":null,"templates":[{"id":1300000000000001,"language":null,"status":"","externalTemplate":{"whatsapp":{
                "name":"", "language":"de","status":"PAUSED","category":"MARKETING","rejectedReason":"NONE","qualityScore":{"score":"RED"},
                "components":[{"type":"BUTTONS","format":"FORMAT_UNSPECIFIED","text":"","buttons":[{"type":"PHONE_NUMBER","text":"Call","url":"","phoneNumber":"+1"}]}]}}}]},
            {"id":"empty","templates":null}, 5]}}"#;
        let read = list(text).expect("a list");
        assert_eq!(read.len(), 1);
        let read = &read[0];
        assert_eq!(
            (read.id.as_str(), read.name.as_str(), read.language.as_str()),
            ("1300000000000001", "g", "de")
        );
        assert_eq!((read.status, read.category), (Some(Status::Paused), Some(Category::Marketing)));
        assert_eq!((read.quality.as_str(), read.rejection_reason.as_str()), ("RED", ""));
        let button = &read.components[0].buttons[0];
        assert_eq!((button.kind.as_str(), button.phone_number.as_str()), ("PHONE_NUMBER", "+1"));
    }

    #[test]
    fn empty_list_is_accepted_and_missing_list_is_not() {
        assert_eq!(list(r#"{"entity":{}}"#).map(|list| list.len()), Some(0));
        assert_eq!(list(r#"{"entity":{"templateGroups":[]}}"#).map(|list| list.len()), Some(0));
        for none in ["{}", r#"{"entity":null}"#, r#"{"entity":{"templateGroups":7}}"#] {
            assert!(list(none).is_none(), "{none}");
        }
    }
}
