//! Checking reports offline: each file's signature, and that each is the one that the report after it refers to.
//!
//! What it proves: a file is as it was written where the report after it names its SHA-256, or its signature is right.
//! What it can't: that the last file is the last report, or the first the first (the reports' numbers show that).

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::signature::PublicKey;
use crate::digest::{Digest, Digester};
use crate::json_fault::JsonFault;
use crate::ledger::RunId;

/// Largest signature file that is read, in bytes: a signature has 64.
const MAX_SIGNATURE: u64 = 1024;

/// What a report says of its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Head {
    pub run: RunId,
    /// Its number, from 1.
    pub sequence: i64,
    /// The run of the report before it.
    pub previous_run: Option<RunId>,
    /// The SHA-256 of the report before it.
    pub previous_sha256: Option<Digest>,
    /// The fingerprint of the public key that its signature is to be checked with.
    pub signed_with: Option<Digest>,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It can't be read.
    Unreadable(String),
    /// It isn't what was written.
    Altered(String),
    /// There is no signature.
    SignatureMissing(String),
    /// The signature isn't the key's, or isn't of these bytes.
    SignatureWrong(String),
    /// It doesn't follow the file before it.
    ChainBroken(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(detail) => write!(f, "can't be read: {detail}"),
            Self::Altered(detail) => write!(f, "altered: {detail}"),
            Self::SignatureMissing(detail) => write!(f, "signature missing: {detail}"),
            Self::SignatureWrong(detail) => write!(f, "signature wrong: {detail}"),
            Self::ChainBroken(detail) => write!(f, "chain broken: {detail}"),
        }
    }
}

/// What was found out about a file.
#[derive(Debug)]
pub struct Checked {
    pub file: PathBuf,
    /// What it says of itself, where it is a report.
    pub head: Option<Head>,
    /// Whether its signature was checked and is right.
    pub signed: bool,
    /// What is wrong; nothing where it is as it was written.
    pub findings: Vec<Finding>,
    digest: Option<Digest>,
}

impl Checked {
    /// Whether nothing is wrong.
    pub fn is_ok(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Checks reports, given in the order of the chain. Signatures (`FILE.sig`) are checked with `key`, where there is one.
pub fn verify(files: &[PathBuf], key: Option<&PublicKey>) -> Vec<Checked> {
    let mut checked: Vec<Checked> = Vec::with_capacity(files.len());
    for file in files {
        let mut this = check_alone(file, key);
        if let Some(previous) = checked.last_mut() {
            check_link(previous, &mut this);
        }
        checked.push(this);
    }
    checked
}

/// Checks a file by itself.
fn check_alone(file: &Path, key: Option<&PublicKey>) -> Checked {
    let mut checked = Checked { file: file.to_owned(), head: None, signed: false, findings: Vec::new(), digest: None };
    let (head, digest) = match File::open(file).and_then(read) {
        Ok(read) => read,
        Err(error) => {
            checked.findings.push(Finding::Unreadable(error.to_string()));
            return checked;
        }
    };
    checked.digest = Some(digest);
    match head {
        Ok(head) => checked.head = Some(head),
        Err(detail) => checked.findings.push(Finding::Altered(format!("it is no report of a chain: {detail}"))),
    }
    let named = checked.head.as_ref().and_then(|head| head.signed_with);
    match check_signature(file, digest, named, key) {
        Ok(is_right) => checked.signed = is_right,
        Err(finding) => checked.findings.push(finding),
    }
    checked
}

/// Whether the signature was checked and is right. Without a key it must only be there, where the report says that it is
/// signed.
fn check_signature(
    file: &Path,
    digest: Digest,
    signer: Option<Digest>,
    key: Option<&PublicKey>,
) -> Result<bool, Finding> {
    if key.is_none() && signer.is_none() {
        return Ok(false);
    }
    let mut name = file.as_os_str().to_owned();
    name.push(".sig");
    let mut signature = Vec::new();
    let read = File::open(&name).and_then(|file| file.take(MAX_SIGNATURE).read_to_end(&mut signature));
    if let Err(error) = read {
        return Err(Finding::SignatureMissing(format!("{}: {error}", Path::new(&name).display())));
    }
    let Some(key) = key else { return Ok(false) };
    if key.verifies(digest, &signature) {
        return Ok(true);
    }
    Err(Finding::SignatureWrong(match signer {
        Some(signer) if signer != key.fingerprint() => format!("the report names another key as its signer ({signer})"),
        _ => "it is of other bytes, or of another key".to_owned(),
    }))
}

/// Checks that a report follows the one before it.
fn check_link(previous: &mut Checked, this: &mut Checked) {
    let Some(head) = &this.head else { return };
    let Some(before) = &previous.head else {
        // What it says of itself can't be read; what the chain says of it can.
        if head.previous_sha256 != previous.digest {
            this.findings
                .push(Finding::ChainBroken(format!("{} is not the report before it", previous.file.display())));
        }
        return;
    };
    let follows = head.previous_run.as_ref() == Some(&before.run) && head.sequence == before.sequence + 1;
    if !follows {
        let expected = match &head.previous_run {
            Some(run) => format!("the report before it is number {} of run {run}", head.sequence - 1),
            None => "it begins a chain".to_owned(),
        };
        this.findings.push(Finding::ChainBroken(format!(
            "{expected}; given before it is number {} of run {}",
            before.sequence, before.run
        )));
    } else if head.previous_sha256 != previous.digest {
        previous.findings.push(Finding::Altered(format!(
            "the report after it, number {} of run {}, names another SHA-256",
            head.sequence, head.run
        )));
    }
}

/// Reads a report to its end, without holding it in memory: what it says of its place (or why it is no report), and the
/// digest of all its bytes.
pub(super) fn read(reader: impl Read) -> io::Result<(Result<Head, String>, Digest)> {
    let mut reader = BufReader::new(Digesting { inner: reader, digester: Digester::default() });
    let head = match serde_json::from_reader::<_, Head>(&mut reader) {
        Err(error) if error.is_io() => return Err(error.into()),
        head => head.map_err(|error| JsonFault::from(error).to_string()),
    };
    io::copy(&mut reader, &mut io::sink())?;
    Ok((head, reader.into_inner().digester.finish()))
}

/// A reader that digests what is read.
struct Digesting<R> {
    inner: R,
    digester: Digester,
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.digester.update(buffer.get(..length).unwrap_or_default());
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_report_has_a_digest_all_the_same() {
        for bytes in [b"".as_slice(), b"{}", b"[1,2", b"\xff\xfe", b"{\"run\":\"a\",\"run\":\"b\"}"] {
            let (head, digest) = read(bytes).unwrap();
            assert!(head.is_err());
            assert_eq!(digest, Digest::of(bytes));
        }
    }

    #[test]
    fn the_rest_of_a_report_is_passed_over() {
        let list = "{\"x\":[1,2,{}]},".repeat(10_000);
        let report = format!(
            "{{\"run\":\"r\",\"sequence\":2,\"previous_run\":\"q\",\"previous_sha256\":\"{}\",\"signed_with\":null,\
             \"failures\":[{}]}}\n",
            Digest::of(b"q"),
            list.trim_end_matches(',')
        );
        let (head, digest) = read(report.as_bytes()).unwrap();
        assert_eq!(head.unwrap().previous_sha256, Some(Digest::of(b"q")));
        assert_eq!(digest, Digest::of(report.as_bytes()));
        let trailing = format!("{report}{{}}");
        assert!(read(trailing.as_bytes()).unwrap().0.is_err());
    }
}
