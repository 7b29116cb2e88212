//! Which lines of the mapping file named the mailboxes of a run's deliveries, frozen with its account.

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;

use super::sql::{self, query_of, query_of_rows, rows_of_placeholders, run_no};
use super::{Ledger, LedgerError, RunId, encoding};

/// A line of the mapping file, and how many deliveries of a run it named the mailbox of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingRule {
    /// The identifier, masked, and when the line holds.
    pub rule: String,
    /// The mailbox's address.
    pub mailbox: String,
    pub deliveries: u64,
}

impl Ledger {
    /// Freezes which rules named the mailboxes of the run's deliveries, as it stands now.
    pub async fn freeze_mapping_rules(&self, run: &RunId) -> Result<(), LedgerError> {
        let mut found: BTreeMap<(i64, i64), i64> = BTreeMap::new();
        let statement = format!(
            "SELECT delivery_rows.target_no, delivery_rows.address_no, item_rows.resolution
             FROM delivery_rows JOIN item_rows ON item_rows.item_no = delivery_rows.item_no
             WHERE delivery_rows.run_no = {} AND delivery_rows.address_no IS NOT NULL",
            run_no(1)
        );
        let mut rows = query_of(statement).bind(&run.0).fetch(&self.pool);
        while let Some(row) = rows.try_next().await? {
            let mailbox: i64 = sql::get(&row, "target_no")?;
            let resolution: Option<Vec<u8>> = sql::get(&row, "resolution")?;
            if let Some(rule) = resolution.map(|bytes| encoding::rule_of(&bytes, mailbox)).transpose()?.flatten() {
                *found.entry((rule, sql::get(&row, "address_no")?)).or_default() += 1;
            }
        }
        drop(rows);

        let mut transaction = self.begin().await?;
        query_of(format!("DELETE FROM account_rules WHERE run_no = {}", run_no(1)))
            .bind(&run.0)
            .execute(&mut *transaction)
            .await?;
        let number = super::runs::number_of(&mut transaction, run).await?;
        let found: Vec<_> = found.into_iter().collect();
        for piece in sql::pieces(&found) {
            let places = rows_of_placeholders(piece.len(), 4);
            let statement =
                format!("INSERT INTO account_rules (run_no, rule_no, address_no, deliveries) VALUES {places}");
            let mut query = query_of_rows(self.dialect, statement);
            for ((rule, address), deliveries) in piece {
                query = query.bind(number).bind(*rule).bind(*address).bind(*deliveries);
            }
            query.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// The rules that named the mailboxes of a run's deliveries, those with the most first, and how many there are in all.
    /// Empty until the run ends.
    pub async fn mapping_rules(&self, run: &RunId, limit: u32) -> Result<(Vec<MappingRule>, u64), LedgerError> {
        let rows = query_of(format!(
            "SELECT rules.name AS rule, addresses.name AS mailbox, deliveries FROM account_rules
             JOIN names AS rules ON rules.name_no = rule_no JOIN names AS addresses ON addresses.name_no = address_no
             WHERE run_no = {} ORDER BY deliveries DESC, rule_no, address_no LIMIT $2",
            run_no(1)
        ))
        .bind(&run.0)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        let total = query_of(format!("SELECT COUNT(*) AS total FROM account_rules WHERE run_no = {}", run_no(1)))
            .bind(&run.0)
            .fetch_one(&self.pool)
            .await?;
        let rules = rows
            .iter()
            .map(|row| {
                Ok(MappingRule {
                    rule: sql::get(row, "rule")?,
                    mailbox: sql::get(row, "mailbox")?,
                    deliveries: sql::count(row, "deliveries")?,
                })
            })
            .collect::<Result<_, LedgerError>>()?;
        Ok((rules, sql::count(&total, "total")?))
    }
}
