//! Secrets: from a variable, from a file, or as plain text.

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
                    (Some(("file", Some(path))), None) => from_file(path)?,
                    _ => return Err(ALLOWED.to_owned()),
                }
            }
            raw => (SecretString::from(raw.text().ok_or(ALLOWED)?), String::new()),
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
        None => Err(format!("the environment variable `{name}` is not set")),
    }
}

fn from_file(path: &str) -> Result<(SecretString, String), String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok((text.trim_end_matches(['\r', '\n']).into(), format!("the file `{path}` "))),
        Err(error) => Err(format!("the file `{path}` cannot be read: {error}")),
    }
}
