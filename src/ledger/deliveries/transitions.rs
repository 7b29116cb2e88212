//! The state machine of a delivery: every statement that changes a state is in this file.
//!
//! | Transition | From | To | Who |
//! |---|---|---|---|
//! | [`insert`] | no row | `ready`, `unknown`; rows of the item's own: `pending`, `failed` | whoever prepares the item |
//! | [`remove`] | `pending`, `failed` | no row | whoever prepares the item again, in the transaction of the new rows |
//! | [`Ledger::record`], a claim | `ready`, `unknown` | `sending` | whoever leases the mailbox, before it sends |
//! | [`Ledger::record`], an outcome | any open state | any but `sending` | whoever sent or looked up, while nobody else has taken the row over |
//! | [`Ledger::adopt_deliveries`] | `sending` | `unknown` | a later run that leases the mailbox |
//! | | `pending` | `ready` | the same |
//! | [`Ledger::take_over`] | `sending` | `unknown` | the leader, once the follower that was sending is dismissed |
//! | [`Ledger::promote`] | `ready` | `ready`, `unknown` | whoever leases the mailbox, when the first copy of the message has failed |
//! | [`Ledger::leave_pending`] | `ready` | `pending` | whoever ends the run |
//! | [`Ledger::leave_mailbox`] | `ready` | `pending` | whoever leases the mailbox, or ends the run |
//! | [`Ledger::account_for_unprepared`] | no row | `pending` | whoever ends the run |
//! | [`Ledger::give_up`] | `pending`, `unknown` | `failed` | whoever ends the run |
//! | [`Ledger::doubt_imported`] | `imported`, `partially_imported`, `failed` after it was one of these | `unknown` | `verify --restore`, for a copy that is not in its mailbox |
//!
//! Every other transition is impossible: a statement names the states that it starts from, and leaves other rows alone.
//! Statements about named rows compare `+run_no` rather than `run_no`: SQLite would take the index of the run, and look
//! through all of the run's rows each time.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use sqlx::{Any, Transaction};

use super::known::{KnownIdentities, known_identities};
use super::{
    Claim, DeliveryState, Left, NewDelivery, OPEN, Outcome, PARTICIPANT, RowReason, Target, live_runs, remote_id,
};
use crate::convert::CONVERTER_VERSION;
use crate::identity::Identity;
use crate::ledger::items::is_one_of;
use crate::ledger::names::Numbers;
use crate::ledger::pending::{NOT_SENT, lasting};
use crate::ledger::sql::{
    self, Dialect, MAX_STATEMENT_ROWS, list_of_placeholders, mailbox_no, millis, query_of, query_of_many,
    query_of_rows, rows_of_placeholders, rows_of_typed_placeholders, run_no,
};
use crate::ledger::{ItemNo, Ledger, LedgerError, RunId, Sender, followers, messages};
use crate::reason::Reason;
use crate::resolution::{MailboxId, ResolvedBy};

impl Ledger {
    /// Records outcomes, and claims of copies that are sent as soon as this returns, in one transaction. Rows that another run
    /// has taken over meanwhile are that run's, and stay. Fails where a claimed copy isn't this run's to send any more, and
    /// where the sender is a follower whose right was taken away.
    pub async fn record(&self, sender: &Sender, outcomes: &[Outcome], claims: &[Claim]) -> Result<(), LedgerError> {
        let recorded = outcomes.iter().map(|outcome| &outcome.mailbox.0);
        let mailboxes = self.numbers_of(recorded.chain(claims.iter().map(|claim| &claim.mailbox.0))).await?;
        let mut transaction = self.begin().await?;
        self.confirm(&mut transaction, &mailboxes).await?;
        sender.check(&mut transaction, self.dialect).await?;
        for chunk in outcomes.chunks(MAX_STATEMENT_ROWS) {
            record_chunk(&mut transaction, self.dialect, sender, chunk, &mailboxes).await?;
        }
        let bytes: u64 = outcomes.iter().map(|outcome| outcome.bytes).sum();
        if bytes > 0 {
            sqlx::query("UPDATE runs SET bytes_imported = bytes_imported + $1 WHERE run_id = $2")
                .bind(bytes as i64)
                .bind(&sender.run.0)
                .execute(&mut *transaction)
                .await?;
        }
        claim_copies(&mut transaction, self.dialect, sender, claims, &mailboxes).await?;
        self.commit(transaction).await?;
        Ok(())
    }

    /// Takes mailboxes' open copies (of all items, or of these) into a run: what a run before it was sending becomes unknown
    /// and settles from `settle_at`, what was pending becomes ready, and the rows count in the account of `run`. What is in the
    /// account of a run that is under way stays there. The mailboxes must be leased by the process of `run`.
    pub async fn adopt_deliveries(
        &self,
        run: &RunId,
        mailboxes: &[MailboxId],
        items: Option<&[ItemNo]>,
        now: DateTime<Utc>,
        settle_at: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        let mut transaction = self.begin().await?;
        for chunk in mailboxes.chunks(MAX_STATEMENT_ROWS) {
            let statement = format!(
                "UPDATE delivery_rows SET run_no = {run},
                   holder = NULL, settle_at = CASE WHEN state = 'sending' THEN CAST($2 AS BIGINT) ELSE settle_at END,
                   state = CASE state WHEN 'sending' THEN 'unknown' WHEN 'pending' THEN 'ready' ELSE state END
                 WHERE {OPEN} AND +run_no <> {run}
                   AND +run_no NOT IN {}
                   AND {} AND target_no IN (SELECT name_no FROM names WHERE name IN {})",
                live_runs(now),
                is_one_of(items),
                list_of_placeholders(3, chunk.len()),
                run = run_no(1)
            );
            let mut query = query_of(statement).bind(&run.0).bind(millis(settle_at));
            for mailbox in chunk {
                query = query.bind(&mailbox.0);
            }
            query.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Takes mailboxes over from followers that are gone: what they were sending is unknown, and settles from `settle_at`. The
    /// mailboxes must be leased by the process of the run. Followers whose leases have run out are dismissed before that, so
    /// that they record nothing more.
    pub async fn take_over(
        &self,
        sender: &Sender,
        mailboxes: &[MailboxId],
        now: DateTime<Utc>,
        settle_at: DateTime<Utc>,
    ) -> Result<u64, LedgerError> {
        let mut transaction = self.begin().await?;
        followers::dismiss_silent(&mut transaction, &sender.run, now).await?;
        let mut taken = 0;
        for chunk in mailboxes.chunks(MAX_STATEMENT_ROWS) {
            let statement = format!(
                "UPDATE delivery_rows SET state = 'unknown', settle_at = $1, holder = NULL
                 WHERE +run_no = {} AND state = 'sending' AND {OPEN} AND holder <> $3
                   AND target_no IN (SELECT name_no FROM names WHERE name IN {})",
                run_no(2),
                list_of_placeholders(4, chunk.len())
            );
            let mut query = query_of(statement).bind(millis(settle_at)).bind(&sender.run.0).bind(&sender.holder.0);
            for mailbox in chunk {
                query = query.bind(&mailbox.0);
            }
            taken += query.execute(&mut *transaction).await?.rows_affected();
        }
        self.commit(transaction).await?;
        Ok(taken)
    }

    /// Makes a duplicate the first copy of its message in a mailbox, in the place of one that failed for good. Tells where it
    /// stands now: one that was given up may be there, and so may this one.
    pub async fn promote(
        &self,
        mailbox: &MailboxId,
        identity: Identity,
        item: ItemNo,
    ) -> Result<DeliveryState, LedgerError> {
        let mut transaction = self.begin().await?;
        let failed = query_of(format!(
            "UPDATE delivery_rows SET first = 0 WHERE first = 1 AND target_no = {} AND identity = $2 AND state = 'failed'
             RETURNING reason",
            mailbox_no(1)
        ))
        .bind(&mailbox.0)
        .bind(identity.0.as_bytes().as_slice())
        .fetch_all(&mut *transaction)
        .await?;
        let reasons: Vec<Option<String>> =
            failed.iter().map(|row| sql::get(row, "reason")).collect::<Result<_, _>>()?;
        let may_be_there = reasons.iter().flatten().any(|reason| reason == Reason::MailboxUnavailable.name());
        query_of(format!(
            "UPDATE delivery_rows SET first = 1, state = CASE WHEN state = 'ready' AND $1 = 1 THEN 'unknown' ELSE state END
             WHERE item_no = $2 AND target_no = {} AND identity = $4",
            mailbox_no(3)
        ))
        .bind(i64::from(may_be_there))
        .bind(item.0)
        .bind(&mailbox.0)
        .bind(identity.0.as_bytes().as_slice())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(if may_be_there { DeliveryState::Unknown } else { DeliveryState::Ready })
    }

    /// Leaves what a run could not send pending for a later one; what waits for another capture of the same message waits for the
    /// same reason as that. Rows that are being sent by a process that ended stay as they
    /// are: they are looked up when they are taken over.
    pub async fn leave_pending(&self, run: &RunId) -> Result<(), LedgerError> {
        query_of(format!(
            "UPDATE delivery_rows SET state = 'pending',
               detail = COALESCE(detail, (SELECT firsts.detail FROM delivery_rows AS firsts
                 WHERE delivery_rows.first = 0 AND firsts.target_no = delivery_rows.target_no
                   AND firsts.identity = delivery_rows.identity AND firsts.first = 1), $1)
             WHERE +run_no = {} AND state = 'ready' AND {OPEN}",
            run_no(2)
        ))
        .bind(NOT_SENT)
        .bind(&run.0)
        .execute(self.writer()?)
        .await?;
        Ok(())
    }

    /// Leaves what a mailbox was not sent pending, because the run left it alone for this reason. Returns how many copies have it now,
    /// and were meant by `left`.
    pub async fn leave_mailbox(&self, run: &RunId, of: &MailboxId, left: Left, why: &str) -> Result<u64, LedgerError> {
        let left = query_of(format!(
            "UPDATE delivery_rows SET state = CASE state WHEN 'ready' THEN 'pending' ELSE state END, detail = $1
             WHERE target_no = {} AND +run_no = {} AND ({}) AND {OPEN}",
            mailbox_no(2),
            run_no(3),
            left.rows()
        ))
        .bind(lasting(why))
        .bind(&of.0)
        .bind(&run.0)
        .execute(self.writer()?)
        .await?;
        Ok(left.rows_affected())
    }

    /// Fails what was pending for longer than `retry.give_up`: copies that are not sent, or could not be looked up, and
    /// participants whom the directory did not answer for, in rows of `run` that were made before `before`. A replay looks
    /// these copies up before it sends them.
    pub async fn give_up(&self, run: &RunId, before: DateTime<Utc>) -> Result<u64, LedgerError> {
        let result = query_of(format!(
            "UPDATE delivery_rows SET state = 'failed', reason = $3
             WHERE +run_no = {} AND state IN ('pending', 'unknown') AND {OPEN} AND created < $2
               AND (target_no > 0
                    OR -target_no IN (SELECT name_no FROM names WHERE name LIKE '{PARTICIPANT}%'))",
            run_no(1)
        ))
        .bind(&run.0)
        .bind(millis(before))
        .bind(Reason::MailboxUnavailable.name())
        .execute(self.writer()?)
        .await?;
        Ok(result.rows_affected())
    }

    /// Gives each item of a run that was not prepared before the run ended a pending row of its own, so that the run's
    /// account holds every item. The next run prepares it and takes the row away.
    pub async fn account_for_unprepared(&self, run: &RunId, now: DateTime<Utc>) -> Result<(), LedgerError> {
        let numbers = self.numbers_of([Target::Item.own_name()]).await?;
        let mut transaction = self.begin().await?;
        self.confirm(&mut transaction, &numbers).await?;
        query_of(format!(
            "INSERT INTO delivery_rows (item_no, target_no, first, state, detail, run_no, created)
             SELECT item_no, CAST($3 AS BIGINT), 1, 'pending', CAST($4 AS TEXT), run_no, CAST($2 AS BIGINT)
             FROM items_in_words WHERE run_no = {} AND state = 'staged' AND state <> 'prepared' ON CONFLICT DO NOTHING",
            run_no(1)
        ))
        .bind(&run.0)
        .bind(millis(now))
        .bind(Target::Item.number(&numbers)?)
        .bind(NOT_SENT)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Makes copies of a mailbox that were imported copies of unknown outcome, which the next run looks up from `settle_at` on, and
    /// sends where they are absent. They are pending from `now` on, so that they aren't given up for their age. Those whose
    /// items are purged from staging stay as they are. Returns how many became unknown.
    pub async fn doubt_imported(
        &self,
        mailbox: &MailboxId,
        identities: &[Identity],
        now: DateTime<Utc>,
        settle_at: DateTime<Utc>,
    ) -> Result<u64, LedgerError> {
        let mut transaction = self.begin().await?;
        if let Some(lock) = self.dialect.lock_out_purges() {
            sqlx::query(lock).execute(&mut *transaction).await?;
        }
        let mut doubted = 0;
        for chunk in identities.chunks(MAX_STATEMENT_ROWS) {
            let statement = format!(
                "UPDATE delivery_rows SET state = 'unknown', settle_at = $1, created = $2, holder = NULL
                 WHERE first = 1 AND target_no = {} AND identity IN {}
                   AND (state IN ('imported', 'partially_imported')
                        OR state = 'failed' AND remote_id IS NOT NULL AND released IS NULL)
                   AND NOT EXISTS
                     (SELECT 1 FROM item_rows WHERE item_rows.item_no = delivery_rows.item_no AND item_rows.shrunk = 1)
                   AND NOT EXISTS
                     (SELECT 1 FROM items_in_words AS items JOIN staged_windows ON staged_windows.window_from = items.window_from
                        AND staged_windows.window_to = items.window_to AND staged_windows.state <> 'kept'
                      WHERE items.item_no = delivery_rows.item_no
                        AND NOT EXISTS (SELECT 1 FROM held_copies WHERE held_copies.item_no = items.item_no))",
                mailbox_no(3),
                list_of_placeholders(4, chunk.len())
            );
            let mut query =
                query_of_many(self.dialect, statement).bind(millis(settle_at)).bind(millis(now)).bind(&mailbox.0);
            for identity in chunk {
                query = query.bind(identity.0.as_bytes().as_slice());
            }
            doubted += query.execute(&mut *transaction).await?.rows_affected();
        }
        self.commit(transaction).await?;
        Ok(doubted)
    }
}

async fn claim_copies(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    sender: &Sender,
    claims: &[Claim],
    mailboxes: &Numbers,
) -> Result<(), LedgerError> {
    const TYPES: [&str; 2] = ["BIGINT", "BIGINT"];
    // A message that was read back for several mailboxes is in the claim of each.
    let mut converted = BTreeMap::new();
    for claim in claims {
        converted.extend(claim.messages.iter().map(|(no, manifest)| (*no, manifest)));
    }
    let converted: Vec<_> = converted.into_iter().map(|(no, manifest)| (no, CONVERTER_VERSION, manifest)).collect();
    messages::insert(transaction, dialect, &converted).await?;
    let mut copies = Vec::new();
    for claim in claims {
        let mailbox = mailboxes.of(&claim.mailbox.0)?;
        copies.extend(claim.items.iter().map(|item| (item.0, mailbox)));
    }
    for chunk in copies.chunks(MAX_STATEMENT_ROWS) {
        let rows = sql::padded(chunk.len());
        let values = rows * TYPES.len();
        let statement = format!(
            "WITH claimed (item_no, target_no) AS (VALUES {})
             UPDATE delivery_rows SET state = 'sending', converter = ${}, remote_id = {},
               sent_as = CASE WHEN sent_as IS NULL THEN NULL ELSE (SELECT NULLIF(item_rows.identity, delivery_rows.identity)
                 FROM item_rows WHERE item_rows.item_no = delivery_rows.item_no) END, holder = ${}
             FROM claimed WHERE delivery_rows.item_no = claimed.item_no AND delivery_rows.target_no = claimed.target_no
               AND +delivery_rows.run_no = {} AND delivery_rows.state IN ('ready', 'unknown')",
            rows_of_typed_placeholders(rows, &TYPES),
            values + 1,
            remote_id::full(dialect, "delivery_rows.remote_id", "COALESCE(delivery_rows.sent_as, delivery_rows.identity)"),
            values + 2,
            run_no(values + 3)
        );
        let mut query = query_of_rows(dialect, statement);
        for (item, mailbox) in chunk {
            query = query.bind(*item).bind(*mailbox);
        }
        for _ in chunk.len()..rows {
            query = query.bind(None::<i64>).bind(None::<i64>);
        }
        let query = query.bind(CONVERTER_VERSION).bind(&sender.holder.0).bind(&sender.run.0);
        let changed = query.execute(&mut **transaction).await?.rows_affected();
        if changed != chunk.len() as u64 {
            return Err(lease_lost(claims));
        }
    }
    Ok(())
}

/// One of these mailboxes is another process's by now.
fn lease_lost(claims: &[Claim]) -> LedgerError {
    LedgerError::LeaseLost(match claims {
        [claim] => format!("mailbox {}", claim.mailbox),
        _ => format!("one of {} mailboxes", claims.len()),
    })
}

async fn record_chunk(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    sender: &Sender,
    chunk: &[Outcome],
    mailboxes: &Numbers,
) -> Result<(), LedgerError> {
    const TYPES: [&str; 9] = ["BIGINT", "BIGINT", "TEXT", "TEXT", "TEXT", "BIGINT", "BIGINT", "TEXT", "BLOB"];
    let rows = sql::padded(chunk.len());
    let statement = format!(
        "WITH done (item_no, target_no, state, reason, detail, attempts, settle_at, remote_id, found_as) AS (VALUES {})
         UPDATE delivery_rows SET state = done.state, reason = done.reason, detail = done.detail,
           attempts = delivery_rows.attempts + done.attempts, settle_at = done.settle_at,
           remote_id = COALESCE({}, {}), holder = NULL,
           sent_as = CASE WHEN done.found_as IS NULL THEN delivery_rows.sent_as
             ELSE NULLIF(done.found_as, delivery_rows.identity) END
         FROM done WHERE delivery_rows.item_no = done.item_no AND delivery_rows.target_no = done.target_no
           AND +delivery_rows.run_no = {} AND (delivery_rows.holder IS NULL OR delivery_rows.holder = ${})
           AND delivery_rows.{OPEN}",
        rows_of_typed_placeholders(rows, &TYPES),
        remote_id::short(
            dialect,
            "done.remote_id",
            "COALESCE(done.found_as, delivery_rows.sent_as, delivery_rows.identity)"
        ),
        remote_id::full(dialect, "delivery_rows.remote_id", "COALESCE(delivery_rows.sent_as, delivery_rows.identity)"),
        run_no(rows * TYPES.len() + 1),
        rows * TYPES.len() + 2
    );
    let mut query = query_of_rows(dialect, dialect.schema(&statement));
    for outcome in chunk {
        query = query
            .bind(outcome.no.0)
            .bind(mailboxes.of(&outcome.mailbox.0)?)
            .bind(outcome.state.name())
            .bind(outcome.reason.map(RowReason::name))
            .bind(outcome.detail.as_deref().map(lasting))
            .bind(i64::from(outcome.attempts))
            .bind(outcome.settle_at.map(millis))
            .bind(outcome.remote_id.as_deref().map(remote_id::without_marks))
            .bind(outcome.found_as.map(|found| found.0.as_bytes().to_vec()));
    }
    for _ in chunk.len()..rows {
        let (number, text) = (None::<i64>, None::<String>);
        query = query.bind(number).bind(number).bind(&text).bind(&text).bind(&text);
        query = query.bind(number).bind(number).bind(text).bind(None::<Vec<u8>>);
    }
    query.bind(&sender.run.0).bind(&sender.holder.0).execute(&mut **transaction).await?;
    Ok(())
}

/// Inserts rows; of those for mailboxes, returns which are the first of their message there.
pub(in crate::ledger) async fn insert(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    run_no: i64,
    now: DateTime<Utc>,
    rows: &[(ItemNo, &NewDelivery)],
    numbers: &Numbers,
) -> Result<HashSet<(ItemNo, Target)>, LedgerError> {
    let mut first = HashSet::new();
    let known = known_identities(transaction, rows).await?;
    for piece in sql::pieces(rows) {
        first.extend(insert_chunk(transaction, dialect, (run_no, now), (piece, &known), true, numbers).await?);
        let others: Vec<_> =
            piece.iter().copied().filter(|(no, row)| !first.contains(&(*no, row.target.clone()))).collect();
        for piece in sql::pieces(&others) {
            insert_chunk(transaction, dialect, (run_no, now), (piece, &known), false, numbers).await?;
        }
    }
    Ok(first)
}

async fn insert_chunk(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    (run_no, now): (i64, DateTime<Utc>),
    (rows, known): (&[(ItemNo, &NewDelivery)], &KnownIdentities<'_>),
    first: bool,
    numbers: &Numbers,
) -> Result<Vec<(ItemNo, Target)>, LedgerError> {
    // A conflict is either another capture that is the first copy, or a row of this item that is there already and stays.
    let statement = format!(
        "INSERT INTO delivery_rows (item_no, target_no, address_no, resolved_by, identity, first, state, reason,
           detail, run_no, created, sent_as) VALUES {} ON CONFLICT DO NOTHING RETURNING item_no, target_no",
        rows_of_placeholders(rows.len(), 12)
    );
    let mut query = query_of_rows(dialect, statement);
    let mut targets = HashMap::with_capacity(rows.len());
    for (no, row) in rows {
        debug_assert!(row.state != DeliveryState::Sending, "only a claim makes it that");
        let target_no = row.target.number(numbers)?;
        targets.insert(target_no, &row.target);
        let (mailbox, by) = row.mailbox.as_ref().map(|(mailbox, by)| (mailbox, *by)).unzip();
        // A duplicate is never there: it waits for the first copy.
        let is_duplicate = !first && row.state == DeliveryState::Unknown;
        let state = if is_duplicate { DeliveryState::Ready } else { row.state };
        let identity = known.get(&(*no, &row.target)).copied().or(row.identities.map(|identities| identities.key));
        // A duplicate isn't sent: its key is kept instead, so that captures of its form are known to be the message too.
        let sent_as = row.identities.map(|identities| if first { identities.sent_as } else { identities.key });
        let sent_as = sent_as.filter(|sent_as| Some(*sent_as) != identity);
        query = query
            .bind(no.0)
            .bind(target_no)
            .bind(mailbox.map(|mailbox| numbers.of(&mailbox.address)).transpose()?)
            .bind(by.map(|by| if by == ResolvedBy::Csv { "csv" } else { "email" }))
            .bind(identity.map(|identity| identity.0.as_bytes().to_vec()))
            .bind(i64::from(first))
            .bind(state.name())
            .bind(row.reason.map(Reason::name))
            .bind(row.detail.as_deref().map(lasting))
            .bind(run_no)
            .bind(millis(row.since.unwrap_or(now)))
            .bind(sent_as.map(|identity| identity.0.as_bytes().to_vec()));
    }
    let mut inserted = Vec::with_capacity(rows.len());
    for row in query.fetch_all(&mut **transaction).await? {
        let target = targets.get(&sql::get(&row, "target_no")?);
        inserted.extend(target.map(|target| Ok((ItemNo(sql::get(&row, "item_no")?), (*target).clone()))));
    }
    inserted.into_iter().collect()
}

/// Removes rows whose place others take.
pub(in crate::ledger) async fn remove(
    transaction: &mut Transaction<'_, Any>,
    item: ItemNo,
    targets: &[Target],
    numbers: &Numbers,
) -> Result<(), LedgerError> {
    let statement = format!(
        "DELETE FROM delivery_rows WHERE item_no = $1 AND state IN ('pending', 'failed') AND target_no IN {}",
        list_of_placeholders(2, targets.len())
    );
    let mut query = query_of(statement).bind(item.0);
    for target in targets {
        query = query.bind(target.number(numbers)?);
    }
    query.execute(&mut **transaction).await?;
    Ok(())
}
