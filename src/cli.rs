//! The output of the commands on standard output.

use std::fmt::Display;
use std::io::{self, Write as _};

/// Prints a line to standard output. A closed pipe is not an error.
///
/// # Errors
///
/// If the line cannot be written.
pub fn say(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
