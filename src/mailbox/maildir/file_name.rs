//! Names of the files of messages: `<time>.<message id>.whatsapp-archiver,S=<size>:2,S`.
//!
//! The name is a function of the message, so that a message delivered again meets itself. Mail programs change what
//! stands behind the colon (flags) and the directory, and may append to the part before it; they keep the rest.

use std::ffi::OsStr;

use crate::convert::Mail;
use crate::identity::MessageId;

/// Where other software puts its host name: marks our files.
const HOST: &str = "whatsapp-archiver";

/// The unique part of the file name of a message of `size` bytes.
pub(super) fn unique_part(mail: &Mail, size: u64) -> String {
    let seconds = mail.date.timestamp().max(0);
    format!("{seconds}.{}.{HOST},S={size}", mail.message_id.local_part())
}

/// The file name in `cur`: version 2 of the information, flag S (seen).
pub(super) fn seen(unique: &str) -> String {
    format!("{unique}:2,S")
}

/// The unique part of a file name: what stands before the colon.
pub(super) fn unique_part_of(name: &OsStr) -> String {
    let name = name.to_string_lossy();
    name.split_once(':').map_or(&*name, |(unique, _)| unique).to_owned()
}

/// The Message-ID in a name of ours; `None` where the name is somebody else's.
pub(super) fn message_id(name: &OsStr) -> Option<MessageId> {
    let (_seconds, rest) = name.to_str()?.split_once('.')?;
    let (local_part, host) = rest.split_once('.')?;
    let (host, _) = host.split_once([',', ':']).unwrap_or((host, ""));
    (host == HOST).then(|| MessageId::from_local_part(local_part)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_whatever_a_mail_program_adds() {
        let id = MessageId::from_local_part("0123456789abcdef0123456789abcdef").unwrap();
        for name in [
            "1763700000.0123456789abcdef0123456789abcdef.whatsapp-archiver,S=12:2,S",
            "1763700000.0123456789abcdef0123456789abcdef.whatsapp-archiver,S=12,W=14:2,FRSa",
            "1763700000.0123456789abcdef0123456789abcdef.whatsapp-archiver,S=12",
            "1763700000.0123456789abcdef0123456789abcdef.whatsapp-archiver:2,",
        ] {
            assert_eq!(message_id(OsStr::new(name)), Some(id.clone()), "{name}");
        }
        for name in [
            "1763700000.R123.host:2,S",
            "1763700000.0123456789abcdef0123456789abcdef.other,S=12:2,S",
            "1763700000.0123456789ABCDEF0123456789ABCDEF.whatsapp-archiver:2,S",
            "whatsapp-archiver",
            "",
        ] {
            assert_eq!(message_id(OsStr::new(name)), None, "{name}");
        }
    }
}
