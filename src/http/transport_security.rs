//! Nothing leaves this machine in clear text.

use std::net::{IpAddr, Ipv4Addr};

use reqwest::Url;

use super::remote::Remote;

/// The URL would carry a credential in clear text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is neither https nor on this machine: plain http is accepted for a loopback address only")]
pub struct InsecureUrl(String);

/// Refuses a URL that is neither https nor plain http to a loopback address.
pub fn require_https_or_loopback(url: &Url) -> Result<(), InsecureUrl> {
    let allowed = url.scheme() == "https" || (url.scheme() == "http" && url.host_str().is_some_and(is_loopback));
    if allowed { Ok(()) } else { Err(InsecureUrl(url.origin().ascii_serialization())) }
}

/// The rule for a request to `remote`: managed identity's token endpoint is plain http on a link-local address, by design
/// of the platform that offers it.
pub(super) fn check(remote: Remote, url: &Url) -> Result<(), InsecureUrl> {
    let is_token_endpoint =
        remote == Remote::SignIn && url.scheme() == "http" && ipv4(url).is_some_and(|address| address.is_link_local());
    if is_token_endpoint { Ok(()) } else { require_https_or_loopback(url) }
}

/// Whether a host, an IPv6 address in brackets or without, is this machine for certain. Names below `localhost` aren't: where
/// they lead depends on the resolver.
pub fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().map_or_else(|_| bare.eq_ignore_ascii_case("localhost"), |address| address.is_loopback())
}

fn ipv4(url: &Url) -> Option<Ipv4Addr> {
    url.host_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn https_and_this_machine_are_accepted() {
        for accepted in [
            "https://archive.example",
            "http://127.0.0.1:8080",
            "http://127.8.9.10",
            "http://[::1]:80",
            "http://localhost/",
            "http://LOCALHOST/",
            "http://2130706433/",
        ] {
            assert_eq!(require_https_or_loopback(&url(accepted)), Ok(()), "{accepted}");
        }
    }

    #[test]
    fn clear_text_to_anywhere_else_is_refused() {
        for refused in [
            "http://archive.example",
            "http://10.0.0.1",
            "http://localhost.example",
            "http://a.localhost",
            "http://127.0.0.1.example",
            "http://[::ffff:10.0.0.1]",
            "http://0.0.0.0",
            "http://169.254.169.254",
            "ftp://127.0.0.1",
            "file:///etc/passwd",
        ] {
            assert!(require_https_or_loopback(&url(refused)).is_err(), "{refused}");
        }
        let shown = require_https_or_loopback(&url("http://ana:secret@archive.example/?sig=secret")).unwrap_err();
        assert!(!shown.to_string().contains("secret"), "{shown}");
    }

    #[test]
    fn only_the_token_endpoint_may_be_link_local() {
        let link_local = url("http://169.254.169.254/metadata/identity/oauth2/token");
        assert_eq!(check(Remote::SignIn, &link_local), Ok(()));
        assert!(check(Remote::Source, &link_local).is_err());
        assert!(check(Remote::SignIn, &url("http://login.example")).is_err());
    }
}
