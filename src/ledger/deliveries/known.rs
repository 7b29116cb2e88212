//! By which identity a mailbox knows a message: a copy may lie there under that of an earlier version.

use std::collections::HashMap;

use sqlx::{Any, AnyConnection, Transaction};

use super::{NewDelivery, Target, read_mailbox};
use crate::identity::{Identities, Identity};
use crate::ledger::sql::{self, MAX_STATEMENT_ROWS, list_of_placeholders, mailbox_no, query_of, query_of_many};
use crate::ledger::{ItemNo, Ledger, LedgerError};
use crate::resolution::{Mailbox, MailboxId};

impl Ledger {
    /// Whether a mailbox knows a message by this identity.
    pub async fn knows(&self, mailbox: &MailboxId, identity: Identity) -> Result<bool, LedgerError> {
        let mut connection = self.pool.acquire().await?;
        Ok(known_identity(&mut connection, mailbox, &identity.into()).await?.is_some())
    }

    /// Copies of a message, sent or to be sent, under one of these mailboxes' ids: the item, and the mailbox as it was recorded.
    pub async fn copies_under(
        &self,
        mailboxes: &[MailboxId],
        identities: &Identities,
    ) -> Result<Vec<(ItemNo, Mailbox)>, LedgerError> {
        let mut found = Vec::new();
        for chunk in mailboxes.chunks(MAX_STATEMENT_ROWS) {
            let statement = format!(
                "SELECT item_no, mailbox_id, mailbox FROM deliveries_in_words
                 WHERE first = 1 AND identity IN ($1, $2, $3) AND state NOT IN ('failed', 'skipped_duplicate')
                   AND target_no IN (SELECT name_no FROM names WHERE name IN {})",
                list_of_placeholders(4, chunk.len())
            );
            let mut query = query_of_many(self.dialect, statement);
            for identity in [identities.key, identities.sent_as, identities.version_1.unwrap_or(identities.key)] {
                query = query.bind(identity.0.as_bytes().as_slice());
            }
            for mailbox in chunk {
                query = query.bind(&mailbox.0);
            }
            for row in query.fetch_all(&self.pool).await? {
                found.push((ItemNo(sql::get(&row, "item_no")?), read_mailbox(&row)?));
            }
        }
        Ok(found)
    }
}

/// Identities by which mailboxes know messages, by the rows that are about to be inserted.
pub(super) type KnownIdentities<'a> = HashMap<(ItemNo, &'a Target), Identity>;

/// Of rows whose message the mailbox may know by another identity than its key, the one that it does.
pub(super) async fn known_identities<'a>(
    transaction: &mut Transaction<'_, Any>,
    rows: &[(ItemNo, &'a NewDelivery)],
) -> Result<KnownIdentities<'a>, LedgerError> {
    let mut known = HashMap::new();
    let has_other_ids = has_other_ids(transaction).await?;
    for (no, row) in rows {
        let (Some((mailbox, _)), Some(identities)) = (&row.mailbox, &row.identities) else { continue };
        if (identities.version_1.is_some() || has_other_ids)
            && let Some(identity) = known_identity(transaction, &mailbox.id, identities).await?
        {
            known.insert((*no, &row.target), identity);
        }
    }
    Ok(known)
}

/// Whether any copy lies in a mailbox under another Message-ID than its identity's.
async fn has_other_ids(transaction: &mut Transaction<'_, Any>) -> Result<bool, LedgerError> {
    let found = sqlx::query("SELECT 1 FROM delivery_rows WHERE sent_as IS NOT NULL LIMIT 1");
    Ok(found.fetch_optional(&mut **transaction).await?.is_some())
}

/// By which identity a mailbox knows a message already: that of a first copy that has one of these, or of a capture that bears one.
async fn known_identity(
    connection: &mut AnyConnection,
    mailbox: &MailboxId,
    identities: &Identities,
) -> Result<Option<Identity>, LedgerError> {
    let either = [identities.key, identities.version_1.unwrap_or(identities.key)].map(|one| one.0.as_bytes().to_vec());
    let [key, version_1] = either;
    let row = query_of(format!(
        "SELECT identity FROM delivery_rows
         WHERE target_no = {} AND ((first = 1 AND identity IN ($1, $2)) OR sent_as IN ($1, $2))
         ORDER BY CASE WHEN identity = $1 THEN 0 ELSE 1 END LIMIT 1",
        mailbox_no(3)
    ))
    .bind(key)
    .bind(version_1)
    .bind(&mailbox.0)
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok(Identity(sql::digest(&row, "identity")?))).transpose()
}
