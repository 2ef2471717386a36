//! What is valid and probably a mistake.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::secret::any_short;
use super::{Config, Connectly};

/// The bit of a file's mode that lets every user of the machine read it.
const READABLE_BY_OTHERS: u32 = 0o004;

impl Config {
    /// What the operator should change, one sentence each. `file` is the configuration file.
    pub fn warnings(&self, file: &Path) -> Vec<String> {
        let mut warnings = Vec::new();
        for account in &self.accounts {
            if let Some(connectly) = account.upstream.get::<Connectly>()
                && any_short(&connectly.webhook_secrets)
            {
                let id = &account.id;
                warnings.push(format!(
                    "a webhook secret of {id} is shorter than 16 bytes: if it is guessed, webhooks can be forged"
                ));
            }
        }
        let config = self.has_plain_secrets.then_some(file);
        let secrets = self.secret_files.iter().map(|path| path.as_path());
        for path in config.into_iter().chain(secrets).chain([self.journal.path.as_path()]) {
            // The store may not exist yet.
            let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
            if mode & READABLE_BY_OTHERS != 0 {
                warnings
                    .push(format!("every user of this machine can read {}: run chmod o-r", path.display()));
            }
        }
        warnings
    }
}
