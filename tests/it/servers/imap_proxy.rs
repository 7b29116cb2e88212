//! A network between a client and an IMAP server, which loses what it is told to lose.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinSet;

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// All goes through.
    Works,
    /// The answer to an APPEND is lost, and the connection with it.
    LosesAnswers,
    /// The connection breaks after a part of a message.
    LosesMessages,
    /// There is no connection.
    Down,
}

/// What the network does, and for how many connections.
#[derive(Debug, Clone, Copy)]
struct State {
    network: Network,
    breaks: usize,
}

impl State {
    /// Whether a connection is broken in this way; counts it.
    fn takes(&mut self, way: Network) -> bool {
        let takes = self.network == way && self.breaks > 0;
        if takes && self.breaks != usize::MAX {
            self.breaks -= 1;
            if self.breaks == 0 {
                self.network = Network::Works;
            }
        }
        takes
    }
}

/// The network.
pub(crate) struct ImapProxy {
    /// Where the client connects.
    pub(crate) port: u16,
    network: Arc<Mutex<State>>,
    connections: Arc<AsyncMutex<JoinSet<()>>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl ImapProxy {
    /// A network in front of the server on `port`.
    pub(crate) async fn before(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let own_port = listener.local_addr().unwrap().port();
        let network = Arc::new(Mutex::new(State { network: Network::Works, breaks: usize::MAX }));
        let connections = Arc::new(AsyncMutex::new(JoinSet::new()));
        let (state, all) = (Arc::clone(&network), Arc::clone(&connections));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = Arc::clone(&state);
                if !state.lock().unwrap().takes(Network::Down) {
                    all.lock().await.spawn(carry(client, port, state));
                }
            }
        });
        Self { port: own_port, network, connections, accepting }
    }

    /// Changes what the network does, for connections that are there too. `Down` ends those.
    pub(crate) async fn set(&self, network: Network) {
        *self.network.lock().unwrap() = State { network, breaks: usize::MAX };
        if network == Network::Down {
            self.hang_up().await;
        }
    }

    /// Breaks so many connections in this way, then works.
    pub(crate) fn break_next(&self, network: Network, connections: usize) {
        *self.network.lock().unwrap() = State { network, breaks: connections };
    }

    /// How many connections nobody has lost yet.
    pub(crate) fn breaks_left(&self) -> usize {
        let state = self.network.lock().unwrap();
        if state.network == Network::Works || state.breaks == usize::MAX { 0 } else { state.breaks }
    }

    /// Ends the connections that are there.
    pub(crate) async fn hang_up(&self) {
        self.connections.lock().await.shutdown().await;
    }
}

impl Drop for ImapProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(client: TcpStream, port: u16, network: Arc<Mutex<State>>) {
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (mut sent, mut answered) = ([0; 16 * 1024], [0; 16 * 1024]);
    let (mut is_announced, mut is_appending) = (false, false);
    loop {
        tokio::select! {
            read = from_client.read(&mut sent) => {
                let Ok(length @ 1..) = read else { return };
                let bytes = &sent[..length];
                if let Some(half) = half_of_a_message(bytes, is_announced)
                    && network.lock().unwrap().takes(Network::LosesMessages)
                {
                    to_server.write_all(half).await.ok();
                    return;
                }
                is_announced = contains(bytes, b" APPEND ");
                is_appending |= is_announced;
                if to_server.write_all(bytes).await.is_err() { return }
            }
            read = from_server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                let bytes = &answered[..length];
                if is_appending && contains(bytes, b" OK ") && network.lock().unwrap().takes(Network::LosesAnswers) {
                    return;
                }
                if to_client.write_all(bytes).await.is_err() { return }
            }
        }
    }
}

/// The bytes up to a few of a message, where these have a message: after the APPEND that announces it, or at once where
/// that came before.
fn half_of_a_message(bytes: &[u8], is_announced: bool) -> Option<&[u8]> {
    const A_FEW: usize = 20;
    if is_announced {
        return bytes.get(..A_FEW);
    }
    let append = position(bytes, b" APPEND ")?;
    let line_end = append + position(&bytes[append..], b"\r\n")? + 2;
    bytes.get(..line_end + A_FEW)
}

fn contains(bytes: &[u8], sought: &[u8]) -> bool {
    position(bytes, sought).is_some()
}

fn position(bytes: &[u8], sought: &[u8]) -> Option<usize> {
    bytes.windows(sought.len()).position(|window| window == sought)
}
