//! The published limits, counted per mailbox as the server sees them.

use std::collections::{HashMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};

use super::http::Answer;

/// The limits in force, and what was counted.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) requests_per_10m: usize,
    pub(crate) upload_per_5m: usize,
    pub(crate) at_once: usize,
    mailboxes: HashMap<String, Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    requests: VecDeque<DateTime<Utc>>,
    upload: VecDeque<(DateTime<Utc>, usize)>,
    in_flight: usize,
    most_in_flight: usize,
    refused: usize,
}

impl Limits {
    pub(super) fn published() -> Self {
        Self { requests_per_10m: 10_000, upload_per_5m: 150_000_000, at_once: 4, mailboxes: HashMap::new() }
    }

    /// Counts a request; an answer where it is one too many.
    pub(super) fn arrive(&mut self, mailbox: &str, bytes: usize, now: DateTime<Utc>) -> Option<Answer> {
        let counted = self.mailboxes.entry(mailbox.to_owned()).or_default();
        counted.in_flight += 1;
        counted.most_in_flight = counted.most_in_flight.max(counted.in_flight);
        counted.requests.retain(|at| now - *at < TimeDelta::minutes(10));
        counted.upload.retain(|(at, _)| now - *at < TimeDelta::minutes(5));
        counted.requests.push_back(now);
        counted.upload.push_back((now, bytes));
        let uploaded: usize = counted.upload.iter().map(|(_, bytes)| bytes).sum();
        let (too_many, message, pause) = if counted.in_flight > self.at_once {
            (true, "Application is over its MailboxConcurrency limit.", 1)
        } else if counted.requests.len() > self.requests_per_10m {
            (true, "Application is over its request limit.", 60)
        } else {
            (uploaded > self.upload_per_5m, "Application is over its upload limit.", 60)
        };
        counted.refused += usize::from(too_many);
        too_many.then(|| Answer::error(429, "ApplicationThrottled", message).with("retry-after", pause.to_string()))
    }

    pub(super) fn leave(&mut self, mailbox: &str) {
        if let Some(counted) = self.mailboxes.get_mut(mailbox) {
            counted.in_flight -= 1;
        }
    }

    /// How many requests of a mailbox were refused for being too many.
    pub(crate) fn refused(&self, mailbox: &str) -> usize {
        self.mailboxes.get(mailbox).map_or(0, |counted| counted.refused)
    }

    /// The most requests of a mailbox that were under way at once.
    pub(crate) fn most_in_flight(&self, mailbox: &str) -> usize {
        self.mailboxes.get(mailbox).map_or(0, |counted| counted.most_in_flight)
    }
}
