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
                self.warn_of_restarts(&config);
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

    fn warn_of_restarts(&self, config: &Config) {
        let now = &self.app.config;
        let (http, http_now) = (config.http.as_ref(), now.http.as_ref());
        let ledger = config.ledger.url != now.ledger.url;
        let listen = http.map(|http| http.listen) != http_now.map(|http| http.listen);
        let token = http.map(|http| &http.token) != http_now.map(|http| &http.token);
        let level = config.log.level != now.log.level;
        for (changed, key) in
            [(ledger, "ledger.url"), (listen, "http.listen"), (token, "http.token"), (level, "log.level")]
        {
            if changed {
                tracing::warn!(event = "restart_needed", key, "{key} changed: a restart is needed");
            }
        }
    }
}
