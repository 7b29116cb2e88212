//! Mailboxes of an IMAP server.
