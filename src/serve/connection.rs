//! Connections within bounds: HTTP/1.1 alone, so many at a time, so many of one peer, and a deadline for each part of
//! each request. A client that sends or takes nothing can't hold a place for long. A peer that has as many as it may loses
//! its oldest one to its next, and where all places are taken, the peer that has the most does: a probe always finds one.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock as _, SystemClock};

/// Connections at the same time, besides those of this machine.
const MAX_CONNECTIONS: usize = 256;

/// Connections of one peer at the same time; a further one takes the place of its oldest. A proxy's readers share its address,
/// and a probe may come from where others hold connections.
const MAX_CONNECTIONS_PER_PEER: usize = 64;

/// The largest head of a request, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// How long requests under way may take after the stop.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// Who is at the other end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadlines {
    /// From the connection, or the end of the last reply, to the end of a request's head.
    pub(super) head: Duration,
    /// From the end of a request's head to the end of its reply, or of the idle time after it.
    pub(super) exchange: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { head: Duration::from_secs(10), exchange: Duration::from_mins(5) }
    }
}

/// Serves connections until `stop` is cancelled, then ends those under way, within some seconds.
pub(super) async fn serve(listener: TcpListener, router: Router, deadlines: Deadlines, stop: CancellationToken) {
    let (slots, connections) = (ConnectionSlots::default(), TaskTracker::new());
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let slot = slots.take(peer.ip());
                connections.spawn(converse(stream, peer, slot, router.clone(), deadlines, stop.clone()));
            }
            Err(error) => outlast(&error).await,
        }
    }
    drop(listener);
    connections.close();
    tokio::select! {
        () = connections.wait() => {}
        () = SystemClock.sleep(SHUTDOWN_GRACE) => slots.cut_all(),
    }
}

/// A connection that failed before it was accepted is no matter; where nothing can be accepted, for want of file
/// descriptors, it is tried again soon.
async fn outlast(error: &io::Error) {
    let of_one_connection =
        [io::ErrorKind::ConnectionRefused, io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset];
    if !of_one_connection.contains(&error.kind()) {
        tracing::error!(event = "page_failed", error = %error, "connections to the status pages can't be accepted");
        SystemClock.sleep(Duration::from_secs(1)).await;
    }
}

/// Answers the requests of one connection.
async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    slot: ConnectionSlot,
    router: Router,
    deadlines: Deadlines,
    stop: CancellationToken,
) {
    let begun = watch::Sender::new(Instant::now());
    let requests = begun.subscribe();
    let service = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(Peer(peer)));
        begun.send_replace(Instant::now());
        service.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(deadlines.head)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut stopping = false;
    loop {
        let deadline = *requests.borrow() + deadlines.exchange;
        tokio::select! {
            _ = connection.as_mut() => return,
            () = slot.cut.cancelled() => return,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = tokio::time::sleep_until(deadline) => {
                // Another request may have begun meanwhile.
                if *requests.borrow() + deadlines.exchange <= Instant::now() {
                    return;
                }
            }
        }
    }
}

/// The address that a peer is counted by. Whoever has one IPv6 address has all of its network (RFC 6177).
pub(super) fn peer_key(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

/// The connections there are, by peer; each with what cuts it, the oldest first.
#[derive(Debug, Clone, Default)]
struct ConnectionSlots(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    last: u64,
    of_peers: HashMap<IpAddr, BTreeMap<u64, CancellationToken>>,
}

/// One connection, while it lasts.
#[derive(Debug)]
struct ConnectionSlot {
    slots: ConnectionSlots,
    peer: IpAddr,
    number: u64,
    cut: CancellationToken,
}

impl ConnectionSlots {
    /// A place for a further connection of a peer.
    fn take(&self, peer: IpAddr) -> ConnectionSlot {
        let peer = peer_key(peer);
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.of_peers.get_mut(&peer);
        if let Some(own) = own.filter(|own| own.len() >= MAX_CONNECTIONS_PER_PEER) {
            cut_oldest(own);
        } else if !peer.is_loopback() && taken.remote() >= MAX_CONNECTIONS {
            taken.cut_one();
        }
        taken.last += 1;
        let (number, cut) = (taken.last, CancellationToken::new());
        taken.of_peers.entry(peer).or_default().insert(number, cut.clone());
        ConnectionSlot { slots: self.clone(), peer, number, cut }
    }

    fn cut_all(&self) {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.of_peers.values().flat_map(BTreeMap::values).for_each(CancellationToken::cancel);
    }
}

impl Taken {
    /// How many connections other machines have.
    fn remote(&self) -> usize {
        self.of_peers.iter().filter(|(peer, _)| !peer.is_loopback()).map(|(_, connections)| connections.len()).sum()
    }

    /// Cuts the oldest connection of the machine that has the most.
    fn cut_one(&mut self) {
        let remote = self.of_peers.iter_mut().filter(|(peer, _)| !peer.is_loopback());
        let most = remote.max_by_key(|(_, connections)| connections.len());
        if let Some((_, connections)) = most {
            cut_oldest(connections);
        }
    }
}

fn cut_oldest(connections: &mut BTreeMap<u64, CancellationToken>) {
    if let Some((_, cut)) = connections.pop_first() {
        cut.cancel();
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut taken = self.slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connections) = taken.of_peers.get_mut(&self.peer) {
            connections.remove(&self.number);
            if connections.is_empty() {
                taken.of_peers.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn client(deadlines: Deadlines) -> TcpStream {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(async || "ok")).route("/form", post(async |body: String| body));
        tokio::spawn(serve(listener, router, deadlines, CancellationToken::new()));
        TcpStream::connect(address).await.unwrap()
    }

    async fn answered(client: &mut TcpStream) {
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut reply = [0; 256];
        let length = client.read(&mut reply).await.unwrap();
        assert!(reply[..length].starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&reply));
    }

    /// What still comes before the connection ends; a reset is an end too.
    async fn rest(client: &mut TcpStream) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest).await;
        rest
    }

    fn short() -> Deadlines {
        Deadlines { head: Duration::from_millis(50), exchange: Duration::from_hours(1) }
    }

    #[tokio::test]
    async fn every_head_has_its_deadline_and_so_has_idleness() {
        for half in [&b""[..], b"GET / HTTP/1.1\r\nHo"] {
            let mut client = client(short()).await;
            answered(&mut client).await;
            client.write_all(half).await.unwrap();
            assert!(!rest(&mut client).await.starts_with(b"HTTP/1.1 200"));
        }
    }

    #[tokio::test]
    async fn a_body_that_never_ends_does() {
        let deadlines = Deadlines { head: Duration::from_hours(1), exchange: Duration::from_millis(50) };
        let mut client = client(deadlines).await;
        client.write_all(b"POST /form HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf").await.unwrap();
        assert_eq!(rest(&mut client).await, b"");
    }

    #[tokio::test]
    async fn nothing_but_http_1_is_spoken() {
        let mut client = client(Deadlines::default()).await;
        // The preface of HTTP/2 and empty settings.
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").await.unwrap();
        let reply = rest(&mut client).await;
        assert!(reply.is_empty() || reply.starts_with(b"HTTP/1.1 4"), "{reply:?}");
    }

    #[test]
    fn a_peer_has_so_many_connections_and_its_next_displaces_its_oldest() {
        for one in [IpAddr::from([192, 0, 2, 1]), IpAddr::from([127, 0, 0, 1])] {
            let slots = ConnectionSlots::default();
            let mut taken: Vec<ConnectionSlot> = (0..MAX_CONNECTIONS_PER_PEER).map(|_| slots.take(one)).collect();
            taken.push(slots.take(IpAddr::from([192, 0, 2, 2])));
            let is_cut = |slot: &ConnectionSlot| slot.cut.is_cancelled();
            assert!(!taken.iter().any(is_cut));
            let probe = slots.take(one);
            assert!(!is_cut(&probe) && is_cut(&taken[0]) && !taken[1..].iter().any(is_cut));
            assert_eq!(slots.0.lock().unwrap().of_peers[&one].len(), MAX_CONNECTIONS_PER_PEER);
            drop((taken, probe));
            assert!(slots.0.lock().unwrap().of_peers.is_empty());
        }
    }

    #[tokio::test]
    async fn whoever_comes_is_answered_though_its_peer_holds_all_it_may() {
        let mut first = client(Deadlines::default()).await;
        let address = first.peer_addr().unwrap();
        answered(&mut first).await;
        let mut held = Vec::new();
        for _ in 0..MAX_CONNECTIONS_PER_PEER {
            held.push(TcpStream::connect(address).await.unwrap());
            // It is accepted before the next one comes.
            answered(held.last_mut().unwrap()).await;
        }
        assert_eq!(rest(&mut first).await, b"", "the oldest is cut");
        answered(&mut TcpStream::connect(address).await.unwrap()).await;
    }

    #[test]
    fn where_all_places_are_taken_the_greediest_peer_gives_one_up() {
        let (slots, here) = (ConnectionSlots::default(), IpAddr::from([127, 0, 0, 1]));
        let mut taken = Vec::new();
        for peer in 1..=5 {
            taken.extend((0..MAX_CONNECTIONS_PER_PEER).map(|_| slots.take(IpAddr::from([192, 0, 2, peer]))));
        }
        let cut = |slots: &[ConnectionSlot]| slots.iter().filter(|slot| slot.cut.is_cancelled()).count();
        assert_eq!(cut(&taken), 5 * MAX_CONNECTIONS_PER_PEER - MAX_CONNECTIONS);
        let before = cut(&taken);
        let probe = slots.take(IpAddr::from([198, 51, 100, 1]));
        let local = slots.take(here);
        assert_eq!(cut(&taken), before + 1, "a probe displaced one connection, and this machine none");
        assert!(!probe.cut.is_cancelled() && !local.cut.is_cancelled());
    }

    #[test]
    fn a_network_of_ipv6_is_one_peer() {
        let key = |text: &str| peer_key(text.parse().unwrap());
        assert_eq!(key("2001:db8:1:2:aaaa::1"), key("2001:db8:1:2:bbbb::2"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert!(key("::1").is_loopback());
    }
}
