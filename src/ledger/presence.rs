//! Which processes are alive, where that can be known without waiting for their leases to run out.
//!
//! Beside an SQLite ledger every process locks a file of its own while it lives. The operating system drops the lock
//! with the process, however that ends, so that its successor can take its leases over at once. On PostgreSQL, where processes run on
//! many machines, a dead one's leases run out, unless its successor starts under its name.

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::sql::millis;
use super::{Holder, Ledger, LedgerError, address};

/// A process's presence at the ledger, which ends with it. Its file stays: the next process clears it away, and with it
/// the leases that could not be given back.
#[derive(Debug)]
pub struct Presence {
    /// The process.
    pub holder: Holder,
    lock: Option<File>,
}

/// Whether a process is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Present,
    Gone,
    /// On a server, or where the locks can't be read.
    Unknown,
}

impl Presence {
    /// For a process that ends in the middle of its work: it counts as present until it is gone.
    pub fn keep_until_exit(&mut self) {
        if let Some(file) = self.lock.take() {
            // The operating system closes the file, and drops the lock, with the process.
            std::mem::forget(file);
        }
    }
}

impl Ledger {
    /// Makes this process known to the ledger, and expires the leases of processes that are certainly gone.
    pub async fn join(&self, now: DateTime<Utc>) -> Result<Presence, LedgerError> {
        let Some(directory) = &self.presence else {
            self.expire_gone(now).await?;
            return Ok(Presence { holder: Holder::new(), lock: None });
        };
        let failed = |error: std::io::Error| unusable(directory, &error);
        std::fs::create_dir_all(directory).map_err(failed)?;
        self.expire_gone(now).await?;
        loop {
            let holder = Holder::new();
            let file = File::create_new(directory.join(&holder.0)).map_err(failed)?;
            match file.try_lock() {
                // Another process may have cleared the file away between its creation and its lock.
                Ok(()) if file.metadata().map_err(failed)?.nlink() > 0 => {
                    return Ok(Presence { holder, lock: Some(file) });
                }
                // Or it is about to: whoever locks a file first takes it for a dead process's.
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }

    /// Makes `holder` the process of a named replica, and expires the leases of the one that had the name before.
    pub async fn succeed(&self, replica: &str, holder: &Holder, now: DateTime<Utc>) -> Result<(), LedgerError> {
        let name = format!("replica:{replica}");
        if let Some(predecessor) = self.get_meta(&name).await? {
            self.expire(&Holder(predecessor), now).await?;
        }
        self.set_meta(&name, Some(&holder.0)).await
    }

    /// Expires the leases of processes that are certainly gone, and those that no process can have.
    pub async fn expire_gone(&self, now: DateTime<Utc>) -> Result<(), LedgerError> {
        self.expire_impossible(now).await?;
        let Some(directory) = &self.presence else { return Ok(()) };
        for gone in gone_processes(directory).map_err(|error| unusable(directory, &error))? {
            self.expire(&gone.holder, now).await?;
            let _ = std::fs::remove_file(directory.join(&gone.holder.0));
        }
        Ok(())
    }

    /// Whether a process is alive, as far as its lock shows that.
    pub(super) fn life_of(&self, holder: &Holder) -> Life {
        let Some(directory) = &self.presence else { return Life::Unknown };
        match File::open(directory.join(&holder.0)).map(|file| file.try_lock_shared()) {
            Ok(Ok(())) => Life::Gone,
            Ok(Err(TryLockError::WouldBlock)) => Life::Present,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Life::Gone,
            Ok(Err(TryLockError::Error(_))) | Err(_) => Life::Unknown,
        }
    }

    async fn expire(&self, gone: &Holder, now: DateTime<Utc>) -> Result<(), LedgerError> {
        let mut transaction = self.begin().await?;
        sqlx::query("UPDATE leases SET until = $1 WHERE holder = $2 AND until > $1")
            .bind(millis(now))
            .bind(&gone.0)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("UPDATE item_rows SET claim_until = $1 WHERE claim_holder = $2 AND state <> 'prepared'")
            .bind(millis(now))
            .bind(&gone.0)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }
}

fn unusable(directory: &Path, error: &std::io::Error) -> LedgerError {
    LedgerError::Open {
        url: directory.display().to_string(),
        detail: format!("the directory of locks beside it can't be used: {error}"),
    }
}

/// How many processes are alive.
pub(super) fn present(directory: &Path) -> Result<usize, LedgerError> {
    let count = || {
        let entries = match std::fs::read_dir(directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
            entries => entries?.count(),
        };
        Ok(entries.saturating_sub(gone_processes(directory)?.len()))
    };
    count().map_err(|error| unusable(directory, &error))
}

/// A process that is gone. Its file stays locked meanwhile, so that nobody begins to use it before it is cleared away.
struct Gone {
    holder: Holder,
    _lock: File,
}

/// Processes whose files nobody locks any more.
fn gone_processes(directory: &Path) -> std::io::Result<Vec<Gone>> {
    let mut gone = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let Ok(file) = File::open(entry.path()) else { continue };
        match file.try_lock() {
            Ok(()) => gone.push(Gone { holder: Holder(name), _lock: file }),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(gone)
}

/// The directory of locks beside an SQLite ledger; nothing for a ledger in memory or on a server.
pub(super) fn directory_beside(url: &str) -> Option<PathBuf> {
    let mut path = address::file_of(url)?.into_os_string();
    path.push("-processes");
    Some(path.into())
}
