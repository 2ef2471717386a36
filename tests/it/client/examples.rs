//! The examples of the Rust client, run as programs.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use switchboard::sandbox::{Fault, FaultRule, Operation};

use crate::support::gateway::{Start, received, within};

/// The program of an example. `cargo test` builds it into the folder of this program's profile, and so does
/// `cargo build --examples`.
fn example(name: &str, at: SocketAddr) -> Command {
    let this = std::env::current_exe().expect("has a path");
    let profile: PathBuf = this.ancestors().nth(2).expect("is in the folder of a profile").into();
    let program = profile.join("examples").join(name);
    assert!(program.exists(), "{name} is missing: run `cargo build --examples`");
    let mut command = Command::new(program);
    command.env("SWITCHBOARD_ADDRESS", at.to_string());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_succeed() {
    let gateway = Start::quiet().start().await;
    for (name, expected) in [
        ("send_text", "MESSAGE_STATE_ACCEPTED"),
        ("send_template", "MESSAGE_STATE_ACCEPTED"),
        ("upload_media", "uploaded: http"),
    ] {
        let mut program = example(name, gateway.at.grpc);
        let ran = tokio::task::spawn_blocking(move || program.output().expect("starts"));
        let output = within(ran).await.expect("no panic");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && stdout.contains(expected),
            "{name}: {stdout}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert_eq!(gateway.connectly().arrivals(Operation::SendMessage), 1);
    assert_eq!(gateway.connectby().arrivals(Operation::SendTemplate), 1);
    assert_eq!(gateway.connectby().arrivals(Operation::SendMedia), 1);
}

/// A process that the test kills at its end.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_example_resumes_where_it_was_stopped() {
    let gateway = Start::quiet().start().await;
    gateway.deliver(&received("M0", "Hello!")).await;
    for n in 1..=2 {
        // The second question arrives while the example is not running.
        gateway.deliver(&received(&format!("M{n}"), "When are you open?")).await;
        let mut program = example("answer", gateway.at.grpc).stdout(Stdio::piped()).spawn().expect("starts");
        let mut lines = BufReader::new(program.stdout.take().expect("piped")).lines();
        let running = Running(program);
        // The event that it was killed over is redelivered, and is not answered again.
        loop {
            let (line, rest) =
                within(tokio::task::spawn_blocking(move || (lines.next(), lines))).await.expect("no panic");
            lines = rest;
            let line = line.expect("a line").expect("text");
            assert!(line.starts_with("answered with msg_"), "{line}");
            if gateway.connectly().arrivals(Operation::SendMessage) == n {
                break;
            }
        }
        drop(running);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_example_skips_refused_answers() {
    let gateway = Start::quiet().start().await;
    gateway.connectly().set_fault(FaultRule::once(Fault::status(400)).on(Operation::SendMessage)).await;
    gateway.deliver(&received("M1", "Are you open today?")).await;
    gateway.deliver(&received("M2", "When are you open?")).await;
    let mut program = example("answer", gateway.at.grpc).stdout(Stdio::piped()).spawn().expect("starts");
    let mut lines = BufReader::new(program.stdout.take().expect("piped")).lines();
    let _running = Running(program);
    let line = within(tokio::task::spawn_blocking(move || lines.next())).await.expect("no panic");
    let line = line.expect("a line").expect("text");
    assert!(line.starts_with("answered with msg_"), "{line}");
    assert_eq!(gateway.connectly().arrivals(Operation::SendMessage), 2);
}
