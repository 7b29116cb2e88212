//! What is in a mailbox, compared with what was sent.

use std::collections::HashMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::copies::Copy;
use super::payload::WHOLE_BODY_FILE;
use super::{GraphMailboxes, PERMISSION, fault};
use crate::convert::{Manifest, body_text};
use crate::digest::Digest;
use crate::graph::CallError;
use crate::identity::MessageId;
use crate::mailbox::{ImportError, Verdict};
use crate::resolution::MailboxId;

/// How many messages are compared at the same time: each may hold a file in memory.
const MAX_CONCURRENT: usize = 2;

impl GraphMailboxes {
    /// One verdict for each manifest, in the same order.
    pub(super) async fn compare(&self, mailbox: &MailboxId, sent: &[Manifest]) -> Result<Vec<Verdict>, ImportError> {
        let verdicts: Vec<_> = sent.iter().map(|manifest| self.verdict(mailbox, manifest)).collect();
        stream::iter(verdicts)
            .buffered(MAX_CONCURRENT)
            .try_collect()
            .await
            .map_err(|error| fault::of_read(&error, PERMISSION))
    }

    /// How often each message is there, in the same order.
    pub(super) async fn count_copies(&self, mailbox: &MailboxId, ids: &[MessageId]) -> Result<Vec<usize>, ImportError> {
        let found: Vec<_> = ids.iter().map(|id| self.calls.copies(mailbox, id, false)).collect();
        stream::iter(found)
            .buffered(MAX_CONCURRENT)
            .map_ok(|copies| copies.len())
            .try_collect()
            .await
            .map_err(|error| fault::of_read(&error, PERMISSION))
    }

    async fn verdict(&self, mailbox: &MailboxId, manifest: &Manifest) -> Result<Verdict, CallError> {
        let copies = self.calls.copies(mailbox, &manifest.message_id, true).await?;
        match copies.as_slice() {
            [] => Ok(Verdict::Missing),
            [copy] => self.compare_copy(mailbox, copy, manifest).await,
            several => Ok(Verdict::Doubled { copies: several.len() }),
        }
    }

    /// Compares a copy with what was sent.
    async fn compare_copy(&self, mailbox: &MailboxId, copy: &Copy, manifest: &Manifest) -> Result<Verdict, CallError> {
        if let Some(mismatch) = copy.created.mismatch(manifest.message_id.as_str(), manifest.date) {
            return Ok(altered(mismatch));
        }
        if Digest::of(copy.subject.as_deref().unwrap_or_default().as_bytes()) != manifest.subject {
            return Ok(altered("the subject is another"));
        }
        let made = copy.made();
        let own = made.as_ref().map_or(0, |made| made.files.saturating_sub(manifest.attachments.len()));
        // The ledger's word counts; the copy's own only where the body is the beginning of one that is too large, or where
        // the ledger has none.
        let sent = if own == 0 { manifest.text.or(made.map(|made| made.text)) } else { made.map(|made| made.text) };
        if sent.is_some_and(|sent| copy.html().is_none_or(|html| body_text::digest(html) != sent)) {
            return Ok(altered("the text of the body is another"));
        }
        if own == 0 && manifest.attachments.is_empty() && copy.certainly_has_no_files() {
            return Ok(Verdict::Intact);
        }
        self.compare_files(mailbox, &copy.created.id, manifest, own).await
    }

    /// Compares the files byte by byte. `own` files of our own making may be among them.
    async fn compare_files(
        &self,
        mailbox: &MailboxId,
        id: &str,
        manifest: &Manifest,
        own: usize,
    ) -> Result<Verdict, CallError> {
        let mut present = self.calls.files(mailbox, id).await?;
        for _ in 0..own {
            let place = present.iter().position(|file| file.name.as_deref() == Some(WHOLE_BODY_FILE));
            let Some(whole) = place.map(|place| present.swap_remove(place)) else {
                return Ok(altered("the file with the whole message is missing"));
            };
            // The MIME form has the same body, and is no shorter.
            let Some(bytes) = self.calls.file(mailbox, id, &whole, manifest.size).await? else {
                return Ok(altered("the file with the whole message is another"));
            };
            let text = std::str::from_utf8(&bytes).ok().map(body_text::digest);
            if manifest.text.is_some_and(|sent| text != Some(sent)) {
                return Ok(altered("the file with the whole message is another"));
            }
        }
        let (there, sent) = (present.len(), manifest.attachments.len());
        if there > sent {
            return Ok(altered(format!("it has {there} attachments instead of {sent}")));
        }
        let mut open: HashMap<Digest, usize> = HashMap::new();
        for attachment in &manifest.attachments {
            *open.entry(attachment.digest).or_default() += 1;
        }
        let largest = manifest.attachments.iter().map(|attachment| attachment.size).max().unwrap_or_default();
        for file in &present {
            let digest = self.calls.file_digest(mailbox, id, file, largest).await?;
            match digest.and_then(|digest| open.get_mut(&digest)) {
                Some(count) if *count > 0 => *count -= 1,
                _ => return Ok(altered("an attachment has other bytes")),
            }
        }
        Ok(if there < sent { Verdict::LacksFiles { there, sent } } else { Verdict::Intact })
    }
}

fn altered(detail: impl Into<String>) -> Verdict {
    Verdict::Altered { detail: detail.into() }
}
