//! Which rows an item gets: the rules of the archive in one place.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::candidate::Candidate;
use crate::identity::Identities;
use crate::item::{Item, ItemId};
use crate::ledger::{AttachmentRecord, AttachmentState, DeliveryState, NewDelivery, PartialReason, Target};
use crate::reason::Reason;
use crate::resolution::{Mailbox, Resolution, ResolvedBy, ResolvedTo};
use crate::schedule::PLAUSIBLE_SKEW;

/// What becomes of an item before anybody is asked for its mailboxes.
#[derive(Debug)]
pub(super) enum Screened {
    /// It can be imported: its mailboxes are needed.
    Importable(Box<Candidate<Item>>),
    /// An attachment may still come.
    Awaiting(Box<Candidate<Item>>, String),
    /// It is kept out for a reason.
    Rejected {
        candidate: Box<Candidate<()>>,
        /// Its number, where it has one.
        id: Option<ItemId>,
        reason: Reason,
        detail: String,
    },
}

/// Screens an item by the rules that need nobody's answer.
pub(super) fn screen(candidate: Candidate, max_item_size: u64) -> Screened {
    let (candidate, item) = candidate.split();
    let item = match item {
        Ok(item) => item,
        Err(error) => {
            let (candidate, reason, detail) = (Box::new(candidate), Reason::Malformed, error.to_string());
            return Screened::Rejected { candidate, id: None, reason, detail };
        }
    };
    if let Some((reason, detail)) = rejection(&candidate, &item, max_item_size) {
        return Screened::Rejected { candidate: Box::new(candidate), id: Some(item.id), reason, detail };
    }
    let candidate = Box::new(candidate.with_item(item));
    match candidate.awaited().map(|(index, detail)| format!("attachment {} is not there yet: {detail}", index + 1)) {
        Some(detail) => Screened::Awaiting(candidate, detail),
        None => Screened::Importable(candidate),
    }
}

/// The rule that keeps an item out, where there is one.
fn rejection(candidate: &Candidate<()>, item: &Item, max_item_size: u64) -> Option<(Reason, String)> {
    if item.encrypted {
        let detail = "its content is encrypted (securityContent is set), and this archive holds no key".to_owned();
        return Some((Reason::Encrypted, detail));
    }
    if candidate.attachments.iter().any(|attachment| attachment.state == AttachmentState::TooLarge) {
        let detail = "an attachment is larger than source.max_attachment_size and is not staged".to_owned();
        return Some((Reason::SizeExceeded, detail));
    }
    let size = item.text.len() as u64 + candidate.attached_size();
    if size > max_item_size {
        let detail =
            format!("its text and attachments have {size} bytes, over the {max_item_size} of mailbox.max_item_size");
        return Some((Reason::SizeExceeded, detail));
    }
    None
}

/// Whether an attachment that was awaited since `staged_at` is waited for no longer. An item that was staged in the future was so by a clock
/// that was ahead, and would be awaited for as long as that was: it came after its window ended, by the earlier of two clocks.
pub(super) fn waited_enough<I>(candidate: &Candidate<I>, wait: Duration, now: DateTime<Utc>) -> bool {
    let is_ahead = candidate.staged_at > now + PLAUSIBLE_SKEW;
    let since = if is_ahead { candidate.window.to } else { candidate.staged_at };
    (now - since).to_std().is_ok_and(|waited| waited >= wait)
}

/// The rows of an item whose participants are resolved.
pub(super) struct ResolvedRows {
    /// The copies.
    pub(super) mailboxes: Vec<(Mailbox, ResolvedBy)>,
    /// Rows of the item's own.
    pub(super) own: Vec<NewDelivery>,
    /// Participants without a valid user, as they came.
    pub(super) unmapped: Vec<String>,
}

/// Which mailboxes an item goes to, and what is recorded of the participants that have none.
pub(super) fn resolved_rows(item: &Item, resolution: &Resolution) -> ResolvedRows {
    let mailboxes: Vec<(Mailbox, ResolvedBy)> =
        resolution.mailboxes().into_iter().map(|(mailbox, by)| (mailbox.clone(), by)).collect();
    let mut own = Vec::new();
    let mut unmapped = Vec::new();
    for resolved in &resolution.0 {
        match &resolved.outcome {
            ResolvedTo::Mailbox { .. } => {}
            ResolvedTo::NoValidUser { .. } => unmapped.push(resolved.participant.value.clone()),
            ResolvedTo::Unanswered { detail } => {
                let target = Target::Participant(resolved.participant.key().into_owned());
                own.push(own_row(target, DeliveryState::Pending, None, detail.clone()));
            }
        }
    }
    let nobody = mailboxes.is_empty() && own.is_empty();
    let owner = item.owner.as_ref().and_then(|owner| resolution.of(owner)).map(|resolved| &resolved.outcome);
    if nobody {
        let detail = match owner {
            Some(ResolvedTo::NoValidUser { detail }) => format!("no participant is a valid user; the owner: {detail}"),
            _ if resolution.0.is_empty() => "the item names no participant".to_owned(),
            _ => "no participant is a valid user".to_owned(),
        };
        own.push(own_row(Target::Item, DeliveryState::Failed, Some(Reason::NoValidUser), detail));
    } else if let Some(ResolvedTo::NoValidUser { detail }) = owner {
        let detail = format!("the owner is no valid user, so only the others have a copy: {detail}");
        own.push(own_row(Target::Owner, DeliveryState::Failed, Some(Reason::NoValidUser), detail));
    }
    ResolvedRows { mailboxes, own, unmapped }
}

/// A row of the item's own.
pub(super) fn own_row(target: Target, state: DeliveryState, reason: Option<Reason>, detail: String) -> NewDelivery {
    NewDelivery { target, mailbox: None, identities: None, state, reason, detail: Some(detail), since: None }
}

pub(super) fn copy_row(
    mailbox: Mailbox,
    by: ResolvedBy,
    identities: Option<Identities>,
    state: DeliveryState,
) -> NewDelivery {
    NewDelivery {
        target: Target::Mailbox(mailbox.id.clone()),
        mailbox: Some((mailbox, by)),
        identities,
        state,
        reason: None,
        detail: None,
        since: None,
    }
}

/// Why an item's copies are partial, where they are: the first attachment that is left out decides.
pub(super) fn partial(attachments: &[AttachmentRecord]) -> Option<(PartialReason, String)> {
    attachments.iter().enumerate().find_map(|(index, attachment)| match &attachment.state {
        AttachmentState::Corrupt { detail, .. } => {
            Some((PartialReason::AttachmentCorrupt, format!("attachment {} is left out: {detail}", index + 1)))
        }
        AttachmentState::Missing { detail } | AttachmentState::Awaited { detail } => {
            Some((PartialReason::AttachmentMissing, format!("attachment {} is left out: {detail}", index + 1)))
        }
        AttachmentState::Inline | AttachmentState::Staged { .. } | AttachmentState::TooLarge => None,
    })
}
