//! Runs of the binary's commands, such as `switchboard backup`, to their end.

use std::path::Path;
use std::process::{Command, Output};

use super::binary::API_KEY;

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.args(arguments).env("GLOBEX_API_KEY", API_KEY).output().expect("the binary starts")
}

/// Runs a command that must succeed and returns its standard output.
pub(crate) fn succeeds(arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = run(arguments);
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("UTF-8")
}

/// Runs a command that must fail and returns its standard error.
pub(crate) fn fails(arguments: &[&str]) -> String {
    let Output { status, stderr, .. } = run(arguments);
    assert!(!status.success());
    String::from_utf8(stderr).expect("UTF-8")
}

/// A path as a command line argument.
pub(crate) fn path_str(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
