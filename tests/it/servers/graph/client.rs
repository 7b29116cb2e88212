//! The program's own parts, connected to the server.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use whatsapp_archiver::clock::{ManualClock, SharedClock};
use whatsapp_archiver::graph::Graph;
use whatsapp_archiver::http::{HttpClient, HttpOptions};
use whatsapp_archiver::mailbox::graph::{GraphMailboxes, GraphSettings, Method};
use whatsapp_archiver::resolution::{Mailbox, MailboxId};
use whatsapp_archiver::resolve::users::graph::{GraphUsers, GraphUsersSettings};
use whatsapp_archiver::secret::SecretReader;
use whatsapp_archiver::sign_in::{Cloud, Credential, Endpoints, SignIn, SignInSettings};
use whatsapp_archiver::throttle::{Limits, Throttle};

use super::{CLIENT_ID, CLIENT_SECRET, GraphServer, TENANT};

/// A time to begin at.
pub(crate) fn start_time() -> DateTime<Utc> {
    "2026-11-22T02:00:00Z".parse().unwrap()
}

/// The settings that an administrator has who states none, but for the method.
pub(crate) fn settings(method: Method) -> GraphSettings {
    GraphSettings {
        folder: "WhatsApp Archiver".to_owned(),
        method,
        settle: Duration::from_mins(2),
        message_class: Some("IPM.ExternalData.WhatsAppArchiver".to_owned()),
    }
}

/// The same of the user directory.
pub(crate) const USERS_SETTINGS: GraphUsersSettings =
    GraphUsersSettings { cache: Duration::from_hours(12), negative_cache: Duration::from_mins(15) };

/// A server, and everything that is needed to talk to it. They share a clock.
pub(crate) struct Connection {
    pub(crate) server: GraphServer,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) cloud: Cloud,
    pub(crate) limits: Limits,
}

impl Connection {
    /// With a clock that every wait moves on.
    pub(crate) fn new() -> Self {
        Self::with_clock(ManualClock::self_moving(start_time()))
    }

    /// With a clock that the test moves.
    pub(crate) fn standing() -> Self {
        Self::with_clock(ManualClock::standing(start_time()))
    }

    fn with_clock(clock: ManualClock) -> Self {
        let clock = Arc::new(clock);
        let server = GraphServer::start_at(Arc::<ManualClock>::clone(&clock));
        Self { server, clock, cloud: Cloud::Global, limits: Limits::default() }
    }

    pub(crate) fn clock(&self) -> SharedClock {
        Arc::<ManualClock>::clone(&self.clock)
    }

    pub(crate) fn endpoints(&self) -> Endpoints {
        Endpoints::new(self.cloud, Some(self.server.origin()), Some(self.server.origin())).unwrap()
    }

    /// A sign-in with the right secret.
    pub(crate) fn sign_in(&self) -> Arc<SignIn> {
        self.sign_in_by(Credential::ClientSecret(secret(CLIENT_SECRET)))
    }

    pub(crate) fn sign_in_by(&self, credential: Credential) -> Arc<SignIn> {
        let settings = SignInSettings {
            endpoints: self.endpoints(),
            tenant_id: TENANT.to_owned(),
            client_id: CLIENT_ID.to_owned(),
            credential,
        };
        Arc::new(SignIn::new(settings, http(), self.clock()))
    }

    pub(crate) fn graph(&self) -> Graph {
        Graph::new(http(), self.sign_in(), self.clock())
    }

    pub(crate) fn throttle(&self) -> Arc<Throttle> {
        Arc::new(Throttle::new(self.limits, self.clock()))
    }

    /// A destination with the ordinary settings.
    pub(crate) fn destination(&self) -> GraphMailboxes {
        self.destination_with(settings(Method::CreateMessage))
    }

    pub(crate) fn destination_with(&self, settings: GraphSettings) -> GraphMailboxes {
        GraphMailboxes::new(self.graph(), self.throttle(), settings)
    }

    /// A directory with the ordinary settings.
    pub(crate) fn users(&self) -> GraphUsers {
        GraphUsers::new(self.graph(), None, USERS_SETTINGS, self.clock())
    }

    /// A new user's mailbox.
    pub(crate) fn mailbox(&self, name: &str) -> Mailbox {
        let id = self.server.add_user(name);
        Mailbox { id: MailboxId(id), address: format!("{name}@contoso.example") }
    }
}

/// A client with the ordinary options.
pub(crate) fn http() -> HttpClient {
    HttpClient::build(&HttpOptions::default()).unwrap()
}

/// A secret that is always the same.
pub(crate) fn secret(text: &str) -> SecretReader {
    let text = text.to_owned();
    Arc::new(move || Ok(text.clone().into()))
}
