//! One session with an IMAP server: a command at a time, and what came of it.

use bytes::Bytes;
use imap_codec::CommandCodec;
use imap_codec::encode::{Encoder, Fragment};
use imap_codec::imap_types::command::{Command, CommandBody};
use imap_codec::imap_types::core::Tag;
use imap_codec::imap_types::mailbox::Mailbox as Folder;
use imap_codec::imap_types::response::{Code, Data, StatusBody};

use super::abilities::Abilities;
use super::connection::{Connection, Lost, Received};
use super::in_flight_limit::InFlightLimit;
use super::refusal::{Meaning, Refusal};
use crate::mailbox::ImportError;

/// Why a command came to nothing.
#[derive(Debug)]
pub(super) enum CommandError {
    /// The server refused it.
    Refused(Refusal),
    /// The connection was lost.
    Lost(Lost),
    /// The server answered what can't be read.
    Unreadable,
}

impl CommandError {
    /// What it means, for a command that changes nothing. `doing` says what was tried.
    pub(super) fn because(self, doing: &str) -> ImportError {
        match self {
            Self::Refused(refusal) => refusal.of_command(doing),
            Self::Lost(lost) => lost.unsent(),
            Self::Unreadable => ImportError::Unexpected(format!("{doing}: the server's answer can't be read")),
        }
    }
}

impl Lost {
    /// What a lost connection means for what was certainly not sent.
    pub(super) fn unsent(&self) -> ImportError {
        match self.farewell.as_ref().map(Refusal::meaning) {
            Some(Meaning::Throttled(after)) => ImportError::Throttled { after, detail: self.detail.clone() },
            _ => ImportError::Unavailable(self.detail.clone()),
        }
    }
}

/// A session, signed in or about to be.
pub(super) struct Session {
    /// The connection it runs on.
    pub(super) connection: Connection,
    /// How many APPENDs may be under way.
    pub(super) in_flight_limit: InFlightLimit,
    abilities: Option<Abilities>,
    selected: Option<Folder<'static>>,
    /// As the server said it last.
    uid_validity: Option<u32>,
}

impl Session {
    pub(super) fn new(connection: Connection) -> Self {
        let in_flight_limit = InFlightLimit::default();
        Self { connection, in_flight_limit, abilities: None, selected: None, uid_validity: None }
    }

    /// What the server can do, as it said before or is asked now.
    pub(super) async fn abilities(&mut self) -> Result<Abilities, CommandError> {
        if self.abilities.is_none() {
            self.run(CommandBody::Capability).await?;
        }
        Ok(self.abilities.clone().unwrap_or_default())
    }

    /// Forgets what the server can do: after TLS began and after signing in, it may be something else.
    pub(super) fn forget_abilities(&mut self) {
        self.abilities = None;
    }

    /// Takes note of the capabilities or the UIDVALIDITY in a response code.
    pub(super) fn note_code(&mut self, code: Option<&Code<'_>>) {
        match code {
            Some(Code::Capability(announced)) => self.abilities = Some(Abilities::of(announced.as_ref())),
            Some(Code::UidValidity(value)) => self.uid_validity = Some(value.get()),
            _ => {}
        }
    }

    /// Runs a command whose data is of no concern.
    pub(super) async fn run(&mut self, body: CommandBody<'static>) -> Result<StatusBody<'static>, CommandError> {
        let tag = self.send(body).await?;
        self.completion(&tag, &mut |_| ()).await.map(|(status, _)| status)
    }

    /// Runs a command and hands on its data, piece by piece. Data that can't be read is an error: an answer of which
    /// half is missing is none.
    pub(super) async fn ask(
        &mut self,
        body: CommandBody<'static>,
        mut take: impl FnMut(Data<'static>) + Send,
    ) -> Result<(), CommandError> {
        let tag = self.send(body).await?;
        let (_, unreadable) = self.completion(&tag, &mut take).await?;
        if unreadable { Err(CommandError::Unreadable) } else { Ok(()) }
    }

    /// Selects a folder for appending, where it isn't selected already.
    pub(super) async fn select(&mut self, folder: &Folder<'static>) -> Result<(), CommandError> {
        if self.selected.as_ref() == Some(folder) {
            return Ok(());
        }
        self.selected = None;
        self.run(CommandBody::Select { mailbox: folder.clone() }).await?;
        self.selected = Some(folder.clone());
        Ok(())
    }

    /// Opens a folder for reading, as it is now. Gives its UIDVALIDITY, where it has one.
    pub(super) async fn examine(&mut self, folder: &Folder<'static>) -> Result<Option<u32>, CommandError> {
        (self.selected, self.uid_validity) = (None, None);
        self.run(CommandBody::Examine { mailbox: folder.clone() }).await?;
        Ok(self.uid_validity)
    }

    /// Leaves the selected folder behind: it is not what it was.
    pub(super) fn forget_selected(&mut self) {
        self.selected = None;
    }

    async fn send(&mut self, body: CommandBody<'static>) -> Result<Tag<'static>, CommandError> {
        let tag = self.connection.next_tag();
        let command = Command { tag: tag.clone(), body };
        for fragment in CommandCodec::default().encode(&command) {
            match fragment {
                Fragment::Line { data } => self.connection.queue(Bytes::from(data)),
                Fragment::Literal { data, .. } => {
                    self.continuation(&tag).await?;
                    self.connection.queue(Bytes::from(data));
                }
            }
        }
        Ok(tag)
    }

    /// Waits until the server asks for the rest of a command.
    async fn continuation(&mut self, tag: &Tag<'static>) -> Result<(), CommandError> {
        loop {
            match self.connection.response().await.map_err(CommandError::Lost)? {
                Received::Continuation => return Ok(()),
                Received::Tagged(tagged) => {
                    self.check_tag(tag, &tagged.tag)?;
                    let refusal = Refusal::of(&tagged.body, self.connection.sent());
                    return Err(refusal.map_or_else(|| self.strange("an early end"), CommandError::Refused));
                }
                Received::Data(_) | Received::Remark(_) | Received::Unreadable => {}
            }
        }
    }

    /// Waits for the end of a command. Gives its status, and whether something could not be read.
    async fn completion(
        &mut self,
        tag: &Tag<'static>,
        take: &mut (dyn FnMut(Data<'static>) + Send),
    ) -> Result<(StatusBody<'static>, bool), CommandError> {
        let mut unreadable = false;
        loop {
            match self.connection.response().await.map_err(CommandError::Lost)? {
                Received::Tagged(tagged) => {
                    self.check_tag(tag, &tagged.tag)?;
                    self.note_code(tagged.body.code.as_ref());
                    return match Refusal::of(&tagged.body, self.connection.sent()) {
                        Some(refusal) => Err(CommandError::Refused(refusal)),
                        None => Ok((tagged.body, unreadable)),
                    };
                }
                Received::Data(Data::Capability(announced)) => {
                    self.abilities = Some(Abilities::of(announced.as_ref()));
                }
                Received::Data(data) => take(data),
                Received::Remark(body) => self.note_code(body.code.as_ref()),
                Received::Unreadable => unreadable = true,
                Received::Continuation => return Err(self.strange("a request for more")),
            }
        }
    }

    fn check_tag(&self, expected: &Tag<'_>, found: &Tag<'_>) -> Result<(), CommandError> {
        if expected == found { Ok(()) } else { Err(self.strange("the end of a command that wasn't sent")) }
    }

    fn strange(&self, what: &str) -> CommandError {
        CommandError::Lost(self.connection.lost(format!("the server sent {what}")))
    }
}
