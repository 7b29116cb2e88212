//! Reading again what an administrator changed. A bad file leaves the last good one in force.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::Daemon;
use crate::app::files;
use crate::config::{Config, UsersKind};

/// The files that are read again when they change.
#[derive(Debug)]
pub(super) struct FileWatch {
    mapping: Option<Watched>,
    users: Option<Watched>,
}

#[derive(Debug)]
struct Watched {
    path: PathBuf,
    seen: Option<Stamp>,
}

/// What tells that a file has changed. Nothing where it isn't there.
type Stamp = (Option<SystemTime>, u64);

impl Watched {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), seen: stamp(path) }
    }

    /// Whether the file has changed since the last look. One that has gone away hasn't: editors replace files.
    fn changed(&mut self) -> bool {
        let now = stamp(&self.path);
        if now.is_none() || now == self.seen {
            return false;
        }
        self.seen = now;
        true
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok(), metadata.len()))
}

impl FileWatch {
    pub(super) fn of(config: &Config) -> Self {
        let users = match &config.users.kind {
            UsersKind::List { path } => Some(Watched::new(path)),
            UsersKind::Graph => None,
        };
        Self { mapping: config.mapping.custom.as_deref().map(Watched::new), users }
    }
}

impl Daemon {
    /// Reads the mapping and the user list again where their files have changed.
    pub(super) fn look_at_files(&mut self) {
        if self.files.mapping.as_mut().is_some_and(Watched::changed) {
            self.reload_mapping();
        }
        if self.files.users.as_mut().is_some_and(Watched::changed) {
            let config = Arc::clone(&self.app.config);
            self.take_configuration(config, "the user list");
        }
    }

    fn reload_mapping(&self) {
        match files::read_mapping(&self.app.config) {
            Ok(mapping) => {
                let numbers = mapping.as_ref().map_or(0, |mapping| mapping.len());
                self.app.resolver.replace_mapping(mapping);
                tracing::info!(event = "mapping_reloaded", numbers, "the mapping file changed and is in force");
            }
            Err(problems) => tracing::error!(
                event = "reload_failed",
                error = %problems,
                "the mapping file changed and is wrong; the last good one stays in force"
            ),
        }
    }

    /// Reads the configuration again, at SIGHUP.
    pub(super) fn reload_configuration(&mut self) {
        match (self.loader)() {
            Ok(config) => {
                self.tell_what_needs_a_restart(&config);
                self.take_configuration(Arc::new(config), "the configuration");
            }
            Err(problems) => tracing::error!(
                event = "reload_failed",
                error = %problems,
                "the configuration is wrong; the last good one stays in force"
            ),
        }
    }

    /// Builds the remotes anew. A run under way keeps those that it began with.
    fn take_configuration(&mut self, config: Arc<Config>, what: &str) {
        match self.app.rebuilt(&config, &self.environment) {
            Ok((remotes, resolver)) => {
                self.files = FileWatch::of(&config);
                self.app.config = config;
                self.app.remotes = remotes;
                self.app.resolver = resolver;
                tracing::info!(
                    event = "configuration_reloaded",
                    "{what} was read again and is in force from the next run on"
                );
            }
            Err(error) => tracing::error!(
                event = "reload_failed",
                error = %error,
                "{what} can't be used; the last good one stays in force"
            ),
        }
    }

    fn tell_what_needs_a_restart(&self, config: &Config) {
        let ledger = format!("{:?}", config.ledger.url) != format!("{:?}", self.app.config.ledger.url);
        let listen =
            config.http.as_ref().map(|http| http.listen) != self.app.config.http.as_ref().map(|http| http.listen);
        for (changed, key) in [(ledger, "ledger.url"), (listen, "http.listen")] {
            if changed {
                tracing::warn!(event = "restart_needed", key, "{key} changed: that takes a restart");
            }
        }
    }
}
