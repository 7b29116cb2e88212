//! The IMAP door against a scripted server.
