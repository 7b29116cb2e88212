//! An item's attachments, fetched and staged before the item is recorded.
//!
//! 1. Inline bytes lie in the staged page already: only their length and digest are taken.
//! 2. Others are fetched, digested on the way and staged: small ones through memory, large ones as a stream.
//! 3. The digest decides whether the bytes are right; without one, the announced length does.
//! 4. Wrong bytes are fetched again a bounded number of times, then staged as corrupt.
//! 5. An attachment that the source can't give is awaited: one of them never keeps the others from being archived.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

use super::{Pipeline, RunError};
use crate::digest::Digest;
use crate::fault::Fault;
use crate::fault::tried::SayTried as _;
use crate::inline_content;
use crate::item::{AttachmentDeclaration, ItemId, ItemKey};
use crate::ledger::{AttachmentRecord, AttachmentState};
use crate::source::{AttachmentStream, SourceError};
use crate::staging::StagingError;
use crate::window::Window;

pub(super) mod staged;

/// Attachments of at most this size, in bytes, go through memory. Larger ones go to staging as they come, however many are
/// fetched at the same time, and are read back when there is room for them.
const MAX_IN_MEMORY: u64 = 1024 * 1024;

/// How often wrong bytes are fetched before they count as corrupt.
const MAX_FETCHES: u32 = 3;

/// So many attachments in a row that can't be had mean that the source is down, and not that something is wrong with them.
const MAX_CONSECUTIVE_FAILURES: u32 = 5;

/// Which attachment of which item.
#[derive(Debug, Clone, Copy)]
pub(super) struct AttachmentAt {
    pub(super) item: ItemId,
    pub(super) key: ItemKey,
    pub(super) index: usize,
    pub(super) window: Window,
}

/// What came of one attachment, with its bytes where they went through memory.
pub(super) struct Fetched {
    pub(super) record: AttachmentRecord,
    pub(super) bytes: Option<Bytes>,
    /// Why it is awaited, where it is.
    pub(super) absence: Option<Absence>,
}

/// Why an attachment is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absence {
    /// The source says that it isn't there (yet).
    NotThere,
    /// The source fails when it is asked for it.
    Unavailable,
    /// The source said something that doesn't show whether it is there.
    Unforeseen,
}

/// How much is done for an attachment at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// All that `[retry]` says.
    AsConfigured,
    /// The source is asked once, because earlier runs asked it already. A pause that it asks for is kept to.
    Once,
}

impl Patience {
    /// What a try's error means.
    fn judge(self, error: &RunError) -> Fault {
        match error {
            RunError::Source(error) if self == Self::Once && !matches!(error, SourceError::Throttled { .. }) => {
                Fault::Defer
            }
            RunError::Source(error) => Fault::from(error),
            RunError::Staging(error) => Fault::from(error),
            _ => Fault::Fatal,
        }
    }
}

impl Fetched {
    fn some(state: AttachmentState, size: u64, digest: Digest, bytes: Option<Bytes>) -> Self {
        Self { record: AttachmentRecord { state, size, digest: Some(digest) }, bytes, absence: None }
    }

    fn nothing(state: AttachmentState) -> Self {
        Self { record: AttachmentRecord { state, size: 0, digest: None }, bytes: None, absence: None }
    }

    fn awaited(detail: String, absence: Absence) -> Self {
        Self { absence: Some(absence), ..Self::nothing(AttachmentState::Awaited { detail }) }
    }
}

/// The record of an inline attachment.
pub(super) fn inline_record(declared: &AttachmentDeclaration, base64: Option<&str>) -> Fetched {
    let Some(base64) = base64 else {
        return Fetched::nothing(AttachmentState::Missing { detail: "the item holds no bytes for it".to_owned() });
    };
    let corrupt = |size: usize, digest, detail| Fetched {
        record: AttachmentRecord {
            state: AttachmentState::Corrupt { blob: String::new(), detail },
            size: size as u64,
            digest,
        },
        bytes: None,
        absence: None,
    };
    let bytes = match inline_content::decode(base64, declared.digest) {
        Ok(bytes) => Bytes::from(bytes),
        Err(why) => return corrupt(base64.len() / 4 * 3, None, why.to_owned()),
    };
    let digest = Digest::of(&bytes);
    if let Some(wrong) = wrong_digest(declared, digest) {
        return corrupt(bytes.len(), Some(digest), wrong);
    }
    Fetched::some(AttachmentState::Inline, bytes.len() as u64, digest, Some(bytes))
}

/// Whether the bytes are certainly those that the item declares, though they read like an error.
fn is_declared(declared: &AttachmentDeclaration, body: &Body) -> bool {
    match body {
        Body::Small(bytes) => declared.digest == Some(Digest::of(bytes)),
        Body::Large(..) => true,
    }
}

fn wrong_digest(declared: &AttachmentDeclaration, digest: Digest) -> Option<String> {
    let expected = declared.digest.filter(|expected| *expected != digest)?;
    Some(format!("its SHA-256 is {digest}, declared was {expected}"))
}

/// The bytes of a stream: all of them where they are few enough, else those read so far and the rest.
enum Body {
    Small(Bytes),
    Large(Bytes, AttachmentStream),
}

/// What came of one try.
enum Try {
    Done(Fetched),
    /// The bytes are wrong, and it wasn't the last fetch.
    WrongBytes,
    /// Nothing came of it; the error says whether another try is worth it.
    Failed(RunError),
}

impl Pipeline {
    /// Fetches one attachment and stages it. One that the source can't give now is awaited, and nothing else waits for it;
    /// several of them in a row mean that the source is down, which is an error.
    pub(super) async fn stage_attachment(
        &self,
        at: AttachmentAt,
        declared: &AttachmentDeclaration,
    ) -> Result<Fetched, RunError> {
        match self.fetch(at, declared, Patience::AsConfigured).await {
            Err(RunError::Source(error)) if is_passing(&error) => {
                if self.source_health.attachment_failed() >= MAX_CONSECUTIVE_FAILURES {
                    return Err(error.into());
                }
                Ok(awaited_despite(at, &error))
            }
            outcome => {
                self.source_health.attachment_answered();
                outcome
            }
        }
    }

    /// Asks once more for an attachment that an earlier run awaited. One that the source still can't give stays awaited,
    /// however many they are.
    pub(super) async fn ask_again(
        &self,
        at: AttachmentAt,
        declared: &AttachmentDeclaration,
    ) -> Result<Fetched, RunError> {
        match self.fetch(at, declared, Patience::Once).await {
            Err(RunError::Source(error)) if is_passing(&error) => Ok(awaited_despite(at, &error)),
            outcome => outcome,
        }
    }

    /// Fetches until something came of it. An error of the source is one that says nothing of the attachment itself.
    async fn fetch(
        &self,
        at: AttachmentAt,
        declared: &AttachmentDeclaration,
        patience: Patience,
    ) -> Result<Fetched, RunError> {
        if let Some(until) = self.source_health.rests(self.now()) {
            let until = until.format("%H:%M:%S UTC");
            let detail = format!("not asked for, because the source asked for a pause until {until}");
            return Ok(Fetched::awaited(detail, Absence::Unforeseen));
        }
        let mut pauses = self.settings.retry.pauses();
        let mut attempt = 1;
        let mut wrong = 0;
        loop {
            // A download may take hours, and is nothing before it is done: it is begun anew by the next run.
            let trying = self.stop.run_until_cancelled(self.fetch_once(at, declared, wrong + 1 == MAX_FETCHES));
            let error = match trying.await.ok_or(RunError::Stopped)?? {
                Try::Done(fetched) => return Ok(fetched),
                Try::WrongBytes => {
                    wrong += 1;
                    continue;
                }
                Try::Failed(error) => error,
            };
            let Fault::Retry { after } = patience.judge(&error) else { return given_up(at, error) };
            // Everything else would wait with it.
            if let Some(until) = self.retrier.is_too_long(after) {
                return match error {
                    RunError::Source(error) => {
                        self.source_health.rest_until(until);
                        Ok(awaited_despite(at, &error))
                    }
                    RunError::Staging(error) => Err(error.not_before(until).into()),
                    other => Err(other),
                };
            }
            let Some(pause) = pauses.next() else { return given_up(at, error) };
            let pause = after.unwrap_or(pause).max(pause);
            if !self.retrier.pause("fetching an attachment", attempt, pause, cause(&error)).await {
                return Err(RunError::Stopped);
            }
            attempt += 1;
        }
    }

    /// One try. Its error is one that was tried again as often as it is worth.
    async fn fetch_once(
        &self,
        at: AttachmentAt,
        declared: &AttachmentDeclaration,
        last: bool,
    ) -> Result<Try, RunError> {
        let (body, announced) = match self.body_of(at, declared).await {
            Ok(answer) => answer,
            Err(error) => return Ok(Try::Failed(error.into())),
        };
        let (blob, size, digest, bytes) = match body {
            Body::Small(bytes) => {
                let (size, digest) = (bytes.len() as u64, Digest::of(&bytes));
                if !last && judge(declared, announced, size, digest).is_some() {
                    return Ok(Try::WrongBytes);
                }
                (self.put_attachment(at, &bytes).await?, size, digest, Some(bytes))
            }
            Body::Large(head, rest) => match self.put_large(at, declared, head, rest).await? {
                Ok((blob, staged)) => (blob, staged.length, staged.digest, None),
                Err(error) => return Ok(Try::Failed(error)),
            },
        };
        let Some(detail) = judge(declared, announced, size, digest) else {
            let state = AttachmentState::Staged { blob: blob.as_str().to_owned() };
            return Ok(Try::Done(Fetched::some(state, size, digest, bytes)));
        };
        if !last {
            self.remove_wrong(&blob).await?;
            return Ok(Try::WrongBytes);
        }
        if declared.digest.is_none() {
            self.mark_wrong(at, &detail).await?;
        }
        let state = AttachmentState::Corrupt { blob: blob.as_str().to_owned(), detail };
        Ok(Try::Done(Fetched::some(state, size, digest, None)))
    }

    /// Asks the source; also the length that it announced.
    async fn body_of(
        &self,
        at: AttachmentAt,
        declared: &AttachmentDeclaration,
    ) -> Result<(Body, Option<u64>), SourceError> {
        let mut stream = self.deps.source.attachment(at.item, at.index).await?;
        let (announced, suspected) = (stream.length, stream.suspected_error.take());
        let progress = self.progress();
        stream.bytes = stream.bytes.inspect(move |_| progress.add_step()).boxed();
        // What is too large for a mailbox isn't needed in memory, and staging refuses what is too large for it.
        let limit = MAX_IN_MEMORY.min(self.settings.max_item_size).min(self.settings.max_attachment_size);
        let body = read_body(stream, limit).await?;
        match suspected {
            Some(error) if !is_declared(declared, &body) => Err(error),
            _ => Ok((body, announced)),
        }
    }
}

/// What is wrong with the bytes, if anything.
fn judge(declared: &AttachmentDeclaration, announced: Option<u64>, size: u64, digest: Digest) -> Option<String> {
    if declared.digest.is_some() {
        return wrong_digest(declared, digest);
    }
    let announced = announced.filter(|announced| *announced != size)?;
    Some(format!("it has {size} bytes, announced were {announced}"))
}

/// Reads a stream into memory, up to `limit` bytes.
async fn read_body(mut stream: AttachmentStream, limit: u64) -> Result<Body, SourceError> {
    let announced = stream.length.unwrap_or_default().min(limit);
    let mut read = BytesMut::with_capacity(usize::try_from(announced).unwrap_or_default());
    while let Some(piece) = stream.bytes.next().await {
        read.extend_from_slice(&piece?);
        if read.len() as u64 > limit {
            return Ok(Body::Large(read.freeze(), stream));
        }
    }
    Ok(Body::Small(read.freeze()))
}

/// Whether an error may be over at another time.
fn is_passing(error: &SourceError) -> bool {
    matches!(Fault::from(error), Fault::Retry { .. })
}

/// What the last error means for the item; an error where it says nothing of the attachment.
fn given_up(at: AttachmentAt, error: RunError) -> Result<Fetched, RunError> {
    match error {
        RunError::Source(SourceError::AttachmentGone(detail)) => {
            Ok(Fetched::nothing(AttachmentState::Missing { detail }))
        }
        RunError::Source(SourceError::AttachmentNotFound(detail)) => Ok(Fetched::awaited(detail, Absence::NotThere)),
        RunError::Source(error) if Fault::from(&error) == Fault::Defer => Ok(awaited_despite(at, &error)),
        RunError::Staging(StagingError::TooLarge { limit, .. }) => {
            tracing::error!(
                event = "attachment_too_large",
                item.id = at.item.0,
                attachment = at.index + 1,
                limit,
                "an attachment is larger than source.max_attachment_size; the item is held as size_exceeded without it. Raise the limit and `backfill` its day, or leave it"
            );
            Ok(Fetched::nothing(AttachmentState::TooLarge))
        }
        error => Err(error),
    }
}

/// An attachment that is awaited although the source didn't say that it isn't there.
fn awaited_despite(at: AttachmentAt, error: &SourceError) -> Fetched {
    tracing::warn!(
        event = "attachment_unavailable",
        item.id = at.item.0,
        attachment = at.index + 1,
        error = %error,
        "the source did not deliver an attachment; its item waits for it, and later runs ask again"
    );
    let absence = match error {
        SourceError::Unavailable(_) => Absence::Unavailable,
        _ => Absence::Unforeseen,
    };
    Fetched::awaited(error.to_string(), absence)
}

/// The step's error in an error of the run.
fn cause(error: &RunError) -> &(dyn std::error::Error + Sync + 'static) {
    match error {
        RunError::Source(error) => error,
        RunError::Staging(error) => error,
        other => other,
    }
}
