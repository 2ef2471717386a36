//! Routes: the method and the path of each ConnectBy operation.

use std::fmt;
use std::str::FromStr;

use http::Method;

use super::table::Table;
use super::value::{Raw, parsed};

const ID: &str = "{id}";

/// The method and the path of an operation, written `GET /v1.0/contacts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// GET, POST, PUT, PATCH or DELETE.
    pub method: Method,
    /// The path that is appended to the account's base URL. It starts with `/` and may have a query. `{id}`, in the
    /// path or the query, is replaced by a contact's id.
    pub path: String,
}

/// The error for a string that is not a [`Route`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be `METHOD /path`: GET, POST, PUT, PATCH or DELETE, a space, and a path of visible ASCII characters \
     that starts with one `/` and has no fragment, no `\\`, no `.` or `..` segment and no braces but `{{id}}`"
)]
pub struct MalformedRoute;

/// The route of each ConnectBy operation. ConnectBy's public page lacks the paths, so all defaults except that of
/// `list_templates` are guesses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routes {
    /// Lists contacts; `page` is added to the query. Default `GET /v1.0/contacts`.
    pub list_contacts: Route,
    /// Creates a contact. Default `POST /v1.0/contacts`.
    pub create_contact: Route,
    /// Updates the contact `{id}`. Default `PUT /v1.0/contacts/{id}`.
    pub update_contact: Route,
    /// Deletes the contact `{id}`. Default `DELETE /v1.0/contacts/{id}`.
    pub delete_contact: Route,
    /// Lists the responses to flows; `page` is added to the query. Default `GET /v1.0/flowdata`.
    pub list_flow_responses: Route,
    /// Sends a text. Default `POST /v1.0/message`.
    pub send_text: Route,
    /// Sends a file. Default `POST /v1.0/message/media`.
    pub send_media: Route,
    /// Lists templates; `after` or `before` is added to the query. Default `GET /v1.0/templates`.
    pub list_templates: Route,
    /// Uploads a file for the header of a template. Default `POST /v1.0/templates/media`.
    pub upload_template_media: Route,
    /// Sends a template. Default `POST /v1.0/templates/send`.
    pub send_template: Route,
}

impl Default for Routes {
    fn default() -> Self {
        let route = |method, path: &str| Route { method, path: path.to_owned() };
        Self {
            list_contacts: route(Method::GET, "/v1.0/contacts"),
            create_contact: route(Method::POST, "/v1.0/contacts"),
            update_contact: route(Method::PUT, "/v1.0/contacts/{id}"),
            delete_contact: route(Method::DELETE, "/v1.0/contacts/{id}"),
            list_flow_responses: route(Method::GET, "/v1.0/flowdata"),
            send_text: route(Method::POST, "/v1.0/message"),
            send_media: route(Method::POST, "/v1.0/message/media"),
            list_templates: route(Method::GET, "/v1.0/templates"),
            upload_template_media: route(Method::POST, "/v1.0/templates/media"),
            send_template: route(Method::POST, "/v1.0/templates/send"),
        }
    }
}

impl Routes {
    pub(super) fn read(table: &mut Table<'_>) -> Self {
        let mut routes = Self::default();
        for (key, route, read) in [
            ("list_contacts", &mut routes.list_contacts, without_id as fn(&Raw<'_>) -> _),
            ("create_contact", &mut routes.create_contact, without_id),
            ("update_contact", &mut routes.update_contact, with_id),
            ("delete_contact", &mut routes.delete_contact, with_id),
            ("list_flow_responses", &mut routes.list_flow_responses, without_id),
            ("send_text", &mut routes.send_text, without_id),
            ("send_media", &mut routes.send_media, without_id),
            ("list_templates", &mut routes.list_templates, without_id),
            ("upload_template_media", &mut routes.upload_template_media, without_id),
            ("send_template", &mut routes.send_template, without_id),
        ] {
            if let Some(read) = table.optional(key, read) {
                *route = read;
            }
        }
        routes
    }
}

impl FromStr for Route {
    type Err = MalformedRoute;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let (method, path) = s.split_once(' ').ok_or(MalformedRoute)?;
        let method = match method {
            "GET" => Method::GET,
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            "PATCH" => Method::PATCH,
            "DELETE" => Method::DELETE,
            _ => return Err(MalformedRoute),
        };
        // Two leading slashes would name another host, and so would a backslash.
        let has_one_leading_slash = path.starts_with('/') && !path.starts_with("//");
        let characters = |b: u8| b.is_ascii_graphic() && !matches!(b, b'#' | b'\\');
        let braces = path.replace(ID, "").contains(['{', '}']);
        if has_one_leading_slash && path.bytes().all(characters) && !braces && !has_dot_segment(path) {
            Ok(Self { method, path: path.to_owned() })
        } else {
            Err(MalformedRoute)
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// Whether a segment of the path is `.` or `..`. Escaped dots count, because URL parsers treat them alike.
fn has_dot_segment(path: &str) -> bool {
    let path = path.split_once('?').map_or(path, |(path, _)| path).to_ascii_lowercase().replace("%2e", ".");
    path.split('/').any(|segment| matches!(segment, "." | ".."))
}

fn with_id(raw: &Raw<'_>) -> Result<Route, String> {
    let route: Route = parsed(raw)?;
    if route.path.matches(ID).count() == 1 {
        Ok(route)
    } else {
        Err("must have one `{id}`, in path or query, for the contact's id".to_owned())
    }
}

fn without_id(raw: &Raw<'_>) -> Result<Route, String> {
    let route: Route = parsed(raw)?;
    if route.path.contains(ID) {
        Err("must not have `{id}`, because this operation has no id".to_owned())
    } else {
        Ok(route)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn route_with_path_outside_base_url_is_malformed() {
        for good in
            ["GET /", "PUT /v1.0/contacts/{id}", "DELETE /contact?id={id}", "PATCH /a..b/.c", "POST /a?b=.."]
        {
            assert_eq!(good.parse::<Route>().map(|route| route.to_string()), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "/a",
            "GET",
            "GET a",
            "get /a",
            "HEAD /a",
            "GET  /a",
            "GET /a b",
            "GET /a#b",
            "GET //host/a",
            "GET /a/../b",
            "GET /..",
            "GET /./a",
            "GET /%2E%2e/a",
            "GET /.%2e",
            "GET /\\host",
            "GET /{name}",
            "GET /{id",
            "GET /é",
        ] {
            assert_eq!(bad.parse::<Route>(), Err(MalformedRoute), "{bad:?}");
        }
    }
}
