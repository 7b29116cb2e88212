//! Examples that `--help` and the manual pages show. Each line that begins with the program's name must parse: a test does it.

pub(super) const PROGRAM: &str = "\
Examples:
  Write a configuration to start from, and check it:
    whatsapp-archiver init /etc/whatsapp-archiver
    whatsapp-archiver check
  One run now, and its report:
    whatsapp-archiver run --once

Exit status: 0 done; 1 something failed or is pending; 2 wrong usage; 78 wrong configuration or mapping.";

pub(super) const RUN: &str = "\
Examples:
  The daemon, until SIGTERM; SIGHUP reads the configuration again:
    whatsapp-archiver run
  One run now, from where the last one ended:
    whatsapp-archiver run --once";

pub(super) const BACKFILL: &str = "\
Examples:
  Everything received in October, UTC:
    whatsapp-archiver backfill --from 2026-10-01 --to 2026-11-01
  Two hours:
    whatsapp-archiver backfill --from 2026-10-01T08:00:00Z --to 2026-10-01T10:00:00Z";

pub(super) const CHECK: &str = "\
Examples:
  Configuration and mapping, without the network:
    whatsapp-archiver check
  Each remote in turn, and a message that is imported and removed again:
    whatsapp-archiver check --online --mailbox pilot@contoso.example";

pub(super) const REPORT: &str = "\
Examples:
  The latest run, and the list of all runs:
    whatsapp-archiver report
    whatsapp-archiver report --list
  What was not imported, for a spreadsheet:
    whatsapp-archiver report --format csv";

pub(super) const FAILURES: &str = "\
Examples:
  Everything that is open:
    whatsapp-archiver failures
  Numbers without a mailbox, in full:
    whatsapp-archiver failures --reason no_valid_user --show-numbers";

pub(super) const RETRY: &str = "\
Examples:
  After the mapping was corrected:
    whatsapp-archiver retry --reason no_valid_user
  One item:
    whatsapp-archiver retry --item 918273";

pub(super) const RELEASE: &str = "\
Examples:
  Show what would be given up, then do it:
    whatsapp-archiver release --reason encrypted --before 2026-01-01
    whatsapp-archiver release --reason encrypted --before 2026-01-01 --yes";

pub(super) const EXPORT: &str = "\
Examples:
  November for a review platform:
    whatsapp-archiver export --from 2026-11-01 --to 2026-12-01 --format rsmf --out november
  One custodian's messages of a day in London, by the time they were sent:
    whatsapp-archiver export --from 2026-11-20 --to 2026-11-21 --by sent --time-zone Europe/London --owner ana@contoso.example --format eml --out ana
  How many messages that would be, and whether anybody is called so:
    whatsapp-archiver export --from 2026-11-20 --to 2026-11-21 --owner ana@contoso.example --dry-run

A filter value that nothing in the window fits is named on standard error, and the exit status is 1.";

pub(super) const PROVE: &str = "\
Examples:
  One message for a court:
    whatsapp-archiver prove --item 918273 --out proof.zip
  With the page that it came in, for an expert who may read that page's other messages:
    whatsapp-archiver prove --item 918273 --with-page --out expert.zip";

pub(super) const VERIFY: &str = "\
Examples:
  Everything that was ever imported:
    whatsapp-archiver verify
  Send again what is missing:
    whatsapp-archiver verify --restore

Copies of items that are shrunk (ledger.retain) are looked for, and not compared.";

pub(super) const CONVERT: &str = "\
Examples:
  Items that were saved as JSON, to .eml files:
    whatsapp-archiver convert items.json --out messages";

pub(super) const CONFIG_SCHEMA: &str = "\
Examples:
  Write the schema beside the configuration, for an editor:
    whatsapp-archiver config-schema > config.schema.json
  Name it in the first line of config.toml:
    #:schema ./config.schema.json";

pub(super) const COMPLETIONS: &str = "\
Examples:
  Bash, for this user:
    whatsapp-archiver completions bash > ~/.local/share/bash-completion/completions/whatsapp-archiver
  Zsh, in a directory of $fpath:
    whatsapp-archiver completions zsh > ~/.zfunc/_whatsapp-archiver";

pub(super) const MAN: &str = "\
Examples:
  Read the page of the program:
    whatsapp-archiver man | man -l -
  Install all pages:
    whatsapp-archiver man --out /usr/local/share/man/man1";

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::super::Arguments;

    fn examples_of(command: &clap::Command) -> Vec<String> {
        let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let own = text.lines().map(str::trim).filter(|line| line.starts_with("whatsapp-archiver ")).map(str::to_owned);
        own.chain(command.get_subcommands().flat_map(examples_of)).collect()
    }

    #[test]
    fn every_example_parses() {
        let examples = examples_of(&Arguments::command());
        assert!(examples.len() >= 20, "{examples:#?}");
        for example in examples {
            let words = example.split_whitespace().take_while(|word| !["|", ">"].contains(word));
            if let Err(error) = Arguments::try_parse_from(words) {
                panic!("{example}: {error}");
            }
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
