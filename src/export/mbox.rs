//! One mbox file, `messages.mbox`, of the `mboxrd` kind (RFC 4155, appendix A, and its successor on quoting): lines end
//! with LF, and every line that is `From ` after any number of `>` gets one `>` more, so that taking one off gives back
//! each message exactly.

use std::io::Write;
use std::path::Path;

use super::error::{ExportError, at};
use super::output::{ExportedFile, Output};
use crate::convert::Message;

#[derive(Debug)]
pub(super) struct Mailbox {
    output: Output,
    messages: Vec<String>,
}

impl Mailbox {
    pub(super) fn create(folder: &Path) -> Result<Self, ExportError> {
        Ok(Self { output: Output::create(folder, "messages.mbox".to_owned())?, messages: Vec::new() })
    }

    pub(super) fn add(&mut self, message: &Message) -> Result<(), ExportError> {
        self.messages.push(message.mail.message_id.to_string());
        let written = write_message(&mut self.output, message);
        written.map_err(at(self.output.path()))
    }

    /// The file, and the Message-IDs that are in it.
    pub(super) fn finish(self) -> Result<(ExportedFile, Vec<String>), ExportError> {
        Ok((self.output.finish()?, self.messages))
    }
}

/// The `From ` line with sender and UTC time, the message, and the empty line that ends it.
fn write_message(output: &mut impl Write, message: &Message) -> std::io::Result<()> {
    let mail = &message.mail;
    writeln!(output, "From {} {}", mail.from.address, mail.date.format("%a %b %e %H:%M:%S %Y"))?;
    for line in message.mime().split_inclusive(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r\n").unwrap_or(line);
        if is_quoted(line) {
            output.write_all(b">")?;
        }
        output.write_all(line)?;
        output.write_all(b"\n")?;
    }
    output.write_all(b"\n")
}

fn is_quoted(line: &[u8]) -> bool {
    let marks = line.iter().take_while(|&&byte| byte == b'>').count();
    line.get(marks..).is_some_and(|rest| rest.starts_with(b"From "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_lines_are_quoted_once_more() {
        for line in ["From x", ">From x", ">>>From x"] {
            assert!(is_quoted(line.as_bytes()), "{line}");
        }
        for line in ["from x", "From: x", "> From x", "From", "", " From x"] {
            assert!(!is_quoted(line.as_bytes()), "{line}");
        }
    }
}
