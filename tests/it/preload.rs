//! Small libraries in C that tests load into the program before the C library, to make its disk or its time another.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Builds a library from a file below `tests/it/`, among the build's own files.
pub(crate) fn library(source: &str) -> PathBuf {
    let targets = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let directory = TempDir::new_in(&targets).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(source);
    let name = Path::new(source.file_stem().unwrap()).with_extension("so");
    let fresh = directory.path().join(&name);
    let mut compiler = Command::new("cc");
    compiler.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&fresh).arg(&source).arg("-ldl");
    let built = compiler.output().expect("these tests need a C compiler");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    // Another process may be using the one that is there.
    let library = targets.join(name);
    std::fs::rename(&fresh, &library).unwrap();
    library
}
