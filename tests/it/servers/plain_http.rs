//! HTTP/1.1 in its plainest form, for answers that no ordinary server gives; a thread for each connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio_rustls::rustls::{ServerConnection, StreamOwned};

use super::tls;

/// A request as the server sees it.
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// All that was sent, the credentials in several forms, on one line.
    pub(crate) fn repeated(&self) -> String {
        let credential = self.header("authorization").split(' ').next_back().unwrap_or_default().to_owned();
        let decoded = STANDARD.decode(&credential).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let encoded = utf8_percent_encode(&credential, NON_ALPHANUMERIC).to_string();
        let words = [credential.clone(), decoded.unwrap_or_default(), STANDARD.encode(&credential), encoded];
        let fields: Vec<(String, String)> = match reqwest::Url::parse(&format!("form:/?{}", self.body)) {
            Ok(url) => url.query_pairs().into_owned().collect(),
            Err(_) => Vec::new(),
        };
        let fields: Vec<String> = fields.into_iter().map(|(_, value)| value).collect();
        let (words, fields) = (words.join(" "), fields.join(" "));
        let text = format!("{words} {} {fields} {} {}", self.path, self.body, STANDARD.encode(&self.body));
        text.chars().filter(|character| !character.is_control()).collect()
    }
}

/// An answer: status, headers, body.
pub(crate) type Answer = (u16, Vec<(&'static str, String)>, String);

/// A server that answers each request so, at its address, for as long as the test runs.
pub(crate) fn http_server(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> String {
    server(move |stream| converse(stream, &answer))
}

/// The same over TLS, at a port of `localhost`; and the certificate (PEM) of its CA.
pub(crate) fn https_server(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> (String, String) {
    let (config, ca) = tls::certified("localhost");
    let address = server(move |stream| {
        let session = ServerConnection::new(Arc::clone(&config)).unwrap();
        converse(StreamOwned::new(session, stream), &answer);
    });
    (address.replace("127.0.0.1", "localhost"), ca)
}

fn converse(stream: impl Read + Write, answer: impl Fn(&Asked) -> Answer) {
    let mut reader = BufReader::new(stream);
    while let Some(asked) = read_request(&mut reader) {
        let (status, headers, body) = answer(&asked);
        let mut reply = format!("HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in &headers {
            reply = reply + name + ": " + value + "\r\n";
        }
        reply = reply + "\r\n" + &body;
        let stream = reader.get_mut();
        if stream.write_all(reply.as_bytes()).and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
}

/// The same of anything else than HTTP.
pub(crate) fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

fn read_request(reader: &mut impl BufRead) -> Option<Asked> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let path = lines.first()?.split(' ').nth(1)?.to_owned();
    let field = |line: &String| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let headers: Vec<(String, String)> = lines.iter().skip(1).filter_map(field).collect();
    let mut asked = Asked { path, headers, body: String::new() };
    let mut body = vec![0; asked.header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    asked.body = String::from_utf8_lossy(&body).into_owned();
    Some(asked)
}
