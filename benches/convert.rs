//! How fast items become messages: the converter, and `mail-builder` alone, which is given the finished texts and headers
//! and only writes them as MIME. In one run, in turns, because only the ratios mean something.
//!
//! `cargo bench --bench convert [-- ROUNDS]`. One thread. With `-- profile` the converter alone runs for a while.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement whose assumption is broken should end")]

use std::hint::black_box;

use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address as MailboxHeader;
use mail_builder::headers::date::Date;
use mail_builder::headers::message_id::MessageId;
use mail_builder::headers::text::Text;
use whatsapp_archiver::convert::{Address, Mail, Message, convert};
use whatsapp_archiver::item::Item;

#[path = "measure/corpus.rs"]
mod corpus;
#[path = "measure/turns.rs"]
mod turns;

use corpus::Sample;

const DOMAIN: &str = "whatsapp.invalid";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "profile") {
        return profile();
    }
    let rounds = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(15);
    report("text", &corpus::texts(1000), rounds);
    report("mixed", &corpus::mixed(200), rounds);
}

fn report(name: &str, samples: &[Sample], rounds: usize) {
    let items: Vec<Item> = samples.iter().map(Sample::item).collect();
    let mails: Vec<Mail> = samples.iter().zip(&items).map(|(sample, item)| message(sample, item).mail).collect();
    let bytes: usize = mails.iter().map(|mail| Message::new(mail.clone()).mime().len()).sum();
    let [alone, converted, read_and_alone, read_and_converted] = turns::medians(
        rounds,
        [
            &mut || mails.iter().for_each(|mail| drop(black_box(mail_builder(mail)))),
            &mut || {
                for (sample, item) in samples.iter().zip(&items) {
                    black_box(message(sample, item).mime());
                }
            },
            &mut || {
                for (sample, mail) in samples.iter().zip(&mails) {
                    black_box(sample.item());
                    black_box(mail_builder(mail));
                }
            },
            &mut || {
                for sample in samples {
                    black_box(message(sample, &sample.item()).mime());
                }
            },
        ],
    );
    println!("{name}: {} messages of {} bytes on average, {rounds} rounds", samples.len(), bytes / samples.len());
    for (what, peer, ours) in
        [("item → MIME", alone, converted), ("JSON → item → MIME", read_and_alone, read_and_converted)]
    {
        let line = |who: &str, time: std::time::Duration| {
            let (messages, bytes) = (count(samples.len()) / time.as_secs_f64(), count(bytes) / time.as_secs_f64());
            format!("{who} {messages:>7.0}/s {:>5.0} MB/s", bytes / 1e6)
        };
        let ratio = peer.as_secs_f64() / ours.as_secs_f64();
        println!("  {what:<20} {}   {}   ratio {ratio:.2}", line("mail-builder", peer), line("converter", ours));
    }
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap())
}

fn profile() {
    let samples = corpus::texts(1000);
    let items: Vec<Item> = samples.iter().map(Sample::item).collect();
    for _ in 0..300 {
        for (sample, item) in samples.iter().zip(&items) {
            black_box(message(sample, item).mime());
        }
    }
}

fn message(sample: &Sample, item: &Item) -> Message {
    convert(item, &sample.attachments, &sample.resolution, DOMAIN)
}

/// The same content as `mail-builder` writes it by itself.
fn mail_builder(mail: &Mail) -> Vec<u8> {
    fn mailbox(address: &Address) -> MailboxHeader<'_> {
        MailboxHeader::new_address(address.name.as_deref(), address.address.as_str())
    }
    let mut builder = MessageBuilder::new()
        .from(mailbox(&mail.from))
        .to(MailboxHeader::new_list(mail.to.iter().map(mailbox).collect()))
        .subject(mail.subject.as_str())
        .date(Date::new(mail.date.timestamp()))
        .message_id(mail.message_id.as_str())
        .references(MessageId::new_list(mail.references.iter().map(whatsapp_archiver::identity::MessageId::as_str)))
        .header("Thread-Topic", Text::new(mail.thread_topic.as_str()))
        .text_body(mail.text.as_str())
        .html_body(mail.html.as_str());
    if let Some(original) = &mail.in_reply_to {
        builder = builder.in_reply_to(original.as_str());
    }
    for (name, value) in &mail.extra_headers {
        builder = builder.header(*name, Text::new(value.as_str()));
    }
    for file in &mail.attachments {
        builder = builder.attachment(file.content_type.as_str(), file.name.as_str(), &file.bytes[..]);
    }
    builder.write_to_vec().unwrap()
}
