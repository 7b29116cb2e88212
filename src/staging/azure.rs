//! Staging in an Azure Blob Storage container.
//!
//! A blob is created only where its name is free: the service checks that with the write itself, so two processes can't
//! both win. A retry can meet its own earlier success, so a taken name is compared with what was to be put before it
//! counts as a conflict. What is larger than one block travels as blocks of 4 MiB, of which two are in memory at a time;
//! it has its name only once the last of them is committed. Blocks of an upload that broke off have no name, and the
//! service drops them after a week.
//!
//! Nothing is tried again here. No error, name or log shows a signature or token.

use std::num::NonZero;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::http::{ClientOptions, RetryOptions, Transport, Url};
use azure_storage_blob::models::{
    BlobClientDeleteOptions, BlobClientDownloadOptions, BlobContainerClientGetPropertiesResultHeaders as _,
    BlobContainerClientListBlobsOptions, BlobItem, DeleteSnapshotsOptionType,
};
use azure_storage_blob::{BlobClient, BlobContainerClient, BlobContainerClientOptions};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use self::blocks::{BLOCK, Blocks};
use self::fault::Faults;
use self::sas::SasPolicy;
use self::transport::Sender;
use super::{BlobName, ByteStream, Policies, StagedStream, Staging, StagingError};
use crate::clock::SharedClock;
use crate::digest::{Digest, Digester};
use crate::http::{HttpClient, require_https_or_loopback};
use crate::secret::SecretReader;

mod blocks;
mod fault;
mod sas;
mod transport;
mod upload;

pub use sas::sas_end;

/// How many blocks of a download are under way at a time.
const PARALLEL_DOWNLOADS: NonZero<usize> = NonZero::<usize>::MIN.saturating_add(1);
/// The size of the pieces of a download: each is a request of its own, so that none takes long.
const DOWNLOAD_PIECE: NonZero<usize> = NonZero::<usize>::MIN.saturating_add(BLOCK - 1);

/// What came of creating a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placed {
    /// It is there now.
    New,
    /// The name was taken; what is there was left as it is.
    Taken,
}

impl Placed {
    fn is_new(self) -> bool {
        self == Self::New
    }
}

/// Where the container is.
#[derive(Debug, Clone)]
pub struct AzureSettings {
    /// The account's blob endpoint, https or plain http on this machine. May carry an account path
    /// (`http://127.0.0.1:10000/devstoreaccount1`).
    pub endpoint: Url,
    pub container: String,
    /// What every blob's name begins with: segments of `[A-Za-z0-9._-]` separated by `/`, or nothing.
    pub prefix: String,
}

/// What proves that the daemon may use the container.
#[derive(Clone)]
pub enum ContainerAuth {
    /// A shared access signature.
    Sas(SecretReader),
    /// A token of Microsoft Entra ID. Needs an endpoint with https.
    Entra(Arc<dyn azure_core::credentials::TokenCredential>),
}

/// A staging area in a container.
pub struct AzureStaging {
    container: BlobContainerClient,
    prefix: String,
    name: String,
    faults: Faults,
}

impl AzureStaging {
    /// A staging area in the container that `settings` name. Sends nothing yet. Settings that can't be used are
    /// [`StagingError::Refused`].
    pub fn new(
        settings: &AzureSettings,
        auth: ContainerAuth,
        http: HttpClient,
        clock: SharedClock,
    ) -> Result<Self, StagingError> {
        require_https_or_loopback(&settings.endpoint)
            .map_err(|insecure| StagingError::Refused(format!("staging.endpoint: {insecure}")))?;
        let prefix = checked_prefix(&settings.prefix)?;
        let (sas, credential) = match auth {
            ContainerAuth::Sas(source) => (Some(source), None),
            ContainerAuth::Entra(credential) => (None, Some(credential)),
        };
        let client_options = ClientOptions {
            transport: Some(Transport::new(Arc::new(Sender::new(http)))),
            retry: RetryOptions::none(),
            per_try_policies: sas.iter().map(|source| SasPolicy::shared(Arc::clone(source))).collect(),
            ..ClientOptions::default()
        };
        let faults = Faults::new(&settings.container, sas, clock);
        let options = BlobContainerClientOptions { client_options, ..BlobContainerClientOptions::default() };
        let container = BlobContainerClient::new(container_url(settings)?, credential, Some(options))
            .map_err(|error| StagingError::Refused(format!("staging.endpoint: {error}")))?;
        let name =
            format!("Azure container {} at {}", settings.container, settings.endpoint.origin().ascii_serialization());
        Ok(Self { container, prefix, name, faults })
    }

    fn blob(&self, name: &BlobName) -> BlobClient {
        self.container.blob_client(&format!("{}{name}", self.prefix))
    }

    /// Whether the container is there. Asked by a listing, which every right that staging needs anyway allows.
    async fn is_there(&self) -> Result<bool, StagingError> {
        let options = BlobContainerClientListBlobsOptions { maxresults: Some(1), ..self.listing("") };
        match self.first_page(options).await {
            Ok(()) => Ok(true),
            Err(error) if fault::is(&error, "ContainerNotFound") => Ok(false),
            Err(error) => Err(self.faults.of(error, None)),
        }
    }

    async fn first_page(&self, options: BlobContainerClientListBlobsOptions<'_>) -> azure_core::Result<()> {
        self.container.list_blobs(Some(options))?.into_pages().try_next().await.map(drop)
    }

    fn listing(&self, prefix: &str) -> BlobContainerClientListBlobsOptions<'static> {
        let prefix = format!("{}{prefix}", self.prefix);
        let prefix = (!prefix.is_empty()).then_some(prefix);
        BlobContainerClientListBlobsOptions { prefix, ..BlobContainerClientListBlobsOptions::default() }
    }

    /// A listed blob, where it is one of ours: others may share the container.
    fn own(&self, item: &BlobItem) -> Option<(BlobName, u64)> {
        let name = BlobName::parse(item.name.as_deref()?.strip_prefix(&self.prefix)?)?;
        let size = item.properties.as_ref()?.content_length?;
        Some((name, size))
    }

    async fn download(
        &self,
        name: &BlobName,
        range: Option<Range<u64>>,
    ) -> Result<ByteStream<StagingError>, StagingError> {
        let options = BlobClientDownloadOptions {
            range: range.map(Into::into),
            parallel: Some(PARALLEL_DOWNLOADS),
            partition_size: Some(DOWNLOAD_PIECE),
            ..BlobClientDownloadOptions::default()
        };
        let begun = self.blob(name).download(Some(options)).await;
        let body = begun.map_err(|error| self.faults.of(error, Some(name)))?.body;
        let (faults, name) = (self.faults.clone(), name.clone());
        Ok(body.map_err(move |error| faults.of(error, Some(&name))).boxed())
    }

    /// Whether a name that was taken has what was to be put. `false` where nothing is there after all; a
    /// [`StagingError::Conflict`] where it is something else.
    async fn has(&self, name: &BlobName, ours: StagedStream) -> Result<bool, StagingError> {
        let there = match self.open(name).await {
            Ok(stream) => measure(stream).await?,
            Err(StagingError::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        if there == ours { Ok(true) } else { Err(StagingError::Conflict { name: name.clone() }) }
    }

    /// Creates a blob of one block: with one request, where nothing is in the way.
    async fn put_one(&self, name: &BlobName, bytes: Bytes, ours: StagedStream) -> Result<(), StagingError> {
        let placed = self.upload_whole(name, bytes.clone()).await?;
        if placed.is_new() || self.has(name, ours).await? {
            return Ok(());
        }
        // Blocks of an upload that broke off can take the name from a whole upload, but not from a commit.
        let placed = self.upload_blocks(name, [bytes], None).await?;
        self.accept_existing(name, placed, ours).await
    }

    async fn accept_existing(&self, name: &BlobName, placed: Placed, ours: StagedStream) -> Result<(), StagingError> {
        if placed.is_new() || self.has(name, ours).await? {
            return Ok(());
        }
        Err(StagingError::Unavailable(format!("another upload of {name} was in the way and has gone")))
    }
}

/// Length and digest of a stream.
async fn measure(mut stream: ByteStream<StagingError>) -> Result<StagedStream, StagingError> {
    let (mut digester, mut length) = (Digester::default(), 0_u64);
    while let Some(piece) = stream.try_next().await? {
        digester.update(&piece);
        length += piece.len() as u64;
    }
    Ok(StagedStream { length, digest: digester.finish() })
}

fn checked_prefix(prefix: &str) -> Result<String, StagingError> {
    match prefix.trim_end_matches('/') {
        "" => Ok(String::new()),
        bare if BlobName::parse(bare).is_some() => Ok(format!("{bare}/")),
        _ => Err(StagingError::Refused(format!(
            "staging.prefix {prefix:?}: letters, digits, dots, dashes and underscores are expected, with / between"
        ))),
    }
}

fn container_url(settings: &AzureSettings) -> Result<Url, StagingError> {
    let mut url = settings.endpoint.clone();
    url.set_query(None);
    url.set_fragment(None);
    match url.path_segments_mut() {
        Ok(mut segments) => segments.pop_if_empty().push(&settings.container),
        Err(()) => return Err(StagingError::Refused("staging.endpoint is not the address of a service".to_owned())),
    };
    Ok(url)
}

#[async_trait]
impl Staging for AzureStaging {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn prepare(&self) -> Result<(), StagingError> {
        if self.is_there().await? {
            return Ok(());
        }
        match self.container.create(None).await {
            Ok(_) => Ok(()),
            Err(error) if fault::is(&error, "ContainerAlreadyExists") => Ok(()),
            Err(error) => Err(self.faults.of_creation(error)),
        }
    }

    async fn put(&self, name: &BlobName, bytes: Bytes) -> Result<(), StagingError> {
        if bytes.len() > BLOCK {
            let length = bytes.len() as u64;
            return self.put_stream(name, stream::once(async { Ok(bytes) }).boxed(), length).await.map(drop);
        }
        let ours = StagedStream { length: bytes.len() as u64, digest: Digest::of(&bytes) };
        self.put_one(name, bytes, ours).await
    }

    async fn put_stream(
        &self,
        name: &BlobName,
        bytes: ByteStream<std::io::Error>,
        limit: u64,
    ) -> Result<StagedStream, StagingError> {
        let mut blocks = Blocks::new(name, bytes, limit);
        let first = blocks.next().await?.unwrap_or_default();
        let Some(second) = blocks.next().await? else {
            let staged = blocks.finish();
            return self.put_one(name, first, staged).await.map(|()| staged);
        };
        let placed = self.upload_blocks(name, [first, second], Some(&mut blocks)).await?;
        let staged = blocks.finish();
        self.accept_existing(name, placed, staged).await.map(|()| staged)
    }

    async fn get(&self, name: &BlobName, limit: u64) -> Result<Bytes, StagingError> {
        let mut stream = self.open(name).await?;
        let mut bytes = BytesMut::new();
        while let Some(piece) = stream.try_next().await? {
            if (bytes.len() + piece.len()) as u64 > limit {
                return Err(StagingError::TooLarge { name: name.clone(), limit });
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.freeze())
    }

    async fn get_range(&self, name: &BlobName, range: Range<u64>) -> Result<Bytes, StagingError> {
        let damaged = |detail: String| StagingError::Damaged { name: name.clone(), detail };
        let Range { start, end } = range;
        let Some(wanted) = end.checked_sub(start) else {
            return Err(damaged(format!("bytes {start} to {end} were asked for")));
        };
        if wanted == 0 {
            return self
                .blob(name)
                .get_properties(None)
                .await
                .map(|_| Bytes::new())
                .map_err(|error| self.faults.of(error, Some(name)));
        }
        let mut stream = self.download(name, Some(range)).await?;
        let mut bytes = BytesMut::new();
        while let Some(piece) = stream.try_next().await? {
            bytes.extend_from_slice(&piece);
            if bytes.len() as u64 > wanted {
                break;
            }
        }
        let got = bytes.len();
        if got as u64 == wanted {
            Ok(bytes.freeze())
        } else {
            Err(damaged(format!("{wanted} bytes from byte {start} were asked for, {got} came")))
        }
    }

    async fn open(&self, name: &BlobName) -> Result<ByteStream<StagingError>, StagingError> {
        self.download(name, None).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(BlobName, u64)>, StagingError> {
        let failed = |error| self.faults.of(error, None);
        let mut items = self.container.list_blobs(Some(self.listing(prefix))).map_err(failed)?;
        let mut found = Vec::new();
        while let Some(item) = items.try_next().await.map_err(failed)? {
            found.extend(self.own(&item));
        }
        found.sort_unstable();
        Ok(found)
    }

    async fn copy(&self, from: &BlobName, to: &BlobName) -> Result<(), StagingError> {
        let original = self.open(from).await?.map_err(std::io::Error::other).boxed();
        match self.put_stream(to, original, u64::MAX).await {
            // It broke off for a reason of staging's own, which is the one to report.
            Err(StagingError::StreamBroken { name, detail }) => Err(match detail.downcast::<StagingError>() {
                Ok(own) => own,
                Err(detail) => StagingError::StreamBroken { name, detail },
            }),
            done => done.map(drop),
        }
    }

    async fn remove(&self, name: &BlobName) -> Result<(), StagingError> {
        let options = BlobClientDeleteOptions {
            delete_snapshots: Some(DeleteSnapshotsOptionType::Include),
            ..BlobClientDeleteOptions::default()
        };
        match self.blob(name).delete(Some(options)).await.map_err(|error| self.faults.of(error, Some(name))) {
            Ok(_) | Err(StagingError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn rewrite_probe(&self, id: &str, bytes: Bytes) -> Result<(), StagingError> {
        let name = BlobName::probe(id);
        let written = self.blob(&name).upload(bytes.into(), None).await;
        written.map(drop).map_err(|error| self.faults.of(error, Some(&name)))
    }

    async fn policies(&self) -> Result<Option<Policies>, StagingError> {
        let failed = |error| self.faults.of(error, None);
        let container = self.container.get_properties(None).await.map_err(failed)?;
        let is = |header: azure_core::Result<Option<bool>>| header.map(Option::unwrap_or_default).map_err(failed);
        Ok(Some(Policies {
            time_based: is(container.has_immutability_policy())?,
            legal_hold: is(container.has_legal_hold())?,
            versions: is(container.is_immutable_storage_with_versioning_enabled())?,
        }))
    }
}
