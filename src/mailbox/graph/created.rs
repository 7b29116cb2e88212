//! The reply to a message's creation, compared with what was sent: a draft, a wrong date or another Message-ID is a
//! failure, because none of it can be changed afterwards.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::calls::Calls;
use crate::convert::Mail;
use crate::graph::Call;
use crate::mailbox::{ImportError, SendPermit};
use crate::resolution::MailboxId;

/// The fields by which Graph shows whether a message has the right form.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Created {
    pub(super) id: String,
    is_draft: Option<bool>,
    sent_date_time: Option<DateTime<Utc>>,
    received_date_time: Option<DateTime<Utc>>,
    internet_message_id: Option<String>,
}

/// The fields of [`Created`], for `$select`.
pub(super) const FIELDS: &str = "id,isDraft,sentDateTime,receivedDateTime,internetMessageId";

impl Created {
    /// What is wrong with the copy of a message; `None` where nothing is.
    pub(super) fn mismatch(&self, message_id: &str, date: DateTime<Utc>) -> Option<String> {
        let wrong_time = |name: &str, time: Option<DateTime<Utc>>| {
            let right = time.is_some_and(|time| time.timestamp() == date.timestamp());
            let value = time.map_or_else(|| "nothing".to_owned(), |time| time.to_rfc3339());
            (!right).then(|| format!("{name} is {value} instead of {}", date.to_rfc3339()))
        };
        if self.is_draft != Some(false) {
            return Some("it is a draft".to_owned());
        }
        let value = self.internet_message_id.as_deref().unwrap_or_default();
        if value.trim().trim_start_matches('<').trim_end_matches('>') != message_id {
            return Some("its Message-ID is another".to_owned());
        }
        wrong_time("sentDateTime", self.sent_date_time)
            .or_else(|| wrong_time("receivedDateTime", self.received_date_time))
    }

    /// Compares a copy that was just made with its message, and takes it back where it is wrong.
    pub(super) async fn check(&self, calls: &Calls, mailbox: &MailboxId, mail: &Mail) -> Result<(), ImportError> {
        let Some(mismatch) = self.mismatch(mail.message_id.as_str(), mail.date) else { return Ok(()) };
        let wrong = format!("the copy was made in the wrong form ({mismatch})");
        match take_back(calls, mailbox, &self.id).await {
            Ok(()) => Err(ImportError::Unexpected(format!(
                "{wrong} and was taken back; `whatsapp-archiver check --mailbox` shows more"
            ))),
            Err(error) => Err(ImportError::OutcomeUnknown(format!("{wrong} and could not be taken back: {error}"))),
        }
    }
}

/// Deletes a message that was just made here, by the id from the reply to its creation: for good, so that no look-up
/// finds it.
pub(super) async fn take_back(calls: &Calls, mailbox: &MailboxId, id: &str) -> Result<(), crate::graph::CallError> {
    let url = calls.url(mailbox, &["messages", id, "permanentDelete"], &[])?;
    let call = Call::post(url, bytes::Bytes::from_static(b"{}"));
    calls.call_patiently(mailbox, &call, &SendPermit::always()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef@whatsapp-archiver.invalid";

    fn created(change: impl Fn(&mut serde_json::Value)) -> Created {
        let mut json = serde_json::json!({
            "id": "AAMk", "isDraft": false, "sentDateTime": "2026-11-21T08:00:00Z",
            "receivedDateTime": "2026-11-21T08:00:00Z", "internetMessageId": format!("<{ID}>"),
        });
        change(&mut json);
        serde_json::from_value(json).unwrap()
    }

    fn mismatch(change: impl Fn(&mut serde_json::Value)) -> Option<String> {
        created(change).mismatch(ID, "2026-11-21T08:00:00.5Z".parse().unwrap())
    }

    #[test]
    fn each_difference_is_a_mismatch() {
        assert_eq!(mismatch(|_| {}), None);
        for (field, value) in [
            ("isDraft", serde_json::json!(true)),
            ("isDraft", serde_json::Value::Null),
            ("sentDateTime", "2026-11-21T08:00:01Z".into()),
            ("receivedDateTime", serde_json::Value::Null),
            ("receivedDateTime", "2026-11-21T09:00:00Z".into()),
            ("internetMessageId", "<other@contoso.example>".into()),
            ("internetMessageId", serde_json::Value::Null),
        ] {
            assert!(mismatch(|json| json[field] = value.clone()).is_some(), "{field} {value}");
        }
    }
}
