//! Items: what was staged, where it lies, and what was found out about it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;

use super::captures::Capture;
use super::deliveries::{NewDelivery, OPEN, Target};
use super::sql::{self, MAX_STATEMENT_ROWS, list_of_placeholders, millis, query_of, query_of_many, run_no};
use super::{Holder, ItemNo, Ledger, LedgerError, RunId, encoding};
use crate::convert::Manifest;
use crate::digest::Digest;
use crate::identity::Identity;
use crate::item::{ItemId, ItemKey};
use crate::reason::Reason;
use crate::resolution::Resolution;
use crate::source::Cursor;
use crate::staging::BlobName;
use crate::window::Window;

mod recording;
mod spans;
mod unresolved;

/// How far an item has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemState {
    /// Staged; nothing else is known.
    Staged,
    /// Staged; an attachment may still come.
    AwaitingAttachments,
    /// It has its deliveries.
    Prepared,
}

impl ItemState {
    fn name(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::AwaitingAttachments => "awaiting_attachments",
            Self::Prepared => "prepared",
        }
    }

    fn from_name(name: &str) -> Result<Self, LedgerError> {
        [Self::Staged, Self::AwaitingAttachments, Self::Prepared]
            .into_iter()
            .find(|state| state.name() == name)
            .ok_or_else(|| LedgerError::Damaged(format!("an item in the unknown state {name:?}")))
    }
}

/// Where an attachment's bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum AttachmentState {
    /// In the item itself.
    Inline,
    /// In staging, and right.
    Staged { blob: String },
    /// In staging, but not what was declared.
    Corrupt {
        blob: String,
        /// What is wrong.
        detail: String,
    },
    /// Not there (yet).
    Awaited {
        /// What the source said.
        detail: String,
    },
    /// Not there, and not to come.
    Missing {
        /// What the source said.
        detail: String,
    },
    /// Larger than `source.max_attachment_size`: never staged.
    TooLarge,
}

/// An attachment as it was staged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachmentRecord {
    /// Where its bytes are.
    #[serde(flatten)]
    pub state: AttachmentState,
    /// Their real length in bytes, where they are anywhere.
    #[serde(default)]
    pub size: u64,
    /// Their digest, where they are anywhere.
    #[serde(default)]
    pub digest: Option<Digest>,
}

/// An item that was staged, to be recorded.
#[derive(Debug, Clone)]
pub struct NewItem {
    /// Names the capture.
    pub key: ItemKey,
    /// TeleMessage's number, where it can be read.
    pub id: Option<ItemId>,
    /// WhatsApp's id, where it can be read.
    pub message_id: Option<String>,
    /// The owner's number or name, where it can be read.
    pub owner: Option<String>,
    /// Where in the page it lies.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
    pub attachments: Vec<AttachmentRecord>,
}

/// One page of a window, staged, to be recorded.
#[derive(Debug)]
pub struct PageRecord<'a> {
    /// The run that read it.
    pub run: &'a RunId,
    /// The window that it was staged under.
    pub window: Window,
    /// The staged page; `None` where nothing in it was new, so that it wasn't staged.
    pub page: Option<&'a BlobName>,
    /// The cursor after it.
    pub next: Cursor,
    /// Whether the window's cursor moves with it (a regular window).
    pub moves_cursor: bool,
    /// The items that are new.
    pub items: &'a [NewItem],
    /// How many items were known already.
    pub repeated: u64,
    /// How many of the new items were found only through the overlap.
    pub late: u64,
    /// Bytes taken from the source for it.
    pub bytes: u64,
    /// The process that goes on with the items.
    pub holder: &'a Holder,
    /// Until when it has claimed them.
    pub claim_until: DateTime<Utc>,
    pub now: DateTime<Utc>,
}

/// An item as the ledger knows it.
#[derive(Debug, Clone)]
pub struct ItemRecord {
    /// The ledger's number.
    pub no: ItemNo,
    /// Names the capture.
    pub key: ItemKey,
    /// TeleMessage's number.
    pub id: Option<ItemId>,
    /// The window that it lies under.
    pub window: Window,
    /// The staged page that it lies in.
    pub page: String,
    /// Where in the page.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
    /// When it was staged.
    pub staged_at: DateTime<Utc>,
    pub attachments: Vec<AttachmentRecord>,
    /// How far it has come.
    pub state: ItemState,
    /// The run that first saw it.
    pub run: RunId,
    /// What its copies' Message-IDs are made of.
    pub identity: Option<Identity>,
    /// What was resolved.
    pub resolution: Option<Resolution>,
}

impl ItemRecord {
    /// TeleMessage's number of the item, else the SHA-256 of its bytes.
    pub fn name(&self) -> String {
        self.id.map_or_else(|| self.key.to_string(), |id| id.to_string())
    }

    /// About how many bytes its text and its attachments have.
    pub fn content_size(&self) -> u64 {
        const MAX_TEXT: u64 = 64 * 1024;
        self.length.min(MAX_TEXT) + self.attachments.iter().map(|attachment| attachment.size).sum::<u64>()
    }

    fn read(row: &AnyRow, names: &HashMap<i64, Arc<str>>) -> Result<Self, LedgerError> {
        let resolution: Option<Vec<u8>> = sql::get(row, "resolution")?;
        let attachments: Option<String> = sql::get(row, "attachments")?;
        Ok(Self {
            no: ItemNo(sql::get(row, "item_no")?),
            key: ItemKey(sql::digest(row, "item_key")?),
            id: sql::get::<Option<i64>>(row, "item_id")?.map(ItemId),
            window: sql::window(row)?,
            page: sql::get(row, "page")?,
            offset: sql::count(row, "page_offset")?,
            length: sql::count(row, "page_length")?,
            staged_at: sql::instant(row, "staged_at")?,
            attachments: match attachments {
                Some(text) => sql::json(&text, "attachments")?,
                None => Vec::new(),
            },
            state: ItemState::from_name(&sql::get::<String>(row, "state")?)?,
            run: RunId(sql::get(row, "run_id")?),
            identity: sql::optional_digest(row, "identity")?.map(Identity),
            resolution: resolution.map(|bytes| encoding::resolution(&bytes, names)).transpose()?,
        })
    }
}

/// Which items to take up again.
#[derive(Debug, Clone, Default)]
pub struct ItemSelection {
    /// Only those that failed for this reason.
    pub reason: Option<Reason>,
    /// Only those whose open rows belong to this run's account.
    pub run: Option<RunId>,
    /// Only these items.
    pub items: Option<Vec<ItemNo>>,
}

/// What the index `items_by_key` has of a key.
pub(super) fn first_half(key: ItemKey) -> Vec<u8> {
    key.0.as_bytes().iter().take(16).copied().collect()
}

/// The condition that a row is about one of these items.
pub(super) fn is_one_of(items: Option<&[ItemNo]>) -> String {
    match items {
        None => "1 = 1".to_owned(),
        Some([]) => "1 = 0".to_owned(),
        Some(items) => {
            let numbers: Vec<String> = items.iter().map(|item| item.0.to_string()).collect();
            format!("item_no IN ({})", numbers.join(", "))
        }
    }
}

/// What became of an item when it was prepared.
#[derive(Debug)]
pub struct Prepared {
    /// The item.
    pub no: ItemNo,
    /// Where it stands now.
    pub state: ItemState,
    /// What was resolved.
    pub resolution: Option<Resolution>,
    pub identity: Option<Identity>,
    /// The manifest of what it was converted to.
    pub message: Option<Manifest>,
    /// The attachments, where their record changed.
    pub attachments: Option<Vec<AttachmentRecord>>,
    /// The rows to add.
    pub deliveries: Vec<NewDelivery>,
    /// The targets of rows that these take the place of.
    pub replaced: Vec<Target>,
    /// Participants without a valid user, as they came.
    pub unmapped: Vec<String>,
    /// What was captured, where the item can be read.
    pub capture: Option<Capture>,
}

/// Whether an item's window is purged, and nothing of the item is held. One that is shrunk was purged once, whatever was staged under its
/// window since.
pub(super) const PURGED: &str =
    "(EXISTS (SELECT 1 FROM item_rows AS own WHERE own.item_no = items.item_no AND own.shrunk = 1)
     OR EXISTS (SELECT 1 FROM staged_windows WHERE staged_windows.window_from = items.window_from
       AND staged_windows.window_to = items.window_to AND staged_windows.state = 'purged')
     AND NOT EXISTS (SELECT 1 FROM held_copies WHERE held_copies.item_no = items.item_no))";

/// Items beside their pages, to be looked for by what those say.
pub(super) const ITEMS_OF_PAGES: &str =
    "pages JOIN item_rows ON item_rows.item_no BETWEEN pages.first_item AND pages.last_item";

impl Ledger {
    /// The items of rows of the view `items_in_words`.
    pub(super) async fn read_items(&self, rows: &[AnyRow]) -> Result<Vec<ItemRecord>, LedgerError> {
        let mut numbers = BTreeSet::new();
        for row in rows {
            if let Some(bytes) = sql::get::<Option<Vec<u8>>>(row, "resolution")? {
                encoding::numbers_in(&bytes, &mut numbers)?;
            }
        }
        let names = self.names_of(&numbers).await?;
        rows.iter().map(|row| ItemRecord::read(row, &names)).collect()
    }

    /// Which of the captures are recorded already.
    pub async fn known(&self, keys: &[ItemKey]) -> Result<HashSet<ItemKey>, LedgerError> {
        let mut known = HashSet::new();
        for chunk in keys.chunks(MAX_STATEMENT_ROWS * 5) {
            let halves = list_of_placeholders(1, chunk.len());
            let statement = format!("SELECT item_key FROM item_rows WHERE substr(item_key, 1, 16) IN {halves}");
            let mut query = query_of_many(self.dialect, statement);
            for key in chunk {
                query = query.bind(first_half(*key));
            }
            for row in query.fetch_all(&self.pool).await? {
                known.insert(ItemKey(sql::digest(&row, "item_key")?));
            }
        }
        Ok(known)
    }

    /// Items that nobody works on and that have no deliveries yet, oldest first; they are claimed for `holder`. Waiting
    /// items are among them only where their run isn't `run`: within one run they are asked for once.
    pub async fn claim_items(
        &self,
        holder: &Holder,
        run: &RunId,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<ItemRecord>, LedgerError> {
        let mut transaction = self.begin().await?;
        let statement = format!(
            "SELECT item_no FROM item_rows
             WHERE state <> 'prepared' AND (claim_until IS NULL OR claim_until <= $1)
               AND (state = 'staged' OR NOT EXISTS
                 (SELECT 1 FROM delivery_rows WHERE delivery_rows.item_no = item_rows.item_no AND +run_no = {}))
             ORDER BY item_no LIMIT $3{}",
            run_no(2),
            self.dialect.skip_locked()
        );
        let rows = query_of(statement)
            .bind(millis(now))
            .bind(&run.0)
            .bind(i64::from(limit))
            .fetch_all(&mut *transaction)
            .await?;
        let numbers = rows.iter().map(|row| sql::get(row, "item_no").map(ItemNo));
        let numbers = numbers.collect::<Result<Vec<_>, _>>()?;
        for chunk in numbers.chunks(MAX_STATEMENT_ROWS) {
            let statement = format!(
                "UPDATE item_rows SET claim_holder = $1, claim_until = $2 WHERE item_no IN {}",
                list_of_placeholders(3, chunk.len())
            );
            let mut query = query_of_many(self.dialect, statement).bind(&holder.0).bind(millis(until));
            for number in chunk {
                query = query.bind(number.0);
            }
            query.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        let mut items = self.items(&numbers).await?;
        Ok(numbers.iter().filter_map(|number| items.remove(number)).collect())
    }

    /// Items with rows that failed or are pending, for a replay, in order, after `after`.
    pub async fn select_items(
        &self,
        selection: &ItemSelection,
        after: ItemNo,
        limit: u32,
    ) -> Result<Vec<ItemRecord>, LedgerError> {
        let rows = query_of(format!(
            "SELECT * FROM items_in_words AS items WHERE item_no > $1 AND {} AND EXISTS
               (SELECT 1 FROM delivery_rows WHERE delivery_rows.item_no = items.item_no
                  AND delivery_rows.state IN ('failed', 'pending') AND delivery_rows.released IS NULL
                  AND (CAST($2 AS TEXT) IS NULL OR delivery_rows.reason = $2)
                  AND (CAST($3 AS TEXT) IS NULL OR +delivery_rows.run_no = {}))
             ORDER BY item_no LIMIT $4",
            is_one_of(selection.items.as_deref()),
            run_no(3)
        ))
        .bind(after.0)
        .bind(selection.reason.map(Reason::name))
        .bind(selection.run.as_ref().map(|run| &*run.0))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        self.read_items(&rows).await
    }

    /// Prepared items with rows of their own that are pending (the directory did not answer) in an earlier run's account,
    /// in order, after `after`.
    pub async fn unanswered_items(
        &self,
        run: &RunId,
        after: ItemNo,
        limit: u32,
    ) -> Result<Vec<ItemRecord>, LedgerError> {
        let rows = query_of(format!(
            "SELECT * FROM items_in_words AS items WHERE item_no > $1 AND state = 'prepared' AND item_no IN
               (SELECT item_no FROM delivery_rows WHERE target_no < 0 AND {OPEN} AND +run_no <> {})
             ORDER BY item_no LIMIT $3",
            run_no(2)
        ))
        .bind(after.0)
        .bind(&run.0)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        self.read_items(&rows).await
    }

    /// How many items a run saw first, and how many of them have no row in any account: none, or the books don't balance.
    pub async fn unaccounted(&self, run: &RunId) -> Result<(u64, u64), LedgerError> {
        let row = query_of(format!(
            "SELECT COUNT(*) AS items,
               COUNT(CASE WHEN NOT EXISTS
                 (SELECT 1 FROM delivery_rows WHERE delivery_rows.item_no = item_rows.item_no) THEN 1 END) AS unaccounted
             FROM {} WHERE pages.run_no = {}",
            ITEMS_OF_PAGES,
            run_no(1)
        ))
        .bind(&run.0)
        .fetch_one(&self.pool)
        .await?;
        Ok((sql::count(&row, "items")?, sql::count(&row, "unaccounted")?))
    }

    /// The items of these numbers.
    pub async fn items(&self, numbers: &[ItemNo]) -> Result<HashMap<ItemNo, ItemRecord>, LedgerError> {
        let mut found = HashMap::with_capacity(numbers.len());
        for chunk in numbers.chunks(MAX_STATEMENT_ROWS * 5) {
            let statement =
                format!("SELECT * FROM items_in_words WHERE item_no IN {}", list_of_placeholders(1, chunk.len()));
            let mut query = query_of_many(self.dialect, statement);
            for number in chunk {
                query = query.bind(number.0);
            }
            let rows = query.fetch_all(&self.pool).await?;
            found.extend(self.read_items(&rows).await?.into_iter().map(|item| (item.no, item)));
        }
        Ok(found)
    }

    /// Items staged under windows that overlap `window` and lie in staging, or are held, in order, after `after`.
    pub async fn items_of_window(
        &self,
        window: Window,
        after: ItemNo,
        limit: u32,
    ) -> Result<Vec<ItemRecord>, LedgerError> {
        let rows = self.rows_of_window("items.*", &format!("NOT {PURGED}"), window, after, limit).await?;
        self.read_items(&rows).await
    }

    /// These columns of the items that `condition` holds for and whose windows overlap with `window`, in order, after `after`.
    pub(super) async fn rows_of_window(
        &self,
        columns: &str,
        condition: &str,
        window: Window,
        after: ItemNo,
        limit: u32,
    ) -> Result<Vec<AnyRow>, LedgerError> {
        self.rows_of_pages(columns, "window_to > $2 AND window_from < $3", condition, window, after, limit).await
    }
}
