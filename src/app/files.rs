//! The administrator's files beside the configuration: the mapping, the user list, and the keys.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use crate::bounded_file;
use crate::config::{Config, LedgerUrl, MAX_CA_FILE, NamedTables, SignInConfig};
use crate::report::signature::{KeyError, SigningKey};
use crate::resolve::mapping::Mapping;
use crate::resolve::users::list::UserList;
use crate::secret::{Secret, SecretError};
use crate::sign_in::{SignInError, check_certificate};

/// What is wrong with files, line by line.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct FileProblems {
    text: String,
    /// A file can't be read at all.
    is_unreadable: bool,
}

impl FileProblems {
    fn of_lines(problems: &impl std::fmt::Display) -> Self {
        Self { text: problems.to_string(), is_unreadable: false }
    }

    /// What to do about them.
    pub fn remedy(&self) -> &'static str {
        if self.is_unreadable {
            "put the file there, readable by the daemon's user, or correct the path"
        } else {
            "correct the lines named above"
        }
    }
}

/// A key that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum WrongKey {
    /// It can't be had.
    #[error(transparent)]
    Unreadable(#[from] SecretError),
    /// The key of the reports is not one.
    #[error("report.signing_key: {0}")]
    Signing(#[from] KeyError),
    /// The certificate of the sign-in is not one.
    #[error(transparent)]
    Certificate(#[from] SignInError),
}

/// The tables, read.
pub struct Tables {
    /// The mapping; nothing where none is named.
    pub mapping: Option<Arc<Mapping>>,
    /// The user list; nothing where users come from elsewhere.
    pub users: Option<UserList>,
}

impl Tables {
    /// No mapping, and a user list without users.
    pub(super) fn of_nobody() -> Self {
        let users = UserList::read(b"address\n", "users.path").ok().map(|(nobody, _)| nobody);
        Self { mapping: None, users }
    }
}

/// Largest file that is read, in bytes.
const MAX_FILE: u32 = 64 * 1024 * 1024;

/// Reads the tables; what is wrong with either of them is reported at once.
pub fn read_tables(named: &NamedTables) -> Result<Tables, FileProblems> {
    match (read_mapping(named), read_users(named)) {
        (Ok(mapping), Ok(users)) => Ok(Tables { mapping, users }),
        (mapping, users) => {
            let problems: Vec<FileProblems> = mapping.err().into_iter().chain(users.err()).collect();
            let is_unreadable = problems.iter().any(|problems| problems.is_unreadable);
            let texts: Vec<String> = problems.into_iter().map(|problems| problems.text).collect();
            Err(FileProblems { text: texts.join("\n"), is_unreadable })
        }
    }
}

/// What is wrong with keys that are there. One that can't be had may be there the next time.
pub fn problems_of_keys(config: &Config) -> Vec<WrongKey> {
    let wrong = [signing_key(config).err(), certificate(config).err()];
    wrong.into_iter().flatten().filter(|wrong| !matches!(wrong, WrongKey::Unreadable(_))).collect()
}

/// Reads the mapping file; nothing where none is named. Warnings are logged.
pub fn read_mapping(named: &NamedTables) -> Result<Option<Arc<Mapping>>, FileProblems> {
    let Some(path) = &named.mapping else { return Ok(None) };
    let bytes = read_table(path, "mapping.custom")?;
    let (mapping, warnings) =
        Mapping::read(&bytes, &path.display().to_string()).map_err(|problems| FileProblems::of_lines(&problems))?;
    for warning in &warnings {
        tracing::warn!(event = "mapping_warning", "{warning}");
    }
    Ok(Some(Arc::new(mapping)))
}

/// Reads the user list; nothing where none is named. Warnings are logged.
pub fn read_users(named: &NamedTables) -> Result<Option<UserList>, FileProblems> {
    let Some(path) = &named.users else { return Ok(None) };
    let bytes = read_table(path, "users.path")?;
    let (users, warnings) =
        UserList::read(&bytes, &path.display().to_string()).map_err(|problems| FileProblems::of_lines(&problems))?;
    for warning in &warnings {
        tracing::warn!(event = "users_warning", "{warning}");
    }
    Ok(Some(users))
}

/// The key that signs reports; nothing where none is named.
pub fn signing_key(config: &Config) -> Result<Option<SigningKey>, WrongKey> {
    let Some(secret) = &config.report.signing_key else { return Ok(None) };
    Ok(Some(SigningKey::from_pem(&secret.read()?)?))
}

/// Looks at the certificate of the sign-in, as far as it can be judged without asking anybody. Whether there is one.
pub fn certificate(config: &Config) -> Result<bool, WrongKey> {
    let sign_in = config.microsoft.as_ref().map(|microsoft| &microsoft.sign_in);
    let Some(SignInConfig::Certificate { certificate, .. }) = sign_in else { return Ok(false) };
    check_certificate(&Secret::read(certificate)?)?;
    Ok(true)
}

/// Where a ledger lies, without any password.
pub fn ledger_place(url: &LedgerUrl) -> String {
    match url {
        LedgerUrl::Sqlite(path) => path.display().to_string(),
        LedgerUrl::Postgres { url, .. } => {
            format!("postgres://{}{}", url.host_str().unwrap_or_default(), url.path())
        }
    }
}

/// The bytes of a file, or of a pipe that an administrator names in a command.
pub fn read_bounded(path: &Path, key: &str) -> Result<Vec<u8>, FileProblems> {
    bounded_file::read(path, MAX_FILE).map_err(|error| unreadable(path, &error, key))
}

/// The certificates of `network.ca_file`.
pub(super) fn read_ca_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    bounded_file::read_regular(path, MAX_CA_FILE).with_context(|| format!("network.ca_file: {}", path.display()))
}

/// The bytes of a table that the configuration names: a regular file, so that no start waits for a pipe.
fn read_table(path: &Path, key: &str) -> Result<Vec<u8>, FileProblems> {
    bounded_file::read_regular(path, MAX_FILE).map_err(|error| unreadable(path, &error, key))
}

fn unreadable(path: &Path, error: &bounded_file::Unreadable, key: &str) -> FileProblems {
    FileProblems { text: format!("{}: error: the file {error} ({key})", path.display()), is_unreadable: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_is_no_regular_file_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("mapping.csv");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for (path, says) in
            [(pipe.as_path(), "a named pipe, not a file"), (Path::new("/dev/zero"), "a device, not a file")]
        {
            let named = NamedTables { mapping: Some(path.to_owned()), users: Some(path.to_owned()) };
            let Err(problems) = read_tables(&named) else { panic!("{says}") };
            assert_eq!(problems.text.matches(says).count(), 2, "{problems}");
        }
    }
}
