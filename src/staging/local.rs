//! Staging in a directory of the local disk.
//!
//! A blob is a file. It is written aside, made durable, and then given its name by a hard link, which never replaces
//! anything: so a name is either absent or has its whole content, whenever the power fails. A page costs two `fsync`s,
//! one of the file and one of its directory; the first in a new directory costs one more for each directory that is new.
//!
//! Several processes may use one directory. It must be one file system that knows hard links ([`Staging::prepare`]
//! proves it). Symbolic links inside it are refused, never followed.

use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::io::{AsyncWriteExt as _, BufWriter};
use tokio_util::io::ReaderStream;

use self::area::{Area, Placed};
use self::content::same_content;
use self::draft::Draft;
use super::{BlobName, ByteStream, StagedStream, Staging, StagingError};
use crate::digest::Digester;
use crate::panics;

mod area;
mod content;
mod directories;
mod draft;
mod fault;

/// The most bytes of a stream that are gathered before they are written.
const WRITE_BUFFER: usize = 1 << 20;
/// The size of the pieces in which a blob is read.
const READ_BUFFER: usize = 1 << 18;

/// A staging area in a directory.
#[derive(Debug)]
pub struct LocalStaging {
    area: Arc<Area>,
}

impl LocalStaging {
    /// A staging area in the directory `root`; [`Staging::prepare`] creates it where it is missing.
    pub fn new(root: PathBuf) -> Self {
        Self { area: Arc::new(Area::new(root)) }
    }

    /// Does `work` on a thread that may wait for the disk.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Area) -> Result<T, StagingError> + Send + 'static,
    ) -> Result<T, StagingError> {
        let area = Arc::clone(&self.area);
        let done = panics::blocking(move || work(&area)).await;
        done.unwrap_or_else(|ended| Err(StagingError::Unavailable(ended.to_string())))
    }

    /// Writes the stream to `draft`, at most `limit` bytes of it.
    async fn fill(
        draft: &Draft,
        name: &BlobName,
        mut bytes: ByteStream<std::io::Error>,
        limit: u64,
    ) -> Result<StagedStream, StagingError> {
        let write_failed = |error: std::io::Error| fault::of("write", draft.path(), &error);
        let mut writer = BufWriter::with_capacity(WRITE_BUFFER, draft.async_file().map_err(write_failed)?);
        let mut digester = Digester::default();
        let mut length = 0_u64;
        while let Some(piece) = bytes.next().await {
            let piece = piece.map_err(|detail| StagingError::StreamBroken { name: name.clone(), detail })?;
            length = length.saturating_add(piece.len() as u64);
            if length > limit {
                return Err(StagingError::TooLarge { name: name.clone(), limit });
            }
            digester.update(&piece);
            writer.write_all(&piece).await.map_err(write_failed)?;
        }
        writer.flush().await.map_err(write_failed)?;
        Ok(StagedStream { length, digest: digester.finish() })
    }
}

/// A name that was free is a success; one that was taken is one where it has the same content, durably.
fn accept(area: &Area, name: &BlobName, placed: Placed, ours: &mut impl Read) -> Result<(), StagingError> {
    match placed {
        Placed::New => Ok(()),
        Placed::Taken(mut there) => same_content(name, &mut there, ours).and_then(|()| area.make_durable(name)),
    }
}

#[async_trait]
impl Staging for LocalStaging {
    fn name(&self) -> String {
        format!("staging in {}", self.area.root().display())
    }

    async fn prepare(&self) -> Result<(), StagingError> {
        self.blocking(Area::prepare).await
    }

    async fn put(&self, name: &BlobName, bytes: Bytes) -> Result<(), StagingError> {
        let name = name.clone();
        self.blocking(move |area| {
            // What is there already (a page that the overlap reads again) is compared without being written first.
            if let Some(there) = area.open_if_there(&name)? {
                return accept(area, &name, Placed::Taken(there), &mut bytes.as_ref());
            }
            let draft = area.drafts().write(&bytes)?;
            let placed = area.place(draft.path(), &name)?;
            accept(area, &name, placed, &mut bytes.as_ref())
        })
        .await
    }

    async fn put_stream(
        &self,
        name: &BlobName,
        bytes: ByteStream<std::io::Error>,
        limit: u64,
    ) -> Result<StagedStream, StagingError> {
        let draft = self.blocking(|area| area.drafts().begin()).await?;
        let staged = Self::fill(&draft, name, bytes, limit).await?;
        let name = name.clone();
        self.blocking(move |area| {
            draft.sync()?;
            let placed = area.place(draft.path(), &name)?;
            accept(area, &name, placed, &mut draft.reader()?).map(|()| staged)
        })
        .await
    }

    async fn get(&self, name: &BlobName, limit: u64) -> Result<Bytes, StagingError> {
        let name = name.clone();
        self.blocking(move |area| {
            let file = area.open(&name)?;
            let read_failed = |error| fault::of("read", &area.path_of(&name), &error);
            let length = file.metadata().map_err(read_failed)?.len();
            let too_large = || StagingError::TooLarge { name: name.clone(), limit };
            if length > limit {
                return Err(too_large());
            }
            let mut bytes = Vec::with_capacity(usize::try_from(length).map_err(|_| too_large())?);
            file.take(length).read_to_end(&mut bytes).map_err(read_failed)?;
            Ok(Bytes::from(bytes))
        })
        .await
    }

    async fn get_range(&self, name: &BlobName, range: Range<u64>) -> Result<Bytes, StagingError> {
        let name = name.clone();
        self.blocking(move |area| {
            let file = area.open(&name)?;
            let read_failed = |error| fault::of("read", &area.path_of(&name), &error);
            let length = file.metadata().map_err(read_failed)?.len();
            if range.end > length || range.start > range.end {
                let Range { start, end } = range;
                let detail = format!("it has {length} bytes; bytes {start} to {end} were asked for");
                return Err(StagingError::Damaged { name, detail });
            }
            let wanted = usize::try_from(range.end - range.start)
                .map_err(|_| StagingError::TooLarge { name: name.clone(), limit: usize::MAX as u64 })?;
            let mut bytes = vec![0; wanted];
            file.read_exact_at(&mut bytes, range.start).map_err(read_failed)?;
            Ok(Bytes::from(bytes))
        })
        .await
    }

    async fn open(&self, name: &BlobName) -> Result<ByteStream<StagingError>, StagingError> {
        let (file, path) = {
            let name = name.clone();
            self.blocking(move |area| Ok((area.open(&name)?, area.path_of(&name)))).await?
        };
        let stream = ReaderStream::with_capacity(tokio::fs::File::from_std(file), READ_BUFFER);
        Ok(stream.map_err(move |error| fault::of("read", &path, &error)).boxed())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(BlobName, u64)>, StagingError> {
        let prefix = prefix.to_owned();
        self.blocking(move |area| area.list(&prefix)).await
    }

    async fn copy(&self, from: &BlobName, to: &BlobName) -> Result<(), StagingError> {
        let (from, to) = (from.clone(), to.clone());
        self.blocking(move |area| {
            // No file is ever written to once it has its name, so one more name for it is as good as a copy.
            let mut original = area.open(&from)?;
            let placed = area.place(&area.path_of(&from), &to)?;
            accept(area, &to, placed, &mut original)
        })
        .await
    }

    async fn remove(&self, name: &BlobName) -> Result<(), StagingError> {
        let name = name.clone();
        self.blocking(move |area| area.remove(&name)).await
    }
}
