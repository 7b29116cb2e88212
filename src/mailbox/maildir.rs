//! Mailboxes as Maildirs on the local disk.
