//! Files for messages that are there: posted, or uploaded piece by piece.

use serde_json::json;

use super::World;
use super::http::{Answer, Request};
use super::mailbox::not_found;
use super::world::{StoredAttachment, UploadSession};

/// A larger piece, or a larger posted file, is refused, in bytes.
const MAX_PIECE: usize = 4 * 1024 * 1024;

impl World {
    /// The refusal of a change to a message that is no draft, where that needs another permission.
    pub(super) fn may_change(&mut self, user: &str, id: &str, roles: &[&str]) -> Option<Answer> {
        let is_draft = self.mailbox(user).message(id).is_none_or(|message| message.is_draft);
        let refused = self.changes_need_advanced && !is_draft && !roles.contains(&"Mail-Advanced.ReadWrite.All");
        refused.then(|| Answer::error(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again."))
    }

    pub(super) fn post_attachment(&mut self, user: &str, id: &str, request: &Request) -> Answer {
        if request.body.len() > MAX_PIECE {
            return Answer::error(413, "RequestEntityTooLarge", "The request is too large.");
        }
        let file = match self.read_attachment(&request.json().unwrap_or_default()) {
            Ok(file) => file,
            Err(answer) => return answer,
        };
        let Some(message) = self.mailbox(user).message(id) else { return not_found() };
        let answer = Answer::json(201, &json!({ "id": file.id, "name": file.name }));
        message.attachments.push(file);
        answer
    }

    pub(super) fn create_session(&mut self, user: &str, id: &str, request: &Request) -> Answer {
        if self.mailbox(user).message(id).is_none() {
            return not_found();
        }
        let body = request.json().unwrap_or_default();
        let item = &body["AttachmentItem"];
        let size = item["size"].as_u64().and_then(|size| usize::try_from(size).ok());
        let (Some(size), Some(name), "file") =
            (size, item["name"].as_str(), item["attachmentType"].as_str().unwrap_or_default())
        else {
            return Answer::error(400, "ErrorInvalidRequest", "The attachment item is invalid.");
        };
        if size < self.smallest_session {
            let code = "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize";
            return Answer::error(400, code, "Attachment size should be greater than the minimum size.");
        }
        let session = self.new_id("session");
        let started = UploadSession {
            mailbox: user.to_owned(),
            message: id.to_owned(),
            name: name.to_owned(),
            content_type: item["contentType"].as_str().unwrap_or_default().to_owned(),
            size,
            bytes: Vec::new(),
        };
        self.sessions.insert(session.clone(), started);
        let url = format!("{}/upload/{session}?authtoken=secret", self.origin);
        let expires = (self.now() + chrono::TimeDelta::days(1)).to_rfc3339();
        let body = json!({ "uploadUrl": url, "expirationDateTime": expires, "nextExpectedRanges": ["0-"] });
        Answer::json(201, &body)
    }

    /// A piece of a file, or the end of a session.
    pub(super) fn upload(&mut self, request: &Request) -> Answer {
        if request.header("authorization").is_some() {
            self.violations.push(format!("a token with {} {}", request.method, request.path));
            return Answer::error(401, "InvalidAuthenticationToken", "The URL is the permission.");
        }
        let Some(key) = request.segments.get(1).cloned().filter(|key| self.sessions.contains_key(key)) else {
            return not_found();
        };
        if request.method == "DELETE" {
            self.sessions.remove(&key);
            return Answer::empty(204);
        }
        let session = self.sessions.get_mut(&key).unwrap();
        let next = session.bytes.len();
        let expected = format!("bytes {next}-{}/{}", next + request.body.len() - 1, session.size);
        if request.method != "PUT" || request.header("content-range") != Some(expected.as_str()) {
            return Answer::error(416, "InvalidContentRange", &format!("{expected} was expected."));
        }
        if request.body.len() > MAX_PIECE {
            return Answer::error(413, "RequestEntityTooLarge", "The piece is too large.");
        }
        session.bytes.extend_from_slice(&request.body);
        if session.bytes.len() < session.size {
            return Answer::json(200, &json!({ "nextExpectedRanges": [session.bytes.len().to_string()] }));
        }
        let session = self.sessions.remove(&key).unwrap();
        let id = self.new_id("file");
        let location =
            format!("{}/v1.0/users/{}/messages/{}/attachments/{id}", self.origin, session.mailbox, session.message);
        let file = StoredAttachment {
            id,
            name: session.name,
            content_type: session.content_type,
            bytes: session.bytes,
            is_inline: false,
        };
        let Some(message) = self.mailbox(&session.mailbox).message(&session.message) else { return not_found() };
        message.attachments.push(file);
        Answer::empty(201).with("location", location)
    }
}
