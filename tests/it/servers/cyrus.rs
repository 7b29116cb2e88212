//! A real Cyrus, of its own for each test: a configuration in a temporary folder, a free port, and an end with the test.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

const PROGRAMS: &str = "/usr/lib/cyrus/bin";

/// A running Cyrus. It takes any password.
pub(crate) struct Cyrus {
    child: Child,
    pub(crate) port: u16,
    folder: TempDir,
}

impl Cyrus {
    /// Starts one; ready when it returns.
    pub(crate) fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path();
        // Another process may take the port between its choice and its use; then Cyrus says so and this test fails.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let user = own_user();
        for part in ["spool", "config/socket", "config/proc", "config/db", "config/log", "config/msg"] {
            std::fs::create_dir_all(path.join(part)).unwrap();
        }
        std::fs::write(path.join("imapd.conf"), imapd_conf(path, user.as_deref())).unwrap();
        std::fs::write(path.join("cyrus.conf"), cyrus_conf(path, port)).unwrap();
        let up = up_signal(path);
        if user.is_none() {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
            run(Command::new("chown").arg("-R").arg("cyrus:mail").arg(path));
        }
        let child = Command::new(Path::new(PROGRAMS).join("master"))
            .arg("-C")
            .arg(path.join("imapd.conf"))
            .arg("-M")
            .arg(path.join("cyrus.conf"))
            .arg("-p")
            .arg(path.join("pid"))
            .stderr(Stdio::null())
            // At its end the master signals its whole group, which must not be that of the tests.
            .process_group(0)
            .spawn()
            .expect("these tests need Cyrus (Debian: apt-get install cyrus-imapd, which removes Dovecot)");
        // Blocks until Cyrus, which listens by then, writes to it.
        std::fs::read(up).unwrap();
        Self { child, port, folder }
    }
}

impl Drop for Cyrus {
    fn drop(&mut self) {
        // The master ends its processes when it is asked to end, not when it is killed.
        let asked = Command::new("kill").arg(self.child.id().to_string()).status();
        if !asked.is_ok_and(|status| status.success()) {
            self.child.kill().ok();
        }
        self.child.wait().ok();
        // Its files belong to another user, who may have a process left for a moment.
        std::fs::remove_dir_all(self.folder.path()).ok();
    }
}

/// The user that Cyrus has to run as where root doesn't start it.
fn own_user() -> Option<String> {
    let output = Command::new("id").arg("-un").output().unwrap();
    let user = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    (user != "root").then_some(user)
}

fn imapd_conf(folder: &Path, user: Option<&str>) -> String {
    let folder = folder.display();
    let user = user.map_or_else(String::new, |user| format!("cyrus_user: {user}\n"));
    format!(
        "configdirectory: {folder}/config
partition-default: {folder}/spool
defaultpartition: default
admins: cyrus
{user}allowplaintext: yes
sasl_mech_list: PLAIN LOGIN
sasl_pwcheck_method: alwaystrue
autocreate_quota: 0
unixhierarchysep: no
altnamespace: no
virtdomains: userid
conversations: no
tls_server_cert: disabled
"
    )
}

fn cyrus_conf(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        r#"START {{
  recover cmd="{PROGRAMS}/ctl_cyrusdb -C {folder}/imapd.conf -r"
}}
SERVICES {{
  imap cmd="{PROGRAMS}/imapd -C {folder}/imapd.conf" listen="127.0.0.1:{port}" proto="tcp4" prefork=0 maxchild=50
}}
DAEMON {{
  ready cmd="{folder}/ready"
}}
"#
    )
}

/// What Cyrus writes to once it listens: its daemons start after that.
fn up_signal(folder: &Path) -> PathBuf {
    let (up, script) = (folder.join("up"), folder.join("ready"));
    run(Command::new("mkfifo").arg(&up));
    std::fs::write(&script, format!("#!/bin/sh\necho up > {}\nexec sleep infinity\n", up.display())).unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    up
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}
