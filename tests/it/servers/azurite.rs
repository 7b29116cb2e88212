//! Azurite, Microsoft's own emulator of Azure Blob Storage, from `tests/node_modules`.
//!
//! It is started once for all tests, on a free port, and keeps its blobs in memory. It ends with the test process, however
//! that ends, because it watches the pipe on its standard input.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// The account and the key that every emulator has, as published by Microsoft.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

const SERVICE_VERSION: &str = "2022-11-02";
const NEVER: &str = "2099-01-01T00:00:00Z";

/// Ends Azurite when nobody is left to write to its standard input.
const LAUNCHER: &str = "process.stdin.resume().on('end', () => process.exit());\
     const main = process.argv[1]; process.argv.splice(1, 1, main); require(main);";

/// The running emulator.
pub(crate) struct Azurite {
    port: u16,
    process: Child,
}

impl Azurite {
    /// The one that all tests share.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Azurite> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&[]))
    }

    /// One that speaks https with a certificate from `folder` (`cert.pem`, `key.pem`) and takes tokens of Entra ID, of
    /// which it checks all but the signature.
    pub(crate) fn with_tokens(folder: &Path) -> Self {
        let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
        Self::start(&["--oauth", "basic", "--cert", certificate, "--key", key])
    }

    fn start(further: &[&str]) -> Self {
        let main = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node_modules/azurite/dist/src/blob/main.js");
        assert!(main.exists(), "Azurite is not installed: run `npm ci` in tests/ (tests/run.sh does)");
        let mut process = Command::new("node")
            .args(["-e", LAUNCHER, "--"])
            .arg(main)
            .args(["--blobHost", "127.0.0.1", "--blobPort", "0"])
            .args(["--inMemoryPersistence", "--silent", "--disableTelemetry"])
            .args(further)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node runs Azurite: install Node.js");
        let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = output
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.split_once("successfully listens on ")?.1.rsplit_once(':')?.1.trim().parse().ok())
            .expect("Azurite says where it listens");
        // What it says later must not fill the pipe.
        std::thread::spawn(move || output.map_while(Result::ok).for_each(drop));
        Self { port, process }
    }

    /// Its port on this machine.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        // It ends by itself where this is not reached. Nothing more can be done where it fails.
        let _ = self.process.kill().and_then(|()| self.process.wait());
    }
}

/// A token of Entra ID for storage, as Azurite takes it.
pub(crate) fn token(audience: &str) -> String {
    let part = |json: String| URL_SAFE_NO_PAD.encode(json);
    let header = part(r#"{"alg":"RS256","typ":"JWT"}"#.to_owned());
    let issuer = "https://sts.windows.net/00000000-0000-0000-0000-000000000001/";
    let claims =
        format!(r#"{{"aud":"{audience}","iss":"{issuer}","iat":1700000000,"nbf":1700000000,"exp":4070908800}}"#);
    format!("{header}.{}.{}", part(claims), URL_SAFE_NO_PAD.encode("no signature"))
}

/// The address of the account behind `port`.
pub(crate) fn endpoint(port: u16) -> String {
    format!("http://127.0.0.1:{port}/{ACCOUNT}")
}

/// A signature for the whole account, until `expiry`.
pub(crate) fn account_sas(expiry: &str) -> String {
    let (rights, services, kinds) = ("racwdlx", "b", "sco");
    let text = format!("{ACCOUNT}\n{rights}\n{services}\n{kinds}\n\n{expiry}\n\n\n{SERVICE_VERSION}\n\n");
    let expiry = encoded(expiry);
    format!("sv={SERVICE_VERSION}&ss={services}&srt={kinds}&sp={rights}&se={expiry}&sig={}", signature(&text))
}

/// A signature for the whole account that doesn't expire.
pub(crate) fn sas() -> String {
    account_sas(NEVER)
}

/// A signature for one container, with `rights` of `racwdl`.
pub(crate) fn container_sas(container: &str, rights: &str) -> String {
    let resource = format!("/blob/{ACCOUNT}/{container}");
    let fields = [rights, "", NEVER, &resource, "", "", "", SERVICE_VERSION, "c", "", "", "", "", "", "", ""];
    let expiry = encoded(NEVER);
    format!("sv={SERVICE_VERSION}&sr=c&sp={rights}&se={expiry}&sig={}", signature(&fields.join("\n")))
}

fn signature(text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(KEY).unwrap());
    encoded(&STANDARD.encode(hmac::sign(&key, text.as_bytes())))
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
