//! A certificate as proof: a short-lived statement, signed with its private key (RFC 7523; `PS256`, `x5t#S256`).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::SignInError;
use crate::digest::Digest;

mod validity;

/// How long the statement is valid: enough for a slow network and clocks that differ a little, and less than the ten
/// minutes that the token endpoint allows.
const LIFETIME: TimeDelta = TimeDelta::minutes(5);

#[derive(Serialize)]
struct Header {
    typ: &'static str,
    alg: &'static str,
    #[serde(rename = "x5t#S256")]
    x5t_s256: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    iss: &'a str,
    sub: &'a str,
    jti: String,
    nbf: i64,
    iat: i64,
    exp: i64,
}

/// The statement that `client_id` signs in at `token_url`.
pub(super) fn assertion(
    pem: &SecretString,
    client_id: &str,
    token_url: &Url,
    now: DateTime<Utc>,
) -> Result<String, SignInError> {
    let pem = pem.expose_secret();
    let key = private_key(pem)?;
    let certificate = certificate_of(pem, &key)?;
    let header =
        Header { typ: "JWT", alg: "PS256", x5t_s256: URL_SAFE_NO_PAD.encode(Digest::of(&certificate).as_bytes()) };
    let claims = Claims {
        aud: token_url.as_str(),
        iss: client_id,
        sub: client_id,
        jti: uuid::Uuid::now_v7().to_string(),
        nbf: now.timestamp(),
        iat: now.timestamp(),
        exp: (now + LIFETIME).timestamp(),
    };
    let encoded = |part: serde_json::Result<Vec<u8>>| {
        part.map(|part| URL_SAFE_NO_PAD.encode(part))
            .map_err(|error| unusable(&format!("it can't be encoded: {error}")))
    };
    let signed = format!("{}.{}", encoded(serde_json::to_vec(&header))?, encoded(serde_json::to_vec(&claims))?);
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PSS_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .map_err(|_| unusable("the private key can't sign"))?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// Whether a PEM text holds an RSA private key and its certificate. Nothing is sent.
///
/// # Errors
///
/// [`SignInError::Unusable`], with what is wrong and what to do.
pub fn check_certificate(pem: &SecretString) -> Result<(), SignInError> {
    let pem = pem.expose_secret();
    let key = private_key(pem)?;
    certificate_of(pem, &key).map(drop)
}

/// When the certificate of a PEM text ends; nothing where that can't be read.
pub fn certificate_end(pem: &SecretString) -> Option<DateTime<Utc>> {
    let pem = pem.expose_secret();
    let key = private_key(pem).ok()?;
    validity::not_after(&certificate_of(pem, &key).ok()?)
}

fn unusable(detail: &str) -> SignInError {
    SignInError::Unusable(format!("microsoft.certificate: {detail}"))
}

/// The RSA private key, in PKCS#8 or PKCS#1 form.
fn private_key(pem: &str) -> Result<RsaKeyPair, SignInError> {
    let (label, der) = blocks(pem)
        .find(|(label, _)| label.ends_with("PRIVATE KEY"))
        .ok_or_else(|| unusable("there is no private key; put the key and the certificate in one PEM file"))?;
    let der = der.ok_or_else(|| unusable("the private key is not valid base64"))?;
    let pair = match label {
        "PRIVATE KEY" => RsaKeyPair::from_pkcs8(&der),
        "RSA PRIVATE KEY" => RsaKeyPair::from_der(&der),
        "ENCRYPTED PRIVATE KEY" => {
            return Err(unusable("the private key is encrypted; decrypt it with `openssl pkey`"));
        }
        other => return Err(unusable(&format!("{other}: an RSA key is expected"))),
    };
    pair.map_err(|error| unusable(&format!("the private key is no RSA key of 2048 bits or more: {error}")))
}

/// The certificate (DER) of `key` among those of the file, which often holds its issuers too.
fn certificate_of(pem: &str, key: &RsaKeyPair) -> Result<Vec<u8>, SignInError> {
    // The key as RFC 8017 encodes it stands in its certificate byte for byte.
    let public = key.public_key().as_ref();
    let mut seen = 0;
    for (_, der) in blocks(pem).filter(|(label, _)| *label == "CERTIFICATE") {
        let der = der.ok_or_else(|| unusable("the certificate is not valid base64"))?;
        seen += 1;
        if der.windows(public.len()).any(|window| window == public) {
            return Ok(der);
        }
    }
    Err(unusable(match seen {
        0 => "there is no certificate; put the key and the certificate in one PEM file",
        _ => "the private key belongs to none of its certificates",
    }))
}

/// The PEM blocks (RFC 7468): label and bytes.
fn blocks(pem: &str) -> impl Iterator<Item = (&str, Option<Vec<u8>>)> {
    const BEGIN: &str = "-----BEGIN ";
    let starts = pem.match_indices(BEGIN).map(|(at, _)| at + BEGIN.len());
    starts.filter_map(move |start| {
        let (label, body) = pem.get(start..)?.split_once("-----")?;
        let (body, _) = body.split_once(&format!("-----END {label}-----"))?;
        let text: String = body.split_ascii_whitespace().collect();
        Some((label, STANDARD.decode(text).ok()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn self_signed() -> (rcgen::KeyPair, String) {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let certificate = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&key).unwrap();
        (key, certificate.pem())
    }

    fn sign(pem: String) -> Result<String, SignInError> {
        let url = Url::parse("https://login.example/t/oauth2/v2.0/token").unwrap();
        assertion(&pem.into(), "app", &url, DateTime::from_timestamp(1_800_000_000, 0).unwrap())
    }

    #[test]
    fn the_statement_is_signed_by_the_key_and_names_its_certificate() {
        let (key, certificate) = self_signed();
        let (_, issuer) = self_signed();
        // An issuer first: the certificate is found by its key, not by its position.
        let statement = sign(format!("{issuer}{}{certificate}", key.serialize_pem())).unwrap();

        let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::PS256);
        validation.set_audience(&["https://login.example/t/oauth2/v2.0/token"]);
        validation.validate_exp = false;
        let public = jsonwebtoken::DecodingKey::from_rsa_pem(key.public_key_pem().as_bytes()).unwrap();
        let token = jsonwebtoken::decode::<serde_json::Value>(&statement, &public, &validation).unwrap();

        let (_, der) = blocks(&certificate).next().unwrap();
        let thumbprint = URL_SAFE_NO_PAD.encode(Digest::of(&der.unwrap()).as_bytes());
        assert_eq!(token.header.x5t_s256, Some(thumbprint));
        assert_eq!(token.claims["iss"], "app");
        assert_eq!(token.claims["sub"], "app");
        assert_eq!(token.claims["exp"].as_i64().unwrap() - token.claims["nbf"].as_i64().unwrap(), 300);
    }

    #[test]
    fn what_can_not_work_is_reported_before_it_is_sent() {
        let (key, certificate) = self_signed();
        let (_, other) = self_signed();
        let key = key.serialize_pem();
        for (pem, expected) in [
            (certificate.clone(), "no private key"),
            (key.clone(), "no certificate"),
            (format!("{key}{other}"), "belongs to none"),
            (format!("{certificate}{}", key.replace("PRIVATE", "EC PRIVATE")), "an RSA key is expected"),
            (format!("{certificate}{}", key.replace("PRIVATE", "ENCRYPTED PRIVATE")), "is encrypted"),
            (String::new(), "no private key"),
        ] {
            let error = sign(pem).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("BEGIN"), "{error}");
        }
    }
}
