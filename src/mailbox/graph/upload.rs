//! A file for a message that is there already: in one POST, or piece by piece through an upload session.

use std::ops::Range;

use bytes::Bytes;
use reqwest::{StatusCode, Url};
use serde::{Deserialize, Serialize};

use super::calls::Calls;
use super::fault;
use super::payload::{FileAttachment, SESSION_FROM, to_json};
use crate::convert::MailAttachment;
use crate::graph::{Call, CallError, read};
use crate::http::Reply;
use crate::mailbox::{ImportError, RemoteId, SendPermit};
use crate::resolution::MailboxId;

/// The permission that adding to a finished message needs, from 2027 at the latest.
pub(super) const PERMISSION: &str = "Mail.ReadWrite (and Mail-Advanced.ReadWrite.All from 2027)";
/// The size of a piece, in bytes: a multiple of 320 KiB, below the 4 MB that a session takes at once.
const PIECE_BYTES: usize = 12 * 320 * 1024;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewSession<'a> {
    #[serde(rename = "AttachmentItem")]
    item: AttachmentItem<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AttachmentItem<'a> {
    attachment_type: &'static str,
    name: &'a str,
    size: usize,
    content_type: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_inline: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_id: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Session {
    upload_url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Progress {
    #[serde(default)]
    next_expected_ranges: Vec<String>,
}

/// The files that a mailbox refuses for good, and why.
#[derive(Debug, Default)]
pub(super) struct Refused(Vec<String>);

impl Refused {
    /// What became of the message that they belong to.
    pub(super) fn outcome(self, remote: RemoteId) -> Result<RemoteId, ImportError> {
        if self.0.is_empty() {
            return Ok(remote);
        }
        Err(ImportError::Incomplete { remote, detail: self.0.join("; ") })
    }
}

/// Adds files to a message, except those that the mailbox refuses for what they are.
pub(super) async fn attach_all<'a>(
    calls: &Calls,
    mailbox: &MailboxId,
    message: &str,
    files: impl IntoIterator<Item = &'a MailAttachment>,
    permit: &SendPermit,
) -> Result<Refused, CallError> {
    let mut refused = Vec::new();
    for file in files {
        match attach(calls, mailbox, message, file, permit).await {
            Ok(()) => {}
            Err(error) if fault::is_file_refused(&error) => refused.push(format!("{:?}: {error}", file.name)),
            Err(error) => return Err(error),
        }
    }
    Ok(Refused(refused))
}

/// Adds `file` to a message.
async fn attach(
    calls: &Calls,
    mailbox: &MailboxId,
    message: &str,
    file: &MailAttachment,
    permit: &SendPermit,
) -> Result<(), CallError> {
    if file.bytes.len() < SESSION_FROM {
        return post(calls, mailbox, message, file, permit).await;
    }
    let url = match open(calls, mailbox, message, file, permit).await {
        Ok(url) => url,
        Err(error) if error.is("ErrorAttachmentSizeShouldNotBeLessThanMinimumSize") => {
            return post(calls, mailbox, message, file, permit).await;
        }
        Err(error) => return Err(error),
    };
    let result = send_pieces(calls, mailbox, &url, &file.bytes, permit).await;
    if matches!(&result, Err(CallError::Refused(_) | CallError::Unexpected(_) | CallError::NotSent(_))) {
        // A courtesy: an abandoned session ends by itself.
        if let Err(error) = calls.call(mailbox, &Call::cancel(url)).await {
            tracing::debug!(event = "upload_not_ended", mailbox = %mailbox, error = %error, "an upload session could not be ended");
        }
    }
    result
}

async fn post(
    calls: &Calls,
    mailbox: &MailboxId,
    message: &str,
    file: &MailAttachment,
    permit: &SendPermit,
) -> Result<(), CallError> {
    let url = calls.url(mailbox, &["messages", message, "attachments"], &[])?;
    let json = to_json(&FileAttachment::of(file));
    // The reply repeats the whole file.
    let largest_reply = 2 * json.len() as u64 + 65_536;
    let call = Call::post(url, json.into()).with_largest_reply(largest_reply).only_with(permit);
    calls.call_patiently(mailbox, &call, permit).await?;
    Ok(())
}

async fn open(
    calls: &Calls,
    mailbox: &MailboxId,
    message: &str,
    file: &MailAttachment,
    permit: &SendPermit,
) -> Result<Url, CallError> {
    let url = calls.url(mailbox, &["messages", message, "attachments", "createUploadSession"], &[])?;
    let session = NewSession {
        item: AttachmentItem {
            attachment_type: "file",
            name: &file.name,
            size: file.bytes.len(),
            content_type: &file.content_type,
            is_inline: file.content_id.is_some(),
            content_id: file.content_id.as_deref(),
        },
    };
    let call = Call::post(url, to_json(&session).into()).only_with(permit);
    let reply = calls.call_patiently(mailbox, &call, permit).await?;
    let session: Session = read(&reply)?;
    Url::parse(&session.upload_url).map_err(|_| CallError::Unexpected("an upload session without a URL".to_owned()))
}

/// Sends the pieces in order, each where the session expects it.
async fn send_pieces(
    calls: &Calls,
    mailbox: &MailboxId,
    url: &Url,
    bytes: &Bytes,
    permit: &SendPermit,
) -> Result<(), CallError> {
    let total = bytes.len();
    let mut start = 0;
    while start < total {
        let piece = start..total.min(start + PIECE_BYTES);
        let range = format!("bytes {}-{}/{total}", piece.start, piece.end - 1);
        let call = Call::put_range(url.clone(), bytes.slice(piece.clone()), &range).only_with(permit);
        let reply = calls.call_patiently(mailbox, &call, permit).await?;
        match next_start(&reply, &piece, total)? {
            Some(next) => start = next,
            None => return Ok(()),
        }
    }
    Err(CallError::Unexpected("an upload session that took all bytes and did not end".to_owned()))
}

/// Where the next piece begins; `None` where the file is complete.
fn next_start(reply: &Reply, sent: &Range<usize>, total: usize) -> Result<Option<usize>, CallError> {
    if reply.status == StatusCode::CREATED {
        let ended_early = || CallError::Unexpected("an upload session that ended before the file did".to_owned());
        return if sent.end == total { Ok(None) } else { Err(ended_early()) };
    }
    let progress: Progress = read(reply)?;
    let Some(range) = progress.next_expected_ranges.first() else {
        // A last piece is answered without ranges by some versions.
        return if sent.end == total { Ok(None) } else { Ok(Some(sent.end)) };
    };
    let digits: String = range.chars().take_while(char::is_ascii_digit).collect();
    match digits.parse::<usize>() {
        // Going on from within the piece is possible; going back, or over a gap, is not.
        Ok(next) if next > sent.start && next <= sent.end => Ok(Some(next)),
        _ => Err(CallError::Unexpected(format!(
            "an upload session that expects {} after bytes {}-{}",
            if digits.is_empty() { "no place that can be read" } else { &digits },
            sent.start,
            sent.end - 1
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scrub::Scrubber;

    fn next(status: u16, body: &str, sent: Range<usize>) -> Result<Option<usize>, CallError> {
        let status = StatusCode::from_u16(status).unwrap();
        let reply = Reply {
            status,
            headers: reqwest::header::HeaderMap::new(),
            body: body.to_owned().into(),
            sent: Scrubber::default(),
        };
        next_start(&reply, &sent, 100)
    }

    #[test]
    fn the_session_says_where_to_go_on() {
        for body in [r#"{"nextExpectedRanges":["40"]}"#, r#"{"nextExpectedRanges":["40-99"]}"#, "{}"] {
            assert_eq!(next(200, body, 0..40).unwrap(), Some(40), "{body}");
        }
        assert_eq!(next(200, r#"{"nextExpectedRanges":["20-"]}"#, 0..40).unwrap(), Some(20));
        assert_eq!(next(201, "", 80..100).unwrap(), None);
    }

    #[test]
    fn a_session_that_makes_no_progress_is_an_error() {
        assert!(next(200, r#"{"nextExpectedRanges":["0"]}"#, 0..40).is_err());
        assert!(next(200, r#"{"nextExpectedRanges":["60"]}"#, 0..40).is_err());
        assert!(next(200, r#"{"nextExpectedRanges":["x"]}"#, 0..40).is_err());
        assert!(next(201, "", 0..40).is_err());
    }
}
