//! Who may see what: the guard before every page, and the sign-in form.
//!
//! A program shows the token as `Authorization: Bearer`, a person signs in. The token is compared in constant time, is
//! never taken from a URL, and never logged; whoever shows a wrong one waits, and after some more tries for longer.
//! Without a token, only requests that name this machine and didn't come through a proxy are answered: a web site that
//! makes its own name point here reads nothing, and a proxy beside the archiver opens no page to its own readers.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{ConnectInfo, Form, Request, State};
use axum::http::header::{AUTHORIZATION, HOST, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::connection::Peer;
use super::failure::{self, json_error};
use super::headers::STYLE;
use super::session;
use super::site::{SharedSite, Site};
use crate::digest::Digest;
use crate::ledger::ActionKind;
use crate::panics;
use crate::secret::Secret;

/// What everybody may see.
const PUBLIC: [&str; 3] = ["/livez", "/readyz", "/sign-in"];

/// How long whoever shows a wrong token waits for the answer.
const DELAY: Duration = Duration::from_secs(1);

/// Lets a request through that may see what it asks for.
pub(super) async fn guard(
    State(site): SharedSite,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    if PUBLIC.contains(&path) {
        return next.run(request).await;
    }
    let Some(secret) = &site.served.token else {
        return match refusal_without_token(request.headers()) {
            None => next.run(request).await,
            Some(words) => failure::error_for(path, StatusCode::MISDIRECTED_REQUEST, words),
        };
    };
    let token = match read(secret).await {
        Ok(token) => token,
        Err(response) => return response,
    };
    let headers = request.headers();
    match bearer(headers).map(|shown| site.try_token(peer.ip(), shown, &token)) {
        Some(TokenCheck::Right) => next.run(request).await,
        Some(TokenCheck::Wrong) => {
            let path = path.to_owned();
            site.refuse(peer.ip()).await;
            ask(&path, Note::Wrong)
        }
        Some(TokenCheck::TooOften) => too_often(path),
        None if session::holds(headers, &token, site.served.clock.now()) => next.run(request).await,
        None => ask(path, if path == "/signed-in" { Note::NotKept } else { Note::None }),
    }
}

/// What the sign-in form shows above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Note {
    None,
    Wrong,
    /// The form was right, and the browser came back without the cookie.
    NotKept,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    style: &'static str,
    note: Note,
    back: &'a str,
}

/// Asks for the token: a person by a form, a program by the status.
fn ask(path: &str, note: Note) -> Response {
    let challenge = [(WWW_AUTHENTICATE, "Bearer realm=\"whatsapp-archiver\"")];
    let words = "a token is needed: Authorization: Bearer …";
    if failure::is_for_programs(path) {
        return (challenge, json_error(StatusCode::UNAUTHORIZED, words)).into_response();
    }
    let page = SignInPage { style: STYLE, note, back: back(path) };
    match page.render() {
        Ok(page) => (StatusCode::UNAUTHORIZED, challenge, Html(page)).into_response(),
        Err(_) => (StatusCode::UNAUTHORIZED, challenge, words).into_response(),
    }
}

/// The page to show after the sign-in: one of ours, or the first.
fn back(path: &str) -> &str {
    let run = path.strip_prefix("/runs/");
    let is_id = |id: &str| id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if path == "/open" || run.is_some_and(is_id) { path } else { "/" }
}

/// The sign-in form as it is sent.
#[derive(Deserialize)]
pub(super) struct SignInForm {
    token: String,
    #[serde(default)]
    back: String,
}

/// Takes the sign-in form.
pub(super) async fn sign_in(
    State(site): SharedSite,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    headers: HeaderMap,
    Form(form): Form<SignInForm>,
) -> Response {
    let Some(secret) = &site.served.token else { return Redirect::to("/").into_response() };
    let token = match read(secret).await {
        Ok(token) => token,
        Err(response) => return response,
    };
    match site.try_token(peer.ip(), form.token.trim(), &token) {
        TokenCheck::Right => {}
        TokenCheck::Wrong => {
            site.refuse(peer.ip()).await;
            return ask(back(&form.back), Note::Wrong);
        }
        TokenCheck::TooOften => return too_often("/sign-in"),
    }
    let now = site.served.clock.now();
    let detail = format!("pages, from {}", peer.ip());
    if let Err(error) = site.served.ledger.record_action(ActionKind::SignIn, None, &detail, now).await {
        tracing::error!(event = "ledger_unavailable", error = %error, "a sign-in to the pages could not be recorded, and is refused");
        return failure::page(StatusCode::SERVICE_UNAVAILABLE, "the ledger doesn't answer; the log says why");
    }
    let cookie = session::begin(&token, now, !names_this_machine(&headers));
    let to = match back(&form.back) {
        "/" => "/signed-in",
        page => page,
    };
    with_cookie(&cookie, to)
}

/// Where a sign-in leads; reached without the cookie, the guard says what is wrong.
pub(super) async fn signed_in() -> Redirect {
    Redirect::to("/")
}

/// Ends the session of a browser.
pub(super) async fn sign_out(headers: HeaderMap) -> Response {
    with_cookie(&session::end(!names_this_machine(&headers)), "/")
}

fn with_cookie(cookie: &str, to: &str) -> Response {
    let mut response = Redirect::to(to).into_response();
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

/// Reads the configured token, which may lie in a file that changes.
async fn read(secret: &Secret) -> Result<SecretString, Response> {
    let secret = secret.clone();
    let error = match panics::blocking(move || secret.read()).await {
        Ok(Ok(token)) => return Ok(token),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::error!(event = "page_failed", error = %error, "pages can't be shown: http.token can't be read");
    let words = "http.token can't be read; the log says why\n";
    Err((StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "60")], words).into_response())
}

/// What came of a token that was shown.
enum TokenCheck {
    Right,
    Wrong,
    /// It was not looked at.
    TooOften,
}

fn too_often(path: &str) -> Response {
    let words = "too many wrong tokens were presented; try again in a minute";
    let mut response = failure::error_for(path, StatusCode::TOO_MANY_REQUESTS, words);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
    response
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, shown) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| shown.trim())
}

/// Takes the same time whatever is shown: digests of one length are compared, to their end.
fn is_same(shown: &str, token: &SecretString) -> bool {
    let digest = |text: &str| Digest::of(text.as_bytes());
    let (shown, token) = (digest(shown), digest(token.expose_secret()));
    aws_lc_rs::constant_time::verify_slices_are_equal(shown.as_bytes(), token.as_bytes()).is_ok()
}

/// Whether the request was sent to this machine by a name that nobody else can give.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let Some(host) = host else { return false };
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Why a request isn't answered where no token is configured.
fn refusal_without_token(headers: &HeaderMap) -> Option<&'static str> {
    if came_through_a_proxy(headers) {
        return Some("this request came through a proxy; behind a proxy, http.token is required: configure it");
    }
    let words = "without http.token, these pages are shown to this machine alone: open them as http://127.0.0.1 or \
                 http://localhost, or configure http.token";
    (!names_this_machine(headers)).then_some(words)
}

/// Whether a proxy says that it passes the request on (RFC 7239, RFC 9110 7.6.3, and the usual headers before them).
fn came_through_a_proxy(headers: &HeaderMap) -> bool {
    let count = |name: &str| matches!(name, "forwarded" | "via" | "x-real-ip") || name.starts_with("x-forwarded-");
    headers.keys().any(|name| count(name.as_str()))
}

impl Site {
    /// Compares a token that was shown, unless too many were.
    fn try_token(&self, peer: IpAddr, shown: &str, token: &SecretString) -> TokenCheck {
        let now = self.served.clock.now();
        if !self.guesses.may_try(peer, now) {
            self.log_refusal(peer);
            return TokenCheck::TooOften;
        }
        if !is_same(shown, token) {
            return TokenCheck::Wrong;
        }
        self.guesses.was_right(peer, now);
        TokenCheck::Right
    }

    /// Whoever shows a wrong token waits.
    async fn refuse(self: &Arc<Self>, peer: IpAddr) {
        self.log_refusal(peer);
        self.served.clock.sleep(DELAY).await;
    }

    fn log_refusal(&self, peer: IpAddr) {
        if let Some(attempts) = self.refusals.count(&self.served.clock) {
            tracing::warn!(event = "sign_in_refused", peer = %peer, attempts, "somebody presented a wrong token to the status pages");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, name.parse().unwrap());
        headers
    }

    #[test]
    fn only_names_that_nobody_else_can_give_are_this_machine() {
        for name in
            ["127.0.0.1", "127.0.0.1:8080", "localhost:8080", "[::1]:8080", "LOCALHOST.", "a.localhost", "127.8.9.1"]
        {
            assert!(names_this_machine(&host(name)), "{name}");
        }
        for name in [
            "contoso.example",
            "127.0.0.1.contoso.example",
            "localhost.contoso.example",
            "10.0.0.1",
            "0.0.0.0",
            "a@b@c",
            "notlocalhost",
        ] {
            assert!(!names_this_machine(&host(name)), "{name}");
        }
        assert!(!names_this_machine(&HeaderMap::new()));
    }

    #[test]
    fn without_a_token_nothing_is_answered_through_a_proxy() {
        assert_eq!(refusal_without_token(&host("127.0.0.1:8080")), None);
        for header in ["Forwarded", "X-Forwarded-For", "x-forwarded-proto", "X-Forwarded-Host", "Via", "X-Real-IP"] {
            let mut headers = host("127.0.0.1:8080");
            headers.insert(axum::http::HeaderName::try_from(header).unwrap(), HeaderValue::from_static("x"));
            assert!(refusal_without_token(&headers).unwrap().contains("http.token is required"), "{header}");
        }
        assert!(refusal_without_token(&host("contoso.example")).is_some());
    }

    #[test]
    fn a_sign_in_leads_to_our_own_pages_alone() {
        for own in ["/runs/0192-ab", "/open"] {
            assert_eq!(back(own), own);
        }
        for other in
            ["//evil.example", "https://evil.example", "/runs/..%2f", "/runs/a/b", "/api/status", "", "/runs/\r\n"]
        {
            assert_eq!(back(other), "/", "{other}");
        }
    }

    #[test]
    fn a_wrong_token_differs_in_any_way() {
        let token = SecretString::from("hunter2");
        assert!(is_same("hunter2", &token));
        for wrong in ["", "hunter", "hunter22", "Hunter2", "hunter2\n"] {
            assert!(!is_same(wrong, &token));
        }
    }
}
