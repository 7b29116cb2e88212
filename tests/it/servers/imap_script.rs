//! An IMAP server that keeps one mailbox in memory and does at each sign-in and each APPEND what it is told to: Exchange
//! Online's replies, and every way to lose a connection.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use whatsapp_archiver::mailbox::SendPermit;

/// What Exchange Online announces.
pub(crate) const EXCHANGE: &str =
    "IMAP4 IMAP4rev1 AUTH=XOAUTH2 SASL-IR UIDPLUS MOVE ID UNSELECT CHILDREN IDLE NAMESPACE LITERAL+";
/// The most errors of a connection before Exchange Online hangs up.
const MAX_ERRORS: usize = 10;

/// What becomes of an APPEND.
#[derive(Debug, Clone)]
pub(crate) enum OnAppend {
    /// It is kept.
    Keep,
    /// It is read, and answered so instead of kept: `NO …`, `BAD …`.
    Answer(&'static str),
    /// It is answered so as soon as its first line is there, instead of asking for the rest.
    RefuseUnread(&'static str),
    /// It is kept, and the connection ends without a word.
    KeepAndHangUp,
    /// The connection ends after so many bytes of the message.
    HangUpWithin(usize),
    /// It is read, then the server says this and hangs up.
    Say(&'static str),
    /// It is read, and never answered.
    FallSilent,
}

/// What the server is like.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    /// What it announces, before and after the sign-in.
    pub(crate) capabilities: &'static str,
    /// How it greets.
    pub(crate) greeting: &'static str,
    /// The answers to the first sign-ins; later ones succeed.
    pub(crate) sign_ins: VecDeque<&'static str>,
    /// What becomes of the first APPENDs; later ones are kept.
    pub(crate) appends: VecDeque<OnAppend>,
    /// How it answers everything after the sign-in, instead of doing it.
    pub(crate) refuses_all: Option<&'static str>,
    /// The name of the command at which it begins to talk, line by line, without ever answering; "" is the greeting, which
    /// never ends its line.
    pub(crate) drips_at: Option<&'static str>,
    /// How many more times it does.
    pub(crate) drips: usize,
    /// How it answers commands of this name, data included, instead of doing them.
    pub(crate) answers: Vec<(&'static str, String)>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            capabilities: EXCHANGE,
            greeting: "* OK The Microsoft Exchange IMAP4 service is ready.",
            sign_ins: VecDeque::new(),
            appends: VecDeque::new(),
            refuses_all: None,
            drips_at: None,
            drips: usize::MAX,
            answers: Vec::new(),
        }
    }
}

impl Script {
    /// A script for the first APPENDs.
    pub(crate) fn of_appends(appends: impl IntoIterator<Item = OnAppend>) -> Self {
        Self { appends: appends.into_iter().collect(), ..Self::default() }
    }
}

/// What the server has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) connections: usize,
    /// Every command line, without its tag.
    pub(crate) commands: Vec<String>,
    /// The messages that were kept.
    pub(crate) kept: Vec<Vec<u8>>,
}

impl Seen {
    /// What each sign-in by a token said.
    pub(crate) fn sign_ins(&self) -> Vec<String> {
        let said = |line: &String| line.strip_prefix("AUTHENTICATE XOAUTH2 ").map(str::to_owned);
        let decoded = |said: String| String::from_utf8(STANDARD.decode(said).unwrap()).unwrap();
        self.commands.iter().filter_map(said).map(decoded).collect()
    }

    fn count(&self, command: &str) -> usize {
        self.commands.iter().filter(|line| line.starts_with(command)).count()
    }
}

/// The running server; it ends with the test.
pub(crate) struct ImapScript {
    pub(crate) port: u16,
    seen: Arc<Mutex<Seen>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl ImapScript {
    /// Starts one.
    pub(crate) async fn start(script: Script) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = Arc::new(Mutex::new(script));
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared_seen = Arc::clone(&seen);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared_seen.lock().unwrap().connections += 1;
                let (script, seen) = (Arc::clone(&script), Arc::clone(&shared_seen));
                tokio::spawn(async move {
                    // An end is what the script or the client wants.
                    Dialogue { stream: BufReader::new(stream), script, seen, errors: 0, is_signed_in: false }
                        .run()
                        .await;
                });
            }
        });
        Self { port, seen, accepting }
    }

    /// Looks at what the server has seen.
    pub(crate) fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.seen.lock().unwrap())
    }

    /// How many messages were kept.
    pub(crate) fn kept(&self) -> usize {
        self.seen(|seen| seen.kept.len())
    }

    /// How many commands of this name came.
    pub(crate) fn count(&self, command: &str) -> usize {
        self.seen(|seen| seen.count(command))
    }

    /// A permit in force until the server has seen a command of this name.
    pub(crate) fn permit_until(&self, command: &'static str) -> SendPermit {
        let seen = Arc::clone(&self.seen);
        SendPermit::new(move || seen.lock().unwrap().count(command) == 0)
    }
}

impl Drop for ImapScript {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Dialogue {
    stream: BufReader<TcpStream>,
    script: Arc<Mutex<Script>>,
    seen: Arc<Mutex<Seen>>,
    errors: usize,
    is_signed_in: bool,
}

impl Dialogue {
    /// `None` ends the connection.
    async fn run(mut self) -> Option<()> {
        if self.drips_at("") {
            self.drip("* OK").await?;
        }
        let greeting = self.script.lock().unwrap().greeting;
        self.say(greeting).await?;
        loop {
            let line = self.line().await?;
            let (tag, command) = line.split_once(' ')?;
            self.seen.lock().unwrap().commands.push(command.to_owned());
            self.answer(tag, command).await?;
            if self.errors >= MAX_ERRORS {
                self.say("* BYE Connection is closed. 13").await?;
                return None;
            }
        }
    }

    async fn answer(&mut self, tag: &str, command: &str) -> Option<()> {
        let name = command.split(' ').next()?.to_owned();
        if self.drips_at(&name) {
            self.drip("* OK still at it\r\n").await?;
        }
        let refused = self.script.lock().unwrap().refuses_all;
        if let Some(refusal) = refused.filter(|_| self.is_signed_in) {
            // What came along unasked has to be read all the same.
            self.message(command).await?;
            return self.end(tag, refusal).await;
        }
        let scripted = self.script.lock().unwrap().answers.iter().find(|(of, _)| command.starts_with(of)).cloned();
        if let Some((_, answer)) = scripted {
            return self.say(&answer.replace("TAG", tag)).await;
        }
        match name.as_str() {
            "CAPABILITY" => {
                let capabilities = self.script.lock().unwrap().capabilities;
                self.say(&format!("* CAPABILITY {capabilities}")).await?;
            }
            "AUTHENTICATE" | "LOGIN" => return self.sign_in(tag, command).await,
            "NAMESPACE" => self.say(r#"* NAMESPACE (("" "/")) (("Other Users/" "/")) NIL"#).await?,
            "LIST" => {
                for folder in ["INBOX", "\"WhatsApp Archiver\"", "\"Other Users/bo\""] {
                    self.say(&format!(r#"* LIST () "/" {folder}"#)).await?;
                }
            }
            "EXAMINE" | "SELECT" => self.say("* OK [UIDVALIDITY 7] UIDs valid").await?,
            "UID" => self.say("* SEARCH").await?,
            "APPEND" => return self.append(tag, command).await,
            _ => {}
        }
        self.end(tag, "OK done").await
    }

    fn drips_at(&self, place: &str) -> bool {
        let mut script = self.script.lock().unwrap();
        let drips = script.drips_at == Some(place) && script.drips > 0;
        script.drips -= usize::from(drips);
        drips
    }

    /// Talks until nobody listens any more.
    async fn drip(&mut self, words: &str) -> Option<()> {
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(5));
        loop {
            pace.tick().await;
            self.stream.get_mut().write_all(words.as_bytes()).await.ok()?;
        }
    }

    async fn sign_in(&mut self, tag: &str, command: &str) -> Option<()> {
        if command.starts_with("AUTHENTICATE") && command.split(' ').count() < 3 {
            self.say("+ ").await?;
            let answer = self.line().await?;
            self.seen.lock().unwrap().commands.push(format!("SASL {answer}"));
        }
        let answer = self.script.lock().unwrap().sign_ins.pop_front();
        let Some(answer) = answer else {
            self.is_signed_in = true;
            return self.end(tag, "OK AUTHENTICATE completed.").await;
        };
        if let Some(challenge) = answer.strip_prefix("+ ") {
            self.say(&format!("+ {challenge}")).await?;
            self.line().await?;
            return self.end(tag, "NO AUTHENTICATE failed.").await;
        }
        self.end(tag, answer).await
    }

    async fn append(&mut self, tag: &str, command: &str) -> Option<()> {
        let action = self.script.lock().unwrap().appends.pop_front().unwrap_or(OnAppend::Keep);
        match action {
            OnAppend::RefuseUnread(answer) => return self.end(tag, answer).await,
            OnAppend::HangUpWithin(count) => {
                self.ask_for_more(command).await?;
                let mut part = vec![0; count];
                self.stream.read_exact(&mut part).await.ok()?;
                return None;
            }
            _ => {}
        }
        let messages = self.message(command).await?;
        let count = messages.len();
        if matches!(action, OnAppend::Keep | OnAppend::KeepAndHangUp) {
            self.seen.lock().unwrap().kept.extend(messages);
        }
        match action {
            OnAppend::Keep => {
                let last = self.seen.lock().unwrap().kept.len();
                self.end(tag, &format!("OK [APPENDUID 7 {}:{last}] done", last + 1 - count)).await
            }
            OnAppend::Answer(answer) => self.end(tag, answer).await,
            OnAppend::Say(words) => {
                self.say(words).await?;
                None
            }
            OnAppend::FallSilent => std::future::pending().await,
            _ => None,
        }
    }

    /// Reads the literals of a command, and the line that ends it.
    async fn message(&mut self, command: &str) -> Option<Vec<Vec<u8>>> {
        let mut messages = Vec::new();
        let mut line = command.to_owned();
        while let Some(length) = announced(&line) {
            self.ask_for_more(&line).await?;
            let mut message = vec![0; length];
            self.stream.read_exact(&mut message).await.ok()?;
            messages.push(message);
            line = self.line().await?;
        }
        Some(messages)
    }

    async fn ask_for_more(&mut self, line: &str) -> Option<()> {
        if line.ends_with("+}") { Some(()) } else { self.say("+ Ready for additional command text.").await }
    }

    async fn end(&mut self, tag: &str, status: &str) -> Option<()> {
        if !status.starts_with("OK") {
            self.errors += 1;
        }
        self.say(&format!("{tag} {status}")).await
    }

    async fn say(&mut self, line: &str) -> Option<()> {
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).await.ok()
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).await.ok()?;
        Some(String::from_utf8_lossy(line.strip_suffix(b"\r\n")?).into_owned())
    }
}

/// The length of the literal that a line announces.
fn announced(line: &str) -> Option<usize> {
    let (_, length) = line.strip_suffix('}')?.rsplit_once('{')?;
    length.trim_end_matches('+').parse().ok()
}
