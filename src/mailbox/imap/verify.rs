//! Whether what was sent is in a mailbox: unaltered, and once.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;

use imap_codec::imap_types::fetch::MessageDataItemName;
use imap_codec::imap_types::mailbox::Mailbox as Folder;

use super::folder::{Layout, others};
use super::look_up::{MAX_SET, all, fetch, list_ours, open, search, set_of};
use super::session::Session;
use crate::convert::Manifest;
use crate::digest::Digester;
use crate::identity::MessageId;
use crate::mailbox::{ImportError, Verdict};

/// How much of a message is fetched at once, in bytes.
const PIECE: u32 = 1024 * 1024;

/// The Message-IDs of ours in the archive folder, as often as they are there.
pub(super) async fn inventory(session: &mut Session, layout: &Layout) -> Result<Vec<MessageId>, ImportError> {
    let mut found = Vec::new();
    if open(session, &layout.archive).await?.is_some() {
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
    let mut census = Census::new(layout, sent);
    census.take(session, layout).await?;
    let mut verdicts: HashMap<&MessageId, Verdict> = HashMap::new();
    for (folder, copies) in census.single_copies(sent) {
        if open(session, folder).await?.is_some() {
            compare(session, &copies, &mut verdicts).await?;
        }
    }
    let verdict_of = |manifest: &Manifest| {
        let copies = census.places.get(&manifest.message_id).map_or(0, Vec::len);
        match copies {
            0 | 1 => verdicts.get(&manifest.message_id).cloned().unwrap_or(Verdict::Missing),
            copies => Verdict::Doubled { copies },
        }
    };
    Ok(sent.iter().map(verdict_of).collect())
}

/// Where the messages sought are.
struct Census {
    folders: Vec<Folder<'static>>,
    sought: HashSet<MessageId>,
    /// For each message its copies: the folder's place in `folders`, and the UID there.
    places: HashMap<MessageId, Vec<(usize, NonZeroU32)>>,
}

impl Census {
    fn new(layout: &Layout, sent: &[Manifest]) -> Self {
        Self {
            folders: vec![layout.archive.clone()],
            sought: sent.iter().map(|manifest| manifest.message_id.clone()).collect(),
            places: HashMap::new(),
        }
    }

    async fn take(&mut self, session: &mut Session, layout: &Layout) -> Result<(), ImportError> {
        let Some(domain) = self.sought.iter().next().and_then(|id| id.as_str().split_once('@')) else {
            return Ok(());
        };
        let domain = format!("@{}>", domain.1);
        if open(session, &layout.archive).await?.is_some() {
            self.note(session, 0, None).await?;
        }
        let others = others(session, layout).await?;
        for folder in others.folders {
            if open(session, &folder).await?.is_some() {
                let found = search(session, &domain).await?;
                self.folders.push(folder);
                self.note(session, self.folders.len() - 1, Some(&found)).await?;
            }
        }
        // Views show what lies elsewhere: they count only for what was found nowhere else.
        for folder in others.views {
            let missing: Vec<MessageId> =
                self.sought.iter().filter(|id| !self.places.contains_key(*id)).cloned().collect();
            if missing.is_empty() || open(session, &folder).await?.is_none() {
                continue;
            }
            self.folders.push(folder);
            for id in missing {
                if let Some(uid) = search(session, &id.to_string()).await?.first() {
                    self.places.insert(id, vec![(self.folders.len() - 1, *uid)]);
                }
            }
        }
        Ok(())
    }

    /// Takes note of the messages sought among those in the open folder.
    async fn note(
        &mut self,
        session: &mut Session,
        folder: usize,
        among: Option<&[NonZeroU32]>,
    ) -> Result<(), ImportError> {
        let Self { sought, places, .. } = self;
        let mut take = |uid, id| {
            if sought.contains(&id) {
                places.entry(id).or_default().push((folder, uid));
            }
        };
        match among {
            None => list_ours(session, all(), &mut take).await,
            Some(uids) => {
                for uids in uids.chunks(MAX_SET) {
                    list_ours(session, set_of(uids), &mut take).await?;
                }
                Ok(())
            }
        }
    }

    /// Of the messages that are there once: by folder, the UID and what was sent.
    fn single_copies<'a>(
        &'a self,
        sent: &'a [Manifest],
    ) -> impl Iterator<Item = (&'a Folder<'static>, HashMap<NonZeroU32, &'a Manifest>)> {
        let mut by_folder: Vec<HashMap<NonZeroU32, &Manifest>> = vec![HashMap::new(); self.folders.len()];
        for manifest in sent {
            if let Some([(folder, uid)]) = self.places.get(&manifest.message_id).map(Vec::as_slice)
                && let Some(copies) = by_folder.get_mut(*folder)
            {
                copies.insert(*uid, manifest);
            }
        }
        self.folders.iter().zip(by_folder).filter(|(_, copies)| !copies.is_empty())
    }
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
            offset = offset.saturating_add(PIECE);
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

/// Fetches the bytes from `offset` on, [`PIECE`] of them at most, of each of the messages.
async fn read_piece(
    session: &mut Session,
    uids: &[NonZeroU32],
    offset: u32,
    readings: &mut HashMap<NonZeroU32, Reading>,
) -> Result<(), ImportError> {
    let length = NonZeroU32::new(PIECE).unwrap_or(NonZeroU32::MIN);
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
