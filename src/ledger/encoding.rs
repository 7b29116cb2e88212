//! Resolutions and manifests in few bytes. As JSON they were more than half of the ledger.
//!
//! Numbers are written in groups of seven bits, the lowest first; texts with their length before them; digests as their 32 bytes.
//! A resolution refers to texts that recur by their numbers (see [`super::names`]).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::DateTime;

use super::LedgerError;
use super::names::Numbers;
use crate::convert::{Manifest, ManifestAttachment};
use crate::digest::Digest;
use crate::identity::MessageId;
use crate::item::{Participant, ParticipantKind};
use crate::resolution::{Mailbox, MailboxId, Resolution, Resolved, ResolvedBy, ResolvedTo};

/// The form of both. Whoever changes one writes another number, and goes on reading this one.
const FORM: u8 = 1;

/// The texts of a resolution that are kept under numbers. Why a directory did not answer isn't among them: it names the request, and never
/// comes again.
pub(super) fn names(resolution: &Resolution) -> impl Iterator<Item = &str> {
    resolution.0.iter().flat_map(|resolved| {
        let (first, second) = match &resolved.outcome {
            ResolvedTo::Mailbox { mailbox, .. } => (Some(mailbox.id.0.as_str()), Some(mailbox.address.as_str())),
            ResolvedTo::NoValidUser { detail } => (Some(detail.as_str()), None),
            ResolvedTo::Unanswered { .. } => (None, None),
        };
        first.into_iter().chain(second).chain(resolved.rule.as_deref())
    })
}

/// Whether a participant has no valid user.
pub(super) fn lacks_user(resolution: &Resolution) -> bool {
    resolution.0.iter().any(|resolved| matches!(resolved.outcome, ResolvedTo::NoValidUser { .. }))
}

// What the byte before a participant says.
const OUTCOME: u8 = 0b11;
const MAILBOX: u8 = 0;
const NO_VALID_USER: u8 = 1;
const UNANSWERED: u8 = 2;
const BY_EMAIL: u8 = 1 << 2;
const HAS_RULE: u8 = 1 << 3;
const LATE: u8 = 1 << 4;
const ALPHANUMERIC: u8 = 1 << 5;
const KNOWN: u8 = OUTCOME | BY_EMAIL | HAS_RULE | LATE | ALPHANUMERIC;

pub(super) fn of_resolution(resolution: &Resolution, numbers: &Numbers) -> Result<Vec<u8>, LedgerError> {
    let rows = resolution.0.iter().map(|resolved| Written::of(resolved, numbers));
    Ok(write_resolution(&rows.collect::<Result<Vec<_>, _>>()?))
}

/// A resolution without the participants that have no mailbox; nothing where nobody has one.
pub(super) fn only_mailboxes(bytes: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
    let mut rows = read_resolution(bytes)?;
    rows.retain(|row| matches!(row.outcome, WrittenOutcome::Mailbox { .. }));
    Ok((!rows.is_empty()).then(|| write_resolution(&rows)))
}

fn write_resolution(rows: &[Written<'_>]) -> Vec<u8> {
    let mut out = Writer(vec![FORM]);
    out.number(rows.len() as u64);
    for row in rows {
        let mut head = match row.outcome {
            WrittenOutcome::Mailbox { by: ResolvedBy::Csv, .. } => MAILBOX,
            WrittenOutcome::Mailbox { by: ResolvedBy::Email, .. } => MAILBOX | BY_EMAIL,
            WrittenOutcome::NoValidUser { .. } => NO_VALID_USER,
            WrittenOutcome::Unanswered { .. } => UNANSWERED,
        };
        let flags = [
            (row.rule.is_some(), HAS_RULE),
            (row.late, LATE),
            (row.kind == ParticipantKind::Alphanumeric, ALPHANUMERIC),
        ];
        flags.iter().filter(|(is_set, _)| *is_set).for_each(|(_, flag)| head |= flag);
        out.0.push(head);
        out.text(row.participant);
        match row.outcome {
            WrittenOutcome::Mailbox { id, address, .. } => [id, address].iter().for_each(|name| out.name(*name)),
            WrittenOutcome::NoValidUser { detail } => out.name(detail),
            WrittenOutcome::Unanswered { detail } => out.text(detail),
        }
        if let Some(rule) = row.rule {
            out.name(rule);
        }
    }
    out.0
}

/// The numbers of the texts that a resolution refers to.
pub(super) fn numbers_in(bytes: &[u8], numbers: &mut BTreeSet<i64>) -> Result<(), LedgerError> {
    for row in read_resolution(bytes)? {
        match row.outcome {
            WrittenOutcome::Mailbox { id, address, .. } => numbers.extend([id, address]),
            WrittenOutcome::NoValidUser { detail } => drop(numbers.insert(detail)),
            WrittenOutcome::Unanswered { .. } => {}
        }
        numbers.extend(row.rule);
    }
    Ok(())
}

/// The number of the rule that named a mailbox, where a rule did.
pub(super) fn rule_of(bytes: &[u8], mailbox: i64) -> Result<Option<i64>, LedgerError> {
    let names_it = |row: &Written<'_>| matches!(row.outcome, WrittenOutcome::Mailbox { id, .. } if id == mailbox);
    Ok(read_resolution(bytes)?.into_iter().find(names_it).and_then(|row| row.rule))
}

pub(super) fn resolution(bytes: &[u8], names: &HashMap<i64, Arc<str>>) -> Result<Resolution, LedgerError> {
    let name = |number: i64| {
        names
            .get(&number)
            .map(ToString::to_string)
            .ok_or_else(|| LedgerError::Damaged(format!("a resolution names {number}, which is no name")))
    };
    let row = |row: Written<'_>| {
        let outcome = match row.outcome {
            WrittenOutcome::Mailbox { id, address, by } => {
                ResolvedTo::Mailbox { mailbox: Mailbox { id: MailboxId(name(id)?), address: name(address)? }, by }
            }
            WrittenOutcome::NoValidUser { detail } => ResolvedTo::NoValidUser { detail: name(detail)? },
            WrittenOutcome::Unanswered { detail } => ResolvedTo::Unanswered { detail: detail.to_owned() },
        };
        let rule = row.rule.map(name).transpose()?;
        let participant = Participant { value: row.participant.to_owned(), kind: row.kind };
        Ok(Resolved { participant, outcome, rule, late: row.late })
    };
    read_resolution(bytes)?.into_iter().map(row).collect::<Result<_, _>>().map(Resolution)
}

/// A participant's part of a resolution as it is written: texts that recur by their numbers.
struct Written<'a> {
    participant: &'a str,
    kind: ParticipantKind,
    outcome: WrittenOutcome<'a>,
    rule: Option<i64>,
    late: bool,
}

enum WrittenOutcome<'a> {
    Mailbox { id: i64, address: i64, by: ResolvedBy },
    NoValidUser { detail: i64 },
    Unanswered { detail: &'a str },
}

impl<'a> Written<'a> {
    fn of(resolved: &'a Resolved, numbers: &Numbers) -> Result<Self, LedgerError> {
        let outcome = match &resolved.outcome {
            ResolvedTo::Mailbox { mailbox, by } => WrittenOutcome::Mailbox {
                id: numbers.of(&mailbox.id.0)?,
                address: numbers.of(&mailbox.address)?,
                by: *by,
            },
            ResolvedTo::NoValidUser { detail } => WrittenOutcome::NoValidUser { detail: numbers.of(detail)? },
            ResolvedTo::Unanswered { detail } => WrittenOutcome::Unanswered { detail },
        };
        let rule = resolved.rule.as_deref().map(|rule| numbers.of(rule)).transpose()?;
        let Participant { value, kind } = &resolved.participant;
        Ok(Self { participant: value, kind: *kind, outcome, rule, late: resolved.late })
    }
}

fn read_resolution(bytes: &[u8]) -> Result<Vec<Written<'_>>, LedgerError> {
    let mut read = Reader { bytes, what: "a resolution" };
    read.form()?;
    let count = read.number()?;
    let mut all = Vec::new();
    for _ in 0..count {
        let head = read.byte()?;
        if head & !KNOWN != 0 || head & BY_EMAIL != 0 && head & OUTCOME != MAILBOX {
            return Err(read.damaged());
        }
        let kind = if head & ALPHANUMERIC == 0 { ParticipantKind::Phone } else { ParticipantKind::Alphanumeric };
        let participant = read.text()?;
        let outcome = match head & OUTCOME {
            MAILBOX => {
                let by = if head & BY_EMAIL == 0 { ResolvedBy::Csv } else { ResolvedBy::Email };
                WrittenOutcome::Mailbox { id: read.name()?, address: read.name()?, by }
            }
            NO_VALID_USER => WrittenOutcome::NoValidUser { detail: read.name()? },
            UNANSWERED => WrittenOutcome::Unanswered { detail: read.text()? },
            _ => return Err(read.damaged()),
        };
        let rule = if head & HAS_RULE == 0 { None } else { Some(read.name()?) };
        all.push(Written { participant, kind, outcome, rule, late: head & LATE != 0 });
    }
    read.end()?;
    Ok(all)
}

pub(super) fn of_manifest(manifest: &Manifest) -> Result<Vec<u8>, LedgerError> {
    let mut out = Writer(vec![FORM]);
    out.0.push(u8::from(manifest.text.is_some()));
    let local = manifest.message_id.local_part();
    let half = hex::decode(local).ok().filter(|half| half.len() == 16 && hex::encode(half) == local);
    out.0.extend(half.ok_or_else(|| LedgerError::Damaged(format!("a manifest of {}", manifest.message_id)))?);
    // The sign goes into the lowest bit.
    let seconds = manifest.date.timestamp();
    out.number((seconds << 1 ^ seconds >> 63).cast_unsigned());
    out.number(u64::from(manifest.date.timestamp_subsec_nanos()));
    for digest in [Some(manifest.subject), manifest.text, Some(manifest.mime)].iter().flatten() {
        out.0.extend(digest.as_bytes());
    }
    out.number(manifest.size);
    out.number(manifest.attachments.len() as u64);
    for attachment in &manifest.attachments {
        out.text(&attachment.name);
        out.number(attachment.size);
        out.0.extend(attachment.digest.as_bytes());
    }
    Ok(out.0)
}

pub(super) fn manifest(bytes: &[u8]) -> Result<Manifest, LedgerError> {
    let mut read = Reader { bytes, what: "a manifest" };
    read.form()?;
    let has_text = match read.byte()? {
        0 => false,
        1 => true,
        _ => return Err(read.damaged()),
    };
    let message_id = MessageId::from_local_part(&hex::encode(read.take(16)?)).ok_or_else(|| read.damaged())?;
    let seconds = read.number()?;
    let seconds = (seconds >> 1).cast_signed() ^ -(seconds & 1).cast_signed();
    let nanos = u32::try_from(read.number()?).map_err(|_| read.damaged())?;
    let date = DateTime::from_timestamp(seconds, nanos).ok_or_else(|| read.damaged())?;
    let subject = read.digest()?;
    let text = if has_text { Some(read.digest()?) } else { None };
    let mime = read.digest()?;
    let size = read.number()?;
    let mut attachments = Vec::new();
    for _ in 0..read.number()? {
        attachments.push(ManifestAttachment {
            name: read.text()?.to_owned(),
            size: read.number()?,
            digest: read.digest()?,
        });
    }
    read.end()?;
    Ok(Manifest { message_id, date, subject, text, mime, size, attachments })
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        let [low, ..] = number.to_le_bytes();
        self.0.push(low);
    }

    /// The number of a name, which is never negative.
    fn name(&mut self, number: i64) {
        self.number(number.cast_unsigned());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend(text.as_bytes());
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    fn damaged(&self) -> LedgerError {
        LedgerError::Damaged(format!("{} is not what was written", self.what))
    }

    fn form(&mut self) -> Result<(), LedgerError> {
        if self.byte()? == FORM { Ok(()) } else { Err(self.damaged()) }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], LedgerError> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or_else(|| self.damaged())?;
        self.bytes = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, LedgerError> {
        self.take(1)?.first().copied().ok_or_else(|| self.damaged())
    }

    fn number(&mut self) -> Result<u64, LedgerError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            // Of the tenth byte, one bit is left.
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                // Each number is written in one way: the last byte is nothing only where it is the only one.
                return if byte == 0 && shift > 0 { Err(self.damaged()) } else { Ok(number) };
            }
        }
        Err(self.damaged())
    }

    /// The number of a name.
    fn name(&mut self) -> Result<i64, LedgerError> {
        i64::try_from(self.number()?).map_err(|_| self.damaged())
    }

    fn text(&mut self) -> Result<&'a str, LedgerError> {
        let length = usize::try_from(self.number()?).map_err(|_| self.damaged())?;
        std::str::from_utf8(self.take(length)?).map_err(|_| self.damaged())
    }

    fn digest(&mut self) -> Result<Digest, LedgerError> {
        let bytes: [u8; 32] = self.take(32)?.try_into().map_err(|_| self.damaged())?;
        Ok(Digest::from(bytes))
    }

    fn end(&self) -> Result<(), LedgerError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(self.damaged()) }
    }
}

#[cfg(test)]
mod tests;
