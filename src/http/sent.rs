//! What a request carries that is secret, so that a reply that repeats it can be scrubbed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Request, Url};

use crate::scrub::Scrubber;

/// The secret of a managed identity's endpoint in Azure App Service.
const IDENTITY_HEADER: &str = "x-identity-header";
/// The fields of a form that are secret (RFC 6749, 2.3.1; RFC 7521, 4.2).
const SECRET_FIELDS: [&str; 2] = ["client_secret", "client_assertion"];
/// Parameters of a URL whose value is its permission: a shared access signature, an upload session.
const SECRET_PARAMETERS: [&str; 5] = ["sig", "tempauth", "authtoken", "token", "key"];

/// The secrets of a request.
pub(super) fn secrets_of(request: &Request) -> Scrubber {
    let mut secrets = Scrubber::default();
    for (name, value) in request.headers() {
        if name == AUTHORIZATION || name == IDENTITY_HEADER {
            add_header(&mut secrets, value);
        }
    }
    add_query(&mut secrets, request.url());
    let is_form = request.headers().get(CONTENT_TYPE).is_some_and(|it| it.as_bytes().ends_with(b"form-urlencoded"));
    if let Some(body) = request.body().and_then(reqwest::Body::as_bytes).filter(|_| is_form) {
        add_form(&mut secrets, body);
    }
    secrets
}

/// The value without its scheme; of Basic, also the password in it.
fn add_header(secrets: &mut Scrubber, value: &HeaderValue) {
    let Ok(text) = value.to_str() else { return };
    let (scheme, credential) = text.split_once(' ').unwrap_or(("", text));
    secrets.add(credential);
    if scheme.eq_ignore_ascii_case("basic")
        && let Ok(pair) = STANDARD.decode(credential)
        && let Ok(pair) = String::from_utf8(pair)
        && let Some((_, password)) = pair.split_once(':')
    {
        secrets.add(password);
    }
}

fn add_query(secrets: &mut Scrubber, url: &Url) {
    for (name, value) in url.query_pairs() {
        if SECRET_PARAMETERS.iter().any(|secret| name.eq_ignore_ascii_case(secret)) {
            secrets.add(&value);
        }
    }
}

fn add_form(secrets: &mut Scrubber, body: &[u8]) {
    // A URL's query has the form of such a body.
    let Ok(mut url) = Url::parse("form:/") else { return };
    url.set_query(Some(&String::from_utf8_lossy(body)));
    for (name, value) in url.query_pairs() {
        if SECRET_FIELDS.contains(&&*name) {
            secrets.add(&value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "nothing is sent")]
    fn scrubbed(build: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder, text: &str) -> String {
        let url = "https://a.example/c?sv=2024-11-04&sig=aB%2Fc%3Ddef";
        let request = build(reqwest::Client::new().post(url)).build().unwrap();
        secrets_of(&request).scrub(text).into_owned()
    }

    #[test]
    fn headers_signatures_and_forms_are_known() {
        let token = |request: reqwest::RequestBuilder| request.header(AUTHORIZATION, "Bearer tok3n");
        assert_eq!(scrubbed(token, "tok3n? aB/c=def, aB%2fc%3ddef!"), "***? ***, ***!");
        let basic = |request: reqwest::RequestBuilder| request.basic_auth("ana", Some("swordfish"));
        assert_eq!(scrubbed(basic, "ana:swordfish, YW5hOnN3b3JkZmlzaA=="), "ana:***, ***");
        let form = [("client_id", "the-application"), ("client_secret", "sword fish")];
        let form = |request: reqwest::RequestBuilder| request.form(&form);
        assert_eq!(scrubbed(form, "the-application, sword fish, sword+fish"), "the-application, ***, ***");
        let header = |request: reqwest::RequestBuilder| request.header("X-IDENTITY-HEADER", "identity");
        assert_eq!(scrubbed(header, "an identity"), "an ***");
    }
}
