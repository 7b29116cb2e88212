//! Whether what was sent is in a mailbox: unaltered, and once.

use std::collections::HashMap;
use std::num::NonZeroU32;

use imap_codec::imap_types::fetch::MessageDataItemName;

use super::census::Census;
use super::folder::Layout;
use super::look_up::{MAX_SET, all, fetch, list_ours, open, set_of};
use super::session::Session;
use crate::convert::Manifest;
use crate::digest::Digester;
use crate::identity::MessageId;
use crate::mailbox::{ImportError, Verdict};

/// How much of a message is fetched at once, in bytes.
const PIECE_BYTES: u32 = 1024 * 1024;

/// The Message-IDs of ours in the archive folder, as often as they are there.
pub(super) async fn inventory(session: &mut Session, layout: &Layout) -> Result<Vec<MessageId>, ImportError> {
    let mut found = Vec::new();
    if open(session, layout, &layout.archive).await?.is_some() {
        list_ours(session, all(), |_, id| found.push(id)).await?;
    }
    Ok(found)
}

/// Compares what is in the whole mailbox with what was sent.
pub(super) async fn verify(
    session: &mut Session,
    layout: &Layout,
    sent: &[Manifest],
) -> Result<Vec<Verdict>, ImportError> {
    let mut census = Census::new(layout, sent.iter().map(|manifest| &manifest.message_id));
    census.take(session, layout).await?;
    let mut verdicts: HashMap<&MessageId, Verdict> = HashMap::new();
    for (folder, copies) in census.single_copies(sent) {
        if open(session, layout, folder).await?.is_some() {
            compare(session, &copies, &mut verdicts).await?;
        }
    }
    let verdict_of = |manifest: &Manifest| {
        let copies = census.count(&manifest.message_id);
        match copies {
            0 | 1 => verdicts.get(&manifest.message_id).cloned().unwrap_or(Verdict::Missing),
            copies => Verdict::Doubled { copies },
        }
    };
    Ok(sent.iter().map(verdict_of).collect())
}

/// Compares messages of the open folder with what was sent.
async fn compare<'a>(
    session: &mut Session,
    copies: &HashMap<NonZeroU32, &'a Manifest>,
    verdicts: &mut HashMap<&'a MessageId, Verdict>,
) -> Result<(), ImportError> {
    let mut uids: Vec<NonZeroU32> = copies.keys().copied().collect();
    uids.sort_unstable();
    for uids in uids.chunks(MAX_SET) {
        let mut readings: HashMap<NonZeroU32, Reading> = HashMap::new();
        let mut left = uids.to_vec();
        let mut offset = 0;
        while !left.is_empty() {
            read_piece(session, &left, offset, &mut readings).await?;
            offset = offset.saturating_add(PIECE_BYTES);
            left.retain(|uid| {
                let sent = copies.get(uid).map_or(0, |manifest| manifest.size);
                // What is longer than what was sent is altered: the rest needs no reading.
                readings.get(uid).is_some_and(|reading| reading.length == u64::from(offset) && reading.length <= sent)
            });
        }
        for (uid, reading) in readings {
            if let Some(manifest) = copies.get(&uid) {
                verdicts.insert(&manifest.message_id, reading.verdict(manifest));
            }
        }
    }
    Ok(())
}

/// Fetches the bytes from `offset` on, [`PIECE_BYTES`] of them at most, of each of the messages.
async fn read_piece(
    session: &mut Session,
    uids: &[NonZeroU32],
    offset: u32,
    readings: &mut HashMap<NonZeroU32, Reading>,
) -> Result<(), ImportError> {
    let length = NonZeroU32::new(PIECE_BYTES).unwrap_or(NonZeroU32::MIN);
    let piece = MessageDataItemName::BodyExt { section: None, partial: Some((offset, length)), peek: true };
    fetch(session, set_of(uids), piece, |uid, bytes| {
        if uids.contains(&uid) {
            let reading = readings.entry(uid).or_default();
            // A server may answer twice: only what continues the reading counts.
            if reading.length == u64::from(offset) {
                reading.update(bytes);
            }
        }
    })
    .await
}

/// A message that is read piece by piece. Line ends are made CRLF, as they were sent; nothing else is changed.
#[derive(Default)]
struct Reading {
    digester: Digester,
    length: u64,
    ends_in_cr: bool,
}

impl Reading {
    fn update(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = line.strip_suffix(b"\n");
            let ends_in_cr = text.unwrap_or(line).last().map_or(self.ends_in_cr, |last| *last == b'\r');
            self.digester.update(text.unwrap_or(line));
            if text.is_some() {
                self.digester.update(if ends_in_cr { b"\n" } else { b"\r\n" });
            }
            self.ends_in_cr = text.is_none() && ends_in_cr;
        }
    }

    fn verdict(self, manifest: &Manifest) -> Verdict {
        let length = self.length;
        if self.digester.finish() == manifest.mime {
            return Verdict::Intact;
        }
        let detail = if length == manifest.size {
            "its bytes are not those that were sent".to_owned()
        } else {
            format!("it has {length} bytes or more, and {} were sent", manifest.size)
        };
        Verdict::Altered { detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn digest(pieces: &[&str]) -> Digest {
        let mut reading = Reading::default();
        for piece in pieces {
            reading.update(piece.as_bytes());
        }
        reading.digester.finish()
    }

    #[test]
    fn only_line_ends_are_made_equal() {
        let sent = Digest::of(b"a\r\nb\r\n\r\nc");
        assert_eq!(digest(&["a\r\nb\r\n\r\nc"]), sent);
        assert_eq!(digest(&["a\nb\n\nc"]), sent);
        assert_eq!(digest(&["a\r", "\nb", "\n", "\r\n", "c"]), sent);
        assert_ne!(digest(&["a\r\nb\r\nc"]), sent);
        assert_ne!(digest(&["a\r\nb \r\n\r\nc"]), sent);
    }
}
