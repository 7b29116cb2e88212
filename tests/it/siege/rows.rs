//! Every row of the tables of faults, met on the wire or on the disk by the program itself: a line of its log names the cause,
//! the harm and the remedy, and no cause makes a flood. The rows are read from the source, so that a new one without a case
//! fails here.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use futures_util::future::BoxFuture;

use super::heard::Heard;
use super::mailboxes::Town;
use super::site::{self, Site, Staged};

mod destination;
mod directory;
mod ledger;
mod source;
mod staging;

/// A row that is met in some way, and what a line must say then.
struct Case {
    row: &'static str,
    way: &'static str,
    event: &'static str,
    words: &'static [&'static str],
    meet: fn() -> BoxFuture<'static, Heard>,
}

fn case(
    row: &'static str,
    way: &'static str,
    event: &'static str,
    words: &'static [&'static str],
    meet: fn() -> BoxFuture<'static, Heard>,
) -> Case {
    Case { row, way, event, words, meet }
}

/// More copies than lines that may be logged.
fn place(town: Town, staged: Staged) -> Site {
    let site = Site::new(&site::census(60, "rows", 3), town, staged);
    site.change_configuration("level = \"debug\"", "level = \"info\"");
    site
}

async fn judge(cases: Vec<Case>) {
    let mut wrong = Vec::new();
    for Case { row, way, event, words, meet } in cases {
        if let Some(what) = meet().await.wrong(event, words) {
            wrong.push(format!("{row}, {way}: {what}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The names of variants of these enums that a part of a source file has.
fn rows_of(file: &str, enums: &[&str]) -> BTreeSet<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let mut rows = BTreeSet::new();
    for name in enums {
        let start = format!("{name}::");
        for (place, _) in text.match_indices(&start) {
            let variant: String = text[place + start.len()..].chars().take_while(char::is_ascii_alphanumeric).collect();
            rows.insert(format!("{start}{variant}"));
        }
    }
    rows
}

/// All rows: of the one table, of the ledger's, and of the sign-in's.
fn rows() -> BTreeSet<String> {
    let mut rows = rows_of("src/fault.rs", &["SourceError", "StagingError", "DirectoryError", "ImportError"]);
    rows.extend(rows_of("src/fault/remedy.rs", &["LedgerError", "SignInError"]));
    rows
}

#[test]
fn every_row_has_a_case() {
    let cases = [source::cases(), staging::cases(), directory::cases(), destination::cases(), ledger::cases()];
    let met: BTreeSet<String> = cases.iter().flatten().map(|case| case.row.to_owned()).collect();
    let rows = rows();
    assert!(rows.len() > 30, "{rows:?}");
    let (unmet, unknown) = (rows.difference(&met), met.difference(&rows));
    let (unmet, unknown): (Vec<_>, Vec<_>) = (unmet.collect(), unknown.collect());
    assert!(unmet.is_empty() && unknown.is_empty(), "rows without a case: {unmet:?}; cases without a row: {unknown:?}");
}

#[tokio::test]
async fn the_sources() {
    judge(source::cases()).await;
}

#[tokio::test]
async fn stagings() {
    judge(staging::cases()).await;
}

#[tokio::test]
async fn the_directorys_and_the_sign_ins() {
    judge(directory::cases()).await;
}

#[tokio::test]
async fn the_destinations() {
    judge(destination::cases()).await;
}

#[tokio::test]
async fn the_ledgers() {
    judge(ledger::cases()).await;
}
