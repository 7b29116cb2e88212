//! The MAPI properties that a copy is given at its creation, as Graph names them.

use serde::{Deserialize, Serialize};

use crate::convert::{MailAttachment, body_text};
use crate::digest::Digest;

/// Message flags: read, and not a draft (bit 8, "unsent", is not set).
pub(super) const MESSAGE_FLAGS: &str = "Integer 0x0E07";
/// When the message was sent.
pub(super) const CLIENT_SUBMIT_TIME: &str = "SystemTime 0x0039";
/// When the message was received.
pub(super) const DELIVERY_TIME: &str = "SystemTime 0x0E06";
/// `Message-ID`.
pub(super) const INTERNET_MESSAGE_ID: &str = "String 0x1035";
/// `In-Reply-To`.
pub(super) const IN_REPLY_TO: &str = "String 0x1042";
/// `References`.
pub(super) const REFERENCES: &str = "String 0x1039";
pub(super) const MESSAGE_CLASS: &str = "String 0x001A";
/// The headers as they came over the wire.
pub(super) const TRANSPORT_HEADERS: &str = "String 0x007D";
/// What the copy was made of, see [`Made`].
pub(super) const MADE: &str = "String {6f1d9c3e-2b8a-5d47-9c61-8a4e0b7f3d25} Name WhatsAppArchiverManifest";

/// The longest value of [`MADE`], in bytes; the files of a longer one are recorded by their digest alone.
const MAX_MANIFEST: usize = 16 * 1024;

/// One property and its value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Property {
    pub(super) id: String,
    pub(super) value: String,
}

impl Property {
    pub(super) fn new(id: &str, value: impl Into<String>) -> Self {
        Self { id: id.to_owned(), value: value.into() }
    }

    /// Whether this is the property `id`. Graph gives ids back in a form of its own (`Integer 0xe07`).
    pub(super) fn is(&self, id: &str) -> bool {
        is_same(&self.id, id)
    }
}

/// Whether two ids name the same property: tags by their number, names without regard to case.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let parts = |id: &str| {
        let mut parts = id.splitn(2, ' ');
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let name = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        match name.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
            Some(tag) => (kind, format!("{tag:x}")),
            None => (kind, name),
        }
    };
    parts(one) == parts(other)
}

/// What a copy was made of: distinguishes a copy created as properties from one imported as MIME, and a body that
/// was changed from one that was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Made {
    v: u32,
    /// The digest of the body's text, see [`body_text`].
    pub(super) text: Digest,
    /// How many files it has, those of our own making included.
    pub(super) files: usize,
    /// Their names, lengths and digests; left out where that is too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    list: Option<Vec<(String, usize, Digest)>>,
}

impl Made {
    pub(super) fn of(html: &str, files: &[&MailAttachment]) -> Self {
        let list = files.iter().map(|file| (file.name.clone(), file.bytes.len(), file.digest)).collect();
        Self { v: 1, text: body_text::digest(html), files: files.len(), list: Some(list) }
    }

    pub(super) fn read(value: &str) -> Option<Self> {
        serde_json::from_str(value).ok()
    }

    pub(super) fn to_property(&self) -> Property {
        let whole = serde_json::to_string(self).unwrap_or_default();
        if whole.len() <= MAX_MANIFEST {
            return Property::new(MADE, whole);
        }
        let short = Self { list: None, ..self.clone() };
        Property::new(MADE, serde_json::to_string(&short).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_compared_by_number_and_without_case() {
        assert!(is_same("Integer 0x0E07", "Integer 0xe07"));
        assert!(is_same("String 0x001A", "string 0x1a"));
        assert!(is_same(MADE, &MADE.to_ascii_uppercase().replace("STRING", "String")));
        assert!(!is_same("Integer 0x0E07", "String 0xe07"));
        assert!(!is_same("String 0x1035", "String 0x1039"));
    }

    #[test]
    fn a_long_list_of_files_is_left_out() {
        let file = MailAttachment {
            name: "n".repeat(200),
            content_type: "text/plain".to_owned(),
            bytes: bytes::Bytes::new(),
            digest: Digest::of(b""),
            content_id: None,
        };
        let files: Vec<&MailAttachment> = std::iter::repeat_n(&file, 1_000).collect();
        let property = Made::of("<p>text</p>", &files).to_property();
        assert!(property.value.len() <= MAX_MANIFEST);
        assert_eq!(Made::read(&property.value).unwrap().files, 1_000);
    }
}
