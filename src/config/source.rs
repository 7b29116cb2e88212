//! `[source]`: where items come from.

use std::path::PathBuf;
use std::time::Duration;

use super::document::Value;
use super::form::{self, Invalid};
use super::reader::Section;
use super::schema::{Choice, Condition, Key, SectionSchema, Shape, names};
use super::{Url, address};
use crate::item::Product;
use crate::secret::Secret;

/// Where items come from, and how they are asked for.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    pub kind: SourceKind,
    /// Whose items are taken: at least one product, each once.
    pub products: Vec<Product>,
    /// The most items of one page.
    pub page_size: usize,
    /// How many attachments are downloaded at the same time.
    pub downloads: usize,
    /// The largest attachment that is staged, in bytes.
    pub max_attachment_size: u64,
    /// How long an attachment that is not there yet is waited for.
    pub attachment_wait: Duration,
}

#[derive(Debug, Clone)]
pub enum SourceKind {
    TeleMessage(Box<TeleMessageConfig>),
    /// A folder of list responses.
    Directory {
        path: PathBuf,
    },
}

/// How TeleMessage's archive is reached.
#[derive(Debug, Clone)]
pub struct TeleMessageConfig {
    /// The base of the two addresses below, for messages: https, or http to a loopback address; no user, query or fragment.
    pub base_url: Url,
    /// The path of the list, below `base_url`.
    pub messages_path: String,
    /// The path of attachments, below `base_url`.
    pub attachment_path: String,
    /// The account's user name; without a colon (RFC 7617).
    pub username: String,
    pub password: Secret,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    TeleMessage,
    Directory,
}

impl Choice for Kind {
    const NAMES: &'static [(&'static str, Self)] =
        &[("telemessage", Self::TeleMessage), ("directory", Self::Directory)];
}

#[derive(Debug, Clone, Copy)]
enum Captured {
    Phone,
    Cloud,
}

impl Choice for Captured {
    const NAMES: &'static [(&'static str, Self)] = &[("phone-archiver", Self::Phone), ("cloud-archiver", Self::Cloud)];
}

impl From<Captured> for Product {
    fn from(captured: Captured) -> Self {
        match captured {
            Captured::Phone => Self::PhoneArchiver,
            Captured::Cloud => Self::CloudArchiver,
        }
    }
}

const TELEMESSAGE: &[Condition] = &[Condition::new("kind", "telemessage")];

pub(super) const SCHEMA: SectionSchema = SectionSchema {
    name: "source",
    keys: &[
        Key::new("kind", Shape::Choice(names::<Kind>), "\"telemessage\""),
        Key::new("base_url", Shape::Text, "\"https://archive.telemessage.com\"").default().only(TELEMESSAGE),
        Key::new("messages_path", Shape::Text, "\"/basicsecured/api/rest/archive/getmessages\"")
            .default()
            .only(TELEMESSAGE),
        Key::new("attachment_path", Shape::Text, "\"/basicsecured/api/rest/archive/attachment\"")
            .default()
            .only(TELEMESSAGE),
        Key::new("username", Shape::Text, "\"archive-admin@contoso.example\"").only(TELEMESSAGE),
        Key::new("password", Shape::Secret, "{ env = \"TELEMESSAGE_PASSWORD\" }").only(TELEMESSAGE),
        Key::new("path", Shape::Text, "\"export/\"").only(&[Condition::new("kind", "directory")]),
        Key::new("products", Shape::List(names::<Captured>), "[\"phone-archiver\", \"cloud-archiver\"]").default(),
        Key::new("page_size", Shape::Integer(1, 10_000), "500").default(),
        Key::new("downloads", Shape::Integer(1, 256), "4").default(),
        Key::new("max_attachment_size", Shape::Size, "\"2 GiB\"").default(),
        Key::new("attachment_wait", Shape::Duration, "\"24h\"").default(),
    ],
};

pub(super) fn read(section: &mut Section<'_>) -> Option<SourceConfig> {
    let kind = match section.choice("kind") {
        Some(Kind::TeleMessage) => read_telemessage(section).map(|it| SourceKind::TeleMessage(Box::new(it))),
        Some(Kind::Directory) => section.required_path("path").map(|path| SourceKind::Directory { path }),
        None => None,
    };
    let products = section.or_default("products", form::choices);
    let page_size = section.number("page_size");
    let downloads = section.number("downloads");
    let max_attachment_size = section.or_default("max_attachment_size", form::size);
    let attachment_wait = section.duration("attachment_wait");
    Some(SourceConfig {
        kind: kind?,
        products: products?.into_iter().map(|captured: Captured| Product::from(captured)).collect(),
        page_size: page_size?,
        downloads: downloads?,
        max_attachment_size: max_attachment_size?,
        attachment_wait: attachment_wait?,
    })
}

fn read_telemessage(section: &mut Section<'_>) -> Option<TeleMessageConfig> {
    let base_url = section.or_default("base_url", address::service);
    let messages_path = section.or_default("messages_path", path_of_url);
    let attachment_path = section.or_default("attachment_path", path_of_url);
    let username = section.required("username", username);
    let password = section.required_secret("password");
    Some(TeleMessageConfig {
        base_url: base_url?,
        messages_path: messages_path?,
        attachment_path: attachment_path?,
        username: username?,
        password: password?,
    })
}

fn path_of_url(value: &Value) -> Result<String, Invalid> {
    let path = form::text(value)?;
    let odd = |character: char| !(character.is_ascii_alphanumeric() || "/._~-".contains(character));
    if !path.starts_with('/') || path.contains(odd) || path.split('/').any(|segment| segment == "..") {
        return Err(Invalid::new("must begin with `/` and hold letters, digits and `/._~-` only"));
    }
    Ok(path)
}

fn username(value: &Value) -> Result<String, Invalid> {
    let name = form::text(value)?;
    if name.contains(':') {
        return Err(Invalid::new("must not hold a colon: HTTP's Basic scheme takes what follows it for the password"));
    }
    Ok(name)
}
