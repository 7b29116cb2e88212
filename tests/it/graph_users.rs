//! The user directory of Microsoft 365: who is valid, who certainly isn't, and when nothing can be said.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use whatsapp_archiver::resolution::{Mailbox, MailboxId};
use whatsapp_archiver::resolve::users::graph::GraphUsers;
use whatsapp_archiver::resolve::users::{Answer, DirectoryError, UserDirectory as _};
use whatsapp_archiver::throttle::Limits;

use crate::servers::graph::client::Connection;
use crate::servers::graph::client::USERS_SETTINGS;
use crate::servers::graph::{Act, Fault, RetryAfter, UserSpec};

/// A path, the status and code that it is answered with, and what that means.
type Refused = (&'static str, u16, &'static str, fn(&DirectoryError) -> bool);
type Answered = Result<Answer, DirectoryError>;

async fn ask(users: &GraphUsers, address: &str) -> Answered {
    let mut answers = users.look_up(&[address.to_owned()]).await;
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

#[track_caller]
fn assert_valid(answer: &Answered, id: &str, address: &str) {
    match answer {
        Ok(Answer::Valid(mailbox)) => assert_eq!((mailbox.id.0.as_str(), mailbox.address.as_str()), (id, address)),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_not_valid(answer: &Answered) {
    assert!(matches!(answer, Ok(Answer::NotValid { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_user_is_found_by_every_address_under_one_id() {
    let connection = Connection::new();
    let spec = UserSpec {
        mail: Some("Ana.Berg@contoso.example".to_owned()),
        principal_name: "ana@contoso.example".to_owned(),
        aliases: vec!["ana.old@contoso.example".to_owned(), "o'brien+ana@contoso.example".to_owned()],
        no_mailbox: None,
    };
    let id = connection.server.with(|world| world.add_user(spec));
    let users = connection.users();
    for address in [
        "ana@contoso.example",
        "ANA.BERG@CONTOSO.EXAMPLE",
        "ana.old@contoso.example",
        "O'Brien+ana@contoso.example",
        " ana@contoso.example ",
    ] {
        assert_valid(&ask(&users, address).await, &id, "Ana.Berg@contoso.example");
    }
    assert_eq!(connection.server.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn many_addresses_are_looked_up_side_by_side() {
    let connection = Connection::new();
    let names: Vec<String> = (0..100).map(|number| format!("user{number}")).collect();
    let ids: Vec<String> =
        names.iter().map(|name| connection.server.with(|world| world.add_user(UserSpec::named(name)))).collect();
    let addresses: Vec<String> = names.iter().map(|name| format!("{name}@contoso.example")).collect();
    let users = connection.users();
    assert_valid(&ask(&users, &addresses[0]).await, &ids[0], &addresses[0]);
    connection.server.hold();
    let release = async {
        // 99 are left: five batches.
        connection.server.wait_for_in_flight(5).await;
        connection.server.release();
    };
    let (answers, ()) = join(users.look_up(&addresses), release).await;
    for ((answer, id), address) in answers.iter().zip(&ids).zip(&addresses) {
        assert_valid(answer, id, address);
    }
}

#[tokio::test]
async fn a_user_without_a_primary_address_has_the_principal_name() {
    let connection = Connection::new();
    let spec = UserSpec { mail: None, ..UserSpec::named("ana") };
    let id = connection.server.with(|world| world.add_user(spec));
    assert_valid(&ask(&connection.users(), "ana@contoso.example").await, &id, "ana@contoso.example");
}

#[tokio::test]
async fn shared_mailboxes_are_valid_and_guests_are_not() {
    let connection = Connection::new();
    let shared = connection.server.add_user("desk");
    let guest = UserSpec {
        mail: Some("gus@partner.example".to_owned()),
        principal_name: "gus_partner.example#EXT#@contoso.example".to_owned(),
        aliases: Vec::new(),
        no_mailbox: Some("MailboxNotEnabledForRESTAPI"),
    };
    connection.server.with(|world| world.add_user(guest));
    let users = connection.users();
    assert_valid(&ask(&users, "desk@contoso.example").await, &shared, "desk@contoso.example");
    assert_not_valid(&ask(&users, "gus@partner.example").await);
    assert_not_valid(&ask(&users, "gus_partner.example#EXT#@contoso.example").await);
}

#[tokio::test]
async fn every_certain_refusal_is_not_valid() {
    let connection = Connection::new();
    for (name, code) in [
        ("a", "MailboxNotEnabledForRESTAPI"),
        ("b", "MailboxNotHostedInExchangeOnline"),
        ("c", "ErrorNonExistentMailbox"),
        ("d", "ErrorInvalidUser"),
    ] {
        let spec = UserSpec { no_mailbox: Some(code), ..UserSpec::named(name) };
        connection.server.with(|world| world.add_user(spec));
        assert_not_valid(&ask(&connection.users(), &format!("{name}@contoso.example")).await);
    }
    assert_not_valid(&ask(&connection.users(), "nobody@contoso.example").await);
}

#[tokio::test]
async fn what_is_no_address_is_not_asked_for() {
    let connection = Connection::new();
    let id = connection.server.add_user("ana");
    let users = connection.users();
    for text in ["", id.as_str(), "Ana <ana@contoso.example>", "ana@contoso.example/messages", "../users", "$count@"] {
        assert_not_valid(&ask(&users, text).await);
    }
    let graph: Vec<String> = connection.server.log().into_iter().filter(|line| line.contains("/v1.0/")).collect();
    assert!(graph.iter().all(|line| !line.contains(&id)), "{graph:#?}");
}

#[tokio::test]
async fn no_answer_is_never_not_valid() {
    let refusals: [Refused; 7] = [
        ("users/ana@", 403, "Authorization_RequestDenied", is_forbidden_users),
        ("mailFolders/inbox", 403, "ErrorAccessDenied", is_forbidden_mail),
        ("users/ana@", 429, "TooManyRequests", |error| matches!(error, DirectoryError::Throttled { .. })),
        ("users/ana@", 503, "serviceNotAvailable", |error| matches!(error, DirectoryError::Unavailable(_))),
        ("mailFolders/inbox", 500, "generalException", |error| matches!(error, DirectoryError::Unavailable(_))),
        ("users/ana@", 404, "SomethingNew", |error| matches!(error, DirectoryError::Unexpected(_))),
        ("mailFolders/inbox", 404, "", |error| matches!(error, DirectoryError::Unexpected(_))),
    ];
    for (path, status, code, expected) in refusals {
        let connection = Connection::new();
        let id = connection.server.add_user("ana");
        let users = connection.users();
        connection.server.fail(Fault::once("GET", path, Act::reply(status, code)));
        let error = ask(&users, "ana@contoso.example").await.unwrap_err();
        assert!(expected(&error), "{path} {status}: {error:?}");
        // An error is not kept.
        assert_valid(&ask(&users, "ana@contoso.example").await, &id, "ana@contoso.example");
    }
}

fn is_forbidden_users(error: &DirectoryError) -> bool {
    matches!(error, DirectoryError::Forbidden(text) if text.contains("User.Read.All"))
}

fn is_forbidden_mail(error: &DirectoryError) -> bool {
    matches!(error, DirectoryError::Forbidden(text) if text.contains("Application Mail.ReadWrite"))
}

#[tokio::test]
async fn a_dropped_connection_is_no_answer() {
    let connection = Connection::new();
    connection.server.add_user("ana");
    connection.server.fail(Fault::once("GET", "users/ana@", Act::Drop));
    let error = ask(&connection.users(), "ana@contoso.example").await.unwrap_err();
    assert!(matches!(error, DirectoryError::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn many_addresses_go_in_batches_and_each_has_its_own_answer() {
    let connection = Connection::new();
    let ids: Vec<String> = (0..45).map(|number| connection.server.add_user(&format!("user{number}"))).collect();
    let users = connection.users();
    connection.server.fail(Fault::once("GET", "users/user7@", Act::throttle(RetryAfter::Seconds(9))));
    connection.server.fail(Fault::once("GET", "users/user9@", Act::reply(503, "serviceNotAvailable")));
    let mut addresses: Vec<String> = (0..45).map(|number| format!("user{number}@contoso.example")).collect();
    addresses.push("nobody@contoso.example".to_owned());
    addresses.push("USER3@contoso.example".to_owned());
    let answers = users.look_up(&addresses).await;
    assert_eq!(answers.len(), addresses.len());
    for (number, id) in ids.iter().enumerate() {
        match number {
            7 => {
                let Err(DirectoryError::Throttled { after, .. }) = &answers[7] else { panic!("{:?}", answers[7]) };
                assert_eq!(*after, Some(Duration::from_secs(9)));
            }
            9 => assert!(matches!(answers[9], Err(DirectoryError::Unavailable(_))), "{:?}", answers[9]),
            _ => assert_valid(&answers[number], id, &format!("user{number}@contoso.example")),
        }
    }
    assert_not_valid(&answers[45]);
    assert_valid(&answers[46], &ids[3], "user3@contoso.example");

    let log = connection.server.log();
    let batches = log.iter().filter(|line| line.contains("$batch")).count();
    // Three for the users, three for their mailboxes; the one nobody knows is asked for alone.
    assert_eq!(batches, 6, "{log:#?}");
}

#[tokio::test]
async fn two_users_with_one_address_are_no_answer() {
    let connection = Connection::new();
    for name in ["ana", "bo"] {
        let aliases = vec!["both@contoso.example".to_owned()];
        connection.server.with(|world| world.add_user(UserSpec { aliases, ..UserSpec::named(name) }));
    }
    let error = ask(&connection.users(), "both@contoso.example").await.unwrap_err();
    assert!(matches!(error, DirectoryError::Unexpected(_)), "{error:?}");
}

/// Asked for Ben, by each way of looking him up and in a batch, the directory describes Ana: nobody's copy goes to her.
#[tokio::test]
async fn another_users_object_is_no_answer() {
    for address in ["ben@contoso.example", "o'brien+ben@contoso.example"] {
        let connection = Connection::new();
        let ana = connection.server.add_user("ana");
        connection.server.add_user("ben");
        let users = connection.users();
        connection.server.with(|world| world.mistaken = Some(("ben@", ana.clone())));
        let error = ask(&users, address).await.unwrap_err();
        assert!(matches!(&error, DirectoryError::Unexpected(text) if text.contains(address)), "{error:?}");
        let answers = users.look_up(&[address.to_owned(), "ana@contoso.example".to_owned()]).await;
        assert!(matches!(answers[0], Err(DirectoryError::Unexpected(_))), "{answers:?}");
        assert_valid(&answers[1], &ana, "ana@contoso.example");
        connection.server.with(|world| world.mistaken = None);
        assert!(ask(&users, address).await.is_ok(), "and the mistake isn't kept");
    }
}

#[tokio::test]
async fn answers_are_kept_for_their_time() {
    let connection = Connection::standing();
    let id = connection.server.add_user("ana");
    let settings = USERS_SETTINGS;
    // The token outlives the test's hours.
    connection.server.with(|world| world.login.lifetime = chrono::TimeDelta::hours(23));
    let users = GraphUsers::new(connection.graph(), None, settings, connection.clock());
    let requests = async || {
        connection.server.clear_log();
        let answers = users.look_up(&["ana@contoso.example".to_owned(), "new@contoso.example".to_owned()]).await;
        assert_valid(&answers[0], &id, "ana@contoso.example");
        let valid = matches!(answers[1], Ok(Answer::Valid(_)));
        (valid, connection.server.log().iter().any(|line| line.contains("ana@")), connection.server.log().len())
    };
    assert!(requests().await.2 > 0);
    assert_eq!(requests().await, (false, false, 0));
    connection.server.add_user("new");
    connection.clock.advance(Duration::from_mins(14));
    assert_eq!(requests().await, (false, false, 0), "a negative answer is kept for a while");
    connection.clock.advance(Duration::from_mins(1));
    let (valid, ana_again, _) = requests().await;
    assert!(valid && !ana_again, "and no longer; the other is still kept");
    connection.clock.advance(Duration::from_hours(12));
    assert!(requests().await.1, "a positive answer too is asked for anew");
}

#[tokio::test]
async fn an_address_is_asked_for_once_however_many_want_it() {
    let connection = Connection::new();
    let id = connection.server.add_user("ana");
    let users = Arc::new(connection.users());
    assert_not_valid(&ask(&users, "nobody@contoso.example").await);
    connection.server.clear_log();
    connection.server.hold();
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let users = Arc::clone(&users);
            tokio::spawn(async move { ask(&users, "ana@contoso.example").await })
        })
        .collect();
    connection.server.wait_for_in_flight(1).await;
    connection.server.release();
    for answer in join_all(asking).await {
        assert_valid(&answer.unwrap(), &id, "ana@contoso.example");
    }
    let log = connection.server.log();
    assert_eq!(log.len(), 2, "the user and the inbox: {log:#?}");
}

#[tokio::test]
async fn who_gives_up_leaves_the_question_to_the_next() {
    let connection = Connection::new();
    let id = connection.server.add_user("ana");
    let users = Arc::new(connection.users());
    assert_not_valid(&ask(&users, "nobody@contoso.example").await);
    connection.server.hold();
    let [first, second] = [0, 1].map(|_| {
        let users = Arc::clone(&users);
        tokio::spawn(async move { ask(&users, "ana@contoso.example").await })
    });
    connection.server.wait_for_in_flight(1).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    connection.server.release();
    assert_valid(&second.await.unwrap(), &id, "ana@contoso.example");
}

#[tokio::test]
async fn looking_at_an_inbox_counts_against_the_mailbox() {
    let connection =
        Connection { limits: Limits { requests_per_10m: 1, ..Limits::default() }, ..Connection::standing() };
    let mailbox = connection.mailbox("ana");
    let throttle = connection.throttle();
    let settings = USERS_SETTINGS;
    let users = GraphUsers::new(connection.graph(), Some(Arc::clone(&throttle)), settings, connection.clock());
    assert_eq!(throttle.closed_until(&mailbox.id), None);
    assert_valid(&ask(&users, "ana@contoso.example").await, &mailbox.id.0, "ana@contoso.example");
    assert!(throttle.closed_until(&mailbox.id).is_some());
}

fn recorded(id: &str, address: &str) -> Mailbox {
    Mailbox { id: MailboxId(id.to_owned()), address: address.to_owned() }
}

/// Ben has left, and his address is somebody else's; Ana was renamed; Cara has lost her licence; nobody answers for Dora.
#[tokio::test]
async fn a_mailbox_is_found_again_by_its_id_and_never_by_its_address_alone() {
    let connection = Connection::new();
    let server = &connection.server;
    let [ana, new_ben, cara, dora] = ["ana.quist", "ben", "cara", "dora"].map(|name| server.add_user(name));
    let users = connection.users();
    let addresses = ["ana.quist", "ben", "cara", "dora"].map(|name| format!("{name}@contoso.example"));
    for (answer, id) in users.look_up(&addresses).await.iter().zip([&ana, &new_ben, &cara, &dora]) {
        assert!(matches!(answer, Ok(Answer::Valid(mailbox)) if mailbox.id.0 == *id), "{answer:?}");
    }
    // From here on what was answered is another matter.
    server.with(|world| world.lose_mailbox(&cara, "MailboxNotEnabledForRESTAPI"));
    server.fail(Fault::always(format!("users/{dora}"), Act::reply(503, "serviceNotAvailable")));
    let known = [
        recorded(&ana, "ana.berg@contoso.example"),
        recorded("user-of-the-old-ben", "ben@contoso.example"),
        recorded(&cara, "cara@contoso.example"),
        recorded(&dora, "dora@contoso.example"),
        recorded("ben@contoso.example", "ben@contoso.example"),
    ];
    let found = users.find_again(&known).await;
    assert_valid(&found[0], &ana, "ana.quist@contoso.example");
    assert_not_valid(&found[1]);
    assert_not_valid(&found[2]);
    assert!(found[3].is_err(), "{:?}", found[3]);
    assert_valid(&found[4], "ben@contoso.example", "ben@contoso.example");

    // What was known of the addresses of those who were asked for is forgotten, and of nobody else.
    server.with(|world| [&ana, &new_ben].map(|id| world.remove_user(id)));
    assert_not_valid(&ask(&users, "ana.quist@contoso.example").await);
    assert_valid(&ask(&users, "ben@contoso.example").await, &new_ben, "ben@contoso.example");
    assert_eq!(server.violations(), Vec::<String>::new());
}
