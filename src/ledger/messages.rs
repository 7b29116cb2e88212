//! Messages: what conversions made of items.

use sqlx::{Any, Transaction};

use super::sql::{self, Dialect, query_of_rows, rows_of_placeholders};
use super::{ItemNo, LedgerError, encoding};
use crate::convert::Manifest;

/// Records what conversions made.
pub(super) async fn insert(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    messages: &[(ItemNo, &str, &Manifest)],
) -> Result<(), LedgerError> {
    for piece in sql::pieces(messages) {
        let statement = format!(
            "INSERT INTO messages (item_no, converter, manifest) VALUES {}
             ON CONFLICT (item_no, converter) DO UPDATE SET manifest = excluded.manifest",
            rows_of_placeholders(piece.len(), 3)
        );
        let mut query = query_of_rows(dialect, statement);
        for (no, converter, manifest) in piece {
            query = query.bind(no.0).bind(*converter).bind(encoding::of_manifest(manifest)?);
        }
        query.execute(&mut **transaction).await?;
    }
    Ok(())
}
