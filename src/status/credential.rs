//! When credentials end, kept in the ledger, so that `status`, the pages and the metrics know without reading a secret.

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::digits::counted;
use crate::ledger::{Ledger, LedgerError};

/// The name under which the ledger keeps them.
const CREDENTIALS: &str = "credentials";

/// So many days before its end, somebody is warned of a credential; 0 is its end.
const STAGES: [i64; 4] = [0, 3, 14, 30];

/// From so many days before its end on, the log calls it an error.
const URGENT_DAYS: i64 = 3;

/// A credential and its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialExpiry {
    /// The key of the configuration that names it.
    pub credential: String,
    /// When it ends; nothing where that is unknown, which doesn't mean that it doesn't end.
    pub expires: Option<DateTime<Utc>>,
}

/// A credential of the configuration, as it was read just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub credential: CredentialExpiry,
    /// It could be read: where not, its end is the one that was known before.
    pub is_readable: bool,
}

impl From<CredentialExpiry> for Found {
    fn from(credential: CredentialExpiry) -> Self {
        Self { credential, is_readable: true }
    }
}

impl Found {
    /// With the end that was known before, where it can't be read: a share that is away for a while renews nothing.
    fn or_known(&self, known: &[Known]) -> CredentialExpiry {
        let before = known.iter().find(|known| known.credential.credential == self.credential.credential);
        match before {
            Some(before) if !self.is_readable => before.credential.clone(),
            _ => self.credential.clone(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    #[serde(flatten)]
    credential: CredentialExpiry,
    /// The stage that was logged last.
    logged: Option<i64>,
}

impl CredentialExpiry {
    /// How near the end is: the smallest of [`STAGES`] that has been reached; nothing where it is far away or unknown.
    fn stage(&self, now: DateTime<Utc>) -> Option<i64> {
        let left = self.expires? - now;
        STAGES.into_iter().find(|days| left <= Duration::days(*days))
    }

    /// What is to be said of one that ends soon, or has ended.
    pub fn ending(&self, now: DateTime<Utc>) -> Option<Ending> {
        let (stage, end) = (self.stage(now)?, self.expires?);
        let shown = end.to_rfc3339_opts(SecondsFormat::Secs, true);
        let detail = if stage == 0 {
            format!("{} ended at {shown}: renew it; nothing that needs it works until then", self.credential)
        } else {
            let left = counted((end - now).num_days().unsigned_abs(), "day", "days");
            format!("{} ends at {shown}, in {left}: renew it before then", self.credential)
        };
        let since = STAGES.into_iter().max().map_or(end, |days| end - Duration::days(days));
        Some(Ending { since, detail, occurrence: format!("{shown} {stage}"), is_past: stage == 0 })
    }
}

/// A credential's end, near or past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Since when it is near.
    pub since: DateTime<Utc>,
    pub detail: String,
    /// Which end, and how near it is.
    pub occurrence: String,
    /// It has passed.
    pub is_past: bool,
}

/// Notes when credentials end, and logs those that have come nearer to their end than was logged before.
pub async fn note(ledger: &Ledger, found: &[Found], now: DateTime<Utc>) -> Result<(), LedgerError> {
    let before = known(ledger).await?;
    let mut after = Vec::new();
    for credential in found.iter().map(|found| found.or_known(&before)) {
        let logged = before.iter().find(|known| known.credential == credential).and_then(|known| known.logged);
        let stage = credential.stage(now);
        if let Some(stage) = stage.filter(|stage| logged.is_none_or(|logged| *stage < logged)) {
            log(&credential, stage, now);
        }
        after.push(Known { credential, logged: stage });
    }
    if after == before {
        return Ok(());
    }
    ledger.set_meta_json(CREDENTIALS, &after).await
}

fn log(credential: &CredentialExpiry, stage: i64, now: DateTime<Utc>) {
    let detail = credential.ending(now).map(|ending| ending.detail).unwrap_or_default();
    let (name, expires) = (&credential.credential, credential.expires.map(|end| end.to_rfc3339()));
    if stage <= URGENT_DAYS {
        tracing::error!(event = "credential_expires", credential = %name, expires, "{detail}");
    } else {
        tracing::warn!(event = "credential_expires", credential = %name, expires, "{detail}");
    }
}

/// The credentials, as they were noted last.
pub async fn noted(ledger: &Ledger) -> Result<Vec<CredentialExpiry>, LedgerError> {
    Ok(known(ledger).await?.into_iter().map(|known| known.credential).collect())
}

async fn known(ledger: &Ledger) -> Result<Vec<Known>, LedgerError> {
    Ok(ledger.get_meta_json(CREDENTIALS).await?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap() + Duration::days(day)
    }

    fn ending(day: i64) -> CredentialExpiry {
        CredentialExpiry { credential: "microsoft.certificate".to_owned(), expires: Some(at(day)) }
    }

    #[test]
    fn somebody_is_warned_thirty_fourteen_and_three_days_before() {
        for (left, stage) in [(31, None), (30, Some(30)), (15, Some(30)), (14, Some(14)), (4, Some(14)), (3, Some(3))] {
            assert_eq!(ending(left).stage(at(0)), stage, "{left} days");
        }
        assert_eq!((ending(0).stage(at(0)), ending(-9).stage(at(0))), (Some(0), Some(0)));
        assert_eq!(CredentialExpiry { expires: None, ..ending(0) }.stage(at(0)), None);
    }

    #[tokio::test]
    async fn the_ledger_keeps_them_and_the_words_follow_the_clock() {
        let ledger = Ledger::open_in_memory().await.unwrap();
        let secret = CredentialExpiry { credential: "microsoft.client_secret".to_owned(), expires: None };
        note(&ledger, &[ending(20).into(), secret.clone().into()], at(0)).await.unwrap();
        assert_eq!(noted(&ledger).await.unwrap(), [ending(20), secret]);
        let first = ending(20).ending(at(0)).unwrap();
        assert!(
            first.detail.contains("microsoft.certificate ends at 2027-02-04T08:00:00Z, in 20 days"),
            "{}",
            first.detail
        );
        assert_eq!(first.since, at(-10));
        let mut seen: Vec<String> =
            [1, 6, 7, 17, 20].map(|day| ending(20).ending(at(day)).unwrap().occurrence).to_vec();
        seen.dedup();
        assert_eq!(seen.len(), 4, "30, 14 and 3 days before, and the end: {seen:?}");
        assert!(ending(400).ending(at(20)).is_none(), "it was renewed");
    }

    #[tokio::test]
    async fn one_that_cannot_be_read_ends_when_it_did() {
        let ledger = Ledger::open_in_memory().await.unwrap();
        note(&ledger, &[ending(2).into()], at(0)).await.unwrap();
        let unreadable = |credential: &str| Found {
            credential: CredentialExpiry { credential: credential.to_owned(), expires: None },
            is_readable: false,
        };
        note(&ledger, &[unreadable("microsoft.certificate"), unreadable("staging.sas")], at(1)).await.unwrap();
        let noted = noted(&ledger).await.unwrap();
        assert_eq!((&noted[0], noted[1].expires), (&ending(2), None), "of the other one nothing was known");
    }

    #[tokio::test]
    async fn each_stage_is_logged_once() {
        let ledger = Ledger::open_in_memory().await.unwrap();
        let mut logged = Vec::new();
        for day in [-20, 0, 0, 5, 6, 17, 18, 20, 21] {
            note(&ledger, &[ending(20).into()], at(day)).await.unwrap();
            logged.push(known(&ledger).await.unwrap()[0].logged);
        }
        assert_eq!(logged, [None, Some(30), Some(30), Some(30), Some(14), Some(3), Some(3), Some(0), Some(0)]);
    }
}
