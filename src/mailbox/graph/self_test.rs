//! The live self-test of a mailbox: what the documentation leaves open is tried. A message is imported, read back, looked
//! for, and deleted for good.
//!
//! It makes the archive folder where that is missing, and leaves nothing else behind.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{SubsecRound as _, TimeDelta};

use super::copies::Copy;
use super::folder::{MAX_MESSAGES, NEARLY_FULL};
use super::properties::{MESSAGE_CLASS, Property};
use super::{GraphMailboxes, Method, PERMISSION, Sent, created, fault};
use crate::convert::{Message, body_text};
use crate::graph::{Call, CallError, literal};
use crate::mailbox::self_test::{SelfTest, sample};
use crate::mailbox::{Destination as _, ImportError, RemoteId, SendPermit};
use crate::resolution::{Mailbox, MailboxId};

mod permissions;

pub use crate::mailbox::self_test::Finding;
pub use permissions::{check_imap_permission, check_permissions};

/// How often a new message is looked for.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

#[async_trait]
impl SelfTest for GraphMailboxes {
    async fn self_test(&self, mailbox: &Mailbox) -> Vec<Finding> {
        let date = (self.calls.graph().clock().now() - TimeDelta::days(400)).trunc_subsecs(0);
        let mut findings = Vec::new();
        // The large one may take another way in, so that the method itself is shown by a small one.
        if self.settings.method == Method::ImportMime {
            findings.extend(self.try_small(mailbox, &sample::small(date)).await);
            if findings.iter().any(|finding| !finding.is_good()) {
                return findings;
            }
        }
        let message = sample::message(date);
        let sent = match self.import_sample(mailbox, &message).await {
            Ok(sent) => sent,
            Err(finding) => {
                findings.push(finding);
                return findings;
            }
        };
        let id = &sent.id;
        findings.push(Finding::good("import", format!("by {}", sent.method.name())));
        findings.extend(self.read_back(&mailbox.id, id, &message).await);
        findings.push(self.read_class(&mailbox.id, &sent).await);
        findings.push(self.read_file(&mailbox.id, id, &message).await);
        findings.push(self.look_up(mailbox, &message).await);
        findings.push(self.delete(&mailbox.id, id).await);
        findings.push(self.count(&mailbox.id).await);
        findings.push(self.try_crowd(mailbox, &sample::to_crowd(date)).await);
        findings
    }
}

impl GraphMailboxes {
    /// How full the archive folder is.
    async fn count(&self, mailbox: &MailboxId) -> Finding {
        let what = "folder";
        match self.folders.messages(&self.calls, mailbox).await {
            Ok(Some(messages)) if messages >= NEARLY_FULL => Finding::warning(
                what,
                format!(
                    "it holds {messages} messages, of the {MAX_MESSAGES} that Exchange Online takes: name another mailbox.folder \
                     (docs/operations.md)"
                ),
            ),
            Ok(Some(messages)) => {
                Finding::good(what, format!("it holds {messages} messages of at most {MAX_MESSAGES}"))
            }
            Ok(None) => Finding::good(what, "how many messages it holds isn't said"),
            Err(error) => Self::failed(what, &error),
        }
    }

    /// Whether the mailbox takes a message with as many recipients as WhatsApp's largest groups have members.
    async fn try_crowd(&self, mailbox: &Mailbox, message: &Message) -> Finding {
        let what = format!("{} recipients", sample::CROWD);
        let remedy = "Messages of groups that large will fail as mailbox_rejected: try the other mailbox.method, or mailbox.kind = \"imap\"";
        let sent = match self.import_sample(mailbox, message).await {
            Ok(sent) => sent,
            Err(Finding { result: Err(problem), .. }) => return Finding::bad(what, problem.problem, remedy),
            Err(finding) => return finding,
        };
        let copy = self.read_copy(&mailbox.id, &sent.id, &[("$select", "id,toRecipients")]).await;
        let cleaned = self.delete(&mailbox.id, &sent.id).await;
        match copy {
            _ if !cleaned.is_good() => cleaned,
            Ok(copy) if copy.to_recipients.len() == sample::CROWD => Finding::good(what, "imported, all of them"),
            Ok(copy) => Finding::bad(what, format!("{} are left of them", copy.to_recipients.len()), remedy),
            Err(error) => Self::failed(&what, &error),
        }
    }

    /// A message that the configured method takes whole.
    async fn try_small(&self, mailbox: &Mailbox, message: &Message) -> Vec<Finding> {
        let configured = self.settings.method;
        let what = format!("small message by {}", configured.name());
        let sent = match self.import_sample(mailbox, message).await {
            Ok(sent) => sent,
            Err(finding) => return vec![Finding { what, ..finding }],
        };
        let mut findings = vec![if sent.method == configured {
            Finding::good(what, "imported")
        } else {
            let used = format!("{} was used in its stead", sent.method.name());
            Finding::bad(what, used, "Set mailbox.method to the one that works")
        }];
        findings.extend(self.read_back(&mailbox.id, &sent.id, message).await);
        findings.push(self.delete(&mailbox.id, &sent.id).await);
        findings
    }

    async fn import_sample(&self, mailbox: &Mailbox, message: &Message) -> Result<Sent, Finding> {
        let error = match self.import_one(&mailbox.id, message, &SendPermit::always()).await {
            Ok(sent) => return Ok(sent),
            Err(error) => error,
        };
        let remedy = match &error {
            ImportError::Forbidden(_) => "Grant what is missing and try again",
            ImportError::Throttled { .. } | ImportError::Unavailable(_) => "Try again later",
            ImportError::OutcomeUnknown(_) => self.clean_up_unknown(mailbox, message).await,
            ImportError::Rejected(_) | ImportError::Incomplete { .. } | ImportError::Unexpected(_) => {
                "Use the other mailbox.method, or mailbox.kind = \"imap\""
            }
        };
        Err(Finding::bad("import", error.to_string(), remedy))
    }

    /// Deletes what an attempt of unknown outcome may have made, as soon as it shows; what is left to do.
    async fn clean_up_unknown(&self, mailbox: &Mailbox, message: &Message) -> &'static str {
        const BY_HAND: &str =
            "A message with \"self-test\" in its subject may be in the archive folder: delete it by hand";
        let clock = self.calls.graph().clock();
        let until = clock.now() + self.settle();
        loop {
            match self.calls.copies(&mailbox.id, &message.mail.message_id, false).await {
                Ok(copies) if !copies.is_empty() => {
                    for copy in copies {
                        if created::take_back(&self.calls, &mailbox.id, &copy.created.id).await.is_err() {
                            return BY_HAND;
                        }
                    }
                    return "Try again; what was made is deleted for good";
                }
                Ok(_) if clock.now() >= until => return "Try again; nothing was made",
                Ok(_) => clock.sleep(POLL_INTERVAL).await,
                Err(_) => return BY_HAND,
            }
        }
    }

    /// The draft flag, the dates, the Message-ID and the text.
    async fn read_back(&self, mailbox: &MailboxId, id: &RemoteId, message: &Message) -> Vec<Finding> {
        let select = format!("{},subject,body", created::FIELDS);
        let copy = match self.read_copy(mailbox, id, &[("$select", &select)]).await {
            Ok(copy) => copy,
            Err(error) => return vec![Self::failed("read back", &error)],
        };
        let form = match copy.created.mismatch(message.mail.message_id.as_str(), message.mail.date) {
            None => Finding::good("form", "no draft, with its own dates and Message-ID"),
            Some(mismatch) => {
                Finding::bad("form", mismatch, "Use the other mailbox.method, or mailbox.kind = \"imap\"")
            }
        };
        let same = copy.html().is_some_and(|html| body_text::digest(html) == body_text::digest(&message.mail.html));
        let text = if same && copy.subject.as_deref() == Some(message.mail.subject.as_str()) {
            Finding::good("text", "subject and body as they were sent")
        } else {
            Finding::bad(
                "text",
                "subject or body are not as they were sent",
                "`verify` will call copies in this mailbox altered; look for a transport rule or an add-in that changes mail",
            )
        };
        vec![form, text]
    }

    /// The message class, by which searches find the copies.
    async fn read_class(&self, mailbox: &MailboxId, sent: &Sent) -> Finding {
        let what = "message class";
        let wanted = match (&self.settings.message_class, sent.method) {
            (Some(class), Method::CreateMessage) => class.as_str(),
            (None, _) => return Finding::good(what, "the ordinary one, as configured"),
            (_, Method::ImportMime) => return Finding::good(what, "the ordinary one: MIME carries none"),
        };
        let expand = format!("singleValueExtendedProperties($filter=id eq {})", literal(MESSAGE_CLASS));
        let copy = match self.read_copy(mailbox, &sent.id, &[("$select", created::FIELDS), ("$expand", &expand)]).await
        {
            Ok(copy) => copy,
            Err(error) => return Self::failed(what, &error),
        };
        match copy.property(MESSAGE_CLASS) {
            Some(Property { value, .. }) if value.eq_ignore_ascii_case(wanted) => Finding::good(what, value.clone()),
            other => {
                let value = other.map_or("none", |property| property.value.as_str());
                let remedy =
                    "Searches by itemclass don't find the copies of this tenant; search by participant and date";
                Finding::bad(what, format!("{value} instead of {wanted}"), remedy)
            }
        }
    }

    /// The large file, byte by byte.
    async fn read_file(&self, mailbox: &MailboxId, id: &RemoteId, message: &Message) -> Finding {
        let what = "attachment of 3.5 MB";
        let Some(sent) = message.mail.attachments.first() else { return Finding::good(what, "none") };
        let digests = async {
            let mut digests = Vec::new();
            for file in self.calls.files(mailbox, &id.0).await? {
                digests.extend(self.calls.file_digest(mailbox, &id.0, &file, sent.bytes.len() as u64).await?);
            }
            Ok::<_, CallError>(digests)
        };
        match digests.await {
            Ok(digests) if digests == [sent.digest] => Finding::good(what, "there, byte for byte"),
            Ok(digests) => Finding::bad(
                what,
                format!("{} attachments are there, not the one that was sent", digests.len()),
                "Use mailbox.kind = \"imap\" for this tenant",
            ),
            Err(error) => Self::failed(what, &error),
        }
    }

    /// How long a new message takes to be found by its Message-ID.
    async fn look_up(&self, mailbox: &Mailbox, message: &Message) -> Finding {
        let what = "look-up by Message-ID";
        let clock = self.calls.graph().clock();
        let began = clock.now();
        loop {
            let waited = clock.now() - began;
            match self.calls.copies(&mailbox.id, &message.mail.message_id, false).await {
                Ok(copies) if copies.len() == 1 => {
                    return Finding::good(what, format!("found once, after {} s", waited.num_seconds()));
                }
                Ok(copies) if copies.len() > 1 => {
                    let remedy = "Delete the messages with \"self-test\" in their subject and try again";
                    return Finding::bad(what, format!("found {} times", copies.len()), remedy);
                }
                Ok(_) if waited.to_std().unwrap_or_default() >= self.settle() => {
                    let problem = format!("not found within {} s", self.settle().as_secs());
                    return Finding::bad(what, problem, "Raise mailbox.settle, or copies may be doubled after a crash");
                }
                Ok(_) => clock.sleep(POLL_INTERVAL).await,
                Err(error) => return Self::failed(what, &error),
            }
        }
    }

    async fn delete(&self, mailbox: &MailboxId, id: &RemoteId) -> Finding {
        match created::take_back(&self.calls, mailbox, &id.0).await {
            Ok(()) => Finding::good("clean up", "the message is deleted for good"),
            Err(error) => {
                let remedy = "Delete the message with \"self-test\" in its subject by hand";
                Finding::bad("clean up", error.to_string(), remedy)
            }
        }
    }

    async fn read_copy(&self, mailbox: &MailboxId, id: &RemoteId, query: &[(&str, &str)]) -> Result<Copy, CallError> {
        let url = self.calls.url(mailbox, &["messages", &id.0], query)?;
        self.calls.json(mailbox, &Call::get(url)).await
    }

    fn failed(what: &str, error: &CallError) -> Finding {
        let error = fault::of_read(error, PERMISSION);
        Finding::bad(what, error.to_string(), "Fix this and try again")
    }
}
