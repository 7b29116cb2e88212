//! Media types.

/// A message as a file (RFC 2046, 5.2.1).
pub(super) const RFC822: &str = "message/rfc822";
