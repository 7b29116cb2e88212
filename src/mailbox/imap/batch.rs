//! Which messages go into one APPEND.

use std::ops::Range;

/// The most messages in one MULTIAPPEND. More gain nothing, and on Maildir they lose.
const MAX_MESSAGES: usize = 50;
/// The most bytes in one MULTIAPPEND, unless a single message is larger.
const MAX_BYTES: u64 = 4 * 1024 * 1024;
/// A message over this many bytes goes alone, and only after the server agreed to its length: one that is too large is
/// then refused before it is sent, and takes no other with it.
pub(super) const LARGE: u64 = 1024 * 1024;

/// Cuts messages of these sizes, in order, into one APPEND each; with `multi_append`, into as few as the bounds allow.
pub(super) fn groups(sizes: &[u64], multi_append: bool) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0;
    for (place, &size) in sizes.iter().enumerate() {
        match groups.last_mut() {
            Some(group) if multi_append && size <= LARGE && bytes + size <= MAX_BYTES && group.len() < MAX_MESSAGES => {
                group.end = place + 1;
                bytes += size;
            }
            _ => {
                groups.push(place..place + 1);
                // Nothing joins a large message.
                bytes = if size > LARGE { MAX_BYTES } else { size };
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_multiappend_each_goes_alone() {
        assert_eq!(groups(&[1, 2, 3], false), [0..1, 1..2, 2..3]);
        assert!(groups(&[], true).is_empty());
    }

    #[test]
    fn groups_keep_both_bounds() {
        assert_eq!(groups(&[1_000; 120], true), [0..50, 50..100, 100..120]);
        let thirds = groups(&[MAX_BYTES / 4; 9], true);
        assert_eq!(thirds, [0..4, 4..8, 8..9]);
    }

    #[test]
    fn a_large_message_goes_alone() {
        assert_eq!(groups(&[10, LARGE + 1, 10, 10], true), [0..1, 1..2, 2..4]);
        assert_eq!(groups(&[LARGE + 1, 1, LARGE + 1], true), [0..1, 1..2, 2..3]);
    }
}
