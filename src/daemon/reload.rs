//! Reading again what an administrator changed. A bad file leaves the last good one in force.

use std::sync::Arc;

use super::Daemon;
use crate::app::watch::FileWatch;
use crate::app::{files, gained};
use crate::config::Config;
use crate::status::warning::{self, Input};

impl Daemon {
    /// Reads the mapping and the user list again where their files have changed.
    pub(super) async fn look_at_files(&mut self) {
        if self.app.files.mapping_changed() {
            self.reload_mapping().await;
        }
        if self.app.files.users_changed() {
            let config = Arc::clone(&self.app.config);
            self.take_configuration(config, Input::Users).await;
        }
    }

    /// The inputs that a start takes are good.
    pub(super) async fn note_good_inputs(&mut self) {
        self.note_good(&Input::ALL).await;
    }

    async fn note_good(&mut self, inputs: &[Input]) {
        for input in inputs {
            self.note_reload(*input, Ok(())).await;
        }
        self.record_inputs().await;
    }

    /// Records what is in force now, where it wasn't before. What another mapping makes good is looked for beside the daemon's
    /// own work.
    async fn record_inputs(&self) {
        match self.app.record_inputs().await {
            Ok(false) => {}
            Ok(true) => {
                let (ledger, resolver) = (self.app.ledger.clone(), Arc::clone(&self.app.resolver));
                tokio::spawn(async move { gained::report(&ledger, &resolver).await });
            }
            Err(error) => {
                tracing::error!(event = "ledger_unavailable", error = %error, "the ledger could not record that the configuration or the mapping changed; the reports' inputs show it");
            }
        }
    }

    /// Notes how reading an input again went.
    async fn note_reload(&mut self, input: Input, result: Result<(), &str>) {
        self.attention.soon();
        let noted = warning::note_reload(&self.app.ledger, input, result, self.app.clock.now()).await;
        if let Err(error) = noted {
            tracing::error!(event = "ledger_unavailable", error = %error, "the outcome of a reload could not be recorded in the ledger; `status` doesn't show it");
        }
    }

    async fn reload_mapping(&mut self) {
        match files::read_mapping(&self.app.config.tables()) {
            Ok(mapping) => {
                let numbers = mapping.as_ref().map_or(0, |mapping| mapping.len());
                self.app.resolver.replace_mapping(mapping);
                tracing::info!(event = "mapping_reloaded", numbers, "the mapping file changed and is in force");
                self.note_reload(Input::Mapping, Ok(())).await;
                self.record_inputs().await;
            }
            Err(problems) => {
                tracing::error!(
                    event = "reload_failed",
                    error = %problems,
                    "the mapping file changed and is wrong; the last good one stays in force"
                );
                self.note_reload(Input::Mapping, Err(&problems.to_string())).await;
            }
        }
    }

    /// Reads the configuration again, at SIGHUP.
    pub(super) async fn reload_configuration(&mut self) {
        let keys_too = |config: Config| match files::problems_of_keys(&config).first() {
            Some(wrong) => Err(wrong.to_string()),
            None => Ok(config),
        };
        match (self.loader)().and_then(keys_too) {
            Ok(config) => {
                for key in needing_restart(&self.app.config, &config) {
                    tracing::warn!(event = "restart_needed", key, "{key} changed: a restart is needed");
                }
                self.take_configuration(Arc::new(config), Input::Configuration).await;
            }
            Err(problems) => {
                tracing::error!(
                    event = "reload_failed",
                    error = %problems,
                    "the configuration is wrong; the last good one stays in force"
                );
                self.note_reload(Input::Configuration, Err(&problems)).await;
            }
        }
    }

    /// Builds the remotes anew. A run under way keeps those that it began with.
    async fn take_configuration(&mut self, config: Arc<Config>, input: Input) {
        let what = if input == Input::Users { "the user list" } else { "the configuration" };
        let files = FileWatch::of(&config);
        match self.app.rebuilt(&config, &self.environment) {
            Ok((remotes, resolver)) => {
                self.schedule.send_replace(config.schedule.clone());
                self.app.files = files;
                self.app.config = config;
                self.app.remotes = remotes;
                self.app.resolver = resolver;
                tracing::info!(
                    event = "configuration_reloaded",
                    "{what} was read again and is in force from the next run on"
                );
                // It was built with the tables, so those are good too. A configuration that was refused stays refused: only
                // SIGHUP reads it.
                let read: &[Input] = if input == Input::Users { &[Input::Mapping, Input::Users] } else { &Input::ALL };
                self.note_good(read).await;
            }
            Err(error) => {
                tracing::error!(
                    event = "reload_failed",
                    error = %error,
                    "{what} can't be used; the last good one stays in force"
                );
                self.note_reload(input, Err(&error.to_string())).await;
            }
        }
    }
}

/// The keys that have changed and are read at the start alone.
fn needing_restart(now: &Config, new: &Config) -> Vec<&'static str> {
    let (http, new_http) = (now.http.as_ref(), new.http.as_ref());
    let changed = [
        ("ledger.url", now.ledger.url != new.ledger.url),
        ("ledger.replica", now.ledger.replica != new.ledger.replica),
        ("http.listen", http.map(|http| http.listen) != new_http.map(|http| http.listen)),
        ("http.token", http.map(|http| &http.token) != new_http.map(|http| &http.token)),
        ("log.level", now.log.level != new.log.level),
    ];
    changed.into_iter().filter_map(|(key, has_changed)| has_changed.then_some(key)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;

    #[test]
    fn what_is_read_at_the_start_alone_needs_a_restart() {
        let config = |database: &str, replica: &str, port: u16, level: &str| {
            let text = format!(
                "[source]\nkind = \"directory\"\npath = \"export\"\n[staging]\nkind = \"local\"\npath = \"staging\"\n\
                 [users]\nkind = \"list\"\npath = \"users.csv\"\n[mailbox]\nkind = \"maildir\"\npath = \"mailboxes\"\n\
                 [ledger]\nurl = \"postgres://archiver@db.example/{database}\"\nreplica = \"{replica}\"\n\
                 [http]\nlisten = \"127.0.0.1:{port}\"\n[log]\nlevel = \"{level}\"\n"
            );
            Config::from_text(&text, Path::new("/etc/config.toml"), &BTreeMap::new()).unwrap()
        };
        let now = config("archive", "archiver-0", 8080, "info");
        assert!(needing_restart(&now, &now).is_empty());
        let new = config("other", "archiver-1", 8081, "debug");
        assert_eq!(needing_restart(&now, &new), ["ledger.url", "ledger.replica", "http.listen", "log.level"]);
    }
}
