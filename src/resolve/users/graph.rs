//! The user directory of Microsoft Graph.
