//! `[mailbox]`: where copies go.

use std::path::PathBuf;
use std::time::Duration;

use super::address;
use super::document::Value;
use super::form::{self, Invalid};
use super::reader::Section;
use super::schema::{Choice, Condition, Key, SectionSchema, Shape, names};
pub use crate::mailbox::graph::Method as GraphMethod;
pub use crate::mailbox::imap::TlsMode as ImapTls;
use crate::secret::Secret;
use crate::throttle::Limits;

/// Where copies go.
#[derive(Debug, Clone)]
pub struct MailboxConfig {
    pub kind: MailboxKind,
    /// The folder's name: not empty, without control characters or slashes.
    pub folder: String,
    /// The largest item that is imported, in bytes of its text and attachments; one of exactly this size is imported.
    pub max_item_size: u64,
    /// The domain of the addresses that stand for participants without any.
    pub placeholder_address_domain: String,
}

#[derive(Debug, Clone)]
pub enum MailboxKind {
    /// Exchange Online, through Microsoft Graph.
    Graph(GraphConfig),
    /// A server that speaks IMAP.
    Imap(ImapConfig),
    /// Maildir folders on the local disk.
    Maildir {
        /// The folder that holds one folder a mailbox.
        path: PathBuf,
    },
}

/// How Microsoft Graph is used. `[microsoft]` is there then.
#[derive(Debug, Clone)]
pub struct GraphConfig {
    /// How a message is made.
    pub method: GraphMethod,
    /// The message class of every copy; `None` leaves the ordinary one.
    pub message_class: Option<String>,
    /// How much it is sent.
    pub limits: Limits,
    /// How long after an attempt of unknown outcome an "absent" is believed.
    pub settle: Duration,
}

/// How an IMAP server is used.
#[derive(Debug, Clone)]
pub struct ImapConfig {
    /// The server: a host name or an IP address.
    pub host: String,
    pub port: u16,
    /// How the connection is protected.
    pub tls: ImapTls,
    /// How the daemon logs in.
    pub auth: ImapAuthConfig,
    /// The login for a mailbox.
    pub login: LoginTemplate,
    /// How many connections are open at the same time.
    pub connections: usize,
    /// How long after an attempt of unknown outcome an "absent" is believed.
    pub settle: Duration,
}

/// How the daemon logs in to an IMAP server.
#[derive(Debug, Clone)]
pub enum ImapAuthConfig {
    /// XOAUTH2 with the sign-in of `[microsoft]`, which is there then.
    XOAuth2,
    /// A password: of a master user, as the login template says.
    Password(Secret),
}

/// The login for a mailbox: text with `{mailbox}` in it at least once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginTemplate(String);

impl LoginTemplate {
    const PLACE: &str = "{mailbox}";

    /// The template of a text; `None` where the text doesn't hold `{mailbox}`, because then every mailbox would be the same.
    pub fn new(text: &str) -> Option<Self> {
        text.contains(Self::PLACE).then(|| Self(text.to_owned()))
    }

    /// The template's text, `{mailbox}` and all.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Graph,
    Imap,
    Maildir,
}

impl Choice for Kind {
    const NAMES: &'static [(&'static str, Self)] =
        &[("graph", Self::Graph), ("imap", Self::Imap), ("maildir", Self::Maildir)];
}

impl Choice for GraphMethod {
    const NAMES: &'static [(&'static str, Self)] =
        &[("create-message", Self::CreateMessage), ("import-mime", Self::ImportMime)];
}

impl Choice for ImapTls {
    const NAMES: &'static [(&'static str, Self)] =
        &[("implicit", Self::Implicit), ("starttls", Self::StartTls), ("none", Self::None)];
}

#[derive(Debug, Clone, Copy)]
enum Auth {
    XOAuth2,
    Password,
}

impl Choice for Auth {
    const NAMES: &'static [(&'static str, Self)] = &[("xoauth2", Self::XOAuth2), ("password", Self::Password)];
}

const GRAPH: &[Condition] = &[Condition::new("kind", "graph")];
const IMAP: &[Condition] = &[Condition::new("kind", "imap")];

pub(super) const SCHEMA: SectionSchema = SectionSchema {
    name: "mailbox",
    keys: &[
        Key::new("kind", Shape::Choice(names::<Kind>), "\"graph\""),
        Key::new("folder", Shape::Text, "\"WhatsApp Archiver\"").default(),
        Key::new("max_item_size", Shape::Size, "\"10 MiB\"").default(),
        Key::new("placeholder_address_domain", Shape::Text, "\"whatsapp.invalid\"").default(),
        Key::new("method", Shape::Choice(names::<GraphMethod>), "\"create-message\"").only(GRAPH),
        Key::new("message_class", Shape::Text, "\"IPM.ExternalData.WhatsAppArchiver\"").default().only(GRAPH),
        Key::new("per_mailbox", Shape::Integer(1, 64), "4").default().only(GRAPH),
        Key::new("concurrency", Shape::Integer(1, 1024), "64").default().only(GRAPH),
        // Of two kinds, which no condition can say: [`read`] refuses it for the third.
        Key::new("settle", Shape::Duration, "\"2m\"").default(),
        Key::new("requests_per_10m", Shape::Integer(1, 1_000_000_000), "10000").default().only(GRAPH),
        Key::new("upload_per_5m", Shape::Size, "\"150 MB\"").default().only(GRAPH),
        Key::new("host", Shape::Text, "\"outlook.office365.com\"").only(IMAP),
        Key::new("port", Shape::Integer(1, 65_535), "993").only(IMAP),
        Key::new("tls", Shape::Choice(names::<ImapTls>), "\"implicit\"").only(IMAP),
        Key::new("auth", Shape::Choice(names::<Auth>), "\"xoauth2\"").only(IMAP),
        Key::new("login", Shape::Text, "\"{mailbox}\"").default().only(IMAP),
        Key::new("password", Shape::Secret, "{ env = \"IMAP_PASSWORD\" }")
            .only(&[Condition::new("kind", "imap"), Condition::new("auth", "password")]),
        Key::new("connections", Shape::Integer(1, 256), "8").default().only(IMAP),
        Key::new("path", Shape::Text, "\"mailboxes/\"").only(&[Condition::new("kind", "maildir")]),
    ],
};

pub(super) fn read(section: &mut Section<'_>) -> Option<MailboxConfig> {
    let kind = match section.choice("kind") {
        Some(Kind::Graph) => read_graph(section).map(MailboxKind::Graph),
        Some(Kind::Imap) => read_imap(section).map(MailboxKind::Imap),
        Some(Kind::Maildir) => section.required_path("path").map(|path| MailboxKind::Maildir { path }),
        None => None,
    };
    if matches!(kind, Some(MailboxKind::Maildir { .. })) && section.has("settle") {
        let what = "this key is for kind = \"graph\" and kind = \"imap\": with Maildirs, no outcome is ever unknown";
        section.wrong("settle", Invalid::with(what, "nothing"));
    }
    let folder = section.or_default("folder", folder);
    if matches!(kind, Some(MailboxKind::Maildir { .. })) && folder.as_ref().is_some_and(|folder| folder.contains('.')) {
        section.wrong("folder", Invalid::new("must not hold a dot: Maildir separates folders by it"));
    }
    let max_item_size = section.or_default("max_item_size", max_item_size);
    let domain = section.or_default("placeholder_address_domain", address::mail_domain);
    Some(MailboxConfig {
        kind: kind?,
        folder: folder?,
        max_item_size: max_item_size?,
        placeholder_address_domain: domain?,
    })
}

fn read_graph(section: &mut Section<'_>) -> Option<GraphConfig> {
    let method = section.choice("method");
    let message_class = section.or_default("message_class", message_class);
    let per_mailbox = section.number("per_mailbox");
    let concurrency = section.number("concurrency");
    let settle = section.duration("settle");
    let requests_per_10m = section.number("requests_per_10m");
    let upload_per_5m = section.or_default("upload_per_5m", form::size);
    Some(GraphConfig {
        method: method?,
        message_class: message_class?,
        limits: Limits {
            per_mailbox: per_mailbox?,
            requests_per_10m: requests_per_10m?,
            upload_per_5m: upload_per_5m?,
            concurrency: concurrency?,
        },
        settle: settle?,
    })
}

fn read_imap(section: &mut Section<'_>) -> Option<ImapConfig> {
    let host = section.required("host", address::host);
    let tls = section.choice("tls");
    let usual_port = if matches!(tls, Some(ImapTls::Implicit)) { 993 } else { 143 };
    let port = section.optional_number("port").unwrap_or(usual_port);
    let auth = match section.choice("auth") {
        Some(Auth::XOAuth2) => Some(ImapAuthConfig::XOAuth2),
        Some(Auth::Password) => section.required_secret("password").map(ImapAuthConfig::Password),
        None => None,
    };
    let login = section.or_default("login", login);
    let connections = section.number("connections");
    let settle = section.duration("settle");
    let is_remote = host.as_deref().is_some_and(|host| !crate::http::is_loopback(host));
    if matches!(tls, Some(ImapTls::None)) && is_remote {
        section.wrong(
            "tls",
            Invalid::new("\"none\" is for loopback addresses only: what is sent could be read on its way"),
        );
    }
    Some(ImapConfig {
        host: host?,
        port,
        tls: tls?,
        auth: auth?,
        login: login?,
        connections: connections?,
        settle: settle?,
    })
}

/// A name that is one folder in all destinations, and leaves the mailbox in none.
fn folder(value: &Value) -> Result<String, Invalid> {
    const MAX_LENGTH: usize = 200;
    let folder = form::text(value)?;
    if folder.contains(['/', '\\']) {
        return Err(Invalid::new("must not hold a slash: it is the name of one folder"));
    }
    if folder.len() > MAX_LENGTH {
        return Err(Invalid::new("too long: at most 200 bytes"));
    }
    Ok(folder)
}

/// No destination takes a message of more than 150 MiB, and one is held in memory whole.
fn max_item_size(value: &Value) -> Result<u64, Invalid> {
    const MAX_SIZE: u64 = 150 << 20;
    let too_large = || Invalid::new("too large: at most 150 MiB, because no mailbox takes a larger message");
    form::size(value).and_then(|size| Some(size).filter(|size| *size <= MAX_SIZE).ok_or_else(too_large))
}

/// A message class as MAPI names it; an empty one leaves the ordinary one.
fn message_class(value: &Value) -> Result<Option<String>, Invalid> {
    if matches!(value, Value::Text(text) if text.is_empty()) {
        return Ok(None);
    }
    let class = form::text(value)?;
    let is_part =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let is_right = class.len() <= 255 && class.starts_with("IPM.") && class.split('.').all(is_part);
    if is_right {
        Ok(Some(class))
    } else {
        Err(Invalid::new("not a message class: IPM., then letters, digits and dots; or \"\" for the ordinary one"))
    }
}

fn login(value: &Value) -> Result<LoginTemplate, Invalid> {
    let what = "must hold {mailbox}, or every mailbox would have the same login";
    LoginTemplate::new(&form::text(value)?).ok_or_else(|| Invalid::new(what))
}
