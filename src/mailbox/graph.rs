//! Mailboxes of Exchange Online, through Microsoft Graph.
