//! The real binary against the wire-level Graph: users, mailboxes and the sign-in over HTTP, a folder as the source.

use std::path::Path;
use std::process::{Command, Output};

use crate::servers::graph::{Act, CLIENT_ID, CLIENT_SECRET, Fault, GraphServer, TENANT, UserSpec};

const FOLDER: &str = "WhatsApp Archiver";

/// The users of the sample export, with their other addresses.
const USERS: [(&str, &[&str]); 7] = [
    ("ana.berg", &[]),
    ("susan.okafor", &["s.okafor@contoso.example"]),
    ("omar.haddad", &["omar@contoso.example", "o.haddad@contoso.example"]),
    ("yael.cohen", &[]),
    ("mei.tanaka", &[]),
    ("lukas.novak", &[]),
    ("zoe.marchetti", &["zoe@contoso.example"]),
];

/// A tenant with the users of the sample export, and the configuration of a program that archives into it.
struct Trial {
    server: GraphServer,
    users: Vec<String>,
    directory: tempfile::TempDir,
}

impl Trial {
    fn new(method: &str) -> Self {
        let server = GraphServer::start();
        let add = |(name, aliases): (&str, &[&str])| {
            let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
            server.with(|world| world.add_user(UserSpec { aliases, ..UserSpec::named(name) }))
        };
        let users = USERS.map(add).to_vec();
        server.with(|world| world.login.roles.push("Mail-Advanced.ReadWrite.All"));
        let directory = tempfile::tempdir().unwrap();
        let config = config(server.origin(), method, directory.path());
        std::fs::write(directory.path().join("config.toml"), config).unwrap();
        Self { server, users, directory }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_whatsapp-archiver"))
            .arg("--config")
            .arg(self.directory.path().join("config.toml"))
            .args(arguments)
            .env("GRAPH_TEST_SECRET", CLIENT_SECRET)
            .output()
            .unwrap()
    }

    /// The Message-IDs in each archive folder, sorted.
    fn archived(&self) -> Vec<Vec<String>> {
        self.server.with(|world| {
            let ids = |user: &String| {
                let messages = world.messages_in(user, FOLDER);
                assert!(messages.iter().all(|message| !message.is_draft));
                let mut ids: Vec<String> = messages.into_iter().map(|message| message.message_id).collect();
                ids.sort();
                ids
            };
            self.users.iter().map(ids).collect()
        })
    }
}

fn config(origin: &str, method: &str, directory: &Path) -> String {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/sample");
    let (sample, directory) = (sample.display(), directory.display());
    format!(
        r#"
[source]
kind = "directory"
path = "{sample}/export/"

[staging]
kind = "local"
path = "{directory}/staging/"

[mapping]
automatic = true
custom = "{sample}/mapping.csv"

[users]
kind = "graph"

[microsoft]
tenant_id = "{TENANT}"
client_id = "{CLIENT_ID}"
sign_in = "client-secret"
client_secret = {{ env = "GRAPH_TEST_SECRET" }}
login_url = "{origin}"
graph_url = "{origin}"

[mailbox]
kind = "graph"
method = "{method}"
settle = "1ms"

[ledger]
url = "sqlite://{directory}/ledger.db"

[retry]
initial = "1ms"
max = "2ms"
"#
    )
}

/// The whole sample export: a folder gives all that it has to every window.
const RUN: [&str; 2] = ["run", "--once"];

fn text(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn an_export_is_archived_once_by_either_method() {
    for method in ["create-message", "import-mime"] {
        let trial = Trial::new(method);
        let first = trial.run(&RUN);
        let archived = trial.archived();
        let copies: usize = archived.iter().map(Vec::len).sum();
        assert!(copies > 10, "{copies} copies\n{}", text(&first));
        for ids in &archived {
            assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "a copy twice: {ids:#?}");
        }
        trial.run(&RUN);
        assert_eq!(trial.archived(), archived, "the second run adds nothing");
        assert_eq!(trial.server.violations(), Vec::<String>::new());
        let refused: usize = trial.users.iter().map(|user| trial.server.with(|world| world.limits.refused(user))).sum();
        assert_eq!(refused, 0, "an avoidable refusal");
    }
}

#[test]
fn lost_answers_double_nothing_and_lose_nothing() {
    let whole = Trial::new("create-message");
    whole.run(&RUN);
    let expected = whole.archived();
    assert!(expected.iter().any(|ids| ids.len() > 10));

    let trial = Trial::new("create-message");
    let lost = [
        Act::CommitThen(Box::new(Act::Drop)),
        Act::CommitThen(Box::new(Act::reply(504, ""))),
        Act::Drop,
        Act::reply(503, "serviceNotAvailable"),
    ];
    for act in lost {
        trial.server.fail(Fault::once("POST", "/messages", act).times(3));
    }
    for _ in 0..3 {
        trial.run(&RUN);
        trial.run(&["retry"]);
    }
    assert_eq!(trial.archived(), expected);
}

#[test]
fn check_tries_a_mailbox_out_and_leaves_it_clean() {
    let trial = Trial::new("create-message");
    let output = trial.run(&["check", "--mailbox", "ana.berg@contoso.example"]);
    let shown = text(&output);
    for line in ["permission Mail.ReadWrite", "message class", "attachment of 3.5 MB", "byte for byte", "clean up"] {
        assert!(shown.contains(line), "{line} is missing:\n{shown}");
    }
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(!shown.contains(CLIENT_SECRET));
    assert!(trial.archived().iter().all(Vec::is_empty));

    trial.server.with(|world| world.login.roles = vec!["User.Read.All"]);
    let output = trial.run(&["check", "--mailbox", "ana.berg@contoso.example"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("Mail.ReadWrite"), "{}", text(&output));
}

/// One cause is one line, before those who suffer from it, which are not accused.
#[test]
fn check_names_the_sign_in_before_its_victims() {
    let trial = Trial::new("create-message");
    trial.server.with(|world| {
        world.login.secrets.clear();
        world.login.expired_secrets = vec![CLIENT_SECRET.to_owned()];
    });
    for arguments in [&["check", "--online"][..], &["check", "--mailbox", "ana.berg@contoso.example"]] {
        let output = trial.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        let shown = String::from_utf8(output.stdout.clone()).unwrap();
        let wrong: Vec<&str> = shown.lines().filter(|line| line.contains(" WRONG ")).collect();
        assert!(wrong.len() == 1 && wrong[0].starts_with("sign in "), "{shown}");
        assert!(shown.contains("has expired: create a new one") && !shown.contains("User.Read.All"), "{shown}");
        let place = |what: &str| shown.lines().position(|line| line.starts_with(what)).unwrap();
        for victim in ["directory", "mailboxes"] {
            assert!(place("sign in") < place(victim), "{shown}");
            assert!(shown.lines().nth(place(victim)).unwrap().contains(" untried "), "{shown}");
        }
    }
}

/// The worst fault of all is a copy in a stranger's mailbox: asked for Yael, the directory describes Zoe.
#[test]
fn a_directory_that_describes_somebody_else_leads_no_copy_astray() {
    let trial = Trial::new("create-message");
    let zoe = trial.users[6].clone();
    trial.server.with(|world| world.mistaken = Some(("yael.cohen@", zoe)));
    let output = trial.run(&RUN);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("directory_contradicts"), "{}", text(&output));
    let astray = trial.archived();
    assert!(astray[3].is_empty(), "Yael's copies wait");
    trial.server.with(|world| world.mistaken = None);
    let output = trial.run(&["retry"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let found = trial.archived();
    assert!(!found[3].is_empty(), "and come when the directory is right again");
    let only_hers = |id: &&String| !astray[6].contains(id);
    assert_eq!(found[6].iter().filter(only_hers).count(), 0, "Zoe had all that is hers, and no more");
}

/// Graph says who is a valid user, and the copies go to Maildirs, which are reached by their addresses. Susan's copies are pending when
/// she leaves; Ana's are archived when she does. Both addresses are given to new colleagues.
#[test]
fn nobody_gets_the_copies_of_whoever_had_the_address_before() {
    let trial = Trial::new("create-message");
    let file = trial.directory.path().join("config.toml");
    let mailboxes = trial.directory.path().join("mailboxes");
    let config = std::fs::read_to_string(&file).unwrap();
    let (before, after) = config.split_once("[mailbox]").unwrap();
    let (_, after) = after.split_once("[ledger]").unwrap();
    let maildir = format!("[mailbox]\nkind = \"maildir\"\npath = \"{}\"\n", mailboxes.display());
    std::fs::write(&file, format!("{before}{maildir}[ledger]{after}")).unwrap();
    let [ana, susan] = ["ana.berg@contoso.example", "susan.okafor@contoso.example"];
    std::fs::create_dir_all(&mailboxes).unwrap();
    std::fs::write(mailboxes.join(susan), "not a Maildir").unwrap();
    let first = trial.run(&RUN);
    assert_eq!(first.status.code(), Some(1), "{}", text(&first));
    std::fs::remove_file(mailboxes.join(susan)).unwrap();
    std::fs::remove_dir_all(mailboxes.join(ana)).unwrap();

    let newcomers = trial.server.with(|world| {
        trial.users[..2].iter().for_each(|user| world.remove_user(user));
        ["ana.berg", "susan.okafor"].map(|name| world.add_user(UserSpec::named(name)))
    });
    assert!(newcomers.iter().all(|id| !trial.users.contains(id)));
    let second = trial.run(&RUN);
    assert_eq!(second.status.code(), Some(1), "{}", text(&second));
    assert!(!mailboxes.join(susan).exists(), "{}", text(&second));
    for part in ["mailbox_lost", "mailbox_gone", &trial.users[1]] {
        assert!(text(&second).contains(part), "{part} in {}", text(&second));
    }
    let failures = trial.run(&["failures"]);
    assert!(text(&failures).contains("the mailbox is not where it was"), "{}", text(&failures));

    let verified = trial.run(&["verify", "--restore", "--format", "json"]);
    assert_eq!(verified.status.code(), Some(1), "{}", text(&verified));
    let result: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    let mut unreadable: Vec<&str> =
        result["errors"].as_array().unwrap().iter().map(|entry| entry["mailbox"].as_str().unwrap()).collect();
    unreadable.sort_unstable();
    assert_eq!(unreadable, [ana, susan], "{result}");
    assert!(result["missing"].as_array().unwrap().is_empty() && result["checked"].as_u64().unwrap() > 0, "{result}");
    assert!(!mailboxes.join(ana).exists() && !mailboxes.join(susan).exists());
    assert_eq!(trial.server.violations(), Vec::<String>::new());
}
