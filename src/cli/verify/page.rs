//! The result of a verification as one page for a browser or for print.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use askama::Template;

use super::lists::cells;
use crate::cli::instant;
use crate::ledger::RunId;
use crate::verify::{Discrepancy, Verified, Verifier, VerifyError};

/// Most findings that the page lists.
const MAX_ROWS: usize = 10_000;

#[derive(Template)]
#[template(path = "verification.html")]
struct Page {
    when: String,
    run: Option<String>,
    checked: u64,
    only_looked_for: u64,
    waiting: u64,
    is_intact: bool,
    counts: Vec<(&'static str, u64)>,
    rows: Vec<[String; 5]>,
    more: u64,
}

pub(super) async fn write(verifier: &Verifier, run: Option<&RunId>) -> Result<Verified, VerifyError> {
    let mut counts: BTreeMap<&'static str, u64> = Discrepancy::NAMES.into_iter().map(|name| (name, 0)).collect();
    let mut rows = Vec::new();
    let outcome = verifier
        .verify(run, &mut |finding| {
            *counts.entry(finding.wrong.name()).or_default() += 1;
            if rows.len() < MAX_ROWS {
                let [item, message_id, detail] = cells(&finding);
                rows.push([finding.wrong.name().to_owned(), item, message_id, finding.mailbox, detail]);
            }
            Ok(())
        })
        .await?;
    let found: u64 = counts.values().sum();
    let page = Page {
        when: instant::shown(verifier.clock.now()),
        run: run.map(|run| run.0.clone()),
        checked: outcome.checked,
        only_looked_for: outcome.only_looked_for,
        waiting: outcome.waiting,
        is_intact: outcome.damage == 0,
        counts: counts.into_iter().collect(),
        more: found.saturating_sub(rows.len() as u64),
        rows,
    };
    let page = page.render().map_err(io::Error::other)?;
    io::stdout().write_all(page.as_bytes())?;
    Ok(outcome)
}
