//! How messages come into being: from JSON, a draft unless its flags say otherwise, and from MIME.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use mail_parser::{MessageParser, MimeHeaders as _};
use serde_json::{Value, json};

use super::World;
use super::http::{Answer, Request};
use super::mailbox::describe;
use super::world::{StoredAttachment, StoredMessage};

/// A larger request is refused, in bytes.
const MAX_REQUEST: usize = 4 * 1024 * 1024;
/// What a new message may say.
const KNOWN: [&str; 12] = [
    "subject",
    "body",
    "from",
    "sender",
    "toRecipients",
    "ccRecipients",
    "isRead",
    "internetMessageHeaders",
    "singleValueExtendedProperties",
    "attachments",
    "receivedDateTime",
    "sentDateTime",
];

/// An id of an extended property as Graph gives it back; `None` where it is none.
pub(crate) fn normalised(id: &str) -> Option<String> {
    let (kind, rest) = id.split_once(' ')?;
    if !["String", "Integer", "SystemTime", "Boolean", "Binary"].contains(&kind) {
        return None;
    }
    if let Some(tag) = rest.strip_prefix("0x") {
        return Some(format!("{kind} 0x{:x}", u32::from_str_radix(tag, 16).ok()?));
    }
    let (guid, name) = rest.strip_prefix('{')?.split_once("} Name ")?;
    (guid.len() == 36).then(|| format!("{kind} {{{}}} Name {name}", guid.to_ascii_lowercase()))
}

impl World {
    pub(super) fn create_message(&mut self, user: &str, folder: &str, request: &Request) -> Answer {
        match self.try_create(user, folder, request) {
            Ok(message) => self.store(user, message, request),
            Err(answer) => answer,
        }
    }

    fn try_create(&mut self, user: &str, folder: &str, request: &Request) -> Result<StoredMessage, Answer> {
        if request.body.len() > MAX_REQUEST {
            return Err(Answer::error(413, "RequestEntityTooLarge", "The request is too large."));
        }
        self.has_folder(user, folder)?;
        let bad = |code: &str, text: &str| Answer::error(400, code, text);
        let body = request.json().ok_or_else(|| bad("BadRequest", "Unable to read JSON request payload."))?;
        let fields = body.as_object().ok_or_else(|| bad("BadRequest", "An object is expected."))?;
        if let Some(unknown) = fields.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(bad("RequestBodyRead", &format!("The property '{unknown}' does not exist.")));
        }
        if body["toRecipients"].as_array().is_some_and(|to| to.len() > self.max_recipients) {
            return Err(bad("ErrorInvalidRecipients", "The message has too many recipients."));
        }
        let headers = headers_of(&body)?;
        let properties = properties_of(&body)?;
        self.check_from(user, &body)?;
        let now = self.now();
        let time = |id: &str| properties.get(id).map_or(Ok(now), |value| value.parse::<DateTime<Utc>>());
        let time = |id: &str| time(id).map_err(|_| bad("ErrorInvalidProperty", "A time that can't be read."));
        let flags = properties.get("Integer 0xe07").map_or("8", String::as_str);
        let flags: u32 = flags.parse().map_err(|_| bad("ErrorInvalidProperty", "Flags that are no number."))?;
        let mut attachments = Vec::new();
        for file in body["attachments"].as_array().into_iter().flatten() {
            attachments.push(self.read_attachment(file)?);
        }
        let id = self.new_id("message");
        let generated = format!("<{id}@contoso.example>");
        Ok(StoredMessage {
            folder: folder.to_owned(),
            is_draft: flags & 8 != 0,
            is_read: body["isRead"] == true || flags & 1 != 0,
            sent: time("SystemTime 0x39")?,
            received: time("SystemTime 0xe06")?,
            message_id: properties.get("String 0x1035").cloned().unwrap_or(generated),
            subject: text_of(&body["subject"]),
            html: text_of(&body["body"]["content"]),
            from: body["from"].clone(),
            to: body["toRecipients"].as_array().cloned().unwrap_or_default(),
            headers,
            properties,
            attachments,
            mime: None,
            visible: now + self.settle,
            id,
        })
    }

    /// Another `from` than the mailbox's own, where that is refused.
    fn check_from(&self, user: &str, body: &Value) -> Result<(), Answer> {
        let Some(status) = self.foreign_from_refused else { return Ok(()) };
        let own = &self.users.iter().find(|known| known.id == user).unwrap().spec;
        let foreign = |field: &str| {
            let address = body[field]["emailAddress"]["address"].as_str();
            address.is_some_and(|address| own.mail.as_deref() != Some(address) && own.principal_name != address)
        };
        if foreign("from") || foreign("sender") {
            let text = "The user account which was used to submit this request does not have the right to send mail on \
                        behalf of the specified sending account.";
            return Err(Answer::error(status, "ErrorSendAsDenied", text));
        }
        Ok(())
    }

    /// A file as it stands in JSON.
    pub(super) fn read_attachment(&mut self, file: &Value) -> Result<StoredAttachment, Answer> {
        let bad = |text: &str| Answer::error(400, "ErrorInvalidRequest", text);
        if file["@odata.type"] != "#microsoft.graph.fileAttachment" {
            return Err(bad("A file's type is missing."));
        }
        let bytes = file["contentBytes"].as_str().and_then(|text| STANDARD.decode(text).ok());
        let bytes = bytes.ok_or_else(|| bad("A file that is not base64."))?;
        Ok(StoredAttachment {
            id: self.new_id("file"),
            name: text_of(&file["name"]),
            content_type: text_of(&file["contentType"]),
            bytes,
            is_inline: file["isInline"] == true,
        })
    }

    pub(super) fn import_mime(&mut self, user: &str, folder: &str, request: &Request) -> Answer {
        if request.body.len() > self.import_mime_limit {
            return Answer::error(413, "RequestEntityTooLarge", "The request is too large.");
        }
        if let Err(answer) = self.has_folder(user, folder) {
            return answer;
        }
        let invalid = || Answer::error(400, "ErrorMimeContentInvalid", "The MIME content is invalid.");
        if request.header("content-type") != Some("text/plain") {
            return Answer::error(400, "BadRequest", "MIME content is sent as text/plain.");
        }
        let Ok(mime) = STANDARD.decode(&request.body) else { return invalid() };
        let Some(message) = self.read_mime(folder, &mime) else { return invalid() };
        self.store(user, message, request)
    }

    fn read_mime(&mut self, folder: &str, mime: &[u8]) -> Option<StoredMessage> {
        let parsed = MessageParser::default().parse(mime)?;
        let address = |address: &mail_parser::Addr<'_>| json!({ "emailAddress": { "name": address.name(), "address": address.address() } });
        let all = |list: Option<&mail_parser::Address<'_>>| -> Vec<Value> {
            list.into_iter().flat_map(|list| list.clone().into_list()).map(|one| address(&one)).collect()
        };
        let date = DateTime::from_timestamp(parsed.date()?.to_timestamp(), 0)?;
        let mut attachments = Vec::new();
        for part in parsed.attachments() {
            attachments.push(StoredAttachment {
                id: self.new_id("file"),
                name: part.attachment_name().unwrap_or_default().to_owned(),
                content_type: part.content_type().map(|kind| kind.c_type.to_string()).unwrap_or_default(),
                bytes: part.contents().to_vec(),
                is_inline: part.content_id().is_some(),
            });
        }
        Some(StoredMessage {
            id: self.new_id("message"),
            folder: folder.to_owned(),
            is_draft: false,
            is_read: true,
            sent: date,
            received: date,
            message_id: format!("<{}>", parsed.message_id()?),
            subject: parsed.subject().unwrap_or_default().to_owned(),
            html: parsed.body_html(0).unwrap_or_default().into_owned(),
            from: all(parsed.from()).into_iter().next().unwrap_or_default(),
            to: all(parsed.to()),
            headers: Vec::new(),
            properties: BTreeMap::new(),
            attachments,
            mime: Some(mime.to_vec()),
            visible: self.now() + self.settle,
        })
    }

    fn store(&mut self, user: &str, message: StoredMessage, request: &Request) -> Answer {
        let answer = Answer::json(201, &describe(&message, request));
        self.mailbox(user).messages.push(message);
        answer
    }
}

fn headers_of(body: &Value) -> Result<Vec<(String, String)>, Answer> {
    let headers = body["internetMessageHeaders"].as_array().cloned().unwrap_or_default();
    if headers.len() > 5 {
        let code = "InvalidInternetMessageHeaderCollection";
        return Err(Answer::error(
            400,
            code,
            "Maximum number of headers in one message should be less than or equal to 5.",
        ));
    }
    let header = |header: &Value| {
        let (name, value) = (text_of(&header["name"]), text_of(&header["value"]));
        if name.len() < 3 || !name.to_ascii_lowercase().starts_with("x-") {
            let text = "The internet message header name should start with 'x-' or 'X-'.";
            return Err(Answer::error(400, "InvalidInternetMessageHeader", text));
        }
        Ok((name, value))
    };
    headers.iter().map(header).collect()
}

fn properties_of(body: &Value) -> Result<BTreeMap<String, String>, Answer> {
    let properties = body["singleValueExtendedProperties"].as_array().cloned().unwrap_or_default();
    let property = |property: &Value| {
        let invalid = || Answer::error(400, "ErrorInvalidExtendedProperty", "The extended property is invalid.");
        let id = normalised(property["id"].as_str().unwrap_or_default()).ok_or_else(invalid)?;
        Ok((id, property["value"].as_str().ok_or_else(invalid)?.to_owned()))
    };
    properties.iter().map(property).collect()
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
