//! What a verification compares the mailboxes with: the copies that the ledger has as imported, mailbox by mailbox.
//!
//! Of all captures of a message that a mailbox was to have, one is the first copy, and only that one is ever sent. So the
//! copies of a mailbox are read in the order of their identities, by the index that keeps them apart.

use sqlx::any::AnyRow;

use super::deliveries::{DeliveryState, PartialReason};
use super::sql::{mailbox_no, query_of, run_no};
use super::{Ledger, LedgerError, RunId, encoding, sql};
use crate::convert::Manifest;
use crate::identity::{Identity, MessageId};
use crate::item::ItemId;
use crate::resolution::{Mailbox, MailboxId};

/// A message that the ledger knows in a mailbox.
#[derive(Debug, Clone)]
pub struct KnownCopy {
    /// The message.
    pub identity: Identity,
    /// TeleMessage's number of the item.
    pub item: Option<ItemId>,
    /// What was imported; `None` where the copy never was, as far as is known.
    pub imported: Option<Imported>,
    /// It has no outcome: a later run looks it up or sends it. One that was imported before and is missing is such a copy too.
    pub is_open: bool,
}

/// A copy that was imported.
#[derive(Debug, Clone)]
pub enum Imported {
    /// What was imported is known.
    Known(ImportedCopy),
    /// It isn't any more, because the item is shrunk (`ledger.retain`): the copy is there or not. The Message-ID that it has.
    Shrunk(MessageId),
}

/// What was imported.
#[derive(Debug, Clone)]
pub struct ImportedCopy {
    /// What to compare with.
    pub manifest: Manifest,
    /// Whether this ledger had it sent. One that was found by a look-up was sent before the ledger's own time, so that its
    /// manifest is of a conversion made anew, not of what was sent.
    pub sent: bool,
    /// Whether the mailbox refused a file of it for good. Which one is not on record.
    pub lacks_files: bool,
}

impl KnownCopy {
    fn read(row: &AnyRow) -> Result<Self, LedgerError> {
        let state = DeliveryState::from_name(&sql::get::<String>(row, "state")?)?;
        let is_open = !state.has_outcome();
        // What a verification doubted has the id under which it was imported, whatever became of it then.
        let was_imported = sql::get::<Option<String>>(row, "remote_id")?.is_some();
        let imported = was_imported || matches!(state, DeliveryState::Imported | DeliveryState::PartiallyImported);
        let identity = Identity(sql::digest(row, "identity")?);
        let sent_as = sql::optional_digest(row, "sent_as")?.map_or(identity, Identity);
        let imported = imported.then(|| Imported::read(row, sent_as.message_id())).transpose()?;
        Ok(Self { identity, item: sql::get::<Option<i64>>(row, "item_id")?.map(ItemId), imported, is_open })
    }
}

impl Imported {
    fn read(row: &AnyRow, message_id: MessageId) -> Result<Self, LedgerError> {
        let Some(manifest) = sql::get::<Option<Vec<u8>>>(row, "manifest")? else {
            if sql::get::<Option<i64>>(row, "shrunk")?.is_some() {
                return Ok(Self::Shrunk(message_id));
            }
            let no: i64 = sql::get(row, "item_no")?;
            return Err(LedgerError::Damaged(format!("the imported copy of item {no} has no manifest")));
        };
        let mut copy = ImportedCopy::read(row, &manifest)?;
        // The manifest is of the item's message, which this mailbox may have from before the ledger's time.
        copy.sent &= copy.manifest.message_id == message_id;
        copy.manifest.message_id = message_id;
        Ok(Self::Known(copy))
    }
}

impl ImportedCopy {
    fn read(row: &AnyRow, manifest: &[u8]) -> Result<Self, LedgerError> {
        let sent = sql::get::<Option<String>>(row, "converter")?.is_some();
        let reason: Option<String> = sql::get(row, "reason")?;
        let lacks_files = reason.is_some_and(|reason| reason == PartialReason::AttachmentRejected.name());
        Ok(Self { manifest: encoding::manifest(manifest)?, sent, lacks_files })
    }
}

impl Ledger {
    /// The next mailbox after `after` that copies were meant for (in the account of `run`, or in any), by its latest address.
    pub async fn next_mailbox(
        &self,
        run: Option<&RunId>,
        after: Option<&MailboxId>,
    ) -> Result<Option<Mailbox>, LedgerError> {
        let statement = format!(
            "SELECT name AS mailbox_id, name_no FROM names WHERE name > $1 AND EXISTS
               (SELECT 1 FROM delivery_rows WHERE first = 1 AND target_no = names.name_no
                  AND (CAST($2 AS TEXT) IS NULL OR +run_no = {}))
             ORDER BY name LIMIT 1",
            run_no(2)
        );
        let row = query_of(statement)
            .bind(after.map(|after| &*after.0).unwrap_or_default())
            .bind(run.map(|run| &*run.0))
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let id: String = sql::get(&row, "mailbox_id")?;
        let row = sqlx::query(
            "SELECT mailbox FROM deliveries_in_words WHERE first = 1 AND target_no = $1 ORDER BY item_no DESC LIMIT 1",
        )
        .bind(sql::get::<i64>(&row, "name_no")?)
        .fetch_one(&self.pool)
        .await?;
        let address: Option<String> = sql::get(&row, "mailbox")?;
        Ok(Some(Mailbox { id: MailboxId(id), address: address.unwrap_or_default() }))
    }

    /// What the Message-IDs of a mailbox's copies are made of, where that isn't their identity.
    pub async fn sent_otherwise(&self, mailbox: &MailboxId) -> Result<Vec<Identity>, LedgerError> {
        let statement =
            format!("SELECT sent_as FROM delivery_rows WHERE target_no = {} AND sent_as IS NOT NULL", mailbox_no(1));
        let rows = query_of(statement).bind(&mailbox.0).fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok(Identity(sql::digest(row, "sent_as")?))).collect()
    }

    /// The messages that the ledger knows in a mailbox (those in the account of `run`, or all), in the order of their
    /// identities, after `after`.
    pub async fn known_copies(
        &self,
        mailbox: &MailboxId,
        run: Option<&RunId>,
        after: Option<Identity>,
        limit: u32,
    ) -> Result<Vec<KnownCopy>, LedgerError> {
        // A copy that was found, not sent, has no converter: any conversion of its item will do.
        let rows = query_of(format!(
            "SELECT copies.item_no, copies.identity, copies.sent_as, copies.state, copies.reason, copies.converter, copies.remote_id, items.item_id, items.shrunk, messages.manifest
             FROM deliveries_in_words AS copies
             JOIN item_rows AS items ON items.item_no = copies.item_no
             LEFT JOIN messages ON messages.item_no = copies.item_no AND messages.converter =
               COALESCE(copies.converter, (SELECT MAX(converter) FROM messages WHERE item_no = copies.item_no))
             WHERE copies.first = 1 AND copies.target_no = {} AND copies.identity > $2
               AND (CAST($3 AS TEXT) IS NULL OR +copies.run_no = {})
             ORDER BY copies.identity LIMIT $4",
            mailbox_no(1),
            run_no(3)
        ))
        .bind(&mailbox.0)
        .bind(after.map(|after| after.0.as_bytes().to_vec()).unwrap_or_default())
        .bind(run.map(|run| &*run.0))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(KnownCopy::read).collect()
    }
}
