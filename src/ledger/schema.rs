//! The ledger's schema: versioned, forward-only. A newer one is refused.

use sqlx::{AnyPool, Row as _};

use super::sql::{Dialect, query_of};
use super::{LedgerError, sql};

/// Each entry brings the schema from the version before it to the next. Never edited once released; only added to.
const MIGRATIONS: &[&[&str]] = &[FIRST, AUDIT, PAGES, CAPTURES, RUN_NUMBERS, SENT_AS];

/// Runs, windows, items, deliveries, leases, and the lists of reports.
const FIRST: &[&str] = &[
    "CREATE TABLE runs (
        run_id TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        status TEXT NOT NULL,
        holder TEXT NOT NULL,
        window_from BIGINT,
        window_to BIGINT,
        started BIGINT NOT NULL,
        finished BIGINT,
        inputs TEXT NOT NULL,
        available BIGINT NOT NULL DEFAULT 0,
        repeated BIGINT NOT NULL DEFAULT 0,
        late BIGINT NOT NULL DEFAULT 0,
        bytes_downloaded BIGINT NOT NULL DEFAULT 0,
        bytes_imported BIGINT NOT NULL DEFAULT 0,
        error TEXT,
        report TEXT)",
    "CREATE INDEX runs_by_start ON runs (started)",
    "CREATE TABLE windows (
        window_from BIGINT NOT NULL,
        window_to BIGINT NOT NULL,
        read_from BIGINT NOT NULL,
        read_cursor BIGINT NOT NULL,
        state TEXT NOT NULL,
        run_id TEXT NOT NULL,
        PRIMARY KEY (window_from, window_to))",
    "CREATE TABLE items (
        item_no BIGINT PRIMARY KEY,
        item_key BLOB NOT NULL,
        item_id BIGINT,
        message_id TEXT,
        owner TEXT,
        window_from BIGINT NOT NULL,
        window_to BIGINT NOT NULL,
        page TEXT NOT NULL,
        page_offset BIGINT NOT NULL,
        page_length BIGINT NOT NULL,
        staged_at BIGINT NOT NULL,
        attachments TEXT,
        state TEXT NOT NULL,
        run_id TEXT NOT NULL,
        claim_holder TEXT,
        claim_until BIGINT,
        identity BLOB,
        resolution TEXT)",
    "CREATE UNIQUE INDEX items_by_key ON items (item_key)",
    "CREATE INDEX items_open ON items (item_no) WHERE state <> 'prepared'",
    "CREATE INDEX items_by_run ON items (run_id)",
    "CREATE INDEX items_by_window ON items (window_from, window_to)",
    "CREATE TABLE messages (
        item_no BIGINT NOT NULL,
        converter TEXT NOT NULL,
        manifest TEXT NOT NULL,
        PRIMARY KEY (item_no, converter))",
    "CREATE TABLE deliveries (
        item_no BIGINT NOT NULL,
        target TEXT NOT NULL,
        mailbox_id TEXT,
        mailbox TEXT,
        resolved_by TEXT,
        identity BLOB,
        first BIGINT NOT NULL,
        state TEXT NOT NULL,
        reason TEXT,
        detail TEXT,
        run_id TEXT NOT NULL,
        created BIGINT NOT NULL,
        attempts BIGINT NOT NULL DEFAULT 0,
        settle_at BIGINT,
        holder TEXT,
        converter TEXT,
        remote_id TEXT,
        PRIMARY KEY (item_no, target))",
    // One copy per mailbox: of all captures of one message, one is the first, whichever process prepares them.
    "CREATE UNIQUE INDEX deliveries_first ON deliveries (mailbox_id, identity) WHERE first = 1",
    "CREATE INDEX deliveries_open ON deliveries (mailbox_id, item_no)
        WHERE state IN ('ready', 'sending', 'unknown', 'pending')",
    "CREATE INDEX deliveries_failed ON deliveries (item_no) WHERE state = 'failed'",
    "CREATE INDEX deliveries_by_run ON deliveries (run_id)",
    "CREATE TABLE leases (
        resource TEXT PRIMARY KEY,
        holder TEXT NOT NULL,
        until BIGINT NOT NULL)",
    "CREATE INDEX leases_by_holder ON leases (holder)",
    "CREATE TABLE unmapped (
        run_id TEXT NOT NULL,
        participant TEXT NOT NULL,
        items BIGINT NOT NULL,
        PRIMARY KEY (run_id, participant))",
    // The rows of a report's lists, frozen when its run ends.
    "CREATE TABLE account_rows (
        run_id TEXT NOT NULL,
        row_no BIGINT NOT NULL,
        state TEXT NOT NULL,
        item_no BIGINT NOT NULL,
        item_id BIGINT,
        message_id TEXT,
        owner TEXT,
        mailbox TEXT,
        reason TEXT,
        detail TEXT,
        PRIMARY KEY (run_id, row_no))",
];

/// The chain of reports, administrators' actions, retention, releases, and the days of owners.
const AUDIT: &[&str] = &[
    // One row a report that is to be, or was, written to staging.
    "CREATE TABLE reports (
        sequence BIGINT PRIMARY KEY,
        run_id TEXT NOT NULL,
        previous_run TEXT,
        previous_sha256 TEXT,
        sha256 TEXT,
        signature TEXT,
        stored BIGINT)",
    "CREATE UNIQUE INDEX reports_by_run ON reports (run_id)",
    // What administrators did, listed in the next report of the chain.
    "CREATE TABLE actions (
        action_id TEXT PRIMARY KEY,
        at BIGINT NOT NULL,
        kind TEXT NOT NULL,
        user_name TEXT,
        detail TEXT NOT NULL,
        report BIGINT)",
    "CREATE INDEX actions_by_report ON actions (report)",
    // Which windows lie in staging, and which were purged from it.
    "CREATE TABLE staged_windows (
        window_from BIGINT NOT NULL,
        window_to BIGINT NOT NULL,
        state TEXT NOT NULL,
        refused BIGINT,
        purged BIGINT,
        PRIMARY KEY (window_from, window_to))",
    "CREATE INDEX staged_windows_there ON staged_windows (window_to) WHERE state <> 'purged'",
    "INSERT INTO staged_windows (window_from, window_to, state)
        SELECT DISTINCT window_from, window_to, 'kept' FROM items",
    // A window's items are walked through in their order.
    "DROP INDEX items_by_window",
    "CREATE INDEX items_by_window ON items (window_from, window_to, item_no)",
    // Items of purged windows that have copies under held/.
    "CREATE TABLE held_copies (
        item_no BIGINT PRIMARY KEY,
        window_from BIGINT NOT NULL,
        window_to BIGINT NOT NULL)",
    // When an administrator gave up a held item.
    "ALTER TABLE deliveries ADD COLUMN released BIGINT",
    "DROP INDEX deliveries_failed",
    "CREATE INDEX deliveries_held ON deliveries (item_no) WHERE state = 'failed' AND released IS NULL",
    // On which days (since 1970) an owner had items.
    "CREATE TABLE owner_days (
        owner TEXT NOT NULL,
        day BIGINT NOT NULL,
        PRIMARY KEY (owner, day))",
];

/// The pages of each run, which a report lists: to find them among its items SQLite would sort those in memory.
const PAGES: &[&str] = &[
    "CREATE TABLE pages (
        run_id TEXT NOT NULL,
        page TEXT NOT NULL,
        PRIMARY KEY (run_id, page))",
    "INSERT INTO pages (run_id, page) SELECT DISTINCT run_id, page FROM items",
];

/// Which messages were captured, and which ones captured messages refer to: by them a report names what never arrived.
const CAPTURES: &[&str] = &[
    // Names are digests of a few bytes, so that an item costs little: a collision would hide one lost message at most.
    // `chat` is there for messages in groups alone, whose captures are compared.
    "CREATE TABLE captures (
        message BIGINT NOT NULL,
        owner BIGINT NOT NULL,
        chat BIGINT,
        day BIGINT NOT NULL,
        PRIMARY KEY (message, owner)) WITHOUT ROWID",
    "CREATE TABLE capture_owners (
        owner BIGINT PRIMARY KEY,
        name TEXT NOT NULL,
        since BIGINT NOT NULL)",
    // References to messages of which no capture is known.
    "CREATE TABLE open_references (
        message BIGINT NOT NULL,
        item_no BIGINT NOT NULL,
        message_id TEXT NOT NULL,
        relation TEXT NOT NULL,
        chat TEXT,
        run_id TEXT NOT NULL,
        PRIMARY KEY (message, item_no))",
    "CREATE INDEX open_references_by_run ON open_references (run_id)",
];

/// The order of runs, whatever the clock said when they started. Those from before have none, and are ordered by their starts.
const RUN_NUMBERS: &[&str] = &["ALTER TABLE runs ADD COLUMN run_no BIGINT NOT NULL DEFAULT 0"];

/// What a copy's Message-ID is made of, where that isn't its `identity`: earlier versions of the program made it otherwise.
const SENT_AS: &[&str] = &[
    "ALTER TABLE deliveries ADD COLUMN sent_as BLOB",
    "CREATE INDEX deliveries_sent_as ON deliveries (mailbox_id, sent_as) WHERE sent_as IS NOT NULL",
];

/// The names of all tables but `meta`.
pub(super) fn tables() -> impl Iterator<Item = &'static str> {
    let statements = MIGRATIONS.iter().flat_map(|migration| migration.iter());
    statements.filter_map(|statement| statement.strip_prefix("CREATE TABLE ")?.split_whitespace().next())
}

/// Brings the schema up to date and returns the ledger's id, which is made with the first version.
pub(super) async fn migrate(pool: &AnyPool, dialect: Dialect) -> Result<String, LedgerError> {
    let mut transaction = pool.begin_with(dialect.begin()).await?;
    if let Some(wait_for_turn) = dialect.wait_for_turn() {
        sqlx::query(wait_for_turn).execute(&mut *transaction).await?;
    }
    let meta = "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)";
    sqlx::query(meta).execute(&mut *transaction).await?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let row = sqlx::query("SELECT value FROM meta WHERE name = 'schema'").fetch_optional(&mut *transaction).await?;
    let found: i64 = match row {
        None => 0,
        Some(row) => {
            let text: String = row.try_get("value")?;
            text.parse().map_err(|_| LedgerError::Damaged(format!("schema version {text:?} is not a number")))?
        }
    };
    if found > known {
        return Err(LedgerError::Newer { found, known });
    }
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or_default()) {
        for statement in *migration {
            query_of(dialect.schema(statement)).execute(&mut *transaction).await?;
        }
    }
    let remember = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    sqlx::query(remember).bind("ledger_id").bind(uuid::Uuid::now_v7().to_string()).execute(&mut *transaction).await?;
    sqlx::query(
        "INSERT INTO meta (name, value) VALUES ('schema', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(known.to_string())
    .execute(&mut *transaction)
    .await?;
    let row = sqlx::query("SELECT value FROM meta WHERE name = 'ledger_id'").fetch_one(&mut *transaction).await?;
    let id = sql::get(&row, "value")?;
    transaction.commit().await?;
    Ok(id)
}
