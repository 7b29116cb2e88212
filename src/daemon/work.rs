//! What a daemon has under way, and how that ends.

use tokio::task::JoinHandle;

use crate::pipeline::{RunError, RunFinished};

/// What is under way: a run of this daemon's own, or a part of another process's.
pub(super) enum CurrentWork {
    Run(JoinHandle<Result<RunFinished, RunError>>),
    Follow(JoinHandle<Result<(), RunError>>),
}

/// What became of what was under way.
pub(super) enum Ended {
    Run(Box<Result<RunFinished, RunError>>),
    Follow(Result<(), RunError>),
}

/// Logs how following ended. False where the ledger failed.
pub(super) fn note_follow(followed: &Result<(), RunError>) -> bool {
    if let Err(error) = followed {
        tracing::error!(event = "help_failed", error = %error, "this process can no longer send for another process's run, which continues without it");
    }
    followed.is_ok()
}

/// The end of what is under way; never where nothing is.
pub(super) async fn ended(under_way: &mut Option<CurrentWork>) -> Ended {
    match under_way {
        Some(CurrentWork::Run(run)) => {
            Ended::Run(Box::new(run.await.unwrap_or_else(|error| Err(RunError::from(error)))))
        }
        Some(CurrentWork::Follow(follow)) => {
            Ended::Follow(follow.await.unwrap_or_else(|error| Err(RunError::from(error))))
        }
        None => std::future::pending().await,
    }
}
