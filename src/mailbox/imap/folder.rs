//! The archive folder and its neighbours, as a server names them.

use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::core::{AString, QuotedChar};
use imap_codec::imap_types::extensions::namespace::Namespace;
use imap_codec::imap_types::flag::FlagNameAttribute;
use imap_codec::imap_types::mailbox::Mailbox as Folder;
use imap_codec::imap_types::response::Data;

use super::refusal::Meaning;
use super::session::{CommandError, Session};
use crate::mailbox::ImportError;
use crate::mailbox::folder_name::to_modified_utf7;

/// The most folders that a mailbox may have for all of them to be searched.
const MAX_FOLDERS: usize = 20_000;

/// Where in a mailbox the archive folder is, and what isn't the mailbox's own.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// The archive folder.
    pub(super) archive: Folder<'static>,
    namespaces: Namespaces,
}

/// What a server says of its namespaces.
#[derive(Debug, Clone, Default)]
struct Namespaces {
    /// The prefixes of the mailbox's own folders, the usual one first.
    own: Vec<Vec<u8>>,
    delimiter: Option<char>,
    /// The prefixes of other people's and of shared folders.
    foreign: Vec<Vec<u8>>,
}

impl Namespaces {
    /// Whether a folder is another person's or shared: the longest prefix that fits decides, because one may be empty.
    fn is_foreign(&self, folder: &Folder<'_>) -> bool {
        let longest = |prefixes: &[Vec<u8>]| {
            let fitting = prefixes.iter().filter(|prefix| name_of(folder).starts_with(prefix));
            fitting.map(Vec::len).max()
        };
        *folder != Folder::Inbox && longest(&self.foreign) > longest(&self.own)
    }
}

/// Asks a server where `folder` is to be.
pub(super) async fn layout(session: &mut Session, folder: &str) -> Result<Layout, ImportError> {
    const DOING: &str = "asking for the namespaces";
    let namespaces = if session.abilities().await.map_err(|error| error.because(DOING))?.namespace() {
        namespaces(session).await
    } else {
        delimiter(session).await
    };
    let namespaces = namespaces.map_err(|error| error.because(DOING))?;
    let archive = wire_name(folder, &namespaces);
    let unfit = || ImportError::Unexpected(format!("the server's prefix for {folder:?} isn't printable ASCII"));
    if !archive.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(unfit());
    }
    let archive = AString::try_from(archive).map_err(|_| unfit())?;
    Ok(Layout { archive: Folder::from(archive), namespaces })
}

/// The folder's name below the personal namespace's prefix. One level: a separator in the name itself is replaced.
fn wire_name(folder: &str, namespaces: &Namespaces) -> Vec<u8> {
    let replacement = if namespaces.delimiter == Some('-') { "_" } else { "-" };
    let name = match namespaces.delimiter {
        Some(delimiter) => folder.replace(delimiter, replacement),
        None => folder.to_owned(),
    };
    let mut wire = namespaces.own.first().cloned().unwrap_or_default();
    wire.extend_from_slice(to_modified_utf7(&name).as_bytes());
    wire
}

async fn namespaces(session: &mut Session) -> Result<Namespaces, CommandError> {
    let mut found = Namespaces::default();
    session
        .ask(CommandBody::Namespace, |data| {
            if let Data::Namespace { personal, other, shared } = data {
                found.delimiter = personal.first().and_then(|own| own.delimiter.as_ref()).map(QuotedChar::inner);
                found.own = personal.iter().map(prefix_of).collect();
                found.foreign = other.iter().chain(&shared).map(prefix_of).collect();
            }
        })
        .await?;
    Ok(found)
}

async fn delimiter(session: &mut Session) -> Result<Namespaces, CommandError> {
    let mut found = Namespaces::default();
    session
        .ask(list(""), |data| {
            if let Data::List { delimiter, .. } = data {
                found.delimiter = delimiter.as_ref().map(QuotedChar::inner);
            }
        })
        .await?;
    Ok(found)
}

fn prefix_of(namespace: &Namespace<'_>) -> Vec<u8> {
    namespace.prefix.as_ref().to_vec()
}

/// Makes the archive folder, and subscribes to it where it wasn't there.
pub(super) async fn create(session: &mut Session, layout: &Layout) -> Result<(), ImportError> {
    const DOING: &str = "creating the folder";
    let folder = &layout.archive;
    match session.run(CommandBody::Create { mailbox: folder.clone() }).await {
        Ok(_) => {
            // A person who doesn't see it in a mail program can still be found by a search, so a refusal does no harm.
            match session.run(CommandBody::Subscribe { mailbox: folder.clone() }).await {
                Ok(_) | Err(CommandError::Refused(_) | CommandError::Unreadable) => Ok(()),
                Err(error) => Err(error.because("subscribing to the folder")),
            }
        }
        Err(CommandError::Refused(refusal)) if refusal.meaning() == Meaning::FolderExists => Ok(()),
        // Servers without response codes refuse a folder that is there in words of their own.
        Err(CommandError::Refused(refusal)) if refusal.meaning() == Meaning::Unknown => {
            if is_there(session, folder).await? { Ok(()) } else { Err(refusal.of_command(DOING)) }
        }
        Err(error) => Err(error.because(DOING)),
    }
}

async fn is_there(session: &mut Session, folder: &Folder<'static>) -> Result<bool, ImportError> {
    Ok(listed(session).await?.iter().any(|(found, _)| found == folder))
}

/// Whether a folder is there and can hold messages.
pub(super) async fn is_selectable(session: &mut Session, folder: &Folder<'static>) -> Result<bool, ImportError> {
    Ok(listed(session).await?.iter().any(|(found, attributes)| found == folder && can_be_opened(attributes)))
}

fn can_be_opened(attributes: &[String]) -> bool {
    let has = |name: &str| attributes.iter().any(|attribute| attribute.eq_ignore_ascii_case(name));
    !has(r"\Noselect") && !has(r"\NonExistent")
}

/// The mailbox's own folders that can be opened, but for the archive folder. Those that only show what lies in others
/// come last.
pub(super) async fn others(session: &mut Session, layout: &Layout) -> Result<Others, ImportError> {
    let mut others = Others::default();
    for (folder, attributes) in listed(session).await? {
        let has = |name: &str| attributes.iter().any(|attribute| attribute.eq_ignore_ascii_case(name));
        if folder == layout.archive || layout.namespaces.is_foreign(&folder) || !can_be_opened(&attributes) {
            continue;
        }
        if has(r"\All") || has(r"\Flagged") || has(r"\Important") {
            others.views.push(folder);
        } else {
            others.folders.push(folder);
        }
    }
    Ok(others)
}

/// The folders of a mailbox besides the archive folder.
#[derive(Debug, Default)]
pub(super) struct Others {
    /// Where messages lie.
    pub(super) folders: Vec<Folder<'static>>,
    /// Where messages of other folders show (RFC 6154).
    pub(super) views: Vec<Folder<'static>>,
}

async fn listed(session: &mut Session) -> Result<Vec<(Folder<'static>, Vec<String>)>, ImportError> {
    const DOING: &str = "listing the folders";
    let mut found = Vec::new();
    session
        .ask(list("*"), |data| {
            if let Data::List { items, mailbox, .. } = data
                && found.len() <= MAX_FOLDERS
            {
                found.push((mailbox, items.iter().map(FlagNameAttribute::to_string).collect()));
            }
        })
        .await
        .map_err(|error| error.because(DOING))?;
    if found.len() > MAX_FOLDERS {
        return Err(ImportError::Unexpected(format!("{DOING}: there are more than {MAX_FOLDERS}")));
    }
    Ok(found)
}

fn list(pattern: &'static str) -> CommandBody<'static> {
    CommandBody::list("", pattern).unwrap_or(CommandBody::Noop)
}

/// A folder's name as the server writes it.
pub(super) fn name_of<'a>(folder: &'a Folder<'_>) -> &'a [u8] {
    match folder {
        Folder::Inbox => b"INBOX",
        Folder::Other(other) => other.as_ref(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(folder: &str, prefix: &str, delimiter: char) -> String {
        let own = vec![prefix.as_bytes().to_vec()];
        let namespaces = Namespaces { own, delimiter: Some(delimiter), foreign: Vec::new() };
        String::from_utf8(wire_name(folder, &namespaces)).unwrap()
    }

    #[test]
    fn the_prefix_and_the_separator_are_the_servers() {
        assert_eq!(wire("WhatsApp Archiver", "", '/'), "WhatsApp Archiver");
        assert_eq!(wire("WhatsApp Archiver", "INBOX.", '.'), "INBOX.WhatsApp Archiver");
        assert_eq!(wire("a.b", "INBOX.", '.'), "INBOX.a-b");
        assert_eq!(wire("a-b", "", '-'), "a_b");
        assert_eq!(wire("Büro & Co", "", '/'), "B&APw-ro &- Co");
    }

    #[test]
    fn the_longest_prefix_says_whose_a_folder_is() {
        let prefixes = |all: &[&str]| all.iter().map(|prefix| prefix.as_bytes().to_vec()).collect();
        let is_foreign = |own: &[&str], foreign: &[&str], name: &str| {
            let namespaces = Namespaces { own: prefixes(own), delimiter: Some('.'), foreign: prefixes(foreign) };
            namespaces.is_foreign(&Folder::try_from(name.to_owned()).unwrap())
        };
        // Cyrus: whatever isn't below INBOX is somebody else's.
        let cyrus = |name| is_foreign(&["INBOX."], &["user.", ""], name);
        assert!(!cyrus("INBOX") && !cyrus("INBOX.a") && cyrus("user.bo") && cyrus("shared"));
        let dovecot = |name| is_foreign(&[""], &["shared."], name);
        assert!(!dovecot("INBOX") && !dovecot("a") && dovecot("shared.bo"));
        assert!(!is_foreign(&[], &[], "a"));
    }
}
