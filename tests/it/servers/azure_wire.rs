//! A line to Azurite on which things go wrong as told: answers that Azurite doesn't give, and answers that are lost.
//!
//! Each connection carries one request. A request that no fault is set for is passed on unchanged.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What happens to a request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// It never arrives, and is answered so: status line, headers, body.
    Answer(String),
    /// It never arrives, and the connection is dropped.
    Lost,
    /// It arrives and is done; the answer is lost.
    AnswerLost,
    /// It arrives; of the answer only so many bytes come back.
    AnswerCut(usize),
}

impl Fault {
    /// An answer with a status, Azure's error code, further headers, and Azure's message.
    pub(crate) fn error(status: u16, code: &str, headers: &str, message: &str) -> Self {
        let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>");
        Self::answer(status, &format!("x-ms-error-code: {code}\r\nx-ms-request-id: request-1\r\n{headers}"), &body)
    }

    /// Any answer.
    pub(crate) fn answer(status: u16, headers: &str, body: &str) -> Self {
        let length = body.len();
        Self::Answer(format!(
            "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-type: application/xml\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        ))
    }
}

/// Which request a fault is for: the first with this method and this part of its target.
type Rule = (&'static str, &'static str, Fault);

/// The line. It ends when it is dropped.
pub(crate) struct AzureWire {
    port: u16,
    rules: Arc<Mutex<VecDeque<Rule>>>,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for AzureWire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl AzureWire {
    /// A line to the Azurite on `azurite`.
    pub(crate) async fn to(azurite: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let rules: Arc<Mutex<VecDeque<Rule>>> = Arc::default();
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let (their_rules, their_requests) = (Arc::clone(&rules), Arc::clone(&requests));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (rules, requests) = (Arc::clone(&their_rules), Arc::clone(&their_requests));
                tokio::spawn(async move { serve(client, azurite, &rules, &requests).await });
            }
        });
        Self { port, rules, requests, task }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Sets a fault for the next request with `method` whose target contains `part`; several wait in order.
    pub(crate) fn fail(&self, method: &'static str, part: &'static str, fault: Fault) {
        self.rules.lock().unwrap().push_back((method, part, fault));
    }

    /// How many faults nobody has met yet.
    pub(crate) fn faults_left(&self) -> usize {
        self.rules.lock().unwrap().len()
    }

    /// Fails no more.
    pub(crate) fn heal(&self) {
        self.rules.lock().unwrap().clear();
    }

    /// The method and target of each request that came, without the queries' signatures.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn serve(
    mut client: TcpStream,
    azurite: u16,
    rules: &Mutex<VecDeque<Rule>>,
    requests: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let (head, body) = read_request(&mut client).await?;
    let line = head.lines().next().unwrap_or_default().to_owned();
    requests.lock().unwrap().push(line.split("&sig=").next().unwrap_or_default().to_owned());
    let fault = take_fault(&line, rules);
    match fault {
        Some(Fault::Answer(answer)) => return client.write_all(answer.as_bytes()).await,
        Some(Fault::Lost) => return Ok(()),
        _ => {}
    }
    let mut server = TcpStream::connect(("127.0.0.1", azurite)).await?;
    let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    server.write_all(head.as_bytes()).await?;
    server.write_all(&body).await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    match fault {
        Some(Fault::AnswerLost) => Ok(()),
        Some(Fault::AnswerCut(length)) => client.write_all(&answer[..length.min(answer.len())]).await,
        _ => client.write_all(&answer).await,
    }
}

fn take_fault(line: &str, rules: &Mutex<VecDeque<Rule>>) -> Option<Fault> {
    let mut rules = rules.lock().unwrap();
    let matching = rules.iter().position(|(method, part, _)| line.starts_with(method) && line.contains(part))?;
    rules.remove(matching).map(|(_, _, fault)| fault)
}

/// Head (with its empty line) and body of a request that announces its length.
async fn read_request(client: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    const END: &[u8] = b"\r\n\r\n";
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(found) = bytes.windows(END.len()).position(|window| window == END) {
            break found + END.len();
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).map_err(io::Error::other)?;
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok())
        .unwrap_or(0);
    let mut body = bytes.split_off(end);
    let read = body.len();
    body.resize(length, 0);
    client.read_exact(&mut body[read..]).await?;
    Ok((head, body))
}
