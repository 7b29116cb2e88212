//! What the ledger knows of one message, for whoever has to prove it: its captures and its copies.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::items::{ItemRecord, first_half};
use super::sql;
use super::{ItemNo, Ledger, LedgerError, RunId, encoding};
use crate::convert::Manifest;
use crate::identity::MessageId;
use crate::item::{ItemId, ItemKey};

/// What names an item, or the captures of one message.
#[derive(Debug, Clone)]
pub enum ItemName {
    /// TeleMessage's number of an item.
    Item(ItemId),
    /// The ledger's own number of a capture, which lists show where an item's own number can't be read.
    Capture(ItemNo),
    /// The SHA-256 of a capture's bytes.
    Key(ItemKey),
    /// The Message-ID of the copies.
    MessageId(MessageId),
    /// WhatsApp's id.
    WhatsApp(String),
}

/// A copy of a message that a mailbox was to have, or the item's own failure where no mailbox was found.
#[derive(Debug, Clone, Serialize)]
pub struct CopyFacts {
    /// The mailbox's address when the copy was planned.
    pub mailbox: Option<String>,
    /// The mailbox's id in the directory.
    pub mailbox_id: Option<String>,
    /// What named the mailbox.
    pub resolved_by: Option<String>,
    /// What became of it.
    pub state: String,
    /// Why it failed, or is only a part.
    pub reason: Option<String>,
    /// The same in words.
    pub detail: Option<String>,
    /// When it was planned.
    pub created: DateTime<Utc>,
    /// The run that recorded its outcome.
    pub run: RunId,
    /// The name that the mailbox gave it.
    pub remote_id: Option<String>,
    /// The version of the converter whose output was sent; nothing where none was sent.
    pub converter: Option<String>,
    /// What was sent.
    pub manifest: Option<Manifest>,
}

/// More captures of a message than any has.
const MAX_CAPTURES: i64 = 100;

impl Ledger {
    /// The captures that a name fits, in the order in which they were recorded.
    pub async fn captures(&self, sought: &ItemName) -> Result<Vec<ItemRecord>, LedgerError> {
        let rows = match sought {
            ItemName::Item(id) => {
                let statement = "SELECT * FROM items_in_words WHERE item_id = $1 ORDER BY item_no LIMIT $2";
                sqlx::query(statement).bind(id.0).bind(MAX_CAPTURES).fetch_all(&self.pool).await?
            }
            ItemName::Capture(no) => {
                sqlx::query("SELECT * FROM items_in_words WHERE item_no = $1").bind(no.0).fetch_all(&self.pool).await?
            }
            ItemName::Key(key) => {
                let statement = "SELECT * FROM items_in_words WHERE substr(item_key, 1, 16) = $1 AND item_key = $2";
                let (half, whole) = (first_half(*key), key.0.as_bytes().to_vec());
                sqlx::query(statement).bind(half).bind(whole).fetch_all(&self.pool).await?
            }
            ItemName::WhatsApp(id) => {
                let statement = "SELECT * FROM items_in_words WHERE message_id = $1 ORDER BY item_no LIMIT $2";
                sqlx::query(statement).bind(id).bind(MAX_CAPTURES).fetch_all(&self.pool).await?
            }
            ItemName::MessageId(id) => {
                // A Message-ID has the first half of an identity.
                let Ok(half) = hex::decode(id.local_part()) else { return Ok(Vec::new()) };
                let statement = "SELECT * FROM items_in_words WHERE (identity >= $1 AND identity <= $2) OR item_no IN
                       (SELECT item_no FROM delivery_rows WHERE sent_as IS NOT NULL AND sent_as >= $1 AND sent_as <= $2)
                     ORDER BY item_no LIMIT $3";
                sqlx::query(statement)
                    .bind([half.as_slice(), &[0; 16]].concat())
                    .bind([half.as_slice(), &[0xff; 16]].concat())
                    .bind(MAX_CAPTURES)
                    .fetch_all(&self.pool)
                    .await?
            }
        };
        self.read_items(&rows).await
    }

    /// The copies of an item, mailbox by mailbox.
    pub async fn copies_of(&self, item: ItemNo) -> Result<Vec<CopyFacts>, LedgerError> {
        let rows = sqlx::query(
            "SELECT copies.*, messages.manifest FROM deliveries_in_words AS copies
             LEFT JOIN messages ON messages.item_no = copies.item_no AND messages.converter = copies.converter
             WHERE copies.item_no = $1 ORDER BY copies.target",
        )
        .bind(item.0)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let manifest: Option<Vec<u8>> = sql::get(row, "manifest")?;
                Ok(CopyFacts {
                    mailbox: sql::get(row, "mailbox")?,
                    mailbox_id: sql::get(row, "mailbox_id")?,
                    resolved_by: sql::get(row, "resolved_by")?,
                    state: sql::get(row, "state")?,
                    reason: sql::get(row, "reason")?,
                    detail: sql::get(row, "detail")?,
                    created: sql::instant(row, "created")?,
                    run: RunId(sql::get(row, "run_id")?),
                    remote_id: sql::get(row, "remote_id")?,
                    converter: sql::get(row, "converter")?,
                    manifest: manifest.map(|bytes| encoding::manifest(&bytes)).transpose()?,
                })
            })
            .collect()
    }
}
