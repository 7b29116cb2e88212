//! `X-WhatsApp-Archiver-…`: what searches, rules and the archive's own tools read from a message's header.
//!
//! Their order matters: Microsoft Graph takes five headers with a message, and they are the first five. Those are the
//! facts that stand nowhere else in what Graph stores as properties: what the item is, WhatsApp's id and thread, whose
//! archive it came from, and the item's number. Product and direction are in the body too. The receiving time is in the body
//! alone, and the converter version is recorded with each copy.

use super::attachment::MissingAttachment;
use super::kind;
use super::people::{display_text, number_or_value};
use crate::item::{Direction, ImpossibleTime, Item, Product};

const MAX_VALUE_CHARACTERS: usize = 500;

/// The headers of an item's message, the most important first.
pub(super) fn of(item: &Item, missing: &[MissingAttachment]) -> Vec<(&'static str, String)> {
    let owner = item.owner.as_ref().map(number_or_value);
    let substituted = item.time.substituted.as_ref().map(|own| {
        let own = match own {
            ImpossibleTime::Missing => "missing".to_owned(),
            ImpossibleTime::Impossible(millis) => millis.to_string(),
            ImpossibleTime::Unreadable(shown) => {
                format!("can't be read: {}", display_text(shown, MAX_VALUE_CHARACTERS))
            }
        };
        format!("messageTime {own}; the receiving time stands in its place")
    });
    let attachments = item.attachments.len().max(missing.len());
    let partial = (!missing.is_empty()).then(|| format!("{} of {attachments} attachments missing", missing.len()));
    let headers = [
        ("X-WhatsApp-Archiver-Item", Some(item.id.to_string())),
        ("X-WhatsApp-Archiver-Message-ID", line(Some(&item.message_id))),
        ("X-WhatsApp-Archiver-Kind", Some(kind::token(item).to_owned())),
        ("X-WhatsApp-Archiver-Thread", line(item.thread_id.as_deref())),
        ("X-WhatsApp-Archiver-Owner", owner),
        ("X-WhatsApp-Archiver-Product", product(&item.product)),
        ("X-WhatsApp-Archiver-Direction", item.direction.map(direction)),
        ("X-WhatsApp-Archiver-Time-Substituted", substituted),
        ("X-WhatsApp-Archiver-Partial", partial),
    ];
    headers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn product(product: &Product) -> Option<String> {
    match product {
        Product::PhoneArchiver => Some("phone-archiver".to_owned()),
        Product::CloudArchiver => Some("cloud-archiver".to_owned()),
        Product::Other(other) => line(Some(other)),
    }
}

fn direction(direction: Direction) -> String {
    match direction {
        Direction::In => "in".to_owned(),
        Direction::Out => "out".to_owned(),
    }
}

fn line(text: Option<&str>) -> Option<String> {
    text.map(|text| display_text(text, MAX_VALUE_CHARACTERS)).filter(|text| !text.is_empty())
}
