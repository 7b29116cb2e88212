//! A real Dovecot, of its own for each test: a configuration in a temporary folder, free ports, and an end with the test.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// The password of everybody.
pub(crate) const PASSWORD: &str = "secret&säfe";

/// How mail is stored.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Storage {
    Maildir,
    Mdbox,
}

/// What sort of Dovecot to start.
#[derive(Debug, Clone)]
pub(crate) struct DovecotOptions {
    pub(crate) storage: Storage,
    /// What it announces instead of all that it can do.
    pub(crate) capabilities: Option<&'static str>,
    /// The prefix of everybody's folders, ended by the separator `/`; empty for none and the separator `.`.
    pub(crate) prefix: &'static str,
    /// The most that a mailbox holds, in bytes.
    pub(crate) quota: Option<u64>,
    /// Where mail lies; a temporary folder without it.
    pub(crate) parent: Option<&'static Path>,
}

impl Default for DovecotOptions {
    fn default() -> Self {
        Self { storage: Storage::Maildir, capabilities: None, prefix: "", quota: None, parent: None }
    }
}

/// A running Dovecot.
pub(crate) struct Dovecot {
    child: Child,
    /// Without TLS, or with STARTTLS.
    pub(crate) port: u16,
    /// With TLS from the start.
    pub(crate) tls_port: u16,
    /// The certificate (PEM) of the authority that vouches for `localhost`.
    pub(crate) ca_pem: String,
    _folder: TempDir,
}

impl Dovecot {
    /// Starts one; ready when it returns.
    pub(crate) fn start(options: &DovecotOptions) -> Self {
        // Another process may take a port between its choice and its use.
        for _ in 0..5 {
            if let Some(dovecot) = Self::try_start(options) {
                return dovecot;
            }
        }
        panic!("Dovecot found no free port");
    }

    fn try_start(options: &DovecotOptions) -> Option<Self> {
        let folder = options.parent.map_or_else(TempDir::new, TempDir::new_in).unwrap();
        let path = folder.path();
        // Dovecot's processes run as other users than the one that starts it.
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::create_dir(path.join("mail")).unwrap();
        std::fs::set_permissions(path.join("mail"), PermissionsExt::from_mode(0o777)).unwrap();
        let ca_pem = write_certificates(path);
        let (port, tls_port) = (free_port(), free_port());
        let configuration = path.join("dovecot.conf");
        std::fs::write(&configuration, configuration_of(options, path, port, tls_port)).unwrap();
        let mut child = Command::new("dovecot")
            .arg("-F")
            .arg("-c")
            .arg(&configuration)
            .stderr(Stdio::piped())
            .spawn()
            .expect("these tests need Dovecot (Debian: apt-get install dovecot-imapd); tests/run.sh installs it");
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let is_up = log.by_ref().map_while(Result::ok).any(|line| {
            let is_up = line.contains("starting up");
            said.push_str(&line);
            said.push('\n');
            is_up
        });
        if !is_up {
            child.wait().unwrap();
            assert!(said.contains("Address already in use"), "Dovecot doesn't start: {said}");
            return None;
        }
        // Dovecot waits when nobody reads its log.
        std::thread::spawn(move || log.map_while(Result::ok).for_each(drop));
        Some(Self { child, port, tls_port, ca_pem, _folder: folder })
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        // The master ends its processes when it is asked to end, not when it is killed.
        let asked = Command::new("kill").arg(self.child.id().to_string()).status();
        if !asked.is_ok_and(|status| status.success()) {
            self.child.kill().ok();
        }
        self.child.wait().ok();
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn write_certificates(folder: &Path) -> String {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = server.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
    std::fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    authority_certificate.pem()
}

fn configuration_of(options: &DovecotOptions, folder: &Path, port: u16, tls_port: u16) -> String {
    let folder = folder.display();
    let storage = match options.storage {
        Storage::Maildir => "maildir",
        Storage::Mdbox => "mdbox",
    };
    let capabilities = options.capabilities.map_or_else(String::new, |names| format!("imap_capability = {names}"));
    let separator = if options.prefix.is_empty() { "." } else { "/" };
    let prefix = options.prefix;
    let quota = options.quota.map_or_else(String::new, |bytes| {
        format!("mail_plugins = quota\nplugin {{\n  quota = count:user\n  quota_vsizes = yes\n  quota_rule = *:bytes={bytes}\n}}")
    });
    let (internal_user, internal_group, login_user, uid, gid, alone) = users();
    format!(
        r"
base_dir = {folder}/run
state_dir = {folder}/state
log_path = /dev/stderr
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <{folder}/cert.pem
ssl_key = <{folder}/key.pem
ssl_dh =
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_failure_delay = 0
mail_max_userip_connections = 100
default_internal_user = {internal_user}
default_internal_group = {internal_group}
default_login_user = {login_user}
first_valid_uid = 1
first_valid_gid = 1
mail_location = {storage}:{folder}/mail/%u/mail
{capabilities}
{quota}
namespace inbox {{
  inbox = yes
  prefix = {prefix}
  separator = {separator}
}}
passdb {{
  driver = static
  args = password={PASSWORD}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%u
}}
service imap-login {{
  process_min_avail = 0
  {alone}
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
service anvil {{
  {alone}
}}
service stats {{
  {alone}
}}
"
    )
}

/// Who runs what: Dovecot's own users where root starts it, else the present user for everything.
fn users() -> (String, String, String, String, String, &'static str) {
    let id = |flag: &str| {
        let output = Command::new("id").arg(flag).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let (user, group, uid, gid) = (id("-un"), id("-gn"), id("-u"), id("-g"));
    if uid == "0" {
        // Nobody's mail: Dovecot gives root's to nobody.
        let nobody = |flag: &str| {
            let output = Command::new("id").args([flag, "nobody"]).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        return ("dovecot".to_owned(), "dovecot".to_owned(), "dovenull".to_owned(), nobody("-u"), nobody("-g"), "");
    }
    (user.clone(), group, user, uid, gid, "chroot =")
}
