//! What was captured, and what captured items refer to.

use whatsapp_archiver::item::Item;
use whatsapp_archiver::ledger::{Capture, GroupDay, Ledger, Prepared};
use whatsapp_archiver::window::day_of;

use super::{Database, at, begin, new_item, page, prepared, run_id};

const DAY: i64 = 86_400;

/// What an item of an owner says that came so many days after the first, with these further fields of its body.
fn capture(owner: &str, message_id: &str, day: i64, fields: &str) -> Option<Capture> {
    let at = at(day * DAY);
    let millis = at.timestamp_millis();
    let json = format!(
        r#"{{"id":1,"gatewayReceivedDate":{millis},"body":{{"messageType":"APP_MESSAGE","messageId":"{message_id}",
            "messageTime":{millis},"owner":{{"value":"{owner}"}},"sender":{{"value":"15550199"}},"text":"Hi"{fields}}}}}"#
    );
    Capture::of(&Item::read(json.as_bytes(), at).unwrap())
}

/// Records captures of a run as items of their own.
async fn record(ledger: &Ledger, run: usize, first: usize, captures: Vec<Option<Capture>>) {
    begin(ledger, run).await;
    let items: Vec<_> = (first..first + captures.len()).map(new_item).collect();
    let numbers = page(ledger, run, &items, at(60)).await;
    let all: Vec<Prepared> = numbers
        .into_iter()
        .zip(captures)
        .map(|(no, capture)| Prepared { message: None, capture, ..prepared(no, Vec::new()) })
        .collect();
    ledger.record_prepared(&run_id(run), at(1), &all).await.unwrap();
    ledger.close_references().await.unwrap();
}

pub(super) async fn references_are_open_until_their_message_is_captured(database: Database) {
    let ledger = database.open().await;
    let deletion = |of: &str, day| capture("15550100", &format!("DELETE_FOR_ALL-{of}"), day, "");
    let quote = r#","quoted":{"messageId":"older","text":"x"}"#;
    let first = vec![
        capture("15550100", "first", 0, ""),
        // It may be older than the first capture, so that nobody can say that it was lost.
        deletion("before", 1),
        capture("15550100", "answer", 1, quote),
    ];
    record(&ledger, 1, 0, first).await;
    assert_eq!(ledger.never_captured_count(None).await.unwrap(), 0);

    record(&ledger, 2, 10, vec![deletion("lost", 5), deletion("late", 5), deletion("first", 5)]).await;
    record(&ledger, 3, 20, vec![deletion("lost", 6)]).await;
    assert_eq!(ledger.never_captured_count(None).await.unwrap(), 2);
    assert_eq!(ledger.never_captured_count(Some(&run_id(2))).await.unwrap(), 2);
    assert_eq!(ledger.never_captured_count(Some(&run_id(3))).await.unwrap(), 0, "the run before named it first");
    let named = ledger.never_captured(&run_id(2), 10).await.unwrap();
    let named: Vec<_> = named.iter().map(|found| (found.message_id.as_str(), found.relation.as_str())).collect();
    assert_eq!(named, [("lost", "deleted"), ("late", "deleted")]);
    assert_eq!(ledger.never_captured(&run_id(2), 1).await.unwrap().len(), 1);

    // Somebody else's capture will do.
    record(&ledger, 4, 30, vec![capture("15550101", "late", 7, "")]).await;
    assert_eq!(ledger.never_captured_count(None).await.unwrap(), 1);
    assert_eq!(ledger.never_captured_before(&run_id(4), 7).await.unwrap(), [] as [u64; 0], "no run has ended");
}

pub(super) async fn groups_with_several_owners_are_compared(database: Database) {
    let ledger = database.open().await;
    let group = |id: &str| format!(r#","groupMessage":true,"groupId":"{id}","groupName":"Team""#);
    let mut captures = Vec::new();
    for day in 0..3 {
        for number in 0..4 {
            let message = format!("{day}-{number}");
            captures.push(capture("15550100", &message, day, &group("shared")));
            // The same message again changes nothing.
            captures.push(capture("+1 555 0100", &message, day, &group("shared")));
            if number > 0 {
                captures.push(capture("15550101", &message, day, &group("shared")));
            }
            captures.push(capture("15550100", &format!("alone {message}"), day, &group("alone")));
            captures.push(capture("15550100", &format!("direct {message}"), day, ""));
        }
    }
    record(&ledger, 1, 0, captures).await;
    let mut groups: Vec<Vec<GroupDay>> = Vec::new();
    let today = day_of(at(0));
    ledger.each_shared_group(today, today + 1, |days| groups.push(days.to_vec())).await.unwrap();
    groups.retain(|days| !days.is_empty());
    let [days] = &groups[..] else { panic!("{groups:?}") };
    let mut counts: Vec<(bool, i64, u64)> =
        days.iter().map(|day| (day.owner.is_some(), day.day - today, day.messages)).collect();
    counts.sort_unstable();
    let expected = [(false, 0, 4), (false, 1, 4), (true, 0, 3), (true, 0, 4), (true, 1, 3), (true, 1, 4)];
    assert_eq!(counts, expected);
    let owner = days.iter().find_map(|day| day.owner.filter(|_| day.messages == 3)).unwrap();
    assert_eq!(ledger.capture_owner(owner).await.unwrap().as_deref(), Some("15550101"));
}
