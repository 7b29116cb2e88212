//! The real program among peers, clocks and files that do what they shouldn't: nothing is lost, nobody else is held up, and
//! somebody is told.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::daemon::bench::{Files, LOCAL_STAGING};
use crate::servers::graph::{CLIENT_ID, CLIENT_SECRET, TENANT};
use crate::servers::telemessage::TeleMessageServer;

mod clocks;
mod cursor;
mod door;
mod drips;
mod floods;
mod leavers;
mod lost;
mod pauses;
mod time;

const TOKEN: &str = "a-token-of-the-pages";

/// The files of a program that reads from this server, with these further sections.
fn files_for(server: &TeleMessageServer, every: &str, sections: &str) -> Files {
    let files = Files::new();
    files.write("client-secret", CLIENT_SECRET);
    let schedule = format!("every = \"{every}\"\nsettle = \"0s\"");
    files.write_config(&server.base_url(), &schedule, &format!("{LOCAL_STAGING}\n{sections}"));
    files
}

/// The section of a tenant at this address.
fn microsoft_section(origin: &str) -> String {
    format!(
        "[microsoft]\ntenant_id = \"{TENANT}\"\nclient_id = \"{CLIENT_ID}\"\nclient_secret = {{ file = \"client-secret\" }}\n\
         login_url = \"{origin}\"\ngraph_url = \"{origin}\"\n"
    )
}

/// A place to listen at, and the section that says so.
fn http_section() -> (SocketAddr, String) {
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    (address, format!("[http]\nlisten = \"{address}\"\n"))
}

/// The status and the body of a page.
fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_mins(1), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
