//! `[users]`: who is a valid user.

use std::path::PathBuf;
use std::time::Duration;

/// Who is a valid user, and for how long an answer is believed.
#[derive(Debug, Clone)]
pub struct UsersConfig {
    /// Who tells.
    pub kind: UsersKind,
    /// How long "a valid user" is believed.
    pub cache: Duration,
    /// How long "not a valid user" is believed.
    pub negative_cache: Duration,
}

/// The kinds of user directories.
#[derive(Debug, Clone)]
pub enum UsersKind {
    /// Microsoft Graph, with the sign-in of `[microsoft]`, which is there then.
    Graph,
    /// A file of addresses.
    List {
        /// The file.
        path: PathBuf,
    },
}
