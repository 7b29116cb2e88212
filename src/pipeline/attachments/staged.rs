//! An attachment's tries in staging: where its bytes are put, and which of those that lie there already are used again.
//!
//! What is staged is never overwritten, and a retention policy may keep what is wrong. So each try with other bytes has a name
//! of its own; one whose bytes lie there already takes that name, so that runs which fail don't fill staging.

use std::io;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::AttachmentAt;
use crate::digest::{Digest, Digester};
use crate::fault::Fault;
use crate::item::AttachmentDeclaration;
use crate::pipeline::{Pipeline, RunError};
use crate::source::{AttachmentStream, SourceError};
use crate::staging::contents::{Attempt, StagedFile};
use crate::staging::{BlobName, StagedStream, Staging, StagingError};

/// A try that lies in staging.
struct StagedTry {
    name: BlobName,
    number: u32,
    length: u64,
}

impl Pipeline {
    /// Puts small bytes under the first name that takes them.
    pub(super) async fn put_attachment(&self, at: AttachmentAt, bytes: &Bytes) -> Result<BlobName, RunError> {
        let first = BlobName::attachment(at.window, at.key, at.index, 0);
        if self.put_try(&first, bytes).await? {
            return Ok(first);
        }
        // An earlier try left other bytes under this name.
        let tries = self.tries(at).await?;
        for known in tries.iter().filter(|known| known.name != first && known.length == bytes.len() as u64) {
            if self.put_try(&known.name, bytes).await? {
                return Ok(known.name.clone());
            }
        }
        let name = next_name(at, &tries);
        if self.put_try(&name, bytes).await? { Ok(name) } else { Err(StagingError::Conflict { name }.into()) }
    }

    /// False where the name has other bytes.
    async fn put_try(&self, name: &BlobName, bytes: &Bytes) -> Result<bool, StagingError> {
        let put = || self.deps.staging.put(name, bytes.clone());
        match self.retrier.run("staging an attachment", put).await {
            Ok(()) => Ok(true),
            Err(StagingError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Stages a stream, unless its bytes lie there already. A stream can't be sent twice: the inner error is that of sending it, for which
    /// the source has to be asked again.
    pub(super) async fn put_large(
        &self,
        at: AttachmentAt,
        declared: &AttachmentDeclaration,
        head: Bytes,
        rest: AttachmentStream,
    ) -> Result<Result<(BlobName, StagedStream), RunError>, RunError> {
        let tries = self.tries(at).await?;
        if let Some(staged) = self.declared_try(declared, rest.length, &tries).await? {
            return Ok(Ok(staged));
        }
        let name = next_name(at, &tries);
        let head = futures_util::stream::once(async move { Ok(head) });
        let bytes = head.chain(rest.bytes.map_err(io::Error::other)).boxed();
        let limit = self.settings.max_attachment_size;
        let staged = match self.deps.staging.put_stream(&name, bytes, limit).await {
            Ok(staged) => staged,
            Err(error) => return Ok(Err(of_whom(error))),
        };
        // Without a declared digest, only what came shows that it was there already.
        if let Some(last) = tries.last()
            && last.length == staged.length
            && self.staged_digest(&last.name).await? == Some(staged.digest)
            && self.remove_wrong(&name).await?
        {
            return Ok(Ok((last.name.clone(), staged)));
        }
        Ok(Ok((name, staged)))
    }

    /// The try that has the declared digest, where there is one.
    async fn declared_try(
        &self,
        declared: &AttachmentDeclaration,
        announced: Option<u64>,
        tries: &[StagedTry],
    ) -> Result<Option<(BlobName, StagedStream)>, RunError> {
        let Some(digest) = declared.digest else { return Ok(None) };
        for known in tries.iter().filter(|known| announced.is_none_or(|announced| announced == known.length)) {
            if self.staged_digest(&known.name).await? == Some(digest) {
                return Ok(Some((known.name.clone(), StagedStream { length: known.length, digest })));
            }
        }
        Ok(None)
    }

    /// The tries of an attachment that lie in staging, in their order.
    async fn tries(&self, at: AttachmentAt) -> Result<Vec<StagedTry>, StagingError> {
        let prefix = BlobName::attachments_prefix(at.window, at.key);
        let found = self.retrier.run("listing staging", || self.deps.staging.list(&prefix)).await?;
        let mut tries: Vec<StagedTry> = found
            .iter()
            .filter_map(|(name, length)| match StagedFile::parse(name)? {
                StagedFile { index, attempt: Attempt::Bytes(number), name, .. } if index == at.index => {
                    Some(StagedTry { name, number, length: *length })
                }
                _ => None,
            })
            .collect();
        tries.sort_by_key(|known| known.number);
        Ok(tries)
    }

    /// The digest of a staged blob; nothing where staging doesn't give it back whole.
    async fn staged_digest(&self, name: &BlobName) -> Result<Option<Digest>, StagingError> {
        match self.length_and_digest(name).await {
            Ok((_, digest)) => Ok(Some(digest)),
            Err(error) if Fault::from(&error) == Fault::Defer => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The length and the digest of a staged blob.
    pub(in crate::pipeline) async fn length_and_digest(&self, name: &BlobName) -> Result<(u64, Digest), StagingError> {
        let read = || async {
            let mut digester = Digester::default();
            let mut length = 0;
            let mut pieces = self.deps.staging.open(name).await?;
            while let Some(piece) = pieces.try_next().await? {
                length += piece.len() as u64;
                digester.update(&piece);
            }
            Ok::<_, StagingError>((length, digester.finish()))
        };
        self.retrier.run("reading a staged attachment", read).await
    }

    /// Removes bytes that are not needed. False where a retention policy keeps them: then they stay, and the next try has
    /// another name.
    pub(super) async fn remove_wrong(&self, name: &BlobName) -> Result<bool, StagingError> {
        match self.retrier.run("removing wrong bytes", || self.deps.staging.remove(name)).await {
            Ok(()) => Ok(true),
            Err(StagingError::Immutable { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Marks bytes as wrong that nothing but the announced length distinguishes from right ones.
    pub(super) async fn mark_wrong(&self, at: AttachmentAt, detail: &str) -> Result<(), StagingError> {
        let name = BlobName::wrong_attachment(at.window, at.key, at.index);
        let detail = Bytes::copy_from_slice(detail.as_bytes());
        let put = || self.deps.staging.put(&name, detail.clone());
        match self.retrier.run("marking wrong bytes", put).await {
            // It is marked already, for another reason.
            Ok(()) | Err(StagingError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The name after all that were used.
fn next_name(at: AttachmentAt, tries: &[StagedTry]) -> BlobName {
    let number = tries.last().map_or(0, |last| last.number.saturating_add(1));
    BlobName::attachment(at.window, at.key, at.index, number)
}

/// A stream that the source broke off is the source's failure, not staging's.
fn of_whom(error: StagingError) -> RunError {
    let StagingError::StreamBroken { name, detail } = error else { return error.into() };
    match detail.downcast::<SourceError>() {
        Ok(error) => error.into(),
        Err(detail) => StagingError::StreamBroken { name, detail }.into(),
    }
}

/// Whether a blob is there.
pub(in crate::pipeline) async fn staging_has(staging: &dyn Staging, name: &BlobName) -> Result<bool, StagingError> {
    match staging.get_range(name, 0..1).await {
        Ok(_) | Err(StagingError::Damaged { .. }) => Ok(true),
        Err(StagingError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
