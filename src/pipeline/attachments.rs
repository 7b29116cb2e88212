//! An item's attachments, fetched and staged before the item is recorded.
//!
//! 1. Inline bytes lie in the staged page already: only their length and digest are taken.
//! 2. Others are fetched, digested on the way and staged: small ones through memory, large ones as a stream.
//! 3. The digest decides whether the bytes are right; without one, the announced length does.
//! 4. Wrong bytes are fetched again a bounded number of times, then staged as corrupt.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::GeneralPurpose;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::{Pipeline, RunError};
use crate::digest::Digest;
use crate::fault::Fault;
use crate::item::{AttachmentDeclaration, ItemId, ItemKey};
use crate::ledger::{AttachmentRecord, AttachmentState};
use crate::source::{AttachmentStream, SourceError};
use crate::staging::{BlobName, StagingError};
use crate::window::Window;

/// How often wrong bytes are fetched before they count as corrupt.
const FETCHES: u32 = 3;

/// How many tries of one attachment staging can tell apart.
const BLOB_NAMES: u32 = 64;

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
}

impl Fetched {
    fn nothing(state: AttachmentState) -> Self {
        Self { record: AttachmentRecord { state, size: 0, digest: None }, bytes: None }
    }
}

/// Inline content as it was sent: base64, with or without padding and line breaks.
pub(super) fn decode_inline(base64: &str) -> Result<Vec<u8>, base64::DecodeError> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    if base64.bytes().any(|byte| byte.is_ascii_whitespace()) {
        let packed: String = base64.split_ascii_whitespace().collect();
        return LENIENT.decode(packed);
    }
    LENIENT.decode(base64)
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
    };
    let bytes = match decode_inline(base64) {
        Ok(bytes) => Bytes::from(bytes),
        Err(error) => return corrupt(base64.len() / 4 * 3, None, format!("its base64 is not valid: {error}")),
    };
    let digest = Digest::of(&bytes);
    if let Some(wrong) = wrong_digest(declared, digest) {
        return corrupt(bytes.len(), Some(digest), wrong);
    }
    let record = AttachmentRecord { state: AttachmentState::Inline, size: bytes.len() as u64, digest: Some(digest) };
    Fetched { record, bytes: Some(bytes) }
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

impl Pipeline {
    /// Fetches one attachment and stages it.
    pub(super) async fn stage_attachment(
        &self,
        at: AttachmentAt,
        declared: &AttachmentDeclaration,
    ) -> Result<Fetched, RunError> {
        for fetch in 1.. {
            let last = fetch == FETCHES;
            match self.fetch_once(at, declared, last).await {
                Ok(Some(fetched)) => return Ok(fetched),
                Ok(None) => {}
                Err(RunError::Source(error)) => return without_bytes(error),
                Err(RunError::Staging(StagingError::TooLarge { limit, .. })) => {
                    tracing::error!(
                        event = "attachment_too_large",
                        item.id = at.item.0,
                        attachment = at.index,
                        limit,
                        "an attachment is larger than source.max_attachment_size; the item is held as size_exceeded without it"
                    );
                    return Ok(Fetched::nothing(AttachmentState::TooLarge));
                }
                // A stream can't be sent twice, so it is fetched once more.
                Err(RunError::Staging(error @ StagingError::StreamBroken { .. })) if !last => {
                    let pause = self.settings.retry.initial;
                    self.retrier.pause("staging an attachment", fetch, pause, &error).await;
                }
                Err(error) => return Err(error),
            }
        }
        unreachable!("the last fetch always gives a result")
    }

    /// One try; nothing where the bytes are wrong and it isn't the last one.
    async fn fetch_once(
        &self,
        at: AttachmentAt,
        declared: &AttachmentDeclaration,
        last: bool,
    ) -> Result<Option<Fetched>, RunError> {
        let what = "fetching an attachment";
        let (mut body, announced) = self
            .retrier
            .run(what, || async {
                let mut stream = self.parts.source.attachment(at.item, at.index).await?;
                let (announced, suspected) = (stream.length, stream.suspected_error.take());
                let body = read_body(stream, self.settings.max_item_size).await?;
                match suspected {
                    Some(error) if !is_declared(declared, &body) => Err(error),
                    _ => Ok((body, announced)),
                }
            })
            .await?;

        let (blob, size, digest) = match &mut body {
            Body::Small(bytes) => {
                let digest = Digest::of(bytes);
                if !last && judge(declared, announced, bytes.len() as u64, digest).is_some() {
                    return Ok(None);
                }
                (self.put_attachment(at, bytes.clone()).await?, bytes.len() as u64, digest)
            }
            Body::Large(..) => {
                let Body::Large(head, rest) = std::mem::replace(&mut body, Body::Small(Bytes::new())) else {
                    return Ok(None);
                };
                self.put_large(at, head, rest).await?
            }
        };
        let bytes = match body {
            Body::Small(bytes) if !bytes.is_empty() || size == 0 => Some(bytes),
            _ => None,
        };
        let wrong = judge(declared, announced, size, digest);
        if wrong.is_some() && !last {
            self.retrier.run("removing wrong bytes", || self.parts.staging.remove(&blob)).await?;
            return Ok(None);
        }
        if let Some(detail) = &wrong
            && declared.digest.is_none()
        {
            self.mark_wrong(at, detail).await?;
        }
        let blob = blob.as_str().to_owned();
        Ok(Some(match wrong {
            None => Fetched {
                record: AttachmentRecord { state: AttachmentState::Staged { blob }, size, digest: Some(digest) },
                bytes,
            },
            Some(detail) => Fetched {
                record: AttachmentRecord {
                    state: AttachmentState::Corrupt { blob, detail },
                    size,
                    digest: Some(digest),
                },
                bytes: None,
            },
        }))
    }

    /// Marks bytes as wrong that nothing but the announced length tells from right ones.
    async fn mark_wrong(&self, at: AttachmentAt, detail: &str) -> Result<(), RunError> {
        let name = BlobName::wrong_attachment(at.window, at.key, at.index);
        let detail = Bytes::copy_from_slice(detail.as_bytes());
        let put = || self.parts.staging.put(&name, detail.clone());
        match self.retrier.run("marking wrong bytes", put).await {
            // It is marked already, for another reason.
            Ok(()) | Err(StagingError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn put_attachment(&self, at: AttachmentAt, bytes: Bytes) -> Result<BlobName, RunError> {
        for attempt in 0..BLOB_NAMES {
            let name = BlobName::attachment(at.window, at.key, at.index, attempt);
            let put = || self.parts.staging.put(&name, bytes.clone());
            match self.retrier.run("staging an attachment", put).await {
                Ok(()) => return Ok(name),
                // An earlier try left other bytes under this name.
                Err(StagingError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(too_many_names(at))
    }

    async fn put_large(
        &self,
        at: AttachmentAt,
        head: Bytes,
        rest: AttachmentStream,
    ) -> Result<(BlobName, u64, Digest), RunError> {
        let staging = &self.parts.staging;
        let limit = self.settings.max_attachment_size;
        for attempt in 0..BLOB_NAMES {
            let name = BlobName::attachment(at.window, at.key, at.index, attempt);
            if staging_has(staging.as_ref(), &name).await? {
                continue;
            }
            let head = futures_util::stream::once(async move { Ok(head) });
            let rest = rest.bytes.map_err(io::Error::other);
            let staged = staging.put_stream(&name, head.chain(rest).boxed(), limit).await?;
            return Ok((name, staged.length, staged.digest));
        }
        Err(too_many_names(at))
    }
}

/// Whether a blob is there.
pub(super) async fn staging_has(staging: &dyn crate::staging::Staging, name: &BlobName) -> Result<bool, StagingError> {
    match staging.get_range(name, 0..1).await {
        Ok(_) | Err(StagingError::Damaged { .. }) => Ok(true),
        Err(StagingError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn too_many_names(at: AttachmentAt) -> RunError {
    let name = BlobName::attachment(at.window, at.key, at.index, BLOB_NAMES);
    RunError::Staging(StagingError::Conflict { name })
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
    let mut read = BytesMut::new();
    while let Some(piece) = stream.bytes.next().await {
        read.extend_from_slice(&piece?);
        if read.len() as u64 > limit {
            return Ok(Body::Large(read.freeze(), stream));
        }
    }
    Ok(Body::Small(read.freeze()))
}

/// What a source that gives no bytes means for the item; an error where the run can't go on.
fn without_bytes(error: SourceError) -> Result<Fetched, RunError> {
    match &error {
        SourceError::AttachmentGone(detail) => {
            Ok(Fetched::nothing(AttachmentState::Missing { detail: detail.clone() }))
        }
        SourceError::AttachmentNotFound(detail) => {
            Ok(Fetched::nothing(AttachmentState::Awaited { detail: detail.clone() }))
        }
        _ if Fault::from(&error) == Fault::Hold => {
            Ok(Fetched::nothing(AttachmentState::Awaited { detail: error.to_string() }))
        }
        _ => Err(error.into()),
    }
}
