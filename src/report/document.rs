//! The whole report as one JSON document, drawn from the ledger piece by piece: its lists may be long, what is held in
//! memory never is.
//!
//! A report in the chain has more members than one that is printed: its place, the report before it, the
//! administrator's own actions and the pages that were staged. Drawn twice, it has the same bytes.

use std::io::Write;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use serde_json::{Value, json};

use super::Report;
use super::lists::{MAX_MAPPING_RULES, MAX_UNMAPPED, Numbers, WriteError, failure_json, partial_json};
use crate::digest::Digest;
use crate::item::text::harmless_json;
use crate::ledger::{DeliveryState, Failure, FailureFilter, Ledger, ListPlace, MappingRule, RunId};

/// Rows that are read from the ledger at a time: the content of one piece.
const ROWS: u32 = 1000;

/// A report's place in the chain, as members of its document.
#[derive(Debug, Clone, Serialize)]
pub struct ChainPosition {
    /// Its number, from 1.
    pub sequence: i64,
    /// The run of the report before it.
    pub previous_run: Option<RunId>,
    /// The SHA-256 of the report before it, over its bytes as stored.
    pub previous_sha256: Option<Digest>,
    /// The SHA-256 of the public key (its `SubjectPublicKeyInfo`) that its signature is to be checked with.
    pub signed_with: Option<Digest>,
}

/// What comes next.
#[derive(Debug)]
enum Part {
    Head,
    Actions { skip: u64 },
    Pages { after: String, first: bool },
    Failures { after: ListPlace },
    Partials { after: ListPlace },
    Replayed { after: ListPlace },
    Unmapped,
    MappingRules,
    End,
}

/// A report's document, to be drawn piece by piece.
#[derive(Debug)]
pub struct Document {
    ledger: Ledger,
    run: RunId,
    head: String,
    place: Option<ChainPosition>,
    numbers: Numbers,
    part: Part,
}

impl Document {
    /// The document of a report, as `report --format json` prints it.
    pub fn of(ledger: &Ledger, report: &Report, numbers: Numbers) -> Result<Self, WriteError> {
        let head = serde_json::to_string(report)?;
        Ok(Self { ledger: ledger.clone(), run: report.run.clone(), head, place: None, numbers, part: Part::Head })
    }

    /// The document of a report in the chain. `head` is the report without its lists, as it was frozen.
    pub fn in_chain(ledger: &Ledger, run: &RunId, head: &str, place: ChainPosition) -> Self {
        Self {
            ledger: ledger.clone(),
            run: run.clone(),
            head: head.to_owned(),
            place: Some(place),
            numbers: Numbers::Masked,
            part: Part::Head,
        }
    }

    /// The next piece; nothing after the last.
    pub async fn next(&mut self) -> Result<Option<Bytes>, WriteError> {
        let mut piece = String::new();
        self.part = match std::mem::replace(&mut self.part, Part::End) {
            Part::Head => self.head(&mut piece)?,
            Part::Actions { skip } => self.actions(skip, &mut piece).await?,
            Part::Pages { after, first } => self.pages(after, first, &mut piece).await?,
            Part::Failures { after } => self.failures(&after, &mut piece).await?,
            Part::Partials { after } => self.partials(&after, &mut piece).await?,
            Part::Replayed { after } => self.replayed(&after, &mut piece).await?,
            Part::Unmapped => self.unmapped(&mut piece).await?,
            Part::MappingRules => self.mapping_rules(&mut piece).await?,
            Part::End => return Ok(None),
        };
        Ok(Some(Bytes::from(harmless_json(piece))))
    }

    /// The whole document as a stream.
    pub fn into_stream(self) -> BoxStream<'static, Result<Bytes, WriteError>> {
        let next = |mut document: Self| async move { Ok(document.next().await?.map(|piece| (piece, document))) };
        stream::try_unfold(self, next).boxed()
    }

    /// The head's members; the lists follow in the same object.
    fn head(&self, piece: &mut String) -> Result<Part, WriteError> {
        piece.push_str(self.head.strip_suffix('}').unwrap_or(&self.head));
        let Some(place) = &self.place else {
            piece.push_str(",\"failures\":[");
            return Ok(Part::Failures { after: ListPlace::default() });
        };
        let place = serde_json::to_string(place)?;
        piece.push(',');
        piece.push_str(place.trim_start_matches('{').trim_end_matches('}'));
        piece.push_str(",\"actions\":[");
        Ok(Part::Actions { skip: 0 })
    }

    async fn actions(&self, skip: u64, piece: &mut String) -> Result<Part, WriteError> {
        let sequence = self.place.as_ref().map_or(0, |place| place.sequence);
        let actions = self.ledger.actions_of(sequence, skip, ROWS).await?;
        append(piece, skip == 0, actions.iter().map(|action| json!(action)));
        if actions.len() == ROWS as usize {
            return Ok(Part::Actions { skip: skip + u64::from(ROWS) });
        }
        piece.push_str("],\"pages\":[");
        Ok(Part::Pages { after: String::new(), first: true })
    }

    async fn pages(&self, after: String, first: bool, piece: &mut String) -> Result<Part, WriteError> {
        let pages = self.ledger.pages_of(&self.run, &after, ROWS).await?;
        append(piece, first, pages.iter().map(|page| json!({"page": page, "sha256": page_digest(page)})));
        if pages.len() == ROWS as usize
            && let Some(last) = pages.into_iter().next_back()
        {
            return Ok(Part::Pages { after: last, first: false });
        }
        piece.push_str("],\"failures\":[");
        Ok(Part::Failures { after: ListPlace::default() })
    }

    async fn failures(&self, after: &ListPlace, piece: &mut String) -> Result<Part, WriteError> {
        let numbers = self.numbers;
        let form = |row: &Failure| failure_json(row, numbers);
        if let Some(after) = self.rows(DeliveryState::Failed, after, piece, form).await? {
            return Ok(Part::Failures { after });
        }
        piece.push_str("],\"partials\":[");
        Ok(Part::Partials { after: ListPlace::default() })
    }

    async fn partials(&self, after: &ListPlace, piece: &mut String) -> Result<Part, WriteError> {
        if let Some(after) = self.rows(DeliveryState::PartiallyImported, after, piece, partial_json).await? {
            return Ok(Part::Partials { after });
        }
        piece.push_str("],\"replayed\":[");
        Ok(Part::Replayed { after: ListPlace::default() })
    }

    /// What a replay imported; of another run nothing is listed.
    async fn replayed(&self, after: &ListPlace, piece: &mut String) -> Result<Part, WriteError> {
        let form = |row: &Failure| json!({"item": row.item_name(), "mailbox": row.mailbox});
        if let Some(after) = self.rows(DeliveryState::Imported, after, piece, form).await? {
            return Ok(Part::Replayed { after });
        }
        piece.push_str("],\"unmapped_participants\":");
        Ok(Part::Unmapped)
    }

    /// Appends the next rows; the place of the last one, where there may be more.
    async fn rows(
        &self,
        state: DeliveryState,
        after: &ListPlace,
        piece: &mut String,
        form: impl Fn(&Failure) -> Value,
    ) -> Result<Option<ListPlace>, WriteError> {
        let filter = FailureFilter { run: Some(self.run.clone()), states: vec![state], reason: None };
        let mut rows = self.ledger.failures(&filter, after, ROWS).await?;
        append(piece, *after == ListPlace::default(), rows.iter().map(form));
        let full = rows.len() == ROWS as usize;
        Ok(rows.pop().filter(|_| full).map(|row| row.place))
    }

    async fn unmapped(&self, piece: &mut String) -> Result<Part, WriteError> {
        let (unmapped, _) = self.ledger.unmapped(&self.run, MAX_UNMAPPED).await?;
        let member = |number: &str, items: u64| json!({"number": self.numbers.of(number), "items": items});
        piece.push('[');
        append(piece, true, unmapped.iter().map(|unmapped| member(&unmapped.participant, unmapped.items)));
        piece.push_str("],\"mapping_rules\":");
        Ok(Part::MappingRules)
    }

    async fn mapping_rules(&self, piece: &mut String) -> Result<Part, WriteError> {
        let (rules, _) = self.ledger.mapping_rules(&self.run, MAX_MAPPING_RULES).await?;
        let member = |MappingRule { rule, mailbox, deliveries }| json!({"rule": rule, "mailbox": mailbox, "deliveries": deliveries});
        piece.push('[');
        append(piece, true, rules.into_iter().map(member));
        piece.push_str("]}\n");
        Ok(Part::End)
    }
}

/// Writes the whole report as one JSON document.
pub async fn write_json(
    ledger: &Ledger,
    report: &Report,
    numbers: Numbers,
    out: &mut (dyn Write + Send),
) -> Result<(), WriteError> {
    let mut document = Document::of(ledger, report, numbers)?;
    while let Some(piece) = document.next().await? {
        out.write_all(&piece)?;
    }
    Ok(())
}

/// Appends the elements of a list, with a comma before each but the list's first.
fn append(piece: &mut String, mut first: bool, elements: impl Iterator<Item = Value>) {
    for element in elements {
        if !first {
            piece.push(',');
        }
        first = false;
        piece.push_str(&element.to_string());
    }
}

/// The digest in a page's name: `…/<cursor>-<sha256>.json`.
fn page_digest(page: &str) -> Option<Digest> {
    page.strip_suffix(".json")?.rsplit_once('-')?.1.parse().ok()
}

/// A document's digest: it is drawn once more to be written.
pub async fn digest_of(document: Document) -> Result<Digest, WriteError> {
    let mut digester = crate::digest::Digester::default();
    let mut pieces = document.into_stream();
    while let Some(piece) = pieces.next().await {
        digester.update(&piece?);
    }
    Ok(digester.finish())
}
