//! Staging's rows: Azure Blob Storage on the wire, and the local disk.

use std::fs;
use std::path::PathBuf;

use whatsapp_archiver::clock::{Clock as _, SystemClock};

use super::{Case, Heard, Site, Staged, Town, case, place};
use crate::kill::{kill_at, unreliable_disk};
use crate::servers::azure_wire::{AzureWire, Fault};
use crate::servers::azurite::Azurite;
use crate::servers::telemessage::MediaFault;
use crate::siege::site;

/// More tries than a run makes.
const MANY: usize = 30;

/// Azure answers so when pages are put.
async fn pages(fault: Fault) -> Heard {
    let wire = AzureWire::to(Azurite::shared().port()).await;
    let site = place(Town::Maildirs, Staged::AtAzure(wire.port()));
    (0..MANY).for_each(|_| wire.fail("PUT", "pages%2F", fault.clone()));
    Heard::run(&site).await
}

/// A policy keeps what is due to be purged.
async fn a_policy_keeps_windows() -> Heard {
    let wire = AzureWire::to(Azurite::shared().port()).await;
    // In windows that ended a day ago.
    let first = SystemClock.now() - chrono::Duration::hours(70);
    let census = site::Census { first, ..site::census(60, "rows", 3) };
    let site = Site::new(&census, Town::Maildirs, Staged::AtAzure(wire.port()));
    site.change_configuration("auth = \"sas\"", "auth = \"sas\"\nretain = \"24h\"");
    site.change_configuration("level = \"debug\"", "level = \"info\"\n[schedule]\nfirst_lookback = \"72h\"");
    let kept = Fault::error(409, "BlobImmutableDueToPolicy", "", "kept");
    (0..MANY).for_each(|_| wire.fail("DELETE", "windows%2F", kept.clone()));
    Heard::run(&site).await
}

/// The local disk fails so.
async fn disk(operation: &str, error: u8) -> Heard {
    let site = place(Town::Maildirs, Staged::Locally);
    let mut command = site.run_once();
    command.env("DISK_FAULT", format!("{operation}:{error}:/staging/:0:{}", u32::MAX));
    command.env("LD_PRELOAD", unreliable_disk());
    Heard::of(command).await
}

/// The staged pages.
fn staged_pages(site: &Site) -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut folders = vec![site.directory.path().join("staging/windows")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "json") {
                pages.push(path);
            }
        }
    }
    assert!(!pages.is_empty());
    pages
}

fn rewrite(path: &PathBuf, text: &str) {
    fs::remove_file(path).unwrap();
    fs::write(path, text).unwrap();
}

/// Somebody rewrote a page that was staged before the program died.
async fn a_page_has_other_content() -> Heard {
    let site = place(Town::Maildirs, Staged::Locally);
    // The page that comes again is the same to the byte.
    site.source.hold_time();
    assert!(kill_at(site.run_once(), "page-staged", 1));
    for page in &staged_pages(&site) {
        rewrite(page, "{}");
    }
    Heard::run(&site).await
}

/// Somebody did this to the pages of items whose copies are pending.
async fn pages_after(change: impl Fn(&PathBuf)) -> Heard {
    let site = place(Town::Maildirs, Staged::Locally);
    let mut command = site.run_once();
    command.env("DISK_FAULT", format!("create:30:/mailboxes/:0:{}", u32::MAX));
    command.env("LD_PRELOAD", unreliable_disk());
    Heard::of(command).await;
    staged_pages(&site).iter().for_each(change);
    Heard::run(&site).await
}

async fn attachments_too_large() -> Heard {
    let site = place(Town::Maildirs, Staged::Locally);
    site.change_configuration("page_size = 16", "page_size = 16\nmax_attachment_size = \"100 B\"");
    Heard::run(&site).await
}

/// A large attachment breaks off on its way into staging.
async fn a_stream_breaks_off() -> Heard {
    let census = site::Census { largest_file: 3_000_000, ..site::census(60, "rows", 3) };
    let site = Site::new(&census, Town::Maildirs, Staged::Locally);
    site.change_configuration("level = \"debug\"", "level = \"info\"");
    for (item, index) in site.source.attachments() {
        (0..MANY).for_each(|_| site.source.fail_attachment(item, index, MediaFault::BreakOff));
    }
    Heard::run(&site).await
}

pub(super) fn cases() -> Vec<Case> {
    const NOTHING: &str = "no period is archived in full yet";
    vec![
        case(
            "StagingError::Throttled",
            "Azure: 503",
            "run_finished",
            &["staging asks for a pause", "tried 4 times in", NOTHING, "wait, and try again"],
            || Box::pin(pages(Fault::error(503, "ServerBusy", "retry-after: 0\r\n", "busy"))),
        ),
        case(
            "StagingError::Unavailable",
            "Azure: 500",
            "run_finished",
            &["staging is not available", "tried 4 times in", NOTHING, "staging.endpoint"],
            || Box::pin(pages(Fault::error(500, "InternalError", "", "oops"))),
        ),
        case(
            "StagingError::Unavailable",
            "a full disk",
            "run_finished",
            &["the disk is full", "free space there", NOTHING],
            || Box::pin(disk("write", 28)),
        ),
        case(
            "StagingError::Refused",
            "Azure: 403",
            "run_finished",
            &["staging refuses", "AuthenticationFailed", NOTHING, "staging.sas"],
            || Box::pin(pages(Fault::error(403, "AuthenticationFailed", "", "no"))),
        ),
        case(
            "StagingError::Refused",
            "a read-only disk",
            "run_finished",
            &["staging refuses", "mount it writable", NOTHING],
            || Box::pin(disk("create", 30)),
        ),
        case(
            "StagingError::Conflict",
            "a page that somebody rewrote",
            "run_finished",
            &["is in staging with other content", NOTHING, "audit log"],
            || Box::pin(a_page_has_other_content()),
        ),
        case(
            "StagingError::Damaged",
            "pages that somebody rewrote",
            "item_unreadable",
            &["is damaged in staging", "item.no", "stays pending", "audit log"],
            || Box::pin(pages_after(|page| rewrite(page, &" ".repeat(100_000)))),
        ),
        case(
            "StagingError::NotFound",
            "pages that somebody removed",
            "item_unreadable",
            &["is not in staging", "item.no", "stays pending", "audit log"],
            || Box::pin(pages_after(|page| fs::remove_file(page).unwrap())),
        ),
        case(
            "StagingError::TooLarge",
            "attachments over the limit",
            "attachment_too_large",
            &["item.id", "\"limit\":100", "source.max_attachment_size", "size_exceeded"],
            || Box::pin(attachments_too_large()),
        ),
        case(
            "StagingError::StreamBroken",
            "attachments that break off",
            "run_finished",
            &["the source is not available", NOTHING, "source.base_url"],
            || Box::pin(a_stream_breaks_off()),
        ),
        case(
            "StagingError::Immutable",
            "a retention policy",
            "purge_refused",
            &["BlobImmutableDueToPolicy", "window", "a retention policy keeps"],
            || Box::pin(a_policy_keeps_windows()),
        ),
    ]
}
