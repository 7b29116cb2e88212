//! A staging area on the disk that fails on command, where attachments are concerned.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use whatsapp_archiver::staging::local::LocalStaging;
use whatsapp_archiver::staging::{BlobName, Staging as _, StagingError};

use crate::hooked_staging::{Hook, Hooked, Touch};

/// What fails.
#[derive(Default)]
pub(crate) struct Script {
    /// Streams of attachments that fail before one succeeds.
    pub(crate) failing_streams: AtomicU32,
    /// Streams of attachments that were begun.
    pub(crate) streams: AtomicU32,
    /// Small attachments are refused.
    pub(crate) refuses_small: AtomicBool,
    /// Nothing may be removed.
    pub(crate) immutable: AtomicBool,
    /// Pages are gone when they are read.
    pub(crate) loses_pages: AtomicBool,
    /// The pause that it asks for, in seconds, where a page is to be put.
    pub(crate) pause: AtomicU64,
}

/// A staging area that fails on command.
pub(crate) type ScriptedStaging = Hooked<Script>;

impl ScriptedStaging {
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self::around(Arc::new(LocalStaging::new(folder.to_owned())), Script::default())
    }

    /// The names of the attachments in it, without what they have in common.
    pub(crate) async fn attachments(&self) -> Vec<String> {
        let names = self.list("windows/").await.unwrap().into_iter().map(|(name, _)| name);
        let attachments = names.filter(|name| name.as_str().contains("/attachments/"));
        attachments.map(|name| name.as_str().rsplit('/').next().unwrap().to_owned()).collect()
    }
}

#[async_trait]
impl Hook for Script {
    async fn before(&self, touch: Touch, name: &BlobName) -> Result<(), StagingError> {
        let is_attachment = name.as_str().contains("/attachments/");
        let pause = self.pause.load(Ordering::SeqCst);
        match touch {
            Touch::Put if pause > 0 && name.as_str().contains("/pages/") => Err(StagingError::Throttled {
                after: Some(Duration::from_secs(pause)),
                until: None,
                detail: "slow down".to_owned(),
            }),
            Touch::Put if is_attachment && self.refuses_small.load(Ordering::SeqCst) => {
                Err(StagingError::Refused("refused on command".to_owned()))
            }
            Touch::PutStream if is_attachment => {
                self.streams.fetch_add(1, Ordering::SeqCst);
                let one_less = |left: u32| left.checked_sub(1);
                match self.failing_streams.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
                    Ok(_) => Err(StagingError::Unavailable("a block was refused with 503".to_owned())),
                    Err(_) => Ok(()),
                }
            }
            Touch::Get if name.as_str().contains("/pages/") && self.loses_pages.load(Ordering::SeqCst) => {
                Err(StagingError::NotFound { name: name.clone() })
            }
            Touch::Remove if self.immutable.load(Ordering::SeqCst) => {
                Err(StagingError::Immutable { name: name.clone(), detail: "legal hold".to_owned() })
            }
            _ => Ok(()),
        }
    }
}
