//! Warnings about an item that isn't as the contract has it.

use crate::item::{Item, ItemKey, Kind};

/// Logs a type that the contract doesn't list, and digests that nothing can be checked against.
pub(super) fn warn(item: &Item, key: ItemKey) {
    if let Kind::Unknown(_) = item.kind {
        tracing::warn!(
            event = "item_of_unknown_type",
            item.id = item.id.0,
            item.key = %key,
            "an item is of a type that this version doesn't know; its message shows it as it came"
        );
    }
    for (index, _) in item.attachments.iter().enumerate().filter(|(_, file)| file.unreadable_digest.is_some()) {
        tracing::warn!(
            event = "digest_unreadable",
            item.id = item.id.0,
            item.key = %key,
            attachment = index + 1,
            "an attachment's declared digest can't be read; its bytes are not checked against it"
        );
    }
}
