//! What a new mapping file makes good: participants who had no valid user, whom it names now, and whose items are still staged.

use std::collections::BTreeSet;

use crate::item::Identifier;
use crate::ledger::{ItemNo, ItemRecord, ItemSelection, Ledger, LedgerError};
use crate::reason::Reason;
use crate::resolve::Resolver;
use crate::resolve::mapping::Mapping;

/// Participants, and items, that are read from the ledger at a time.
const ROWS: u32 = 1000;

/// Logs how many participants the mapping in force makes good.
pub async fn report(ledger: &Ledger, resolver: &Resolver) {
    match count(ledger, resolver).await {
        Ok(0) => {}
        Ok(participants) => tracing::info!(
            event = "mapping_gained",
            participants,
            "participants who had no valid user are in the mapping file now; run `retry --reason no_valid_user` to add their copies"
        ),
        Err(error) => tracing::warn!(
            event = "mapping_gain_unknown",
            error = %error,
            "the ledger gave no answer to how many participants the new mapping file names; `retry --reason no_valid_user --dry-run` counts their copies"
        ),
    }
}

/// How many participants a replay would make good. Those who were made good already, and those whose items were purged or
/// released, are not among them.
async fn count(ledger: &Ledger, resolver: &Resolver) -> Result<usize, LedgerError> {
    let Some(mapping) = resolver.mapping() else { return Ok(0) };
    let named = named_without_user(ledger, &mapping).await?;
    let selection = ItemSelection { reason: Some(Reason::NoValidUser), ..ItemSelection::default() };
    let mut found = BTreeSet::new();
    for is_failed in [true, false] {
        let mut after = ItemNo(0);
        // Most are found soon; only those that are not open any more cost a look at every item that is.
        while found.len() < named.len() {
            let records = if is_failed {
                ledger.select_items(&selection, after, ROWS).await?
            } else {
                ledger.unresolved_items(&selection, after, ROWS).await?
            };
            let Some(last) = records.last() else { break };
            after = last.no;
            found.extend(records.iter().flat_map(|record| gained(record, resolver, &named)));
        }
    }
    Ok(found.len())
}

/// Participants of an item whom the mapping names since it was resolved.
fn gained<'a>(
    record: &'a ItemRecord,
    resolver: &'a Resolver,
    named: &'a BTreeSet<String>,
) -> impl Iterator<Item = String> + 'a {
    let participants = record.resolution.iter().flat_map(|resolution| &resolution.0);
    let gained = participants.filter(|one| named.contains(&one.participant.value) && resolver.is_named_since(one));
    gained.map(|one| one.participant.value.clone())
}

/// Participants who had no valid user in any run, and whom the mapping names.
async fn named_without_user(ledger: &Ledger, mapping: &Mapping) -> Result<BTreeSet<String>, LedgerError> {
    let (mut after, mut named) = (String::new(), BTreeSet::new());
    loop {
        let page = ledger.participants_without_user(&after, ROWS).await?;
        let Some(last) = page.last() else { return Ok(named) };
        after.clone_from(last);
        let is_named = |participant: &String| Identifier::read(participant).is_some_and(|one| mapping.names(&one));
        named.extend(page.into_iter().filter(is_named));
    }
}
