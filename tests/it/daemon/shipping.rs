//! What is shipped beside the program names only what the program has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn repository(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(repository(name)).unwrap()
}

fn program(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_whatsapp-archiver"))
        .args(arguments)
        .env("STAGING_SAS", "sv=2022-11-02&sig=x")
        .env("STATUS_TOKEN", "a-token-for-the-trial")
        .output()
        .unwrap()
}

#[test]
fn the_trial_configurations_are_good() {
    for name in ["config/compose.toml", "config/local.toml"] {
        let path = repository(name);
        let output = program(&["--config", path.to_str().unwrap(), "check"]);
        assert!(output.status.success(), "{name}: {output:?}");
    }
}

#[test]
fn the_image_calls_commands_that_exist() {
    let image = text("Dockerfile");
    for (line, command) in
        [(r#"CMD ["/usr/local/bin/whatsapp-archiver", "health"]"#, "health"), (r#"CMD ["run"]"#, "run")]
    {
        assert!(image.contains(line), "{line}");
        assert!(program(&[command, "--help"]).status.success(), "{command}");
    }
    assert!(image.contains(" packaging/program.sh "));
    let (build, manifest) = (text("packaging/program.sh"), text("Cargo.toml"));
    assert!(build.contains("--profile dist") && manifest.contains("[profile.dist]"));
    assert!(build.contains("--bin whatsapp-archiver") && manifest.contains("name = \"whatsapp-archiver\""));
    let help = String::from_utf8(program(&["--help"]).stdout).unwrap();
    for variable in image.lines().filter_map(|line| line.strip_prefix("ENV ")?.split_once('=')) {
        assert!(help.contains(variable.0), "{}", variable.0);
    }
    // What is copied from the repository is there.
    for line in image.lines().filter(|line| line.starts_with("COPY ") && !line.contains("--from")) {
        for name in line.split_whitespace().skip(1).filter(|name| name.starts_with("LICENSE")) {
            assert!(repository(name).exists(), "{name}");
        }
    }
}

#[test]
fn the_trial_mounts_what_its_configuration_reads() {
    let (compose, config) = (text("compose.yaml"), text("config/compose.toml"));
    for (from, to) in compose.lines().filter_map(|line| {
        let mount = line.trim().strip_prefix("- \"./")?.strip_suffix(":ro\"")?;
        mount.split_once(':')
    }) {
        assert!(repository(from).exists(), "{from}");
        assert!(to.starts_with("/etc/whatsapp-archiver/"), "{to}");
    }
    for variable in ["STAGING_SAS", "STATUS_TOKEN"] {
        assert!(compose.contains(&format!("{variable}: ")) && config.contains(&format!("env = \"{variable}\"")));
    }
    // Everything that is written lies in the one volume.
    for path in config.lines().filter(|line| line.contains("/var/")) {
        assert!(path.contains("/var/lib/whatsapp-archiver/"), "{path}");
    }
    assert!(compose.contains("archiver:/var/lib/whatsapp-archiver"));
    assert!(config.contains("listen = \"0.0.0.0:8080\"") && compose.contains("8080:8080"));
}

#[test]
fn the_package_ships_what_is_there() {
    let package = text("packaging/nfpm.yaml");
    let sources = package.lines().filter_map(|line| line.trim().strip_prefix("- { src: ")?.split(',').next());
    let sources: Vec<&str> = sources.filter(|source| !source.contains("${")).collect();
    assert!(sources.len() > 8, "{sources:?}");
    for source in sources {
        assert!(repository(source).exists(), "{source}");
    }
    let unit = text("packaging/systemd/whatsapp-archiver.service");
    assert!(
        unit.contains("ExecStart=/usr/bin/whatsapp-archiver run\n")
            && package.contains("dst: /usr/bin/whatsapp-archiver,")
    );
    // The watchdog gives the main loop as long as /livez does.
    assert!(unit.contains("WatchdogSec=10min\n") && unit.contains("Type=notify\n"));
    assert!(program(&["run", "--help"]).status.success());
}
