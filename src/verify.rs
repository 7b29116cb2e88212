//! Verification: whether each copy that the ledger has as imported is in its mailbox, unaltered, once; and whether the
//! archive folders hold messages of ours that the ledger doesn't know.
//!
//! Only reads, unless it is to restore: then what is missing becomes of unknown outcome, so that the next run looks it up once more
//! and sends it. Mailboxes are read a few at a time, each in batches, so that memory is bounded by neither the ledger nor
//! the number of findings. What can't be read is reported as such, never as intact; and so is a mailbox whose address may be
//! somebody else's by now.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{TryStreamExt as _, stream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::convert::Manifest;
use crate::identity::{Identity, MessageId};
use crate::item::ItemId;
use crate::ledger::{Imported, ImportedCopy, KnownCopy, Ledger, RunId};
use crate::mailbox::{Destination, ImportError, Verdict};
use crate::resolution::{Mailbox, MailboxId};
use crate::resolve::Resolver;
use crate::retry::Retrier;
use crate::whereabouts::{MAX_ASKED, Pauses, Search, Whereabouts};

mod error;
mod extra;
pub mod spool;

use error::ReadError;
pub use error::VerifyError;
use extra::Extra;

/// Most mailboxes that are read at the same time, whatever the destination could do: each holds a batch in memory.
const MAX_MAILBOXES: usize = 8;

/// Findings that wait to be written.
const MAX_WAITING: usize = 256;

/// What is wrong with a copy, or with a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Discrepancy {
    /// The copy is nowhere in the mailbox.
    Missing,
    /// It is there more than once.
    Doubled {
        /// How often.
        copies: usize,
    },
    /// It is there, but not as it was sent.
    Altered {
        /// What differs.
        detail: String,
    },
    /// A message of ours in the archive folder that the ledger doesn't know.
    Extra,
    /// It is there, once, and differs from what would be sent today; what it should be is not on record, because the copy is
    /// from before the ledger's own time, or its mailbox refused a file of it. Neither damage nor proof.
    Unproven {
        /// What differs.
        detail: String,
    },
    /// The mailbox can't be read (any further), so that nothing is known of its (other) copies.
    Unreadable {
        /// Why.
        detail: String,
    },
}

impl Discrepancy {
    /// The kind's name in the result.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Doubled { .. } => "doubled",
            Self::Altered { .. } => "altered",
            Self::Extra => "extra",
            Self::Unproven { .. } => "unproven",
            Self::Unreadable { .. } => "errors",
        }
    }

    /// All names, in the order of the result.
    pub const NAMES: [&str; 6] = ["missing", "doubled", "altered", "extra", "unproven", "errors"];

    /// What to say beside the name.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Missing | Self::Extra => None,
            Self::Doubled { copies } => Some(format!("{copies} copies")),
            Self::Altered { detail } | Self::Unproven { detail } | Self::Unreadable { detail } => Some(detail.clone()),
        }
    }

    /// Whether the verification has failed with it.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::Unproven { .. })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub wrong: Discrepancy,
    /// TeleMessage's number of the item.
    pub item: Option<ItemId>,
    /// The Message-ID that the message has in the mailbox; `None` where the finding is of a whole mailbox.
    pub message_id: Option<MessageId>,
    /// The mailbox's address.
    pub mailbox: String,
}

/// What a verification came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verified {
    /// Copies that were compared.
    pub checked: u64,
    /// Copies that were only looked for, because what they would be compared with is no longer kept (`ledger.retain`).
    pub only_looked_for: u64,
    /// Findings that are damage, unreadable mailboxes among them.
    pub damage: u64,
    /// Copies that are missing.
    pub missing: u64,
    /// Those of them that the next run looks up once more, and sends: what an earlier verification left to it is among them.
    pub to_restore: u64,
    /// Copies that were never imported and have no outcome yet: later runs send them.
    pub waiting: u64,
}

/// What a verification needs.
#[derive(Clone)]
pub struct Verifier {
    /// What remembers.
    pub ledger: Ledger,
    /// Where the copies are.
    pub destination: Arc<dyn Destination>,
    /// What knows where mailboxes are by now.
    pub resolver: Arc<Resolver>,
    /// What tries again.
    pub retrier: Retrier,
    /// Ends the verification.
    pub stop: CancellationToken,
    /// The clock that says when a missing copy may be looked up once more.
    pub clock: SharedClock,
    /// Whether missing copies are left to the next run, which looks them up once more, and sends them.
    pub restores: bool,
}

/// What a mailbox's reader reports.
enum Note {
    Checked(u64),
    OnlyLookedFor(u64),
    ToRestore(u64),
    Waiting(u64),
    Found(Finding),
}

impl Verifier {
    /// Verifies all copies, or those in the account of one run; without a run, what is in the archive folders beside them too.
    /// Each finding is reported when it is found, in no stated order.
    pub async fn verify(
        &self,
        run: Option<&RunId>,
        report: &mut (dyn FnMut(Finding) -> io::Result<()> + Send),
    ) -> Result<Verified, VerifyError> {
        let (notes, mut received) = mpsc::channel(MAX_WAITING);
        let read = async {
            let most = self.destination.limits().mailboxes.clamp(1, MAX_MAILBOXES);
            // Dropped when all are read, which ends the writing.
            let notes = notes;
            let read = self.mailboxes(run).try_for_each_concurrent(most, |(mailbox, found)| {
                let notes = notes.clone();
                async move { self.verify_mailbox(run, &mailbox, found, &notes).await }
            });
            read.await
        };
        let write = async {
            let mut verified = Verified::default();
            while let Some(note) = received.recv().await {
                match note {
                    Note::Checked(count) => verified.checked += count,
                    Note::OnlyLookedFor(count) => verified.only_looked_for += count,
                    Note::ToRestore(count) => verified.to_restore += count,
                    Note::Waiting(count) => verified.waiting += count,
                    Note::Found(finding) => {
                        verified.missing += u64::from(finding.wrong == Discrepancy::Missing);
                        verified.damage += u64::from(finding.wrong.is_damage());
                        report(finding)?;
                    }
                }
            }
            Ok(verified)
        };
        let ((), verified) = tokio::try_join!(read, write)?;
        Ok(verified)
    }

    /// The mailboxes, and where they are, some at a time as they are asked for.
    fn mailboxes(
        &self,
        run: Option<&RunId>,
    ) -> impl stream::TryStream<Ok = (Mailbox, Whereabouts), Error = VerifyError> {
        let pauses: Pauses = Box::new(self.retrier.policy().pauses());
        let begin = (None::<MailboxId>, VecDeque::new(), pauses);
        stream::try_unfold(begin, move |(mut after, mut found, mut pauses)| async move {
            if found.is_empty() {
                let mut next = Vec::new();
                while next.len() < MAX_ASKED
                    && let Some(mailbox) = self.ledger.next_mailbox(run, after.as_ref()).await?
                {
                    after = Some(mailbox.id.clone());
                    next.push(mailbox);
                }
                let whereabouts = self.search().find(&next, &mut pauses).await;
                found = next.into_iter().zip(whereabouts).collect();
            }
            Ok(found.pop_front().map(|next| (next, (after, found, pauses))))
        })
    }

    fn search(&self) -> Search<'_> {
        Search {
            resolver: &self.resolver,
            destination: &*self.destination,
            retrier: &self.retrier,
            stop: &self.stop,
            longest_pause: Duration::MAX,
        }
    }

    async fn verify_mailbox(
        &self,
        run: Option<&RunId>,
        mailbox: &Mailbox,
        found: Whereabouts,
        notes: &mpsc::Sender<Note>,
    ) -> Result<(), VerifyError> {
        let compared = match found {
            Whereabouts::At(now) => self.compare_mailbox(run, &now, notes).await,
            Whereabouts::Lost(why) => Err(ReadError::Lost(why)),
        };
        let error = match compared {
            Ok(()) => return Ok(()),
            Err(ReadError::Verify(error)) => return Err(error),
            Err(ReadError::Mailbox(error)) => error.to_string(),
            Err(ReadError::Lost(why)) => why,
        };
        if self.stop.is_cancelled() {
            return Err(VerifyError::Stopped);
        }
        tracing::error!(event = "mailbox_not_verified", mailbox = %mailbox.address, error = %error, "a mailbox is not verified, because it can't be read or may be somebody else's by now; nothing is known of its other copies");
        let wrong = Discrepancy::Unreadable { detail: error };
        send(notes, finding(wrong, None, None, mailbox)).await;
        Ok(())
    }

    /// Compares a mailbox's copies batch by batch. The inventory is taken first: what is imported after it is no surprise
    /// in the ledger, while a copy in it is known to the ledger before it is sent.
    async fn compare_mailbox(
        &self,
        run: Option<&RunId>,
        mailbox: &Mailbox,
        notes: &mpsc::Sender<Note>,
    ) -> Result<(), ReadError> {
        let inventory = match run {
            Some(_) => Vec::new(),
            None => self.retrier.run("listing an archive folder", || self.destination.inventory(mailbox)).await?,
        };
        let mut extra = Extra::new(inventory);
        if !extra.is_empty() {
            extra.leave_out(&self.ledger.sent_otherwise(&mailbox.id).await?);
        }
        let mut after: Option<Identity> = None;
        loop {
            if self.stop.is_cancelled() {
                return Err(VerifyError::Stopped.into());
            }
            let copies = self.ledger.known_copies(&mailbox.id, run, after, self.destination.verify_batch()).await?;
            let Some(last) = copies.last() else { break };
            after = Some(last.identity);
            for copy in &copies {
                for unknown in extra.before(&copy.identity.message_id()) {
                    send(notes, finding(Discrepancy::Extra, None, Some(unknown), mailbox)).await;
                }
            }
            self.compare(mailbox, copies, notes).await?;
        }
        for unknown in extra.rest() {
            send(notes, finding(Discrepancy::Extra, None, Some(unknown), mailbox)).await;
        }
        Ok(())
    }

    async fn compare(
        &self,
        mailbox: &Mailbox,
        copies: Vec<KnownCopy>,
        notes: &mpsc::Sender<Note>,
    ) -> Result<(), ReadError> {
        let (mut waiting, mut known, mut shrunk) = (0, Vec::new(), Vec::new());
        for mut copy in copies {
            match copy.imported.take() {
                Some(Imported::Known(imported)) => known.push((copy, imported)),
                Some(Imported::Shrunk(message_id)) => shrunk.push((copy, message_id)),
                None => waiting += u64::from(copy.is_open),
            }
        }
        let _ = notes.send(Note::Waiting(waiting)).await;
        let mut missing = Missing::default();
        if !known.is_empty() {
            self.compare_known(mailbox, known, &mut missing, notes).await?;
        }
        if !shrunk.is_empty() {
            self.look_for(mailbox, shrunk, &mut missing, notes).await?;
        }
        let _ = notes.send(Note::ToRestore(missing.left_over)).await;
        if self.restores && !missing.identities.is_empty() {
            let settle = chrono::Duration::from_std(self.destination.settle()).unwrap_or_default();
            let now = self.clock.now();
            let doubted = self.ledger.doubt_imported(&mailbox.id, &missing.identities, now, now + settle).await?;
            let _ = notes.send(Note::ToRestore(doubted)).await;
        }
        Ok(())
    }

    /// Compares copies with what was sent.
    async fn compare_known(
        &self,
        mailbox: &Mailbox,
        known: Vec<(KnownCopy, ImportedCopy)>,
        missing: &mut Missing,
        notes: &mpsc::Sender<Note>,
    ) -> Result<(), ReadError> {
        let manifests: Vec<Manifest> = known.iter().map(|(_, imported)| imported.manifest.clone()).collect();
        let verdicts = self.retrier.run("verifying copies", || self.destination.verify(mailbox, &manifests)).await?;
        each_has_an_answer(known.len(), verdicts.len())?;
        // A reader that is gone ends the whole verification.
        let _ = notes.send(Note::Checked(verdicts.len() as u64)).await;
        for ((copy, imported), verdict) in known.into_iter().zip(verdicts) {
            if let Some(wrong) = wrong(verdict, &imported) {
                missing.note(&copy, &wrong);
                send(notes, finding(wrong, copy.item, Some(imported.manifest.message_id), mailbox)).await;
            }
        }
        Ok(())
    }

    /// Looks for copies of which nothing is known any more to compare them with.
    async fn look_for(
        &self,
        mailbox: &Mailbox,
        shrunk: Vec<(KnownCopy, MessageId)>,
        missing: &mut Missing,
        notes: &mpsc::Sender<Note>,
    ) -> Result<(), ReadError> {
        let ids: Vec<MessageId> = shrunk.iter().map(|(_, message_id)| message_id.clone()).collect();
        let counts = self.retrier.run("looking for copies", || self.destination.count(mailbox, &ids)).await?;
        each_has_an_answer(shrunk.len(), counts.len())?;
        let _ = notes.send(Note::OnlyLookedFor(counts.len() as u64)).await;
        for ((copy, message_id), count) in shrunk.into_iter().zip(counts) {
            let wrong = match count {
                0 => Discrepancy::Missing,
                1 => continue,
                copies => Discrepancy::Doubled { copies },
            };
            missing.note(&copy, &wrong);
            send(notes, finding(wrong, copy.item, Some(message_id), mailbox)).await;
        }
        Ok(())
    }
}

/// Copies of a batch that are missing.
#[derive(Default)]
struct Missing {
    /// Those that were imported and have their outcome.
    identities: Vec<Identity>,
    /// How many an earlier verification has left to the next run.
    left_over: u64,
}

impl Missing {
    fn note(&mut self, copy: &KnownCopy, wrong: &Discrepancy) {
        match wrong {
            Discrepancy::Missing if copy.is_open => self.left_over += 1,
            Discrepancy::Missing => self.identities.push(copy.identity),
            _ => {}
        }
    }
}

fn each_has_an_answer(asked: usize, given: usize) -> Result<(), ReadError> {
    if asked == given {
        return Ok(());
    }
    let detail = format!("{asked} copies were asked for, and {given} answers given");
    Err(ReadError::Mailbox(ImportError::Unexpected(detail)))
}

fn wrong(verdict: Verdict, copy: &ImportedCopy) -> Option<Discrepancy> {
    match verdict {
        Verdict::Intact => None,
        Verdict::Missing => Some(Discrepancy::Missing),
        Verdict::Doubled { copies } => Some(Discrepancy::Doubled { copies }),
        Verdict::LacksFiles { there, sent } if copy.lacks_files => {
            let detail =
                format!("its mailbox refused a file of it when it was imported; it has {there} attachments of {sent}");
            Some(Discrepancy::Unproven { detail })
        }
        Verdict::LacksFiles { there, sent } => {
            wrong(Verdict::Altered { detail: format!("it has {there} attachments instead of {sent}") }, copy)
        }
        Verdict::Altered { detail } if copy.sent => Some(Discrepancy::Altered { detail }),
        Verdict::Altered { detail } => Some(Discrepancy::Unproven { detail }),
    }
}

fn finding(wrong: Discrepancy, item: Option<ItemId>, message_id: Option<MessageId>, mailbox: &Mailbox) -> Finding {
    Finding { wrong, item, message_id, mailbox: mailbox.address.clone() }
}

async fn send(notes: &mpsc::Sender<Note>, finding: Finding) {
    // A reader that is gone ends the whole verification.
    let _ = notes.send(Note::Found(finding)).await;
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::digest::Digest;

    fn manifest() -> Manifest {
        Manifest {
            message_id: MessageId::from_local_part(&"a".repeat(32)).unwrap(),
            date: DateTime::UNIX_EPOCH,
            subject: Digest::of(b"s"),
            text: None,
            mime: Digest::of(b"m"),
            size: 1,
            attachments: Vec::new(),
        }
    }

    #[test]
    fn only_what_this_ledger_had_sent_whole_can_be_altered() {
        let copy = |sent, lacks_files| ImportedCopy { manifest: manifest(), sent, lacks_files };
        let altered = || Verdict::Altered { detail: "x".to_owned() };
        assert!(wrong(altered(), &copy(true, false)).unwrap().is_damage());
        assert!(!wrong(altered(), &copy(false, false)).unwrap().is_damage());
        let lacks = || Verdict::LacksFiles { there: 1, sent: 2 };
        let refused = wrong(lacks(), &copy(true, true)).unwrap();
        assert!(!refused.is_damage() && refused.detail().unwrap().contains("refused a file"));
        assert!(wrong(lacks(), &copy(true, false)).unwrap().is_damage());
        assert!(wrong(altered(), &copy(true, true)).unwrap().is_damage(), "a refused file excuses nothing else");
        assert!(wrong(Verdict::Missing, &copy(true, true)).unwrap().is_damage());
        assert_eq!(wrong(Verdict::Intact, &copy(true, false)), None);
    }
}
