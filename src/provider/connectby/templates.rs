//! ConnectBy's list of templates, which is Meta's list, read page by page.

use async_trait::async_trait;
use serde_json::value::RawValue;
use url::form_urlencoded;

use super::super::http::{Reply, endpoint};
use super::super::json::Object;
use super::super::pagination::{NextPage, PageCursor};
use super::super::template;
use super::super::{Error, TemplateMismatch, Templates, ValidationIssue, template_check};
use super::{Client, ConnectByRules, error, template_send};
use crate::domain::template::{Definition, Filled, Page, TemplateListStart};
use crate::domain::{Channel, Provider, UnknownReason};

#[async_trait]
impl Templates for Client {
    async fn list_templates(&self, start: &TemplateListStart) -> Result<Page, Error> {
        let route = &self.routes.list_templates;
        let mut url = endpoint(&self.base_url, &route.path);
        match start {
            TemplateListStart::First => {}
            TemplateListStart::After(cursor) => _ = url.query_pairs_mut().append_pair("after", cursor),
            TemplateListStart::Before(cursor) => _ = url.query_pairs_mut().append_pair("before", cursor),
        }
        let reply = self.http.exchange(self.request(route, url)).await?;
        self.templates_from(&reply, start).map_err(|error| error.at_route("list_templates", route))
    }

    async fn find_template(&self, name: &str, language: &str) -> Result<Definition, Error> {
        let mut pages = PageCursor::default();
        let mut start = TemplateListStart::First;
        loop {
            let page = self.list_templates(&start).await?;
            let found = page.templates.into_iter().find(|t| t.name == name && t.language == language);
            if let Some(found) = found {
                return Ok(found);
            }
            start = match pages.step(page.after) {
                NextPage::After(cursor) => TemplateListStart::After(cursor),
                NextPage::End => return Err(template::not_found(Provider::CONNECTBY)),
                NextPage::TooManyPages => {
                    return Err(Error::Unknown { cause: UnknownReason::ReplyTooLarge, fault: None });
                }
            };
        }
    }

    fn needs_definition(&self) -> bool {
        true
    }

    fn validate(&self, filled: &Filled, _: Option<Channel>) -> Vec<ValidationIssue> {
        template_send::validate(filled)
    }

    fn mismatches(&self, template: &Definition, filled: &Filled) -> Vec<TemplateMismatch> {
        template_check::mismatches(&ConnectByRules, template, filled)
    }
}

impl Client {
    fn templates_from(&self, reply: &Reply, start: &TemplateListStart) -> Result<Page, Error> {
        let object = reply.object();
        let error_body = object.as_ref().and_then(|object| error::find(reply.status, object));
        match (reply.status, &error_body, object.as_ref().and_then(|object| parse_page(object, start))) {
            (200..300, None, Some(page)) => Ok(page),
            _ => Err(self.table.classify(reply, error_body)),
        }
    }
}

/// Parses a page. `None` if the reply contains no list, or a link to a next page without a cursor.
fn parse_page(reply: &Object<'_>, start: &TemplateListStart) -> Option<Page> {
    let data = reply.object(&["responseData", "response_data"]);
    // An empty `data` may be omitted, but only if `responseData` is present.
    if data.is_none() && !reply.has_content(&["data"]) {
        return None;
    }
    let list = data.as_ref().unwrap_or(reply);
    let templates = template::items(list, &["data"])?.into_iter().filter_map(definition).collect();
    let paging = list.object(&["paging"]);
    let cursors = paging.as_ref().and_then(|paging| paging.object(&["cursors"]));
    // Every page has cursors, also the last one. Only a link shows that another page exists.
    let cursor = |link: &str, parameter: &str| {
        let link = paging.as_ref()?.text(&[link])?;
        Some(query_parameter(&link, parameter).or_else(|| cursors.as_ref()?.text(&[parameter])))
    };
    let after = match cursor("next", "after") {
        None => None,
        // Reporting the end of the list here would hide the remaining templates.
        Some(None) => return None,
        // A link to the page itself means that there is no other page.
        Some(Some(after)) => Some(after).filter(|after| *start != TemplateListStart::After(after.clone())),
    };
    let before = cursor("previous", "before")
        .flatten()
        .filter(|before| *start != TemplateListStart::Before(before.clone()));
    Some(Page { templates, after, before })
}

/// A parameter of a link's query. The link itself is never followed, because it can point to any host.
fn query_parameter(link: &str, parameter: &str) -> Option<String> {
    let (_, query) = link.split_once('?')?;
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    form_urlencoded::parse(query.as_bytes())
        .find(|(name, value)| name == parameter && !value.is_empty())
        .map(|(_, value)| value.into_owned())
}

fn definition(raw: &RawValue) -> Option<Definition> {
    let item = Object::parse(raw.get().as_bytes())?;
    let text = |keys: &[&str]| item.text(keys).unwrap_or_default();
    let (provider_status, provider_category) = (text(&["status"]), text(&["category"]));
    Some(Definition {
        id: text(&["id"]),
        name: text(&["name"]),
        language: template::language(&item).unwrap_or_default(),
        status: template::status(&provider_status),
        provider_status,
        category: template::category(&provider_category),
        provider_category,
        parameter_format: template::parameter_format(&item),
        components: template::items(&item, &["components"])
            .unwrap_or_default()
            .into_iter()
            .filter_map(template::component)
            .collect(),
        rejection_reason: template::rejection_reason(&item).unwrap_or_default(),
        quality: template::quality(&item).unwrap_or_default(),
        create_time: template::timestamp(&item, &["created_time", "created_at", "createdAt"]),
        update_time: template::timestamp(&item, &["last_updated_time", "updated_at", "updatedAt"]),
        raw_json: raw.get().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str, start: &TemplateListStart) -> Option<Page> {
        parse_page(&Object::parse(text.as_bytes()).expect("an object"), start)
    }

    fn with_paging(paging: &str) -> String {
        format!(r#"{{"success":true,"responseData":{{"data":[],"paging":{paging}}}}}"#)
    }

    #[test]
    fn next_page_requires_a_link_with_a_cursor_in_it_or_beside_it() {
        let cursor =
            |paging: &str| page(&with_paging(paging), &TemplateListStart::First).expect("a page").after;
        for (paging, expected) in [
            (r#"{"next":"https://api.connectby.io/v1.0/templates?after=A%2B1&x=y"}"#, Some("A+1")),
            (r#"{"next":"http://elsewhere.example/?x=y&after=A#f"}"#, Some("A")),
            (r#"{"next":"/v1.0/templates?after=A"}"#, Some("A")),
            (r#"{"next":"https://graph.facebook.com/x","cursors":{"before":"B","after":"C"}}"#, Some("C")),
            (r#"{"cursors":{"before":"B","after":"C"}}"#, None),
            (r#"{"next":null,"previous":"https://h/t?before=B"}"#, None),
            (r#"{"next":""}"#, None),
            ("{}", None),
            ("null", None),
        ] {
            assert_eq!(cursor(paging).as_deref(), expected, "{paging}");
        }
        let previous =
            page(&with_paging(r#"{"previous":"https://h/t?before=B"}"#), &TemplateListStart::First)
                .expect("a page");
        assert_eq!(previous.before.as_deref(), Some("B"));
        assert!(page(&with_paging(r#"{"next":"https://h/t?page=2"}"#), &TemplateListStart::First).is_none());
    }

    #[test]
    fn link_to_the_page_itself_ends_the_list() {
        let links = with_paging(r#"{"next":"https://h/t?after=A","previous":"https://h/t?before=B"}"#);
        assert_eq!(page(&links, &TemplateListStart::After("A".to_owned())).expect("a page").after, None);
        assert_eq!(
            page(&links, &TemplateListStart::After("B".to_owned())).expect("a page").after.as_deref(),
            Some("A")
        );
        assert_eq!(page(&links, &TemplateListStart::Before("B".to_owned())).expect("a page").before, None);
    }

    #[test]
    fn empty_list_is_accepted_and_missing_list_is_not() {
        for empty in [r#"{"responseData":{"data":[]}}"#, r#"{"responseData":{"data":null}}"#] {
            assert_eq!(
                page(empty, &TemplateListStart::First).map(|page| page.templates.len()),
                Some(0),
                "{empty}"
            );
        }
        for none in
            [r#"{}"#, r#"{"success":true}"#, r#"{"responseData":{"data":"x"}}"#, r#"{"data":{"a":1}}"#]
        {
            assert!(page(none, &TemplateListStart::First).is_none(), "{none}");
        }
        assert_eq!(
            page(r#"{"data":[{"name":"a"}]}"#, &TemplateListStart::First).expect("a page").templates.len(),
            1
        );
    }

    #[test]
    fn template_with_unknown_or_missing_fields_is_parsed() {
        let text = r#"{"responseData":{"data":[
            { "id": 12345678901234567890, "name": "n", "language": {"code": "pt_BR"}, "status": "ARCHIVED",
              "category": "TRANSACTIONAL", "quality_score": "GREEN", "rejected_reason": "NONE", "new": [1.50, {"\u0061": null}],
              "components": [{"type": "LIMITED_TIME_OFFER", "x": 1}, "odd", {"type":"HEADER","format":"LOCATION"}] },
            17, {}]}}"#;
        let page = page(text, &TemplateListStart::First).expect("a page");
        assert_eq!(page.templates.len(), 2);
        let read = &page.templates[0];
        assert_eq!((read.id.as_str(), read.language.as_str()), ("12345678901234567890", "pt_BR"));
        assert_eq!((read.status, read.provider_status.as_str()), (None, "ARCHIVED"));
        assert_eq!((read.category, read.provider_category.as_str()), (None, "TRANSACTIONAL"));
        assert_eq!((read.quality.as_str(), read.rejection_reason.as_str()), ("GREEN", ""));
        assert_eq!(read.components.len(), 2);
        assert_eq!(
            (read.components[0].part, read.components[0].provider_type.as_str()),
            (None, "LIMITED_TIME_OFFER")
        );
        assert_eq!(read.components[1].format, "LOCATION");
        assert!(text.contains(&read.raw_json) && read.raw_json.contains(r#"[1.50, {"\u0061": null}]"#));
    }
}
