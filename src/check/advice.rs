//! What to do about a remote that fails: by what is wrong, and by the kind that is in use.

use crate::config::{AzureAuth, SourceKind, StagingKind};
use crate::resolve::users::DirectoryError;
use crate::sign_in::SignInError;
use crate::source::SourceError;
use crate::staging::StagingError;

const WAIT: &str = "wait, and try again: it asks for fewer requests";
const REPORT: &str = "try again; report it where it stays so";

pub(super) fn of_source(kind: &SourceKind, error: &SourceError) -> &'static str {
    if matches!(kind, SourceKind::Directory { .. }) {
        return "check source.path, and that the user of the daemon may read what is there";
    }
    match error {
        SourceError::Refused { .. } => {
            "put the account's user name and password where source.username and source.password point"
        }
        SourceError::Unavailable(_) => "check source.base_url, and DNS, proxy and firewall between this machine and it",
        SourceError::Throttled { .. } => WAIT,
        _ => "check source.base_url: does TeleMessage answer there? Report it to TeleMessage where it stays so",
    }
}

pub(super) fn of_staging(kind: &StagingKind, error: &StagingError) -> &'static str {
    let StagingKind::Azure(azure) = kind else {
        return "check staging.path: is it mounted, is there room, and may the user of the daemon write there?";
    };
    match (error, &azure.auth) {
        (StagingError::Unavailable(_), _) => {
            "check staging.endpoint, and DNS, proxy and firewall between this machine and it"
        }
        (StagingError::Throttled { .. }, _) => WAIT,
        (StagingError::Refused(_), AzureAuth::Sas(_)) => {
            "check staging.container, and renew what staging.sas points at: it must allow to create, read, write, list and delete"
        }
        (StagingError::Refused(_), AzureAuth::Entra) => {
            "check staging.container, and give the application the role Storage Blob Data Contributor on it"
        }
        _ => "check [staging]: endpoint, container, and the right to create, read, write, list and delete",
    }
}

pub(super) fn of_directory(error: &DirectoryError) -> &'static str {
    match error {
        DirectoryError::Forbidden(_) => "grant User.Read.All (application); consent-url prints the link",
        DirectoryError::Unavailable(_) => {
            "check microsoft.graph_url, and DNS, proxy and firewall between this machine and it"
        }
        DirectoryError::Throttled { .. } => WAIT,
        DirectoryError::Unexpected(_) => REPORT,
    }
}

/// What is wrong with the sign-in, and what to do.
pub(super) fn of_sign_in(error: &SignInError) -> (String, String) {
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
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn advice_fits_the_kind_in_use() {
        let local = StagingKind::Local { path: PathBuf::from("staging") };
        let away = StagingError::Unavailable("no such file".to_owned());
        let advice = of_staging(&local, &away);
        assert!(advice.contains("staging.path") && !advice.contains("endpoint"), "{advice}");
        let folder = SourceKind::Directory { path: PathBuf::from("export") };
        let advice = of_source(&folder, &SourceError::Unavailable("no such folder".to_owned()));
        assert!(advice.contains("source.path") && !advice.contains("password"), "{advice}");
        let advice = of_directory(&DirectoryError::Unavailable("no address for graph.microsoft.com".to_owned()));
        assert!(advice.contains("DNS") && !advice.contains("grant"), "{advice}");
    }
}
