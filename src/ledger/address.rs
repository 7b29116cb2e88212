//! The address of a ledger: `sqlite://…` or `postgres://…`.

use std::path::PathBuf;

/// That of a ledger in memory.
pub(super) const IN_MEMORY: &str = "sqlite::memory:?mode=rwc";

pub(super) fn is_in_memory(url: &str) -> bool {
    url == IN_MEMORY
}

/// The file of an SQLite ledger; nothing for a ledger in memory or on a server.
pub(super) fn file_of(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"))?;
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    (!path.is_empty() && path != ":memory:").then(|| PathBuf::from(path))
}

/// It without user name and password. A path may contain `@`.
pub(super) fn redacted(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) if file_of(url).is_none() => format!("{scheme}://{host}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_are_left_out_and_a_path_is_whole() {
        assert_eq!(redacted("postgres://user:pass@db.example/ledger"), "postgres://db.example/ledger");
        assert_eq!(redacted("sqlite:///srv/a@b/ledger.db"), "sqlite:///srv/a@b/ledger.db");
    }
}
