//! Resolution against a directory that can refuse, throttle and be silent, address by address; and against a simple
//! model of the rules.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{TimeZone as _, Utc};
use proptest::prelude::*;
use serde_json::json;
use whatsapp_archiver::item::Item;
use whatsapp_archiver::resolution::{Mailbox, MailboxId, Resolution, ResolvedBy, ResolvedTo, re_resolve};
use whatsapp_archiver::resolve::Resolver;
use whatsapp_archiver::resolve::mapping::Mapping;
use whatsapp_archiver::resolve::users::list::UserList;
use whatsapp_archiver::resolve::users::{Answer, DirectoryError, UserDirectory};

/// What the directory does for one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scripted {
    /// A user; the number is the mailbox's id, so that several addresses can be one mailbox.
    User(u8),
    Nobody,
    Throttled(u64),
    Silent,
    Forbidden,
}

/// A directory that does what it is told; whoever it was told nothing of is nobody.
#[derive(Default)]
struct Directory {
    script: Mutex<HashMap<String, Scripted>>,
    asked: Mutex<Vec<Vec<String>>>,
}

impl Directory {
    fn with(script: &[(&str, Scripted)]) -> Arc<Self> {
        let directory = Self::default();
        for (address, answer) in script {
            directory.now(address, *answer);
        }
        Arc::new(directory)
    }

    fn now(&self, address: &str, answer: Scripted) {
        self.script.lock().unwrap().insert(address.to_owned(), answer);
    }

    /// The calls so far, each with its addresses in alphabetical order.
    fn asked(&self) -> Vec<Vec<String>> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

#[async_trait::async_trait]
impl UserDirectory for Directory {
    fn name(&self) -> String {
        "scripted".to_owned()
    }

    async fn look_up(&self, addresses: &[String]) -> Vec<Result<Answer, DirectoryError>> {
        let mut sorted = addresses.to_vec();
        sorted.sort();
        self.asked.lock().unwrap().push(sorted);
        let script = self.script.lock().unwrap();
        let answer = |address: &String| match script.get(address).copied().unwrap_or(Scripted::Nobody) {
            Scripted::User(id) => Ok(Answer::Valid(mailbox(id))),
            Scripted::Nobody => Ok(Answer::NotValid { detail: "no such user".to_owned() }),
            Scripted::Throttled(seconds) => Err(DirectoryError::Throttled {
                after: Some(Duration::from_secs(seconds)),
                detail: "too many requests".to_owned(),
            }),
            Scripted::Silent => Err(DirectoryError::Unavailable("time-out".to_owned())),
            Scripted::Forbidden => Err(DirectoryError::Forbidden("User.Read.All is missing".to_owned())),
        };
        addresses.iter().map(answer).collect()
    }

    async fn find_again(&self, _mailboxes: &[Mailbox]) -> Vec<Result<Answer, DirectoryError>> {
        Vec::new()
    }
}

fn mailbox(id: u8) -> Mailbox {
    Mailbox { id: MailboxId(format!("id-{id}")), address: format!("primary{id}@contoso.example") }
}

fn mapping(lines: &[(&str, &str)]) -> Arc<Mapping> {
    let mut file = "External User ID,Microsoft 365 User Mailbox\n".to_owned();
    for (number, address) in lines {
        writeln!(file, "{number},{address}").unwrap();
    }
    Arc::new(Mapping::read(file.as_bytes(), "mapping.csv").unwrap().0)
}

/// An item from the first number to the others, with these e-mail properties.
fn item(numbers: &[&str], properties: &[(&str, &str)]) -> Item {
    let participant = |number: &&str| json!({"value": number, "type": "PHONE"});
    let people: serde_json::Map<String, serde_json::Value> = properties
        .iter()
        .map(|(number, email)| (participant(number).to_string(), json!({"firstName": "A", "email": email})))
        .collect();
    let raw = json!({
        "id": 1,
        "gatewayReceivedDate": 1_763_700_000_123_i64,
        "body": {
            "messageId": "3EB0", "messageType": "APP_MESSAGE", "messageTime": 1_763_700_000_000_i64,
            "owner": numbers.first().map(participant),
            "sender": numbers.first().map(participant),
            "recipients": numbers.iter().skip(1).map(participant).collect::<Vec<_>>(),
            "text": "Hello",
            "participantEnrichments": people,
        },
    });
    Item::read(raw.to_string().as_bytes(), Utc.with_ymd_and_hms(2026, 11, 22, 2, 0, 0).unwrap()).unwrap()
}

async fn resolve_one(resolver: &Resolver, item: &Item) -> (Resolution, Option<DirectoryError>) {
    let (mut resolutions, errors) = resolver.resolve_but(&[item], &HashMap::new()).await;
    assert!(resolutions.len() == 1 && errors.len() <= 1, "{resolutions:?} {errors:?}");
    (resolutions.remove(0), errors.into_iter().next().map(|(_, error)| error))
}

/// The outcomes of a resolution, in short.
fn outcomes(resolution: &Resolution) -> Vec<String> {
    let short = |outcome: &ResolvedTo| match outcome {
        ResolvedTo::Mailbox { mailbox, by } => format!("{} by {by:?}", mailbox.id),
        ResolvedTo::NoValidUser { detail } => format!("nobody: {detail}"),
        ResolvedTo::Unanswered { detail } => format!("pending: {detail}"),
    };
    resolution.0.iter().map(|resolved| short(&resolved.outcome)).collect()
}

#[tokio::test]
async fn the_mapping_file_comes_first_and_the_property_second() {
    let directory = Directory::with(&[
        ("a@csv.example", Scripted::User(1)),
        ("a@mail.example", Scripted::User(2)),
        ("b@mail.example", Scripted::User(3)),
        ("c@mail.example", Scripted::User(4)),
    ]);
    let lines = [("15550101", "A@CSV.example"), ("15550102", "gone@csv.example")];
    let resolver = Resolver::new(Some(mapping(&lines)), true, Arc::clone(&directory) as Arc<dyn UserDirectory>);
    let item = item(
        &["+15550101", "15550102", "15550103", "15550104"],
        &[("15550101", "a@mail.example"), ("0015550102", "b@mail.example"), ("15550103", " C@Mail.example ")],
    );
    let (resolution, error) = resolve_one(&resolver, &item).await;
    assert!(error.is_none());
    assert_eq!(
        outcomes(&resolution),
        ["id-1 by Csv", "id-3 by Email", "id-4 by Email", "nobody: not in the mapping file; no e-mail property"]
    );
    assert!(resolution.0.iter().all(|resolved| !resolved.late));
    assert_eq!(
        directory.asked(),
        [vec!["a@csv.example", "gone@csv.example"], vec!["b@mail.example", "c@mail.example"]],
        "only those who need it are asked for their property"
    );
}

#[tokio::test]
async fn only_a_certain_answer_lets_the_property_count() {
    for (answer, seconds) in [(Scripted::Silent, None), (Scripted::Throttled(7), Some(7)), (Scripted::Forbidden, None)]
    {
        let directory = Directory::with(&[("a@csv.example", answer), ("a@mail.example", Scripted::User(2))]);
        let lines = [("15550101", "a@csv.example")];
        let resolver = Resolver::new(Some(mapping(&lines)), true, Arc::clone(&directory) as Arc<dyn UserDirectory>);
        let item = item(&["15550101"], &[("15550101", "a@mail.example")]);
        let (resolution, error) = resolve_one(&resolver, &item).await;
        assert!(matches!(resolution.0[0].outcome, ResolvedTo::Unanswered { .. }), "{answer:?}: {resolution:?}");
        assert!(resolution.mailboxes().is_empty());
        let after = match error.expect("the directory's own error") {
            DirectoryError::Throttled { after, .. } => after.map(|after| after.as_secs()),
            _ => None,
        };
        assert_eq!(after, seconds, "{answer:?}");
        assert_eq!(directory.asked(), [["a@csv.example"]], "nothing else is asked for");

        directory.now("a@csv.example", Scripted::Nobody);
        let (resolution, error) = resolve_one(&resolver, &item).await;
        assert_eq!((outcomes(&resolution), error.is_none()), (vec!["id-2 by Email".to_owned()], true));
    }
}

#[tokio::test]
async fn a_batch_costs_two_look_ups_and_asks_for_each_address_once() {
    let directory = Directory::with(&[("a@csv.example", Scripted::User(1)), ("b@mail.example", Scripted::User(2))]);
    let lines = [("15550101", "a@csv.example"), ("15550102", "B@mail.example"), ("15550103", "c@csv.example")];
    let resolver = Resolver::new(Some(mapping(&lines)), true, Arc::clone(&directory) as Arc<dyn UserDirectory>);
    let numbers = ["15550101", "15550102", "15550103"];
    let properties = [("15550102", "B@MAIL.example"), ("15550103", "b@mail.EXAMPLE")];
    let items: Vec<Item> = (0..50).map(|_| item(&numbers, &properties)).collect();
    let results = resolver.resolve(&items.iter().collect::<Vec<_>>()).await;
    assert_eq!(results.len(), 50);
    for resolution in results {
        assert_eq!(outcomes(&resolution), ["id-1 by Csv", "id-2 by Csv", "id-2 by Email"]);
        assert_eq!(resolution.mailboxes().len(), 2, "one copy for each mailbox");
    }
    assert_eq!(directory.asked(), [["a@csv.example", "b@mail.example", "c@csv.example"]]);
    assert!(resolver.resolve(&[]).await.is_empty());
    assert!(directory.asked().is_empty());
}

#[tokio::test]
async fn a_property_that_is_no_address_is_nobody_without_asking() {
    let long = format!("{}@mail.example", "a".repeat(100_000));
    for hostile in [
        "15550101",
        "Ana <ana@mail.example>",
        "ana@mail.example\r\nBcc: eve@evil.example",
        "ana@mail.example,bo@mail.example",
        "' or 1 eq 1 or mail eq '@x",
        long.as_str(),
    ] {
        let directory = Directory::with(&[]);
        let resolver = Resolver::new(None, true, Arc::clone(&directory) as Arc<dyn UserDirectory>);
        let (resolution, error) = resolve_one(&resolver, &item(&["15550101"], &[("15550101", hostile)])).await;
        assert_eq!(outcomes(&resolution), ["nobody: e-mail property: not an address"], "{hostile}");
        assert!(error.is_none() && directory.asked().is_empty());
    }
}

#[tokio::test]
async fn what_was_tried_is_reported_without_a_phone_number() {
    let directory = Directory::with(&[("c@mail.example", Scripted::Silent)]);
    let lines = [("15550101", "a@csv.example"), ("15550102", "+15550102@csv.example")];
    let resolver = Resolver::new(Some(mapping(&lines)), true, Arc::clone(&directory) as Arc<dyn UserDirectory>);
    let properties =
        [("15550101", "a@mail.example"), ("15550102", "u15550102x@mail.example"), ("15550103", "c@mail.example")];
    let (resolution, error) = resolve_one(&resolver, &item(&["15550101", "15550102", "15550103"], &properties)).await;
    assert!(matches!(error, Some(DirectoryError::Unavailable(_))));
    assert_eq!(
        outcomes(&resolution),
        [
            "nobody: mapping file: a@csv.example is not a valid user (no such user); \
             e-mail property: a@mail.example is not a valid user (no such user)",
            "nobody: mapping file: +1•••••0102@csv.example is not a valid user; \
             e-mail property: +1•••••0102@mail.example is not a valid user",
            "pending: the user directory is not available: time-out",
        ]
    );
}

#[tokio::test]
async fn mappings_that_are_off_are_not_used() {
    let directory = Directory::with(&[("a@mail.example", Scripted::User(1)), ("a@csv.example", Scripted::User(2))]);
    let shared = || Arc::clone(&directory) as Arc<dyn UserDirectory>;
    let item = item(&["15550101"], &[("15550101", "a@mail.example")]);
    let lines = mapping(&[("15550101", "a@csv.example")]);
    let (resolution, _) = resolve_one(&Resolver::new(None, false, shared()), &item).await;
    assert_eq!(outcomes(&resolution), ["nobody: no user mapping is in use"]);
    let (resolution, _) = resolve_one(&Resolver::new(None, true, shared()), &item).await;
    assert_eq!(outcomes(&resolution), ["id-1 by Email"]);
    let (resolution, _) = resolve_one(&Resolver::new(Some(lines), false, shared()), &item).await;
    assert_eq!(outcomes(&resolution), ["id-2 by Csv"]);
    let other = mapping(&[("15550109", "a@csv.example")]);
    let (resolution, _) = resolve_one(&Resolver::new(Some(other), false, shared()), &item).await;
    assert_eq!(outcomes(&resolution), ["nobody: not in the mapping file"]);
}

#[tokio::test]
async fn a_run_keeps_its_mapping_while_the_daemon_reads_another() {
    let directory = Directory::with(&[("a@csv.example", Scripted::User(1)), ("b@csv.example", Scripted::User(2))]);
    let resolver = Resolver::new(Some(mapping(&[("15550101", "a@csv.example")])), true, directory);
    let run = resolver.snapshot();
    resolver.replace_mapping(Some(mapping(&[("15550101", "b@csv.example")])));
    let item = item(&["15550101"], &[]);
    assert_eq!(outcomes(&resolve_one(&run, &item).await.0), ["id-1 by Csv"]);
    assert_eq!(outcomes(&resolve_one(&resolver, &item).await.0), ["id-2 by Csv"]);
    resolver.replace_mapping(None);
    assert!(resolver.mapping().is_none());
}

#[tokio::test]
async fn one_participants_trouble_is_its_own_and_each_address_has_its_error() {
    let directory = Directory::with(&[
        ("a@csv.example", Scripted::Forbidden),
        ("b@csv.example", Scripted::Throttled(3)),
        ("c@csv.example", Scripted::Throttled(9)),
        ("d@csv.example", Scripted::Silent),
        ("e@csv.example", Scripted::User(5)),
    ]);
    let lines = [
        ("15550101", "a@csv.example"),
        ("15550102", "b@csv.example"),
        ("15550103", "c@csv.example"),
        ("15550104", "d@csv.example"),
        ("15550105", "e@csv.example"),
    ];
    let resolver = Resolver::new(Some(mapping(&lines)), true, directory);
    let item = item(&["15550101", "15550102", "15550103", "15550104", "15550105"], &[]);
    let (resolutions, errors) = resolver.resolve_but(&[&item], &HashMap::new()).await;
    assert_eq!(resolutions[0].mailboxes().len(), 1);
    let of: BTreeMap<String, DirectoryError> = errors.into_iter().collect();
    assert_eq!(of.keys().collect::<Vec<_>>(), ["a@csv.example", "b@csv.example", "c@csv.example", "d@csv.example"]);
    let after = Some(Duration::from_secs(9));
    assert!(matches!(of["c@csv.example"], DirectoryError::Throttled { after: found, .. } if found == after), "{of:?}");
}

/// Answers fewer questions than it is asked.
struct Forgetful;

#[async_trait::async_trait]
impl UserDirectory for Forgetful {
    fn name(&self) -> String {
        "forgetful".to_owned()
    }

    async fn look_up(&self, _addresses: &[String]) -> Vec<Result<Answer, DirectoryError>> {
        Vec::new()
    }

    async fn find_again(&self, _mailboxes: &[Mailbox]) -> Vec<Result<Answer, DirectoryError>> {
        Vec::new()
    }
}

#[tokio::test]
async fn a_question_without_an_answer_is_never_a_no() {
    let resolver = Resolver::new(Some(mapping(&[("15550101", "a@csv.example")])), true, Arc::new(Forgetful));
    let (resolution, _) = resolve_one(&resolver, &item(&["15550101"], &[("15550101", "a@mail.example")])).await;
    assert!(matches!(resolution.0[0].outcome, ResolvedTo::Unanswered { .. }));
    let again = resolver.find_again(&[mailbox(1), mailbox(2)]).await;
    assert!(again.len() == 2 && again.iter().all(|answer| matches!(answer, Err(DirectoryError::Unexpected(_)))));
}

#[tokio::test]
async fn a_replay_after_the_mapping_is_corrected_adds_what_is_missing() {
    let users = UserList::read(b"address\nana@contoso.example\nbo@contoso.example\n", "users.csv").unwrap().0;
    let resolver = Resolver::new(Some(mapping(&[("15550101", "ana@contoso.example")])), false, Arc::new(users));
    let item = item(&["15550101", "15550102"], &[]);
    let (first, _) = resolve_one(&resolver, &item).await;
    resolver.replace_mapping(Some(mapping(&[("15550101", "bo@contoso.example"), ("15550102", "bo@contoso.example")])));
    let (fresh, _) = resolve_one(&resolver, &item).await;

    let merged = re_resolve(&first, fresh.clone(), true);
    let addresses: Vec<&str> = merged.mailboxes().iter().map(|(mailbox, _)| mailbox.address.as_str()).collect();
    assert_eq!(addresses, ["ana@contoso.example", "bo@contoso.example"]);
    assert_eq!(merged.0.iter().map(|resolved| resolved.late).collect::<Vec<_>>(), [false, true]);
    assert_eq!(re_resolve(&first, fresh.clone(), false), fresh);
    let recorded = serde_json::to_string(&merged).unwrap();
    assert_eq!(serde_json::from_str::<Resolution>(&recorded).unwrap(), merged);
}

/// One participant of the model: what the mapping file and the property say, as the directory's answer for each.
#[derive(Debug, Clone)]
struct Modelled {
    mapped: Option<Scripted>,
    property: Option<Result<Scripted, ()>>,
}

/// The rules R6 to R8, as they are written.
fn model(participant: &Modelled, with_mapping: bool, automatic: bool) -> &'static str {
    let mapped = participant.mapped.filter(|_| with_mapping);
    let property = participant.property.filter(|_| automatic);
    let by_email = match property {
        Some(Ok(Scripted::User(_))) => "email",
        Some(Ok(Scripted::Throttled(_) | Scripted::Silent | Scripted::Forbidden)) => "pending",
        None | Some(Err(()) | Ok(Scripted::Nobody)) => "nobody",
    };
    match mapped {
        Some(Scripted::User(_)) => "csv",
        Some(Scripted::Throttled(_) | Scripted::Silent | Scripted::Forbidden) => "pending",
        None | Some(Scripted::Nobody) => by_email,
    }
}

fn scripted() -> impl Strategy<Value = Scripted> {
    prop_oneof![
        3 => (0_u8..4).prop_map(Scripted::User),
        3 => Just(Scripted::Nobody),
        1 => (0_u64..9).prop_map(Scripted::Throttled),
        1 => Just(Scripted::Silent),
        1 => Just(Scripted::Forbidden),
    ]
}

fn modelled() -> impl Strategy<Value = Modelled> {
    (prop::option::of(scripted()), prop::option::of(prop::result::maybe_err(scripted(), Just(()))))
        .prop_map(|(mapped, property)| Modelled { mapped, property })
}

fn address(source: &str, place: (usize, usize)) -> String {
    format!("p{}.{}@{source}.example", place.0, place.1)
}

fn number(place: (usize, usize)) -> String {
    format!("1555{:02}{:02}9", place.0, place.1)
}

proptest! {
    #[test]
    fn resolution_follows_the_rules(
        items in prop::collection::vec(prop::collection::vec(modelled(), 1..5), 1..4),
        with_mapping in any::<bool>(),
        automatic in any::<bool>(),
    ) {
        let directory = Arc::new(Directory::default());
        let mut lines = Vec::new();
        let mut read = Vec::new();
        for (which, participants) in items.iter().enumerate() {
            let mut properties = Vec::new();
            for (who, participant) in participants.iter().enumerate() {
                let place = (which, who);
                if let Some(answer) = participant.mapped {
                    directory.now(&address("csv", place), answer);
                    lines.push((number(place), address("csv", place)));
                }
                match participant.property {
                    Some(Ok(answer)) => {
                        directory.now(&address("mail", place), answer);
                        properties.push((number(place), address("mail", place)));
                    }
                    Some(Err(())) => properties.push((number(place), "nobody at all".to_owned())),
                    None => {}
                }
            }
            let numbers: Vec<String> = (0..participants.len()).map(|who| number((which, who))).collect();
            let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
            let properties: Vec<(&str, &str)> =
                properties.iter().map(|(number, email)| (number.as_str(), email.as_str())).collect();
            read.push(item(&numbers, &properties));
        }
        let lines: Vec<(&str, &str)> = lines.iter().map(|(number, address)| (number.as_str(), address.as_str())).collect();
        let mapping = with_mapping.then(|| mapping(&lines));
        let resolver = Resolver::new(mapping, automatic, Arc::clone(&directory) as Arc<dyn UserDirectory>);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let results = runtime.block_on(resolver.resolve(&read.iter().collect::<Vec<_>>()));

        prop_assert!(directory.asked().len() <= 2);
        prop_assert_eq!(results.len(), items.len());
        for (resolution, participants) in results.iter().zip(&items) {
            let expected: Vec<&str> =
                participants.iter().map(|participant| model(participant, with_mapping, automatic)).collect();
            let found: Vec<&str> = resolution.0.iter().map(|resolved| match &resolved.outcome {
                ResolvedTo::Mailbox { by: ResolvedBy::Csv, .. } => "csv",
                ResolvedTo::Mailbox { by: ResolvedBy::Email, .. } => "email",
                ResolvedTo::NoValidUser { .. } => "nobody",
                ResolvedTo::Unanswered { .. } => "pending",
            }).collect();
            prop_assert_eq!(found, expected);
            for (resolved, participant) in resolution.0.iter().zip(participants) {
                if let ResolvedTo::Mailbox { mailbox: found, by } = &resolved.outcome {
                    let answer = match by {
                        ResolvedBy::Csv => participant.mapped,
                        ResolvedBy::Email => participant.property.and_then(Result::ok),
                    };
                    let Some(Scripted::User(id)) = answer else { panic!("{participant:?}") };
                    prop_assert_eq!(found, &mailbox(id));
                }
            }
        }
    }
}
