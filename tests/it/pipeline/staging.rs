//! A staging area on the disk that fails on command, where attachments are concerned.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use whatsapp_archiver::staging::local::LocalStaging;
use whatsapp_archiver::staging::{BlobName, ByteStream, StagedStream, Staging, StagingError};

/// A staging area that fails on command.
pub(crate) struct ScriptedStaging {
    inner: LocalStaging,
    /// Streams of attachments that fail before one succeeds.
    pub(crate) failing_streams: AtomicU32,
    /// Streams of attachments that were begun.
    pub(crate) streams: AtomicU32,
    /// Small attachments are refused.
    pub(crate) refuses_small: AtomicBool,
    /// Nothing may be removed.
    pub(crate) immutable: AtomicBool,
}

impl ScriptedStaging {
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self {
            inner: LocalStaging::new(folder.to_owned()),
            failing_streams: AtomicU32::new(0),
            streams: AtomicU32::new(0),
            refuses_small: AtomicBool::new(false),
            immutable: AtomicBool::new(false),
        }
    }

    /// The names of the attachments in it, without what they have in common.
    pub(crate) async fn attachments(&self) -> Vec<String> {
        let names = self.inner.list("windows/").await.unwrap().into_iter().map(|(name, _)| name);
        let attachments = names.filter(|name| name.as_str().contains("/attachments/"));
        attachments.map(|name| name.as_str().rsplit('/').next().unwrap().to_owned()).collect()
    }
}

#[async_trait]
impl Staging for ScriptedStaging {
    fn name(&self) -> String {
        self.inner.name()
    }

    async fn prepare(&self) -> Result<(), StagingError> {
        self.inner.prepare().await
    }

    async fn put(&self, name: &BlobName, bytes: Bytes) -> Result<(), StagingError> {
        if name.as_str().contains("/attachments/") && self.refuses_small.load(Ordering::SeqCst) {
            return Err(StagingError::Refused("refused on command".to_owned()));
        }
        self.inner.put(name, bytes).await
    }

    async fn put_stream(
        &self,
        name: &BlobName,
        bytes: ByteStream<std::io::Error>,
        limit: u64,
    ) -> Result<StagedStream, StagingError> {
        if !name.as_str().contains("/attachments/") {
            return self.inner.put_stream(name, bytes, limit).await;
        }
        self.streams.fetch_add(1, Ordering::SeqCst);
        let one_less = |left: u32| left.checked_sub(1);
        if self.failing_streams.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
            return Err(StagingError::Unavailable("a block was refused with 503".to_owned()));
        }
        self.inner.put_stream(name, bytes, limit).await
    }

    async fn get(&self, name: &BlobName, limit: u64) -> Result<Bytes, StagingError> {
        self.inner.get(name, limit).await
    }

    async fn get_range(&self, name: &BlobName, range: Range<u64>) -> Result<Bytes, StagingError> {
        self.inner.get_range(name, range).await
    }

    async fn open(&self, name: &BlobName) -> Result<ByteStream<StagingError>, StagingError> {
        self.inner.open(name).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(BlobName, u64)>, StagingError> {
        self.inner.list(prefix).await
    }

    async fn copy(&self, from: &BlobName, to: &BlobName) -> Result<(), StagingError> {
        self.inner.copy(from, to).await
    }

    async fn remove(&self, name: &BlobName) -> Result<(), StagingError> {
        if self.immutable.load(Ordering::SeqCst) {
            return Err(StagingError::Immutable { name: name.clone(), detail: "legal hold".to_owned() });
        }
        self.inner.remove(name).await
    }
}
