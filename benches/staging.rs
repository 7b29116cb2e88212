//! How fast pages are staged in a local directory, beside the least that is durable: a file written, synchronised and
//! renamed, and its directory synchronised. In one run, in turns, because only the ratios mean something.
//!
//! `cargo bench --bench staging [-- ROUNDS]`. In the system's temporary directory, and in `/dev/shm` where that is there.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement whose assumption is broken should end")]

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use chrono::{TimeZone as _, Utc};
use tokio::runtime::Runtime;
use whatsapp_archiver::digest::Digest;
use whatsapp_archiver::source::Cursor;
use whatsapp_archiver::staging::local::LocalStaging;
use whatsapp_archiver::staging::{BlobName, Staging as _};
use whatsapp_archiver::window::Window;

#[path = "measure/turns.rs"]
mod turns;

/// A page of 500 texts has about this many bytes.
const PAGE: usize = 800_000;
const ITEMS_OF_A_PAGE: u32 = 500;
const PAGES: u32 = 20;

fn main() {
    let rounds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(7);
    println!("{PAGES} pages of {PAGE} bytes a round, {rounds} rounds, medians");
    let temporary = std::env::temp_dir();
    for parent in [temporary.as_path(), Path::new("/dev/shm")].into_iter().filter(|parent| parent.is_dir()) {
        let folder = tempfile::tempdir_in(parent).unwrap();
        let runtime = Runtime::new().unwrap();
        let staging = LocalStaging::new(folder.path().join("staging"));
        runtime.block_on(staging.prepare()).unwrap();
        let plain = folder.path().join("plain");
        fs::create_dir(&plain).unwrap();
        let (mut written, mut staged) = (0, 0);
        let [least, ours] = turns::medians(
            rounds,
            [&mut || (0..PAGES).for_each(|_| write_plainly(&plain, next_page(&mut written))), &mut || {
                for _ in 0..PAGES {
                    let (number, page) = next_page(&mut staged);
                    runtime.block_on(staging.put(&name(number, &page), page)).unwrap();
                }
            }],
        );
        let rate = |time: Duration| f64::from(PAGES * ITEMS_OF_A_PAGE) / time.as_secs_f64();
        println!(
            "  {:<10} plain {:>9.0} items/s   staging {:>9.0} items/s   ratio {:.2}",
            parent.display(),
            rate(least),
            rate(ours),
            rate(ours) / rate(least)
        );
    }
}

fn next_page(number: &mut u32) -> (u32, Bytes) {
    *number += 1;
    let filling = number.to_be_bytes()[3];
    (*number, Bytes::from(vec![filling; PAGE]))
}

fn name(number: u32, page: &Bytes) -> BlobName {
    let at = |hour| Utc.with_ymd_and_hms(2026, 11, 22, hour, 0, 0).unwrap();
    BlobName::page(Window { from: at(0), to: at(1) }, Cursor(i64::from(number)), Digest::of(page))
}

fn write_plainly(folder: &Path, (number, page): (u32, Bytes)) {
    let (draft, path) = (folder.join("draft"), folder.join(number.to_string()));
    let mut file = File::create(&draft).unwrap();
    file.write_all(&page).unwrap();
    file.sync_all().unwrap();
    fs::rename(&draft, &path).unwrap();
    File::open(folder).unwrap().sync_all().unwrap();
}
