//! Signatures of reports: Ed25519 (RFC 8032) over a statement that names the report's SHA-256.
//!
//! The statement is signed, not the report: Ed25519 needs all that it signs at once, and a report can be larger than
//! memory. Anybody can check one with OpenSSL:
//!
//! ```text
//! printf 'whatsapp-archiver report %s\n' "$(sha256sum < RUN.json | cut -d' ' -f1)" > statement
//! openssl pkeyutl -verify -pubin -inkey report.pub.pem -rawin -in statement -sigfile RUN.json.sig
//! ```

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};

use crate::digest::Digest;

/// What stands before the 32 bytes of an Ed25519 public key in its `SubjectPublicKeyInfo` (RFC 8410).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The text is not a key that can be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not a private key.
    #[error(
        "not an Ed25519 private key in PEM (PKCS#8); make one with `openssl genpkey -algorithm ed25519 -out report.pem`"
    )]
    Private,
    /// Not a public key.
    #[error(
        "not an Ed25519 public key in PEM; make it of the private key with \
         `openssl pkey -in report.pem -pubout -out report.pub.pem`"
    )]
    Public,
}

/// What is signed for a report of this digest.
pub fn statement(report: Digest) -> String {
    format!("whatsapp-archiver report {report}\n")
}

/// The key that signs reports.
#[derive(Debug)]
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// Reads a PKCS#8 key in PEM.
    pub fn from_pem(pem: &SecretString) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.expose_secret().as_bytes()).map_err(|_| KeyError::Private)?;
        Ok(Self(Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| KeyError::Private)?))
    }

    /// The signature of a report of this digest: 64 bytes, always the same for the same key and digest.
    pub fn sign(&self, report: Digest) -> Vec<u8> {
        self.0.sign(statement(report).as_bytes()).as_ref().to_vec()
    }

    /// The public key that its signatures are checked with.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.public_key().as_ref().to_vec())
    }
}

/// The key that signatures are checked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(Vec<u8>);

impl PublicKey {
    /// Reads a `SubjectPublicKeyInfo` in PEM.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| KeyError::Public)?;
        match der.as_ref().strip_prefix(&SPKI) {
            Some(key) if key.len() == 32 => Ok(Self(key.to_vec())),
            _ => Err(KeyError::Public),
        }
    }

    /// The key as a `SubjectPublicKeyInfo` in PEM.
    pub fn to_pem(&self) -> String {
        let der = STANDARD.encode([SPKI.as_slice(), &self.0].concat());
        format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n")
    }

    /// Whether `signature` is this key's of a report of this digest.
    pub fn verifies(&self, report: Digest, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(statement(report).as_bytes(), signature).is_ok()
    }

    /// By which a report names it: the SHA-256 of its `SubjectPublicKeyInfo`.
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&[SPKI.as_slice(), &self.0].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made with OpenSSL 3.0 (`openssl genpkey -algorithm ed25519`).
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIDQzpLV6otyqu7v0GtvO6UbNwy7agAIb6KBxcQIjrecS\n-----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEApZcJH2VG+BZWZBtyEuQh9SK3v5x7Mg4qz/XWjmPtaac=\n-----END PUBLIC KEY-----\n";
    /// `openssl pkeyutl -sign -rawin` of the statement for the digest of nothing.
    const SIGNATURE: &str = "9b9375bd4d828538da8a677cd4d8ed90ea1f52970b249d2ef47041541f4634d9a14b55f04c596c42ed6460cf0a104a20f0e1870d44b019714f52c9da8832ff0d";
    /// `openssl pkey -pubin -outform DER | sha256sum`.
    const FINGERPRINT: &str = "c3d2d343b0ac9892ff27b97e0f1a5b524bc89ad1f04f47646cebcda68d27c7fb";

    #[test]
    fn signatures_are_those_of_openssl() {
        let key = SigningKey::from_pem(&PRIVATE.into()).unwrap();
        let public = PublicKey::from_pem(PUBLIC.as_bytes()).unwrap();
        assert_eq!(key.public(), public);
        assert_eq!(public.to_pem(), PUBLIC);
        assert_eq!(public.fingerprint().to_string(), FINGERPRINT);
        let digest = Digest::of(b"");
        assert_eq!(hex::encode(key.sign(digest)), SIGNATURE);
        assert!(public.verifies(digest, &key.sign(digest)));
        assert!(!public.verifies(Digest::of(b"x"), &key.sign(digest)));
        assert!(!public.verifies(digest, b""));
    }

    #[test]
    fn other_keys_are_refused() {
        assert!(SigningKey::from_pem(&PUBLIC.into()).is_err());
        assert!(SigningKey::from_pem(&"secret".into()).is_err());
        assert!(PublicKey::from_pem(PRIVATE.as_bytes()).is_err());
        assert!(PublicKey::from_pem(b"").is_err());
        let rsa_like = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VuAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n-----END PUBLIC KEY-----\n";
        assert!(PublicKey::from_pem(rsa_like.as_bytes()).is_err());
    }
}
