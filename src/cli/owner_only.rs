//! What the process keeps to its owner: whatever it writes is for its user alone, and nothing that it holds in memory
//! ends up in a core dump.

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit};

/// From here on new files have no permissions for others from their first byte (0600, directories 0700), whatever the
/// umask that the process was started with; and a crash leaves no copy of tokens and messages on disk.
pub(super) fn begin() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    // Neither can fail for a process that lowers its own limits; a sandbox that forbids them changes nothing else.
    let _ = rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
}
