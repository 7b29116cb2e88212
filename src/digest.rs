//! SHA-256 digests: of pages, items, attachments and messages.

use std::fmt;
use std::io;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// A SHA-256 digest. Displays as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// The text is not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("not a SHA-256 digest: 64 hexadecimal digits are expected")]
pub struct NotADigest;

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest in any form that others write it in: 64 hexadecimal digits of either case, also in pairs, or base64 of either
    /// alphabet, padded or not; after the name of the algorithm, or alone.
    pub fn read(text: &str) -> Option<Self> {
        use base64::Engine as _;
        let text = without_algorithm(text.trim());
        let pairs = text.replace([':', ' '], "");
        let pairs = pairs.strip_prefix("0x").unwrap_or(&pairs);
        let base64 = || {
            let standard = text.trim_end_matches('=').replace('-', "+").replace('_', "/");
            let bytes = base64::engine::general_purpose::STANDARD_NO_PAD.decode(standard).ok()?;
            <[u8; 32]>::try_from(bytes).ok().map(Self)
        };
        pairs.parse().ok().or_else(base64)
    }

    /// The digest's 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first `digits` hexadecimal digits (64 at most): a short name where collisions do no harm.
    pub fn short(&self, digits: usize) -> String {
        let mut hex = self.to_string();
        hex.truncate(digits);
        hex
    }
}

/// What follows `sha256:`, `SHA-256=` and the like.
fn without_algorithm(text: &str) -> &str {
    let lower = text.to_ascii_lowercase();
    let name = ["sha256", "sha-256"].into_iter().find(|name| lower.starts_with(name)).map_or(0, str::len);
    let rest = text.get(name..).unwrap_or_default();
    if name > 0 { rest.strip_prefix([':', '=', '-', ' ']).unwrap_or(text).trim_start() } else { text }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 64];
        hex::encode_to_slice(self.0, &mut digits).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotADigest)?;
        Ok(Self(bytes))
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Digests a stream piece by piece.
#[derive(Clone, Debug, Default)]
pub struct Digester(Sha256);

/// Digests what is written, and counts its bytes.
#[derive(Debug, Default)]
pub struct DigestingWriter {
    digester: Digester,
    length: u64,
}

impl Digester {
    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all pieces.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

impl DigestingWriter {
    /// The digest of all that was written, and its length in bytes.
    pub fn finish(self) -> (Digest, u64) {
        (self.digester.finish(), self.length)
    }
}

impl io::Write for DigestingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.digester.update(bytes);
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_nothing_is_the_published_value() {
        let published = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").to_string(), published);
        assert_eq!(published.parse::<Digest>().unwrap(), Digest::of(b""));
    }

    #[test]
    fn pieces_give_the_digest_of_the_whole() {
        let mut digester = Digester::default();
        digester.update(b"ab");
        digester.update(b"c");
        assert_eq!(digester.finish(), Digest::of(b"abc"));
    }

    #[test]
    fn every_form_of_32_bytes_is_read() {
        let digest = Digest::of(b"");
        let upper = digest.to_string().to_uppercase();
        let forms = ["47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"];
        for form in [upper.as_str(), forms[0], forms[1], " 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU= "] {
            assert_eq!(Digest::read(form), Some(digest), "{form}");
        }
        let hex = digest.to_string();
        let pairs: Vec<&str> = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect();
        for form in [
            format!("sha256:{hex}"),
            format!("SHA-256={hex}"),
            format!("sha256-{}", forms[0]),
            format!("0x{hex}"),
            pairs.join(":"),
        ] {
            assert_eq!(Digest::read(&form), Some(digest), "{form}");
        }
        for other in
            ["", "=", "d41d8cd98f00b204e9800998ecf8427e", "sha256", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuA=="]
        {
            assert_eq!(Digest::read(other), None, "{other}");
        }
    }

    #[test]
    fn other_text_is_refused() {
        assert!("abc".parse::<Digest>().is_err());
        assert!("g".repeat(64).parse::<Digest>().is_err());
    }
}
