//! Where copies go: Maildirs, a real Dovecot, or Graph on the wire in either of its ways.

use std::path::Path;
use std::sync::Arc;

use crate::oracle::{self, Mailboxes};
use crate::servers::dovecot::{self, Dovecot, DovecotOptions};
use crate::servers::graph::{CLIENT_ID, CLIENT_SECRET, GraphServer, TENANT, UserSpec};

/// Where copies go.
pub(super) enum Town {
    Maildirs,
    /// A server that others may share, and the port by which the program reaches it.
    Dovecot {
        server: Arc<Dovecot>,
        port: u16,
    },
    Graph {
        server: GraphServer,
        method: &'static str,
    },
}

/// How long the program waits before it believes that a copy isn't there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settle {
    pub(super) dovecot: &'static str,
    pub(super) graph: &'static str,
}

impl Town {
    pub(super) fn new_dovecot() -> Arc<Dovecot> {
        Arc::new(Dovecot::start(&DovecotOptions::default()))
    }

    /// A Dovecot without anything in between.
    pub(super) fn dovecot(server: &Arc<Dovecot>) -> Self {
        Self::Dovecot { server: Arc::clone(server), port: server.port }
    }

    /// A tenant; `method` is that of `mailbox.method`.
    pub(super) fn graph(server: GraphServer, method: &'static str) -> Self {
        server.with(|world| world.login.roles.push("Mail-Advanced.ReadWrite.All"));
        Self::Graph { server, method }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Maildirs => "maildir",
            Self::Dovecot { .. } => "dovecot",
            Self::Graph { method, .. } => method,
        }
    }

    /// The tenant.
    pub(super) fn tenant(&self) -> &GraphServer {
        let Self::Graph { server, .. } = self else { panic!("{} is no tenant", self.name()) };
        server
    }

    /// Gives these people mailboxes, and writes what the configuration refers to.
    pub(super) fn move_in(&self, directory: &Path, addresses: &[String]) {
        let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
        write("users.csv", &format!("address\n{}\n", addresses.join("\n")));
        write("imap-password", dovecot::PASSWORD);
        write("client-secret", CLIENT_SECRET);
        if let Self::Graph { server, .. } = self {
            for address in addresses {
                let name = address.split_once('@').unwrap().0;
                server.with(|world| world.add_user(UserSpec::named(name)));
            }
        }
    }

    /// The sections of the configuration.
    pub(super) fn sections(&self, settle: Settle) -> String {
        let list = "[users]\nkind = \"list\"\npath = \"users.csv\"\n";
        match self {
            Self::Maildirs => format!("{list}[mailbox]\nkind = \"maildir\"\npath = \"mailboxes/\"\n"),
            Self::Dovecot { port, .. } => format!(
                "{list}[mailbox]\nkind = \"imap\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\nauth = \"password\"\n\
                 password = {{ file = \"imap-password\" }}\nsettle = \"{}\"\n",
                settle.dovecot
            ),
            Self::Graph { server, method } => format!(
                "[users]\nkind = \"graph\"\n[microsoft]\ntenant_id = \"{TENANT}\"\nclient_id = \"{CLIENT_ID}\"\n\
                 client_secret = {{ file = \"client-secret\" }}\nlogin_url = \"{origin}\"\ngraph_url = \"{origin}\"\n\
                 [mailbox]\nkind = \"graph\"\nmethod = \"{method}\"\nsettle = \"{}\"\n",
                settle.graph,
                origin = server.origin(),
            ),
        }
    }

    /// All that is in the mailboxes.
    pub(super) fn read(&self, directory: &Path, addresses: &[String]) -> Mailboxes {
        match self {
            Self::Maildirs => oracle::read_maildirs(&directory.join("mailboxes")),
            Self::Dovecot { server, .. } => oracle::read_dovecot(server.port, addresses),
            Self::Graph { server, .. } => oracle::read_graph(server),
        }
    }
}
