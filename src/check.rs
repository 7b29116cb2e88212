//! What `check` finds, one line each: offline here, each remote in turn in [`online`].

use chrono::{DateTime, Utc};

use crate::app::files::{self, WrongKey};
use crate::config::Config;
use crate::mailbox::self_test;
use crate::report::signature::SigningKey;
use crate::schedule::Begin;
use crate::status::CredentialExpiry;

pub mod database_file;
pub mod file_modes;
mod finding;
mod online;
pub mod tables;

pub use finding::Finding;
pub use online::{online, staging};

/// The keys that the configuration names, as far as they can be judged without asking anybody.
pub fn keys(config: &Config) -> Vec<Finding> {
    let signing = files::signing_key(config).map(|key| {
        let summary = |key: SigningKey| format!("Ed25519, signed_with {}", key.public().fingerprint());
        key.map(|key| Finding::ok("signing key", summary(key)))
    });
    let certificate = files::certificate(config)
        .map(|is_there| is_there.then(|| Finding::ok("certificate", "an RSA key and its certificate".to_owned())));
    let or_wrong = |found: Result<Option<Finding>, WrongKey>, what: &str| {
        found.unwrap_or_else(|wrong| Some(wrong_key(what, &wrong)))
    };
    [or_wrong(signing, "signing key"), or_wrong(certificate, "certificate")].into_iter().flatten().collect()
}

/// Whether the schedule begins in the past.
pub fn schedule(config: &Config, now: DateTime<Utc>) -> Option<Finding> {
    let Begin::At(start_from) = config.schedule.begin else { return None };
    (start_from > now).then(|| {
        let detail = format!("schedule.start_from lies in the future ({}): no run begins", start_from.to_rfc3339());
        Finding::wrong("schedule", detail, "name the first instant that is to be archived; it may be long past")
    })
}

/// When the credentials end, as far as they say so.
pub fn credentials(config: &Config, now: DateTime<Utc>) -> Vec<Finding> {
    const WHAT: &str = "credential";
    let judge = |credential: CredentialExpiry| match (credential.ending(now), credential.expires) {
        (Some(ending), _) if ending.is_past => Finding::wrong(
            WHAT,
            ending.detail,
            "put the new one where the configuration names it; no restart is needed",
        ),
        (Some(ending), _) => Finding::warning(WHAT, ending.detail),
        (None, Some(end)) => Finding::ok(WHAT, format!("{} ends at {}", credential.credential, end.to_rfc3339())),
        (None, None) => Finding::not_tried(
            WHAT,
            format!("{} doesn't say when it ends: look where it was made", credential.credential),
        ),
    };
    crate::app::credentials::of(config).into_iter().map(|found| judge(found.credential)).collect()
}

fn wrong_key(what: &str, wrong: &WrongKey) -> Finding {
    let remedy = match wrong {
        WrongKey::Unreadable(error) => error.fault.remedy(),
        WrongKey::Signing(_) => "put a key where report.signing_key points: without one that works nothing is begun",
        WrongKey::Certificate(_) => "put certificate and private key, as PEM, where microsoft.certificate points",
    };
    Finding::wrong(what, wrong.to_string(), remedy)
}

impl From<self_test::Finding> for Finding {
    fn from(found: self_test::Finding) -> Self {
        match found.result {
            Ok(seen) if found.is_warning => Self::warning(&found.what, seen),
            Ok(seen) => Self::ok(&found.what, seen),
            Err(problem) => Self::wrong(&found.what, problem.problem, &problem.remedy),
        }
    }
}
