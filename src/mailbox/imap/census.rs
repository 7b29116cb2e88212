//! Where many messages are in a mailbox, found with a few commands a folder.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;

use imap_codec::imap_types::mailbox::Mailbox as Folder;

use super::folder::{Layout, others};
use super::look_up::{MAX_SET, all, list_ours, open, search, search_any, set_of};
use super::session::Session;
use crate::convert::Manifest;
use crate::identity::MessageId;
use crate::mailbox::ImportError;

/// Up to this many messages are searched for one by one in the archive folder.
const MAX_SINGLE_SEARCHES: usize = 100;

/// Where the messages sought are.
pub(super) struct Census {
    folders: Vec<Folder<'static>>,
    sought: HashSet<MessageId>,
    /// For each message its copies: the folder's place in `folders`, and the UID there.
    places: HashMap<MessageId, Vec<(usize, NonZeroU32)>>,
}

impl Census {
    pub(super) fn new<'a>(layout: &Layout, sought: impl IntoIterator<Item = &'a MessageId>) -> Self {
        Self {
            folders: vec![layout.archive.clone()],
            sought: sought.into_iter().cloned().collect(),
            places: HashMap::new(),
        }
    }

    /// Looks through the whole mailbox: a few commands a folder, however many messages are sought.
    pub(super) async fn take(&mut self, session: &mut Session, layout: &Layout) -> Result<(), ImportError> {
        let Some(domain) = self.sought.iter().next().and_then(|id| id.as_str().split_once('@')) else {
            return Ok(());
        };
        let domain = format!("@{}>", domain.1);
        if open(session, layout, &layout.archive).await?.is_some() {
            // A few are searched for; for many it is quicker to list what is there.
            let found = match self.sought.len() {
                0..=MAX_SINGLE_SEARCHES => {
                    Some(search_any(session, &self.sought.iter().map(MessageId::to_string).collect::<Vec<_>>()).await?)
                }
                _ => None,
            };
            self.note(session, 0, found.as_deref()).await?;
        }
        let others = others(session, layout).await?;
        for folder in others.folders {
            if open(session, layout, &folder).await?.is_some() {
                let found = search(session, &domain).await?;
                self.folders.push(folder);
                self.note(session, self.folders.len() - 1, Some(&found)).await?;
            }
        }
        // Views show what lies elsewhere: they count only for what was found nowhere else, and once.
        for folder in others.views {
            if self.places.len() == self.sought.len() || open(session, layout, &folder).await?.is_none() {
                continue;
            }
            let found = search(session, &domain).await?;
            self.folders.push(folder);
            let elsewhere = std::mem::take(&mut self.places);
            self.note(session, self.folders.len() - 1, Some(&found)).await?;
            self.places.values_mut().for_each(|places| places.truncate(1));
            self.places.extend(elsewhere);
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

    /// How many copies of a message there are.
    pub(super) fn count(&self, id: &MessageId) -> usize {
        self.places.get(id).map_or(0, Vec::len)
    }

    /// Of the messages that are there once: by folder, the UID and what was sent.
    pub(super) fn single_copies<'a>(
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
