//! Bytes to responses, and commands to bytes, over one stream.
//!
//! Knows nothing of what a command means. Guarantees: writing never waits for reading nor reading for writing, so a
//! pipeline can't deadlock; [`Connection::handed_over`] says to the byte what the stream has taken, so that a caller
//! knows what the server can't have; a response over [`MAX_RESPONSE`], a silence over the patience, and a command that
//! doesn't end in its time end the connection. Where a permit guards it, no byte goes out once that has lapsed. Content is
//! never logged.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use imap_codec::decode::Decoder;
use imap_codec::fragmentizer::Fragmentizer;
use imap_codec::imap_types::IntoStatic;
use imap_codec::imap_types::core::Tag;
use imap_codec::imap_types::response::{Data, Greeting, Response, Status, StatusBody, Tagged};
use imap_codec::{GreetingCodec, ResponseCodec};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::refusal::Refusal;
use super::settings::ImapTimeouts;
use crate::scrub::Scrubber;
use crate::send_permit::{NotPermitted, SendPermit};

/// The largest response that is read, literals included, in bytes. Messages are fetched in smaller pieces.
const MAX_RESPONSE: u32 = 4 * 1024 * 1024;
const READ_BUFFER: usize = 16 * 1024;
/// How many pieces go into one write.
const MAX_SLICES: usize = 64;
/// How long a server that said BYE may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The least pace at which bytes must move, in bytes a second: each gives a command that much more time.
const MIN_RATE: u64 = 8 * 1024;
/// The most time that a command gains by what the server says.
const MAX_GAINED_BY_READING: Duration = Duration::from_mins(30);

/// What a connection runs on: TCP, or TLS over it.
pub(super) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// The connection is of no use any more.
#[derive(Debug, Clone)]
pub(super) struct Lost {
    /// Why, for the administrator.
    pub(super) detail: String,
    /// What the server said before it closed (`BYE`).
    pub(super) farewell: Option<Refusal>,
}

/// What the server sent.
#[derive(Debug)]
pub(super) enum Received {
    /// The end of a command.
    Tagged(Tagged<'static>),
    /// A remark (`* OK`, `* NO`, `* BAD`).
    Remark(StatusBody<'static>),
    Data(Data<'static>),
    /// The server waits for the rest of the command.
    Continuation,
    /// Data that can't be read: of no concern to commands that expect none.
    Unreadable,
}

/// Whether the permit lapsed while something was left to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Barred {
    No,
    /// It did, and nobody was told.
    Untold,
    Yes,
}

/// One connection to an IMAP server.
pub(super) struct Connection {
    stream: Box<dyn Transport>,
    timeouts: ImapTimeouts,
    /// Takes what was sent to the server out of its words.
    sent: Scrubber,
    /// When the command under way began, or the last one ended.
    begun: Instant,
    /// How many bytes were read and written since.
    read: u64,
    written: u64,
    input: Fragmentizer,
    read_buffer: Box<[u8; READ_BUFFER]>,
    output: VecDeque<Bytes>,
    queued: u64,
    handed_over: u64,
    write_error: Option<String>,
    /// What allows each write, where one has to.
    permit: Option<SendPermit>,
    barred: Barred,
    farewell: Option<Refusal>,
    tag_prefix: String,
    tags: u64,
}

impl Connection {
    /// A connection over `stream` whose server may take as long as `timeouts` say while it is waited for, and whose words
    /// `sent` scrubs.
    pub(super) fn new(stream: Box<dyn Transport>, timeouts: ImapTimeouts, sent: Scrubber) -> Self {
        Self {
            stream,
            timeouts,
            sent,
            begun: Instant::now(),
            read: 0,
            written: 0,
            input: Fragmentizer::new(MAX_RESPONSE),
            read_buffer: Box::new([0; READ_BUFFER]),
            output: VecDeque::new(),
            queued: 0,
            handed_over: 0,
            write_error: None,
            permit: None,
            barred: Barred::No,
            farewell: None,
            tag_prefix: tag_prefix(),
            tags: 0,
        }
    }

    /// What scrubs the server's words.
    pub(super) fn sent(&self) -> &Scrubber {
        &self.sent
    }

    /// Takes a secret that is about to be sent out of whatever the server says from now on.
    pub(super) fn hide(&mut self, secret: &SecretString) {
        self.sent.add(secret.expose_secret());
    }

    /// The next tag. Nobody who wrote a message can have known it: should a server ever take a message's lines for
    /// commands, none of its answers passes for one of ours.
    pub(super) fn next_tag(&mut self) -> Tag<'static> {
        self.tags += 1;
        self.begin_waiting();
        Tag::unvalidated(format!("{}{}", self.tag_prefix, self.tags))
    }

    /// A command begins or ends: the next end is due after its own time.
    fn begin_waiting(&mut self) {
        (self.begun, self.read, self.written) = (Instant::now(), 0, 0);
    }

    /// How much time the server has left to end a command. Large messages and long answers take their time; a drip
    /// doesn't.
    fn time_left(&self) -> Duration {
        let by_reading = Duration::from_secs(self.read / MIN_RATE).min(MAX_GAINED_BY_READING);
        let by_writing = Duration::from_secs(self.written / MIN_RATE);
        let allowed = self.timeouts.command.saturating_add(by_reading).saturating_add(by_writing);
        allowed.saturating_sub(self.begun.elapsed())
    }

    /// Adds bytes to what is to be sent. They go out while a response is waited for.
    pub(super) fn queue(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.queued += bytes.len() as u64;
        self.output.push_back(bytes);
    }

    /// From now on each write needs this permit, or none does.
    pub(super) fn guard(&mut self, permit: Option<&SendPermit>) {
        self.permit = permit.cloned();
    }

    /// Whether the permit lapsed before all was sent that was queued. What was sent whole may still be answered; nothing more
    /// goes out.
    pub(super) fn is_barred(&self) -> bool {
        self.barred != Barred::No
    }

    /// How many bytes have been queued since the connection began.
    pub(super) fn queued(&self) -> u64 {
        self.queued
    }

    /// How many of them the stream has taken: those after that never left this program.
    pub(super) fn handed_over(&self) -> u64 {
        self.handed_over
    }

    /// The server's first line.
    pub(super) async fn greeting(&mut self) -> Result<Greeting<'static>, Lost> {
        self.message().await?;
        let greeting = self.input.decode_message(&GreetingCodec::default()).map(IntoStatic::into_static);
        greeting.map_err(|_| self.lost("the server doesn't greet as an IMAP server does".to_owned()))
    }

    /// The next response; what is queued goes out meanwhile.
    pub(super) async fn response(&mut self) -> Result<Received, Lost> {
        loop {
            self.message().await?;
            match self.decode() {
                Some(Response::Status(Status::Tagged(tagged))) => {
                    self.begin_waiting();
                    return Ok(Received::Tagged(tagged));
                }
                Some(Response::Status(Status::Untagged(body))) => return Ok(Received::Remark(body)),
                Some(Response::Status(Status::Bye(bye))) => self.farewell = Some(Refusal::farewell(&bye, &self.sent)),
                Some(Response::Data(data)) => return Ok(Received::Data(data)),
                Some(Response::CommandContinuationRequest(_)) => return Ok(Received::Continuation),
                None if self.input.message_bytes().starts_with(b"* ") => return Ok(Received::Unreadable),
                None => return Err(self.lost("the server sent what isn't an IMAP response".to_owned())),
            }
        }
    }

    /// Whether nothing has come since the last response was read, not even the end of the stream.
    pub(super) fn is_quiet(&mut self) -> bool {
        let Self { stream, read_buffer, .. } = self;
        let mut buffer = ReadBuf::new(read_buffer.as_mut_slice());
        let mut context = Context::from_waker(std::task::Waker::noop());
        self.output.is_empty()
            && self.input.progress().is_none()
            && self.input.message_bytes().is_empty()
            && Pin::new(stream).poll_read(&mut context, &mut buffer).is_pending()
    }

    /// The bare stream, for TLS to begin on it. Refused where the server sent more than it was asked for: that would be
    /// taken for what came through TLS.
    pub(super) fn into_stream(mut self) -> Result<Box<dyn Transport>, Lost> {
        if self.input.progress().is_some() || !self.input.message_bytes().is_empty() {
            return Err(self.lost("the server sent responses before TLS began".to_owned()));
        }
        Ok(self.stream)
    }

    fn decode(&self) -> Option<Response<'static>> {
        let codec = ResponseCodec::default();
        if let Ok(response) = self.input.decode_message(&codec) {
            return Some(response.into_static());
        }
        // Servers put UTF-8 into human-readable text. The status before it must not be lost for that.
        let readable = |byte: &u8| if byte.is_ascii() && *byte != 0 { *byte } else { b'?' };
        let ascii: Vec<u8> = self.input.message_bytes().iter().map(readable).collect();
        match codec.decode(&ascii) {
            Ok((&[], Response::Status(status))) => Some(Response::Status(status.into_static())),
            _ => None,
        }
    }

    /// Reads until a whole message is in `input`.
    async fn message(&mut self) -> Result<(), Lost> {
        loop {
            if self.barred == Barred::Untold {
                self.barred = Barred::Yes;
                return Err(self.lost(NotPermitted.to_string()));
            }
            while self.input.progress().is_some() {
                if self.input.is_message_complete() {
                    return if self.input.is_max_message_size_exceeded() { Err(self.too_long()) } else { Ok(()) };
                }
            }
            if self.input.is_max_message_size_exceeded() {
                return Err(self.too_long());
            }
            let left = self.time_left();
            if left.is_zero() {
                let given = self.begun.elapsed().as_secs();
                return Err(self.lost(format!("the server didn't end a command within {given} s, though it sends")));
            }
            let silence = self.timeouts.silence;
            let patience = if self.farewell.is_some() { silence.min(CLOSE_TIMEOUT) } else { silence }.min(left);
            match tokio::time::timeout(patience, poll_fn(|context| self.poll_exchange(context))).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(self.lost(format!("the connection broke: {error}"))),
                Err(_) => return Err(self.lost(format!("the server was silent for {} s", patience.as_secs()))),
            }
        }
    }

    /// Writes what can be written and reads what is there. Ready after progress in either direction.
    fn poll_exchange(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let before = self.handed_over;
        let was_barred = self.is_barred();
        if let Poll::Ready(Err(error)) = self.poll_write(context) {
            // The server may have said why before it stopped listening, so reading goes on.
            self.write_error = Some(error.to_string());
            self.output.clear();
        }
        if self.is_barred() && !was_barred {
            return Poll::Ready(Ok(()));
        }
        let Self { stream, read_buffer, .. } = self;
        let mut buffer = ReadBuf::new(read_buffer.as_mut_slice());
        match Pin::new(stream).poll_read(context, &mut buffer)? {
            Poll::Ready(()) if buffer.filled().is_empty() => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed it")))
            }
            Poll::Ready(()) => {
                self.read += buffer.filled().len() as u64;
                self.input.enqueue_bytes(buffer.filled());
                Poll::Ready(Ok(()))
            }
            Poll::Pending if self.handed_over > before => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.write_error.is_some() {
            self.output.clear();
            return Poll::Ready(Ok(()));
        }
        if self.is_barred() {
            // What the stream has taken counts as sent, and so it is.
            self.output.clear();
            return Pin::new(&mut self.stream).poll_flush(context);
        }
        while !self.output.is_empty() {
            if self.permit.as_ref().is_some_and(|permit| permit.ask().is_err()) {
                self.barred = Barred::Untold;
                self.output.clear();
                return Poll::Ready(Ok(()));
            }
            let slices: Vec<IoSlice<'_>> =
                self.output.iter().take(MAX_SLICES).map(|piece| IoSlice::new(piece)).collect();
            match Pin::new(&mut self.stream).poll_write_vectored(context, &slices)? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(taken) => self.advance(taken),
                Poll::Pending => return Poll::Pending,
            }
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn advance(&mut self, mut taken: usize) {
        self.handed_over += taken as u64;
        self.written += taken as u64;
        while let Some(piece) = self.output.front_mut() {
            if taken < piece.len() {
                piece.advance(taken);
                return;
            }
            taken -= piece.len();
            self.output.pop_front();
        }
    }

    fn too_long(&self) -> Lost {
        self.lost(format!("the server sent a response over {MAX_RESPONSE} bytes"))
    }

    /// What to say of a connection that ends, its server's last words included.
    pub(super) fn lost(&self, mut detail: String) -> Lost {
        if let Some(error) = &self.write_error {
            detail = format!("{detail} (writing: {error})");
        }
        if let Some(farewell) = &self.farewell {
            detail = format!("{detail}; the server said BYE {farewell}");
        }
        Lost { detail, farewell: self.farewell.clone() }
    }
}

fn tag_prefix() -> String {
    let mut bytes = [0; 6];
    // Without randomness tags are merely guessable; they stay unique.
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        return "W".to_owned();
    }
    format!("{}.", hex::encode(bytes))
}
