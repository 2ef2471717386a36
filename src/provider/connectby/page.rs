//! Lists that ConnectBy numbers by page, and how their end is detected.
//!
//! ConnectBy documents neither the size of a page nor the reply past the last page. The list therefore ends at an empty
//! page, or at a page that equals the previous one.

use sha2::{Digest as _, Sha256};

use super::super::http::{Reply, endpoint};
use super::super::json::{Object, StrayBackslash, repair};
use super::{Client, Error, error};
use crate::config::Route;
use crate::domain::page::{Page, PagePosition};

/// A list and its route.
#[derive(Debug)]
pub(super) struct List<'a> {
    /// The route's name in the configuration.
    pub(super) name: &'static str,
    pub(super) route: &'a Route,
    /// The keys that can contain the rows in the reply.
    pub(super) keys: &'static [&'static str],
}

impl Client {
    /// Reads a page; without a position, the first one. `read` converts the JSON of a row to an item and must accept
    /// any JSON.
    pub(super) async fn page<T>(
        &self,
        list: List<'_>,
        position: Option<&PagePosition>,
        read: impl Fn(&str) -> T,
    ) -> Result<Page<T>, Error> {
        let number = position.map_or(1, |position| position.number);
        let mut url = endpoint(&self.base_url, &list.route.path);
        url.query_pairs_mut().append_pair("page", &number.to_string());
        let reply = self.http.exchange(self.request(list.route, url)).await?;
        let page = self.read_page(&reply, list.keys, |rows| {
            let fingerprint = fingerprint(rows);
            if rows.is_empty() || position.is_some_and(|position| position.before == fingerprint) {
                return Page { items: Vec::new(), next: None };
            }
            let next = number.checked_add(1).map(|number| PagePosition { number, before: fingerprint });
            Page { items: rows.iter().map(|row| read(row)).collect(), next }
        });
        page.map_err(|error| error.at_route(list.name, list.route))
    }

    /// Finds the rows in a reply, also if the page is slightly malformed JSON.
    fn read_page<T>(
        &self,
        reply: &Reply,
        keys: &[&str],
        read: impl FnOnce(&[&str]) -> T,
    ) -> Result<T, Error> {
        let text = reply.body.as_ref().ok().and_then(|body| std::str::from_utf8(body).ok());
        let repaired;
        let object = match text.and_then(|text| Object::parse(text.as_bytes())) {
            Some(object) => Some(object),
            None => {
                repaired = text.map(|text| repair(text, StrayBackslash::Keep)).unwrap_or_default();
                Object::parse(repaired.as_bytes())
            }
        };
        let error_body = object.as_ref().and_then(|object| error::find(reply.status, object));
        match object.as_ref().and_then(|object| object.items(keys)) {
            Some(rows) if error_body.is_none() && reply.is_success() => Ok(read(&rows)),
            Some(_) | None => Err(self.table.classify(reply, error_body)),
        }
    }
}

/// Identifies a page by a digest of its rows' text.
fn fingerprint(rows: &[&str]) -> String {
    let mut digest = Sha256::new();
    for row in rows {
        digest.update(row.len().to_be_bytes());
        digest.update(row);
    }
    digest.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprint_depends_on_the_rows_and_their_order() {
        let of_ab = fingerprint(&["a", "b"]);
        assert_eq!(of_ab.len(), 32);
        assert_eq!(of_ab, fingerprint(&["a", "b"]));
        for other in [&["b", "a"][..], &["ab"], &["a"], &["a", "b", ""], &[]] {
            assert_ne!(of_ab, fingerprint(other), "{other:?}");
        }
    }
}
