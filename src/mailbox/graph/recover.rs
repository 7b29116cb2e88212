//! After an unknown outcome: is the message there? One without all its files is completed.

use super::copies::{Copy, FileOfCopy};
use super::upload::Refused;
use super::{GraphMailboxes, PERMISSION, fault, payload, upload};
use crate::convert::{MailAttachment, Message};
use crate::graph::CallError;
use crate::mailbox::{ImportError, RemoteId, SendPermit};
use crate::resolution::MailboxId;

/// What Exchange may add to the length of a file that it reports, in bytes.
const OVERHEAD: u64 = 64 * 1024;

impl GraphMailboxes {
    /// The copy of a message, completed.
    pub(super) async fn find_and_complete(
        &self,
        mailbox: &MailboxId,
        message: &Message,
        permit: &SendPermit,
    ) -> Result<Option<RemoteId>, ImportError> {
        let mail = &message.mail;
        let copies = self.calls.copies(mailbox, &mail.message_id, false).await;
        let copies = copies.map_err(|error| fault::of_read(&error, PERMISSION))?;
        if copies.is_empty() {
            return Ok(None);
        }
        let mismatch = |copy: &Copy| copy.created.mismatch(mail.message_id.as_str(), mail.date);
        let Some(copy) = copies.iter().find(|copy| mismatch(copy).is_none()) else {
            let why = copies.iter().find_map(mismatch).unwrap_or_default();
            return Err(ImportError::Unexpected(format!(
                "a copy is there in the wrong form ({why}); look at it, and delete it for good before a replay"
            )));
        };
        // A MIME form arrives whole or not at all, and its files may have been given other names.
        let remote = RemoteId(copy.created.id.clone());
        if copy.made().is_none() {
            return Ok(Some(remote));
        }
        let refused = self.complete(mailbox, &copy.created.id, message, permit).await;
        let refused = refused.map_err(|error| fault::of_read(&error, upload::PERMISSION))?;
        refused.outcome(remote).map(Some)
    }

    async fn complete(
        &self,
        mailbox: &MailboxId,
        id: &str,
        message: &Message,
        permit: &SendPermit,
    ) -> Result<Refused, CallError> {
        let expected = payload::files_of(&message.mail);
        if expected.is_empty() {
            return Ok(Refused::default());
        }
        let present = self.calls.files(mailbox, id).await?;
        let missing = missing(&expected, &present);
        if !missing.is_empty() {
            tracing::info!(
                event = "message_completed",
                mailbox = %mailbox,
                missing_files = missing.len(),
                "adding the files that are missing from a message"
            );
        }
        upload::attach_all(&self.calls, mailbox, id, missing, permit).await
    }
}

/// Which of `expected` are not among `present`: by name, and by length where several have one name. A length that doesn't
/// fit is no reason to add a file again: Exchange counts in its own way.
fn missing<'a>(expected: &'a [MailAttachment], present: &[FileOfCopy]) -> Vec<&'a MailAttachment> {
    let mut unmatched: Vec<&FileOfCopy> = present.iter().collect();
    let mut take = |matches: &dyn Fn(&FileOfCopy) -> bool| {
        let place = unmatched.iter().position(|file| matches(file));
        place.map(|place| unmatched.swap_remove(place)).is_some()
    };
    let named = |file: &FileOfCopy, expected: &MailAttachment| file.name.as_deref() == Some(expected.name.as_str());
    let of_its_length: Vec<&MailAttachment> = expected
        .iter()
        .filter(|expected| !take(&|file| named(file, expected) && fits(file.size, expected.bytes.len() as u64)))
        .collect();
    of_its_length.into_iter().filter(|expected| !take(&|file| named(file, expected))).collect()
}

/// Whether a reported length can be that of a file.
fn fits(reported: u64, length: u64) -> bool {
    (length..=length.saturating_add(length / 2).saturating_add(OVERHEAD)).contains(&reported)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn expected(name: &str, length: usize) -> MailAttachment {
        MailAttachment {
            name: name.to_owned(),
            content_type: "text/plain".to_owned(),
            bytes: vec![0; length].into(),
            digest: Digest::of(b""),
            content_id: None,
        }
    }

    fn present(name: &str, size: u64) -> FileOfCopy {
        FileOfCopy { id: "id".to_owned(), name: Some(name.to_owned()), size }
    }

    fn missing_of(expected: &[MailAttachment], present: &[FileOfCopy]) -> Vec<(String, usize)> {
        missing(expected, present).iter().map(|file| (file.name.clone(), file.bytes.len())).collect()
    }

    #[test]
    fn files_of_one_name_are_distinguished_by_length() {
        let two = [expected("a", 100), expected("a", 5_000_000)];
        assert_eq!(missing_of(&two, &[present("a", 5_000_370)]), [("a".to_owned(), 100)]);
        assert_eq!(missing_of(&two, &[present("a", 300)]), [("a".to_owned(), 5_000_000)]);
        assert!(missing_of(&two, &[present("a", 5_000_370), present("a", 300)]).is_empty());
    }

    #[test]
    fn a_file_with_an_odd_length_is_not_added_again() {
        assert!(missing_of(&[expected("a", 100)], &[present("a", 7)]).is_empty());
        assert_eq!(missing_of(&[expected("a", 100)], &[present("b", 100)]).len(), 1);
        assert_eq!(missing_of(&[expected("a", 100), expected("a", 100)], &[present("a", 100)]).len(), 1);
    }
}
