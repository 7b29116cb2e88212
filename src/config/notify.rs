//! `[notify]`: whom the daemon calls for help.

use secrecy::ExposeSecret as _;

use super::address;
use super::form::Invalid;
use super::reader::Section;
use super::schema::{Key, SectionSchema, Shape};
use crate::secret::Secret;

/// Whom the daemon calls for help.
#[derive(Debug, Clone, Default)]
pub struct NotifyConfig {
    /// The address that alerts are posted to: https, or http to a loopback address; secret because it often holds a token.
    pub webhook: Option<Secret>,
}

pub(super) const SCHEMA: SectionSchema =
    SectionSchema { name: "notify", keys: &[Key::new("webhook", Shape::Secret, "{ env = \"ALERT_WEBHOOK\" }")] };

pub(super) fn read(section: &mut Section<'_>) -> NotifyConfig {
    let webhook = section.secret("webhook");
    if let Some(Ok(url)) = webhook.as_ref().map(Secret::read)
        && let Err(what) = address::protected(url.expose_secret())
    {
        section.wrong("webhook", Invalid::with(format!("what is found there: {what}"), "put an address there"));
    }
    NotifyConfig { webhook }
}
