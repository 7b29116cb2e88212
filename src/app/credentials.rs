//! When the credentials of the configuration end, as far as they say so themselves: a certificate and a shared access
//! signature do; a client secret doesn't, so its end is unknown and never taken for good.

use chrono::{DateTime, Utc};

use super::App;
use crate::config::{AzureAuth, Config, SignInConfig, StagingKind};
use crate::ledger::LedgerError;
use crate::panics;
use crate::secret::Secret;
use crate::sign_in::certificate_end;
use crate::staging::azure::sas_end;
use crate::status::credential::{self, CredentialExpiry, Found};

/// The credentials that end some day. Reads their files, so it blocks.
pub fn of(config: &Config) -> Vec<Found> {
    let read = |secret: &Secret, end: fn(&secrecy::SecretString) -> Option<DateTime<Utc>>| {
        let read = secret.read();
        let is_readable = read.is_ok();
        let expires = read.ok().and_then(|secret| end(&secret));
        Found { credential: CredentialExpiry { credential: secret.key().to_owned(), expires }, is_readable }
    };
    let mut found = Vec::new();
    match config.microsoft.as_ref().map(|microsoft| &microsoft.sign_in) {
        Some(SignInConfig::Certificate { certificate, .. }) => found.push(read(certificate, certificate_end)),
        Some(SignInConfig::ClientSecret { secret, .. }) => found.push(read(secret, |_| None)),
        _ => {}
    }
    if let StagingKind::Azure(azure) = &config.staging.kind
        && let AzureAuth::Sas(sas) = &azure.auth
    {
        found.push(read(sas, sas_end));
    }
    found
}

impl App {
    /// Notes in the ledger when the credentials in force end, and logs which of them end soon.
    pub async fn note_credentials(&self) -> Result<(), LedgerError> {
        let config = std::sync::Arc::clone(&self.config);
        // A file may lie on a share that hangs.
        let found = panics::blocking(move || of(&config)).await;
        let found = found.map_err(|error| LedgerError::Damaged(error.to_string()))?;
        credential::note(&self.ledger, &found, self.clock.now()).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::NeededSecrets;

    #[test]
    fn a_signature_names_its_end_and_a_client_secret_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let text = "[source]\nkind = \"directory\"\npath = \"export\"\n\
            [staging]\nkind = \"azure\"\nendpoint = \"https://contoso.blob.core.windows.net\"\n\
            container = \"archive\"\nauth = \"sas\"\nsas = { env = \"SAS\" }\n\
            [users]\nkind = \"graph\"\n\
            [microsoft]\ntenant_id = \"contoso.example\"\nclient_id = \"00000000-0000-0000-0000-000000000001\"\n\
            sign_in = \"client-secret\"\nclient_secret = { env = \"SECRET\" }\n\
            [mailbox]\nkind = \"maildir\"\npath = \"mailboxes\"\n\
            [ledger]\nurl = \"sqlite://ledger.db\"\n";
        std::fs::write(&path, text).unwrap();
        let environment = BTreeMap::from([
            ("SAS".to_owned(), "sv=1&se=2026-12-03T10%3A00%3A00Z&sig=x".to_owned()),
            ("SECRET".to_owned(), "s".to_owned()),
        ]);
        let config = Config::load(&path, &environment, NeededSecrets::All).unwrap();
        let found: Vec<(String, Option<String>)> = of(&config)
            .into_iter()
            .map(|one| (one.credential.credential, one.credential.expires.map(|end| end.to_rfc3339())))
            .collect();
        assert_eq!(
            found,
            [
                ("microsoft.client_secret".to_owned(), None),
                ("staging.sas".to_owned(), Some("2026-12-03T10:00:00+00:00".to_owned())),
            ]
        );
    }
}
