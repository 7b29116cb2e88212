//! Configurations that are wrong: everything is reported, with what to write instead.

use std::path::Path;

use whatsapp_archiver::config::{Config, EXAMPLE, Place};

use super::{
    LOCAL, MINIMAL, PATH, assert_only_problem, environment, environment_with, problems, read_with, root, with,
};

/// What is told of the text in the test below.
const EVERY_PROBLEM: &str = r#"the configuration has 19 problems
/etc/whatsapp-archiver/config.toml: [microsoft]: this section is missing, and needed by mailbox.kind = "graph"
    instead: [microsoft] with tenant_id, client_id, sign_in and what that needs
/etc/whatsapp-archiver/config.toml:1: colour: a key outside any section
     1 | colour = …
       | ^^^^^^
    instead: nothing, or the key below the [section] that it belongs to
/etc/whatsapp-archiver/config.toml:3: source.kind: must be one of "telemessage", "directory" (found "telemesage")
     3 | kind = "telemesage"
       |        ^^^^^^^^^^^^
    instead: kind = "telemessage"
/etc/whatsapp-archiver/config.toml:4: source.usrname: unknown key
     4 | usrname = …
       | ^^^^^^^
    instead: username = "x"
/etc/whatsapp-archiver/config.toml:5: source.page_size: a whole number is expected here, not a text (found "many")
     5 | page_size = "many"
       |             ^^^^^^
    instead: page_size = 500
/etc/whatsapp-archiver/config.toml:7: schedule.every: a duration needs a unit (ms, s, m, h, d, w), in quotes (found 24)
     7 | every = 24
       |         ^^
    instead: every = "24h"
/etc/whatsapp-archiver/config.toml:8: schedule.at: not a time of day: hours and minutes in UTC are expected, from 00:00 to 23:59 (found "25:00")
     8 | at = "25:00"
       |      ^^^^^^^
    instead: at = "02:00"
/etc/whatsapp-archiver/config.toml:9: schedule.start_from: contradicts first_lookback: both say where the first window begins
     9 | start_from = 2026-11-01T00:00:00Z
       |              ^^^^^^^^^^^^^^^^^^^^
    instead: either first_lookback or start_from
/etc/whatsapp-archiver/config.toml:11: staging.path: missing: kind = "local" needs it
    11 | [staging]
       | ^^^^^^^^^
    instead: path = "/var/lib/whatsapp-archiver/staging"
/etc/whatsapp-archiver/config.toml:13: staging.endpoint: this key is for kind = "azure", which is not what is chosen here
    13 | endpoint = "https://contoso.blob.core.windows.net"
       | ^^^^^^^^
    instead: nothing, or kind = "azure" in [staging]
/etc/whatsapp-archiver/config.toml:14: staging.retain: not a duration: a whole number with a unit (ms, s, m, h, d, w) is expected (found "30 days")
    14 | retain = "30 days"
       |          ^^^^^^^^^
    instead: retain = "30d"
/etc/whatsapp-archiver/config.toml:16: mapping.automatic: true or false, without quotes, is expected here, not a text (found "yes")
    16 | automatic = "yes"
       |             ^^^^^
    instead: automatic = true
/etc/whatsapp-archiver/config.toml:17: mailboxes: unknown section
    17 | [mailboxes]
       | ^^^^^^^^^^^
    instead: [mailbox]
/etc/whatsapp-archiver/config.toml:18: users.path: missing: kind = "list" needs it
    18 | [users]
       | ^^^^^^^
    instead: path = "users.csv"
/etc/whatsapp-archiver/config.toml:21: ledger.url: a secret is never written here: take the password out, and name it in ledger.password
    21 | url = …
       |       ^
    instead: url = "postgres://archiver@db.contoso.example/archiver", with password = { env = "LEDGER_PASSWORD" }
/etc/whatsapp-archiver/config.toml:22: ledger.lease: too short: at least 10s (found "5s")
    22 | lease = "5s"
       |         ^^^^
    instead: lease = "60s"
/etc/whatsapp-archiver/config.toml:23: http.token: missing: it is required where listen is not a loopback address
    23 | [http]
       | ^^^^^^
    instead: token = { env = "STATUS_TOKEN" }  or  token = { file = "/run/secrets/token" }
/etc/whatsapp-archiver/config.toml:26: retry.max: the longest pause (retry.max) is shorter than the first one (retry.initial)
    26 | max = "1ms"
       |       ^^^^^
    instead: max = "30s"
WHATSAPP_ARCHIVER__LOG__LEVL (environment): this variable overrides no key of the configuration
    instead: WHATSAPP_ARCHIVER__LOG__LEVEL"#;

#[test]
fn every_problem_is_reported_at_once() {
    let text = r#"colour = "blue"
[source]
kind = "telemesage"
usrname = "x"
page_size = "many"
[schedule]
every = 24
at = "25:00"
start_from = 2026-11-01T00:00:00Z
first_lookback = "24h"
[staging]
kind = "local"
endpoint = "https://contoso.blob.core.windows.net"
retain = "30 days"
[mapping]
automatic = "yes"
[mailboxes]
[users]
kind = "list"
[ledger]
url = "postgres://archiver:hunter2@db.example/archiver"
lease = "5s"
[http]
listen = "0.0.0.0:8080"
[retry]
max = "1ms"
"#;
    let reported =
        Config::from_text(text, Path::new(PATH), &environment_with(&[("WHATSAPP_ARCHIVER__LOG__LEVL", "x")]))
            .unwrap_err()
            .to_string();
    assert_eq!(reported, EVERY_PROBLEM);
}

#[test]
fn a_literal_secret_is_refused_and_never_shown() {
    for (section, key) in [
        ("source", "password"),
        ("microsoft", "client_secret"),
        ("http", "token"),
        ("report", "signing_key"),
        ("notify", "webhook"),
    ] {
        let changes = [(section, format!("{key} = \"hunter2\""))];
        let changes: Vec<(&str, &str)> = changes.iter().map(|(section, line)| (*section, line.as_str())).collect();
        let name = format!("{section}.{key}");
        assert_only_problem(MINIMAL, &changes, &name, "a secret is never written here");
        let reported = Config::from_text(&with(MINIMAL, &changes), Path::new(PATH), &environment()).unwrap_err();
        assert!(!format!("{reported} {reported:?}").contains("hunter2"));
        assert!(reported.to_string().contains(&format!("{key} = {{ ")), "a worked value: {reported}");
    }
    let variable = environment_with(&[("WHATSAPP_ARCHIVER__SOURCE__PASSWORD", "hunter2")]);
    let reported = Config::from_text(MINIMAL, Path::new(PATH), &variable).unwrap_err();
    assert!(!format!("{reported} {reported:?}").contains("hunter2"));
    assert!(reported.to_string().contains(
        "WHATSAPP_ARCHIVER__SOURCE__PASSWORD (environment): source.password: a secret is never written here: name \
         where it is to be found\n    instead: WHATSAPP_ARCHIVER__SOURCE__PASSWORD='{ env = \"TELEMESSAGE_PASSWORD\" }'"
    ));
}

#[test]
fn a_secret_that_can_not_be_had_is_reported() {
    let password = |value: &str| [("source", format!("password = {value}"))];
    for (value, says) in [
        ("{ env = \"NO_SUCH\" }", "the environment variable NO_SUCH is not set"),
        ("{ env = \"hunter2\" }", "the environment variable that it names is not set"),
        ("{ file = \"/no/such\" }", "the file /no/such can't be read"),
        ("{ file = \"such\" }", "the file /etc/whatsapp-archiver/such can't be read"),
        ("{ file = \"/dev\" }", "not a file"),
        ("{ env = \"TELEMESSAGE_PASSWORD\", file = \"/x\" }", "either env or file"),
        ("{ value = \"hunter2\" }", "either env or file"),
        ("{ env = 1 }", "a text in quotes is expected here, not a whole number"),
        ("{}", "either env or file"),
        ("1", "a table that names a secret is expected here, not a whole number"),
    ] {
        let changes = password(value);
        let changes: Vec<(&str, &str)> = changes.iter().map(|(section, line)| (*section, line.as_str())).collect();
        assert_only_problem(MINIMAL, &changes, "source.password", says);
    }
    let empty = environment_with(&[("TELEMESSAGE_PASSWORD", "")]);
    assert_eq!(problems(MINIMAL, &empty), ["4 source.password: it is empty"]);
    let reported = problems(&with(MINIMAL, &[("notify", "webhook = { env = \"IMAP_PASSWORD\" }")]), &environment());
    assert!(reported.len() == 1 && reported[0].contains("what is found there: not an address"), "{reported:?}");
}

#[test]
fn what_contradicts_itself_is_reported() {
    let both = [("schedule", "first_lookback = \"1h\""), ("schedule", "start_from = 2026-11-01")];
    assert_only_problem(MINIMAL, &both, "schedule.start_from", "contradicts first_lookback");
    assert_only_problem(MINIMAL, &[("schedule", "settle = \"24h\"")], "schedule.settle", "shorter than first_lookback");
    let drifting = [("schedule", "every = \"7h\""), ("schedule", "at = \"02:00\"")];
    assert_only_problem(MINIMAL, &drifting, "schedule.at", "can't keep to a time of day");
    assert_only_problem(
        MINIMAL,
        &[("staging", "sas = { env = \"STAGING_SAS\" }")],
        "staging.sas",
        "this key is for auth = \"sas\"",
    );
    let nowhere = [("mailbox", "kind = \"maildir\""), ("mailbox", "path = \"m/\""), ("mailbox", "settle = \"1s\"")];
    assert_only_problem(MINIMAL, &nowhere, "mailbox.settle", "this key is for");
    let nested = [("mailbox", "kind = \"maildir\""), ("mailbox", "path = \"staging/mail/\"")];
    assert_only_problem(LOCAL, &nested, "mailbox.path", "lie in each other");
    let plain = [("staging", "endpoint = \"http://127.0.0.1:10000/a\"")];
    assert_only_problem(MINIMAL, &plain, "staging.endpoint", "needs https");
    assert_only_problem(MINIMAL, &[("http", "listen = \"0.0.0.0:80\"")], "http.token", "not a loopback address");
    assert_only_problem(MINIMAL, &[("http", "listen = \"[::]:80\"")], "http.token", "not a loopback address");
    let open_imap =
        [("mailbox", "kind = \"imap\""), ("mailbox", "host = \"imap.example\""), ("mailbox", "tls = \"none\"")];
    assert_only_problem(MINIMAL, &open_imap, "mailbox.tls", "loopback");
    assert_only_problem(MINIMAL, &[("mapping", "automatic = false")], "mapping.automatic", "nobody is found");
    assert_only_problem(MINIMAL, &[("retry", "max = \"1ms\"")], "retry.max", "shorter than the first one");
    assert_only_problem(MINIMAL, &[("retry", "initial = \"1m\"")], "retry.initial", "shorter than the first one");
    assert_only_problem(
        LOCAL,
        &[("ledger", "password = { env = \"LEDGER_PASSWORD\" }")],
        "ledger.password",
        "postgres://",
    );
    assert_only_problem(LOCAL, &[("ledger", "replica = \"archiver-0\"")], "ledger.replica", "postgres://");
    assert_only_problem(LOCAL, &[("mailbox", "folder = \"a.b\"")], "mailbox.folder", "dot");
    assert_only_problem(MINIMAL, &[("mailbox", "settle = \"39s\"")], "mailbox.settle", "40 s");
    let short_lease = [("mailbox", "settle = \"0s\""), ("ledger", "lease = \"10s\"")];
    assert_only_problem(MINIMAL, &short_lease, "mailbox.settle", "7 s");
    let imap =
        [("mailbox", "kind = \"imap\""), ("mailbox", "host = \"imap.example\""), ("mailbox", "settle = \"39s\"")];
    assert_only_problem(MINIMAL, &imap, "mailbox.settle", "40 s");
    for cloud in ["us-gov-high", "us-gov-dod", "china"] {
        let cloud = format!("cloud = \"{cloud}\"");
        let elsewhere = [("mailbox", "method = \"import-mime\""), ("microsoft", cloud.as_str())];
        assert_only_problem(MINIMAL, &elsewhere, "mailbox.method", "global cloud only");
    }
    for class in ["Note", "IPM.", "IPM.a b", "IPM..a"] {
        let line = format!("message_class = \"{class}\"");
        assert_only_problem(MINIMAL, &[("mailbox", line.as_str())], "mailbox.message_class", "not a message class");
    }

    let without_microsoft = MINIMAL.split("[microsoft]").next().unwrap();
    let reported = problems(without_microsoft, &environment());
    assert_eq!(
        reported,
        [
            "- [microsoft]: this section is missing, and needed by users.kind = \"graph\" and mailbox.kind = \"graph\" and staging.auth = \"entra\""
        ]
    );
}

/// What lies in staging needs its details in the ledger.
#[test]
fn the_ledger_forgets_nothing_that_is_in_staging() {
    let both = |staging: &str, ledger: &str| {
        with(MINIMAL, &[("staging", &format!("retain = \"{staging}\"")), ("ledger", &format!("retain = \"{ledger}\""))])
    };
    for (staging, ledger) in
        [("30d", "30d"), ("30d", "720h"), ("1d", "400d"), ("30d", "forever"), ("forever", "forever")]
    {
        assert!(
            Config::from_text(&both(staging, ledger), Path::new(PATH), &environment()).is_ok(),
            "{staging}, {ledger}"
        );
    }
    let problem = |staging: &str, ledger: &str| {
        let reported = Config::from_text(&both(staging, ledger), Path::new(PATH), &environment()).unwrap_err();
        let [problem] = reported.problems() else { panic!("{reported}") };
        assert_eq!(problem.key, "ledger.retain");
        (problem.what.clone(), problem.instead.clone().unwrap())
    };
    let (what, instead) = problem("30d", "29d");
    assert!(what.starts_with("29d is shorter than staging.retain (30d)"), "{what}");
    assert_eq!(instead, "retain = \"30d\" or longer, or \"forever\"");
    let (what, instead) = problem("forever", "36500d");
    assert!(what.starts_with("36500d is shorter than staging.retain (forever)"), "{what}");
    assert!(instead.starts_with("retain = \"forever\", or"), "{instead}");
    // The default of staging counts too.
    assert_only_problem(MINIMAL, &[("ledger", "retain = \"29d\"")], "ledger.retain", "staging.retain (30d)");
}

#[test]
fn values_out_of_bounds_are_reported() {
    for (section, line, says) in [
        ("source", "base_url = \"http://archive.example\"", "loopback"),
        ("source", "base_url = \"https://u:p@archive.example\"", "user or password"),
        ("source", "messages_path = \"getmessages\"", "must begin with `/`"),
        ("report", "max_failed_share = \"101%\"", "not a share"),
        ("report", "max_failed_share = \"20\"", "not a share"),
        ("report", "max_failed_share = 20", "a text in quotes"),
        ("source", "messages_path = \"/a/../b\"", "must begin with `/`"),
        ("source", "attachment_path = \"/a?b\"", "must begin with `/`"),
        ("source", "username = \"a:b\"", "colon"),
        ("source", "username = \"\"", "empty"),
        ("source", "username = \" a\"", "space"),
        ("source", "username = \"a\\nb\"", "control"),
        ("source", "products = []", "empty"),
        ("source", "products = [\"phone-archiver\", \"phone-archiver\"]", "more than once"),
        ("source", "products = [\"signal\"]", "must be one of"),
        ("source", "products = \"phone-archiver\"", "a list in square brackets"),
        ("source", "page_size = 0", "between 1 and 10000"),
        ("source", "page_size = 99999999999999999999", "between 1 and 10000"),
        ("source", "downloads = -1", "between 1 and"),
        ("source", "max_attachment_size = 0", "nothing"),
        ("source", "max_attachment_size = -1", "negative"),
        ("source", "max_attachment_size = \"9 XB\"", "not a size"),
        ("source", "attachment_wait = \"1 fortnight\"", "not a duration"),
        ("schedule", "every = \"0s\"", "too short"),
        ("schedule", "every = 24", "needs a unit"),
        ("schedule", "at = \"24:00\"", "not a time of day"),
        ("schedule", "at = \"23:59:60\"", "not a time of day"),
        ("schedule", "at = 2026-11-01", "a time of day in quotes is expected"),
        ("schedule", "overlap = \"99999999999d\"", "too long"),
        ("schedule", "start_from = 2026-11-01T00:00:00", "not an instant"),
        ("schedule", "start_from = \"yesterday\"", "not an instant"),
        ("schedule", "start_from = 1969-12-31", "not an instant"),
        ("staging", "container = \"Whats_App\"", "lower-case"),
        ("staging", "container = \"a--b\"", "lower-case"),
        ("staging", "prefix = \"/a\"", "separated by"),
        ("staging", "prefix = \"a/../b\"", "separated by"),
        ("staging", "endpoint = \"https://a.example/?sig=x\"", "before any `?`"),
        ("staging", "retain = \"always\"", "not a duration"),
        ("mapping", "automatic = \"true\"", "without quotes"),
        ("mapping", "custom = \"\"", "empty"),
        ("microsoft", "tenant_id = \"a/b\"", "not a tenant"),
        ("microsoft", "tenant_id = \"fabrikam\"", "not a tenant"),
        ("microsoft", "client_id = \"…\"", "a GUID is expected"),
        ("microsoft", "client_id = \"fabrikam.example\"", "a GUID is expected"),
        ("microsoft", "client_id = \"0a1b2c3d-0002-4000-8000-00000000a99\"", "a GUID is expected"),
        ("microsoft", "client_id = \"0a1b2c3d-0002-4000-8000-00000000a99g\"", "a GUID is expected"),
        ("microsoft", "cloud = \"germany\"", "must be one of \"global\", \"us-gov-high\", \"us-gov-dod\", \"china\""),
        ("microsoft", "graph_url = \"https://graph.microsoft.com/v1.0\"", "without a path or version"),
        ("microsoft", "login_url = \"http://login.example\"", "loopback"),
        ("mailbox", "folder = \"\"", "empty"),
        ("mailbox", "folder = \"a/b\"", "slash"),
        ("mailbox", "folder = \"a\\u0007\"", "control"),
        ("mailbox", "max_item_size = \"151 MiB\"", "at most 150 MiB"),
        ("mailbox", "max_item_size = \"0 MB\"", "nothing"),
        ("mailbox", "placeholder_address_domain = \"a b\"", "not a domain"),
        ("mailbox", "per_mailbox = 0", "between 1 and"),
        ("mailbox", "concurrency = 1.5", "a whole number is expected here, not a fraction"),
        ("ledger", "lease = \"9s\"", "at least 10s"),
        ("ledger", "lease = \"24h\"", "at most 23h"),
        ("ledger", "retain = \"always\"", "not a duration"),
        ("ledger", "url = \"mysql://x\"", "sqlite:// or postgres://"),
        ("ledger", "url = \"sqlite::memory:\"", "in memory"),
        ("ledger", "url = \"sqlite://\"", "missing"),
        ("ledger", "url = \"sqlite://x?mode=memory\"", "must not hold"),
        ("ledger", "url = \"postgres://u:p@h/d\"", "a secret is never written here"),
        ("ledger", "url = \"postgres://h/d?password=p\"", "a secret is never written here"),
        ("http", "listen = \"8080\"", "not an IP address with a port"),
        ("network", "ca_file = \"/no/such\"", "can't be read"),
        ("retry", "attempts = 0", "between 1 and 100"),
        ("log", "level = \"loud\"", "must be one of"),
    ] {
        let key = line.split_once(" = ").unwrap().0;
        assert_only_problem(MINIMAL, &[(section, line)], &format!("{section}.{key}"), says);
    }
    let not_a_certificate = format!("ca_file = \"{}\"", root().join("Cargo.toml").display());
    assert_only_problem(MINIMAL, &[("network", &not_a_certificate)], "network.ca_file", "holds no certificate");
    let imap = with(MINIMAL, &[("mailbox", "kind = \"imap\""), ("mailbox", "host = \"imap.example\"")]);
    for (line, says) in [
        ("host = \"imap.example:993\"", "not a host"),
        ("port = 0", "between 1 and 65535"),
        ("port = 65536", "between 1 and 65535"),
        ("login = \"archiver\"", "must hold {mailbox}"),
        ("connections = 0", "between 1 and"),
    ] {
        let key = line.split_once(" = ").unwrap().0;
        assert_only_problem(&imap, &[("mailbox", line)], &format!("mailbox.{key}"), says);
    }
}

#[test]
fn what_is_unknown_is_reported_with_what_was_likely_meant() {
    let instead = |text: &str| {
        let reported = Config::from_text(text, Path::new(PATH), &environment()).unwrap_err();
        assert_eq!(reported.problems().len(), 1, "{reported}");
        let problem = reported.problems()[0].clone();
        (format!("{}: {}", problem.key, problem.what), problem.instead)
    };
    let (what, why) = instead(&with(MINIMAL, &[("source", "pagesize = 5")]));
    assert_eq!((what.as_str(), why.as_deref()), ("source.pagesize: unknown key", Some("page_size = 5")));
    let (_, why) = instead(&with(MINIMAL, &[("schedule", "evry = \"6h\"")]));
    assert_eq!(why.as_deref(), Some("every = \"6h\""), "what was meant, and no default");
    let (_, why) = instead(&with(MINIMAL, &[("schedule", "evry = \"aB3$xY9zQ\"")]));
    assert_eq!(why.as_deref(), Some("every = \"24h\""), "what may be a secret is not shown");
    for key in ["user_password", "userpass", "usrname_secret", "passwrd"] {
        let reported = Config::from_text(
            &with(MINIMAL, &[("source", &format!("{key} = \"correct-horse\""))]),
            Path::new(PATH),
            &environment(),
        );
        let reported = reported.unwrap_err().to_string();
        assert!(reported.contains("unknown key") && !reported.contains("correct-horse"), "{reported}");
    }
    let (what, why) = instead(&with(MINIMAL, &[("retry", "container = \"x\"")]));
    assert_eq!((what.as_str(), why.as_deref()), ("retry.container: unknown key", Some("the same key in [staging]")));
    let (what, why) = instead(&with(MINIMAL, &[("retry", "zzz = 1")]));
    assert_eq!((what.as_str(), why.as_deref()), ("retry.zzz: unknown key", Some("nothing")));
    let (what, why) = instead(&format!("{MINIMAL}[reports]\nx = 1\n"));
    assert_eq!((what.as_str(), why.as_deref()), ("reports: unknown section", Some("[report]")));
    let (what, why) = instead(&format!("page_size = 5\n{MINIMAL}"));
    assert_eq!(what, "page_size: a key outside any section");
    assert_eq!(why.as_deref(), Some("in [source]: page_size = 500"));
    let (what, why) = instead(&format!("log = \"info\"\n{MINIMAL}"));
    assert_eq!((what.as_str(), why.as_deref()), ("[log]: this is a section, not a key", Some("[log]")));
    let (what, _) = instead(&format!("{MINIMAL}[[log]]\nlevel = \"info\"\n"));
    assert_eq!(what, "[log]: there is one such section, in single brackets");
    let (what, _) = instead(&with(MINIMAL, &[("log", "level = \"inof\"")]));
    assert_eq!(what, "log.level: must be one of \"info\", \"error\", \"warn\", \"debug\", \"trace\" (found \"inof\")");
    let (what, _) = instead(&with(MINIMAL, &[("retry", "\"a\\u001b[31mb\" = 1")]));
    assert_eq!(what, "retry.a\\u{1b}[31mb: unknown key", "a terminal is not at the mercy of a key");
}

#[test]
fn every_name_that_is_near_is_suggested() {
    let reported = |text: &str| Config::from_text(text, Path::new(PATH), &environment()).unwrap_err().to_string();
    let cloud = reported(&with(MINIMAL, &[("microsoft", "cloud = \"usgov\"")]));
    assert!(cloud.contains("(found \"usgov\")\n"), "{cloud}");
    assert!(cloud.ends_with("\n    instead: cloud = \"us-gov-dod\"  or  cloud = \"us-gov-high\""), "{cloud}");
    let password = reported(&with(MINIMAL, &[("retry", "password = \"hunter2\"")]));
    assert!(
        password.ends_with("the same key in [source]  or  the same key in [mailbox]  or  the same key in [ledger]"),
        "{password}"
    );
    assert!(!password.contains("hunter2"), "{password}");
}

#[test]
fn a_key_that_is_set_twice_is_named_beside_all_other_problems() {
    let text = with(MINIMAL, &[("log", "level = \"loud\"")]) + "level = \"info\"\n[source]\npage_size = 0\n";
    let reported = problems(&text, &environment());
    assert_eq!(reported.len(), 4, "{reported:#?}");
    assert!(reported[0].contains(" log.level: must be one of"), "{reported:#?}");
    assert!(reported[1].contains(" log.level: this key is set twice"), "{reported:#?}");
    assert!(reported[2].contains(" [source]: this section is there twice"), "{reported:#?}");
    assert!(reported[3].contains(" source.page_size: must lie between 1 and 10000 (found 0)"), "{reported:#?}");
}

#[test]
fn a_variable_with_one_underscore_is_warned_of() {
    let variables = [
        ("WHATSAPP_ARCHIVER_SOURCE_PAGE_SIZE", "50"),
        ("WHATSAPP_ARCHIVER_SOURCE__PASSWORT", "hunter2"),
        ("WHATSAPP_ARCHIVER_PORT", "tcp://10.0.0.1:8080"),
        ("WHATSAPP_ARCHIVER_HTTP_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("WHATSAPP_ARCHIVER_HTTP_SERVICE_HOST", "10.0.0.1"),
        ("WHATSAPP_ARCHIVER_CONFIG", "/etc/x.toml"),
    ];
    let warned = read_with(MINIMAL, &variables).warnings;
    let shown: Vec<(&Place, Option<&str>)> =
        warned.iter().map(|warning| (&warning.place, warning.instead.as_deref())).collect();
    let variable = |name: &str| Place::Variable(name.to_owned());
    assert_eq!(
        shown,
        [
            (&variable("WHATSAPP_ARCHIVER_SOURCE_PAGE_SIZE"), Some("WHATSAPP_ARCHIVER__SOURCE__PAGE_SIZE")),
            (&variable("WHATSAPP_ARCHIVER_SOURCE__PASSWORT"), Some("WHATSAPP_ARCHIVER__SOURCE__PASSWORD")),
        ]
    );
    let missing = MINIMAL.replace("username", "#");
    let environment = environment_with(&[("WHATSAPP_ARCHIVER_SOURCE_USERNAME", "ana")]);
    let reported = Config::from_text(&missing, Path::new(PATH), &environment).unwrap_err().to_string();
    assert!(reported.contains("\nwarning: WHATSAPP_ARCHIVER_SOURCE_USERNAME (environment): "), "{reported}");
}

#[test]
fn the_template_is_refused_until_it_is_filled_in() {
    let secret = environment_with(&[("WHATSAPP_ARCHIVER__MICROSOFT__CLIENT_SECRET", "{ env = \"CLIENT_SECRET\" }")]);
    let reported = problems(EXAMPLE, &secret);
    let keys = ["microsoft.tenant_id", "microsoft.client_id"];
    assert_eq!(reported.len(), keys.len(), "{reported:#?}");
    for (reported, key) in reported.iter().zip(keys) {
        assert!(reported.contains(&format!(" {key}: this is the placeholder of the template")), "{reported}");
    }
}

#[test]
fn a_token_that_can_be_guessed_is_refused_where_others_can_try() {
    let short = environment_with(&[("STATUS_TOKEN", "fifteen letters")]);
    let open = |listen: &str| {
        let lines =
            [("http", "token = { env = \"STATUS_TOKEN\" }".to_owned()), ("http", format!("listen = \"{listen}\""))];
        let lines: Vec<(&str, &str)> = lines.iter().map(|(section, line)| (*section, line.as_str())).collect();
        with(MINIMAL, &lines)
    };
    let reported = problems(&open("0.0.0.0:8080"), &short);
    assert!(
        reported.len() == 1 && reported[0].contains("http.token: too short: at least 16 characters"),
        "{reported:?}"
    );
    assert!(!reported[0].contains("fifteen"), "{reported:?}");
    Config::from_text(&open("127.0.0.1:8080"), Path::new(PATH), &short).unwrap();
    Config::from_text(&open("0.0.0.0:8080"), Path::new(PATH), &environment()).unwrap();
}
