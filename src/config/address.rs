//! Addresses of remotes: which are well formed, and which are protected.
//!
//! Plain http goes to a loopback address only; no address holds a user or password.

use std::net::IpAddr;

use super::Url;
use super::document::Value;
use super::form::{self, Invalid};
use crate::http::is_loopback;

/// The address of a service: https, or http to a loopback address, with or without a path; no user, query or fragment.
pub(super) fn service(value: &Value) -> Result<Url, Invalid> {
    let url = parse(value)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Invalid::new("the address must end before any `?` or `#`"));
    }
    Ok(url)
}

/// The address of a service without a path.
pub(super) fn origin(value: &Value) -> Result<Url, Invalid> {
    let url = service(value)?;
    if url.path() != "/" {
        return Err(Invalid::new("the address must end after the host, without a path or version"));
    }
    Ok(url)
}

/// Any address that is protected, with whatever path and query.
pub(super) fn parse(value: &Value) -> Result<Url, Invalid> {
    protected(&form::text(value)?).map_err(Invalid::new)
}

/// The address of a text, which is not shown: it may hold a token.
pub(super) fn protected(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "not an address: https://, a host and perhaps a path are expected")?;
    let loopback = url.host_str().is_some_and(is_loopback);
    match url.scheme() {
        _ if !url.username().is_empty() || url.password().is_some() => {
            Err("an address must not hold a user or password")
        }
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        "http" => Err("http is for loopback addresses only: what is sent there could be read on its way"),
        _ => Err("the address must begin with https://"),
    }
}

/// A host: a name or an IP address, without a port.
pub(super) fn host(value: &Value) -> Result<String, Invalid> {
    let text = form::text(value)?;
    if text.parse::<IpAddr>().is_ok() || is_domain(&text) {
        return Ok(text);
    }
    Err(Invalid::new("not a host: a name or an IP address is expected, without a scheme, a path or a port"))
}

pub(super) fn domain(value: &Value) -> Result<String, Invalid> {
    let text = form::text(value)?;
    if is_domain(&text) {
        Ok(text)
    } else {
        Err(Invalid::new("not a domain name: letters, digits, hyphens and dots are expected"))
    }
}

/// The domain of a mail address: it has a dot, or mail programs take the address for none.
pub(super) fn mail_domain(value: &Value) -> Result<String, Invalid> {
    let domain = domain(value)?;
    if domain.contains('.') { Ok(domain) } else { Err(Invalid::new("must have a dot: \"whatsapp.invalid\"")) }
}

/// RFC 1123: labels of 1 to 63 letters, digits and hyphens, 253 in all.
fn is_domain(text: &str) -> bool {
    let label_is_right = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label_is_right)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        for url in ["http://127.0.0.1:1234/a", "http://[::1]/", "http://localhost:80", "https://a.example"] {
            assert!(service(&text(url)).is_ok(), "{url}");
        }
        for url in [
            "http://a.example",
            "http://127.0.0.1.example",
            "http://localhost.example",
            "http://a.localhost",
            "http://10.0.0.1",
            "ftp://127.0.0.1",
            "//a.example",
            "a.example",
            "https://",
            "https://a.example?x",
            "https://a.example#x",
            "https://u@a.example",
            "https://u:p@a.example",
        ] {
            assert!(service(&text(url)).is_err(), "{url}");
        }
    }

    #[test]
    fn an_origin_has_no_path() {
        assert!(origin(&text("https://login.example/")).is_ok());
        assert!(origin(&text("https://login.example/v1.0")).is_err());
    }

    #[test]
    fn hosts_are_names_or_addresses() {
        for name in ["mail.example", "127.0.0.1", "::1", "localhost"] {
            assert!(host(&text(name)).is_ok(), "{name}");
        }
        for name in ["mail.example:993", "imaps://mail.example", "[::1]", "a..b", "-a.b", "a b", "mail.example."] {
            assert!(host(&text(name)).is_err(), "{name}");
        }
        assert!(domain(&text("::1")).is_err());
        assert!(mail_domain(&text("whatsapp.invalid")).is_ok());
        assert!(mail_domain(&text("intranet")).is_err());
    }
}
