//! Microsoft Graph on the wire.
