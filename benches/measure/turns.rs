//! Measures contenders in turns, because on a busy machine only the ratios of one run mean something.

use std::time::{Duration, Instant};

/// The median time of each contender over `rounds` rounds, in which each runs once. One round more warms up.
pub(crate) fn medians<const N: usize>(rounds: usize, mut contenders: [&mut dyn FnMut(); N]) -> [Duration; N] {
    let mut times = [const { Vec::new() }; N];
    for round in 0..=rounds {
        for (contender, times) in contenders.iter_mut().zip(&mut times) {
            let begun = Instant::now();
            contender();
            if round > 0 {
                times.push(begun.elapsed());
            }
        }
    }
    times.map(median)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
