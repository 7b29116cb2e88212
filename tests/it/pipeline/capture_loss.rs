//! What was never captured is found: in a simulated month whose losses are known.

use std::collections::BTreeSet;

use chrono::Duration;
use whatsapp_archiver::digest::Digest;
use whatsapp_archiver::report::Report;

use super::world::{World, ana, ben, cleo, in_window, stranger};
use crate::servers::telemessage::{ArchivedItem, Who};

/// Messages to Ana alone, each day.
const DIRECT: i64 = 16;
/// Messages in the group of three, each day.
const IN_GROUP: i64 = 12;
const DAYS: i64 = 30;

/// Happens in so many of a hundred cases, and in the same ones each time.
fn happens(what: &str, percent: u8) -> bool {
    let digest = Digest::of(what.as_bytes());
    u16::from(digest.as_bytes()[0]) * 256 + u16::from(digest.as_bytes()[1]) < u16::from(percent) * 655
}

/// What a month brings, and what of it is lost.
#[derive(Default)]
struct Month {
    next_id: i64,
    items: Vec<ArchivedItem>,
    /// Direct messages that nobody's capture holds.
    lost: BTreeSet<String>,
    /// Those of them that are reacted to.
    lost_and_referenced: BTreeSet<String>,
    /// Messages of the group that each of the three didn't capture while another did.
    missing: [u64; 3],
}

impl Month {
    fn id(&mut self) -> i64 {
        self.next_id += 1;
        self.next_id
    }

    /// One day: 2 % of Ana's and Ben's captures are lost, and 10 % of Cleo's.
    fn day(&mut self, day: i64) {
        let at = |minute: i64| in_window(minute) + Duration::days(day);
        for number in 0..DIRECT {
            let message = format!("D{day}-{number}");
            let id = self.id();
            if happens(&format!("lost {message}"), 2) {
                self.lost.insert(message.clone());
            } else {
                let item = ArchivedItem::message(id, at(number)).between(&ana(), &stranger(), &[ana()]);
                self.items.push(item.field("messageId", message.as_str()));
            }
            if happens(&format!("reaction to {message}"), 40) {
                let id = self.id();
                let reaction = ArchivedItem::reaction(id, at(100 + number), &message, "👍")
                    .field("messageId", format!("R-{message}"));
                self.items.push(reaction.between(&ana(), &stranger(), &[ana()]));
                // Before, it could be a reaction to a message from before the archive.
                if day >= 14 && self.lost.contains(&message) {
                    self.lost_and_referenced.insert(message);
                }
            }
        }
        for number in 0..IN_GROUP {
            self.in_group(day, number);
        }
    }

    fn in_group(&mut self, day: i64, number: i64) {
        let three = [ana(), ben(), cleo()];
        let message = format!("G{day}-{number}");
        let lost = [("ana", 2), ("ben", 2), ("cleo", 10)]
            .map(|(name, percent)| happens(&format!("{message} {name}"), percent));
        for (place, owner) in three.iter().enumerate() {
            let id = self.id();
            // The first and the last day of a comparison don't count.
            if lost[place] {
                self.missing[place] += u64::from(!lost.iter().all(|lost| *lost) && (1..DAYS - 2).contains(&day));
                continue;
            }
            let everyone: Vec<Who> = three.to_vec();
            let received = in_window(200 + number) + Duration::days(day);
            let item = ArchivedItem::message(id, received).between(owner, &stranger(), &everyone).group("g-1", "Team");
            self.items.push(item.field("messageId", message.as_str()));
        }
    }
}

fn named(report: &Report) -> BTreeSet<String> {
    report.capture_loss.referenced.iter().map(|found| found.message_id.clone()).collect()
}

#[tokio::test]
async fn a_month_with_losses_names_what_is_referred_to_and_never_what_was_captured() {
    let world = World::new().await;
    let mut month = Month::default();
    let mut found = BTreeSet::new();
    let mut last = None;
    for day in 0..DAYS {
        month.day(day);
        world.server.add(std::mem::take(&mut month.items));
        let report = if day == 0 { world.run().await } else { world.run_next_day().await };
        found.extend(named(&report));
        last = Some(report);
    }
    let last = last.unwrap().capture_loss;
    assert!(month.lost_and_referenced.len() >= 2 && month.lost.len() > month.lost_and_referenced.len());
    // Precision: nothing that was captured. Recall: all that is referred to.
    assert_eq!(found, month.lost_and_referenced);
    assert_eq!(last.open, found.len() as u64);

    let compared = last.compared.unwrap();
    assert!(
        compared.since.unwrap() < compared.through,
        "it began with the first comparison that found her: {compared:?}"
    );
    let missing = |owner: &str| {
        let lacks = compared.owners.iter().find(|lacks| lacks.owner.ends_with(owner));
        lacks.map_or(0, |lacks| lacks.missing)
    };
    assert_eq!(["0100", "0101", "0102"].map(missing), month.missing, "{compared:?}");
    let suspicious: Vec<&str> =
        compared.owners.iter().filter(|lacks| lacks.is_suspicious()).map(|lacks| lacks.owner.as_str()).collect();
    assert!(matches!(suspicious[..], [cleo] if cleo.ends_with("0102")), "{compared:?}");
}

#[tokio::test]
async fn a_capture_that_comes_late_is_missing_no_more() {
    let world = World::new().await;
    let to_ana = |item: ArchivedItem| item.between(&ana(), &stranger(), &[ana()]);
    let on = |day: i64| in_window(0) + Duration::days(day);
    let deletion = |id: i64, day: i64| to_ana(ArchivedItem::deletion(id, on(day), "DELETE_FOR_ALL", "late", "READ"));
    world.server.add([to_ana(ArchivedItem::message(1, on(0)))]);
    world.run().await;
    for day in 1..5 {
        world.server.add([to_ana(ArchivedItem::message(day + 1, on(day)))]);
        world.run_next_day().await;
    }
    world.server.add([deletion(20, 5)]);
    let report = world.run_next_day().await;
    assert_eq!((report.capture_loss.new, report.capture_loss.open), (1, 1));
    let [lost] = &report.capture_loss.referenced[..] else { panic!("{report:?}") };
    assert_eq!((lost.message_id.as_str(), lost.relation.as_str(), lost.referenced_by), ("late", "deleted", Some(20)));
    assert_eq!(lost.owner.as_deref().map(|owner| owner.ends_with("0100")), Some(true));

    world.server.add([to_ana(ArchivedItem::message(21, on(6))).field("messageId", "late")]);
    let report = world.run_next_day().await;
    assert_eq!((report.capture_loss.new, report.capture_loss.open), (0, 0));
}
