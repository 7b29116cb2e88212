//! Signs requests with a shared access signature, which is read anew for each, so that a renewed one is noticed.
//!
//! The signature is put on a request at the last moment. No client, and so no error of one, holds a URL with it.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::error::{Error, ErrorKind};
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{Context, Request};
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};

use crate::secret::SecretReader;

/// Adds the signature to each request.
pub(super) struct SasPolicy {
    source: SecretReader,
}

impl SasPolicy {
    pub(super) fn shared(source: SecretReader) -> Arc<dyn Policy> {
        Arc::new(Self { source })
    }
}

impl fmt::Debug for SasPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SasPolicy")
    }
}

#[async_trait]
impl Policy for SasPolicy {
    #[expect(elided_lifetimes_in_paths, reason = "the library's signature hides this lifetime, and ours must match it")]
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        let refused = |advice: String| Error::with_message(ErrorKind::Credential, advice);
        let Some((first, rest)) = next.split_first() else {
            return Err(Error::with_message(ErrorKind::Other, "nothing is left to send the request"));
        };
        let secret = (self.source)().map_err(refused)?;
        let sas = checked(secret.expose_secret()).map_err(|advice| refused(advice.to_owned()))?;
        let url = request.url_mut();
        let query = match url.query().filter(|query| !query.is_empty()) {
            Some(query) => format!("{query}&{sas}"),
            None => sas.to_owned(),
        };
        url.set_query(Some(&query));
        first.send(ctx, request, rest).await
    }
}

/// The query of a signature.
fn checked(secret: &str) -> Result<&str, &'static str> {
    let sas = secret.trim();
    let sas = sas.strip_prefix('?').unwrap_or(sas);
    if sas.contains("://") || sas.contains(';') {
        return Err("staging.sas is a URL or a connection string: take the part that begins with `sv=` alone");
    }
    if sas.contains(char::is_whitespace) || !sas.split('&').any(|pair| pair.starts_with("sig=")) {
        return Err("staging.sas is not a shared access signature, which has the form `sv=…&sig=…`");
    }
    Ok(sas)
}

/// When a signature ends (`se`); nothing where it names no end, as one of a stored access policy.
pub fn sas_end(secret: &SecretString) -> Option<DateTime<Utc>> {
    let sas = checked(secret.expose_secret()).ok()?;
    let end = sas.split('&').find_map(|pair| pair.strip_prefix("se="))?;
    let end = percent_encoding::percent_decode_str(end).decode_utf8().ok()?;
    if let Ok(instant) = DateTime::parse_from_rfc3339(&end) {
        return Some(instant.with_timezone(&Utc));
    }
    // The service takes shorter forms too: without seconds, and a date alone.
    let to_the_minute = NaiveDateTime::parse_from_str(&end, "%Y-%m-%dT%H:%MZ").ok();
    let date = || NaiveDate::parse_from_str(&end, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
    to_the_minute.or_else(date).map(|instant| instant.and_utc())
}

/// `text` without the signature, however it may have got there.
pub(super) fn redacted(text: &str, source: &SecretReader) -> String {
    let Ok(secret) = (source)() else { return text.to_owned() };
    let signature = secret.expose_secret().split(['&', '?']).find_map(|pair| pair.trim().strip_prefix("sig="));
    let Some(signature) = signature.filter(|signature| !signature.is_empty()) else { return text.to_owned() };
    let decoded = percent_encoding::percent_decode_str(signature).decode_utf8_lossy();
    text.replace(signature, "[redacted]").replace(&*decoded, "[redacted]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_comes_with_or_without_its_question_mark() {
        for given in ["sv=1&sig=a%2Fb%3D", "?sv=1&sig=a%2Fb%3D", " ?sv=1&sig=a%2Fb%3D\n"] {
            assert_eq!(checked(given), Ok("sv=1&sig=a%2Fb%3D"));
        }
    }

    #[test]
    fn anything_else_is_refused_without_being_shown() {
        for given in [
            "",
            "?",
            "a-secret",
            "sv=1&sp=r",
            "https://contoso.blob.core.windows.net/c?sv=1&sig=a-secret",
            "BlobEndpoint=x;SharedAccessSignature=sv=1&sig=a-secret",
            "sv=1&sig=a secret",
        ] {
            assert!(!checked(given).unwrap_err().contains("secret"), "{given}");
        }
    }

    #[test]
    fn the_end_is_read_in_every_form_that_the_service_takes() {
        let end = |sas: &str| sas_end(&SecretString::from(sas)).map(|end| end.to_rfc3339());
        for (given, expected) in [
            ("2026-12-03T10%3A00%3A00Z", "2026-12-03T10:00:00+00:00"),
            ("2026-12-03T10:00:00Z", "2026-12-03T10:00:00+00:00"),
            ("2026-12-03T10:00Z", "2026-12-03T10:00:00+00:00"),
            ("2026-12-03", "2026-12-03T00:00:00+00:00"),
        ] {
            assert_eq!(end(&format!("?sv=1&se={given}&sig=a")).as_deref(), Some(expected), "{given}");
        }
        assert_eq!(end("sv=1&si=policy&sig=a"), None);
        assert_eq!(end("sv=1&se=soon&sig=a"), None);
    }

    #[test]
    fn a_signature_is_taken_out_of_any_text() {
        let source: SecretReader = Arc::new(|| Ok(SecretString::from("?sv=1&sig=a%2Fb%3D&se=2")));
        assert_eq!(
            redacted("at /c?sig=a%2Fb%3D: 'a/b=' is wrong", &source),
            "at /c?sig=[redacted]: '[redacted]' is wrong"
        );
        assert_eq!(redacted("plain", &source), "plain");
    }
}
