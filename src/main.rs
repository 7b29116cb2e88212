//! The command line: parse, run, print the error chain, exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    whatsapp_archiver::cli::main()
}
