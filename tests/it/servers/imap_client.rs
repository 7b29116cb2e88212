//! A person's mail program, reduced to what tests do with it: lines over a socket, read back as they come.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};

/// A session of its own, that waits for each answer.
pub(crate) struct ImapClient {
    stream: BufReader<TcpStream>,
    tags: u32,
}

/// A piece of an answer: a line, or the literal that the line before announced.
type Piece = Vec<u8>;

impl ImapClient {
    /// Signs in to a server on this machine.
    pub(crate) fn sign_in(port: u16, login: &str, password: &str) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let mut client = Self { stream: BufReader::new(stream), tags: 0 };
        client.line();
        let length = password.len();
        client.command_with(&format!("LOGIN \"{login}\" {{{length}}}"), Some(password.as_bytes())).unwrap();
        client
    }

    /// Runs a command; an error is the server's refusal.
    pub(crate) fn command(&mut self, command: &str) -> Result<Vec<Piece>, String> {
        self.command_with(command, None)
    }

    /// Appends a message.
    pub(crate) fn append(&mut self, folder: &str, message: &[u8]) {
        let length = message.len();
        self.command_with(&format!("APPEND \"{folder}\" {{{length}}}"), Some(message)).unwrap();
    }

    /// The numbers in the answer to a search.
    pub(crate) fn search(&mut self, criteria: &str) -> Vec<u32> {
        let answer = self.command(&format!("UID SEARCH {criteria}")).unwrap();
        let lines = answer.iter().filter_map(|line| line.strip_prefix(b"* SEARCH"));
        let numbers = lines.flat_map(|line| {
            String::from_utf8(line.to_vec()).unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        });
        numbers.map(|number| number.parse().unwrap()).collect()
    }

    fn command_with(&mut self, command: &str, literal: Option<&[u8]>) -> Result<Vec<Piece>, String> {
        self.tags += 1;
        let tag = format!("t{}", self.tags);
        self.send(format!("{tag} {command}\r\n").as_bytes());
        let mut literal = literal;
        let mut answer = Vec::new();
        loop {
            let line = self.line();
            if line.starts_with(b"+") {
                self.send(literal.take().expect("the server asks for no more than was announced"));
                self.send(b"\r\n");
                continue;
            }
            let text = String::from_utf8_lossy(&line).into_owned();
            if let Some(status) = text.strip_prefix(&format!("{tag} ")) {
                return if status.starts_with("OK") { Ok(answer) } else { Err(status.to_owned()) };
            }
            let announced = text.strip_suffix('}').and_then(|rest| rest.rsplit_once('{')).map(|(_, length)| length);
            answer.push(line);
            if let Some(length) = announced.and_then(|length| length.parse().ok()) {
                let mut literal = vec![0; length];
                self.stream.read_exact(&mut literal).unwrap();
                answer.push(literal);
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    fn line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).unwrap();
        assert!(line.ends_with(b"\r\n"), "the server hung up");
        line.truncate(line.len() - 2);
        line
    }
}
