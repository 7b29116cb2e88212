//! A message as properties: one POST, its reply checked, then the files that were too large to go along.

use bytes::Bytes;
use reqwest::StatusCode;

use super::created::Created;
use super::payload::{Form, Plan, SESSION_FROM, files_of};
use super::{GraphMailboxes, PERMISSION, SendError, fault, upload};
use crate::convert::Message;
use crate::graph::{Call, CallError, read};
use crate::http::Reply;
use crate::mailbox::{ImportError, RemoteId, SendPermit};
use crate::resolution::MailboxId;

impl GraphMailboxes {
    /// Creates a message in `folder`.
    pub(super) async fn create_message(
        &self,
        mailbox: &MailboxId,
        folder: &str,
        message: &Message,
        permit: &SendPermit,
    ) -> Result<RemoteId, SendError> {
        self.refuse_what_this_cloud_can_not_take(message)?;
        let (reply, apart) = self.post(mailbox, folder, message, permit).await?;
        let created: Created = read(&reply).map_err(|error| fault::of_write(&error, PERMISSION))?;
        created.check(&self.calls, mailbox, &message.mail).await?;
        let files = apart.iter();
        let refused = upload::attach_all(&self.calls, mailbox, &created.id, files, permit).await;
        let refused = refused.map_err(|error| fault::of_completion(&error, upload::PERMISSION))?;
        refused.outcome(RemoteId(created.id)).map_err(SendError::from)
    }

    /// The POST, in the fullest form that the mailbox takes; with it the files that must follow.
    async fn post(
        &self,
        mailbox: &MailboxId,
        folder: &str,
        message: &Message,
        permit: &SendPermit,
    ) -> Result<(Reply, Vec<crate::convert::MailAttachment>), SendError> {
        let mut form = Form {
            message_class: self.settings.message_class.as_deref(),
            foreign_from: !self.takes_own_from_only(mailbox),
            inline: true,
        };
        loop {
            let plan = Plan::of(&message.mail, form).map_err(|error| ImportError::Rejected(error.to_string()))?;
            let error = match self.post_json(mailbox, folder, plan.json.clone(), permit).await {
                Ok(reply) => return Ok((reply, plan.apart)),
                Err(error) => error,
            };
            // Each of the two is given up once, so this ends.
            if form.foreign_from && error.is("ErrorSendAsDenied") {
                tracing::warn!(
                    event = "foreign_from_refused",
                    mailbox = %mailbox,
                    error = %error,
                    "the mailbox accepts no sender but its own; the sender is only in the transport headers"
                );
                self.remember_own_from_only(mailbox);
                form.foreign_from = false;
            } else if form.inline && plan.has_inline && is_too_large(&error) {
                form.inline = false;
            } else if fault::is_folder_gone(&error) {
                return Err(SendError::FolderGone(fault::of_write(&error, PERMISSION)));
            } else {
                return Err(fault::of_write(&error, PERMISSION).into());
            }
        }
    }

    async fn post_json(
        &self,
        mailbox: &MailboxId,
        folder: &str,
        json: Bytes,
        permit: &SendPermit,
    ) -> Result<Reply, CallError> {
        let url = self.calls.url(mailbox, &["mailFolders", folder, "messages"], &[])?;
        self.calls.call(mailbox, &Call::post(url, json).only_with(permit)).await
    }

    /// Said before anything is made: half a message can't be taken back by a crash.
    fn refuse_what_this_cloud_can_not_take(&self, message: &Message) -> Result<(), ImportError> {
        let cloud = self.calls.graph().endpoints().cloud();
        if cloud.has_upload_sessions() {
            return Ok(());
        }
        // A text that is too large for one request becomes a file too.
        match files_of(&message.mail).iter().find(|file| file.bytes.len() >= SESSION_FROM) {
            Some(file) => Err(ImportError::Rejected(format!(
                "{:?} has {} bytes, and Graph takes no more than {SESSION_FROM} in the cloud {cloud}; \
                 set mailbox.kind = \"imap\" there",
                file.name,
                file.bytes.len()
            ))),
            None => Ok(()),
        }
    }
}

fn is_too_large(error: &CallError) -> bool {
    error.refusal().is_some_and(|refusal| refusal.status == StatusCode::PAYLOAD_TOO_LARGE)
}
