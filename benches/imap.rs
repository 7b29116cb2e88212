//! How many text messages a second arrive in one Dovecot mailbox: through the destination, and through a client that does nothing
//! but send prepared bytes. In one run, in turns, because only the ratios mean something.
//!
//! `cargo bench --bench imap [-- MESSAGES [ROUNDS]]`. Mail lies in `/dev/shm` where that is there. Needs Dovecot.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement whose assumption is broken should end")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{TimeZone as _, Utc};
use secrecy::SecretString;
use whatsapp_archiver::clock::SystemClock;
use whatsapp_archiver::convert::{Address, Mail, Message};
use whatsapp_archiver::digest::Digest;
use whatsapp_archiver::identity::Identity;
use whatsapp_archiver::mailbox::imap::{Imap, ImapAuth, ImapSettings, ImapTimeouts, TlsMode};
use whatsapp_archiver::mailbox::{Destination as _, SendPermit};
use whatsapp_archiver::resolution::{Mailbox, MailboxId};

#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../tests/it/servers/dovecot.rs"]
mod dovecot;

use dovecot::{Dovecot, DovecotOptions, PASSWORD, Storage};

const FOLDER: &str = "WhatsApp Archiver";
const LITERAL_PLUS: &str = "IMAP4rev1 SASL-IR LITERAL+ UIDPLUS NAMESPACE";

#[tokio::main]
async fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let (count, rounds) = (numbers.next().unwrap_or(5_000), numbers.next().unwrap_or(5));
    let messages: Vec<Arc<Message>> = (0..u32::try_from(count).unwrap()).map(message).collect();
    let bytes: usize = messages.iter().map(|message| message.mime().len()).sum();
    println!("{count} messages of {} bytes on average, {rounds} rounds, medians of messages/s", bytes / count);
    for storage in [Storage::Maildir, Storage::Mdbox] {
        let multi = Measured::of(storage, None, &messages, rounds, 50).await;
        println!("{storage:?}, MULTIAPPEND:             {multi}");
        let single = Measured::of(storage, Some(LITERAL_PLUS), &messages, rounds, 1).await;
        println!("{storage:?}, pipelined APPEND, SELECT: {single}");
    }
}

/// The medians of both, in messages a second.
struct Measured {
    raw: f64,
    destination: f64,
}

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "raw {:>7.0}, door {:>7.0}, ratio {:.2}", self.raw, self.destination, self.destination / self.raw)
    }
}

impl Measured {
    async fn of(
        storage: Storage,
        capabilities: Option<&'static str>,
        messages: &[Arc<Message>],
        rounds: usize,
        group: usize,
    ) -> Self {
        let memory = Path::new("/dev/shm");
        let parent = memory.is_dir().then_some(memory);
        let dovecot = Dovecot::start(&DovecotOptions { storage, capabilities, parent, ..DovecotOptions::default() });
        let destination = destination(dovecot.port);
        let (mut raw, mut ours) = (Vec::new(), Vec::new());
        for round in 0..=rounds {
            let raw_time = send_raw(dovecot.port, &format!("raw{round}"), messages, group);
            let our_time = send_through(&destination, &format!("door{round}"), messages).await;
            // The first round warms Dovecot up.
            if round > 0 {
                raw.push(raw_time);
                ours.push(our_time);
            }
        }
        let rate = |mut times: Vec<Duration>| {
            times.sort();
            f64::from(u32::try_from(messages.len()).unwrap()) / times.get(rounds / 2).unwrap().as_secs_f64()
        };
        Self { raw: rate(raw), destination: rate(ours) }
    }
}

fn destination(port: u16) -> Imap {
    let settings = ImapSettings {
        host: "127.0.0.1".to_owned(),
        port,
        tls: TlsMode::None,
        auth: ImapAuth::Password(Arc::new(|| Ok(SecretString::from(PASSWORD)))),
        login: "{mailbox}".to_owned(),
        folder: FOLDER.to_owned(),
        connections: 1,
        extra_roots_pem: None,
        timeouts: ImapTimeouts::default(),
        settle: Duration::ZERO,
    };
    Imap::new(settings, Arc::new(SystemClock)).unwrap()
}

/// Signed in and with its folder made, as the raw client is before it is measured.
async fn send_through(destination: &Imap, name: &str, messages: &[Arc<Message>]) -> Duration {
    let mailbox = Mailbox { id: MailboxId(name.to_owned()), address: format!("{name}@contoso.example") };
    let (first, rest) = messages.split_first().unwrap();
    assert!(
        destination
            .import(&mailbox, std::slice::from_ref(first), &SendPermit::always())
            .await
            .iter()
            .all(Result::is_ok)
    );
    let begun = Instant::now();
    for batch in rest.chunks(destination.limits().batch_messages) {
        assert!(destination.import(&mailbox, batch, &SendPermit::always()).await.iter().all(Result::is_ok));
    }
    begun.elapsed()
}

/// Prepared bytes in one direction, lines in the other; `group` messages in a command.
fn send_raw(port: u16, name: &str, messages: &[Arc<Message>], group: usize) -> Duration {
    let mut output = Vec::new();
    for (number, messages) in messages.chunks(group).enumerate() {
        output.extend_from_slice(format!("a{number} APPEND \"{FOLDER}\"").as_bytes());
        for message in messages {
            let mime = message.mime();
            let date = message.mail.date.format("%d-%b-%Y %H:%M:%S +0000");
            output.extend_from_slice(format!(" (\\Seen) \"{date}\" {{{}+}}\r\n", mime.len()).as_bytes());
            output.extend_from_slice(mime);
        }
        output.extend_from_slice(b"\r\n");
    }
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut wait_for = |tag: &str| {
        let line = lines.by_ref().map(Result::unwrap).find(|line| line.starts_with(tag)).unwrap();
        assert!(line.contains(" OK "), "{line}");
    };
    write!(stream, "s1 LOGIN \"{name}@contoso.example\" {{{}+}}\r\n{PASSWORD}\r\n", PASSWORD.len()).unwrap();
    wait_for("s1 ");
    write!(stream, "s2 CREATE \"{FOLDER}\"\r\n").unwrap();
    wait_for("s2 ");
    if group == 1 {
        write!(stream, "s3 SELECT \"{FOLDER}\"\r\n").unwrap();
        wait_for("s3 ");
    }
    let begun = Instant::now();
    let commands = messages.len().div_ceil(group);
    let writing = std::thread::spawn(move || stream.write_all(&output).unwrap());
    for number in 0..commands {
        wait_for(&format!("a{number} "));
    }
    let elapsed = begun.elapsed();
    writing.join().unwrap();
    elapsed
}

fn message(number: u32) -> Arc<Message> {
    let address = |name: &str| Address { name: Some(name.to_owned()), address: format!("{name}@contoso.example") };
    let text = format!("Message {number}. {}\n", "Shall we meet at nine? Ça va, à demain — ありがとう. ".repeat(4));
    let message = Message::new(Mail {
        message_id: Identity(Digest::of(&number.to_be_bytes())).message_id(),
        in_reply_to: None,
        references: Vec::new(),
        date: Utc.timestamp_opt(1_795_000_000 + i64::from(number), 0).unwrap(),
        from: address("ana"),
        to: vec![address("bo")],
        subject: format!("WhatsApp message {number}"),
        thread_topic: "Desk".to_owned(),
        extra_headers: vec![("X-WhatsApp-Archiver-Item", number.to_string())],
        html: format!("<html><body><p>{text}</p></body></html>"),
        text,
        attachments: Vec::new(),
    });
    message.mime();
    Arc::new(message)
}
