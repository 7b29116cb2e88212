//! What a server means by NO, BAD and BYE.

use std::fmt;
use std::time::Duration;

use imap_codec::imap_types::response::{Bye, Code, StatusBody, StatusKind};

use crate::mailbox::ImportError;
use crate::scrub::Scrubber;

/// The longest text of a server that is passed on, in characters.
const MAX_TEXT: usize = 300;
const FULL: &str = "the mailbox is full; give it more room";

/// A NO, a BAD or a BYE.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    is_bad: bool,
    /// The response code's name in capitals, without its arguments; empty where there is none.
    code: String,
    text: String,
}

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The server asks for a pause.
    Throttled(Option<Duration>),
    /// The server or the mailbox doesn't work at present.
    Unavailable,
    /// The mailbox is full.
    Full,
    /// A right is missing, or the credential is wrong.
    Forbidden,
    /// The folder isn't there (any more).
    NoFolder,
    /// The folder is there already.
    FolderExists,
    /// The message is refused for good.
    MessageRefused,
    /// Nobody knows.
    Unknown,
}

impl Refusal {
    /// The refusal that a completion is, without what was `sent`; `None` for an OK.
    pub(super) fn of(body: &StatusBody<'_>, sent: &Scrubber) -> Option<Self> {
        let is_bad = match body.kind {
            StatusKind::Ok => return None,
            StatusKind::No => false,
            StatusKind::Bad => true,
        };
        Some(Self { is_bad, code: code_name(body.code.as_ref(), sent), text: shortened(body.text.inner(), sent) })
    }

    /// The refusal that a BYE is, without what was `sent`.
    pub(super) fn farewell(bye: &Bye<'_>, sent: &Scrubber) -> Self {
        Self { is_bad: false, code: code_name(bye.code.as_ref(), sent), text: shortened(bye.text.inner(), sent) }
    }

    /// Whether it is a BAD: the server may have lost its place in what it was sent.
    pub(super) fn is_bad(&self) -> bool {
        self.is_bad
    }

    /// What it is about. Response codes are those of RFC 5530, 7889, 9051 and 9208; the texts are Exchange's, which has none.
    pub(super) fn meaning(&self) -> Meaning {
        let text = self.text.to_ascii_lowercase();
        let says = |phrase: &str| text.contains(phrase);
        if says("throttled") {
            return Meaning::Throttled(suggested_pause(&text));
        }
        match self.code.as_str() {
            "UNAVAILABLE" | "INUSE" | "SERVERBUG" | "CORRUPTION" => return Meaning::Unavailable,
            "AUTHENTICATIONFAILED" | "AUTHORIZATIONFAILED" | "EXPIRED" | "PRIVACYREQUIRED" | "NOPERM" => {
                return Meaning::Forbidden;
            }
            "OVERQUOTA" => return Meaning::Full,
            "TRYCREATE" | "NONEXISTENT" => return Meaning::NoFolder,
            "ALREADYEXISTS" => return Meaning::FolderExists,
            "TOOBIG" | "LIMIT" | "CANNOT" => return Meaning::MessageRefused,
            _ => {}
        }
        if says("authenticated but not connected") {
            Meaning::Forbidden
        } else if says("maximum size of appendable message has been exceeded") {
            Meaning::MessageRefused
        } else if says("server unavailable") || says("server busy") || says("try again later") {
            Meaning::Unavailable
        } else {
            Meaning::Unknown
        }
    }

    /// What it means for a message that was to be appended. A refused message is certainly not there.
    pub(super) fn of_message(&self) -> ImportError {
        match self.meaning() {
            Meaning::Throttled(after) => ImportError::Throttled { after, detail: self.to_string() },
            Meaning::Unavailable | Meaning::NoFolder => ImportError::Unavailable(self.to_string()),
            Meaning::Full => ImportError::Forbidden(format!("{FULL}: {self}")),
            Meaning::Forbidden => ImportError::Forbidden(self.to_string()),
            Meaning::MessageRefused => ImportError::Rejected(self.to_string()),
            Meaning::FolderExists | Meaning::Unknown => ImportError::Unexpected(self.to_string()),
        }
    }

    /// What it means for any other command. `doing` says what was tried.
    pub(super) fn of_command(&self, doing: &str) -> ImportError {
        let detail = format!("{doing}: {self}");
        match self.meaning() {
            Meaning::Throttled(after) => ImportError::Throttled { after, detail },
            Meaning::MessageRefused if self.code == "CANNOT" => ImportError::Forbidden(detail),
            // A limit that a command other than APPEND runs into is one of the server's at this time.
            Meaning::Unavailable | Meaning::MessageRefused => ImportError::Unavailable(detail),
            Meaning::Full => ImportError::Forbidden(format!("{FULL}: {detail}")),
            Meaning::Forbidden => ImportError::Forbidden(detail),
            Meaning::NoFolder | Meaning::FolderExists | Meaning::Unknown => ImportError::Unexpected(detail),
        }
    }

    /// What it means for a sign-in. A plain NO there is a credential that is wrong.
    pub(super) fn of_sign_in(&self, login: &str) -> ImportError {
        match self.meaning() {
            Meaning::Unknown | Meaning::NoFolder | Meaning::FolderExists => {
                ImportError::Forbidden(format!("the sign-in of {login} is refused: {self}"))
            }
            _ => self.of_command(&format!("signing in as {login}")),
        }
    }

    /// Whether it is about one folder, so that others may well be opened.
    pub(super) fn is_about_the_folder(&self) -> bool {
        let meaning = self.meaning();
        meaning == Meaning::NoFolder || self.code == "NOPERM" || (meaning == Meaning::Unknown && !self.is_bad)
    }

    /// Whether it is about this message alone, so that others sent with it may well be taken.
    pub(super) fn is_about_the_message(&self) -> bool {
        matches!(self.meaning(), Meaning::MessageRefused | Meaning::Unknown)
    }

    /// Whether it is about one of several messages that were sent together, so that others of them may well be taken.
    pub(super) fn is_about_one_of_several(&self) -> bool {
        // One of a few may fit where all together don't.
        self.is_about_the_message() || self.meaning() == Meaning::Full
    }

    /// Whether a right to this folder is missing, as it is for other people's folders.
    pub(super) fn is_for_others(&self) -> bool {
        self.code == "NOPERM"
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_bad {
            f.write_str("BAD ")?;
        }
        if !self.code.is_empty() {
            write!(f, "[{}] ", self.code)?;
        }
        f.write_str(&self.text)
    }
}

/// The pause in `request is throttled. suggested backoff time: N milliseconds`, where there is one.
fn suggested_pause(text: &str) -> Option<Duration> {
    let (_, rest) = text.split_once("backoff time:")?;
    let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().map(Duration::from_millis)
}

fn code_name(code: Option<&Code<'_>>, sent: &Scrubber) -> String {
    let written = match code {
        Some(Code::TryCreate) => return "TRYCREATE".to_owned(),
        Some(Code::OverQuota) => return "OVERQUOTA".to_owned(),
        Some(Code::TooBig) => return "TOOBIG".to_owned(),
        Some(Code::Alert) => return "ALERT".to_owned(),
        Some(Code::Other(other)) => String::from_utf8_lossy(other.inner()).into_owned(),
        _ => return String::new(),
    };
    sent.scrub(&written).split(' ').next().unwrap_or_default().to_ascii_uppercase()
}

fn shortened(text: &str, sent: &Scrubber) -> String {
    sent.scrub(text).chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use imap_codec::imap_types::response::{CodeOther, StatusBody, StatusKind};

    use super::*;

    fn no(code: &str, text: &str) -> Refusal {
        let code = (!code.is_empty()).then(|| Code::Other(CodeOther::unvalidated(code.as_bytes().to_vec())));
        let body = StatusBody { kind: StatusKind::No, code, text: text.to_owned().try_into().unwrap() };
        Refusal::of(&body, &Scrubber::default()).unwrap()
    }

    #[test]
    fn exchange_says_how_long_to_wait() {
        let said = no("", "Request is throttled. Suggested Backoff Time: 92415 milliseconds");
        assert_eq!(said.meaning(), Meaning::Throttled(Some(Duration::from_millis(92_415))));
        assert_eq!(no("", "Request is throttled.").meaning(), Meaning::Throttled(None));
        let absurd = no("", "Request is throttled. Suggested Backoff Time: 99999999999999999999999 milliseconds");
        assert_eq!(absurd.meaning(), Meaning::Throttled(None));
    }

    #[test]
    fn codes_are_read_whatever_their_case_and_arguments() {
        assert_eq!(no("Unavailable", "x").meaning(), Meaning::Unavailable);
        assert_eq!(no("LIMIT 35882577", "x").meaning(), Meaning::MessageRefused);
        assert_eq!(no("SOMETHING", "x").meaning(), Meaning::Unknown);
    }

    #[test]
    fn a_right_that_is_missing_is_never_a_rejected_message() {
        let said = no("", "User is authenticated but not connected.");
        assert!(matches!(said.of_message(), ImportError::Forbidden(_)));
        assert!(!said.is_about_the_message());
    }

    #[test]
    fn an_unknown_answer_is_deferred() {
        assert!(matches!(no("", "No.").of_message(), ImportError::Unexpected(_)));
        assert!(matches!(no("", "No.").of_sign_in("ana"), ImportError::Forbidden(_)));
        assert!(matches!(no("UNAVAILABLE", "Later.").of_sign_in("ana"), ImportError::Unavailable(_)));
    }

    #[test]
    fn a_servers_text_is_cut() {
        assert!(no("", &"x".repeat(10_000)).to_string().len() <= MAX_TEXT);
    }
}
