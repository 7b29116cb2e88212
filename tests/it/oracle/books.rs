//! The books: what the frozen reports of all runs say together, and what is open, read from the ledger's tables.

use serde_json::Value;
use sqlx::Row as _;

/// What all runs together account for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Books {
    /// Distinct items that the source gave.
    pub(crate) items: u64,
    /// Copies that were imported, whole or in part.
    pub(crate) copies: u64,
    /// Those imported in part.
    pub(crate) partial: u64,
    /// Copies that were there already.
    pub(crate) duplicates: u64,
    /// Runs, those that died included.
    pub(crate) runs: u64,
}

/// Copies, and items without any, that have no final outcome.
const OPEN: &str = "SELECT COUNT(*) FROM deliveries_in_words WHERE state NOT IN ('imported', 'partially_imported', 'skipped_duplicate', 'failed')";

/// Audits the ledger at this URL: every run has ended, the books of each balance, and what is open now is what they say.
pub(crate) async fn audit(ledger: &str, what: &str) -> Books {
    let pool = connect(ledger).await;
    assert_eq!(count(&pool, OPEN).await, 0, "{what}: deliveries without an outcome");
    let mut books = Books { items: 0, copies: 0, partial: 0, duplicates: 0, runs: 0 };
    for row in sqlx::query("SELECT status, report FROM runs").fetch_all(&pool).await.unwrap() {
        assert_ne!(row.get::<String, _>("status"), "running", "{what}: every run has ended");
        books.add(&serde_json::from_str(&row.get::<String, _>("report")).unwrap(), what);
    }
    let copies =
        count(&pool, "SELECT COUNT(*) FROM deliveries_in_words WHERE state IN ('imported', 'partially_imported')")
            .await;
    assert_eq!(books.copies, copies, "{what}: each copy counts in one report");
    pool.close().await;
    books
}

impl Books {
    fn add(&mut self, report: &Value, what: &str) {
        let count = |name: &str| report["deliveries"][name].as_u64().unwrap();
        let outcomes = ["imported", "partially_imported", "skipped_duplicate", "failed", "pending"];
        assert_eq!(count("available_for_import"), outcomes.map(count).iter().sum::<u64>(), "{what}: {report}");
        assert!(!report["error"].as_str().unwrap_or_default().contains("balance"), "{what}: {report}");
        self.items += report["items"]["available_from_source"].as_u64().unwrap();
        self.copies += count("imported") + count("partially_imported");
        self.partial += count("partially_imported");
        self.duplicates += count("skipped_duplicate");
        self.runs += 1;
    }
}

async fn connect(ledger: &str) -> sqlx::AnyPool {
    sqlx::any::install_default_drivers();
    sqlx::AnyPool::connect(ledger).await.unwrap()
}

async fn count(pool: &sqlx::AnyPool, query: &'static str) -> u64 {
    let count: i64 = sqlx::query(query).fetch_one(pool).await.unwrap().get(0);
    u64::try_from(count).unwrap()
}
