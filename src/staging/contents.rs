//! What the names in a staging area say, for whoever has nothing else to go by: after a loss of the ledger.

use super::BlobName;
use crate::digest::Digest;
use crate::item::ItemKey;
use crate::source::Cursor;
use crate::window::Window;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedPage {
    /// The window that it lies under.
    pub window: Window,
    /// The cursor that it was asked for with.
    pub cursor: Cursor,
    pub digest: Digest,
    pub name: BlobName,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedFile {
    pub item: ItemKey,
    /// Its place among the item's attachments, from 0.
    pub index: usize,
    /// Which try of it, or the mark that the last one was wrong.
    pub attempt: Attempt,
    pub name: BlobName,
}

/// What a blob of an attachment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attempt {
    /// The bytes of a try.
    Bytes(u32),
    /// Why the bytes of the last try are wrong.
    WrongBytes,
}

/// A copy of what must outlive its window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// An item's JSON.
    Item(ItemKey),
    Attachment(ItemKey, usize),
}

impl StagedPage {
    /// Reads the name of a page; `None` where it is another blob's.
    pub fn parse(name: &BlobName) -> Option<Self> {
        let segments: Vec<&str> = name.as_str().split('/').collect();
        let ["windows", window, "pages", file] = segments.as_slice() else { return None };
        let (cursor, digest) = file.strip_suffix(".json")?.rsplit_once('-')?;
        let (window, cursor) = (Window::parse_staging_name(window)?, Cursor(cursor.parse().ok()?));
        let digest = digest.parse().ok()?;
        (BlobName::page(window, cursor, digest) == *name).then(|| Self { window, cursor, digest, name: name.clone() })
    }
}

impl StagedFile {
    /// Reads the name of an attachment; `None` where it is another blob's.
    pub fn parse(name: &BlobName) -> Option<Self> {
        let segments: Vec<&str> = name.as_str().split('/').collect();
        let ["windows", _, "attachments", item, file] = segments.as_slice() else { return None };
        let item = ItemKey(item.parse().ok()?);
        let (index, attempt) = match file.split_once('.') {
            None => (*file, Attempt::Bytes(0)),
            Some((index, "wrong")) => (index, Attempt::WrongBytes),
            Some((index, attempt)) => (index, Attempt::Bytes(attempt.parse().ok()?)),
        };
        Some(Self { item, index: index.parse().ok()?, attempt, name: name.clone() })
    }
}

impl Held {
    /// Reads the name of a held copy; `None` where it is another blob's.
    pub fn parse(name: &BlobName) -> Option<Self> {
        let segments: Vec<&str> = name.as_str().split('/').collect();
        let ["held", item, file] = segments.as_slice() else { return None };
        let item = ItemKey(item.parse().ok()?);
        match *file {
            "item.json" => Some(Self::Item(item)),
            index => Some(Self::Attachment(item, index.parse().ok()?)),
        }
    }
}

/// The window of a mark made with [`BlobName::regular_window`]; `None` where it is another blob's name.
pub fn regular_window(name: &BlobName) -> Option<Window> {
    let window = Window::parse_staging_name(name.as_str().strip_prefix(BlobName::REGULAR_WINDOWS)?)?;
    (BlobName::regular_window(window) == *name).then_some(window)
}

#[cfg(test)]
mod tests {
    use chrono::{TimeZone as _, Utc};

    use super::*;

    fn window() -> Window {
        let from = Utc.timestamp_millis_opt(1_763_690_400_123).unwrap();
        Window { from, to: from + chrono::Duration::hours(24) }
    }

    fn key() -> ItemKey {
        ItemKey(Digest::of(b"item"))
    }

    #[test]
    fn names_are_read_back() {
        let digest = Digest::of(b"page");
        for cursor in [Cursor(0), Cursor(918_273), Cursor(i64::MAX), Cursor(-1)] {
            let name = BlobName::page(window(), cursor, digest);
            assert_eq!(StagedPage::parse(&name), Some(StagedPage { window: window(), cursor, digest, name }));
        }
        for attempt in [0, 1, 63] {
            let name = BlobName::attachment(window(), key(), 3, attempt);
            let file = StagedFile { item: key(), index: 3, attempt: Attempt::Bytes(attempt), name: name.clone() };
            assert_eq!(StagedFile::parse(&name), Some(file));
        }
        let wrong = StagedFile::parse(&BlobName::wrong_attachment(window(), key(), 3)).unwrap();
        assert_eq!((wrong.item, wrong.index, wrong.attempt), (key(), 3, Attempt::WrongBytes));
        assert_eq!(Held::parse(&BlobName::held_item(key())), Some(Held::Item(key())));
        assert_eq!(Held::parse(&BlobName::held_attachment(key(), 2)), Some(Held::Attachment(key(), 2)));
        assert_eq!(regular_window(&BlobName::regular_window(window())), Some(window()));
    }

    #[test]
    fn other_names_are_nothing() {
        let window = window().staging_name();
        for name in [
            "ledger-id".to_owned(),
            format!("windows/{window}/pages/1.json"),
            format!("windows/{window}/pages/1-{}.json", Digest::of(b"x")),
            format!("windows/{window}/pages/{:020}-{}.txt", 1, Digest::of(b"x")),
            format!("windows/yesterday/pages/{:020}-{}.json", 1, Digest::of(b"x")),
            format!("windows/{window}/attachments/short/0"),
            "held/short/item.json".to_owned(),
            "regular-windows/yesterday".to_owned(),
        ] {
            let name = BlobName::parse(&name).unwrap();
            assert_eq!(StagedPage::parse(&name), None);
            assert_eq!(StagedFile::parse(&name), None);
            assert_eq!(Held::parse(&name), None);
            assert_eq!(regular_window(&name), None);
        }
    }
}
