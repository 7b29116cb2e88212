//! A message as one POST of JSON, and the files that must follow by themselves.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::properties::{
    CLIENT_SUBMIT_TIME, DELIVERY_TIME, IN_REPLY_TO, INTERNET_MESSAGE_ID, MESSAGE_CLASS, MESSAGE_FLAGS, Made, Property,
    REFERENCES, TRANSPORT_HEADERS,
};
use crate::convert::{Address, Mail, MailAttachment};
use crate::digest::Digest;

/// The largest request that is made, in bytes: Graph refuses 4 MB.
const MAX_REQUEST: usize = 3_500_000;
/// Files of this size or more, in bytes, go through an upload session.
pub(super) const SESSION_FROM: usize = 3_000_000;
/// Graph takes no more headers than this, and only `x-` ones.
const MAX_HEADERS: usize = 5;
/// What the JSON of a file takes besides its content and names, at most.
const FILE_OVERHEAD: usize = 512;
/// How much of a text that is too large for one request is shown as the body, in characters.
const MAX_SHOWN_OF_TOO_LARGE: usize = 60_000;
/// The whole body, where it is too large for one request.
pub(super) const WHOLE_BODY_FILE: &str = "whatsapp-archiver-whole-message.html";

/// What is sent for a message.
#[derive(Debug)]
pub(super) struct Plan {
    /// The body of the POST that creates it.
    pub(super) json: Bytes,
    /// The files that follow.
    pub(super) apart: Vec<MailAttachment>,
    /// Whether files are in `json`.
    pub(super) has_inline: bool,
}

/// How a message is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form<'a> {
    /// The message class; `None` leaves the ordinary one.
    pub(super) message_class: Option<&'a str>,
    /// Whether `from` may be another than the mailbox's own; else it stands in the transport headers alone.
    pub(super) foreign_from: bool,
    /// Whether small files may be in the POST itself.
    pub(super) inline: bool,
}

/// The message is too large for one POST, whatever is left out.
#[derive(Debug, thiserror::Error)]
#[error("the message has {bytes} bytes without its body and files, more than one request can carry")]
pub(super) struct TooLarge {
    bytes: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewMessage<'a> {
    subject: &'a str,
    body: Body<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Recipient<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<Recipient<'a>>,
    to_recipients: Vec<Recipient<'a>>,
    is_read: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    internet_message_headers: Vec<Header<'a>>,
    single_value_extended_properties: Vec<Property>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    content_type: &'static str,
    content: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Recipient<'a> {
    email_address: EmailAddress<'a>,
}

#[derive(Serialize)]
struct EmailAddress<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    address: &'a str,
}

#[derive(Serialize)]
struct Header<'a> {
    name: &'a str,
    value: &'a str,
}

/// A file as Graph takes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FileAttachment<'a> {
    #[serde(rename = "@odata.type")]
    kind: &'static str,
    name: &'a str,
    content_type: &'a str,
    is_inline: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_id: Option<&'a str>,
    content_bytes: String,
}

impl<'a> FileAttachment<'a> {
    pub(super) fn of(file: &'a MailAttachment) -> Self {
        Self {
            kind: "#microsoft.graph.fileAttachment",
            name: &file.name,
            content_type: &file.content_type,
            is_inline: file.content_id.is_some(),
            content_id: file.content_id.as_deref(),
            content_bytes: STANDARD.encode(&file.bytes),
        }
    }
}

impl<'a> Recipient<'a> {
    fn of(address: &'a Address) -> Self {
        Self { email_address: EmailAddress { name: address.name.as_deref(), address: &address.address } }
    }
}

impl Plan {
    /// How `mail` is sent in this form.
    pub(super) fn of(mail: &Mail, form: Form<'_>) -> Result<Self, TooLarge> {
        let files: Vec<&MailAttachment> = mail.attachments.iter().collect();
        let json = write(mail, &mail.html, &files, form);
        if json.len() <= MAX_REQUEST {
            return Ok(Self::with_files(json, &files, form));
        }
        let whole = whole_body(mail);
        let files: Vec<&MailAttachment> = std::iter::once(&whole).chain(files).collect();
        let json = write(mail, &shown_of(mail), &files, form);
        if json.len() > MAX_REQUEST {
            return Err(TooLarge { bytes: json.len() });
        }
        Ok(Self::with_files(json, &files, form))
    }

    /// Puts as many files into the POST as fit.
    fn with_files(mut json: Vec<u8>, files: &[&MailAttachment], form: Form<'_>) -> Self {
        let mut inline = Vec::new();
        let mut apart = Vec::new();
        let mut length = json.len() + FILE_OVERHEAD;
        for file in files {
            let takes =
                file.bytes.len().div_ceil(3) * 4 + 6 * (file.name.len() + file.content_type.len()) + FILE_OVERHEAD;
            if form.inline && file.bytes.len() < SESSION_FROM && length + takes <= MAX_REQUEST {
                length += takes;
                inline.push(FileAttachment::of(file));
            } else {
                apart.push((*file).clone());
            }
        }
        let has_inline = !inline.is_empty();
        if has_inline && json.pop() == Some(b'}') {
            json.extend_from_slice(br#","attachments":"#);
            json.extend_from_slice(&to_json(&inline));
            json.push(b'}');
        }
        Self { json: json.into(), apart, has_inline }
    }
}

/// The files that a copy of `mail` has: its own, and the whole body where that is too large for one request.
pub(super) fn files_of(mail: &Mail) -> Vec<MailAttachment> {
    let form = Form { message_class: None, foreign_from: true, inline: false };
    Plan::of(mail, form).map_or_else(|_| mail.attachments.clone(), |plan| plan.apart)
}

fn write(mail: &Mail, html: &str, files: &[&MailAttachment], form: Form<'_>) -> Vec<u8> {
    let from = form.foreign_from.then(|| Recipient::of(&mail.from));
    let sender = form.foreign_from.then(|| Recipient::of(&mail.from));
    to_json(&NewMessage {
        subject: &mail.subject,
        body: Body { content_type: "html", content: html },
        from,
        sender,
        to_recipients: mail.to.iter().map(Recipient::of).collect(),
        is_read: true,
        internet_message_headers: headers(mail),
        single_value_extended_properties: properties(mail, html, files, form),
    })
}

fn headers(mail: &Mail) -> Vec<Header<'_>> {
    let takes = |name: &str, value: &str| {
        name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-")) && !value.trim().is_empty()
    };
    let headers = mail.extra_headers.iter().filter(|(name, value)| takes(name, value));
    headers.map(|(name, value)| Header { name, value }).take(MAX_HEADERS).collect()
}

fn properties(mail: &Mail, html: &str, files: &[&MailAttachment], form: Form<'_>) -> Vec<Property> {
    let time = property_time(mail.date);
    let mut properties = vec![
        Property::new(MESSAGE_FLAGS, "1"),
        Property::new(CLIENT_SUBMIT_TIME, time.clone()),
        Property::new(DELIVERY_TIME, time),
        Property::new(INTERNET_MESSAGE_ID, mail.message_id.to_string()),
        Made::of(html, files).to_property(),
    ];
    if let Some(original) = &mail.in_reply_to {
        properties.push(Property::new(IN_REPLY_TO, original.to_string()));
    }
    if !mail.references.is_empty() {
        let references: Vec<String> = mail.references.iter().map(ToString::to_string).collect();
        properties.push(Property::new(REFERENCES, references.join(" ")));
    }
    if let Some(class) = form.message_class {
        properties.push(Property::new(MESSAGE_CLASS, class));
    }
    if !form.foreign_from {
        let from = header_address(&mail.from);
        properties.push(Property::new(TRANSPORT_HEADERS, format!("From: {from}\r\nSender: {from}\r\n")));
    }
    properties
}

/// A time as the value of a property, to the second.
pub(super) fn property_time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// An address as in a header. A display name can hold anything, so what could end the line or the quotes is left out.
fn header_address(address: &Address) -> String {
    let plain = |text: &str| -> String {
        text.chars()
            .filter(|character| !character.is_control() && !matches!(character, '"' | '\\' | '<' | '>'))
            .collect()
    };
    match &address.name {
        Some(name) => format!("\"{}\" <{}>", plain(name), plain(&address.address)),
        None => format!("<{}>", plain(&address.address)),
    }
}

fn whole_body(mail: &Mail) -> MailAttachment {
    MailAttachment {
        name: WHOLE_BODY_FILE.to_owned(),
        content_type: "text/html; charset=utf-8".to_owned(),
        digest: Digest::of(mail.html.as_bytes()),
        bytes: Bytes::copy_from_slice(mail.html.as_bytes()),
        content_id: None,
    }
}

/// The beginning of a text that is too large for one request, as a body that says so.
fn shown_of(mail: &Mail) -> String {
    let mut html = format!(
        "<html><body><p>This message is too large to be shown here; {WHOLE_BODY_FILE} has all of it. It begins:</p><pre>"
    );
    for character in mail.text.chars().take(MAX_SHOWN_OF_TOO_LARGE) {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            _ => html.push(character),
        }
    }
    html.push_str("</pre></body></html>");
    html
}

/// These types hold nothing that JSON can't: maps with text keys, text, numbers.
pub(super) fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests;
