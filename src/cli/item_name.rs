//! How the command line names an item.

use crate::item::{ItemId, ItemKey};
use crate::ledger::{ItemName, ItemNo, Ledger};

/// Reads TeleMessage's number of an item, `#70` as `failures` shows an item that can't be read, or the SHA-256 of its bytes.
///
/// # Errors
///
/// The text is none of these; says what may be written.
pub(super) fn read(text: &str) -> Result<ItemName, String> {
    let number = text.strip_prefix('#').map(|no| no.parse().map(|no| ItemName::Capture(ItemNo(no))));
    let number = number.unwrap_or_else(|| text.parse().map(|id| ItemName::Item(ItemId(id))));
    let key = || text.parse().map(|digest| ItemName::Key(ItemKey(digest)));
    number.or_else(|_| key()).map_err(|_| {
        "not an item: write TeleMessage's number, `#70` as `failures` shows it, or the SHA-256 of its bytes".to_owned()
    })
}

/// A name as it is written on the command line.
pub(super) fn shown(name: &ItemName) -> String {
    match name {
        ItemName::Item(id) => id.to_string(),
        ItemName::Capture(no) => format!("#{}", no.0),
        ItemName::Key(key) => key.to_string(),
        ItemName::MessageId(id) => id.to_string(),
        ItemName::WhatsApp(id) => id.clone(),
    }
}

/// The items that a name fits, where one was given.
pub(super) async fn find(ledger: &Ledger, name: Option<&ItemName>) -> anyhow::Result<Option<Vec<ItemNo>>> {
    let Some(name) = name else { return Ok(None) };
    Ok(Some(ledger.captures(name).await?.iter().map(|item| item.no).collect()))
}
