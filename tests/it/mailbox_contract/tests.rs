//! The clauses of the contract, one function each.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::join_all;
use whatsapp_archiver::convert::Message;
use whatsapp_archiver::identity::MessageId;
use whatsapp_archiver::mailbox::{ImportError, SendPermit, Verdict};
use whatsapp_archiver::resolution::Mailbox;

use super::sample::one_of_each;
use super::{Harness, Trouble, assert_archived, import_all, import_one, large_message, manifest, message, messages};

pub(crate) async fn a_message_arrives_unaltered_in_a_folder_that_is_made(harness: &dyn Harness) {
    let mailbox = harness.make_mailbox("ana").await;
    assert!(harness.archived(&mailbox).await.is_empty());
    let remote = import_one(harness, &mailbox, &message(1)).await.unwrap();
    assert!(!remote.0.is_empty());
    assert_archived(harness, &mailbox, &[message(1)]).await;

    let other = import_one(harness, &mailbox, &message(2)).await.unwrap();
    assert_ne!(remote, other);
    assert_archived(harness, &mailbox, &messages(2)).await;
}

pub(crate) async fn every_kind_of_message_is_read_back_as_it_was_sent(harness: &dyn Harness) {
    let mailbox = harness.make_mailbox("ana").await;
    let each = one_of_each();
    import_all(harness, &mailbox, &each).await;
    assert_archived(harness, &mailbox, &each).await;
    let manifests: Vec<_> = each.iter().map(|message| manifest(message)).collect();
    let verdicts = harness.destination().verify(&mailbox, &manifests).await.unwrap();
    assert_eq!(verdicts, vec![Verdict::Intact; each.len()]);
}

pub(crate) async fn several_messages_have_a_result_each_in_order(harness: &dyn Harness) {
    let mailbox = harness.make_mailbox("ana").await;
    let sent = messages(12);
    import_all(harness, &mailbox, &sent).await;
    assert_archived(harness, &mailbox, &sent).await;
    let manifests: Vec<_> = sent.iter().rev().map(|message| manifest(message)).collect();
    let verdicts = harness.destination().verify(&mailbox, &manifests).await.unwrap();
    assert_eq!(verdicts, vec![Verdict::Intact; sent.len()]);
    assert!(harness.destination().import(&mailbox, &[], &SendPermit::always()).await.is_empty());
}

pub(crate) async fn the_largest_message_arrives(harness: &dyn Harness) {
    let mailbox = harness.make_mailbox("ana").await;
    let large = large_message();
    import_all(harness, &mailbox, &[Arc::clone(&large), message(1)]).await;
    assert_archived(harness, &mailbox, &[Arc::clone(&large), message(1)]).await;
    let verdicts = harness.destination().verify(&mailbox, &[manifest(&large)]).await.unwrap();
    assert_eq!(verdicts, [Verdict::Intact]);
}

pub(crate) async fn a_folder_that_was_deleted_is_made_again(harness: &dyn Harness) {
    let mailbox = harness.make_mailbox("ana").await;
    import_all(harness, &mailbox, &messages(2)).await;
    harness.delete_folder(&mailbox).await;
    assert!(harness.archived(&mailbox).await.is_empty());
    assert_eq!(harness.destination().inventory(&mailbox).await.unwrap(), []);
    import_all(harness, &mailbox, &[message(3), message(4)]).await;
    assert_archived(harness, &mailbox, &[message(3), message(4)]).await;
}

pub(crate) async fn mailboxes_do_not_see_each_other(harness: &dyn Harness) {
    let ana = harness.make_mailbox("ana").await;
    let bo = harness.make_mailbox("bo").await;
    import_all(harness, &ana, &[message(1), message(2)]).await;
    import_all(harness, &bo, &[message(2)]).await;
    assert_archived(harness, &ana, &messages(2)).await;
    assert_archived(harness, &bo, &[message(2)]).await;
    assert_eq!(harness.destination().recover(&bo, &message(1), &SendPermit::always()).await.unwrap(), None);
    assert_eq!(harness.destination().verify(&bo, &[manifest(&message(1))]).await.unwrap(), [Verdict::Missing]);
}

pub(crate) async fn many_mailboxes_at_once(harness: &dyn Harness) {
    let names = ["ana", "bo", "cy", "di", "ed", "flo"];
    let mailboxes: Vec<Mailbox> = join_all(names.map(|name| harness.make_mailbox(name))).await;
    let sent = messages(5);
    join_all(mailboxes.iter().map(|mailbox| import_all(harness, mailbox, &sent))).await;
    for mailbox in &mailboxes {
        assert_archived(harness, mailbox, &sent).await;
    }
}

pub(crate) async fn nothing_is_found_where_nothing_was_sent(harness: &dyn Harness) {
    let mailbox = harness.make_mailbox("ana").await;
    let destination = harness.destination();
    assert_eq!(destination.recover(&mailbox, &message(1), &SendPermit::always()).await.unwrap(), None);
    assert_eq!(destination.inventory(&mailbox).await.unwrap(), []);
    assert_eq!(destination.verify(&mailbox, &[manifest(&message(1))]).await.unwrap(), [Verdict::Missing]);
    assert_eq!(destination.verify(&mailbox, &[]).await.unwrap(), []);
    assert_eq!(destination.count(&mailbox, &[message(1).mail.message_id.clone()]).await.unwrap(), [0]);
    assert_eq!(destination.count(&mailbox, &[]).await.unwrap(), [0; 0]);
    assert!(harness.archived(&mailbox).await.is_empty());
}

pub(crate) async fn what_arrived_is_found_wherever_it_was_moved(harness: &dyn Harness) {
    let mailbox = harness.make_mailbox("ana").await;
    let sent = messages(3);
    import_all(harness, &mailbox, &sent).await;
    harness.move_elsewhere(&mailbox, &sent[1].mail.message_id).await;
    assert_archived(harness, &mailbox, &[message(1), message(3)]).await;

    let destination = harness.destination();
    assert!(destination.recover(&mailbox, &sent[0], &SendPermit::always()).await.unwrap().is_some());
    assert!(
        destination.recover(&mailbox, &sent[1], &SendPermit::always()).await.unwrap().is_some(),
        "people move messages"
    );
    let manifests: Vec<_> = sent.iter().map(|message| manifest(message)).collect();
    assert_eq!(destination.verify(&mailbox, &manifests).await.unwrap(), vec![Verdict::Intact; 3]);
    let sought: Vec<MessageId> = manifests.into_iter().map(|manifest| manifest.message_id).collect();
    assert_eq!(destination.count(&mailbox, &sought).await.unwrap(), [1; 3]);
    assert_eq!(sorted_inventory(harness, &mailbox).await, ids(&[&sent[0], &sent[2]]));
    assert_archived(harness, &mailbox, &[message(1), message(3)]).await;
}

pub(crate) async fn a_lost_answer_ends_in_one_copy(harness: &dyn Harness) {
    let mailbox = harness.make_mailbox("ana").await;
    import_all(harness, &mailbox, &[message(1)]).await;
    let sent = message(2);
    let lost = harness.trouble(&mailbox, Trouble::AnswerLost).await;
    let result = import_one(harness, &mailbox, &sent).await;
    if lost {
        assert!(matches!(result, Err(ImportError::OutcomeUnknown(_))), "{result:?}");
        harness.heal(&mailbox).await;
    } else {
        result.unwrap();
    }
    let destination = harness.destination();
    let found = destination.recover(&mailbox, &sent, &SendPermit::always()).await.unwrap();
    assert!(found.is_some());
    assert_eq!(
        destination.recover(&mailbox, &sent, &SendPermit::always()).await.unwrap(),
        found,
        "looking again changes nothing"
    );
    assert_archived(harness, &mailbox, &messages(2)).await;
}

pub(crate) async fn a_lost_attempt_ends_in_one_copy(harness: &dyn Harness) {
    let mailbox = harness.make_mailbox("ana").await;
    import_all(harness, &mailbox, &[message(1)]).await;
    let sent = message(2);
    if harness.trouble(&mailbox, Trouble::AttemptLost).await {
        let result = import_one(harness, &mailbox, &sent).await;
        assert!(matches!(result, Err(ImportError::OutcomeUnknown(_))), "{result:?}");
        harness.heal(&mailbox).await;
    }
    let destination = harness.destination();
    assert_eq!(destination.recover(&mailbox, &sent, &SendPermit::always()).await.unwrap(), None);
    assert_archived(harness, &mailbox, &[message(1)]).await;
    import_one(harness, &mailbox, &sent).await.unwrap();
    assert!(destination.recover(&mailbox, &sent, &SendPermit::always()).await.unwrap().is_some());
    assert_archived(harness, &mailbox, &messages(2)).await;
}

pub(crate) async fn what_is_there_is_never_called_absent(harness: &dyn Harness) {
    let mailbox = harness.make_mailbox("ana").await;
    let all = messages(40);
    let (sent, unsent) = all.split_at(30);
    let ids: Vec<_> = all.iter().map(|message| message.mail.message_id.clone()).collect();
    let destination = harness.destination();
    let are_absent = |absent: &HashSet<MessageId>, some: &[Arc<Message>]| {
        some.iter().filter(|message| absent.contains(&message.mail.message_id)).count()
    };
    // A destination may know of none; where it knows, it knows of all.
    let before = destination.absent(&mailbox, &ids).await.unwrap();
    assert!([0, all.len()].contains(&are_absent(&before, &all)), "{before:?}");
    import_all(harness, &mailbox, sent).await;
    harness.move_elsewhere(&mailbox, &sent[3].mail.message_id).await;
    let after = destination.absent(&mailbox, &ids).await.unwrap();
    assert_eq!(are_absent(&after, sent), 0, "{after:?}");
    assert_eq!(are_absent(&after, unsent), if before.is_empty() { 0 } else { unsent.len() });
    assert!(destination.absent(&mailbox, &[]).await.unwrap().is_empty());
}

pub(crate) async fn what_is_not_permitted_is_certainly_not_sent(harness: &dyn Harness) {
    let mailbox = harness.make_mailbox("ana").await;
    import_all(harness, &mailbox, &[message(1)]).await;
    // The permit ends in the middle of the batch: what came before that is there, and nothing else.
    for asked in [0_u32, 1, 3] {
        let left = AtomicU32::new(asked);
        let permit = SendPermit::new(move || {
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
        });
        let sent: Vec<_> = (0..6).map(|n| message(10 * asked + n + 2)).collect();
        let results = harness.destination().import(&mailbox, &sent, &permit).await;
        assert_eq!(results.len(), sent.len());
        assert!(asked > 0 || results.iter().all(Result::is_err), "{results:?}");
        for (message, result) in sent.iter().zip(results) {
            let found = harness.destination().recover(&mailbox, message, &SendPermit::always()).await.unwrap();
            match result {
                Ok(_) => assert!(found.is_some()),
                Err(ImportError::Unavailable(_)) => assert_eq!(found, None),
                other => panic!("{other:?}"),
            }
        }
    }
}

pub(crate) async fn a_refusal_is_certain_and_leaves_nothing(harness: &dyn Harness) {
    let mailbox = harness.make_mailbox("ana").await;
    for trouble in [Trouble::Throttled, Trouble::Unavailable, Trouble::Forbidden] {
        if !harness.trouble(&mailbox, trouble).await {
            continue;
        }
        let results = harness.destination().import(&mailbox, &messages(2), &SendPermit::always()).await;
        assert_eq!(results.len(), 2);
        for result in results {
            let as_it_should = match (trouble, &result) {
                (Trouble::Throttled, Err(ImportError::Throttled { .. }))
                | (Trouble::Unavailable, Err(ImportError::Unavailable(_)))
                | (Trouble::Forbidden, Err(ImportError::Forbidden(_))) => true,
                // What follows a refusal may be left unsent, which is as certain.
                (_, result) => matches!(result, Err(ImportError::Unavailable(_))),
            };
            assert!(as_it_should, "{trouble:?} gave {result:?}");
        }
        harness.heal(&mailbox).await;
        assert!(harness.archived(&mailbox).await.is_empty(), "{trouble:?} left something behind");
    }
    import_all(harness, &mailbox, &messages(2)).await;
    assert_archived(harness, &mailbox, &messages(2)).await;
}

pub(crate) async fn verify_reports_what_became_of_each_message(harness: &dyn Harness) {
    let mailbox = harness.make_mailbox("ana").await;
    let mut sent = messages(4);
    sent.extend(one_of_each().into_iter().filter(|message| !message.mail.attachments.is_empty()));
    import_all(harness, &mailbox, &sent).await;
    let [_intact, doubled, removed, altered, with_files] = sent.as_slice() else { panic!("five messages") };
    harness.double(&mailbox, &doubled.mail.message_id).await;
    harness.remove(&mailbox, &removed.mail.message_id).await;
    harness.alter(&mailbox, &altered.mail.message_id).await;
    harness.alter(&mailbox, &with_files.mail.message_id).await;

    let manifests: Vec<_> = sent.iter().map(|message| manifest(message)).collect();
    let verdicts = harness.destination().verify(&mailbox, &manifests).await.unwrap();
    assert!(
        matches!(
            verdicts.as_slice(),
            [
                Verdict::Intact,
                Verdict::Doubled { copies: 2 },
                Verdict::Missing,
                Verdict::Altered { .. },
                Verdict::Altered { .. }
            ]
        ),
        "{verdicts:?}"
    );
    let sought: Vec<MessageId> = manifests.into_iter().map(|manifest| manifest.message_id).collect();
    assert_eq!(harness.destination().count(&mailbox, &sought).await.unwrap(), [1, 2, 0, 1, 1], "altered or not");
}

pub(crate) async fn inventory_counts_each_copy_of_ours(harness: &dyn Harness) {
    let mailbox = harness.make_mailbox("ana").await;
    let sent = messages(3);
    import_all(harness, &mailbox, &sent).await;
    harness.double(&mailbox, &sent[1].mail.message_id).await;
    harness.remove(&mailbox, &sent[2].mail.message_id).await;
    harness.add_foreign(&mailbox).await;
    assert_eq!(sorted_inventory(harness, &mailbox).await, ids(&[&sent[0], &sent[1], &sent[1]]));
}

async fn sorted_inventory(harness: &dyn Harness, mailbox: &Mailbox) -> Vec<String> {
    let inventory = harness.destination().inventory(mailbox).await.unwrap();
    let mut inventory: Vec<String> = inventory.iter().map(|id| id.as_str().to_owned()).collect();
    inventory.sort();
    inventory
}

fn ids(messages: &[&Arc<Message>]) -> Vec<String> {
    let mut ids: Vec<String> = messages.iter().map(|message| message.mail.message_id.as_str().to_owned()).collect();
    ids.sort();
    ids
}
