//! What a server says that it can do.

use std::collections::BTreeSet;

use imap_codec::imap_types::response::Capability;

/// The capabilities that are used when they are announced. None of them is needed.
#[derive(Debug, Clone, Default)]
pub(super) struct Abilities(BTreeSet<String>);

impl Abilities {
    /// What a list of capabilities amounts to.
    pub(super) fn of<'a>(announced: impl IntoIterator<Item = &'a Capability<'a>>) -> Self {
        Self(announced.into_iter().map(|capability| capability.to_string().to_ascii_uppercase()).collect())
    }

    /// Many messages in one APPEND, all or none of which arrive (RFC 3502).
    pub(super) fn multi_append(&self) -> bool {
        self.0.contains("MULTIAPPEND")
    }

    /// Whether a literal of `length` bytes may be sent without asking first (RFC 7888).
    pub(super) fn takes_unasked(&self, length: u64) -> bool {
        self.0.contains("LITERAL+") || (length <= 4096 && self.0.contains("LITERAL-"))
    }

    /// The server lists its namespaces (RFC 2342).
    pub(super) fn namespace(&self) -> bool {
        self.0.contains("NAMESPACE")
    }

    /// A sign-in's first answer may go with the command (RFC 4959).
    pub(super) fn sasl_ir(&self) -> bool {
        self.0.contains("SASL-IR")
    }

    /// TLS can begin (RFC 9051, 6.2.1).
    pub(super) fn start_tls(&self) -> bool {
        self.0.contains("STARTTLS")
    }

    /// LOGIN is refused.
    pub(super) fn login_disabled(&self) -> bool {
        self.0.contains("LOGINDISABLED")
    }

    /// Sign-in with PLAIN.
    pub(super) fn auth_plain(&self) -> bool {
        self.0.contains("AUTH=PLAIN")
    }

    /// Single messages can be expunged (RFC 4315).
    pub(super) fn uid_plus(&self) -> bool {
        self.0.contains("UIDPLUS")
    }

    /// The largest message, in bytes (RFC 7889).
    pub(super) fn append_limit(&self) -> Option<u64> {
        self.0.iter().find_map(|name| name.strip_prefix("APPENDLIMIT=")?.parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn abilities(names: &str) -> Abilities {
        let announced: Vec<Capability<'_>> = names.split(' ').map(|name| Capability::try_from(name).unwrap()).collect();
        Abilities::of(&announced)
    }

    #[test]
    fn dovecot_and_exchange_are_understood() {
        let dovecot = abilities("IMAP4rev1 LITERAL+ SASL-IR MULTIAPPEND UIDPLUS NAMESPACE AUTH=PLAIN");
        assert!(
            dovecot.multi_append() && dovecot.takes_unasked(1 << 20) && dovecot.namespace() && dovecot.auth_plain()
        );
        let exchange = abilities("IMAP4 IMAP4rev1 AUTH=XOAUTH2 SASL-IR UIDPLUS MOVE ID UNSELECT LITERAL+ NAMESPACE");
        assert!(
            !exchange.multi_append() && exchange.takes_unasked(1 << 20) && exchange.sasl_ir() && !exchange.auth_plain()
        );
    }

    #[test]
    fn short_literals_and_a_limit() {
        let some = abilities("IMAP4rev1 LITERAL- APPENDLIMIT=35882577 LOGINDISABLED STARTTLS");
        assert!(some.takes_unasked(4096) && !some.takes_unasked(4097));
        assert_eq!(some.append_limit(), Some(35_882_577));
        assert!(some.login_disabled() && some.start_tls());
        assert_eq!(abilities("IMAP4rev1 APPENDLIMIT").append_limit(), None);
    }
}
