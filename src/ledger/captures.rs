//! Which messages were captured, by whom, and which messages those refer to.

use chrono::{DateTime, Duration, Utc};
use futures_util::TryStreamExt as _;
use sqlx::{Any, Transaction};

use super::sql::{
    self, Dialect, MAX_STATEMENT_ROWS, millis, query_of, query_of_many, query_of_rows, rows_of_placeholders,
    rows_of_typed_placeholders,
};
use super::{ItemNo, Ledger, LedgerError, RunId};
use crate::digest::Digest;
use crate::identity::original_of;
use crate::item::{Chat, Item, Kind};
use crate::window::day_of;

/// How a captured item refers to an earlier message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// It answers it.
    Quoted,
    /// It is an edit of it.
    Edited,
    /// It is its deletion.
    Deleted,
    /// It is a reaction to it.
    Reacted,
}

impl Relation {
    /// The relation's name in reports: what happened to the message that is referred to.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quoted => "quoted",
            Self::Edited => "edited",
            Self::Deleted => "deleted",
            Self::Reacted => "reacted",
        }
    }

    /// How old the message may be that is referred to, where the item doesn't say. WhatsApp lets people edit for 15
    /// minutes and delete for about 60 hours; answers and reactions have no bound, so this one is for prudence: what may be
    /// older than the first capture of its owner is never called lost.
    fn greatest_age(self) -> Duration {
        match self {
            Self::Edited | Self::Deleted => Duration::days(3),
            Self::Quoted | Self::Reacted => Duration::days(14),
        }
    }
}

/// An earlier message that an item refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// WhatsApp's id of the message.
    pub message_id: String,
    /// How the item refers to it.
    pub relation: Relation,
    /// The message was sent at this time or later.
    pub not_before: DateTime<Utc>,
}

/// What an item says about what was captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// The owner: what tells them apart, and their name as it came.
    owner: (i64, String),
    /// When TeleMessage received it.
    received: DateTime<Utc>,
    /// The message's digest, where it has an id of WhatsApp's.
    message: Option<i64>,
    /// The day of the message, since 1970 in UTC.
    day: i64,
    /// The group, for a message whose captures are compared.
    group: Option<i64>,
    /// The group's name, for people.
    group_name: Option<String>,
    /// What it refers to.
    reference: Option<Reference>,
}

impl Capture {
    /// What an item says; nothing where nobody owns it.
    pub fn of(item: &Item) -> Option<Self> {
        let owner = item.owner.as_ref()?;
        let has_id = !item.message_id.trim().is_empty() && item.message_id != item.id.to_string();
        let group = match &item.chat {
            Chat::Group(group) => Some(group),
            Chat::Direct | Chat::Broadcast(_) => None,
        };
        let is_compared = item.kind == Kind::Message && item.time.substituted.is_none();
        let key = group.and_then(|group| group.id.as_deref().or(group.data_id.as_deref()));
        Some(Self {
            owner: (short_digest::<4>(&owner.key()), owner.value.clone()),
            received: item.received.unwrap_or(item.time.at),
            message: has_id.then(|| short_digest::<6>(&item.message_id)),
            day: day_of(item.time.at),
            group: key.filter(|_| is_compared).map(short_digest::<4>),
            group_name: group.and_then(|group| group.name.clone().or_else(|| group.id.clone())),
            reference: reference_of(item),
        })
    }
}

/// The message that an item refers to, where it names one.
fn reference_of(item: &Item) -> Option<Reference> {
    let (message_id, _) = original_of(item)?;
    let relation = match &item.kind {
        Kind::Edit(_) => Relation::Edited,
        Kind::Deletion(_) => Relation::Deleted,
        Kind::Reaction => Relation::Reacted,
        Kind::Message | Kind::StatusPost | Kind::Call | Kind::GroupEvent | Kind::Unknown(_) => Relation::Quoted,
    };
    let stated = match relation {
        Relation::Quoted => item.quoted.as_ref().and_then(|quoted| quoted.message_time),
        Relation::Edited | Relation::Deleted => item.original.as_ref().and_then(|original| original.message_time),
        Relation::Reacted => None,
    };
    let stated = stated.and_then(|time| time.instant());
    let not_before = stated.unwrap_or_else(|| item.time.at - relation.greatest_age());
    (!message_id.trim().is_empty()).then(|| Reference { message_id: message_id.to_owned(), relation, not_before })
}

/// The first `BYTES` bytes of a name's SHA-256, as a number.
fn short_digest<const BYTES: usize>(name: &str) -> i64 {
    let digest = Digest::of(name.as_bytes());
    digest.as_bytes().iter().take(BYTES).fold(0, |number, byte| number << 8 | i64::from(*byte))
}

/// Records what prepared items say. A reference is recorded where the message that it names must have been captured: where
/// it was sent after the owner's first item was received.
pub(super) async fn record(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    run: &RunId,
    captures: &[(ItemNo, &Capture)],
) -> Result<(), LedgerError> {
    record_owners(transaction, dialect, captures).await?;
    record_captures(transaction, dialect, captures).await?;
    // After all captures: most references are to messages that are there.
    for chunk in captures.chunks(MAX_STATEMENT_ROWS) {
        record_references(transaction, dialect, run, chunk).await?;
    }
    Ok(())
}

async fn record_owners(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    chunk: &[(ItemNo, &Capture)],
) -> Result<(), LedgerError> {
    let mut owners = std::collections::BTreeMap::new();
    for (_, capture) in chunk {
        let first = owners.entry(capture.owner.0).or_insert((capture.owner.1.as_str(), capture.received));
        first.1 = first.1.min(capture.received);
    }
    let owners: Vec<_> = owners.into_iter().collect();
    for piece in sql::pieces(&owners) {
        let places = rows_of_placeholders(piece.len(), 3);
        let statement =
            format!("INSERT INTO capture_owners (owner, name, since) VALUES {places} ON CONFLICT (owner) DO NOTHING");
        let mut query = query_of_rows(dialect, statement);
        for (owner, (name, since)) in piece {
            query = query.bind(*owner).bind(*name).bind(millis(*since));
        }
        query.execute(&mut **transaction).await?;
    }
    Ok(())
}

async fn record_captures(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    chunk: &[(ItemNo, &Capture)],
) -> Result<(), LedgerError> {
    let rows: Vec<(i64, &Capture)> =
        chunk.iter().filter_map(|(_, capture)| Some((capture.message?, *capture))).collect();
    for piece in sql::pieces(&rows) {
        let places = rows_of_placeholders(piece.len(), 4);
        let statement = format!(
            "INSERT INTO captures (message, owner, chat, day) VALUES {places} ON CONFLICT (message, owner) DO NOTHING"
        );
        let mut query = query_of_rows(dialect, statement);
        for (message, capture) in piece {
            query = query.bind(*message).bind(capture.owner.0).bind(capture.group).bind(capture.day);
        }
        query.execute(&mut **transaction).await?;
    }
    Ok(())
}

async fn record_references(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    run: &RunId,
    chunk: &[(ItemNo, &Capture)],
) -> Result<(), LedgerError> {
    const TYPES: [&str; 7] = ["BIGINT", "BIGINT", "TEXT", "TEXT", "TEXT", "BIGINT", "BIGINT"];
    let references: Vec<(ItemNo, &Capture, &Reference)> =
        chunk.iter().filter_map(|(no, capture)| Some((*no, *capture, capture.reference.as_ref()?))).collect();
    if references.is_empty() {
        return Ok(());
    }
    let statement = format!(
        "WITH named (message, item_no, message_id, relation, chat, owner, not_before) AS (VALUES {})
         INSERT INTO open_references (message, item_no, message_id, relation, chat, run_id)
         SELECT named.message, named.item_no, named.message_id, named.relation, named.chat, ${}
         FROM named JOIN capture_owners ON capture_owners.owner = named.owner
         WHERE capture_owners.since <= named.not_before
           AND NOT EXISTS (SELECT 1 FROM captures WHERE captures.message = named.message)
         ON CONFLICT (message, item_no) DO NOTHING",
        rows_of_typed_placeholders(references.len(), &TYPES),
        references.len() * TYPES.len() + 1
    );
    let mut query = query_of_many(dialect, statement);
    for (no, capture, reference) in references {
        query = query
            .bind(short_digest::<6>(&reference.message_id))
            .bind(no.0)
            .bind(&reference.message_id)
            .bind(reference.relation.name())
            .bind(&capture.group_name)
            .bind(capture.owner.0)
            .bind(millis(reference.not_before));
    }
    query.bind(&run.0).execute(&mut **transaction).await?;
    Ok(())
}

/// A message that captured items refer to and that nobody's capture holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeverCaptured {
    /// WhatsApp's id of it.
    pub message_id: String,
    /// The group's name or id; nothing in a direct chat.
    pub chat: Option<String>,
    /// The owner of the item that refers to it, as it came.
    pub owner: Option<String>,
    /// How that item refers to it.
    pub relation: String,
    /// TeleMessage's number of that item.
    pub referenced_by: Option<i64>,
}

/// How many messages one owner captured, or all owners together, in one group on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupDay {
    /// The owner's digest; nothing for all together, where a message counts once.
    pub owner: Option<i64>,
    /// The day, since 1970 in UTC.
    pub day: i64,
    pub messages: u64,
}

impl Ledger {
    /// Forgets references to messages that were captured meanwhile.
    pub async fn close_references(&self) -> Result<(), LedgerError> {
        sqlx::query(
            "DELETE FROM open_references WHERE EXISTS
               (SELECT 1 FROM captures WHERE captures.message = open_references.message)",
        )
        .execute(self.writer()?)
        .await?;
        Ok(())
    }

    /// How many messages are referred to and were never captured; with a run, those that its items were the first to name.
    pub async fn never_captured_count(&self, run: Option<&RunId>) -> Result<u64, LedgerError> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS found FROM (SELECT message FROM open_references GROUP BY message
               HAVING CAST($1 AS TEXT) IS NULL OR MIN(run_id) = $1) AS first",
        )
        .bind(run.map(|run| &*run.0))
        .fetch_one(&self.pool)
        .await?;
        sql::count(&row, "found")
    }

    /// How many such messages each of the latest regular runs before this one was the first to name, newest first.
    pub async fn never_captured_before(&self, run: &RunId, limit: u32) -> Result<Vec<u64>, LedgerError> {
        let rows = sqlx::query(
            "SELECT (SELECT COUNT(DISTINCT message) FROM open_references WHERE open_references.run_id = runs.run_id) AS found
             FROM runs WHERE kind = 'regular' AND status IN ('complete', 'incomplete') AND run_id <> $1
             ORDER BY run_no DESC LIMIT $2",
        )
        .bind(&run.0)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| sql::count(row, "found")).collect()
    }

    /// The messages that a run's items refer to and that were never captured, in the order of those items.
    pub async fn never_captured(&self, run: &RunId, limit: u32) -> Result<Vec<NeverCaptured>, LedgerError> {
        let rows = sqlx::query(
            "SELECT open_references.message_id, open_references.relation, open_references.chat, items.owner, items.item_id
             FROM open_references JOIN items_in_words AS items ON items.item_no = open_references.item_no
             WHERE open_references.run_id = $1 ORDER BY open_references.item_no LIMIT $2",
        )
        .bind(&run.0)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        let read = |row| {
            Ok(NeverCaptured {
                message_id: sql::get(row, "message_id")?,
                chat: sql::get(row, "chat")?,
                owner: sql::get(row, "owner")?,
                relation: sql::get(row, "relation")?,
                referenced_by: sql::get(row, "item_id")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Hands what was captured in each group with several owners to `judge`, group by group, for the days from `first` to
    /// `last`.
    pub async fn each_shared_group(
        &self,
        first: i64,
        last: i64,
        mut judge: impl FnMut(&[GroupDay]) + Send,
    ) -> Result<(), LedgerError> {
        const SHARED: &str = "FROM captures WHERE chat IN (SELECT chat FROM captures WHERE chat IS NOT NULL
            AND day >= $1 AND day <= $2 GROUP BY chat HAVING MIN(owner) <> MAX(owner)) AND day >= $1 AND day <= $2";
        let statement = format!(
            "SELECT chat, day, owner, COUNT(*) AS messages {SHARED} GROUP BY chat, day, owner
             UNION ALL
             SELECT chat, day, NULL AS owner, COUNT(DISTINCT message) AS messages {SHARED} GROUP BY chat, day
             ORDER BY 1"
        );
        let mut rows = query_of(statement).bind(first).bind(last).fetch(&self.pool);
        let (mut group, mut days): (Option<i64>, Vec<GroupDay>) = (None, Vec::new());
        while let Some(row) = rows.try_next().await? {
            let chat: i64 = sql::get(&row, "chat")?;
            if group.replace(chat) != Some(chat) {
                judge(&days);
                days.clear();
            }
            days.push(GroupDay {
                owner: sql::get(&row, "owner")?,
                day: sql::get(&row, "day")?,
                messages: sql::count(&row, "messages")?,
            });
        }
        judge(&days);
        Ok(())
    }

    /// An owner's name, as it came.
    pub async fn capture_owner(&self, owner: i64) -> Result<Option<String>, LedgerError> {
        let found = sqlx::query("SELECT name FROM capture_owners WHERE owner = $1").bind(owner);
        found.fetch_optional(&self.pool).await?.map(|row| sql::get(&row, "name")).transpose()
    }
}
