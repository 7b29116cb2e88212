//! A file of an export, digested while it is written.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::error::{ExportError, at};
use crate::digest::{Digest, Digester};

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedFile {
    /// Its path below the folder of the export, with `/` between its parts.
    pub path: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its length in bytes.
    pub bytes: u64,
}

/// A new file that is being written.
#[derive(Debug)]
pub(super) struct Output {
    path: PathBuf,
    name: String,
    file: BufWriter<File>,
    digester: Digester,
    bytes: u64,
}

impl Output {
    /// A new file in `folder`; one that is there already is an error. `name` may have folders in it, which must be there.
    pub(super) fn create(folder: &Path, name: String) -> Result<Self, ExportError> {
        let path = folder.join(&name);
        let file = BufWriter::new(create(&path)?);
        Ok(Self { path, name, file, digester: Digester::default(), bytes: 0 })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn finish(mut self) -> Result<ExportedFile, ExportError> {
        self.file.flush().map_err(at(&self.path))?;
        Ok(ExportedFile { path: self.name, digest: self.digester.finish(), bytes: self.bytes })
    }
}

impl Write for Output {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.file.write(buffer)?;
        self.digester.update(buffer.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A new file; one that is there already is an error.
pub(super) fn create(path: &Path) -> Result<File, ExportError> {
    OpenOptions::new().write(true).create_new(true).open(path).map_err(at(path))
}
