//! A staging area around another one, where a test may step in before each thing that is done to it, and after it.

use std::ops::{Deref, Range};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use whatsapp_archiver::staging::{BlobName, ByteStream, StagedStream, Staging, StagingError};

/// What is done to a staging area, as far as tests tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Touch {
    Put,
    PutStream,
    Get,
    Copy,
    Remove,
}

/// Where a test steps in.
#[async_trait]
pub(crate) trait Hook: Send + Sync {
    /// Before it is done; after an error it isn't.
    async fn before(&self, touch: Touch, name: &BlobName) -> Result<(), StagingError>;

    /// After it was done, or was tried.
    async fn after(&self, _touch: Touch) {}
}

/// The staging area around another one.
pub(crate) struct Hooked<H> {
    inner: Arc<dyn Staging>,
    hook: H,
}

impl<H: Hook> Hooked<H> {
    pub(crate) fn around(inner: Arc<dyn Staging>, hook: H) -> Self {
        Self { inner, hook }
    }

    async fn touched<T>(
        &self,
        touch: Touch,
        name: &BlobName,
        done: impl Future<Output = Result<T, StagingError>> + Send,
    ) -> Result<T, StagingError> {
        self.hook.before(touch, name).await?;
        let result = done.await;
        self.hook.after(touch).await;
        result
    }
}

/// What a test says to its hook.
impl<H> Deref for Hooked<H> {
    type Target = H;

    fn deref(&self) -> &H {
        &self.hook
    }
}

#[async_trait]
impl<H: Hook> Staging for Hooked<H> {
    fn name(&self) -> String {
        self.inner.name()
    }

    async fn prepare(&self) -> Result<(), StagingError> {
        self.inner.prepare().await
    }

    async fn put(&self, name: &BlobName, bytes: Bytes) -> Result<(), StagingError> {
        self.touched(Touch::Put, name, self.inner.put(name, bytes)).await
    }

    async fn put_stream(
        &self,
        name: &BlobName,
        bytes: ByteStream<std::io::Error>,
        limit: u64,
    ) -> Result<StagedStream, StagingError> {
        self.touched(Touch::PutStream, name, self.inner.put_stream(name, bytes, limit)).await
    }

    async fn get(&self, name: &BlobName, limit: u64) -> Result<Bytes, StagingError> {
        self.touched(Touch::Get, name, self.inner.get(name, limit)).await
    }

    async fn get_range(&self, name: &BlobName, range: Range<u64>) -> Result<Bytes, StagingError> {
        self.touched(Touch::Get, name, self.inner.get_range(name, range)).await
    }

    async fn open(&self, name: &BlobName) -> Result<ByteStream<StagingError>, StagingError> {
        self.inner.open(name).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(BlobName, u64)>, StagingError> {
        self.inner.list(prefix).await
    }

    async fn copy(&self, from: &BlobName, to: &BlobName) -> Result<(), StagingError> {
        self.touched(Touch::Copy, to, self.inner.copy(from, to)).await
    }

    async fn remove(&self, name: &BlobName) -> Result<(), StagingError> {
        self.touched(Touch::Remove, name, self.inner.remove(name)).await
    }
}
