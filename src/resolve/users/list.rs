//! The user directory as a file: a table with the columns `address` and, optionally, `aliases` and `former`, each a list
//! separated by spaces.
//!
//! Whoever is in the list is a valid user; nobody else is. A mailbox is known by its primary address in lower case. Both
//! other columns have addresses that name it too; those in `former` were its primary address before, which an alias need
//! not have been: it may be a leaver's, whose mail somebody else takes. A list that changes is read anew by its owner.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use async_trait::async_trait;

use super::{Answer, DirectoryError, UserDirectory};
use crate::resolution::{Mailbox, MailboxId};
use crate::resolve::address;
use crate::resolve::table::{self, Column, Row};
pub use crate::resolve::table::{MAX_BYTES, Problem as UserListProblem, Problems as UserListProblems, Severity};

/// The columns, in their usual order.
const COLUMNS: [Column; 3] = [
    Column { name: "address", required: true, looks_like_value: |field| field.contains('@') },
    Column { name: "aliases", required: false, looks_like_value: |field| field.contains('@') },
    Column { name: "former", required: false, looks_like_value: |field| field.contains('@') },
];
const ADDRESS: usize = 0;
const ALIASES: usize = 1;
const FORMER: usize = 2;

#[derive(Debug)]
pub struct UserList {
    name: String,
    /// Its file without the folders: what is said of participants goes into reports.
    file: String,
    mailboxes: Vec<Mailbox>,
    /// The place in `mailboxes` of each address, in lower case, whatever the column.
    places: HashMap<Box<str>, u32>,
    others: HashMap<u32, Others>,
}

/// The addresses of a mailbox beside its primary one, in lower case.
#[derive(Debug, Default)]
struct Others {
    /// Those of both columns.
    all: Vec<MailboxId>,
    /// Those that were its primary address once.
    former: Vec<MailboxId>,
}

impl UserList {
    /// Reads a user list; `file_name` is what its problems are reported under. Gives the warnings with the list, or all
    /// problems where one of them is an error.
    pub fn read(bytes: &[u8], file_name: &str) -> Result<(Self, Vec<UserListProblem>), UserListProblems> {
        let mut problems = UserListProblems::new(file_name);
        let mut draft = Draft::default();
        table::read(bytes, &COLUMNS, &mut problems, |row, problems| draft.add(row, problems));
        if draft.mailboxes.is_empty() && !problems.has_errors() {
            problems.warning(1, 1, "the list has no users".to_owned());
        }
        let Draft { mailboxes, places, others, .. } = draft;
        let file = file_name.rsplit('/').next().unwrap_or_default().to_owned();
        let list = Self { name: format!("user list {file_name}"), file, mailboxes, places, others };
        problems.without_errors(list)
    }

    /// The mailbox of an address.
    pub fn mailbox(&self, address: &str) -> Option<&Mailbox> {
        let place = self.places.get(address.to_ascii_lowercase().as_str())?;
        self.mailboxes.get(*place as usize)
    }

    /// The other addresses of the mailbox that one of its addresses names.
    fn others(&self, id: &MailboxId) -> Option<&Others> {
        self.others.get(self.places.get(id.0.as_str())?)
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.mailboxes.len()
    }

    /// Whether there are no users.
    pub fn is_empty(&self) -> bool {
        self.mailboxes.is_empty()
    }
}

/// A list while it is being read.
#[derive(Default)]
struct Draft {
    mailboxes: Vec<Mailbox>,
    places: HashMap<Box<str>, u32>,
    others: HashMap<u32, Others>,
    /// The line of each mailbox.
    lines: Vec<usize>,
}

impl Draft {
    fn add(&mut self, row: &Row<'_>, problems: &mut UserListProblems) {
        let primary = row.field(ADDRESS);
        if primary.is_empty() {
            problems.error(row.line, row.column(ADDRESS, 0), "no address is given".to_owned());
            return;
        }
        // The bounds of the file keep it in range.
        let Ok(place) = u32::try_from(self.mailboxes.len()) else { return };
        self.mailboxes.push(Mailbox { id: MailboxId(primary.to_ascii_lowercase()), address: primary.to_owned() });
        self.lines.push(row.line);
        self.name(place, primary, row, row.column(ADDRESS, 0), problems);

        for index in [ALIASES, FORMER] {
            let addresses = row.field(index);
            for address in addresses.split_whitespace() {
                let before = address.as_ptr().addr() - addresses.as_ptr().addr();
                let offset = addresses.get(..before).map_or(0, |before| before.chars().count());
                let id = MailboxId(address.to_ascii_lowercase());
                let others = self.others.entry(place).or_default();
                if index == FORMER {
                    others.former.push(id.clone());
                }
                // A former address may be listed as an alias too.
                if index == ALIASES || !others.all.contains(&id) {
                    others.all.push(id);
                    self.name(place, address, row, row.column(index, offset), problems);
                }
            }
        }
    }

    /// Lets an address name a mailbox.
    fn name(&mut self, place: u32, name: &str, row: &Row<'_>, column: usize, problems: &mut UserListProblems) {
        if let Err(reason) = address::check(name) {
            let message = format!("not an e-mail address, because {reason}: write it like susan@contoso.example");
            problems.error(row.line, column, message);
            return;
        }
        match self.places.entry(name.to_ascii_lowercase().into_boxed_str()) {
            Entry::Vacant(vacant) => {
                vacant.insert(place);
            }
            Entry::Occupied(taken) if *taken.get() == place => {
                problems.warning(row.line, column, format!("{name} names this user already"));
            }
            Entry::Occupied(taken) => {
                let line = self.lines.get(*taken.get() as usize).copied().unwrap_or_default();
                let message = format!("{name} names the user of line {line} already: an address can name only one");
                problems.error(row.line, column, message);
            }
        }
    }
}

#[async_trait]
impl UserDirectory for UserList {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn look_up(&self, addresses: &[String]) -> Vec<Result<Answer, DirectoryError>> {
        let answer = |address: &String| match self.mailbox(address) {
            Some(mailbox) => Answer::Valid(mailbox.clone()),
            None => Answer::NotValid { detail: format!("not in the user list {}", self.file) },
        };
        addresses.iter().map(|address| Ok(answer(address))).collect()
    }

    fn former_ids(&self, mailbox: &MailboxId) -> &[MailboxId] {
        self.others(mailbox).map_or(&[], |others| others.former.as_slice())
    }

    fn other_ids(&self, mailbox: &MailboxId) -> &[MailboxId] {
        self.others(mailbox).map_or(&[], |others| others.all.as_slice())
    }

    async fn find_again(&self, mailboxes: &[Mailbox]) -> Vec<Result<Answer, DirectoryError>> {
        let answer = |known: &Mailbox| {
            let id = &known.id;
            let detail = match self.mailbox(&id.0) {
                Some(now) if now.id == *id || self.former_ids(id).contains(id) => {
                    return Answer::Valid(Mailbox { id: id.clone(), address: now.address.clone() });
                }
                Some(now) => {
                    format!("{id} is an alias of {} in {}, not stated as a former address", now.address, self.file)
                }
                None => format!("{id} is not in the user list {}", self.file),
            };
            Answer::NotValid { detail }
        };
        mailboxes.iter().map(|known| Ok(answer(known))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(file: &str) -> String {
        UserList::read(file.as_bytes(), "users.csv").unwrap_err().to_string()
    }

    #[tokio::test]
    async fn aliases_name_the_same_mailbox_whatever_their_case() {
        let file =
            "address,aliases\nAna.Berg@contoso.example,ana@contoso.example  AB@contoso.example\nbo@contoso.example\n";
        let (list, warnings) = UserList::read(file.as_bytes(), "/etc/archiver/users.csv").unwrap();
        assert_eq!((list.len(), warnings.len()), (2, 0));
        let ask = ["ANA.BERG@contoso.example", "ab@CONTOSO.example", "bo@contoso.example", "cy@contoso.example", ""];
        let answers = list.look_up(&ask.map(str::to_owned)).await;
        let ana = Mailbox {
            id: MailboxId("ana.berg@contoso.example".to_owned()),
            address: "Ana.Berg@contoso.example".to_owned(),
        };
        assert!(matches!(&answers[0], Ok(Answer::Valid(mailbox)) if *mailbox == ana));
        assert!(matches!(&answers[1], Ok(Answer::Valid(mailbox)) if *mailbox == ana));
        assert!(matches!(&answers[2], Ok(Answer::Valid(mailbox)) if mailbox.id.0 == "bo@contoso.example"));
        for answer in &answers[3..] {
            assert!(matches!(answer, Ok(Answer::NotValid { detail }) if detail == "not in the user list users.csv"));
        }
    }

    #[test]
    fn only_what_is_stated_as_former_is_the_mailboxs_own_earlier_address() {
        let file = "address,aliases,former\nana.quist@contoso.example,ana@contoso.example,Ana.Berg@contoso.example ana@contoso.example\nsue@contoso.example,leo@contoso.example,\n";
        let (list, warnings) = UserList::read(file.as_bytes(), "users.csv").unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let id = |name: &str| MailboxId(format!("{name}@contoso.example"));
        assert_eq!(list.former_ids(&id("ana.quist")), [id("ana.berg"), id("ana")]);
        assert_eq!(list.other_ids(&id("ana.quist")), [id("ana"), id("ana.berg")]);
        assert_eq!(list.mailbox("ANA.BERG@contoso.example").unwrap().id, id("ana.quist"));
        assert_eq!((list.former_ids(&id("sue")), list.other_ids(&id("sue"))), ([].as_slice(), [id("leo")].as_slice()));
    }

    #[tokio::test]
    async fn a_mailbox_is_found_again_under_its_own_address_or_a_former_one() {
        let file = "address,aliases,former\nAna.Quist@contoso.example,,ana.berg@contoso.example\nsue@contoso.example,leo@contoso.example,\n";
        let (list, _) = UserList::read(file.as_bytes(), "/etc/users.csv").unwrap();
        let mailbox = |id: &str, address: &str| Mailbox { id: MailboxId(id.to_owned()), address: address.to_owned() };
        let ids =
            ["ana.quist@contoso.example", "ana.berg@contoso.example", "leo@contoso.example", "max@contoso.example"];
        let found = list.find_again(&ids.map(|id| mailbox(id, id))).await;
        let found: Vec<Answer> = found.into_iter().map(Result::unwrap).collect();
        for (id, answer) in ids.iter().zip(&found[..2]) {
            assert_eq!(*answer, Answer::Valid(mailbox(id, "Ana.Quist@contoso.example")));
        }
        let not_valid = |detail: &str| Answer::NotValid { detail: detail.to_owned() };
        let alias =
            "leo@contoso.example is an alias of sue@contoso.example in users.csv, not stated as a former address";
        assert_eq!(found[2..], [not_valid(alias), not_valid("max@contoso.example is not in the user list users.csv")]);
    }

    #[test]
    fn the_column_of_aliases_may_be_missing() {
        let (list, warnings) = UserList::read(b"Address\r\nana@contoso.example\r\n", "users.csv").unwrap();
        assert!(list.mailbox("ana@contoso.example").is_some() && warnings.is_empty());
    }

    #[test]
    fn every_problem_is_reported_by_line_and_column() {
        let file = "address;aliases\nana@contoso.example;ana@contoso\n;x@contoso.example\nbo@contoso.example;cy@contoso.example ANA@contoso.example\ncy@contoso.example\n";
        let shown = problems(file);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 4, "{shown}");
        assert!(lines[0].starts_with("users.csv:2:21: error: not an e-mail address, because its domain has no dot"));
        assert_eq!(lines[1], "users.csv:3:1: error: no address is given");
        assert!(lines[2].starts_with("users.csv:4:39: error: ANA@contoso.example names the user of line 2 already"));
        assert!(lines[3].starts_with("users.csv:5:1: error: cy@contoso.example names the user of line 4 already"));
    }

    #[test]
    fn a_missing_header_is_reported() {
        assert_eq!(
            problems("ana@contoso.example\n"),
            "users.csv:1:1: error: the header is missing: the first line must be `address`"
        );
        assert!(problems("").starts_with("users.csv:1:1: error: the header is missing"));
    }

    #[test]
    fn a_name_given_twice_to_one_user_is_only_a_warning() {
        let file = b"address,aliases\nana@contoso.example,ANA@contoso.example\n";
        let (_, warnings) = UserList::read(file, "users.csv").unwrap();
        assert_eq!(warnings[0].to_string(), "users.csv:2:21: warning: ANA@contoso.example names this user already");
    }
}
