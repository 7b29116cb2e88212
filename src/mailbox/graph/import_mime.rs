//! A message as MIME, through the beta's `importMime`; through create-message where it is too large for that.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::StatusCode;

use super::created::Created;
use super::{GraphMailboxes, Method, SendError, Sent, fault};
use crate::convert::Message;
use crate::graph::{Call, CallError, Version, read};
use crate::http::Reply;
use crate::mailbox::{RemoteId, SendPermit};
use crate::resolution::MailboxId;

impl GraphMailboxes {
    /// Imports the MIME form of a message into `folder`.
    pub(super) async fn import_mime(
        &self,
        mailbox: &MailboxId,
        folder: &str,
        message: &Message,
        permit: &SendPermit,
    ) -> Result<Sent, SendError> {
        let permission = Method::ImportMime.permission();
        let reply = match self.post_mime(mailbox, folder, message, permit).await {
            Ok(reply) => reply,
            Err(CallError::Refused(refusal)) if refusal.status == StatusCode::PAYLOAD_TOO_LARGE => {
                tracing::info!(
                    event = "import_mime_too_large",
                    mailbox = %mailbox,
                    message_bytes = message.mime().len(),
                    error = %refusal,
                    "too large for import-mime; it is created as properties instead"
                );
                let id = self.create_message(mailbox, folder, message, permit).await?;
                return Ok(Sent { id, method: Method::CreateMessage });
            }
            Err(error) if fault::is_folder_gone(&error) => {
                return Err(SendError::FolderGone(fault::of_write(&error, permission)));
            }
            Err(error) => return Err(fault::of_write(&error, permission).into()),
        };
        let created: Created = read(&reply).map_err(|error| fault::of_write(&error, permission))?;
        created.check(&self.calls, mailbox, &message.mail).await?;
        Ok(Sent { id: RemoteId(created.id), method: Method::ImportMime })
    }

    async fn post_mime(
        &self,
        mailbox: &MailboxId,
        folder: &str,
        message: &Message,
        permit: &SendPermit,
    ) -> Result<Reply, CallError> {
        let url = self.calls.url_of(Version::Beta, mailbox, &["mailFolders", folder, "importMime"], &[])?;
        let mime = STANDARD.encode(message.mime());
        self.calls.call(mailbox, &Call::post_text(url, mime.into()).only_with(permit)).await
    }
}
