//! The one HTTP client: time-outs, caps, redaction. It reports what happened and never repeats a request by itself (except
//! one that the server certified it had not begun to process).
//!
//! - Nothing is sent in clear text except to this machine: [`require_https_or_loopback`] holds for every request.
//! - Redirects are never followed; the caller sees the 3xx. So a credential reaches no origin but the one it was meant for.
//! - Bodies are bounded by what they decode to, so that a small compressed answer can't fill the memory.
//! - The reply of a refusal holds none of the secrets that its request carried, whatever the server repeats.
//! - An error says whether the request certainly did not arrive, and shows neither queries nor credentials.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, Method, RequestBuilder, Response, StatusCode, Url};

use crate::scrub::Scrubber;

mod error;
mod pace;
mod proxy;
mod remote;
mod retry_after;
mod sent;
mod transport_security;

pub use error::HttpError;
pub use remote::Remote;
pub use retry_after::{MAX_PAUSE, date, not_before, retry_after};
pub use transport_security::{InsecureUrl, is_loopback, require_https_or_loopback};

/// Called after every request, with its remote, its status or error, and how long it took (to the end of the body, or to the
/// head of a streamed reply).
pub type Observer = Arc<dyn Fn(Remote, Result<StatusCode, &HttpError>, Duration) + Send + Sync>;

/// The longest a request may take.
const MAX_REQUEST: Duration = Duration::from_secs(45);

/// The most of a refusal's body that is read, in bytes.
const MAX_REFUSAL: usize = 256 << 10;

/// How the client connects and how long it waits.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Certificates (PEM) trusted in addition to the platform's roots.
    pub extra_roots_pem: Option<Vec<u8>>,
    /// The longest wait for a connection, TLS included.
    pub connect_timeout: Duration,
    /// The longest silence of the other side.
    pub read_timeout: Duration,
    /// The longest duration of a whole exchange; a streamed reply has `read_timeout`, and a least pace.
    pub request_timeout: Duration,
}

/// The longest duration of one request where work is leased for `lease`: shorter than two thirds of it, which is what is left
/// at least after a renewal in time, so that nobody else takes the work while a request is under way.
pub fn request_timeout(lease: Duration) -> Duration {
    MAX_REQUEST.min(lease / 3 * 2)
}

impl HttpOptions {
    /// The default options where work is leased for `lease`.
    pub fn within(lease: Duration) -> Self {
        let request_timeout = request_timeout(lease);
        let options = Self::default();
        Self {
            connect_timeout: options.connect_timeout.min(request_timeout),
            read_timeout: options.read_timeout.min(request_timeout),
            request_timeout,
            ..options
        }
    }
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            extra_roots_pem: None,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            request_timeout: MAX_REQUEST,
        }
    }
}

/// The HTTP client. Clones share connections.
#[derive(Clone)]
pub struct HttpClient {
    client: Client,
    request_timeout: Duration,
    observer: Option<Observer>,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("request_timeout", &self.request_timeout).finish_non_exhaustive()
    }
}

/// A reply with its whole body.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// The body, decoded from any content coding.
    pub body: Bytes,
    /// Takes what the request carried that is secret out of the body's words. Those of a refusal (any status but 2xx)
    /// hold none of it any more.
    pub sent: Scrubber,
}

/// A reply whose body is still to come.
pub struct StreamingReply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// The length that the other side announced, in bytes; `None` where the body is content-coded.
    pub length: Option<u64>,
    /// The body, decoded from any content coding; it fails where it comes too slowly. Not bounded: the reader has to bound
    /// it. That of a refusal (any status but 2xx) is cut after 256 KiB.
    pub body: BoxStream<'static, Result<Bytes, HttpError>>,
    /// Takes what the request carried that is secret out of the body's words, as in [`Reply::sent`].
    pub sent: Scrubber,
}

impl HttpClient {
    /// Builds the client: rustls with the platform's roots and those of `options`. `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`
    /// of the environment hold for https; plain http, which goes to this machine only, never takes a proxy.
    pub fn build(options: &HttpOptions) -> Result<Self, HttpError> {
        let roots = options.extra_roots_pem.as_deref().map(certificates).transpose()?.unwrap_or_default();
        #[expect(clippy::disallowed_methods, reason = "this is the one place that builds the client")]
        let builder = Client::builder()
            .user_agent(concat!("whatsapp-archiver/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(options.connect_timeout)
            .read_timeout(options.read_timeout)
            .pool_idle_timeout(Duration::from_mins(1))
            .pool_max_idle_per_host(128)
            .http2_adaptive_window(true)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .http2_keep_alive_timeout(Duration::from_secs(20))
            .tls_certs_merge(roots);
        let client =
            proxy::of(builder, |name| std::env::var(name).ok())?.build().map_err(|error| error::unusable(&error))?;
        Ok(Self { client, request_timeout: options.request_timeout, observer: None })
    }

    /// The same client, which calls `observer` after every request.
    #[must_use]
    pub fn observed_by(self, observer: Observer) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// A request to be given to [`HttpClient::send`] or [`HttpClient::stream`].
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.client.request(method, url)
    }

    pub fn get(&self, url: Url) -> RequestBuilder {
        self.request(Method::GET, url)
    }

    pub fn post(&self, url: Url) -> RequestBuilder {
        self.request(Method::POST, url)
    }

    /// Sends `request` and reads the whole reply, whose body may have `cap` bytes when decoded.
    pub async fn send(&self, remote: Remote, request: RequestBuilder, cap: u64) -> Result<Reply, HttpError> {
        let begun = Instant::now();
        let result = self.exchange(remote, request, cap).await;
        self.observe(remote, result.as_ref().map(|reply| reply.status), begun);
        result
    }

    /// Sends `request` and returns when the head of the reply has arrived.
    pub async fn stream(&self, remote: Remote, request: RequestBuilder) -> Result<StreamingReply, HttpError> {
        let begun = Instant::now();
        let result = self.begin(remote, request, None).await;
        self.observe(remote, result.as_ref().map(|answered| answered.response.status()), begun);
        Ok(result?.streaming())
    }

    async fn exchange(&self, remote: Remote, request: RequestBuilder, cap: u64) -> Result<Reply, HttpError> {
        let answered = self.begin(remote, request, Some(self.request_timeout)).await?;
        let url = answered.url.clone();
        let StreamingReply { status, headers, length, body, sent } = answered.streaming();
        // A refusal is cut, however long it says it is.
        let announced = length.filter(|_| status.is_success());
        let body = collect(body, announced, cap, || HttpError::BodyTooLarge { url: url.clone(), status, cap }).await?;
        Ok(Reply { status, headers, body, sent })
    }

    /// Sends the request and waits for the head of the reply.
    async fn begin(
        &self,
        remote: Remote,
        request: RequestBuilder,
        timeout: Option<Duration>,
    ) -> Result<Answered, HttpError> {
        let mut request = request.build().map_err(|error| error::unusable(&error))?;
        let url = error::redacted(remote, request.url());
        transport_security::check(remote, request.url())
            .map_err(|insecure| HttpError::Invalid { detail: insecure.to_string() })?;
        if request.timeout().is_none() {
            *request.timeout_mut() = timeout;
        }
        let sent = sent::secrets_of(&request);
        match self.client.execute(request).await {
            Ok(response) => Ok(Answered { url, response, sent }),
            Err(error) => Err(error::of_request(url, &error)),
        }
    }

    fn observe(&self, remote: Remote, result: Result<StatusCode, &HttpError>, begun: Instant) {
        if let Some(observer) = &self.observer {
            observer(remote, result, begun.elapsed());
        }
    }
}

/// A reply that has begun.
struct Answered {
    /// The URL, redacted, for the errors still to come.
    url: String,
    response: Response,
    sent: Scrubber,
}

impl Answered {
    fn streaming(self) -> StreamingReply {
        let Self { url, mut response, sent } = self;
        let status = response.status();
        let length = response.content_length();
        let headers = std::mem::take(response.headers_mut());
        let of = url.clone();
        let body = response.bytes_stream().map_err(move |error| error::of_body(of.clone(), status, &error)).boxed();
        let too_slow = move |cause| HttpError::BodyBroken { url, status, timed_out: true, cause };
        let body = pace::kept_up(body, Instant::now, too_slow);
        if status.is_success() {
            return StreamingReply { status, headers, length, body, sent };
        }
        let (headers, scrubber) = (scrubbed_headers(headers, &sent), sent.clone());
        let body = futures_util::stream::once(scrubbed_body(body, scrubber)).boxed();
        StreamingReply { status, headers, length, body, sent }
    }
}

fn scrubbed_headers(mut headers: HeaderMap, sent: &Scrubber) -> HeaderMap {
    for value in headers.values_mut() {
        let scrubbed = sent.scrub_bytes(value.as_bytes());
        if let Some(scrubbed) = scrubbed.and_then(|bytes| HeaderValue::from_bytes(&bytes).ok()) {
            *value = scrubbed;
        }
    }
    headers
}

/// The body of a refusal, cut.
async fn scrubbed_body(
    mut body: BoxStream<'static, Result<Bytes, HttpError>>,
    sent: Scrubber,
) -> Result<Bytes, HttpError> {
    let mut whole = BytesMut::new();
    while let Some(mut piece) = body.try_next().await? {
        piece.truncate(MAX_REFUSAL.saturating_sub(whole.len()));
        if piece.is_empty() {
            break;
        }
        whole.extend_from_slice(&piece);
    }
    Ok(sent.scrub_bytes(&whole).map_or_else(|| whole.freeze(), Bytes::from))
}

/// Collects a body of at most `cap` bytes, where so many are `announced`; `too_large` makes the error of a larger one.
async fn collect(
    mut body: BoxStream<'static, Result<Bytes, HttpError>>,
    announced: Option<u64>,
    cap: u64,
    too_large: impl Fn() -> HttpError,
) -> Result<Bytes, HttpError> {
    // A large body that grew piece by piece would have up to twice the space that it needs.
    let mut whole =
        BytesMut::with_capacity(usize::try_from(announced.unwrap_or_default().min(cap)).unwrap_or_default());
    while let Some(piece) = body.try_next().await? {
        let length = whole.len().saturating_add(piece.len());
        if u64::try_from(length).unwrap_or(u64::MAX) > cap {
            return Err(too_large());
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, HttpError> {
    let invalid = |detail: String| HttpError::Invalid { detail };
    let roots = Certificate::from_pem_bundle(pem)
        .map_err(|error| invalid(format!("the additional CA file isn't PEM: {}", error::causes(&error))))?;
    if roots.is_empty() {
        return Err(invalid("the additional CA file holds no certificate".to_owned()));
    }
    Ok(roots)
}
