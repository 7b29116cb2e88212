//! The least pace at which the other side has to send a body: one that drips would hold its reader for ever, because each
//! piece ends the silence that `read_timeout` measures.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};

use super::HttpError;

/// How long a body may take whatever its size.
const GRACE: Duration = Duration::from_secs(30);

/// Bytes a second, after that: a body of 32 MiB may take a quarter of an hour.
const MIN_RATE: u64 = 32 * 1024;

/// Whether the other side was waited for too long, for so many bytes.
fn is_too_slow(waited: Duration, received: u64) -> bool {
    waited.saturating_sub(GRACE).as_millis() > u128::from(received) * 1000 / u128::from(MIN_RATE)
}

/// The same body, which fails where it comes too slowly. What its reader does between two pieces doesn't count.
pub(super) fn kept_up(
    body: BoxStream<'static, Result<Bytes, HttpError>>,
    now: impl Fn() -> Instant + Send + 'static,
    too_slow: impl FnOnce(String) -> HttpError + Send + 'static,
) -> BoxStream<'static, Result<Bytes, HttpError>> {
    let state = Some((body, Duration::ZERO, 0, now, too_slow));
    stream::unfold(state, |state| async move {
        let (mut body, mut waited, mut received, now, too_slow) = state?;
        let begun = now();
        let piece = body.next().await?;
        waited += now() - begun;
        received += piece.as_ref().map_or(0, |piece| piece.len() as u64);
        if piece.is_ok() && is_too_slow(waited, received) {
            let cause = format!("{received} bytes came in {} s, which is too slow to go on", waited.as_secs());
            return Some((Err(too_slow(cause)), None));
        }
        Some((piece, Some((body, waited, received, now, too_slow))))
    })
    // Readers may ask again after the end.
    .fuse()
    .boxed()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_body_has_its_first_moments_and_time_in_proportion_to_its_size() {
        assert!(!is_too_slow(Duration::from_secs(30), 1));
        assert!(is_too_slow(Duration::from_secs(31), 31));
        assert!(!is_too_slow(Duration::from_secs(130), 100 * MIN_RATE));
        assert!(is_too_slow(Duration::from_secs(131), 100 * MIN_RATE));
    }

    fn pieces(count: usize) -> BoxStream<'static, Result<Bytes, HttpError>> {
        stream::iter((0..count).map(|_| Ok(Bytes::from_static(b"a")))).boxed()
    }

    /// Reads a body whose pieces take five seconds each.
    async fn dripped(count: usize) -> Vec<Result<Bytes, String>> {
        let (start, looks) = (Instant::now(), AtomicU32::new(0));
        let now = move || start + Duration::from_secs(5) * looks.fetch_add(1, Ordering::Relaxed);
        let body = kept_up(pieces(count), now, |detail| HttpError::Invalid { detail });
        body.map(|piece| piece.map_err(|error| error.to_string())).collect().await
    }

    #[tokio::test]
    async fn a_body_that_drips_is_broken_off_and_one_that_comes_in_time_comes_whole() {
        let read = dripped(6).await;
        assert!(read.len() == 6 && read.iter().all(Result::is_ok), "{read:?}");
        let read = dripped(100).await;
        assert_eq!(read.len(), 7);
        let error = read.last().unwrap().as_ref().unwrap_err();
        assert!(error.contains("7 bytes came in 35 s"), "{error}");
    }

    #[tokio::test]
    async fn a_body_that_has_ended_stays_so() {
        let mut body = kept_up(pieces(1), Instant::now, |detail| HttpError::Invalid { detail });
        assert!(body.next().await.is_some());
        assert!(body.next().await.is_none() && body.next().await.is_none());
    }
}
