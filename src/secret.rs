//! Secrets: never in the configuration itself, but in a variable of the environment or in a file.
//!
//! A secret in a file is read each time it is used, so that a change needs no restart. Nothing here shows a value.

use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::pbkdf2;
use secrecy::{ExposeSecret as _, SecretString};

use crate::bounded_file::{self, Unreadable};
use crate::digest::Digest;

/// The most that a secret may hold, in bytes: a certificate chain with its key fits.
const MAX_BYTES: u32 = 64 * 1024;

/// Reads a secret at each use, so that a rotated one is noticed. The error says what to do, without the secret.
pub type SecretReader = Arc<dyn Fn() -> Result<SecretString, String> + Send + Sync>;

/// Where a secret is to be found, with the key of the configuration that names it.
#[derive(Clone)]
pub struct Secret {
    key: Arc<str>,
    origin: Origin,
}

/// Whether both stand in the same place under the same key. Values aren't compared: what a file holds may change at any time.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        let is_same_place = match (&self.origin, &other.origin) {
            (Origin::Variable { name, .. }, Origin::Variable { name: other, .. }) => name == other,
            (Origin::File(path), Origin::File(other)) => path == other,
            _ => false,
        };
        self.key == other.key && is_same_place
    }
}

#[derive(Clone)]
enum Origin {
    /// A variable of the environment, which can't change while the daemon runs.
    Variable { name: String, value: Option<SecretString> },
    /// A file, read on use.
    File(PathBuf),
}

impl Secret {
    /// The secret in the environment variable `name`, whose value is `value`. `key` is the key of the configuration, such as `source.password`.
    pub fn variable(key: &str, name: &str, value: Option<&str>) -> Self {
        let value = value.map(SecretString::from);
        Self { key: key.into(), origin: Origin::Variable { name: name.to_owned(), value } }
    }

    /// The secret in a file.
    pub fn file(key: &str, path: impl Into<PathBuf>) -> Self {
        Self { key: key.into(), origin: Origin::File(path.into()) }
    }

    /// The key of the configuration that names the secret, such as `source.password`.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The file that holds it, where one does.
    pub fn path(&self) -> Option<&Path> {
        match &self.origin {
            Origin::File(path) => Some(path),
            Origin::Variable { .. } => None,
        }
    }

    /// Reads the secret as it is now, without one trailing line break. Blocks on a file of at most 64 KiB.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        let value = match &self.origin {
            Origin::Variable { value: Some(value), .. } => value.clone(),
            Origin::Variable { name, value: None } => {
                return Err(self.error(SecretFault::VariableMissing { name: shown_name(name) }));
            }
            Origin::File(path) => read_file(path).map_err(|fault| self.error(fault))?,
        };
        let value = without_line_break(value);
        if value.expose_secret().len() as u64 > u64::from(MAX_BYTES) {
            return Err(self.error(SecretFault::TooLarge));
        }
        if value.expose_secret().trim().is_empty() {
            return Err(self.error(SecretFault::Empty));
        }
        Ok(value)
    }

    /// Reads the secret, for those who know nothing of the configuration.
    pub fn reader(&self) -> SecretReader {
        let secret = self.clone();
        Arc::new(move || secret.read().map_err(|error| error.to_string()))
    }

    /// A stand-in for the value as it is now, by which a change is noticed, also after a restart. It is slow on
    /// purpose (some ten milliseconds) and differs by key, so that it may be stored where the value may not.
    pub fn fingerprint(&self) -> Result<Digest, SecretError> {
        const ROUNDS: NonZeroU32 = NonZeroU32::new(100_000).unwrap();
        let value = self.read()?;
        let salt = format!("whatsapp-archiver secret fingerprint 1 {}", self.key);
        let mut fingerprint = [0; 32];
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            ROUNDS,
            salt.as_bytes(),
            value.expose_secret().as_bytes(),
            &mut fingerprint,
        );
        Ok(Digest::from(fingerprint))
    }

    fn error(&self, fault: SecretFault) -> SecretError {
        SecretError { key: Arc::clone(&self.key), fault }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({}, [redacted])", self.key)
    }
}

/// A secret can't be had.
#[derive(Debug, thiserror::Error)]
#[error("the secret `{key}` can't be read: {fault}")]
pub struct SecretError {
    key: Arc<str>,
    pub fault: SecretFault,
}

/// Why a secret can't be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretFault {
    /// The variable is not set, or is not Unicode.
    #[error("the environment variable {name} is not set")]
    VariableMissing {
        /// Its name, where it looks like one.
        name: String,
    },
    /// The file can't be read.
    #[error("the file {} can't be read: {error}", path.display())]
    File {
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It is over 64 KiB.
    #[error("it is larger than 64 KiB")]
    TooLarge,
    #[error("it is not UTF-8 text")]
    NotText,
}

impl SecretFault {
    /// What the administrator can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::VariableMissing { .. } => "set the variable, or name a file: { file = \"/run/secrets/…\" }",
            Self::File { .. } => "create the file, readable by the daemon, or name a variable: { env = \"…\" }",
            Self::Empty => "put the secret there",
            Self::TooLarge | Self::NotText => "put the secret there, as text and nothing else",
        }
    }
}

/// The name of a variable, unless it may be the secret itself, put in the wrong place.
fn shown_name(name: &str) -> String {
    let usual = |character: char| character.is_ascii_uppercase() || character.is_ascii_digit() || character == '_';
    if name.contains('_') && name.chars().all(usual) { name.to_owned() } else { "that it names".to_owned() }
}

fn read_file(path: &Path) -> Result<SecretString, SecretFault> {
    let bytes = bounded_file::read_regular(path, MAX_BYTES).map_err(|unreadable| match unreadable {
        Unreadable::Io(error) => SecretFault::File { path: path.to_owned(), error },
        Unreadable::TooLarge(_) => SecretFault::TooLarge,
    })?;
    String::from_utf8(bytes).map(SecretString::from).map_err(|_| SecretFault::NotText)
}

fn without_line_break(value: SecretString) -> SecretString {
    let text = value.expose_secret();
    match text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')) {
        Some(text) => SecretString::from(text),
        None => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(secret: &Secret) -> String {
        secret.read().unwrap().expose_secret().to_owned()
    }

    fn fault_of(bytes: &[u8]) -> SecretFault {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, bytes).unwrap();
        Secret::file("source.password", path).read().unwrap_err().fault
    }

    #[test]
    fn a_file_is_read_anew_and_loses_one_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let secret = Secret::file("source.password", &path);
        let mut fingerprints = Vec::new();
        for (written, read) in [("a", "a"), ("b\n", "b"), ("c\r\n", "c"), ("d\n\n", "d\n"), (" e ", " e "), ("a", "a")]
        {
            std::fs::write(&path, written).unwrap();
            assert_eq!(value(&secret), read);
            fingerprints.push(secret.fingerprint().unwrap());
        }
        assert_eq!(fingerprints[0], fingerprints[5]);
        assert_ne!(fingerprints[0], fingerprints[1]);
    }

    #[test]
    fn fingerprints_last_and_differ_by_key() {
        let fingerprint = |key| Secret::variable(key, "X", Some("hunter2")).fingerprint().unwrap();
        // Frozen (computed with Python's hashlib): stored ones must be recognised by later versions.
        let expected = "a368c3f9a0258d6b46a904aad75de2cc";
        assert_eq!(fingerprint("source.password").short(32), expected);
        assert_ne!(fingerprint("source.password"), fingerprint("mailbox.password"));
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        assert!(matches!(fault_of(b""), SecretFault::Empty));
        assert!(matches!(fault_of(b"\n"), SecretFault::Empty));
        assert!(matches!(fault_of(b" \n \n"), SecretFault::Empty));
        assert!(matches!(fault_of(b"\xff\xfe"), SecretFault::NotText));
        assert!(matches!(fault_of(&vec![b'x'; 64 * 1024 + 1]), SecretFault::TooLarge));
        assert!(matches!(
            Secret::variable("k", "X", None).read().unwrap_err().fault,
            SecretFault::VariableMissing { .. }
        ));
        assert!(matches!(Secret::file("k", "/nowhere/at/all").read().unwrap_err().fault, SecretFault::File { .. }));
        assert!(matches!(Secret::file("k", "/").read().unwrap_err().fault, SecretFault::File { .. }));
        assert!(matches!(Secret::file("k", "/dev/zero").read().unwrap_err().fault, SecretFault::File { .. }));
    }

    #[test]
    fn the_largest_secret_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, vec![b'x'; 64 * 1024]).unwrap();
        assert_eq!(value(&Secret::file("k", path)).len(), 64 * 1024);
    }

    #[test]
    fn nothing_shows_the_value() {
        let secret = Secret::variable("k", "X", Some("hunter2"));
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert!(!format!("{:?}", secret.read()).contains("hunter2"));
        // Someone wrote the secret where its variable's name belongs.
        let misplaced = Secret::variable("k", "hunter2", None).read().unwrap_err();
        assert!(!format!("{misplaced} {misplaced:?}").contains("hunter2"));
    }
}
