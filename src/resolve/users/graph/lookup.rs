//! The look-up itself: which user has an address, and whether the user has a mailbox.

use std::collections::HashMap;

use bytes::Bytes;
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use uuid::Uuid;

use crate::graph::{CallError, Graph, Refusal, Version, literal, permission_advice};
use crate::http::Remote;
use crate::json_fault::JsonFault;
use crate::resolution::{Mailbox, MailboxId};
use crate::resolve::address;
use crate::resolve::users::{Answer, DirectoryError};
use crate::sign_in::SignInError;
use crate::throttle::Throttle;

const SELECT: (&str, &str) = ("$select", "id,mail,userPrincipalName,proxyAddresses");
/// More users than this with one address are never looked through: more than one with a mailbox is an error anyway.
const MAX_CANDIDATES: usize = 10;

/// Refusals that certainly mean: there is no such user.
const NO_USER: [&str; 3] = ["Request_ResourceNotFound", "ErrorInvalidUser", "ResourceNotFound"];
/// Refusals that certainly mean: the user has no mailbox that can be used.
const NO_MAILBOX: [&str; 3] =
    ["MailboxNotEnabledForRESTAPI", "MailboxNotHostedInExchangeOnline", "ErrorNonExistentMailbox"];

pub(super) struct LookUp<'a> {
    pub(super) graph: &'a Graph,
    pub(super) throttle: Option<&'a Throttle>,
}

/// A user as Graph describes it.
#[derive(Debug, Clone, Deserialize)]
struct User {
    id: String,
    mail: Option<String>,
    #[serde(rename = "userPrincipalName")]
    principal_name: Option<String>,
    #[serde(rename = "proxyAddresses")]
    proxy_addresses: Option<Vec<String>>,
}

impl User {
    /// Whether `address` is one of the user's own.
    fn has(&self, address: &str) -> bool {
        let proxies = self.proxy_addresses.iter().flatten().filter_map(|proxy| {
            let (kind, proxy) = proxy.split_once(':')?;
            kind.eq_ignore_ascii_case("smtp").then_some(proxy)
        });
        let named = [self.mail.as_deref(), self.principal_name.as_deref()].into_iter().flatten();
        named.chain(proxies).any(|own| own.eq_ignore_ascii_case(address))
    }
}

#[derive(Deserialize)]
struct Users {
    value: Vec<User>,
}

/// How an address is looked for, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    PrincipalName,
    PrimaryAddress,
    AnyAddress,
}

type Found = Result<Vec<User>, DirectoryError>;

impl LookUp<'_> {
    /// The answers for `addresses` (lower case, each once), in the same order.
    pub(super) async fn all(&self, addresses: &[String]) -> Vec<Result<Answer, DirectoryError>> {
        let found = self.users(addresses).await;
        let mut candidates: Vec<&User> = found.values().filter_map(|found| found.as_ref().ok()).flatten().collect();
        candidates.sort_by(|a, b| a.id.cmp(&b.id));
        candidates.dedup_by(|a, b| a.id == b.id);
        let mailboxes = self.mailboxes(&candidates).await;
        addresses.iter().map(|address| answer(address, found.get(address.as_str()), &mailboxes)).collect()
    }

    /// Who has each address. An address that isn't one is left out.
    async fn users<'a>(&self, addresses: &'a [String]) -> HashMap<&'a str, Found> {
        let mut found: HashMap<&str, Found> = HashMap::new();
        let mut open: Vec<&str> = addresses.iter().map(String::as_str).filter(|address| is_address(address)).collect();
        for way in [Way::PrincipalName, Way::PrimaryAddress, Way::AnyAddress] {
            let urls: Result<Vec<Url>, CallError> = open.iter().map(|address| self.url(way, address)).collect();
            let urls = match urls {
                Ok(urls) => urls,
                Err(error) => {
                    let error = DirectoryError::Unexpected(error.to_string());
                    found.extend(open.iter().map(|address| (*address, Err(error.clone()))));
                    return found;
                }
            };
            let replies = self.graph.get_all(Remote::Directory, &urls).await;
            let mut still_open = Vec::new();
            for (address, reply) in open.into_iter().zip(replies) {
                match users_in(way, address, reply) {
                    Ok(users) if users.is_empty() => still_open.push(address),
                    result => {
                        found.insert(address, result);
                    }
                }
            }
            open = still_open;
        }
        found.extend(open.into_iter().map(|address| (address, Ok(Vec::new()))));
        found
    }

    /// Where users' mailboxes are now, by the users' ids. What a user list found before has its address for an id: that is whoever has it
    /// as their own.
    pub(super) async fn again(&self, mailboxes: &[Mailbox]) -> Vec<Result<Answer, DirectoryError>> {
        let mut answers = Vec::with_capacity(mailboxes.len());
        let (listed, known): (Vec<&Mailbox>, Vec<&Mailbox>) =
            mailboxes.iter().partition(|known| is_address(&known.id.0));
        let addresses: Vec<String> = listed.iter().map(|known| known.id.0.clone()).collect();
        let mut of_listed = if listed.is_empty() { Vec::new() } else { self.all(&addresses).await }.into_iter();
        let mut of_known = self.by_ids(&known).await.into_iter();
        for known in mailboxes {
            answers.push(if is_address(&known.id.0) {
                of_listed.next().unwrap_or_else(no_reply).map(|answer| own_address(known, answer))
            } else {
                of_known.next().unwrap_or_else(no_reply)
            });
        }
        answers
    }

    async fn by_ids(&self, mailboxes: &[&Mailbox]) -> Vec<Result<Answer, DirectoryError>> {
        let url = |known: &&Mailbox| self.graph.url(Version::V1, &["users", &known.id.0], &[SELECT]);
        let replies = self.get_each(mailboxes.iter().map(url).collect()).await;
        let found: Vec<_> = mailboxes.iter().zip(replies).map(|(known, reply)| user_with(&known.id, reply)).collect();
        let users: Vec<&User> = found.iter().filter_map(|user| user.as_ref().ok()?.as_ref()).collect();
        let usable = self.mailboxes(&users).await;
        mailboxes.iter().zip(found).map(|(known, user)| whereabouts(known, user?, &usable)).collect()
    }

    fn url(&self, way: Way, address: &str) -> Result<Url, CallError> {
        let filter = match way {
            Way::PrincipalName if is_plain(address) => {
                return self.graph.url(Version::V1, &["users", address], &[SELECT]);
            }
            Way::PrincipalName => format!("userPrincipalName eq {}", literal(address)),
            Way::PrimaryAddress => format!("mail eq {}", literal(address)),
            Way::AnyAddress => format!("proxyAddresses/any(p:p eq {})", literal(&format!("smtp:{address}"))),
        };
        self.graph.url(Version::V1, &["users"], &[("$filter", &filter), SELECT])
    }

    /// Which of `users` have a mailbox.
    async fn mailboxes(&self, users: &[&User]) -> HashMap<String, Result<(), NoMailbox>> {
        let inbox = |user: &&User| {
            let select = [("$select", "id")];
            self.graph.url(Version::V1, &["users", &user.id, "mailFolders", "inbox"], &select)
        };
        let urls: Vec<Result<Url, CallError>> = users.iter().map(inbox).collect();
        if let Some(throttle) = self.throttle {
            let asked = users.iter().zip(&urls).filter(|(_, url)| url.is_ok());
            asked.for_each(|(user, _)| throttle.count(&MailboxId(user.id.clone())));
        }
        let replies = self.get_each(urls).await;
        users.iter().zip(replies).map(|(user, reply)| (user.id.clone(), mailbox_in(reply))).collect()
    }

    /// The reply to each of these, in their order; an address that can't be made has none but its error.
    async fn get_each(&self, urls: Vec<Result<Url, CallError>>) -> Vec<Result<Bytes, CallError>> {
        let usable: Vec<Url> = urls.iter().filter_map(|url| url.as_ref().ok().cloned()).collect();
        let mut replies = self.graph.get_all(Remote::Directory, &usable).await.into_iter();
        let mut reply = || replies.next().unwrap_or_else(|| Err(CallError::Unexpected("no reply".to_owned())));
        urls.into_iter().map(|url| url.and_then(|_| reply())).collect()
    }
}

/// Why a user is not one that copies are imported for.
enum NoMailbox {
    Certainly(String),
    NoAnswer(DirectoryError),
}

fn users_in(way: Way, address: &str, reply: Result<Bytes, CallError>) -> Found {
    let users = match reply {
        Ok(body) if way == Way::PrincipalName && is_plain(address) => {
            vec![serde_json::from_slice(&body).map_err(unreadable)?]
        }
        Ok(body) => {
            let users: Users = serde_json::from_slice(&body).map_err(unreadable)?;
            if users.value.len() > MAX_CANDIDATES {
                return Err(DirectoryError::Unexpected(format!("{} users with one address", users.value.len())));
            }
            users.value
        }
        Err(CallError::Refused(refusal)) if is_unknown_user(&refusal) => Vec::new(),
        Err(error) => return Err(no_answer(&error, "User.Read.All")),
    };
    match users.iter().find(|user| !user.has(address)) {
        None => Ok(users),
        Some(other) => Err(another_user(address, other)),
    }
}

/// The user with this id, where there is one.
fn user_with(id: &MailboxId, reply: Result<Bytes, CallError>) -> Result<Option<User>, DirectoryError> {
    match reply {
        Ok(body) => {
            let user: User = serde_json::from_slice(&body).map_err(unreadable)?;
            if user.id.eq_ignore_ascii_case(&id.0) { Ok(Some(user)) } else { Err(another_user("an id", &user)) }
        }
        Err(CallError::Refused(refusal)) if is_unknown_user(&refusal) => Ok(None),
        Err(error) => Err(no_answer(&error, "User.Read.All")),
    }
}

/// Where the mailbox of a user is now.
fn whereabouts(
    known: &Mailbox,
    user: Option<User>,
    usable: &HashMap<String, Result<(), NoMailbox>>,
) -> Result<Answer, DirectoryError> {
    let not_valid = |detail: String| Ok(Answer::NotValid { detail });
    let Some(user) = user else {
        return not_valid(format!("the directory knows no user with the id {} any more", known.id));
    };
    match usable.get(&user.id) {
        Some(Ok(())) => {}
        Some(Err(NoMailbox::Certainly(code))) => {
            return not_valid(format!("the user {} has no mailbox that can be used any more ({code})", known.id));
        }
        Some(Err(NoMailbox::NoAnswer(error))) => return Err(error.clone()),
        None => return Err(DirectoryError::Unexpected("a user whose mailbox was not looked at".to_owned())),
    }
    let still = user.has(&known.address).then_some(known.address.as_str());
    let named = [user.mail.as_deref(), user.principal_name.as_deref(), still];
    match named.into_iter().flatten().find(|address| is_address(address)) {
        Some(address) => Ok(Answer::Valid(Mailbox { id: known.id.clone(), address: address.to_owned() })),
        None => not_valid(format!("the user {} has no address any more", known.id)),
    }
}

/// The answer for a mailbox that a user list found, whose id is its address: an alias is another mailbox's.
fn own_address(known: &Mailbox, answer: Answer) -> Answer {
    match answer {
        Answer::Valid(now) if now.address.eq_ignore_ascii_case(&known.id.0) => {
            Answer::Valid(Mailbox { id: known.id.clone(), address: now.address })
        }
        Answer::Valid(now) => Answer::NotValid { detail: format!("{} is an alias of {} now", known.id, now.address) },
        gone @ Answer::NotValid { .. } => gone,
    }
}

fn no_reply() -> Result<Answer, DirectoryError> {
    Err(DirectoryError::Unexpected("no answer for a mailbox".to_owned()))
}

fn unreadable(error: serde_json::Error) -> DirectoryError {
    DirectoryError::Unexpected(format!("a user that can't be read: {}", JsonFault::from(error)))
}

/// The directory described a user who doesn't have the address: a copy must never go into a stranger's mailbox.
fn another_user(address: &str, user: &User) -> DirectoryError {
    tracing::error!(
        event = "directory_contradicts",
        user.id = Uuid::try_parse(&user.id).ok().map(tracing::field::display),
        "the user directory answered with a user who doesn't have the address that was asked for; copies for that \
         address wait: check what stands between the archiver and Microsoft Graph"
    );
    let named = if is_address(address) { address } else { "an address" };
    DirectoryError::Unexpected(format!(
        "asked for {named}, the directory described a user who doesn't have that address (neither mail, \
         userPrincipalName nor proxyAddresses)"
    ))
}

fn mailbox_in(reply: Result<Bytes, CallError>) -> Result<(), NoMailbox> {
    match reply {
        Ok(_) => Ok(()),
        Err(CallError::Refused(refusal)) if refusal.is_any(&NO_MAILBOX) || is_unknown_user(&refusal) => {
            Err(NoMailbox::Certainly(refusal.code))
        }
        Err(error) => Err(NoMailbox::NoAnswer(no_answer(&error, "Mail.ReadWrite"))),
    }
}

fn is_unknown_user(refusal: &Refusal) -> bool {
    refusal.status == StatusCode::NOT_FOUND && refusal.is_any(&NO_USER)
}

fn answer(
    address: &str,
    found: Option<&Found>,
    mailboxes: &HashMap<String, Result<(), NoMailbox>>,
) -> Result<Answer, DirectoryError> {
    let not_valid = |detail: String| Ok(Answer::NotValid { detail });
    let users = match found {
        None => return not_valid("not an e-mail address".to_owned()),
        Some(Err(error)) => return Err(error.clone()),
        Some(Ok(users)) => users,
    };
    let mut valid = Vec::new();
    let mut missing = None;
    for user in users {
        match mailboxes.get(&user.id) {
            Some(Ok(())) => valid.push(user),
            Some(Err(NoMailbox::Certainly(code))) => missing = Some(code),
            Some(Err(NoMailbox::NoAnswer(error))) => return Err(error.clone()),
            None => return Err(DirectoryError::Unexpected("a user whose mailbox was not looked at".to_owned())),
        }
    }
    match (valid.as_slice(), missing) {
        ([user], _) => mailbox_of(address, user).map(Answer::Valid),
        ([], Some(code)) => not_valid(format!("the user has no mailbox that can be used ({code})")),
        ([], None) => not_valid("the directory knows no user with this address".to_owned()),
        (several, _) => {
            Err(DirectoryError::Unexpected(format!("{} users with a mailbox have this address", several.len())))
        }
    }
}

/// The mailbox of a user, under the primary address.
fn mailbox_of(address: &str, user: &User) -> Result<Mailbox, DirectoryError> {
    if user.id.is_empty() {
        return Err(DirectoryError::Unexpected("a user without an id".to_owned()));
    }
    let named = [user.mail.as_deref(), user.principal_name.as_deref(), Some(address)];
    let primary = named.into_iter().flatten().find(|address| is_address(address));
    let address = primary.unwrap_or(address).to_owned();
    Ok(Mailbox { id: MailboxId(user.id.clone()), address })
}

/// An error that says nothing about the user.
fn no_answer(error: &CallError, permission: &str) -> DirectoryError {
    match error {
        CallError::SignIn(error) => signed_out(error),
        CallError::LimitUsedUp(after) => DirectoryError::Throttled { after: Some(*after), detail: error.to_string() },
        CallError::NotSent(detail) | CallError::NoReply(detail) => DirectoryError::Unavailable(detail.clone()),
        CallError::Refused(refusal) if refusal.is_throttling() => {
            DirectoryError::Throttled { after: refusal.after, detail: refusal.to_string() }
        }
        CallError::Refused(refusal) if refusal.status.is_server_error() => match refusal.after {
            after @ Some(_) => DirectoryError::Throttled { after, detail: refusal.to_string() },
            None => DirectoryError::Unavailable(refusal.to_string()),
        },
        CallError::Refused(refusal) if matches!(refusal.status, StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED) => {
            DirectoryError::Forbidden(format!("{refusal}; {}", permission_advice(permission)))
        }
        CallError::Refused(_) | CallError::Unreadable(_) | CallError::TooLarge(_) | CallError::Unexpected(_) => {
            DirectoryError::Unexpected(error.to_string())
        }
    }
}

fn signed_out(error: &SignInError) -> DirectoryError {
    match error {
        SignInError::Refused { .. } | SignInError::Unusable(_) => DirectoryError::Forbidden(error.to_string()),
        SignInError::Throttled { after, detail } => DirectoryError::Throttled { after: *after, detail: detail.clone() },
        SignInError::Unavailable(_) => DirectoryError::Unavailable(error.to_string()),
        SignInError::Unexpected(_) => DirectoryError::Unexpected(error.to_string()),
    }
}

/// Whether a text can be a mailbox's address at all.
fn is_address(text: &str) -> bool {
    address::check(text).is_ok()
}

/// Whether an address can stand in a path. Graph reads `$`, `'` and `#` there in ways of its own.
fn is_plain(address: &str) -> bool {
    address.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'@' | b'.' | b'-' | b'_'))
        && !address.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_not_asked_for() {
        for text in [
            "",
            "ana",
            "Ana <ana@contoso.example>",
            "ana@contoso",
            "ana@contoso.example\r\nx: y",
            "a b@c.example",
            "ana@[192.0.2.1]",
        ] {
            assert!(!is_address(text), "{text:?}");
        }
        for text in ["ana@contoso.example", "o'brien+x@contoso.example"] {
            assert!(is_address(text), "{text:?}");
        }
    }

    #[test]
    fn a_refusal_names_the_permission() {
        let body = br#"{"error":{"code":"ErrorAccessDenied"}}"#;
        let headers = reqwest::header::HeaderMap::new();
        let refusal = Refusal::of(StatusCode::FORBIDDEN, &headers, body, chrono::DateTime::UNIX_EPOCH);
        let error = no_answer(&CallError::Refused(refusal), "User.Read.All");
        assert!(
            matches!(&error, DirectoryError::Forbidden(detail) if detail.contains("grant the application User.Read.All"))
        );
    }
}
