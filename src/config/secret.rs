//! Secrets: from a variable, from a file, or as plain text.

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use toml::de::DeValue;

use super::table::TableReader;
use super::value::Raw;

const ALLOWED: &str = "must be `{ env = \"NAME\" }`, `{ file = \"path\" }` or a string";

/// Reads a secret that is sent in an HTTP header: like [`secret`], but only visible ASCII.
pub(super) fn credential<'a>(
    reader: &'a TableReader<'a>,
) -> impl Fn(&Raw<'a>) -> Result<SecretString, String> {
    let secret = secret(reader);
    move |raw| {
        let secret = secret(raw)?;
        if secret.expose_secret().bytes().all(|b| b.is_ascii_graphic()) {
            Ok(secret)
        } else {
            Err("must be of visible ASCII characters only, without spaces".to_owned())
        }
    }
}

/// Reads a secret: `{ env = "NAME" }`, `{ file = "path" }` (trailing line ends are removed) or a string. Not empty.
pub(super) fn secret<'a>(reader: &'a TableReader<'a>) -> impl Fn(&Raw<'a>) -> Result<SecretString, String> {
    move |raw| {
        let (secret, origin) = match raw {
            Raw::Toml(DeValue::Table(table)) => {
                let mut entries = table.iter().map(|(k, v)| (k.get_ref().as_ref(), v.get_ref().as_str()));
                match (entries.next(), entries.next()) {
                    (Some(("env", Some(name))), None) => from_variable(reader, name)?,
                    (Some(("file", Some(path))), None) => from_file(reader, path)?,
                    _ => return Err(ALLOWED.to_owned()),
                }
            }
            raw => {
                if matches!(raw, Raw::Toml(_)) {
                    reader.mark_plain_secret();
                }
                (SecretString::from(raw.text().ok_or(ALLOWED)?), String::new())
            }
        };
        if secret.expose_secret().is_empty() { Err(format!("{origin}must not be empty")) } else { Ok(secret) }
    }
}

fn from_variable(reader: &TableReader<'_>, name: &str) -> Result<(SecretString, String), String> {
    // A text that is not a valid name may be the secret itself, so the error does not repeat it.
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err("`env` must be the name of an environment variable: letters, digits and `_`".to_owned());
    }
    reader.mark_known(name);
    match reader.source.get(name) {
        Some(text) => Ok((text.into(), format!("the environment variable `{name}` "))),
        None if reader.source.names().iter().any(|set| set == name) => {
            Err(format!("the environment variable `{name}` must be UTF-8"))
        }
        None if is_conventional(name) => Err(format!("the environment variable `{name}` is not set")),
        None => Err("the environment variable that `env` names is not set".to_owned()),
    }
}

/// Whether a name is like `ACME_API_KEY`. Any other text may be the secret itself.
fn is_conventional(name: &str) -> bool {
    name.contains('_') && !name.bytes().any(|b| b.is_ascii_lowercase())
}

/// Whether the text is the path of something, or a path into a folder that exists.
fn is_path(text: &str) -> bool {
    let path = Path::new(text);
    let is_folder = |folder: &Path| folder.components().count() > 1 && folder.is_dir();
    path.exists() || path.parent().is_some_and(is_folder)
}

/// The minimum length of a webhook secret that is hard to guess.
const MIN_WEBHOOK_SECRET_BYTES: usize = 16;

/// Whether one of the secrets is easy to guess because it is short.
pub(super) fn any_short(secrets: &[SecretString]) -> bool {
    secrets.iter().any(|secret| secret.expose_secret().len() < MIN_WEBHOOK_SECRET_BYTES)
}

/// Whether a secret is in both lists.
pub(super) fn any_shared(a: &[SecretString], b: &[SecretString]) -> bool {
    a.iter().any(|a| b.iter().any(|b| a.expose_secret() == b.expose_secret()))
}

fn from_file(reader: &TableReader<'_>, path: &str) -> Result<(SecretString, String), String> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            reader.mark_secret_file(path);
            Ok((text.trim_end_matches(['\r', '\n']).into(), format!("the file `{path}` ")))
        }
        // A text that is not the path of a file may be the secret itself, so the error does not repeat it.
        Err(error) if is_path(path) => Err(format!("the file `{path}` cannot be read: {error}")),
        Err(error) => Err(format!("the path in `file` cannot be read: {error}")),
    }
}
