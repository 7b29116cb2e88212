//! The live self-test of a mailbox.
