//! How fast converted messages are exported, in each format, beside their bytes written into one file. In one run, in
//! turns, because only the ratios mean something.
//!
//! `cargo bench --bench export [-- ROUNDS]`. In `/dev/shm` where that is there, else in the system's temporary directory.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement whose assumption is broken should end")]

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Duration;

use whatsapp_archiver::convert::{Message, convert};
use whatsapp_archiver::export::{Exporter, Format, Options};
use whatsapp_archiver::item::Item;
use whatsapp_archiver::resolution::Resolution;

#[path = "measure/corpus.rs"]
mod corpus;
#[path = "measure/turns.rs"]
mod turns;

fn main() {
    let rounds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(7);
    report("text", corpus::texts(2000), rounds);
    report("mixed", corpus::mixed(200), rounds);
}

fn report(name: &str, samples: Vec<corpus::Sample>, rounds: usize) {
    let messages: Vec<(Item, Resolution, Message)> = samples
        .into_iter()
        .map(|sample| {
            let item = sample.item();
            let message = convert(&item, &sample.attachments, &sample.resolution, "whatsapp.invalid");
            message.mime();
            (item, sample.resolution, message)
        })
        .collect();
    let bytes: usize = messages.iter().map(|(_, _, message)| message.mime().len()).sum();
    let export = |format| {
        let folder = folder();
        let mut exporter = Exporter::new(&Options::new(format), folder.path()).unwrap();
        for (item, resolution, message) in &messages {
            exporter.add(item, resolution, message).unwrap();
        }
        exporter.finish().unwrap();
    };
    let plain = || {
        let folder = folder();
        let mut file = BufWriter::new(File::create(folder.path().join("plain")).unwrap());
        for (_, _, message) in &messages {
            file.write_all(message.mime()).unwrap();
        }
        file.flush().unwrap();
    };
    let [plain, eml, mbox, rsmf] = turns::medians(
        rounds,
        [&mut || plain(), &mut || export(Format::Eml), &mut || export(Format::Mbox), &mut || export(Format::Rsmf)],
    );
    println!("{name}: {} messages, {} bytes on average, {rounds} rounds", messages.len(), bytes / messages.len());
    for (what, time) in [("plain", plain), ("eml", eml), ("mbox", mbox), ("rsmf", rsmf)] {
        let rate = |count: usize, time: Duration| f64::from(u32::try_from(count).unwrap()) / time.as_secs_f64();
        let (messages, bytes) = (rate(messages.len(), time), rate(bytes, time) / 1e6);
        println!("  {what:<6} {messages:>8.0} messages/s {bytes:>6.0} MB/s");
    }
}

/// Goes with everything in it, as part of what is measured.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}
