//! Who types a command, for the record of what is done by hand.

use super::context::{CommandError, Context};
use crate::clock::{Clock as _, SystemClock};
use crate::ledger::{ActionKind, Ledger};

/// The administrator's user name on this machine, where the environment has it: whoever called `sudo` before the user
/// it made them.
pub(super) fn name(context: &Context) -> Option<&str> {
    let names = ["SUDO_USER", "USER", "LOGNAME"].into_iter().filter_map(|name| context.environment.get(name));
    names.map(String::as_str).find(|name| !name.is_empty())
}

/// Records what is about to be done; the next report of the chain lists it.
pub(super) async fn acts(
    context: &Context,
    ledger: &Ledger,
    kind: ActionKind,
    detail: &str,
) -> Result<(), CommandError> {
    Ok(ledger.record_action(kind, name(context), detail, SystemClock.now()).await?)
}
