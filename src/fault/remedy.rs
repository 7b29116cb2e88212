//! What somebody can do about a remote that fails: by what is wrong, and by the kind that is in use.
//!
//! Many errors say it themselves, because the step knows best (a right that is missing, a full disk). This is for those that
//! don't, and for what has to be done in any case.

use crate::config::{AzureAuth, Config, SourceKind, StagingKind};
use crate::ledger::LedgerError;
use crate::resolve::users::DirectoryError;
use crate::sign_in::SignInError;
use crate::source::SourceError;
use crate::staging::StagingError;

const WAIT: &str = "wait, and try again: it asks for fewer requests";
const REPORT: &str = "try again; report it if it persists";

/// Which kinds of source and staging are in use, as far as it makes a difference to what helps.
#[derive(Debug, Clone, Copy)]
pub struct Kinds {
    source: SourceIs,
    staging: StagingIs,
}

#[derive(Debug, Clone, Copy)]
enum SourceIs {
    TeleMessage,
    Folder,
}

#[derive(Debug, Clone, Copy)]
enum StagingIs {
    Local,
    AzureBySas,
    AzureByEntra,
}

impl Kinds {
    /// A source and a staging area that are folders.
    pub const FOLDERS: Self = Self { source: SourceIs::Folder, staging: StagingIs::Local };
    /// TeleMessage, and Azure with the sign-in of `[microsoft]`.
    pub const CLOUD: Self = Self { source: SourceIs::TeleMessage, staging: StagingIs::AzureByEntra };

    /// Those of a configuration.
    pub fn of(config: &Config) -> Self {
        let source = match &config.source.kind {
            SourceKind::TeleMessage(_) => SourceIs::TeleMessage,
            SourceKind::Directory { .. } => SourceIs::Folder,
        };
        let staging = match &config.staging.kind {
            StagingKind::Local { .. } => StagingIs::Local,
            StagingKind::Azure(azure) => match azure.auth {
                AzureAuth::Sas(_) => StagingIs::AzureBySas,
                AzureAuth::Entra => StagingIs::AzureByEntra,
            },
        };
        Self { source, staging }
    }

    /// What helps a source that fails.
    pub fn of_source(self, error: &SourceError) -> &'static str {
        if matches!(self.source, SourceIs::Folder) {
            return "check source.path, and that the daemon's user can read what is there";
        }
        match error {
            SourceError::Refused { .. } => {
                "correct source.username, and put the account's current password where source.password points"
            }
            SourceError::Unavailable(_) | SourceError::SessionEnded => {
                "check source.base_url, and DNS, proxy and firewall between this machine and it"
            }
            SourceError::Throttled { .. } => WAIT,
            SourceError::PageUnreadable { .. } => {
                "open a ticket with TeleMessage, stating this cursor and window; nothing is skipped in the meantime"
            }
            SourceError::AttachmentNotFound(_) | SourceError::AttachmentGone(_) => {
                "nothing: it is requested again until source.attachment_wait has passed; then its item is imported without it"
            }
            SourceError::Contract(_) | SourceError::Unexpected(_) => {
                "check source.base_url: does TeleMessage answer there? Report it to TeleMessage if it persists"
            }
        }
    }

    /// What helps a staging area that fails.
    pub fn of_staging(self, error: &StagingError) -> &'static str {
        match (self.staging, error) {
            (_, StagingError::Conflict { .. } | StagingError::Damaged { .. } | StagingError::NotFound { .. }) => {
                "look in the staging area's own audit log: something there was removed or changed"
            }
            (StagingIs::Local, _) => {
                "check staging.path: is it mounted, is there space, and can the daemon's user write to it?"
            }
            (_, StagingError::Unavailable(_) | StagingError::StreamBroken { .. }) => {
                "check staging.endpoint, and DNS, proxy and firewall between this machine and it"
            }
            (_, StagingError::Throttled { .. }) => WAIT,
            (StagingIs::AzureBySas, StagingError::Refused(_)) => {
                "check staging.container, and renew what staging.sas points at: it must grant create, read, write, list and delete"
            }
            (StagingIs::AzureByEntra, StagingError::Refused(_)) => {
                "check staging.container, and give the application the role Storage Blob Data Contributor on it"
            }
            (_, StagingError::TooLarge { .. } | StagingError::Immutable { .. }) => {
                "check [staging]: endpoint, container, and the right to create, read, write, list and delete"
            }
        }
    }
}

/// What helps a user directory that fails.
pub fn of_directory(error: &DirectoryError) -> &'static str {
    match error {
        DirectoryError::Forbidden(_) => "grant User.Read.All (application); consent-url prints the link",
        DirectoryError::Unavailable(_) => {
            "check microsoft.graph_url, and DNS, proxy and firewall between this machine and it"
        }
        DirectoryError::Throttled { .. } => WAIT,
        DirectoryError::Unexpected(_) => REPORT,
    }
}

/// What helps a ledger that fails; nothing where the error says it.
pub fn of_ledger(error: &LedgerError) -> Option<&'static str> {
    match error {
        LedgerError::Database(_) => {
            Some("is its disk full or mounted read-only, the database down, or its password changed?")
        }
        LedgerError::LeaseLost(_) => Some(
            "did this process stand still, the database not answer, or the clock jump? Nothing needs to be done unless it happens again",
        ),
        _ => None,
    }
}

/// What is wrong with the sign-in, and what helps.
pub fn of_sign_in(error: &SignInError) -> (String, String) {
    let remedy = match error {
        SignInError::Refused { detail, remedy } => return (detail.clone(), remedy.clone()),
        SignInError::Unusable(_) => "correct what [microsoft] names",
        SignInError::Unavailable(_) => {
            "check microsoft.login_url, and DNS, proxy and firewall between this machine and it"
        }
        SignInError::Throttled { .. } => WAIT,
        SignInError::Unexpected(_) => REPORT,
    };
    (error.to_string(), remedy.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_fits_the_kind_in_use() {
        let (folders, remote) = (Kinds::FOLDERS, Kinds::CLOUD);
        let away = StagingError::Unavailable("no such file".to_owned());
        assert!(folders.of_staging(&away).contains("staging.path") && !folders.of_staging(&away).contains("endpoint"));
        assert!(remote.of_staging(&away).contains("endpoint"));
        let away = SourceError::Unavailable("no such folder".to_owned());
        assert!(folders.of_source(&away).contains("source.path") && !folders.of_source(&away).contains("DNS"));
        assert!(remote.of_source(&away).contains("DNS"));
        let remedy = of_directory(&DirectoryError::Unavailable("no address for graph.microsoft.com".to_owned()));
        assert!(remedy.contains("DNS") && !remedy.contains("grant"), "{remedy}");
    }
}
