//! Tokens shown within a minute, so that nobody finds one by trying: bounded for each peer, and for all of them.
//!
//! A try is counted before it is compared, and given back where it was right, so that tries side by side count too. A
//! peer that has lately shown the right token doesn't suffer from the wrong ones of others. Those that were refused are counted here
//! too, so that the log mentions them without being filled by them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use super::connection::peer_key;
use crate::clock::SharedClock;

/// Wrong tokens of one peer in a minute.
const MAX_TRIES_PER_PEER: u32 = 30;

/// Wrong tokens of all peers in a minute.
const MAX_TRIES: u32 = 120;

/// Peers that are remembered.
const MAX_PEERS: usize = 4096;

const MINUTE: TimeDelta = TimeDelta::minutes(1);

/// How long a peer counts as one that has the token.
const TRUSTED_FOR: TimeDelta = TimeDelta::hours(1);

/// The tries.
#[derive(Debug, Default)]
pub(super) struct Guesses(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    all: Tries,
    peers: HashMap<IpAddr, Tries>,
    trusted: HashMap<IpAddr, DateTime<Utc>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Tries {
    since: DateTime<Utc>,
    count: u32,
}

impl Tries {
    /// Counts one more; whether it is within the bound.
    fn add(&mut self, now: DateTime<Utc>, max: u32) -> bool {
        if !is_within(self.since, now, MINUTE) {
            *self = Self { since: now, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count <= max
    }
}

fn is_within(since: DateTime<Utc>, now: DateTime<Utc>, span: TimeDelta) -> bool {
    since <= now && now - since < span
}

impl Guesses {
    /// Counts a token that is about to be compared. Where this is `false`, it must not be.
    pub(super) fn may_try(&self, peer: IpAddr, now: DateTime<Utc>) -> bool {
        let peer = peer_key(peer);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let trusted = state.trusted.get(&peer).is_some_and(|since| is_within(*since, now, TRUSTED_FOR));
        if state.peers.len() >= MAX_PEERS {
            state.peers.retain(|_, tries| is_within(tries.since, now, MINUTE));
        }
        // Peers beyond those that are remembered have the common bound alone.
        if (state.peers.len() < MAX_PEERS || state.peers.contains_key(&peer))
            && !state.peers.entry(peer).or_default().add(now, MAX_TRIES_PER_PEER)
        {
            return false;
        }
        trusted || state.all.add(now, MAX_TRIES)
    }

    /// The token was right.
    pub(super) fn was_right(&self, peer: IpAddr, now: DateTime<Utc>) {
        let peer = peer_key(peer);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let was_trusted = state.trusted.get(&peer).is_some_and(|since| is_within(*since, now, TRUSTED_FOR));
        if let Some(tries) = state.peers.get_mut(&peer) {
            tries.count = tries.count.saturating_sub(1);
        }
        if !was_trusted {
            state.all.count = state.all.count.saturating_sub(1);
        }
        if state.trusted.len() >= MAX_PEERS {
            state.trusted.retain(|_, since| is_within(*since, now, TRUSTED_FOR));
        }
        if state.trusted.len() < MAX_PEERS {
            state.trusted.insert(peer, now);
        }
    }
}

/// Wrong tokens, so that the log mentions them without being filled by them.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<RefusalCount>);

#[derive(Debug, Default)]
struct RefusalCount {
    at: Option<DateTime<Utc>>,
    unlogged: u64,
}

impl Refusals {
    /// How many there were since they were last logged, where it is time to log them again.
    pub(super) fn count(&self, clock: &SharedClock) -> Option<u64> {
        const PAUSE: chrono::Duration = chrono::Duration::seconds(10);
        let now = clock.now();
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        count.unlogged += 1;
        if count.at.is_some_and(|at| at <= now && now - at < PAUSE) {
            return None;
        }
        count.at = Some(now);
        Some(std::mem::take(&mut count.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u32) -> IpAddr {
        IpAddr::from((0xC000_0200_u32 + number).to_be_bytes())
    }

    #[test]
    fn a_peer_has_so_many_tries_in_a_minute() {
        let (guesses, now) = (Guesses::default(), DateTime::UNIX_EPOCH + TimeDelta::days(1));
        let tried = (0..1000).filter(|_| guesses.may_try(peer(1), now)).count();
        assert_eq!(tried, MAX_TRIES_PER_PEER as usize);
        assert!(guesses.may_try(peer(2), now));
        assert!(guesses.may_try(peer(1), now + MINUTE));
    }

    #[test]
    fn all_peers_have_so_many_and_who_has_the_token_is_let_in() {
        let (guesses, now) = (Guesses::default(), DateTime::UNIX_EPOCH + TimeDelta::days(1));
        assert!(guesses.may_try(peer(9999), now));
        guesses.was_right(peer(9999), now);
        let tried = (0..1000).filter(|number| guesses.may_try(peer(*number), now)).count();
        assert_eq!(tried, MAX_TRIES as usize);
        for _ in 0..1000 {
            assert!(guesses.may_try(peer(9999), now), "the right token counts for nothing");
            guesses.was_right(peer(9999), now);
        }
    }
}
