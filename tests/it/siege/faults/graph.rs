//! Microsoft Graph: sign-in, users, folders, messages by both ways, look-ups, and files in pieces.

use crate::servers::graph::{Act, Fault, GraphServer, RetryAfter, World};
use crate::siege::indoors::{self, Indoors};
use crate::siege::mailboxes::Town;
use crate::siege::site::Staged;

/// More tries than a run makes.
const MANY: usize = 8;
const FOLDER: &str = "WhatsApp Archiver";

async fn indoors(method: &'static str, largest_file: usize) -> Indoors {
    let clock = indoors::clock();
    let server = GraphServer::start_at(std::sync::Arc::<whatsapp_archiver::clock::ManualClock>::clone(&clock));
    // What is new shows up in look-ups after a while, as in Exchange Online.
    server.with(|world| world.settle = chrono::TimeDelta::seconds(20));
    let census = indoors::Census { largest_file, ..indoors::census(12, "g", 7) };
    Indoors::new(&census, Town::graph(server, method), Staged::Locally, clock).await
}

/// A fault at requests of this method and path, so often.
async fn fault_at(way: &'static str, request: (&'static str, &str), act: &Act, times: usize) {
    let indoors = indoors(way, 4_000).await;
    let what = format!("{way}: {times} times {act:?} at {request:?}");
    indoors.site.town.tenant().fail(Fault::once(request.0, request.1, act.clone()).times(times));
    indoors.finish(&what).await;
    assert_eq!(indoors.site.town.tenant().faults_unmet(), 0, "{what}: it was met");
}

/// What comes instead of an effect.
fn refusals() -> Vec<Act> {
    let with_pause = |retry_after| Act::Reply { status: 503, code: "serviceNotAvailable", retry_after };
    vec![
        Act::throttle(RetryAfter::Seconds(7)),
        Act::throttle(RetryAfter::Date(70)),
        Act::throttle(RetryAfter::None),
        with_pause(RetryAfter::None),
        with_pause(RetryAfter::Seconds(5)),
        Act::reply(500, "generalException"),
        Act::reply(502, ""),
        Act::reply(504, ""),
        Act::reply(401, "InvalidAuthenticationToken"),
        Act::reply(403, "ErrorAccessDenied"),
        Act::reply(404, "MailboxNotEnabledForRESTAPI"),
        Act::reply(400, "NobodyKnowsThis"),
        Act::Drop,
    ]
}

/// An effect whose answer is lost in one way or another.
fn lost_answers() -> Vec<Act> {
    let after = |act| Act::CommitThen(Box::new(act));
    vec![
        after(Act::Drop),
        after(Act::reply(503, "serviceNotAvailable")),
        after(Act::reply(504, "")),
        Act::Alter(|reply| *reply = serde_json::json!([1])),
        Act::Alter(|reply| *reply = serde_json::json!({})),
    ]
}

/// Each fault of a message, once and many times in turn, beginning with `first`.
async fn messages_fail(way: &'static str, path: &str, first: usize) {
    let full = Act::reply(507, "ErrorQuotaExceeded");
    let folder_gone = Act::reply(404, "ErrorItemNotFound");
    let acts = refusals().into_iter().chain(lost_answers()).chain([full, folder_gone]);
    for (number, act) in (first..).zip(acts) {
        fault_at(way, ("POST", path), &act, if number % 2 == 0 { 1 } else { MANY }).await;
    }
}

#[tokio::test]
async fn creating_messages_fails() {
    messages_fail("create-message", "/messages", 0).await;
}

#[tokio::test]
async fn importing_mime_fails() {
    messages_fail("import-mime", "/importMime", 1).await;
}

#[tokio::test]
#[ignore = "the other half of the faults: tests/long.sh"]
async fn the_other_half() {
    messages_fail("create-message", "/messages", 1).await;
    messages_fail("import-mime", "/importMime", 0).await;
}

/// A mailbox whose server never answers again: the run ends all the same, and the others get theirs.
#[tokio::test]
async fn a_mailbox_without_any_answer_keeps_no_run_from_its_end() {
    let indoors = indoors("create-message", 4_000).await;
    let tenant = indoors.site.town.tenant();
    let silent = tenant.with(|world| world.users[0].id.clone());
    tenant.fail(Fault::always(format!("{silent}/mailFolders/"), Act::Drop).of("POST"));
    let report = indoors.run().await.report;
    assert_eq!(report.status.name(), "incomplete");
    assert!(report.deliveries.pending > 0 && report.deliveries.imported > 0, "{:?}", report.deliveries);
    tenant.heal();
    indoors.finish("a mailbox gave no answers").await;
}

#[tokio::test]
async fn folders_fail() {
    // Said of the inbox, it certifies that there is no mailbox.
    let is_certain = |act: &Act| matches!(act, Act::Reply { code: "MailboxNotEnabledForRESTAPI", .. });
    for (number, act) in refusals().into_iter().filter(|act| !is_certain(act)).enumerate() {
        let way = ["create-message", "import-mime"][number % 2];
        fault_at(way, ("GET", "/mailFolders"), &act, 1 + number % 2 * MANY).await;
        fault_at(way, ("POST", "/mailFolders"), &act, 1 + (number + 1) % 2 * MANY).await;
    }
}

/// A folder that was created without an answer is found, and not created again.
#[tokio::test]
async fn a_folder_is_created_once() {
    for act in lost_answers() {
        let indoors = indoors("create-message", 4_000).await;
        let what = format!("{act:?} at a folder");
        let creation = |request: &String| request.starts_with("POST") && request.contains("/mailFolders ");
        indoors.site.town.tenant().fail(Fault::once("POST", "/mailFolders", act));
        indoors.finish(&what).await;
        let folders = indoors.site.town.tenant().with(|world| {
            let named = |mailbox: &crate::servers::graph::world::StoredMailbox| mailbox.top_folders(FOLDER).count();
            world.mailboxes.values().map(named).max()
        });
        assert_eq!(folders, Some(1), "{what}");
        assert!(indoors.site.town.tenant().log().iter().any(creation));
    }
}

/// Look-ups fail while the outcome of messages is unknown.
#[tokio::test]
async fn look_ups_fail() {
    for (number, act) in refusals().into_iter().enumerate() {
        let (way, path) = [("create-message", "/messages"), ("import-mime", "/importMime")][number % 2];
        let indoors = indoors(way, 4_000).await;
        let what = format!("{way}: {act:?} at look-ups");
        let tenant = indoors.site.town.tenant();
        tenant.fail(Fault::once("POST", path, Act::CommitThen(Box::new(Act::Drop))).times(2));
        tenant.fail(Fault::once("POST", path, Act::Drop).times(2));
        tenant.fail(Fault::once("GET", "/messages", act).times(1 + number % 2 * MANY));
        indoors.finish(&what).await;
        assert_eq!(tenant.faults_unmet(), 0, "{what}: it was met");
    }
}

#[tokio::test]
async fn the_user_directory_fails() {
    for (number, act) in refusals().into_iter().enumerate() {
        let is_answer = matches!(act, Act::Reply { .. });
        // This one certifies that there is no such mailbox, which is no failure.
        let is_certain = matches!(act, Act::Reply { code: "MailboxNotEnabledForRESTAPI", .. });
        fault_at("create-message", ("POST", "$batch"), &act, 1 + number % 2 * MANY).await;
        if is_answer && !is_certain {
            fault_at("create-message", ("GET", "users/employee"), &act, 2 + number % 2 * MANY).await;
        }
    }
}

#[tokio::test]
async fn the_sign_in_fails() {
    for times in [1, MANY] {
        for act in
            [Act::throttle(RetryAfter::Seconds(3)), Act::reply(503, ""), Act::reply(500, ""), Act::reply(401, "")]
        {
            let indoors = indoors("create-message", 4_000).await;
            indoors.site.town.tenant().with(|world| world.login.next = vec![act.clone(); times]);
            indoors.finish(&format!("{times} times {act:?} at the sign-in")).await;
            assert!(indoors.site.town.tenant().with(|world| world.login.next.is_empty()), "{act:?}");
        }
    }
}

/// People do something in the middle of a run.
async fn meanwhile(way: &'static str, path: &'static str, change: fn(&mut World)) {
    let indoors = indoors(way, 4_000).await;
    let tenant = indoors.site.town.tenant();
    // The first few go through.
    tenant.fail(Fault::once("POST", path, Act::First(|_| {})).times(3));
    tenant.fail(Fault::once("POST", path, Act::First(change)));
    indoors.finish(&format!("{way}: something happens in the middle of a run")).await;
    assert_eq!(tenant.faults_unmet(), 0, "it happened");
}

#[tokio::test]
async fn tokens_are_revoked_in_the_middle_of_a_run() {
    meanwhile("create-message", "/messages", |world| world.login.revoke()).await;
    meanwhile("import-mime", "/importMime", |world| world.login.revoke()).await;
}

/// Moves everything out of the archive folders, and deletes them for good.
fn clear_out(world: &mut World) {
    let users: Vec<String> = world.users.iter().map(|user| user.id.clone()).collect();
    for user in users {
        let mailbox = world.mailbox(&user);
        let inbox = mailbox.top_folders("Inbox").next().unwrap().id.clone();
        mailbox.messages.iter_mut().for_each(|message| message.folder.clone_from(&inbox));
        world.delete_folder(&user, FOLDER);
    }
}

#[tokio::test]
async fn folders_vanish_in_the_middle_of_a_run() {
    meanwhile("create-message", "/messages", clear_out).await;
    meanwhile("import-mime", "/importMime", clear_out).await;
}

#[tokio::test]
async fn files_in_pieces_fail() {
    let large = 4_500_000;
    let acts = refusals().into_iter().filter(|act| !matches!(act, Act::Reply { status: 401 | 404, .. }));
    for (number, act) in acts.chain([Act::CommitThen(Box::new(Act::Drop))]).enumerate() {
        let request = [("PUT", "upload/"), ("POST", "createUploadSession")][number % 2];
        let indoors = indoors("create-message", large).await;
        let what = format!("{act:?} at {request:?}");
        indoors.site.town.tenant().fail(Fault::once(request.0, request.1, act).times(1 + number % 3));
        indoors.finish(&what).await;
        assert_eq!(indoors.site.town.tenant().faults_unmet(), 0, "{what}: it was met");
    }
}
