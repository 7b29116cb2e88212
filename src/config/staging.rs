//! `[staging]`: where raw items lie.

use std::path::PathBuf;
use std::time::Duration;

use super::Secret;
use super::Url;

/// Where raw items lie, and for how long.
#[derive(Debug, Clone)]
pub struct StagingConfig {
    /// Which staging area it is.
    pub kind: StagingKind,
    /// What is put before each blob's name: empty, or segments of `[A-Za-z0-9._-]` that each end in `/`.
    pub prefix: String,
    /// How long accounted windows are kept.
    pub retain: Retention,
}

/// The kinds of staging areas.
#[derive(Debug, Clone)]
pub enum StagingKind {
    /// A container of Azure Blob Storage.
    Azure(AzureConfig),
    /// A folder of the local disk.
    Local {
        /// The folder.
        path: PathBuf,
    },
}

/// How a container of Azure Blob Storage is reached.
#[derive(Debug, Clone)]
pub struct AzureConfig {
    /// The blob service: https, or http to a loopback address. May carry an account path; no user, query or fragment.
    pub endpoint: Url,
    /// The container's name.
    pub container: String,
    /// How the daemon signs in to it.
    pub auth: AzureAuth,
}

/// How the daemon signs in to Azure Blob Storage.
#[derive(Debug, Clone)]
pub enum AzureAuth {
    /// With the sign-in of `[microsoft]`, which is there then; the endpoint is https.
    Entra,
    /// With a shared access signature, with or without the leading `?`.
    Sas(Secret),
}

/// How long accounted windows are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// Nothing is purged.
    Forever,
    /// So long.
    For(Duration),
}
