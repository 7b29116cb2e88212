//! How fast pages of items are read: split into items and each item read, beside `serde_json` alone, which makes `Value`s
//! of the whole page and checks nothing. In one run, in turns, because only the ratios mean something.
//!
//! `cargo bench --bench pages [-- ROUNDS]`. One thread.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement whose assumption is broken should end")]

use std::hint::black_box;
use std::time::Duration;

use whatsapp_archiver::digest::Digest;
use whatsapp_archiver::item::Item;
use whatsapp_archiver::source::page::split_page;

#[path = "measure/corpus.rs"]
mod corpus;
#[path = "measure/turns.rs"]
mod turns;

/// What a page of the source holds by default.
const ITEMS: u32 = 500;
const PAGES: u32 = 10;

fn main() {
    let rounds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(15);
    let page = page();
    let staged_at = corpus::staged_at();
    let times = turns::medians(
        rounds,
        [
            &mut || (0..PAGES).for_each(|_| parse_into_values(&page)),
            &mut || (0..PAGES).for_each(|_| drop(black_box(split_page(&page).unwrap()))),
            &mut || {
                for range in (0..PAGES).flat_map(|_| split_page(&page).unwrap().1) {
                    black_box(Item::read(page.get(range).unwrap(), staged_at).unwrap());
                }
            },
            &mut || {
                for range in (0..PAGES).flat_map(|_| split_page(&page).unwrap().1) {
                    black_box(Digest::of(page.get(range).unwrap()));
                }
            },
        ],
    );
    println!("pages of {ITEMS} items, {} bytes, {rounds} rounds, medians of items/s", page.len());
    let names = ["serde_json into Value", "split", "split and read", "split and digest"];
    let rate = |time: Duration| f64::from(ITEMS * PAGES) / time.as_secs_f64();
    for (name, time) in names.into_iter().zip(times) {
        println!("  {name:<22} {:>9.0}   ratio {:.2}", rate(time), rate(time) / rate(times[0]));
    }
}

fn parse_into_values(page: &[u8]) {
    black_box(serde_json::from_slice::<serde_json::Value>(page).unwrap());
}

fn page() -> Vec<u8> {
    let items: Vec<String> =
        corpus::texts(ITEMS).into_iter().map(|sample| String::from_utf8(sample.raw).unwrap()).collect();
    format!(r#"{{"resultCode":0,"messages":[{}],"lastId":1,"endOfMessages":false}}"#, items.join(",")).into_bytes()
}
