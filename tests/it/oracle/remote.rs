//! Mailboxes on servers, read as they are: all that is in them, in whatever folder.

use super::{Found, Mailboxes};
use crate::servers::dovecot::PASSWORD;
use crate::servers::graph::{GraphServer, StoredMessage};
use crate::servers::imap_client::ImapClient;

/// The header that names the WhatsApp message.
const ID_HEADER: &str = "x-whatsapp-archiver-message-id";

/// Reads these mailboxes of a Dovecot.
pub(crate) fn read_dovecot(port: u16, addresses: &[String]) -> Mailboxes {
    addresses.iter().map(|address| (address.clone(), read_mailbox(port, address))).collect()
}

fn read_mailbox(port: u16, address: &str) -> Vec<Found> {
    let mut person = ImapClient::sign_in(port, address, PASSWORD);
    let mut found = Vec::new();
    for folder in folders(&mut person) {
        person.command(&format!("EXAMINE \"{folder}\"")).unwrap();
        let answer = person.command("UID FETCH 1:* (BODY.PEEK[])");
        // A folder without messages has none of the range.
        let pieces = answer.unwrap_or_default();
        let announced = |piece: &[u8]| piece.starts_with(b"* ") && piece.ends_with(b"}");
        let messages = pieces.windows(2).filter(|pair| announced(&pair[0])).map(|pair| &pair[1]);
        found.extend(messages.filter(|mime| is_ours(mime)).map(|mime| Found::read(mime)));
    }
    found.sort();
    found
}

fn folders(person: &mut ImapClient) -> Vec<String> {
    let lines = person.command("LIST \"\" \"*\"").unwrap();
    let lines = lines.iter().map(|line| String::from_utf8_lossy(line).into_owned());
    let selectable = lines.filter(|line| line.starts_with("* LIST") && !line.contains("\\Noselect"));
    let name = |line: String| match line.strip_suffix('"') {
        Some(quoted) => quoted.rsplit_once('"').unwrap().1.to_owned(),
        None => line.rsplit_once(' ').unwrap().1.to_owned(),
    };
    selectable.map(name).collect()
}

/// Whether a message was put there by the archiver, and not by a person.
fn is_ours(mime: &[u8]) -> bool {
    let head = mime.windows(4).position(|window| window == b"\r\n\r\n").map_or(mime, |end| &mime[..end]);
    String::from_utf8_lossy(head).to_ascii_lowercase().contains(ID_HEADER)
}

/// Reads all mailboxes of a tenant.
pub(crate) fn read_graph(server: &GraphServer) -> Mailboxes {
    server.with(|world| {
        let mut mailboxes = Mailboxes::new();
        for user in &world.users {
            let stored = world.mailboxes.get(&user.id).map_or(&[][..], |mailbox| &mailbox.messages);
            let mut found: Vec<Found> = stored.iter().map(read_stored).collect();
            found.sort();
            mailboxes.insert(user.spec.principal_name.clone(), found);
        }
        mailboxes
    })
}

fn read_stored(message: &StoredMessage) -> Found {
    assert!(!message.is_draft, "a draft: {}", message.message_id);
    if let Some(mime) = &message.mime {
        return Found::read(mime);
    }
    let header = message.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(ID_HEADER));
    Found {
        whatsapp_id: header.expect("the header that names the WhatsApp message").1.clone(),
        text: message.html.clone(),
        files: message.attachments.iter().map(|file| (file.name.clone(), file.bytes.clone())).collect(),
    }
}
