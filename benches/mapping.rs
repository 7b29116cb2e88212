//! How fast a mapping file of 100,000 lines is read and checked, beside the `csv` crate alone, which fills a `HashMap` and
//! checks nothing; and how fast numbers are looked up. In one run, in turns, because only the ratios mean something.
//!
//! `cargo bench --bench mapping [-- ROUNDS]`. One thread.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement whose assumption is broken should end")]

use std::collections::HashMap;
use std::hint::black_box;

use whatsapp_archiver::item::{Identifier, PhoneNumber};
use whatsapp_archiver::resolve::mapping::Mapping;

#[path = "measure/turns.rs"]
mod turns;

const LINES: u32 = 100_000;

fn main() {
    let rounds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(15);
    let file = file();
    let (mapping, warnings) = Mapping::read(&file, "mapping.csv").unwrap();
    assert!(mapping.len() == LINES as usize && warnings.is_empty());
    let map = csv_alone(&file);
    let numbers: Vec<PhoneNumber> = (0..LINES).map(|line| PhoneNumber::read(&number(line)).unwrap()).collect();
    let identifiers: Vec<Identifier> = numbers.iter().cloned().map(Identifier::Number).collect();
    let now = chrono::DateTime::UNIX_EPOCH;
    let [read_alone, read, find_alone, find] = turns::medians(
        rounds,
        [
            &mut || drop(black_box(csv_alone(&file))),
            &mut || drop(black_box(Mapping::read(&file, "mapping.csv").unwrap())),
            &mut || numbers.iter().for_each(|number| assert!(map.contains_key(number.digits()))),
            &mut || identifiers.iter().for_each(|number| assert!(mapping.holder(number, now).is_some())),
        ],
    );
    println!("{LINES} lines, {} bytes, {rounds} rounds, medians", file.len());
    for (name, alone, ours) in [("read", read_alone, read), ("find each number", find_alone, find)] {
        let ratio = alone.as_secs_f64() / ours.as_secs_f64();
        println!("  {name:<17} csv and HashMap {alone:>8.1?}   mapping {ours:>8.1?}   ratio {ratio:.2}");
    }
}

fn csv_alone(file: &[u8]) -> HashMap<String, String> {
    csv::Reader::from_reader(file).into_deserialize().map(Result::unwrap).collect()
}

/// In no order, as people's numbers are.
fn number(line: u32) -> String {
    format!("1555{:07}", u64::from(line) * 7_919_333 % 10_000_000)
}

fn file() -> Vec<u8> {
    let lines = (0..LINES).map(|line| format!("{},employee.{line}@contoso.example\n", number(line)));
    format!("External User ID,Microsoft 365 User Mailbox\n{}", lines.collect::<String>()).into_bytes()
}
