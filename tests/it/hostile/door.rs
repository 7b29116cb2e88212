//! The door to the pages, through the daemon: guesses have a budget whatever they come by, and nobody holds it shut.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::time::Time;
use super::{TOKEN, files_for, get, http_section};
use crate::daemon::bench::{Files, archive_of};
use crate::daemon::process::{self, Process};
use crate::servers::telemessage::TeleMessageServer;

/// A daemon with pages and a token.
struct House {
    address: SocketAddr,
    files: Files,
    daemon: Process,
    _server: TeleMessageServer,
}

impl House {
    fn open(time: Time) -> Self {
        let server = archive_of(1);
        let (address, http) = http_section();
        let files = files_for(&server, "24h", &format!("{http}token = {{ file = \"token\" }}\n"));
        files.write("token", TOKEN);
        let mut daemon = time.start(&files, &["run"]);
        daemon.wait_for("run_finished");
        Self { address, files, daemon, _server: server }
    }

    /// A connection from another address of this machine.
    fn connect_from(&self, peer: u8) -> TcpStream {
        let socket = connect(peer, self.address);
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket
    }

    fn is_open(&self) -> bool {
        get(self.address, "/livez").0 == 200 && process::run(&self.files, &["health"]).status.success()
    }
}

/// Connects to `to` from 127.0.0.`peer`.
fn connect(peer: u8, to: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, peer), 0))).unwrap();
        socket.connect(to).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream
}

/// The status of a reply; nothing where the connection ended without one.
fn status(stream: &mut TcpStream) -> Option<u16> {
    let mut reply = [0; 1024];
    let length = stream.read(&mut reply).unwrap_or(0);
    String::from_utf8_lossy(&reply[..length]).split(' ').nth(1)?.parse().ok()
}

fn ask(stream: &mut TcpStream, path: &str, token: &str) {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n").unwrap();
}

#[test]
fn guesses_over_many_connections_and_from_many_addresses_have_one_budget() {
    let house = House::open(Time::faster(1));
    let mut connections: Vec<TcpStream> = (0..240).map(|n| house.connect_from(10 + n % 6)).collect();
    let mut found = BTreeMap::<Option<u16>, usize>::new();
    for (number, stream) in connections.iter_mut().enumerate() {
        ask(stream, "/api/status", &format!("guess-number-{number}"));
    }
    for stream in &mut connections {
        *found.entry(status(stream)).or_default() += 1;
    }
    let count = |status: u16| found.get(&Some(status)).copied().unwrap_or_default();
    assert!(count(401) >= 30 && count(401) <= 120 && count(401) + count(429) == 240, "{found:?}");
    // The right one isn't compared either, on whichever connection.
    for stream in connections.iter_mut().take(6) {
        ask(stream, "/api/status", TOKEN);
        assert_eq!(status(stream), Some(429));
    }
    assert_eq!(get(house.address, "/livez").0, 200);
    assert!(house.daemon.end_by("TERM").status.success());
}

#[test]
fn http_2_is_not_spoken() {
    let house = House::open(Time::faster(1));
    let mut stream = house.connect_from(2);
    // The preface, and empty settings.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").unwrap();
    let mut reply = Vec::new();
    let ended = stream.read_to_end(&mut reply);
    assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    assert!(reply.is_empty() || reply.starts_with(b"HTTP/1.1 4"), "{reply:?}");
    assert!(house.daemon.end_by("TERM").status.success());
}

/// Whether the other side ends the connection while this is written, again and again.
fn ends_while_dripping(stream: &mut TcpStream, drop: &[u8]) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(30) {
        if stream.write_all(drop).is_err() {
            return true;
        }
        match stream.read(&mut [0; 1024]) {
            Ok(0) => return true,
            // It may say why.
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return true,
        }
    }
    false
}

#[test]
fn a_head_or_a_body_that_drips_and_a_connection_that_idles_are_ended() {
    // Ten seconds pass in one.
    let house = House::open(Time::faster(10));
    let asked_once = || {
        let mut stream = house.connect_from(2);
        ask(&mut stream, "/livez", TOKEN);
        assert_eq!(status(&mut stream), Some(200));
        stream
    };
    assert!(ends_while_dripping(&mut asked_once(), b""), "idle");
    let mut head = asked_once();
    head.write_all(b"GET /livez HTTP/1.1\r\nx-long: ").unwrap();
    assert!(ends_while_dripping(&mut head, b"x"), "a head");
    let mut body = asked_once();
    body.write_all(b"POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9000\r\n\r\ntoken=")
        .unwrap();
    assert!(ends_while_dripping(&mut body, b"x"), "a body");
    assert!(house.daemon.end_by("TERM").status.success());
}

#[test]
fn probes_are_answered_beside_256_connections_that_are_held() {
    let house = House::open(Time::faster(1));
    let mut held: Vec<TcpStream> = (0..256).map(|n| house.connect_from((1 + n % 4) as u8)).collect();
    for stream in &mut held {
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: 127").unwrap();
    }
    let begun = Instant::now();
    for _ in 0..3 {
        assert!(house.is_open());
    }
    // The probes' own address had as many as it may: the oldest of them gave way.
    let ended = held[0].read(&mut [0]);
    assert!(!ended.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "it is held still");
    assert_eq!(ended.unwrap_or(0), 0);
    assert!(begun.elapsed() < Duration::from_secs(8), "not only once they are ended: {:?}", begun.elapsed());
    drop(held);
    assert!(house.daemon.end_by("TERM").status.success());
}
