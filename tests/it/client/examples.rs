//! The examples, as programs, against the real server.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use switchboard::sandbox::{Fault, FaultRule, Operation};

use crate::gateway::{Start, received, within};

/// An example's program: `cargo test` makes it and puts it beside this one, and `cargo build --examples` does.
fn example(name: &str, at: SocketAddr) -> Command {
    let this = std::env::current_exe().expect("a program");
    let profile: PathBuf = this.ancestors().nth(2).expect("in a folder of the profile").into();
    let program = profile.join("examples").join(name);
    assert!(program.exists(), "`cargo build --examples` makes {name}");
    let mut command = Command::new(program);
    command.env("SWITCHBOARD_ADDRESS", at.to_string());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn each_example_does_what_it_says() {
    let gateway = Start::quiet().start().await;
    for (name, says) in [
        ("send_text", "MESSAGE_STATE_ACCEPTED"),
        ("send_template", "MESSAGE_STATE_ACCEPTED"),
        ("upload_media", "uploaded: http"),
    ] {
        let mut program = example(name, gateway.at.grpc);
        let ran = tokio::task::spawn_blocking(move || program.output().expect("starts"));
        let output = within(ran).await.expect("no panic");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && said.contains(says),
            "{name}: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert_eq!(gateway.connectly().arrivals(Operation::SendMessage), 1);
    assert_eq!(gateway.connectby().arrivals(Operation::SendTemplate), 1);
    assert_eq!(gateway.connectby().arrivals(Operation::SendMedia), 1);
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_that_answers_goes_on_where_it_was_stopped() {
    let gateway = Start::quiet().start().await;
    gateway.deliver(&received("M0", "Hello!")).await;
    for n in 1..=2 {
        // The second time, what is to be answered came while nothing listened.
        gateway.deliver(&received(&format!("M{n}"), "When are you open?")).await;
        let mut program = example("answer", gateway.at.grpc).stdout(Stdio::piped()).spawn().expect("starts");
        let mut said = BufReader::new(program.stdout.take().expect("piped")).lines();
        let running = Running(program);
        // What it was killed over comes again, and is not answered again.
        loop {
            let (line, rest) =
                within(tokio::task::spawn_blocking(move || (said.next(), said))).await.expect("no panic");
            said = rest;
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
async fn the_example_that_answers_goes_on_behind_what_it_cannot_answer() {
    let gateway = Start::quiet().start().await;
    gateway.connectly().set_fault(FaultRule::once(Fault::status(400)).on(Operation::SendMessage)).await;
    gateway.deliver(&received("M1", "Is anybody there?")).await;
    gateway.deliver(&received("M2", "When are you open?")).await;
    let mut program = example("answer", gateway.at.grpc).stdout(Stdio::piped()).spawn().expect("starts");
    let mut said = BufReader::new(program.stdout.take().expect("piped")).lines();
    let _running = Running(program);
    let line = within(tokio::task::spawn_blocking(move || said.next())).await.expect("no panic");
    let line = line.expect("a line").expect("text");
    assert!(line.starts_with("answered with msg_"), "{line}");
    assert_eq!(gateway.connectly().arrivals(Operation::SendMessage), 2);
}
