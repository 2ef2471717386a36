//! What the configuration knows of each provider: its name, its defaults, and how its settings are read.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use super::table::Table;
use crate::domain::{Provider, UploadLimits};

/// A provider's part of an account's section.
#[derive(Debug)]
pub struct ProviderSection {
    /// The provider; its name is the value of `provider` in the file.
    pub provider: Provider,
    /// The default maximum number of calls per second.
    pub calls_per_second: u32,
    /// The default maximum number of characters of a text. `None` is no limit.
    pub text_characters: Option<u32>,
    /// The default maximum sizes of uploaded files. `None` if the provider accepts no uploads.
    pub upload: Option<UploadLimits>,
    /// Reads the provider's own keys. It reports errors and reads every key before it returns none.
    pub read: fn(&mut Table<'_>) -> Option<Upstream>,
}

/// A provider's own settings. Only the provider's client knows their type.
#[derive(Clone, Debug)]
pub struct Upstream(Arc<dyn Settings>);

trait Settings: Any + Debug + Send + Sync {}

impl<T: Any + Debug + Send + Sync> Settings for T {}

impl Upstream {
    /// Wraps settings. Their `Debug` must show no secret.
    pub fn new(settings: impl Any + Debug + Send + Sync) -> Self {
        Self(Arc::new(settings))
    }

    /// The settings, if they have this type.
    pub fn get<T: Any>(&self) -> Option<&T> {
        let settings: &dyn Any = &*self.0;
        settings.downcast_ref()
    }
}
