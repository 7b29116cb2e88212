//! Copies in a mailbox, found by their Message-ID wherever they are, and their files.

use bytes::Bytes;
use serde::Deserialize;

use super::calls::Calls;
use super::created::{self, Created};
use super::properties::{MADE, Made, Property};
use crate::digest::Digest;
use crate::graph::{Call, CallError, literal};
use crate::identity::MessageId;
use crate::resolution::MailboxId;

/// The largest copy that is read, in bytes: a body is below 4 MB, and JSON escapes up to six bytes for one.
const MAX_COPY: u64 = 32 * 1024 * 1024;
/// The most pages of a list that are read.
const MAX_PAGES: usize = 100;

/// A copy as Graph describes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Copy {
    #[serde(flatten)]
    pub(super) created: Created,
    #[serde(default)]
    pub(super) subject: Option<String>,
    #[serde(default)]
    body: Option<Body>,
    #[serde(default)]
    pub(super) to_recipients: Vec<serde::de::IgnoredAny>,
    #[serde(default)]
    has_attachments: Option<bool>,
    #[serde(default)]
    single_value_extended_properties: Vec<Property>,
}

#[derive(Debug, Deserialize)]
struct Body {
    content: String,
}

/// A file of a copy as Graph describes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FileOfCopy {
    pub(super) id: String,
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) size: u64,
}

impl Copy {
    /// An extended property, where it was asked for.
    pub(super) fn property(&self, id: &str) -> Option<&Property> {
        self.single_value_extended_properties.iter().find(|property| property.is(id))
    }

    /// What it was made of, where it was made as properties.
    pub(super) fn made(&self) -> Option<Made> {
        Made::read(&self.property(MADE)?.value)
    }

    /// Whether it certainly has no files. The flag leaves out those that a body shows within itself.
    pub(super) fn certainly_has_no_files(&self) -> bool {
        let shows_none = self.html().is_some_and(|html| !html.to_ascii_lowercase().contains("cid:"));
        self.has_attachments == Some(false) && shows_none
    }

    pub(super) fn html(&self) -> Option<&str> {
        self.body.as_ref().map(|body| body.content.as_str())
    }
}

impl Calls {
    /// The copies with a Message-ID in all folders of a mailbox.
    pub(super) async fn copies(
        &self,
        mailbox: &MailboxId,
        message_id: &MessageId,
        with_content: bool,
    ) -> Result<Vec<Copy>, CallError> {
        let filter = format!("internetMessageId eq {}", literal(&message_id.to_string()));
        let select = format!("{}{}", created::FIELDS, if with_content { ",subject,body,hasAttachments" } else { "" });
        let expand = format!("singleValueExtendedProperties($filter=id eq {})", literal(MADE));
        let query = [("$filter", filter.as_str()), ("$select", &select), ("$expand", &expand)];
        let url = self.url(mailbox, &["messages"], &query)?;
        self.list(mailbox, Call::get(url).with_largest_reply(MAX_COPY), MAX_PAGES).await
    }

    /// The files of a message.
    pub(super) async fn files(&self, mailbox: &MailboxId, message: &str) -> Result<Vec<FileOfCopy>, CallError> {
        let query = [("$select", "id,name,size"), ("$top", "100")];
        let url = self.url(mailbox, &["messages", message, "attachments"], &query)?;
        self.list(mailbox, Call::get(url), MAX_PAGES).await
    }

    /// The digest of a file's bytes; `None` where it has more than `largest`.
    pub(super) async fn file_digest(
        &self,
        mailbox: &MailboxId,
        message: &str,
        file: &FileOfCopy,
        largest: u64,
    ) -> Result<Option<Digest>, CallError> {
        Ok(self.file(mailbox, message, file, largest).await?.map(|bytes| Digest::of(&bytes)))
    }

    /// A file's bytes; `None` where it has more than `largest`.
    pub(super) async fn file(
        &self,
        mailbox: &MailboxId,
        message: &str,
        file: &FileOfCopy,
        largest: u64,
    ) -> Result<Option<Bytes>, CallError> {
        let url = self.url(mailbox, &["messages", message, "attachments", &file.id, "$value"], &[])?;
        match self.call(mailbox, &Call::get(url).with_largest_reply(largest)).await {
            Ok(reply) => Ok(Some(reply.body)),
            Err(CallError::TooLarge(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
