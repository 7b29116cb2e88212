//! A reply that is written while its reader takes it: no more than one read of the ledger is ever in memory.

use std::future::poll_fn;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;

use crate::report::lists::WriteError;

/// Where a reply is written to. What was written goes out before the writing is continued.
#[derive(Debug, Clone, Default)]
pub(super) struct Pieces(Arc<Mutex<Vec<u8>>>);

impl Pieces {
    fn take(&self) -> Bytes {
        Bytes::from(std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reply under way.
type Writing = Pin<Box<dyn Future<Output = Result<(), WriteError>> + Send>>;

/// The body that `write` writes. Where it fails, the reply breaks off, so that nobody takes it for whole.
pub(super) fn body<F, Fut>(write: F) -> Body
where
    F: FnOnce(Pieces) -> Fut,
    Fut: Future<Output = Result<(), WriteError>> + Send + 'static,
{
    let pieces = Pieces::default();
    let writing: Writing = Box::pin(write(pieces.clone()));
    Body::from_stream(stream::unfold(Some(writing), move |writing| next(writing, pieces.clone())))
}

/// The next piece, and the writing where it goes on.
async fn next(writing: Option<Writing>, pieces: Pieces) -> Option<(Result<Bytes, WriteError>, Option<Writing>)> {
    let mut writing = writing?;
    let (ended, piece) = poll_fn(|context| {
        let ended = writing.as_mut().poll(context);
        let piece = pieces.take();
        match ended {
            Poll::Ready(result) => Poll::Ready((Some(result), piece)),
            Poll::Pending if piece.is_empty() => Poll::Pending,
            Poll::Pending => Poll::Ready((None, piece)),
        }
    })
    .await;
    match ended {
        None => Some((Ok(piece), Some(writing))),
        Some(Ok(())) => Some((Ok(piece), None)),
        Some(Err(error)) => {
            tracing::error!(event = "page_failed", error = %error, "a download broke off");
            Some((Err(error), None))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn nothing_is_written_ahead_of_the_reader() {
        let written = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&written);
        let body = body(move |mut out| async move {
            for _ in 0..1000 {
                out.write_all(&[b'x'; 1024])?;
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
            Ok(())
        });
        assert_eq!(written.load(Ordering::Relaxed), 0);
        let mut stream = body.into_data_stream();
        let mut bytes = 0;
        for taken in 1..=10 {
            bytes += stream.next().await.unwrap().unwrap().len();
            assert!(written.load(Ordering::Relaxed) <= taken, "written ahead");
        }
        while let Some(piece) = stream.next().await {
            bytes += piece.unwrap().len();
        }
        assert_eq!(bytes, 1000 * 1024);
    }

    #[tokio::test]
    async fn a_failure_breaks_the_reply_off() {
        let body = body(|mut out| async move {
            out.write_all(b"{")?;
            tokio::task::yield_now().await;
            Err(WriteError::Io(io::ErrorKind::StorageFull.into()))
        });
        let mut stream = body.into_data_stream();
        assert_eq!(stream.next().await.unwrap().unwrap(), "{");
        assert!(stream.next().await.unwrap().is_err());
        assert!(stream.next().await.is_none());
    }
}
