//! The ledger against a model of it in memory: whatever is done in whatever order, both tell the same.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use whatsapp_archiver::ledger::{
    DeliveryState, ItemNo, Lease, Ledger, LedgerError, NewDelivery, Outcome, Prepared, QueueOf, Target,
};

use super::{
    Database, at, begin, claim, copy, holder, identity, is_free_for, key, mailbox, new_item, page, prepared, run_id,
    sender,
};
use DeliveryState::{Failed, Imported, Pending, Ready, Sending, SkippedDuplicate, Unknown};

const MAILBOXES: usize = 3;
const IDENTITIES: usize = 3;
const RUNS: usize = 3;

/// Something that is done to a ledger. Numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Step {
    Page {
        run: usize,
        items: Vec<usize>,
    },
    Prepare {
        run: usize,
        item: usize,
        identity: usize,
        to: Vec<usize>,
        state: DeliveryState,
        own: Option<DeliveryState>,
    },
    Intend {
        run: usize,
        to: usize,
        items: Vec<usize>,
    },
    Settle {
        run: usize,
        outcomes: Vec<(usize, usize, DeliveryState)>,
    },
    Adopt {
        run: usize,
        to: Vec<usize>,
        settle_at: i64,
    },
    LeavePending {
        run: usize,
    },
    GiveUp {
        run: usize,
        before: i64,
    },
    Promote {
        to: usize,
        identity: usize,
    },
    Lease {
        by: usize,
        to: usize,
        seconds: i64,
    },
    Renew {
        by: usize,
        expected: usize,
    },
    Release {
        by: usize,
    },
    Claim {
        by: usize,
        limit: u32,
    },
    Pass {
        seconds: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let state = || prop::sample::select(vec![Ready, Unknown]);
    let settled = || prop::sample::select(vec![Ready, Unknown, Pending, Imported, SkippedDuplicate, Failed]);
    let (run, some, to) = (0..RUNS, || vec(0..40_usize, 1..6), || vec(0..MAILBOXES, 1..4));
    prop_oneof![
        3 => (run.clone(), vec(0..30_usize, 0..6)).prop_map(|(run, items)| Step::Page { run, items }),
        6 => (run.clone(), 0..40_usize, 0..IDENTITIES, to(), state(), prop::option::of(prop::sample::select(vec![Failed, Pending])))
            .prop_map(|(run, item, identity, to, state, own)| Step::Prepare { run, item, identity, to, state, own }),
        2 => (run.clone(), 0..MAILBOXES, some()).prop_map(|(run, to, items)| Step::Intend { run, to, items }),
        4 => (run.clone(), vec((0..40_usize, 0..MAILBOXES, settled()), 1..6)).prop_map(|(run, outcomes)| Step::Settle { run, outcomes }),
        3 => (run.clone(), to(), 0..500_i64).prop_map(|(run, to, settle_at)| Step::Adopt { run, to, settle_at }),
        1 => run.clone().prop_map(|run| Step::LeavePending { run }),
        1 => (run.clone(), 0..200_i64).prop_map(|(run, before)| Step::GiveUp { run, before }),
        2 => (0..MAILBOXES, 0..IDENTITIES).prop_map(|(to, identity)| Step::Promote { to, identity }),
        3 => (0..RUNS, 0..MAILBOXES, 1..100_i64).prop_map(|(by, to, seconds)| Step::Lease { by, to, seconds }),
        1 => (0..RUNS, 0..4_usize).prop_map(|(by, expected)| Step::Renew { by, expected }),
        1 => (0..RUNS).prop_map(|by| Step::Release { by }),
        2 => (0..RUNS, 1..5_u32).prop_map(|(by, limit)| Step::Claim { by, limit }),
        2 => (1..80_i64).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    run: usize,
    state: DeliveryState,
    created: i64,
    attempts: u32,
    settle_at: Option<i64>,
    /// It failed because it was given up.
    given_up: bool,
    /// The identity of its message, for a copy, and whether it is the first.
    of: Option<(usize, bool)>,
    /// The mailbox, for a copy.
    to: Option<usize>,
}

#[derive(Debug)]
struct Item {
    no: ItemNo,
    run: usize,
    is_prepared: bool,
    claim: Option<(usize, i64)>,
    rows: BTreeMap<String, Row>,
}

#[derive(Debug, Default)]
struct Model {
    now: i64,
    known: BTreeSet<usize>,
    items: Vec<Item>,
    leases: BTreeMap<usize, (usize, i64)>,
}

fn target(to: usize) -> String {
    Target::Mailbox(mailbox(to).id).name()
}

impl Model {
    fn rows(&self) -> impl Iterator<Item = (&Item, &Row)> {
        self.items.iter().flat_map(|item| item.rows.values().map(move |row| (item, row)))
    }

    fn rows_mut(&mut self) -> impl Iterator<Item = &mut Row> {
        self.items.iter_mut().flat_map(|item| item.rows.values_mut())
    }

    fn has_first(&self, to: usize, of: usize) -> bool {
        self.rows().any(|(_, row)| row.to == Some(to) && row.of == Some((of, true)))
    }

    /// The places of these items, each once.
    fn places(&self, items: &[usize]) -> BTreeSet<usize> {
        items.iter().filter(|_| !self.items.is_empty()).map(|item| item % self.items.len()).collect()
    }
}

pub(super) fn it_does_what_a_simple_model_does(database: &dyn Fn() -> Database) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cases = Config::default().cases.min(16).max(Config::default().cases / 16);
    let mut runner = TestRunner::new_with_rng(
        Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() },
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let tested = runner.run(&vec(step(), 1..60), |steps| {
        runtime.block_on(async {
            let database = database();
            let ledger = database.open().await;
            for run in 0..RUNS {
                begin(&ledger, run).await;
            }
            let mut model = Model::default();
            for step in &steps {
                take(&ledger, &mut model, step).await;
                compare(&ledger, &model, step).await;
            }
            ledger.close().await;
        });
        Ok(())
    });
    if let Err(error) = tested {
        panic!("{error}");
    }
}

/// Takes a step in both.
async fn take(ledger: &Ledger, model: &mut Model, step: &Step) {
    match step {
        Step::Page { run, items } => take_page(ledger, model, *run, items).await,
        Step::Prepare { run, item, identity, to, state, own } => {
            prepare(ledger, model, *run, *item, *identity, to, *state, *own).await;
        }
        Step::Intend { run, to, items } => intend(ledger, model, *run, *to, items).await,
        Step::Settle { run, outcomes } => settle(ledger, model, *run, outcomes).await,
        Step::Adopt { run, to, settle_at } => {
            let boxes: Vec<_> = to.iter().map(|to| mailbox(*to).id).collect();
            ledger.adopt_deliveries(&run_id(*run), &boxes, None, at(0), at(*settle_at)).await.unwrap();
            let ours = |row: &&mut Row| row.run != *run && row.to.is_some_and(|other| to.contains(&other));
            for row in model.rows_mut().filter(ours).filter(|row| !row.state.has_outcome()) {
                row.run = *run;
                match row.state {
                    Sending => (row.state, row.settle_at) = (Unknown, Some(*settle_at)),
                    Pending => row.state = Ready,
                    _ => {}
                }
            }
        }
        Step::LeavePending { run } => {
            ledger.leave_pending(&run_id(*run)).await.unwrap();
            model.rows_mut().filter(|row| row.run == *run && row.state == Ready).for_each(|row| row.state = Pending);
        }
        Step::GiveUp { run, before } => {
            let failed = ledger.give_up(&run_id(*run), at(*before)).await.unwrap();
            let mut count = 0;
            let is_open = |row: &Row| matches!(row.state, Pending | Unknown) && row.to.is_some();
            let late = |row: &&mut Row| row.run == *run && is_open(row) && row.created < *before;
            for row in model.rows_mut().filter(late) {
                (row.state, row.given_up) = (Failed, true);
                count += 1;
            }
            assert_eq!(failed, count);
        }
        Step::Promote { to, identity: of } => promote(ledger, model, *to, *of).await,
        Step::Lease { by, to, seconds } => {
            let until = model.now + seconds;
            let wanted = [Lease::Mailbox(mailbox(*to).id)];
            let ours = ledger.lease(&holder(*by), &wanted, at(model.now), at(until)).await.unwrap();
            let is_free = model.leases.get(to).is_none_or(|(other, end)| other == by || *end <= model.now);
            if is_free {
                model.leases.insert(*to, (*by, until));
            }
            assert_eq!(ours, [is_free]);
        }
        Step::Renew { by, expected } => {
            let until = model.now + 60;
            let renewed = ledger.renew_leases(&holder(*by), *expected as u64, at(until)).await;
            let is_lost = model.leases.values().filter(|(other, _)| other == by).count() < *expected;
            assert_eq!(renewed.is_err(), is_lost);
            if is_lost {
                return;
            }
            for (_, end) in model.leases.values_mut().filter(|(other, _)| other == by) {
                *end = until;
            }
            for item in model.items.iter_mut().filter(|item| !item.is_prepared) {
                item.claim = item.claim.map(|(other, end)| (other, if other == *by { until } else { end }));
            }
        }
        Step::Release { by } => {
            ledger.release_leases(&holder(*by)).await.unwrap();
            model.leases.retain(|_, (other, _)| other != by);
            model.items.iter_mut().for_each(|item| item.claim = item.claim.filter(|(other, _)| other != by));
        }
        Step::Claim { by, limit } => {
            let (now, until) = (model.now, model.now + 60);
            let claimed = ledger.claim_items(&holder(*by), &run_id(*by), at(now), at(until), *limit).await.unwrap();
            let free = |item: &&mut Item| !item.is_prepared && item.claim.is_none_or(|(_, end)| end <= now);
            let mut expected = Vec::new();
            for item in model.items.iter_mut().filter(free).take(*limit as usize) {
                item.claim = Some((*by, until));
                expected.push(item.no);
            }
            assert_eq!(claimed.iter().map(|item| item.no).collect::<Vec<_>>(), expected);
        }
        Step::Pass { seconds } => model.now += seconds,
    }
}

async fn take_page(ledger: &Ledger, model: &mut Model, run: usize, items: &[usize]) {
    let keys: Vec<_> = items.iter().map(|item| key(*item)).collect();
    let known = ledger.known(&keys).await.unwrap();
    let mut new = Vec::new();
    for item in items {
        assert_eq!(known.contains(&key(*item)), model.known.contains(item) && !new.contains(item));
        if !model.known.contains(item) && !new.contains(item) {
            new.push(*item);
        }
    }
    let records: Vec<_> = new.iter().map(|item| new_item(*item)).collect();
    let until = model.now + 60;
    let numbers = page(ledger, run, &records, at(until)).await;
    assert_eq!(numbers.len(), new.len());
    for no in numbers {
        assert!(model.items.iter().all(|item| item.no < no), "numbers ascend");
        model.items.push(Item { no, run, is_prepared: false, claim: Some((run, until)), rows: BTreeMap::new() });
    }
    model.known.extend(new);
}

#[expect(clippy::too_many_arguments, reason = "the fields of one step")]
async fn prepare(
    ledger: &Ledger,
    model: &mut Model,
    run: usize,
    item: usize,
    of: usize,
    to: &[usize],
    state: DeliveryState,
    own: Option<DeliveryState>,
) {
    if model.items.is_empty() {
        return;
    }
    let place = item % model.items.len();
    let to: BTreeSet<usize> = to.iter().copied().collect();
    let mut rows: Vec<NewDelivery> = to.iter().map(|to| copy(*to, of, state)).collect();
    if let Some(state) = own {
        rows.push(NewDelivery { target: Target::Item, mailbox: None, identities: None, ..copy(0, 0, state) });
    }
    let replaced = vec![Target::Item];
    let record = Prepared { replaced, ..prepared(model.items[place].no, rows) };
    let first = ledger.record_prepared(&run_id(run), at(model.now), &[record]).await.unwrap();

    let now = model.now;
    let mut expected = BTreeSet::new();
    model.items[place].rows.remove(&Target::Item.name());
    for to in to {
        if model.items[place].rows.contains_key(&target(to)) {
            continue;
        }
        let is_first = !model.has_first(to, of);
        let state = if is_first { state } else { Ready };
        let row = Row {
            run,
            state,
            created: now,
            attempts: 0,
            settle_at: None,
            given_up: false,
            of: Some((of, is_first)),
            to: Some(to),
        };
        model.items[place].rows.insert(target(to), row);
        if is_first {
            expected.insert((model.items[place].no, target(to)));
        }
    }
    if let Some(state) = own {
        let row = Row { run, state, created: now, attempts: 0, settle_at: None, given_up: false, of: None, to: None };
        model.items[place].rows.insert(Target::Item.name(), row);
        expected.insert((model.items[place].no, Target::Item.name()));
    }
    let item = &mut model.items[place];
    (item.is_prepared, item.claim) = (true, None);
    let first: BTreeSet<_> = first.into_iter().map(|(no, target)| (no, target.name())).collect();
    assert_eq!(first, expected);
}

async fn intend(ledger: &Ledger, model: &mut Model, run: usize, to: usize, items: &[usize]) {
    let places = model.places(items);
    let sent: Vec<_> = places.iter().map(|place| model.items[*place].no).collect();
    let intended = ledger.record(&sender(run), &[], &[claim(to, &sent)]).await;
    let may = |row: &Row| row.run == run && matches!(row.state, Ready | Unknown);
    let all = places.iter().all(|place| model.items[*place].rows.get(&target(to)).is_some_and(may));
    if all {
        intended.unwrap();
        for place in places {
            model.items[place].rows.get_mut(&target(to)).unwrap().state = Sending;
        }
    } else {
        assert!(matches!(intended, Err(LedgerError::LeaseLost(_))), "all of them, or none");
    }
}

async fn settle(ledger: &Ledger, model: &mut Model, run: usize, outcomes: &[(usize, usize, DeliveryState)]) {
    let mut reported = BTreeMap::new();
    for (item, to, state) in outcomes {
        if !model.items.is_empty() {
            reported.insert((item % model.items.len(), *to), *state);
        }
    }
    let settle_at = |state| (state == Unknown).then_some(model.now + 120);
    let records: Vec<Outcome> = reported
        .iter()
        .map(|((place, to), state)| Outcome {
            no: model.items[*place].no,
            mailbox: mailbox(*to).id,
            state: *state,
            reason: None,
            detail: None,
            attempts: 1,
            settle_at: settle_at(*state).map(at),
            remote_id: None,
            found_as: None,
            bytes: 0,
        })
        .collect();
    ledger.record(&sender(run), &records, &[]).await.unwrap();
    let settled: Vec<_> = reported.into_iter().map(|(at, state)| (at, state, settle_at(state))).collect();
    for ((place, to), state, settle_at) in settled {
        if let Some(row) =
            model.items[place].rows.get_mut(&target(to)).filter(|row| row.run == run && !row.state.has_outcome())
        {
            (row.state, row.attempts, row.settle_at, row.given_up) = (state, row.attempts + 1, settle_at, false);
        }
    }
}

/// Promotes a duplicate, as is done where the first copy has failed.
async fn promote(ledger: &Ledger, model: &mut Model, to: usize, of: usize) {
    let is = |row: &Row, first| row.to == Some(to) && row.of == Some((of, first));
    let failed = model.rows().all(|(_, row)| !is(row, true) || row.state == Failed);
    let Some(next) = model.rows().find(|(_, row)| is(row, false)).map(|(item, _)| item.no) else { return };
    if !failed {
        return;
    }
    let may_be_there = model.rows().any(|(_, row)| is(row, true) && row.given_up);
    ledger.promote(&mailbox(to).id, identity(of), next).await.unwrap();
    for item in &mut model.items {
        if let Some(row) = item.rows.get_mut(&target(to)).filter(|row| row.of.is_some_and(|(other, _)| other == of)) {
            row.of = Some((of, item.no == next));
            if item.no == next && may_be_there && row.state == Ready {
                row.state = Unknown;
            }
        }
    }
}

/// Whatever can be asked is answered alike.
async fn compare(ledger: &Ledger, model: &Model, after: &Step) {
    let numbers: Vec<ItemNo> = model.items.iter().map(|item| item.no).collect();
    let rows = ledger.rows_of(&numbers).await.unwrap();
    let found: Vec<_> = rows.iter().map(|row| (row.no, row.target.name(), row.state, row.created)).collect();
    let expected: Vec<_> = model
        .items
        .iter()
        .flat_map(|item| item.rows.iter().map(|(target, row)| (item.no, target.clone(), row.state, at(row.created))))
        .collect();
    assert_eq!(found, expected, "after {after:?}");

    for run in 0..RUNS {
        let account = ledger.account(&run_id(run)).await.unwrap();
        for state in DeliveryState::ALL {
            let count = model.rows().filter(|(_, row)| row.run == run && row.state == state).count() as u64;
            assert_eq!(account.of(state), count, "run {run}, {state:?}, after {after:?}");
        }
        let carried = model.rows().filter(|(item, row)| row.run == run && item.run != run).count() as u64;
        assert_eq!(account.carried_over, carried, "run {run}, after {after:?}");
        for to in 0..MAILBOXES {
            for (of, state, first) in
                [(QueueOf::Ready, Ready, true), (QueueOf::Unknown, Unknown, true), (QueueOf::Duplicates, Ready, false)]
            {
                let queue = ledger.queue(&run_id(run), &mailbox(to).id, of, ItemNo(0), 100).await.unwrap();
                let found: Vec<_> = queue.iter().map(|row| (row.no, row.attempts, row.settle_at)).collect();
                let is_in = |row: &Row| {
                    (row.run, row.state, row.to) == (run, state, Some(to)) && row.of.is_some_and(|(_, is)| is == first)
                };
                let expected: Vec<_> = model
                    .rows()
                    .filter(|(_, row)| is_in(row))
                    .map(|(item, row)| (item.no, row.attempts, row.settle_at.map(at)))
                    .collect();
                assert_eq!(found, expected, "{of:?} of mailbox {to} in run {run}, after {after:?}");
            }
        }
    }
    for to in 0..MAILBOXES {
        let identities: Vec<_> = (0..IDENTITIES).map(identity).collect();
        let mut found = ledger.first_copies(&mailbox(to).id, &identities).await.unwrap();
        found.sort_by_key(|(identity, _)| *identity);
        let is_first = |row: &&Row| row.to == Some(to) && row.of.is_some_and(|(_, first)| first);
        let firsts = model.rows().map(|(_, row)| row).filter(is_first);
        let mut expected: Vec<_> = firsts.map(|row| (identity(row.of.unwrap().0), row.state)).collect();
        expected.sort_by_key(|(identity, _)| *identity);
        assert_eq!(found, expected, "first copies in mailbox {to}, after {after:?}");
        let lease = model.leases.get(&to);
        let end = lease.map_or(model.now, |(_, end)| *end);
        for (by, when) in (0..RUNS).flat_map(|by| [model.now, end - 1, end].map(|when| (by, when))) {
            let expected = lease.is_none_or(|(other, end)| *other == by || *end <= when);
            assert_eq!(
                is_free_for(ledger, by, to, at(when)).await,
                expected,
                "mailbox {to} at {when}, after {after:?}"
            );
        }
    }
    let open = ledger.open_counts().await.unwrap();
    let pending = || model.rows().filter(|(_, row)| !row.state.has_outcome());
    assert_eq!(open.pending, pending().count() as u64);
    assert_eq!(open.oldest_pending, pending().map(|(_, row)| at(row.created)).min());
    let held = model.items.iter().filter(|item| item.rows.values().any(|row| row.state == Failed)).count();
    assert_eq!(open.held, held as u64);
}
