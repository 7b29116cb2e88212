//! The administrator's files beside the configuration: the mapping and the user list.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use crate::config::{Config, UsersKind};
use crate::resolve::mapping::Mapping;
use crate::resolve::users::list::UserList;

/// What is wrong with a file, line by line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct FileProblems(pub String);

/// Largest file that is read, in bytes.
const LARGEST: u64 = 64 * 1024 * 1024;

/// Reads the mapping file that the configuration names; nothing where it names none. Warnings are logged.
pub fn read_mapping(config: &Config) -> Result<Option<Arc<Mapping>>, FileProblems> {
    let Some(path) = &config.mapping.custom else { return Ok(None) };
    let bytes = read_bounded(path, "mapping.custom")?;
    let (mapping, warnings) =
        Mapping::read(&bytes, &path.display().to_string()).map_err(|problems| FileProblems(problems.to_string()))?;
    for warning in &warnings {
        tracing::warn!(event = "mapping_warning", "{warning}");
    }
    Ok(Some(Arc::new(mapping)))
}

/// Reads the user list that the configuration names; nothing where users come from elsewhere.
pub fn read_users(config: &Config) -> Result<Option<UserList>, FileProblems> {
    let UsersKind::List { path } = &config.users.kind else { return Ok(None) };
    let bytes = read_bounded(path, "users.path")?;
    let (users, warnings) =
        UserList::read(&bytes, &path.display().to_string()).map_err(|problems| FileProblems(problems.to_string()))?;
    for warning in &warnings {
        tracing::warn!(event = "users_warning", "{warning}");
    }
    Ok(Some(users))
}

/// A file's bytes.
pub fn read_bounded(path: &Path, key: &str) -> Result<Vec<u8>, FileProblems> {
    let problem = |detail: String| FileProblems(format!("{}: error: {detail} ({key})", path.display()));
    let file = std::fs::File::open(path).map_err(|error| problem(format!("the file can't be read: {error}")))?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| problem(format!("the file can't be read: {error}")))?;
    if bytes.len() as u64 > LARGEST {
        return Err(problem(format!("the file has more than {LARGEST} bytes")));
    }
    Ok(bytes)
}
