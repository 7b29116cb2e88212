//! Somebody is told where items fail by rule, however few come at a time, until there is enough to say that it is over.

use std::time::Duration;

use whatsapp_archiver::clock::Clock as _;
use whatsapp_archiver::status::{Status, WarningKind};

use super::world::{World, counts, to_ana_at};
use crate::servers::telemessage::ArchivedItem;

const QUARTER_OF_AN_HOUR: Duration = Duration::from_mins(15);
const DAY: Duration = Duration::from_hours(24);

async fn world() -> World {
    let mut world = World::new().await;
    world.settings.max_failed_percent = 20;
    world
}

/// Lets time pass, and runs with so many new items that can't be read and that can. The warning that there is then.
async fn run_after(pause: Duration, world: &World, malformed: u64, good: u64) -> Option<String> {
    world.clock.advance(pause);
    let received = world.clock.now() - chrono::Duration::minutes(7);
    let first = world.server.items() as i64 + 1;
    let ids = first..first + malformed as i64;
    let items = ids.map(|id| ArchivedItem::verbatim(id, received, &format!(r#"{{"id":{id},"body":[]}}"#)));
    world.server.add(items);
    let first = first + malformed as i64;
    world.server.add((first..first + good as i64).map(|id| to_ana_at(id, received)));
    assert_eq!(counts(&world.run().await), [good, 0, 0, malformed, 0]);
    let status = Status::of(&world.ledger, &world.settings.schedule, world.clock.now()).await.unwrap();
    let warning = status.warnings.into_iter().find(|warning| warning.kind == WarningKind::ManyItemsFailed);
    warning.map(|warning| warning.detail)
}

#[tokio::test]
async fn small_runs_are_judged_together_and_end_no_warning() {
    let world = world().await;
    let said = run_after(QUARTER_OF_AN_HOUR, &world, 2, 0).await;
    assert_eq!(said, None, "two failures say nothing");
    let said = run_after(QUARTER_OF_AN_HOUR, &world, 2, 0).await.unwrap();
    let expected =
        "4 of 4 deliveries (100 %) of 2 runs failed by a rule (malformed 4); report.max_failed_share allows 20 %";
    assert_eq!(said, expected);
    let said = run_after(QUARTER_OF_AN_HOUR, &world, 2, 0).await.unwrap();
    assert!(said.starts_with("6 of 6 deliveries (100 %) of 3 runs"), "{said}");
    let said = run_after(QUARTER_OF_AN_HOUR, &world, 0, 1).await.unwrap();
    assert!(said.starts_with("6 of 7 deliveries (85 %) of 4 runs"), "{said}");
    // Nothing comes for days.
    for _ in 0..3 {
        let said = run_after(DAY, &world, 0, 0).await.unwrap();
        assert!(said.contains("deliveries") && said.contains("malformed"), "{said}");
    }
    assert_eq!(run_after(DAY, &world, 0, 20).await, None, "it is over");
    assert_eq!(run_after(QUARTER_OF_AN_HOUR, &world, 0, 0).await, None);
    assert_eq!(run_after(QUARTER_OF_AN_HOUR, &world, 1, 0).await, None, "one of twenty-one");
}

#[tokio::test]
async fn a_run_of_many_is_judged_by_itself() {
    let world = world().await;
    assert!(run_after(DAY, &world, 20, 10).await.is_some());
    assert!(run_after(QUARTER_OF_AN_HOUR, &world, 0, 2).await.is_some());
    assert_eq!(run_after(QUARTER_OF_AN_HOUR, &world, 0, 20).await, None);
}

#[tokio::test]
async fn one_item_a_day_that_fails_is_told_of_too() {
    let world = world().await;
    let mut said = Vec::new();
    for (malformed, good) in [(1, 0), (1, 0), (1, 0), (1, 0), (0, 1), (0, 1), (0, 1), (1, 0)] {
        said.push(run_after(DAY, &world, malformed, good).await.is_some());
    }
    assert_eq!(said, [false, false, true, true, true, true, false, false]);
}
