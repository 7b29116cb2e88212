//! Remotes that repeat every secret that they are sent: none of it comes into a log, the ledger, a report or any output.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::{Ended, Trial, ended};
use crate::servers::plain_http::{Answer, Asked, http_server, https_server, server};

const PASSWORD: &str = "p4ss+W0rd/7&Qz";
const CLIENT_SECRET: &str = "cl13nt~S3cret+/x.Q";
const TOKEN: &str = "eyJ0eXAiOiJKV1QifQ.eyJhdWQiOiJodHRwczovL2dyYXBoIn0.c2lnbmF0dXJlLW9mLXRoaXMtdG9rZW4";
const SIGNATURE: &str = "aBc/dEf+gHiJkLmNoPqRsTuV=";

/// Everything that reaches the remote of a configuration with these sections in place of the sample's keeps the secrets.
fn assert_nothing_is_repeated(sections: &[(&str, String)], secrets: &[&str]) {
    let (trial, shown) = everything_shown(sections);
    assert!(shown.contains("***"), "what the remote said was shown, scrubbed:\n{shown}");
    for secret in secrets {
        assert_hidden(&trial, &shown, secret);
    }
}

fn assert_hidden(trial: &Trial, shown: &str, secret: &str) {
    assert_clean("an output, a log or a page", secret, shown.as_bytes());
    assert_files_are_clean(secret, &trial.path("local-data"));
}

/// Runs all that, the daemon and its pages too: the trial, and everything that was printed, logged or shown.
fn everything_shown(sections: &[(&str, String)]) -> (Trial, String) {
    let trial = Trial::new();
    let certificate = super::failing::application_key();
    let sas = signature_query();
    let files = [("password", PASSWORD), ("client-secret", CLIENT_SECRET), ("sas", &sas), ("app.pem", &certificate)];
    for (name, text) in files {
        fs::write(trial.path("config").join(name), text).unwrap();
    }
    trial.edit("config/local.toml", |text| {
        let mut sample: toml::Table = text.parse().unwrap();
        for (name, section) in sections {
            sample.insert((*name).to_owned(), toml::Value::Table(section.parse().unwrap()));
        }
        sample.insert("retry".to_owned(), toml::Value::Table("attempts = 1".parse().unwrap()));
        sample.remove("http");
        sample.to_string()
    });
    let mut shown = String::new();
    for arguments in [
        &["check", "--online"][..],
        &["run", "--once"],
        &["status"],
        &["status", "--json"],
        &["report"],
        &["report", "--format", "json"],
        &["failures"],
        &["failures", "--format", "csv"],
        &["verify"],
    ] {
        for variables in [&[][..], &[("RUST_LOG", "trace"), ("RUST_BACKTRACE", "1")]] {
            let mut command = trial.command(arguments);
            let Ended { out, log, .. } = ended(command.envs(variables.iter().copied()));
            shown = shown + &out + &log;
        }
    }
    shown += &pages(&trial);
    (trial, shown)
}

/// What a daemon shows on its pages of the runs so far, and logs. One that can't start shows nothing.
fn pages(trial: &Trial) -> String {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut daemon = std::process::Command::new(env!("CARGO_BIN_EXE_whatsapp-archiver"))
        .arg("--config")
        .arg(trial.path("config/local.toml"))
        .arg("run")
        .env("WHATSAPP_ARCHIVER__HTTP__LISTEN", address.to_string())
        .envs([("RUST_LOG", "trace"), ("RUST_BACKTRACE", "1")])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = daemon.stderr.take().unwrap();
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        log.read_to_string(&mut text).map(|_| text).unwrap()
    });
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() && daemon.try_wait().unwrap().is_none() {
        if begun.elapsed() > Duration::from_mins(1) {
            daemon.kill().unwrap();
            panic!("nobody listens");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut shown = String::new();
    if let Some(runs) = get(address, "/api/runs") {
        shown += &runs;
        let of_runs = runs.split("\"run\":\"").skip(1).filter_map(|rest| rest.split('"').next());
        let of_runs: Vec<String> = of_runs.flat_map(|id| [format!("/runs/{id}"), format!("/api/runs/{id}")]).collect();
        assert!(!of_runs.is_empty(), "{runs}");
        for path in ["/", "/open", "/metrics", "/api/status"].map(str::to_owned).iter().chain(&of_runs) {
            shown += &get(address, path).unwrap();
        }
        let id = daemon.id().to_string();
        assert!(std::process::Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
    }
    daemon.wait().unwrap();
    shown + &reading.join().unwrap()
}

/// A page, head and body; nothing where nobody listens.
fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200"), "{path}: {reply}");
    Some(reply)
}

fn signature_query() -> String {
    let encoded = utf8_percent_encode(SIGNATURE, NON_ALPHANUMERIC);
    format!("sv=2024-11-04&sp=racwdl&sr=c&se=2099-01-01T00:00:00Z&sig={encoded}")
}

pub(crate) fn assert_files_are_clean(secret: &str, path: &Path) {
    if !path.is_dir() {
        if let Ok(bytes) = fs::read(path) {
            assert_clean(&path.display().to_string(), secret, &bytes);
        }
        return;
    }
    for entry in fs::read_dir(path).unwrap() {
        assert_files_are_clean(secret, &entry.unwrap().path());
    }
}

#[track_caller]
pub(crate) fn assert_clean(place: &str, secret: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    let json = serde_json::to_string(secret).unwrap();
    // Twelve characters of the Base64 of what begins with it.
    let base64: String = STANDARD.encode(secret).chars().take(12).collect();
    for form in [
        secret.to_owned(),
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        json.trim_matches('"').to_owned(),
        base64,
        secret.chars().take(16).collect(),
    ] {
        if let Some(at) = text.find(&form.to_lowercase()) {
            let around: String = text.get(at.saturating_sub(300)..).unwrap_or(&text).chars().take(500).collect();
            panic!("{place} holds {form}: {around}");
        }
    }
}

fn telemessage(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> (&'static str, String) {
    let address = http_server(answer);
    let section = format!(
        "kind = \"telemessage\"\nbase_url = \"http://{address}\"\nusername = \"ana\"\npassword = {{ file = \"password\" }}"
    );
    ("source", section)
}

#[test]
fn telemessage_may_repeat_the_password() {
    for status in [200, 401, 500] {
        let source = telemessage(move |asked| {
            let said = format!("not taken: {}", asked.header("authorization"));
            let said = if asked.path.len() % 2 == 0 { said } else { asked.repeated() };
            (
                status,
                vec![("x-said", asked.repeated())],
                json!({"resultCode": 309, "resultDescription": said}).to_string(),
            )
        });
        assert_nothing_is_repeated(&[source], &[PASSWORD, &STANDARD.encode(format!("ana:{PASSWORD}"))]);
    }
}

fn microsoft(address: &str) -> (&'static str, String) {
    let section = format!(
        "tenant_id = \"0a1b2c3d-0001-4000-8000-00000000ca11\"\nclient_id = \"0a1b2c3d-0002-4000-8000-00000000a99a\"\n\
         client_secret = {{ file = \"client-secret\" }}\nlogin_url = \"http://{address}\"\ngraph_url = \"http://{address}\""
    );
    ("microsoft", section)
}

/// The token endpoint gives the token; whatever else is asked is refused.
fn graph_server(refusal: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> String {
    http_server(move |asked| {
        if asked.path.ends_with("/token") {
            (200, Vec::new(), json!({"access_token": TOKEN, "expires_in": 3600}).to_string())
        } else {
            refusal(asked)
        }
    })
}

fn graph_refusal(asked: &Asked, status: u16) -> Answer {
    let error = json!({"error": {"code": asked.header("authorization"), "message": asked.repeated()}});
    if !asked.path.ends_with("$batch") {
        return (status, vec![("request-id", asked.repeated())], error.to_string());
    }
    let headers = json!({"request-id": asked.header("authorization")});
    let part = |id: usize| json!({"id": id.to_string(), "status": status, "headers": headers, "body": error});
    (200, Vec::new(), json!({"responses": (0..20).map(part).collect::<Vec<_>>()}).to_string())
}

#[test]
fn graph_may_repeat_the_token() {
    for status in [401, 403, 429, 500] {
        let address = graph_server(move |asked| graph_refusal(asked, status));
        let users = ("users", "kind = \"graph\"".to_owned());
        let mailbox = ("mailbox", "kind = \"graph\"".to_owned());
        assert_nothing_is_repeated(&[microsoft(&address), users], &[TOKEN, CLIENT_SECRET]);
        assert_nothing_is_repeated(&[microsoft(&address), mailbox], &[TOKEN, CLIENT_SECRET]);
    }
}

#[test]
fn the_sign_in_may_repeat_the_client_secret() {
    for status in [400, 401, 503] {
        let address = http_server(move |asked| {
            let said = json!({"error": "invalid_client", "error_description": asked.repeated()});
            (status, Vec::new(), said.to_string())
        });
        let users = ("users", "kind = \"graph\"".to_owned());
        assert_nothing_is_repeated(&[microsoft(&address), users], &[CLIENT_SECRET]);
    }
}

#[test]
fn the_sign_in_may_repeat_what_a_certificate_signed() {
    let sent = Arc::<Mutex<Vec<String>>>::default();
    let heard = Arc::clone(&sent);
    let address = http_server(move |asked| {
        let assertion = asked.body.split('&').find_map(|field| field.strip_prefix("client_assertion="));
        heard.lock().unwrap().extend(assertion.map(str::to_owned));
        (401, Vec::new(), json!({"error": "invalid_client", "error_description": asked.repeated()}).to_string())
    });
    let (name, section) = microsoft(&address);
    let by_secret = "client_secret = { file = \"client-secret\" }";
    let section = section.replace(by_secret, "sign_in = \"certificate\"\ncertificate = { file = \"app.pem\" }");
    let (trial, shown) = everything_shown(&[(name, section), ("users", "kind = \"graph\"".to_owned())]);
    let sent = sent.lock().unwrap().clone();
    assert!(!sent.is_empty() && shown.contains("***"), "{shown}");
    for assertion in sent {
        // Its signature, which nothing else has.
        assert_hidden(&trial, &shown, assertion.rsplit('.').next().unwrap());
    }
}

#[test]
fn a_webhook_may_repeat_its_address() {
    for status in [400, 404] {
        let address = http_server(move |asked| (status, vec![("x-said", asked.repeated())], asked.repeated()));
        let url = format!("http://{address}/services/T0SECRETPLACE/B0SECRETPLACE?key={CLIENT_SECRET}");
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), url).unwrap();
        let hook = format!("webhook = {{ file = \"{}\" }}", file.path().display());
        // A source that fails makes each run notify.
        let source = ("source", "kind = \"directory\"\npath = \"none-there\"".to_owned());
        let (trial, shown) = everything_shown(&[source, ("notify", hook)]);
        assert!(shown.contains("notify_failed"), "{shown}");
        for secret in ["T0SECRETPLACE", "B0SECRETPLACE", CLIENT_SECRET] {
            assert_hidden(&trial, &shown, secret);
        }
    }
}

fn azure_refusal(asked: &Asked, status: u16) -> Answer {
    let said = asked.repeated().replace('&', "&amp;").replace('<', "&lt;");
    let body = format!(
        "<?xml version=\"1.0\"?><Error><Code>AuthenticationFailed</Code><Message>{said}</Message>\
         <AuthenticationErrorDetail>{said}</AuthenticationErrorDetail></Error>"
    );
    let query = asked.path.split_once('?').map_or("", |(_, query)| query).to_owned();
    let said = format!("{query} {}", asked.header("authorization"));
    let headers =
        [("content-type", "application/xml".to_owned()), ("x-ms-error-code", said.clone()), ("x-ms-request-id", said)];
    (status, headers.into(), body)
}

#[test]
fn azure_may_repeat_the_signature_or_the_token() {
    let tokens = graph_server(|asked| graph_refusal(asked, 403));
    for status in [400, 403, 409, 503] {
        let address = http_server(move |asked| azure_refusal(asked, status));
        let section = format!(
            "kind = \"azure\"\nendpoint = \"http://{address}/account\"\nauth = \"sas\"\nsas = {{ file = \"sas\" }}"
        );
        assert_nothing_is_repeated(&[("staging", section)], &[SIGNATURE]);

        let (address, ca) = https_server(move |asked| azure_refusal(asked, status));
        let ca_file = tempfile::NamedTempFile::new().unwrap();
        fs::write(ca_file.path(), ca).unwrap();
        let trusted = ("network", format!("ca_file = \"{}\"", ca_file.path().display()));
        let section = ("staging", format!("kind = \"azure\"\nendpoint = \"https://{address}/account\""));
        assert_nothing_is_repeated(&[section, trusted, microsoft(&tokens)], &[TOKEN, CLIENT_SECRET]);
    }
}

/// An IMAP server that takes no sign-in: its greeting and its refusals repeat what any connection sent.
fn imap_server(capabilities: &'static str) -> String {
    server(move |stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        let mut say = |words: String| stream.write_all(format!("{words}\r\n").as_bytes()).is_ok();
        if !say("* OK ready".to_owned()) {
            return;
        }
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
            let (tag, command) = line.trim_end().split_once(' ').unwrap_or(("*", ""));
            let sent = command.split(' ').next_back().unwrap_or_default();
            let decoded = STANDARD.decode(sent).map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "));
            let decoded = decoded.unwrap_or_default().replace('\u{1}', " ");
            let said = if command.starts_with("CAPABILITY") {
                say(format!("* CAPABILITY IMAP4rev1 {capabilities}")) && say(format!("{tag} OK done"))
            } else {
                say(format!("{tag} NO [{}] {command} means {decoded}", sent.replace(']', "")))
                    && say(format!("* BYE {command}"))
            };
            if !said {
                return;
            }
            line.clear();
        }
    })
}

#[test]
fn an_imap_server_may_repeat_the_password_or_the_token() {
    for capabilities in ["AUTH=PLAIN SASL-IR", ""] {
        let address = imap_server(capabilities);
        let (host, port) = address.split_once(':').unwrap();
        let section = format!(
            "kind = \"imap\"\nhost = \"{host}\"\nport = {port}\ntls = \"none\"\nauth = \"password\"\n\
             password = {{ file = \"password\" }}\nlogin = \"{{mailbox}}*archiver\""
        );
        assert_nothing_is_repeated(&[("mailbox", section)], &[PASSWORD]);
    }
    let address = imap_server("AUTH=XOAUTH2 SASL-IR");
    let (host, port) = address.split_once(':').unwrap();
    let section = format!("kind = \"imap\"\nhost = \"{host}\"\nport = {port}\ntls = \"none\"");
    let graph = graph_server(|asked| graph_refusal(asked, 403));
    assert_nothing_is_repeated(&[microsoft(&graph), ("mailbox", section)], &[TOKEN, CLIENT_SECRET]);
}

/// A PostgreSQL that asks for the password in clear, and refuses it with it.
fn postgres_server() -> String {
    server(|mut stream| {
        const TLS_REQUEST: u32 = 80_877_103;
        let mut length = [0; 4];
        while stream.read_exact(&mut length).is_ok() {
            let mut startup = vec![0; u32::from_be_bytes(length) as usize - 4];
            stream.read_exact(&mut startup).unwrap();
            if startup.get(..4) != Some(&TLS_REQUEST.to_be_bytes()) {
                break;
            }
            stream.write_all(b"N").unwrap();
        }
        if stream.write_all(b"R\0\0\0\x08\0\0\0\x03").is_err() {
            return;
        }
        let mut header = [0; 5];
        if stream.read_exact(&mut header).is_err() {
            return;
        }
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize - 4;
        let mut password = vec![0; length];
        stream.read_exact(&mut password).unwrap();
        let password = String::from_utf8_lossy(password.strip_suffix(b"\0").unwrap()).into_owned();
        let notice = format!("SWARNING\0VWARNING\0C01000\0Mthe password {password} will end\0D{password}\0\0");
        let refusal = format!("SFATAL\0VFATAL\0C28P01\0Mthe password {password} is wrong\0D{password}\0\0");
        for (kind, said) in [(b'N', notice), (b'E', refusal)] {
            let mut message = vec![kind];
            message.extend((said.len() as u32 + 4).to_be_bytes());
            message.extend(said.as_bytes());
            let _ = stream.write_all(&message);
        }
    })
}

#[test]
fn a_database_may_repeat_the_password() {
    let address = postgres_server();
    let section = format!("url = \"postgres://archiver@{address}/ledger\"\npassword = {{ file = \"password\" }}");
    assert_nothing_is_repeated(&[("ledger", section)], &[PASSWORD]);
}
