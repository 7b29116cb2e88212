//! A folder of TeleMessage's list responses, for exports and trials.
//!
//! ```text
//! <folder>/*.json, *.jsonl                      a list response, an array of RawMessages, one RawMessage, or lines of these
//! <folder>/attachments/<id>/<index>-<any name>  an attachment that is not inline
//! ```
//!
//! It has no window: every file is read in each run, in the order of the names, and what the ledger knows already is a
//! repeat. What a file holds decides how it is read. A page is one document or a part of a file of lines. The cursor is the position of the next byte to read, so
//! that a run goes on where it stopped; a folder that changes meanwhile may make it read something twice, and what it
//! passes over comes in the next run. Only regular files are read, never what a symbolic link points to. A file that can't be read
//! is no obstacle to those after it: when they are read the run fails, and names it.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;
use tracing::warn;

use self::files::Folder;
use self::lines::Read;
use self::position::Position;
use super::export_file::split_lines;
use super::page::{PageError, split_export};
use super::{AttachmentStream, Cursor, Page, Source, SourceError};
use crate::item::read::peek_product;
use crate::item::{ItemId, Product};
use crate::panics;
use crate::window::Window;

pub(crate) mod attachment;
mod files;
mod lines;
mod position;
mod whole;

/// The size of the pieces in which an attachment is read.
const READ_BUFFER: usize = 1 << 18;

#[derive(Debug)]
pub struct DirectorySource {
    path: PathBuf,
    page_size: usize,
    /// The products whose items are read; all where none is named.
    products: Vec<Product>,
    /// The files as the run found them at its start, so that a file that is added meanwhile moves no cursor.
    folder: Arc<Mutex<Option<Arc<Folder>>>>,
    /// Why files of this run are refused, each once.
    refused: Arc<Mutex<Vec<String>>>,
}

impl DirectorySource {
    /// The folder at `path`, read in pages of at most `page_size` lines (a `.json` file is always one page).
    pub fn new(path: PathBuf, page_size: usize) -> Self {
        Self { path, page_size, products: Vec::new(), folder: Arc::default(), refused: Arc::default() }
    }

    /// The same folder without the items of WhatsApp products that are not among these. An item that names no product, or an
    /// unknown one, is read all the same: it may be what is looked for.
    #[must_use]
    pub fn of_products(self, products: Vec<Product>) -> Self {
        Self { products, ..self }
    }

    /// Whether an item, byte for byte as it lies in `body`, is of a product that is read.
    fn takes(&self, body: &[u8], item: &Range<usize>) -> bool {
        if self.products.is_empty() {
            return true;
        }
        match body.get(item.clone()).and_then(peek_product) {
            Some(product @ (Product::PhoneArchiver | Product::CloudArchiver)) => self.products.contains(&product),
            Some(Product::Other(_)) | None => true,
        }
    }

    /// The files, as they were found at the start of the run, or now where this process has not seen it.
    fn folder(path: &Path, known: &Mutex<Option<Arc<Folder>>>, cursor: Cursor) -> Result<Arc<Folder>, SourceError> {
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(folder) = known.as_ref().filter(|_| cursor != Cursor(0)) {
            return Ok(Arc::clone(folder));
        }
        let folder = Folder::read(path)?;
        folder.report_passed_over();
        folder.require_something(path)?;
        Ok(Arc::clone(known.insert(Arc::new(folder))))
    }
}

/// Does `work` on a thread that may wait for the disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    panics::blocking(work).await.unwrap_or_else(|ended| Err(SourceError::Unavailable(ended.to_string())))
}

/// The page at `cursor`. What is refused comes after the last page.
fn read_page(folder: &Folder, refused: &Mutex<Vec<String>>, cursor: Cursor, limit: usize) -> Result<Page, SourceError> {
    let mut refused = refused.lock().unwrap_or_else(PoisonError::into_inner);
    if cursor == Cursor(0) {
        refused.clear();
    }
    let position = Position::of(cursor);
    let Some(file) = folder.file(position.file) else {
        // Reported once: whoever goes on here knows.
        let refused = std::mem::take(&mut *refused);
        let refusal = (!refused.is_empty()).then(|| SourceError::Contract(refused.join("; ")));
        return refusal.map_or_else(|| Ok(empty_page(cursor)), Err);
    };
    let read = match position.offset {
        0 => match whole::read(file, cursor, limit) {
            Err(SourceError::Contract(why)) => {
                warn!(event = "source_file_passed_over", entry = why, "refused; the files after it are read");
                refused.push(why);
                Read { body: Bytes::new(), items: Vec::new(), next_offset: None }
            }
            read => read?,
        },
        offset => lines::read(file, offset, limit.max(1))?,
    };
    let next = match read.next_offset {
        Some(offset) => Position { offset, ..position },
        None => Position { file: position.file + 1, offset: 0 },
    };
    let end = folder.file(next.file).is_none() && refused.is_empty();
    let passed = read.items.len();
    Ok(Page { body: read.body, items: read.items, next: next.cursor()?, passed, end })
}

fn empty_page(cursor: Cursor) -> Page {
    Page { body: Bytes::new(), items: Vec::new(), next: cursor, passed: 0, end: true }
}

#[async_trait]
impl Source for DirectorySource {
    fn name(&self) -> String {
        format!("the folder {}", self.path.display())
    }

    async fn log_in(&self) -> Result<Option<DateTime<Utc>>, SourceError> {
        let path = self.path.clone();
        let look = move || {
            let folder = Folder::read(&path)?;
            let checked = folder.require_something(&path);
            if checked.is_err() {
                folder.report_passed_over();
            }
            checked.map(|()| None)
        };
        blocking(look).await
    }

    async fn page(&self, _window: Window, cursor: Cursor, limit: usize) -> Result<Page, SourceError> {
        let (path, known, refused) = (self.path.clone(), Arc::clone(&self.folder), Arc::clone(&self.refused));
        let read = move || read_page(&*Self::folder(&path, &known, cursor)?, &refused, cursor, limit);
        let mut page = blocking(read).await?;
        page.items.retain(|item| self.takes(&page.body, item));
        Ok(page)
    }

    async fn attachment(&self, item: ItemId, index: usize) -> Result<AttachmentStream, SourceError> {
        let path = self.path.clone();
        let (file, length) = blocking(move || attachment::open(&path, item, index)).await?;
        // A file that grows while it is read has the length that it had.
        let reader = ReaderStream::with_capacity(tokio::fs::File::from_std(file).take(length), READ_BUFFER);
        let broken = |error| SourceError::Unavailable(format!("an attachment can't be read: {error}"));
        Ok(AttachmentStream { length: Some(length), suspected_error: None, bytes: reader.map_err(broken).boxed() })
    }

    /// A page is a file, or lines of one.
    fn split(&self, body: &[u8]) -> Result<Vec<Range<usize>>, PageError> {
        let mut items = split_export(body).map_or_else(|_| split_lines(body), |(_, items)| items);
        items.retain(|item| self.takes(body, item));
        Ok(items)
    }

    fn has_windows(&self) -> bool {
        false
    }

    async fn passed_over(&self) -> Vec<String> {
        let path = self.path.clone();
        let folder = blocking(move || Folder::read(&path)).await;
        folder.map(|folder| folder.passed_over().to_vec()).unwrap_or_default()
    }

    fn page_size(&self) -> usize {
        self.page_size
    }
}
