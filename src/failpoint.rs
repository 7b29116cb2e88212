//! Named points at which tests end the process as a power cut would: no destructors, no flushing.
//!
//! Compiled to nothing without the feature `fail-points`. With it, `WHATSAPP_ARCHIVER_FAIL_AT=name:n` ends the process
//! when the point `name` is passed for the n-th time; `name:n:words` panics there with these words instead.

/// A page lies in staging, and the ledger doesn't know it.
pub const PAGE_STAGED: &str = "page-staged";
/// A page is recorded, and its items go on.
pub const PAGE_RECORDED: &str = "page-recorded";
/// A window was read to its end, and the watermark hasn't moved.
pub const WINDOW_READ: &str = "window-read";
/// Copies are claimed, and about to be sent.
pub const INTENT_RECORDED: &str = "intent-recorded";
/// A batch was imported, and the ledger doesn't know it.
pub const BATCH_IMPORTED: &str = "batch-imported";
pub const OUTCOMES_RECORDED: &str = "outcomes-recorded";
/// A run's account is frozen, and the run hasn't ended.
pub const ACCOUNT_FROZEN: &str = "account-frozen";
/// A rebuilt ledger has taken the staging area over, and has looked nothing up. Passed by rebuilding alone.
pub const STAGING_TAKEN_OVER: &str = "staging-taken-over";
/// Items of a window are shrunk, and the window isn't done. Passed only where `ledger.retain` has something to shrink.
pub const ITEMS_SHRUNK: &str = "items-shrunk";

/// All points of a regular run, for the tests that pass through each of them.
pub const ALL: [&str; 7] =
    [PAGE_STAGED, PAGE_RECORDED, WINDOW_READ, INTENT_RECORDED, BATCH_IMPORTED, OUTCOMES_RECORDED, ACCOUNT_FROZEN];

/// Passes a point.
///
/// # Panics
///
/// Where a test asks for it.
#[cfg(feature = "fail-points")]
#[allow(clippy::panic, reason = "a test asks for it")]
pub fn pass(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static PASSED: AtomicU32 = AtomicU32::new(0);
    static ORDER: OnceLock<Option<(String, u32, Option<String>)>> = OnceLock::new();
    let order = ORDER.get_or_init(|| {
        let order = std::env::var("WHATSAPP_ARCHIVER_FAIL_AT").ok()?;
        let mut parts = order.splitn(3, ':');
        Some((parts.next()?.to_owned(), parts.next()?.parse().ok()?, parts.next().map(str::to_owned)))
    });
    if let Some((wanted, count, words)) = order
        && wanted == name
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *count
    {
        match words {
            Some(words) => panic!("{words}"),
            None => std::process::abort(),
        }
    }
}

/// Passes a point: nothing happens.
#[cfg(not(feature = "fail-points"))]
#[inline]
pub fn pass(_name: &str) {}
