//! From a connection to a session that is signed in.
//!
//! Guarantees: no credential goes over a connection that isn't protected as configured, and a server that lets anybody
//! in (PREAUTH) is refused, because it doesn't say whose mailbox it shows.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::response::GreetingKind;
use secrecy::{ExposeSecret as _, SecretString};

use super::connection::{Connection, Received};
use super::passwords::Attempt;
use super::refusal::Refusal;
use super::session::{CommandError, Session};
use super::settings::{AccessTokens, ImapAuth, ImapSettings};
use super::transport::Endpoint;
use crate::mailbox::ImportError;
use crate::scrub::Scrubber;

/// The longest command line that is sent, in bytes (RFC 7162, 4). Longer credentials go in a line of their own.
const MAX_LINE: usize = 8_000;

/// Connects and signs in as `login`: with the password of `attempt`, where there is one.
pub(super) async fn open(
    endpoint: &Endpoint,
    settings: &ImapSettings,
    login: &str,
    attempt: Option<Attempt<'_>>,
) -> Result<Session, ImportError> {
    if login.is_empty() || login.chars().any(char::is_control) {
        return Err(ImportError::Forbidden(format!("mailbox.login gives {login:?}, which can't sign in")));
    }
    let signing_in = async {
        let sent = secrets_of(settings, attempt.as_ref()).await?;
        let mut session = greeted(endpoint, settings, sent).await?;
        if endpoint.starts_tls() {
            session = secured(session, endpoint, settings).await?;
        }
        authenticate(&mut session, settings, login, attempt).await?;
        Ok(session)
    };
    // Other mailboxes may wait for the end of this attempt.
    tokio::time::timeout(settings.timeouts.sign_in, signing_in).await.unwrap_or_else(|_| {
        let (server, seconds) = (endpoint.name(), settings.timeouts.sign_in.as_secs());
        Err(ImportError::Unavailable(format!("{server} didn't end the sign-in within {seconds} s")))
    })
}

/// What is going to be sent, or was on an earlier connection: a server may repeat it from its first word on.
async fn secrets_of(settings: &ImapSettings, attempt: Option<&Attempt<'_>>) -> Result<Scrubber, ImportError> {
    let mut sent = Scrubber::default();
    match (&settings.auth, attempt) {
        (ImapAuth::XOAuth2(tokens), _) => sent.add(tokens.token().await?.expose_secret()),
        (ImapAuth::Password(_), Some(attempt)) => sent.add(attempt.password().expose_secret()),
        (ImapAuth::Password(_), None) => {}
    }
    Ok(sent)
}

async fn greeted(endpoint: &Endpoint, settings: &ImapSettings, sent: Scrubber) -> Result<Session, ImportError> {
    let connecting = tokio::time::timeout(settings.timeouts.connect, endpoint.connect());
    let stream = connecting.await.map_err(|_| too_slow(endpoint))??;
    let mut connection = Connection::new(stream, settings.timeouts, sent);
    let greeting = connection.greeting().await.map_err(|lost| lost.unsent())?;
    match greeting.kind {
        GreetingKind::Ok => {
            let mut session = Session::new(connection);
            session.note_code(greeting.code.as_ref());
            Ok(session)
        }
        GreetingKind::PreAuth => Err(ImportError::Forbidden(format!(
            "{} lets everybody in (PREAUTH), so that it can't be said whose mailbox this is",
            endpoint.name()
        ))),
        GreetingKind::Bye => {
            let text = connection.sent().scrub(greeting.text.inner());
            Err(ImportError::Unavailable(format!("{} accepts no connection: {text}", endpoint.name())))
        }
    }
}

async fn secured(mut session: Session, endpoint: &Endpoint, settings: &ImapSettings) -> Result<Session, ImportError> {
    const DOING: &str = "beginning TLS";
    if !session.abilities().await.map_err(|error| error.because(DOING))?.start_tls() {
        return Err(ImportError::Forbidden(format!(
            "{} offers no STARTTLS; nothing is sent without it",
            endpoint.name()
        )));
    }
    session.run(CommandBody::StartTLS).await.map_err(|error| error.because(DOING))?;
    let sent = session.connection.sent().clone();
    let stream = session.connection.into_stream().map_err(|lost| lost.unsent())?;
    let securing = tokio::time::timeout(settings.timeouts.connect, endpoint.secure(stream));
    let stream = securing.await.map_err(|_| too_slow(endpoint))??;
    Ok(Session::new(Connection::new(stream, settings.timeouts, sent)))
}

fn too_slow(endpoint: &Endpoint) -> ImportError {
    ImportError::Unavailable(format!("no connection to {} in time", endpoint.name()))
}

async fn authenticate(
    session: &mut Session,
    settings: &ImapSettings,
    login: &str,
    attempt: Option<Attempt<'_>>,
) -> Result<(), ImportError> {
    match (&settings.auth, attempt) {
        (ImapAuth::XOAuth2(tokens), _) => with_token(session, login, tokens.as_ref()).await,
        (ImapAuth::Password(_), Some(attempt)) => {
            let result = with_password(session, login, attempt.password()).await;
            attempt.ended(&result).await;
            result
        }
        (ImapAuth::Password(_), None) => {
            Err(ImportError::Unexpected("there is no password to sign in with".to_owned()))
        }
    }
}

async fn with_password(session: &mut Session, login: &str, password: &SecretString) -> Result<(), ImportError> {
    let abilities = session.abilities().await.map_err(|error| error.because("asking what the server can do"))?;
    if abilities.auth_plain() {
        let secret = SecretString::from(format!("\0{login}\0{}", password.expose_secret()));
        return sasl(session, "PLAIN", &secret, abilities.sasl_ir()).await.map_err(|error| refused(error, login));
    }
    if abilities.login_disabled() {
        return Err(ImportError::Forbidden(
            "the server takes no password on this connection (LOGINDISABLED)".to_owned(),
        ));
    }
    let command = CommandBody::login(login.to_owned(), password.expose_secret().to_owned())
        .map_err(|_| ImportError::Forbidden("the password can't be sent: it has a NUL".to_owned()))?;
    session.forget_abilities();
    session.run(command).await.map(drop).map_err(|error| refused(error, login))
}

async fn with_token(session: &mut Session, login: &str, tokens: &dyn AccessTokens) -> Result<(), ImportError> {
    let abilities = session.abilities().await.map_err(|error| error.because("asking what the server can do"))?;
    let token = tokens.token().await?;
    let first = sasl(session, "XOAUTH2", &xoauth2(login, &token), abilities.sasl_ir()).await;
    let Err(CommandError::Refused(refusal)) = first else {
        return first.map_err(|error| refused(error, login));
    };
    let error = refusal.of_sign_in(login);
    if !matches!(error, ImportError::Forbidden(_)) {
        return Err(error);
    }
    // The token may have been revoked before it expired; a new one shows that.
    tokens.invalidate(&token);
    let fresh = tokens.token().await?;
    session.connection.hide(&fresh);
    if fresh.expose_secret() == token.expose_secret() {
        return Err(error);
    }
    let second = sasl(session, "XOAUTH2", &xoauth2(login, &fresh), abilities.sasl_ir()).await;
    second.map_err(|error| refused(error, login))
}

fn xoauth2(login: &str, token: &SecretString) -> SecretString {
    SecretString::from(format!("user={login}\x01auth=Bearer {}\x01\x01", token.expose_secret()))
}

fn refused(error: CommandError, login: &str) -> ImportError {
    match error {
        CommandError::Refused(refusal) => refusal.of_sign_in(login),
        other => other.because("signing in"),
    }
}

/// AUTHENTICATE with a mechanism of one message (RFC 9051, 6.2.2).
async fn sasl(
    session: &mut Session,
    mechanism: &str,
    secret: &SecretString,
    initial_response: bool,
) -> Result<(), CommandError> {
    session.forget_abilities();
    let encoded = SecretString::from(BASE64.encode(secret.expose_secret()));
    session.connection.hide(&encoded);
    let tag = session.connection.next_tag();
    let mut answer = Some(format!("{}\r\n", encoded.expose_secret()));
    let command = format!("{} AUTHENTICATE {mechanism}", tag.inner());
    if initial_response && encoded.expose_secret().len() < MAX_LINE {
        let line = format!("{command} {}", answer.take().unwrap_or_default());
        session.connection.queue(Bytes::from(line));
    } else {
        session.connection.queue(Bytes::from(format!("{command}\r\n")));
    }
    loop {
        match session.connection.response().await.map_err(CommandError::Lost)? {
            // A second request is XOAUTH2's way to say what is wrong; an empty answer ends it.
            Received::Continuation => {
                let line = answer.take().unwrap_or_else(|| "\r\n".to_owned());
                session.connection.queue(Bytes::from(line));
            }
            Received::Tagged(tagged) if tagged.tag == tag => {
                session.note_code(tagged.body.code.as_ref());
                return Refusal::of(&tagged.body, session.connection.sent())
                    .map_or(Ok(()), |refusal| Err(CommandError::Refused(refusal)));
            }
            Received::Tagged(_) => {
                return Err(CommandError::Lost(session.connection.lost("the server lost its place".to_owned())));
            }
            Received::Data(_) | Received::Remark(_) | Received::Unreadable => {}
        }
    }
}
