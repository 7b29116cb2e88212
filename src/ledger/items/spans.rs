//! Items found through their pages. Each has items with numbers in a row, and both databases are quick with a span of numbers; left to join
//! the two by it, they would go through all items for each page, or through all pages for each item.

use sqlx::any::AnyRow;

use super::super::sql::{self, millis, query_of};
use super::super::{ItemNo, Ledger, LedgerError};
use crate::window::Window;

/// So many pages are looked up at once.
const PAGES: i64 = 200;

impl Ledger {
    /// These columns of the items that `condition` holds for, and whose pages `of_pages` holds for (`$2` and `$3` are the window), in
    /// order, after `after`.
    pub(in crate::ledger) async fn rows_of_pages(
        &self,
        columns: &str,
        of_pages: &str,
        condition: &str,
        window: Window,
        after: ItemNo,
        limit: u32,
    ) -> Result<Vec<AnyRow>, LedgerError> {
        let statement = format!(
            "SELECT {columns} FROM items_in_words AS items WHERE items.item_no BETWEEN $1 AND $2 AND {condition}
             ORDER BY items.item_no LIMIT $3"
        );
        let (mut rows, mut walked) = (Vec::new(), after);
        loop {
            let spans = self.spans(of_pages, window, walked).await?;
            let Some((_, last)) = spans.last() else { return Ok(rows) };
            walked = ItemNo(*last);
            for (first, last) in spans {
                let left = i64::from(limit) - rows.len() as i64;
                let query = query_of(statement.clone()).bind(first.max(after.0 + 1)).bind(last).bind(left);
                rows.extend(query.fetch_all(&self.pool).await?);
                if rows.len() >= limit as usize {
                    return Ok(rows);
                }
            }
        }
    }

    /// The first and the last items of the next pages that have any after `after`. Pages that follow each other are one span.
    async fn spans(&self, of_pages: &str, window: Window, after: ItemNo) -> Result<Vec<(i64, i64)>, LedgerError> {
        // A page whose number is higher has higher items.
        let statement = format!(
            "SELECT first_item, last_item FROM pages
             WHERE page_no >= COALESCE((SELECT page_no FROM item_rows WHERE item_no <= $1 ORDER BY item_no DESC LIMIT 1), 0)
               AND last_item > $1 AND {of_pages} ORDER BY page_no LIMIT $4"
        );
        let query = query_of(statement).bind(after.0).bind(millis(window.from)).bind(millis(window.to)).bind(PAGES);
        let mut spans: Vec<(i64, i64)> = Vec::new();
        for row in query.fetch_all(&self.pool).await? {
            let (first, last): (i64, i64) = (sql::get(&row, "first_item")?, sql::get(&row, "last_item")?);
            match spans.last_mut() {
                Some((_, end)) if *end + 1 == first => *end = last,
                _ => spans.push((first, last)),
            }
        }
        Ok(spans)
    }
}
