//! APPEND and MULTIAPPEND (RFC 9051, 6.3.12; RFC 3502), many under way at once, and what became of each.
//!
//! Guarantees: an outcome is called known only where it is. A completion that carries a command's tag decides that
//! command; where the connection is lost first, a command of whose messages the stream has taken a byte is unknown, and
//! any other was certainly not carried out.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use imap_codec::imap_types::core::Tag;
use imap_codec::imap_types::response::{Code, Tagged};

use super::abilities::Abilities;
use super::batch::LARGE;
use super::connection::{Lost, Received};
use super::folder::{Layout, name_of};
use super::refusal::{Meaning, Refusal};
use super::session::Session;
use crate::convert::Message;
use crate::mailbox::{ImportError, RemoteId, SendPermit};

/// A smaller message may fit where one doesn't; after this many in a row the mailbox counts as full.
const MAX_TOO_FULL: usize = 3;

/// What became of the messages of one command: the same for all of them.
#[derive(Debug)]
pub(super) enum AppendResult {
    /// They are in the folder, under these ids.
    Arrived(Vec<RemoteId>),
    /// The server refused them.
    Refused(Refusal),
    /// They may be there or not.
    Unknown(String),
    /// They were not sent.
    Unsent(ImportError),
}

/// What became of all commands.
#[derive(Debug, Default)]
pub(super) struct Appended {
    /// Each group of messages, with what became of it, in no particular order.
    pub(super) outcomes: Vec<(Range<usize>, AppendResult)>,
    /// Whether the connection is still there.
    pub(super) connected: bool,
    /// Whether the server may have lost track of what it was sent (BAD).
    pub(super) doubtful: bool,
}

/// Appends `messages` to the archive folder, each of `groups` in a command of its own. After a refusal that concerns
/// more than the messages refused, nothing more is sent: what is left shares the refusal. `permit` is asked before each
/// command, and before each write within one: a server may take minutes to ask for the rest of it.
pub(super) async fn append(
    session: &mut Session,
    abilities: &Abilities,
    layout: &Layout,
    messages: &[Arc<Message>],
    groups: impl IntoIterator<Item = Range<usize>>,
    permit: &SendPermit,
) -> Appended {
    session.connection.guard(Some(permit));
    let appending = Appending {
        session,
        abilities,
        folder: quoted(name_of(&layout.archive)),
        messages,
        waiting: groups.into_iter().collect(),
        under_way: VecDeque::new(),
        stopped: None,
        too_full: 0,
        is_cut: false,
        permit,
        done: Appended::default(),
    };
    appending.run().await
}

struct Appending<'a> {
    session: &'a mut Session,
    abilities: &'a Abilities,
    folder: String,
    messages: &'a [Arc<Message>],
    waiting: VecDeque<Range<usize>>,
    /// Only the last of them can have pieces left.
    under_way: VecDeque<Command>,
    stopped: Option<Refusal>,
    /// Messages in a row that a full mailbox had no room for, each sent alone.
    too_full: usize,
    /// What was not sent whole when the permit lapsed is settled; only answers are waited for.
    is_cut: bool,
    permit: &'a SendPermit,
    done: Appended,
}

/// An APPEND that has begun.
struct Command {
    tag: Tag<'static>,
    group: Range<usize>,
    pieces: VecDeque<Piece>,
    /// Where in the connection's output its first message begins, once that is queued.
    message_at: Option<u64>,
    /// Where it ends, once all of it is queued.
    ends_at: Option<u64>,
}

enum Piece {
    Line(Bytes),
    /// The server has to agree before the rest is sent.
    Gate,
    Message(Bytes),
}

impl Appending<'_> {
    async fn run(mut self) -> Appended {
        loop {
            self.queue();
            if self.under_way.is_empty() {
                self.done.connected = !self.session.connection.is_barred();
                break;
            }
            match self.session.connection.response().await {
                Ok(Received::Tagged(tagged)) => {
                    if let Err(lost) = self.complete(&tagged) {
                        self.give_up(&lost);
                        break;
                    }
                }
                Ok(Received::Continuation) => self.open_gate(),
                Ok(Received::Data(_) | Received::Remark(_) | Received::Unreadable) => {}
                Err(lost) if self.session.connection.is_barred() && !self.is_cut && self.has_whole() => {
                    self.cut_off(&lost);
                }
                Err(lost) => {
                    self.give_up(&lost);
                    break;
                }
            }
        }
        self.session.connection.guard(None);
        if let Some(refusal) = self.stopped {
            let left = self.waiting.into_iter().map(|group| (group, AppendResult::Refused(refusal.clone())));
            self.done.outcomes.extend(left);
        }
        self.done
    }

    /// Queues all that may be sent now: up to a gate, and as many commands as the window admits.
    fn queue(&mut self) {
        let may_begin = self.stopped.is_none() && self.session.in_flight_limit.is_low(self.under_way.len());
        loop {
            if let Some(last) = self.under_way.back_mut() {
                last.queue(&mut self.session.connection);
                if !last.pieces.is_empty() {
                    return;
                }
            }
            if !may_begin || !self.session.in_flight_limit.admits(self.under_way.len()) {
                return;
            }
            if self.waiting.is_empty() {
                return;
            }
            if let Err(refused) = self.permit.ask() {
                let left = self.waiting.drain(..).map(|group| (group, AppendResult::Unsent(refused.into())));
                self.done.outcomes.extend(left);
                return;
            }
            let Some(group) = self.waiting.pop_front() else { return };
            let command = self.command(group);
            self.under_way.push_back(command);
        }
    }

    fn command(&mut self, group: Range<usize>) -> Command {
        let tag = self.session.connection.next_tag();
        let mut line = format!("{} APPEND {}", tag.inner(), self.folder);
        let mut pieces = VecDeque::new();
        for message in self.messages.get(group.clone()).unwrap_or_default() {
            let size = message.size();
            let unasked = self.abilities.takes_unasked(size) && size <= LARGE;
            let date = message.mail.date.format("%d-%b-%Y %H:%M:%S +0000");
            let mode = if unasked { "+" } else { "" };
            line = format!("{line} (\\Seen) \"{date}\" {{{size}{mode}}}\r\n");
            pieces.push_back(Piece::Line(Bytes::from(std::mem::take(&mut line))));
            if !unasked {
                pieces.push_back(Piece::Gate);
            }
            pieces.push_back(Piece::Message(message.mime().clone()));
        }
        pieces.push_back(Piece::Line(Bytes::from_static(b"\r\n")));
        Command { tag, group, pieces, message_at: None, ends_at: None }
    }

    fn open_gate(&mut self) {
        if let Some(last) = self.under_way.back_mut()
            && matches!(last.pieces.front(), Some(Piece::Gate))
        {
            last.pieces.pop_front();
        }
    }

    /// Handles the completion of a command.
    fn complete(&mut self, tagged: &Tagged<'static>) -> Result<(), Lost> {
        let place = self.under_way.iter().position(|command| command.tag == tagged.tag);
        let Some(command) = place.and_then(|place| self.under_way.remove(place)) else {
            return Err(self.lost("the server ended a command that wasn't sent"));
        };
        let outcome = match Refusal::of(&tagged.body, self.session.connection.sent()) {
            Some(refusal) => {
                self.session.in_flight_limit.narrow();
                self.done.doubtful |= refusal.is_bad();
                self.too_full += usize::from(refusal.meaning() == Meaning::Full && command.group.len() == 1);
                let goes_on = refusal.is_about_one_of_several() && self.too_full < MAX_TOO_FULL;
                if !goes_on && self.stopped.is_none() {
                    self.stopped = Some(refusal.clone());
                }
                AppendResult::Refused(refusal)
            }
            None if command.pieces.is_empty() => {
                self.session.in_flight_limit.widen();
                self.too_full = 0;
                AppendResult::Arrived(self.ids(&command.group, tagged.body.code.as_ref()))
            }
            None => {
                let detail = "the server claims success of what it wasn't sent";
                self.done.outcomes.push((command.group, AppendResult::Unknown(detail.to_owned())));
                return Err(self.lost(detail));
            }
        };
        self.done.outcomes.push((command.group, outcome));
        Ok(())
    }

    /// The ids of a group's messages: the UIDs, where the server returns them, else their Message-IDs.
    fn ids(&self, group: &Range<usize>, code: Option<&Code<'_>>) -> Vec<RemoteId> {
        let messages = self.messages.get(group.clone()).unwrap_or_default();
        append_uids(code, messages.len()).unwrap_or_else(|| {
            messages.iter().map(|message| RemoteId(message.mail.message_id.as_str().to_owned())).collect()
        })
    }

    fn lost(&self, detail: &str) -> Lost {
        self.session.connection.lost(detail.to_owned())
    }

    /// Whether a command that is under way was sent whole.
    fn has_whole(&self) -> bool {
        let handed_over = self.session.connection.handed_over();
        self.under_way.iter().any(|command| command.was_sent_whole(handed_over))
    }

    /// Settles what can't be sent any more, because the permit lapsed. What was sent whole is waited for.
    fn cut_off(&mut self, lost: &Lost) {
        self.is_cut = true;
        let handed_over = self.session.connection.handed_over();
        let (whole, cut) =
            std::mem::take(&mut self.under_way).into_iter().partition(|command| command.was_sent_whole(handed_over));
        self.under_way = cut;
        self.give_up(lost);
        self.under_way = whole;
    }

    /// Settles what is left after the connection was lost.
    fn give_up(&mut self, lost: &Lost) {
        let handed_over = self.session.connection.handed_over();
        for command in self.under_way.drain(..) {
            let was_sent = command.message_at.is_some_and(|at| handed_over > at);
            let outcome =
                if was_sent { AppendResult::Unknown(lost.detail.clone()) } else { AppendResult::Unsent(lost.unsent()) };
            self.done.outcomes.push((command.group, outcome));
        }
        let left = self.waiting.drain(..).map(|group| (group, AppendResult::Unsent(lost.unsent())));
        self.done.outcomes.extend(left);
    }
}

impl Command {
    fn was_sent_whole(&self, handed_over: u64) -> bool {
        self.ends_at.is_some_and(|end| end <= handed_over)
    }

    /// Queues its pieces, up to a gate.
    fn queue(&mut self, connection: &mut super::connection::Connection) {
        while let Some(piece) = self.pieces.pop_front_if(|piece| !matches!(piece, Piece::Gate)) {
            match piece {
                Piece::Line(bytes) => connection.queue(bytes),
                Piece::Message(bytes) => {
                    self.message_at.get_or_insert(connection.queued());
                    connection.queue(bytes);
                }
                Piece::Gate => {}
            }
        }
        if self.pieces.is_empty() {
            self.ends_at.get_or_insert(connection.queued());
        }
    }
}

/// A folder's name as a quoted string. Its bytes are printable ASCII.
fn quoted(name: &[u8]) -> String {
    let mut quoted = String::from("\"");
    for &byte in name {
        if matches!(byte, b'"' | b'\\') {
            quoted.push('\\');
        }
        quoted.push(char::from(byte));
    }
    quoted.push('"');
    quoted
}

/// The id of a message with a UID.
pub(super) fn remote_id(validity: u32, uid: u32) -> RemoteId {
    RemoteId(format!("{validity}.{uid}"))
}

/// The ids in an APPENDUID (RFC 4315) of `count` messages; nothing where it doesn't name as many.
fn append_uids(code: Option<&Code<'_>>, count: usize) -> Option<Vec<RemoteId>> {
    match code? {
        Code::AppendUid { uid_validity, uid } if count == 1 => Some(vec![remote_id(uid_validity.get(), uid.get())]),
        Code::Other(other) => {
            let text = std::str::from_utf8(other.inner()).ok()?;
            let mut words = text.split(' ');
            let (name, validity, set) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
            name.eq_ignore_ascii_case("APPENDUID")
                .then(|| expanded(set, count))?
                .map(|uids| uids.into_iter().map(|uid| remote_id(validity, uid)).collect())
        }
        _ => None,
    }
}

/// The numbers of a set such as `5:54,60`, where they are `count`.
fn expanded(set: &str, count: usize) -> Option<Vec<u32>> {
    let mut uids = Vec::new();
    for part in set.split(',') {
        let (first, last) = part.split_once(':').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        // One more than wanted shows that the number is wrong; a hostile range costs no more than that.
        uids.extend((first..=last).take(count + 1 - uids.len().min(count)));
    }
    (uids.len() == count).then_some(uids)
}

#[cfg(test)]
mod tests {
    use imap_codec::imap_types::response::CodeOther;

    use super::*;

    fn code(text: &str) -> Code<'static> {
        Code::Other(CodeOther::unvalidated(text.as_bytes().to_vec()))
    }

    #[test]
    fn a_set_of_uids_is_expanded_in_order() {
        let ids = append_uids(Some(&code("APPENDUID 7 5:7,9")), 4).unwrap();
        assert_eq!(ids, [remote_id(7, 5), remote_id(7, 6), remote_id(7, 7), remote_id(7, 9)]);
    }

    #[test]
    fn a_set_that_is_not_of_these_messages_is_none() {
        for text in [
            "APPENDUID 7 5:7",
            "APPENDUID 7 1:4294967295",
            "APPENDUID 7 x",
            "APPENDUID 7",
            "COPYUID 7 1 2",
            "",
            "APPENDUID 7 1:4294967295,1:4294967295",
        ] {
            assert_eq!(append_uids(Some(&code(text)), 2), None, "{text}");
        }
        assert_eq!(append_uids(None, 1), None);
    }

    #[test]
    fn quotes_and_backslashes_are_escaped() {
        assert_eq!(quoted(br#"a"b\c"#), r#""a\"b\\c""#);
    }
}
