//! Remotes that repeat every secret that they are sent: none of it comes into a log, the ledger, a report or any output.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::{Ended, Trial, ended};

const PASSWORD: &str = "p4ss+W0rd/7&Qz";
const CLIENT_SECRET: &str = "cl13nt~S3cret+/x.Q";
const TOKEN: &str = "eyJ0eXAiOiJKV1QifQ.eyJhdWQiOiJodHRwczovL2dyYXBoIn0.c2lnbmF0dXJlLW9mLXRoaXMtdG9rZW4";
const SIGNATURE: &str = "aBc/dEf+gHiJkLmNoPqRsTuV=";

/// A request as the server sees it.
struct Asked {
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// All that was sent, the credentials in several forms, on one line.
    fn repeated(&self) -> String {
        let credential = self.header("authorization").split(' ').next_back().unwrap_or_default().to_owned();
        let decoded = STANDARD.decode(&credential).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let encoded = utf8_percent_encode(&credential, NON_ALPHANUMERIC).to_string();
        let words = [credential.clone(), decoded.unwrap_or_default(), STANDARD.encode(&credential), encoded];
        let fields: Vec<(String, String)> = match reqwest::Url::parse(&format!("form:/?{}", self.body)) {
            Ok(url) => url.query_pairs().into_owned().collect(),
            Err(_) => Vec::new(),
        };
        let fields: Vec<String> = fields.into_iter().map(|(_, value)| value).collect();
        let (words, fields) = (words.join(" "), fields.join(" "));
        let text = format!("{words} {} {fields} {} {}", self.path, self.body, STANDARD.encode(&self.body));
        text.chars().filter(|character| !character.is_control()).collect()
    }
}

/// An answer: status, headers, body.
type Answer = (u16, Vec<(&'static str, String)>, String);

/// A server that answers each request so, at its address, for as long as the test runs.
fn http_server(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> String {
    let answer = Arc::new(answer);
    server(move |stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        while let Some(asked) = read_request(&mut reader) {
            let (status, headers, body) = answer(&asked);
            let mut reply = format!("HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n", body.len());
            for (name, value) in &headers {
                reply = reply + name + ": " + value + "\r\n";
            }
            reply = reply + "\r\n" + &body;
            if stream.write_all(reply.as_bytes()).is_err() {
                return;
            }
        }
    })
}

fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let path = lines.first()?.split(' ').nth(1)?.to_owned();
    let field = |line: &String| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let headers: Vec<(String, String)> = lines.iter().skip(1).filter_map(field).collect();
    let mut asked = Asked { path, headers, body: String::new() };
    let mut body = vec![0; asked.header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    asked.body = String::from_utf8_lossy(&body).into_owned();
    Some(asked)
}

/// Runs everything that reaches the remote of a configuration with these sections in place of the sample's.
fn assert_nothing_is_repeated(sections: &[(&str, String)], secrets: &[&str]) {
    let trial = Trial::new();
    for (name, text) in [("password", PASSWORD), ("client-secret", CLIENT_SECRET), ("sas", &signature_query())] {
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
    assert!(shown.contains("***"), "what the remote said was shown, scrubbed:\n{shown}");
    for secret in secrets {
        assert_clean("an output or log", secret, shown.as_bytes());
        assert_files_are_clean(secret, &trial.path("local-data"));
    }
}

fn signature_query() -> String {
    let encoded = utf8_percent_encode(SIGNATURE, NON_ALPHANUMERIC);
    format!("sv=2024-11-04&sp=racwdl&sr=c&se=2099-01-01T00:00:00Z&sig={encoded}")
}

fn assert_files_are_clean(secret: &str, path: &Path) {
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
fn assert_clean(place: &str, secret: &str, bytes: &[u8]) {
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
    for status in [400, 403, 409, 503] {
        let address = http_server(move |asked| azure_refusal(asked, status));
        let section = format!(
            "kind = \"azure\"\nendpoint = \"http://{address}/account\"\nauth = \"sas\"\nsas = {{ file = \"sas\" }}"
        );
        assert_nothing_is_repeated(&[("staging", section)], &[SIGNATURE]);
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
        let said = format!("SFATAL\0VFATAL\0C28P01\0Mthe password {password} is wrong\0D{password}\0\0");
        let mut refusal = vec![b'E'];
        refusal.extend((said.len() as u32 + 4).to_be_bytes());
        refusal.extend(said.as_bytes());
        let _ = stream.write_all(&refusal);
    })
}

#[test]
fn a_database_may_repeat_the_password() {
    let address = postgres_server();
    let section = format!("url = \"postgres://archiver@{address}/ledger\"\npassword = {{ file = \"password\" }}");
    assert_nothing_is_repeated(&[("ledger", section)], &[PASSWORD]);
}
