//! Remote ids as rows keep them: without what the row says otherwise, or what all of their kind have. The name of a file in a Maildir
//! becomes half as long. The view `deliveries_in_words` gives them back in full.

use crate::ledger::sql::Dialect;

/// Stands for the first half of what the Message-ID is made of, in hexadecimal digits.
const HALF: char = '\u{1}';

/// Stands for what the names of our files in Maildirs have in common.
const MAILDIR: (char, &str) = ('\u{2}', ".whatsapp-archiver,S=");

/// What a row is to keep of the id in `column`; `made_of` is what the Message-ID is made of. Whoever changes the latter writes the id
/// out in full.
pub(in crate::ledger) fn short(dialect: Dialect, column: &str, made_of: &str) -> String {
    let half = half_in_hex(dialect, made_of);
    let (mark, text) = MAILDIR;
    format!("COALESCE(REPLACE(REPLACE({column}, {half}, '{HALF}'), '{text}', '{mark}'), {column})")
}

/// The id in full.
pub(in crate::ledger) fn full(dialect: Dialect, column: &str, made_of: &str) -> String {
    let half = half_in_hex(dialect, made_of);
    let (mark, text) = MAILDIR;
    format!("COALESCE(REPLACE(REPLACE({column}, '{HALF}', {half}), '{mark}', '{text}'), {column})")
}

/// An id that was received: no remote has reason to send a mark.
pub(super) fn without_marks(id: &str) -> String {
    id.replace([HALF, MAILDIR.0], "\u{fffd}")
}

fn half_in_hex(dialect: Dialect, column: &str) -> String {
    match dialect {
        Dialect::Sqlite => format!("LOWER(HEX(SUBSTR({column}, 1, 16)))"),
        Dialect::Postgres => format!("ENCODE(SUBSTR({column}, 1, 16), 'hex')"),
    }
}
