//! `[staging]`: where raw items lie.

use std::path::PathBuf;

use super::document::Value;
use super::form::{self, Invalid};
use super::reader::Section;
use super::retention::Retention;
use super::schema::{Choice, Condition, Key, SectionSchema, Shape, names};
use super::{Url, address};
use crate::secret::Secret;

/// Where raw items lie, and for how long.
#[derive(Debug, Clone)]
pub struct StagingConfig {
    pub kind: StagingKind,
    /// What is put before each blob's name: empty, or segments of `[A-Za-z0-9._-]` that each end in `/`.
    pub prefix: String,
    /// How long accounted windows are kept.
    pub retain: Retention,
}

#[derive(Debug, Clone)]
pub enum StagingKind {
    /// A container of Azure Blob Storage.
    Azure(AzureConfig),
    /// A folder of the local disk.
    Local { path: PathBuf },
}

/// How a container of Azure Blob Storage is reached.
#[derive(Debug, Clone)]
pub struct AzureConfig {
    /// The blob service: https, or http to a loopback address. May carry an account path; no user, query or fragment.
    pub endpoint: Url,
    pub container: String,
    /// How the daemon signs in to it.
    pub auth: AzureAuth,
}

/// How the daemon signs in to Azure Blob Storage.
#[derive(Debug, Clone)]
pub enum AzureAuth {
    /// With the sign-in of `[microsoft]`, which is there then; the endpoint is https.
    Entra,
    /// With a shared access signature, with or without the leading `?`.
    Sas(Secret),
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Azure,
    Local,
}

impl Choice for Kind {
    const NAMES: &'static [(&'static str, Self)] = &[("azure", Self::Azure), ("local", Self::Local)];
}

#[derive(Debug, Clone, Copy)]
enum Auth {
    Entra,
    Sas,
}

impl Choice for Auth {
    const NAMES: &'static [(&'static str, Self)] = &[("entra", Self::Entra), ("sas", Self::Sas)];
}

const AZURE: &[Condition] = &[Condition::new("kind", "azure")];

pub(super) const SCHEMA: SectionSchema = SectionSchema {
    name: "staging",
    keys: &[
        Key::new("kind", Shape::Choice(names::<Kind>), "\"azure\""),
        Key::new("endpoint", Shape::Text, "\"https://contoso.blob.core.windows.net\"").only(AZURE),
        Key::new("container", Shape::Text, "\"whatsapp-archiver\"").default().only(AZURE),
        Key::new("auth", Shape::Choice(names::<Auth>), "\"entra\"").only(AZURE),
        Key::new("sas", Shape::Secret, "{ env = \"STAGING_SAS\" }")
            .only(&[Condition::new("kind", "azure"), Condition::new("auth", "sas")]),
        Key::new("path", Shape::Text, "\"/var/lib/whatsapp-archiver/staging\"")
            .only(&[Condition::new("kind", "local")]),
        Key::new("prefix", Shape::Text, "\"archive/\"").default_to("\"\""),
        Key::new("retain", Shape::DurationOrForever, "\"30d\"").default(),
    ],
};

pub(super) fn read(section: &mut Section<'_>) -> Option<StagingConfig> {
    let kind = match section.choice("kind") {
        Some(Kind::Azure) => read_azure(section).map(StagingKind::Azure),
        Some(Kind::Local) => section.required_path("path").map(|path| StagingKind::Local { path }),
        None => None,
    };
    let prefix = section.or_default("prefix", prefix);
    let retain = section.or_default("retain", Retention::read);
    Some(StagingConfig { kind: kind?, prefix: prefix?, retain: retain? })
}

fn read_azure(section: &mut Section<'_>) -> Option<AzureConfig> {
    let endpoint = section.required("endpoint", address::service);
    let container = section.or_default("container", container);
    let auth = match section.choice("auth") {
        Some(Auth::Entra) => Some(AzureAuth::Entra),
        Some(Auth::Sas) => section.required_secret("sas").map(AzureAuth::Sas),
        None => None,
    };
    if matches!(auth, Some(AzureAuth::Entra)) && endpoint.as_ref().is_some_and(|url| url.scheme() != "https") {
        section
            .wrong("endpoint", Invalid::with("auth = \"entra\" needs https", "an https endpoint, or auth = \"sas\""));
    }
    Some(AzureConfig { endpoint: endpoint?, container: container?, auth: auth? })
}

/// Azure's rule: 3 to 63 lower-case letters, digits and single hyphens between them.
fn container(value: &Value) -> Result<String, Invalid> {
    let name = form::text(value)?;
    let usual = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_right = (3..=63).contains(&name.len())
        && name.bytes().all(usual)
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--");
    let rule = "must be 3 to 63 lower-case letters, digits and single hyphens between them";
    if is_right { Ok(name) } else { Err(Invalid::new(rule)) }
}

fn prefix(value: &Value) -> Result<String, Invalid> {
    const MAX_LENGTH: usize = 200;
    if matches!(value, Value::Text(text) if text.is_empty()) {
        return Ok(String::new());
    }
    let prefix = form::text(value)?;
    let bare = prefix.strip_suffix('/').unwrap_or(&prefix);
    let segment_is_right = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    };
    if bare.len() > MAX_LENGTH || !bare.split('/').all(segment_is_right) {
        return Err(Invalid::new(
            "must be names of letters, digits and `._-`, separated by `/`, 200 characters in all",
        ));
    }
    Ok(format!("{bare}/"))
}
