//! Asks the mapping file, the items and the directory, in that order, for whole batches of items at once.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, Utc};

use super::address;
use super::mapping::{Holder, Mapping, Validity};
use super::users::{Answer, DirectoryError, UserDirectory};
use crate::item::text::single_line;
use crate::item::{Identifier, Item, Participant, Person, PhoneNumber};
use crate::resolution::{Mailbox, MailboxId, Resolution, Resolved, ResolvedBy, ResolvedTo};

/// The most characters of what the directory said that a detail repeats.
const MAX_DETAIL: usize = 300;

/// What a detail says of an address that the directory doesn't know; [`Resolver::may_be_valid_now`] looks for it.
const NOT_A_VALID_USER: &str = "is not a valid user";

/// What details call the address that the mapping file has, and say of one that it has for other times only;
/// [`Resolver::is_named_since`] looks for both.
const MAPPING_FILE: &str = "mapping file";
const OTHER_TIMES: &str = "in the mapping file for other times only";

/// What details call the address that comes with an item.
const EMAIL_PROPERTY: &str = "e-mail property";

/// Finds the mailboxes that items belong in.
pub struct Resolver {
    mapping: RwLock<Option<Arc<Mapping>>>,
    automatic: bool,
    directory: Arc<dyn UserDirectory>,
}

impl Resolver {
    /// A resolver with the administrator's mapping, if there is one. `automatic` says whether the items' e-mail property
    /// is used.
    pub fn new(mapping: Option<Arc<Mapping>>, automatic: bool, directory: Arc<dyn UserDirectory>) -> Self {
        Self { mapping: RwLock::new(mapping), automatic, directory }
    }

    /// Puts another mapping in force, for what is resolved from now on.
    pub fn replace_mapping(&self, mapping: Option<Arc<Mapping>>) {
        *self.mapping.write().unwrap_or_else(PoisonError::into_inner) = mapping;
    }

    /// The mapping in force.
    pub fn mapping(&self) -> Option<Arc<Mapping>> {
        self.mapping.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A resolver that keeps the mapping now in force, so that a run is of one piece.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        Self::new(self.mapping(), self.automatic, Arc::clone(&self.directory))
    }

    /// Resolves all participants of each item; one resolution for each item, in the same order.
    ///
    /// The directory is asked twice at most: for the addresses of the mapping, then for the e-mail properties of those
    /// participants for whom the mapping certainly has no valid user.
    pub async fn resolve(&self, items: &[&Item]) -> Vec<Resolution> {
        self.resolve_but(items, &HashMap::new()).await.0
    }

    /// The same, without asking for the addresses that `left` has an error for, in lower case. Also the addresses that the directory was
    /// asked for now and gave no answer for.
    pub async fn resolve_but(
        &self,
        items: &[&Item],
        left: &HashMap<String, DirectoryError>,
    ) -> (Vec<Resolution>, Vec<(String, DirectoryError)>) {
        let mapping = self.mapping();
        let candidates: Vec<Vec<Candidate<'_>>> =
            items.iter().map(|item| self.candidates(item, mapping.as_deref())).collect();
        let mut answers = Answers(left.iter().map(|(address, error)| (address.clone(), Err(error.clone()))).collect());
        let mapped = candidates.iter().flatten().filter_map(|candidate| candidate.mapped.address());
        answers.ask(&*self.directory, mapped).await;
        let fallen_back = candidates.iter().flatten().filter(|candidate| candidate.falls_back(&answers));
        let properties: Vec<&str> = fallen_back.filter_map(|candidate| candidate.property.address()).collect();
        answers.ask(&*self.directory, properties.into_iter()).await;
        let resolutions = candidates.into_iter().map(|candidates| resolution(candidates, &answers)).collect();
        let asked = answers.0.into_iter().filter(|(address, _)| !left.contains_key(address));
        (resolutions, asked.filter_map(|(address, answer)| Some((address, answer.err()?))).collect())
    }

    /// Whether a participant without a valid user may have one by now, as far as that can be known without the item: the
    /// mapping names them, an address of theirs was no valid user then, or the e-mail property was not in use.
    pub fn may_be_valid_now(&self, resolved: &Resolved) -> bool {
        let ResolvedTo::NoValidUser { detail } = &resolved.outcome else { return false };
        let identifier = resolved.participant.identifier();
        // An item may say whose number an identifier is; only the item tells.
        if matches!(identifier, Some(Identifier::Name(_))) {
            return true;
        }
        let is_mapped = self.mapping().zip(identifier).is_some_and(|(mapping, identifier)| mapping.names(&identifier));
        is_mapped || detail.contains(NOT_A_VALID_USER) || (self.automatic && !detail.contains(EMAIL_PROPERTY))
    }

    /// All other addresses of a mailbox, as ids: see [`UserDirectory::other_ids`].
    pub fn other_ids(&self, mailbox: &MailboxId) -> &[MailboxId] {
        self.directory.other_ids(mailbox)
    }

    /// Where mailboxes of the ledger are now: see [`UserDirectory::find_again`]. Too few answers are none.
    pub async fn find_again(&self, mailboxes: &[Mailbox]) -> Vec<Result<Answer, DirectoryError>> {
        let mut answers = self.directory.find_again(mailboxes).await;
        let none = || Err(DirectoryError::Unexpected("fewer answers than questions".to_owned()));
        answers.resize_with(mailboxes.len(), none);
        answers
    }

    /// Whether the mapping names somebody now whom it didn't name when they were found to be no valid user.
    pub fn is_named_since(&self, resolved: &Resolved) -> bool {
        let ResolvedTo::NoValidUser { detail } = &resolved.outcome else { return false };
        let was_named = detail.starts_with(MAPPING_FILE) || detail.contains(OTHER_TIMES);
        let identifier = resolved.participant.identifier();
        !was_named && self.mapping().zip(identifier).is_some_and(|(mapping, identifier)| mapping.names(&identifier))
    }

    fn candidates<'a>(&self, item: &'a Item, mapping: Option<&'a Mapping>) -> Vec<Candidate<'a>> {
        let people = People::of(item);
        let candidate = |participant: &'a Participant| {
            let identifiers = item.identifiers_of(participant);
            let found = mapping.map(|mapping| mapped(mapping, &identifiers, item.time.at));
            let (mapped, identifier) = found.unwrap_or((Claim::Off, None));
            let property = if self.automatic { people.property(&item.key_of(participant)) } else { Claim::Off };
            Candidate { participant, mapped, identifier: identifier.cloned(), property }
        };
        item.participants().into_iter().map(candidate).collect()
    }
}

/// What `participantEnrichments` says, by participant: the first entry counts, as everywhere.
struct People<'a>(HashMap<String, &'a Person>);

impl<'a> People<'a> {
    fn of(item: &'a Item) -> Self {
        let mut people = HashMap::with_capacity(item.people.len());
        for (participant, person) in &item.people {
            people.entry(item.key_of(participant).into_owned()).or_insert(person);
        }
        Self(people)
    }

    fn property(&self, key: &str) -> Claim<'a> {
        let person = self.0.get(key);
        let text = person.and_then(|person| person.email.as_deref()).map(str::trim).unwrap_or_default();
        if text.is_empty() {
            Claim::Nothing("no e-mail property")
        } else if address::check(text).is_ok() {
            Claim::Address(text)
        } else {
            Claim::Nothing("e-mail property: not an address")
        }
    }
}

/// What the mapping says at the time of an item of somebody with these identifiers, and by which.
fn mapped<'a, 'b>(
    mapping: &'a Mapping,
    identifiers: &'b [Identifier],
    at: DateTime<Utc>,
) -> (Claim<'a>, Option<&'b Identifier>) {
    let held = identifiers.iter().find_map(|identifier| Some((identifier, mapping.holder(identifier, at)?)));
    match held {
        Some((identifier, Holder { address, validity })) => (Claim::Mapped(address, validity), Some(identifier)),
        None if identifiers.iter().any(|identifier| mapping.names(identifier)) => (Claim::Nothing(OTHER_TIMES), None),
        None => (Claim::Nothing("not in the mapping file"), None),
    }
}

/// A participant and the addresses that may be theirs.
struct Candidate<'a> {
    participant: &'a Participant,
    mapped: Claim<'a>,
    /// What the mapping found the participant by.
    identifier: Option<Identifier>,
    property: Claim<'a>,
}

/// What one of the two mappings says of a participant.
#[derive(Clone, Copy)]
enum Claim<'a> {
    /// The mapping is not in use.
    Off,
    /// No address, and why.
    Nothing(&'static str),
    /// An address, which the directory knows or not.
    Address(&'a str),
    /// The same, with the time for which the mapping file says so.
    Mapped(&'a str, Validity),
}

impl<'a> Claim<'a> {
    fn address(self) -> Option<&'a str> {
        match self {
            Self::Address(address) | Self::Mapped(address, _) => Some(address),
            Self::Off | Self::Nothing(_) => None,
        }
    }
}

impl Candidate<'_> {
    /// Whether the mapping file certainly yields no valid user.
    fn falls_back(&self, answers: &Answers) -> bool {
        self.mapped.address().is_none_or(|address| matches!(answers.of(address), Ok(Answer::NotValid { .. })))
    }

    fn outcome(&self, answers: &Answers) -> ResolvedTo {
        let claims = [(self.mapped, ResolvedBy::Csv, MAPPING_FILE), (self.property, ResolvedBy::Email, EMAIL_PROPERTY)];
        let mut tried: Vec<String> = Vec::new();
        for (claim, by, source) in claims {
            match claim {
                Claim::Off => {}
                Claim::Nothing(why) => tried.push(why.to_owned()),
                Claim::Address(address) | Claim::Mapped(address, _) => match answers.of(address) {
                    Ok(Answer::Valid(mailbox)) => return ResolvedTo::Mailbox { mailbox: mailbox.clone(), by },
                    Ok(Answer::NotValid { detail }) => {
                        let reason = self.reason(address, detail);
                        tried.push(format!("{source}: {} {NOT_A_VALID_USER}{reason}", self.shown(address)));
                    }
                    Err(error) => {
                        let detail = match error {
                            DirectoryError::Unexpected(_) => {
                                let reason = self.reason(address, &error.to_string());
                                format!("{source}: no answer for {}{reason}", self.shown(address))
                            }
                            // Of the directory as a whole: one cause, however many addresses it is asked for.
                            _ if self.number_in(address).is_some() => "the user directory gave no answer".to_owned(),
                            _ => single_line(&error.to_string()).chars().take(MAX_DETAIL).collect(),
                        };
                        return ResolvedTo::Unanswered { detail };
                    }
                },
            }
        }
        if tried.is_empty() {
            tried.push("no user mapping is in use".to_owned());
        }
        ResolvedTo::NoValidUser { detail: tried.join("; ") }
    }

    /// The rule that named the mailbox: the identifier, masked, and when the line of the mapping file holds.
    fn rule(&self, outcome: &ResolvedTo) -> Option<String> {
        match (outcome, self.mapped) {
            (ResolvedTo::Mailbox { by: ResolvedBy::Csv, .. }, Claim::Mapped(_, validity)) => {
                Some(format!("mapping file: {}, valid {validity}", self.identifier.as_ref()?.masked()))
            }
            _ => None,
        }
    }

    /// What the directory said, in brackets; nothing where it may repeat a phone number.
    fn reason(&self, address: &str, said: &str) -> String {
        if said.trim().is_empty() || self.number_in(address).is_some() {
            return String::new();
        }
        let said: String = single_line(said).chars().take(MAX_DETAIL).collect();
        format!(" ({said})")
    }

    /// The address, its phone number masked where it has one.
    fn shown(&self, address: &str) -> String {
        match (self.number_in(address), address.rsplit_once('@')) {
            (Some(number), Some((_, domain))) => format!("{}@{domain}", number.masked()),
            _ => address.to_owned(),
        }
    }

    /// The phone number that stands before the `@` of an address: the participant's own, or anything that reads as one.
    fn number_in(&self, address: &str) -> Option<PhoneNumber> {
        const MIN_DIGITS: usize = 7;
        let local = address.rsplit_once('@').map_or(address, |(local, _)| local);
        let own = self.participant.phone_number();
        PhoneNumber::read(local)
            .filter(|number| number.digits().len() >= MIN_DIGITS)
            .or_else(|| own.filter(|own| own.digits().len() >= MIN_DIGITS && local.contains(own.digits())))
    }
}

fn resolution(candidates: Vec<Candidate<'_>>, answers: &Answers) -> Resolution {
    let resolved = candidates.into_iter().map(|candidate| {
        let outcome = candidate.outcome(answers);
        let rule = candidate.rule(&outcome);
        Resolved { participant: candidate.participant.clone(), outcome, rule, late: false }
    });
    Resolution(resolved.collect())
}

/// What the directory answered, by address in lower case.
struct Answers(HashMap<String, Result<Answer, DirectoryError>>);

impl Answers {
    /// Asks for the addresses that were not asked for before, each once, in one go.
    async fn ask(&mut self, directory: &dyn UserDirectory, addresses: impl Iterator<Item = &str>) {
        let mut seen = HashSet::new();
        let new: Vec<String> = addresses
            .map(str::to_ascii_lowercase)
            .filter(|address| !self.0.contains_key(address) && seen.insert(address.clone()))
            .collect();
        if new.is_empty() {
            return;
        }
        let answers = directory.look_up(&new).await;
        // Too few answers leave addresses unanswered, see `of`.
        self.0.extend(new.into_iter().zip(answers));
    }

    fn of(&self, address: &str) -> Result<&Answer, DirectoryError> {
        match self.0.get(address.to_ascii_lowercase().as_str()) {
            Some(answer) => answer.as_ref().map_err(Clone::clone),
            None => Err(DirectoryError::Unexpected("fewer answers than questions".to_owned())),
        }
    }
}
