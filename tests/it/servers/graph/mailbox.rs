//! Folders, and what people see of messages.

use serde_json::{Value, json};

use super::World;
use super::http::{Answer, Request};
use super::query::{equality, page, select, unquote};
use super::world::{Folder, StoredMessage};

impl World {
    pub(super) fn list_folders(&mut self, user: &str, request: &Request) -> Answer {
        let all = request.query("includeHiddenFolders") == Some("true");
        let wanted = match request.query("$filter").map(equality) {
            Some(Some((name, value))) if name == "displayName" => Some(value),
            Some(_) => return Answer::error(400, "ErrorInvalidUrlQueryFilter", "The query filter is invalid."),
            None => None,
        };
        let shown = |folder: &&Folder| {
            folder.parent.is_none()
                && (all || !folder.hidden)
                && wanted.as_ref().is_none_or(|wanted| folder.name.eq_ignore_ascii_case(wanted))
        };
        let mailbox = self.mailbox(user);
        let describe = |folder: &Folder| {
            let count = mailbox.messages.iter().filter(|message| message.folder == folder.id).count();
            json!({ "id": folder.id, "displayName": folder.name, "isHidden": folder.hidden, "totalItemCount": count })
        };
        let folders = mailbox.folders.iter().filter(shown).map(describe).collect();
        page(request, &self.origin, folders)
    }

    pub(super) fn create_folder(&mut self, user: &str, request: &Request) -> Answer {
        let body = request.json().unwrap_or_default();
        let Some(name) = body["displayName"].as_str().filter(|name| !name.is_empty()) else {
            return Answer::error(400, "ErrorInvalidRequest", "A folder needs a name.");
        };
        if self.mailbox(user).top_folders(name).next().is_some() {
            return Answer::error(409, "ErrorFolderExists", "A folder with the specified name already exists.");
        }
        let id = self.add_folder(user, name, false);
        Answer::json(201, &json!({ "id": id, "displayName": name, "isHidden": false }))
    }

    pub(super) fn has_folder(&mut self, user: &str, folder: &str) -> Result<(), Answer> {
        let known = self.mailbox(user).folders.iter().any(|known| known.id == folder);
        let gone = || Answer::error(404, "ErrorItemNotFound", "The specified object was not found in the store.");
        if known { Ok(()) } else { Err(gone()) }
    }

    pub(super) fn list_folder(&mut self, user: &str, folder: &str, request: &Request) -> Answer {
        if let Err(answer) = self.has_folder(user, folder) {
            return answer;
        }
        let messages = self.mailbox(user).messages.iter().filter(|message| message.folder == folder);
        let messages = messages.map(|message| describe(message, request)).collect();
        page(request, &self.origin, messages)
    }

    pub(super) fn find_messages(&mut self, user: &str, request: &Request) -> Answer {
        let Some((name, wanted)) = request.query("$filter").and_then(equality) else {
            return Answer::error(400, "ErrorInvalidUrlQueryFilter", "The query filter is invalid.");
        };
        if name != "internetMessageId" {
            return Answer::error(400, "ErrorInvalidUrlQueryFilter", "The property is not known.");
        }
        let now = self.now();
        let found = |message: &&StoredMessage| message.message_id == wanted && message.visible <= now;
        let messages = self.mailbox(user).messages.iter().filter(found).map(|message| describe(message, request));
        let messages = messages.collect();
        page(request, &self.origin, messages)
    }

    pub(super) fn get_message(&mut self, user: &str, id: &str, request: &Request) -> Answer {
        match self.mailbox(user).message(id) {
            Some(message) => Answer::json(200, &select(request, describe(message, request))),
            None => not_found(),
        }
    }

    pub(super) fn delete_message(&mut self, user: &str, id: &str, for_good: bool) -> Answer {
        let mailbox = self.mailbox(user);
        let bin = mailbox.top_folders("Deleted Items").next().unwrap().id.clone();
        let Some(message) = mailbox.message(id) else { return not_found() };
        if for_good {
            mailbox.messages.retain(|message| message.id != id);
        } else {
            message.folder = bin;
        }
        Answer::empty(204)
    }

    pub(super) fn list_attachments(&mut self, user: &str, id: &str, request: &Request) -> Answer {
        let Some(message) = self.mailbox(user).message(id) else { return not_found() };
        // The size that Exchange reports counts what it adds itself.
        let files = message.attachments.iter().map(|file| {
            json!({
                "@odata.type": "#microsoft.graph.fileAttachment", "id": file.id, "name": file.name,
                "contentType": file.content_type, "size": file.bytes.len() + 370, "isInline": file.is_inline,
            })
        });
        let files = files.collect();
        page(request, &self.origin, files)
    }

    pub(super) fn get_attachment(&mut self, user: &str, id: &str, file: &str) -> Answer {
        let file = self
            .mailbox(user)
            .message(id)
            .and_then(|message| message.attachments.iter().find(|known| known.id == file));
        file.map_or_else(not_found, |file| Answer::bytes(file.bytes.clone()))
    }
}

pub(super) fn not_found() -> Answer {
    Answer::error(404, "ErrorItemNotFound", "The specified object was not found in the store.")
}

/// A message as Graph describes it; of the extended properties only what `$expand` asks for, one at a time.
pub(super) fn describe(message: &StoredMessage, request: &Request) -> Value {
    let mut described = json!({
        "id": message.id, "parentFolderId": message.folder, "isDraft": message.is_draft, "isRead": message.is_read,
        "sentDateTime": message.sent.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "receivedDateTime": message.received.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "internetMessageId": message.message_id, "subject": message.subject,
        "body": { "contentType": "html", "content": tidy(&message.html) },
        "from": message.from, "toRecipients": message.to, "hasAttachments": !message.attachments.is_empty(),
    });
    let expanded = request.query("$expand").and_then(|expand| {
        let filter = expand.strip_prefix("singleValueExtendedProperties($filter=")?.strip_suffix(')')?;
        let id = unquote(filter.strip_prefix("id eq ")?)?;
        let id = super::messages::normalised(&id)?;
        Some((message.properties.get(&id)?.clone(), id))
    });
    if let Some((value, id)) = expanded {
        described["singleValueExtendedProperties"] = json!([{ "id": id, "value": value }]);
    }
    described
}

/// The body as Exchange gives it back: with a head of its own.
fn tidy(html: &str) -> String {
    let head = "<html><head>\r\n<meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\">\r\n</head>";
    html.strip_prefix("<html>").map_or_else(|| html.to_owned(), |rest| format!("{head}{rest}"))
}
