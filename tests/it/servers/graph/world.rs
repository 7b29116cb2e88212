//! The tenant: its users, their mailboxes, and what is in them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use whatsapp_archiver::clock::SharedClock;

use super::fault::Fault;
use super::http::{Answer, Request};
use super::limits::Limits;
use super::login::Login;

/// Everything the server knows.
pub(crate) struct World {
    pub(super) origin: String,
    pub(super) clock: SharedClock,
    pub(crate) login: Login,
    pub(crate) users: Vec<User>,
    pub(crate) mailboxes: HashMap<String, StoredMailbox>,
    pub(crate) limits: Limits,
    pub(crate) faults: Vec<Fault>,
    pub(crate) log: Vec<Logged>,
    pub(crate) violations: Vec<String>,
    /// Mailboxes that the application may use without the role `Mail.ReadWrite`.
    pub(crate) rbac_scope: HashSet<String>,
    /// How long a new message stays invisible to `$filter`.
    pub(crate) settle: TimeDelta,
    /// The status with which another `from` than the mailbox's own is refused.
    pub(crate) foreign_from_refused: Option<u16>,
    /// The largest body of `importMime`, in bytes of base64.
    pub(crate) import_mime_limit: usize,
    /// The most recipients that a message may have when it is created.
    pub(crate) max_recipients: usize,
    /// Whether adding to a message that is no draft needs `Mail-Advanced.ReadWrite.All`.
    pub(crate) changes_need_advanced: bool,
    /// The smallest file that an upload session takes, in bytes.
    pub(crate) smallest_session: usize,
    /// Users who are described by another one's object: the address asked for, and the id of the other.
    pub(crate) mistaken: Option<(&'static str, String)>,
    pub(super) request_ids: HashSet<String>,
    pub(super) sessions: HashMap<String, UploadSession>,
    next_id: u64,
}

/// A user to be added.
#[derive(Debug, Clone)]
pub(crate) struct UserSpec {
    pub(crate) mail: Option<String>,
    pub(crate) principal_name: String,
    pub(crate) aliases: Vec<String>,
    /// Why there is no mailbox: Graph's code.
    pub(crate) no_mailbox: Option<&'static str>,
}

impl UserSpec {
    /// An ordinary user, `name@contoso.example`, with a mailbox.
    pub(crate) fn named(name: &str) -> Self {
        let address = format!("{name}@contoso.example");
        Self { mail: Some(address.clone()), principal_name: address, aliases: Vec::new(), no_mailbox: None }
    }
}

/// A user.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) spec: UserSpec,
}

/// A mailbox.
#[derive(Debug, Default)]
pub(crate) struct StoredMailbox {
    pub(crate) folders: Vec<Folder>,
    pub(crate) messages: Vec<StoredMessage>,
}

/// A folder; one without a parent is at the top.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) hidden: bool,
    pub(crate) parent: Option<String>,
}

/// A message.
#[derive(Debug, Clone)]
pub(crate) struct StoredMessage {
    pub(crate) id: String,
    pub(crate) folder: String,
    pub(crate) is_draft: bool,
    pub(crate) is_read: bool,
    pub(crate) sent: DateTime<Utc>,
    pub(crate) received: DateTime<Utc>,
    pub(crate) message_id: String,
    pub(crate) subject: String,
    pub(crate) html: String,
    pub(crate) from: Value,
    pub(crate) to: Vec<Value>,
    pub(crate) headers: Vec<(String, String)>,
    /// Extended properties, by the form in which Graph gives their ids back.
    pub(crate) properties: BTreeMap<String, String>,
    pub(crate) attachments: Vec<StoredAttachment>,
    /// The MIME form, where it was imported as such.
    pub(crate) mime: Option<Vec<u8>>,
    /// When `$filter` begins to find it.
    pub(crate) visible: DateTime<Utc>,
}

/// A file of a message.
#[derive(Debug, Clone)]
pub(crate) struct StoredAttachment {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) content_type: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_inline: bool,
}

/// A file that is being uploaded.
#[derive(Debug)]
pub(super) struct UploadSession {
    pub(super) mailbox: String,
    pub(super) message: String,
    pub(super) name: String,
    pub(super) content_type: String,
    pub(super) size: usize,
    pub(super) bytes: Vec<u8>,
}

/// A request that was answered.
#[derive(Debug, Clone)]
pub(crate) struct Logged {
    pub(crate) method: String,
    pub(crate) path: String,
    /// 0 where the connection was dropped instead.
    pub(crate) status: u16,
}

impl fmt::Display for Logged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.method, self.path, self.status)
    }
}

impl World {
    pub(super) fn new(origin: String, clock: SharedClock) -> Self {
        Self {
            login: Login::new(&origin),
            origin,
            clock,
            users: Vec::new(),
            mailboxes: HashMap::new(),
            limits: Limits::published(),
            faults: Vec::new(),
            log: Vec::new(),
            violations: Vec::new(),
            rbac_scope: HashSet::new(),
            settle: TimeDelta::zero(),
            foreign_from_refused: None,
            import_mime_limit: 16 * 1024 * 1024,
            max_recipients: usize::MAX,
            changes_need_advanced: false,
            smallest_session: 3_000_000,
            mistaken: None,
            request_ids: HashSet::new(),
            sessions: HashMap::new(),
            next_id: 1,
        }
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Adds a user and returns the user's id.
    pub(crate) fn add_user(&mut self, spec: UserSpec) -> String {
        let user = self.new_id("user");
        if spec.no_mailbox.is_none() {
            // More than a page of folders, as real mailboxes have.
            let ordinary =
                ["Inbox", "Drafts", "Sent Items", "Archive", "Junk Email", "Outbox", "Notes", "Deleted Items"];
            let projects = (1..=8).map(|number| format!("Project {number}"));
            self.mailboxes.insert(user.clone(), StoredMailbox::default());
            for name in ordinary.into_iter().map(str::to_owned).chain(projects) {
                self.add_folder(&user, &name, false);
            }
        }
        self.users.push(User { id: user.clone(), spec });
        user
    }

    /// A user leaves: nobody has the id or the addresses any more.
    pub(crate) fn remove_user(&mut self, id: &str) {
        self.users.retain(|user| user.id != id);
    }

    /// A user's mailbox can't be used any more, for a reason of this code.
    pub(crate) fn lose_mailbox(&mut self, id: &str, code: &'static str) {
        for user in self.users.iter_mut().filter(|user| user.id == id) {
            user.spec.no_mailbox = Some(code);
        }
    }

    /// Adds a folder at the top of a mailbox and returns its id.
    pub(crate) fn add_folder(&mut self, user: &str, name: &str, hidden: bool) -> String {
        let id = self.new_id("folder");
        let folder = Folder { id: id.clone(), name: name.to_owned(), hidden, parent: None };
        self.mailbox(user).folders.push(folder);
        id
    }

    /// A user's mailbox.
    pub(crate) fn mailbox(&mut self, user: &str) -> &mut StoredMailbox {
        self.mailboxes.get_mut(user).expect("a mailbox")
    }

    /// The messages in the folder of this name at the top of a mailbox.
    pub(crate) fn messages_in(&mut self, user: &str, folder: &str) -> Vec<StoredMessage> {
        let mailbox = self.mailbox(user);
        let ids: Vec<String> = mailbox.top_folders(folder).map(|folder| folder.id.clone()).collect();
        mailbox.messages.iter().filter(|message| ids.contains(&message.folder)).cloned().collect()
    }

    /// Deletes a folder as a person does: it moves to the deleted items, with its id and all that is in it.
    pub(crate) fn move_to_deleted_items(&mut self, user: &str, folder: &str) {
        let mailbox = self.mailbox(user);
        let bin = mailbox.top_folders("Deleted Items").next().unwrap().id.clone();
        for folder in mailbox.folders.iter_mut().filter(|known| known.name == folder) {
            folder.parent = Some(bin.clone());
        }
    }

    /// Deletes a folder at the top for good, with all that is in it.
    pub(crate) fn delete_folder(&mut self, user: &str, folder: &str) {
        let mailbox = self.mailbox(user);
        let ids: Vec<String> = mailbox.top_folders(folder).map(|folder| folder.id.clone()).collect();
        mailbox.folders.retain(|folder| !ids.contains(&folder.id));
        mailbox.messages.retain(|message| !ids.contains(&message.folder));
    }

    /// An id that nobody has yet.
    pub(crate) fn new_id(&mut self, kind: &str) -> String {
        self.next_id += 1;
        format!("{kind}-{:08x}-AAMkAGI=", self.next_id)
    }

    /// The user that a request of `/users/{…}/` is about, if there is one and the request is about the mailbox.
    pub(super) fn mailbox_of(&self, request: &Request) -> Option<String> {
        match request.segments.as_slice() {
            [_, users, user, _, ..] if users == "users" => Some(self.user(user)?.id.clone()),
            [upload, session, ..] if upload == "upload" => Some(self.sessions.get(session)?.mailbox.clone()),
            _ => None,
        }
    }

    /// The user with this id or principal name.
    pub(super) fn user(&self, key: &str) -> Option<&User> {
        let is = |user: &&User| user.id == key || user.spec.principal_name.eq_ignore_ascii_case(key);
        self.users.iter().find(is)
    }

    pub(super) fn log(&mut self, request: &Request, answer: &Answer, dropped: bool) {
        let status = if dropped { 0 } else { answer.status };
        let path = request.segments.join("/");
        self.log.push(Logged { method: request.method.clone(), path: format!("/{path}"), status });
    }
}

impl StoredMailbox {
    /// The folders of this name at the top.
    pub(crate) fn top_folders(&self, name: &str) -> impl Iterator<Item = &Folder> {
        self.folders.iter().filter(move |folder| folder.parent.is_none() && folder.name.eq_ignore_ascii_case(name))
    }

    /// A message by its id.
    pub(crate) fn message(&mut self, id: &str) -> Option<&mut StoredMessage> {
        self.messages.iter_mut().find(|message| message.id == id)
    }

    /// A message by its Message-ID, without angle brackets.
    pub(crate) fn by_message_id(&mut self, message_id: &str) -> Option<&mut StoredMessage> {
        let wanted = format!("<{message_id}>");
        self.messages.iter_mut().find(|message| message.message_id == wanted)
    }
}
