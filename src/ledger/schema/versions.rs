//! Every version of the schema, as the statements that lead to it from the one before.

/// Each entry brings the schema from the version before it to the next. Never edited once released; only added to.
pub(super) const MIGRATIONS: &[&[&str]] =
    &[FIRST, AUDIT, PAGES, CAPTURES, RUN_NUMBERS, SENT_AS, COMPACT, RULES, SHRUNK, SHORT_KEYS, FAILURES];

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

/// Rows refer to runs, pages, mailboxes, addresses and owners by number; resolutions and manifests are bytes (see `encoding.rs`). The
/// rows of before are set aside here, and moved by [`super::super::compaction`], which goes on where it was broken off.
const COMPACT: &[&str] = &[
    "INSERT INTO meta (name, value) VALUES ('compacting', 'yes')",
    "UPDATE runs SET run_no = numbered.place
       FROM (SELECT run_id, ROW_NUMBER() OVER (ORDER BY run_no, started, run_id) AS place FROM runs) AS numbered
       WHERE numbered.run_id = runs.run_id",
    "CREATE UNIQUE INDEX runs_by_number ON runs (run_no)",
    "CREATE TABLE names (
        name_no INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        mark BIGINT NOT NULL)",
    "UNIQUE_NAMES",
    "INSERT INTO names (name_no, name, mark) SELECT ROW_NUMBER() OVER (ORDER BY name), name, NEW_MARK FROM (
        SELECT owner AS name FROM items WHERE owner IS NOT NULL
        UNION SELECT mailbox FROM deliveries WHERE mailbox IS NOT NULL
        UNION SELECT COALESCE(mailbox_id, target) FROM deliveries) AS found",
    "DROP TABLE pages",
    // One row for each page that was recorded: its items have numbers in a row.
    "CREATE TABLE pages (
        page_no INTEGER PRIMARY KEY,
        run_no BIGINT NOT NULL,
        window_from BIGINT NOT NULL,
        window_to BIGINT NOT NULL,
        page TEXT NOT NULL,
        staged_at BIGINT NOT NULL,
        first_item BIGINT NOT NULL,
        last_item BIGINT NOT NULL)",
    "CREATE INDEX pages_by_run ON pages (run_no)",
    "CREATE INDEX pages_by_window ON pages (window_from, window_to)",
    "ALTER TABLE unmapped RENAME TO old_unmapped",
    "CREATE TABLE unmapped (
        run_no BIGINT NOT NULL,
        participant TEXT NOT NULL,
        items BIGINT NOT NULL,
        PRIMARY KEY (run_no, participant)) WITHOUT ROWID",
    "INSERT INTO unmapped (run_no, participant, items)
        SELECT runs.run_no, old_unmapped.participant, old_unmapped.items
        FROM old_unmapped JOIN runs ON runs.run_id = old_unmapped.run_id",
    "DROP TABLE old_unmapped",
    "DROP INDEX items_by_key",
    "DROP INDEX items_open",
    "DROP INDEX items_by_run",
    "DROP INDEX items_by_window",
    "ALTER TABLE items RENAME TO old_items",
    "CREATE TABLE item_rows (
        item_no INTEGER PRIMARY KEY,
        page_no BIGINT NOT NULL,
        page_offset BIGINT NOT NULL,
        page_length BIGINT NOT NULL,
        item_key BLOB NOT NULL,
        item_id BIGINT,
        message_id TEXT,
        owner_no BIGINT,
        state TEXT NOT NULL,
        attachments TEXT,
        claim_holder TEXT,
        claim_until BIGINT,
        lacks_user BIGINT NOT NULL DEFAULT 0,
        identity BLOB,
        resolution BLOB)",
    "CREATE UNIQUE INDEX items_by_key ON item_rows (item_key)",
    "CREATE INDEX items_open ON item_rows (item_no) WHERE state <> 'prepared'",
    "ALTER TABLE messages RENAME TO old_messages",
    "CREATE TABLE messages (
        item_no BIGINT NOT NULL,
        converter TEXT NOT NULL,
        manifest BLOB NOT NULL,
        PRIMARY KEY (item_no, converter)) WITHOUT ROWID",
    "DROP INDEX deliveries_first",
    "DROP INDEX deliveries_open",
    "DROP INDEX deliveries_held",
    "DROP INDEX deliveries_by_run",
    "DROP INDEX deliveries_sent_as",
    "ALTER TABLE deliveries RENAME TO old_deliveries",
    // `target_no` names the mailbox of a copy; of another row it is less than nothing, and names that without the sign.
    "CREATE TABLE delivery_rows (
        item_no BIGINT NOT NULL,
        target_no BIGINT NOT NULL,
        address_no BIGINT,
        resolved_by TEXT,
        identity BLOB,
        first BIGINT NOT NULL,
        state TEXT NOT NULL,
        reason TEXT,
        detail TEXT,
        run_no BIGINT NOT NULL,
        created BIGINT NOT NULL,
        attempts BIGINT NOT NULL DEFAULT 0,
        settle_at BIGINT,
        holder TEXT,
        converter TEXT,
        remote_id TEXT,
        released BIGINT,
        sent_as BLOB,
        PRIMARY KEY (item_no, target_no)) WITHOUT ROWID",
    // One copy per mailbox: of all captures of one message, one is the first, whichever process prepares them.
    "CREATE UNIQUE INDEX deliveries_first ON delivery_rows (target_no, identity) WHERE first = 1",
    "CREATE INDEX deliveries_open ON delivery_rows (target_no, item_no)
        WHERE state IN ('ready', 'sending', 'unknown', 'pending')",
    "CREATE INDEX deliveries_held ON delivery_rows (item_no) WHERE state = 'failed' AND released IS NULL",
    "CREATE INDEX deliveries_by_run ON delivery_rows (run_no)",
    "CREATE INDEX deliveries_sent_as ON delivery_rows (target_no, sent_as) WHERE sent_as IS NOT NULL",
    // The rows in words. Nothing is looked for by a word of these: that would go through all rows. No older program knows their names: one
    // that is still running would take rows that are not moved yet for rows that are not there.
    "CREATE VIEW items_in_words AS
        SELECT item_rows.item_no, item_rows.item_key, item_rows.item_id, item_rows.message_id, item_rows.owner_no,
          (SELECT name FROM names WHERE name_no = item_rows.owner_no) AS owner,
          pages.window_from, pages.window_to, pages.page, item_rows.page_offset, item_rows.page_length, pages.staged_at,
          item_rows.attachments, item_rows.state, pages.run_no,
          (SELECT run_id FROM runs WHERE runs.run_no = pages.run_no) AS run_id,
          item_rows.claim_holder, item_rows.claim_until, item_rows.identity, item_rows.lacks_user, item_rows.resolution
        FROM item_rows JOIN pages ON pages.page_no = item_rows.page_no",
    "CREATE VIEW deliveries_in_words AS
        SELECT copies.item_no, copies.target_no,
          CASE WHEN target_no > 0 THEN 'mailbox:' || (SELECT name FROM names WHERE name_no = target_no)
            ELSE (SELECT name FROM names WHERE name_no = -target_no) END AS target,
          CASE WHEN target_no > 0 THEN (SELECT name FROM names WHERE name_no = target_no) END AS mailbox_id,
          (SELECT name FROM names WHERE name_no = address_no) AS mailbox,
          copies.resolved_by, copies.identity, copies.first, copies.state, copies.reason, copies.detail, copies.run_no,
          runs.run_id, copies.created, copies.attempts, copies.settle_at, copies.holder, copies.converter,
          FULL_REMOTE_ID AS remote_id, copies.released, copies.sent_as
        FROM delivery_rows AS copies JOIN runs ON runs.run_no = copies.run_no",
];

/// Which lines of the mapping file named the mailboxes of a run's deliveries, frozen when it ends.
const RULES: &[&str] = &["CREATE TABLE account_rules (
        run_no BIGINT NOT NULL,
        rule_no BIGINT NOT NULL,
        address_no BIGINT NOT NULL,
        deliveries BIGINT NOT NULL,
        PRIMARY KEY (run_no, rule_no, address_no)) WITHOUT ROWID"];

/// Which items have lost their details (`ledger.retain`), and from which cutoff on a window has items that may. The views stay as they are:
/// a process of an older version that is still at work has statements prepared that name their columns.
const SHRUNK: &[&str] =
    &["ALTER TABLE item_rows ADD COLUMN shrunk BIGINT", "ALTER TABLE staged_windows ADD COLUMN shrink_from BIGINT"];

/// Captures are found by the first half of their keys: 128 bits of a SHA-256 tell them apart, and each takes 16 bytes less.
const SHORT_KEYS: &[&str] =
    &["DROP INDEX items_by_key", "CREATE UNIQUE INDEX items_by_key ON item_rows (substr(item_key, 1, 16))"];

/// What kind of failure ended a run, and the pause that a remote asked for. Whoever updates the program has just stopped it.
const FAILURES: &[&str] = &[
    "ALTER TABLE runs ADD COLUMN failure TEXT",
    "ALTER TABLE runs ADD COLUMN not_before BIGINT",
    "UPDATE runs SET failure = 'stopped' WHERE error = 'the run was stopped before its end; the next one goes on from there'",
];
