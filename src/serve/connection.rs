//! Connections within bounds: so many at a time, so many of one peer, and none that stays silent. A reader that takes
//! nothing, or a client that sends nothing, can't hold a place for long, and nobody alone can hold all of them.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Connections at the same time; further ones wait to be accepted.
const MOST: usize = 256;

/// Connections of one address at the same time; further ones are closed. A proxy's readers share its address.
const MOST_OF_A_PEER: usize = 64;

/// A connection whose first request isn't there after so long is cut.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

/// A connection on which nothing moves for so long is cut. Longer than the usual minute between two scrapes, so that
/// Prometheus keeps its connection.
const SILENCE: Duration = Duration::from_secs(75);

/// A listener whose connections are bounded. All of them are cut when `end` is cancelled.
pub(super) struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
    peers: Peers,
    end: CancellationToken,
}

impl Bounded {
    pub(super) fn new(listener: TcpListener, end: CancellationToken) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(MOST)), peers: Peers::default(), end }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // Never closed, so there is always a place some time.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        loop {
            // Logs and outlasts errors of accepting.
            let (stream, peer) = Listener::accept(&mut self.listener).await;
            let Some(of_peer) = self.peers.enter(peer.ip()) else { continue };
            let connection = Connection {
                stream,
                request: Some(RequestHead::default()),
                silence: Box::pin(tokio::time::sleep_until(Instant::now() + FIRST_REQUEST)),
                end: Box::pin(self.end.clone().cancelled_owned()),
                _place: place,
                _of_peer: of_peer,
            };
            return (connection, peer);
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// How many connections each address has.
#[derive(Debug, Clone, Default)]
struct Peers(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Peers {
    /// A further connection of an address; `None` where it has as many as it may.
    fn enter(&self, peer: IpAddr) -> Option<OfPeer> {
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = peers.entry(peer).or_default();
        if *connections >= MOST_OF_A_PEER {
            return None;
        }
        *connections += 1;
        Some(OfPeer { peers: self.clone(), peer })
    }
}

/// One connection of an address, while it lasts.
struct OfPeer {
    peers: Peers,
    peer: IpAddr,
}

impl Drop for OfPeer {
    fn drop(&mut self) {
        let mut peers = self.peers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connections) = peers.get_mut(&self.peer) {
            *connections -= 1;
            if *connections == 0 {
                peers.remove(&self.peer);
            }
        }
    }
}

/// The head of a request as it comes: it ends with an empty line (RFC 9112, 2.1).
#[derive(Debug, Default)]
struct RequestHead {
    line_is_empty: bool,
}

impl RequestHead {
    /// Whether the head ends within `bytes`, which come next.
    fn ends_within(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            match byte {
                b'\n' if self.line_is_empty => return true,
                b'\n' => self.line_is_empty = true,
                b'\r' => {}
                _ => self.line_is_empty = false,
            }
        }
        false
    }
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

impl Connected<IncomingStream<'_, Bounded>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// One connection.
pub(super) struct Connection {
    stream: TcpStream,
    /// The first request, until its head is there.
    request: Option<RequestHead>,
    /// The machine's own time: silence on a wire has nothing to do with the time of the runs.
    silence: Pin<Box<Sleep>>,
    end: Pin<Box<WaitForCancellationFutureOwned>>,
    _place: Option<OwnedSemaphorePermit>,
    _of_peer: OfPeer,
}

impl Connection {
    /// Something moved, or nothing did for too long. Nothing prolongs the time for the first request.
    fn watch<T>(&mut self, context: &mut Context<'_>, moved: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if moved.is_ready() && self.request.is_some() {
            return moved;
        }
        if moved.is_ready() {
            self.silence.as_mut().reset(Instant::now() + SILENCE);
            return moved;
        }
        if self.end.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        match self.silence.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let moved = Pin::new(&mut self.stream).poll_read(context, buf);
        let read = buf.filled().get(before..).unwrap_or_default();
        if self.request.as_mut().is_some_and(|head| head.ends_within(read)) {
            self.request = None;
        }
        self.watch(context, moved)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, moved)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, moved)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn a_head_ends_with_an_empty_line_however_it_is_cut() {
        let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for cut in 0..request.len() {
            let mut head = RequestHead::default();
            let (first, rest) = request.split_at(cut);
            assert!(!head.ends_within(first), "{cut}");
            assert!(head.ends_within(rest), "{cut}");
        }
        assert!(!RequestHead::default().ends_within(b"GET / HTTP/1.1\r\nHost: a\r\nx"));
    }

    #[test]
    fn an_address_has_so_many_connections_and_no_more() {
        let (peers, one, other) = (Peers::default(), IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let mut entered: Vec<OfPeer> = (0..MOST_OF_A_PEER).map(|_| peers.enter(one).unwrap()).collect();
        assert!(peers.enter(one).is_none());
        assert!(peers.enter(other).is_some());
        entered.pop();
        assert!(peers.enter(one).is_some());
        entered.clear();
        assert!(peers.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_peer_that_sends_nothing_whole_is_cut_early() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut bounded = Bounded::new(listener, CancellationToken::new());
        let (mut connection, _) = bounded.accept().await;
        let accepted = connection.silence.deadline();
        let mut read = [0; 64];
        client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        assert_eq!(connection.read(&mut read).await.unwrap(), 16);
        assert_eq!(connection.silence.deadline(), accepted, "half a request prolongs nothing");
        client.write_all(b"Host: a\r\n\r\n").await.unwrap();
        assert_eq!(connection.read(&mut read).await.unwrap(), 11);
        assert!(connection.silence.deadline() > accepted + SILENCE - FIRST_REQUEST - Duration::from_secs(1));
    }
}
