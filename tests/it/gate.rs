//! The gate in front of a provider: rate limit, circuit breaker, and retries.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use switchboard::pb::v1::template_service_client::TemplateServiceClient;
use switchboard::pb::v1::{GetAccountRequest, ListTemplatesRequest, ListTemplatesResponse, Message};
use switchboard::sandbox::{Fault, FaultRule, Operation};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::{Code, Request, Status};

use crate::support::gateway::{
    CONNECTBY, CONNECTLY, Gateway, Start, details, metadata, reason, text, within,
};

/// Longer than any test takes.
const NEVER: Duration = Duration::from_secs(300);

/// How long a test watches a call that must wait.
const SHORT_WAIT: Duration = Duration::from_millis(500);

async fn list(
    gateway: &Gateway,
    account: &str,
    deadline: Option<Duration>,
) -> Result<ListTemplatesResponse, Status> {
    let mut request = Request::new(ListTemplatesRequest {
        account: account.to_owned(),
        page_token: String::new(),
        ..Default::default()
    });
    if let Some(deadline) = deadline {
        request.set_timeout(deadline);
    }
    let mut templates = TemplateServiceClient::new(gateway.channel.clone());
    Ok(within(templates.list_templates(request)).await?.into_inner())
}

async fn send(gateway: &Gateway, account: &str, deadline: Duration) -> Result<Message, Status> {
    let mut request = Request::new(text(account, "hi"));
    request.set_timeout(deadline);
    let response = within(gateway.messages().send_message(request)).await?;
    Ok(response.into_inner().message.expect("a message"))
}

fn throttled(retry_after: &str) -> Fault {
    Fault::Status { status: 429, retry_after: Some(retry_after.to_owned()), body: None }
}

fn delay(error: &Status) -> Duration {
    details(error).retry_info().and_then(|info| info.retry_delay).expect("a retry delay")
}

#[tokio::test]
async fn failed_read_is_retried() {
    let gateway = Start::quiet().start().await;
    let provider = gateway.connectby();
    for fault in [
        Fault::status(503),
        Fault::status(500),
        Fault::CutReply,
        Fault::CutAfterReading,
        throttled("0"),
        throttled("1"),
    ] {
        provider.clear_calls();
        provider.set_fault(FaultRule::times(2, fault.clone()).on(Operation::ListTemplates)).await;
        list(&gateway, CONNECTBY, None).await.unwrap_or_else(|error| panic!("{fault:?}: {error:?}"));
        assert_eq!(provider.arrivals(Operation::ListTemplates), 3, "{fault:?}");
    }
    let answered =
        r#"switchboard_reads_total{account="demo-connectby",operation="list_templates",outcome="answered"}"#;
    assert!(gateway.metric(answered).await >= 6.0);
}

#[tokio::test]
async fn read_with_permanent_failure_is_not_retried() {
    let gateway = Start::quiet().start().await;
    let provider = gateway.connectby();
    for (fault, expected) in [
        (Fault::NotJson, "PROVIDER_REPLY_UNREADABLE"),
        (Fault::status(401), "PROVIDER_CREDENTIALS_REJECTED"),
        (Fault::status(404), "PROVIDER_NOT_FOUND"),
        (Fault::SuccessFalse { code: None }, "PROVIDER_REFUSED"),
    ] {
        provider.clear_calls();
        provider.set_fault(FaultRule::once(fault.clone()).on(Operation::ListTemplates)).await;
        let error = list(&gateway, CONNECTBY, None).await.expect_err("the fault makes the call fail");
        assert_eq!(reason(&error), expected);
        assert_eq!(provider.arrivals(Operation::ListTemplates), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn read_past_its_deadline_fails_with_the_cause() {
    let gateway = Start::quiet().start().await;
    gateway.connectby().set_fault(FaultRule::once(Fault::Latency(NEVER)).on(Operation::ListTemplates)).await;
    let error = list(&gateway, CONNECTBY, Some(Duration::from_secs(1))).await.expect_err("too late");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::Unavailable, "PROVIDER_UNAVAILABLE"));
    assert_eq!(metadata(&error, "cause"), "TIMED_OUT");
}

#[tokio::test]
async fn shutdown_ends_reads_that_wait_in_the_gate() {
    let gateway = Start::quiet().start().await;
    gateway.connectby().set_fault(FaultRule::once(throttled("60")).on(Operation::ListTemplates)).await;
    let error = list(&gateway, CONNECTBY, Some(Duration::from_secs(5))).await.expect_err("throttled");
    assert_eq!(reason(&error), "PROVIDER_THROTTLED");
    // The server pauses the account for a minute, and this read waits.
    let mut waiting = Box::pin(list(&gateway, CONNECTBY, Some(NEVER)));
    timeout(SHORT_WAIT, &mut waiting).await.expect_err("it waits");
    gateway.begin_shutdown();
    let error = waiting.await.expect_err("the server stops");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::Unavailable, "SERVER_STOPPING"));
}

#[tokio::test]
async fn get_account_returns_the_rate_limit() {
    let gateway = Start::quiet().with("ACCOUNTS__DEMO_CONNECTLY__GATE__CALLS_PER_SECOND", "7").start().await;
    let mut rates = Vec::new();
    for account in [CONNECTBY, CONNECTLY] {
        let request = GetAccountRequest { account: account.to_owned() };
        let account = gateway.accounts().get_account(request).await.expect("present").into_inner().account;
        rates.push(account.and_then(|account| account.limits).expect("limits").calls_per_second);
    }
    assert_eq!(rates, [Some(80), Some(7)]);
}

#[tokio::test]
async fn calls_are_limited_to_the_rate_and_none_is_lost() {
    let gateway = Start::quiet().with("ACCOUNTS__DEMO_CONNECTLY__GATE__CALLS_PER_SECOND", "20").start().await;
    let start = Instant::now();
    let sent = join_all((0..22).map(|_| send(&gateway, CONNECTLY, Duration::from_secs(15)))).await;
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    // Two calls start at once, and twenty more take a second.
    assert!(start.elapsed() > Duration::from_millis(950), "{:?}", start.elapsed());
    assert_eq!(gateway.connectly().arrivals(Operation::SendMessage), 22);
}

#[tokio::test]
async fn call_that_would_miss_its_deadline_fails_with_a_retry_delay() {
    let gateway = Start::quiet().start().await;
    gateway.connectly().set_fault(FaultRule::once(throttled("30")).on(Operation::SendMessage)).await;
    let error = send(&gateway, CONNECTLY, Duration::from_secs(10)).await.expect_err("throttled");
    assert_eq!((reason(&error).as_str(), delay(&error).as_secs()), ("PROVIDER_THROTTLED", 30));

    let start = Instant::now();
    let error =
        send(&gateway, CONNECTLY, Duration::from_secs(10)).await.expect_err("the deadline is too short");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::ResourceExhausted, "ACCOUNT_BUSY"));
    assert!(delay(&error) > Duration::from_secs(15) && delay(&error) <= Duration::from_secs(30), "{error:?}");
    assert_eq!(metadata(&error, "account"), CONNECTLY);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());

    assert_eq!(gateway.connectly().arrivals(Operation::SendMessage), 1, "nothing was sent");
    assert!(
        gateway
            .metric(r#"switchboard_rejected_calls_total{account="demo-connectly",reason="rate_limited"}"#)
            .await
            >= 1.0
    );
}

#[tokio::test]
async fn throttled_read_leaves_sends_alone_and_the_reverse() {
    let gateway = Start::quiet().without_retries().start().await;
    gateway.connectly().set_fault(FaultRule::once(throttled("30")).on(Operation::ListTemplates)).await;
    let read = async || list(&gateway, CONNECTLY, Some(Duration::from_secs(10))).await;
    assert!(read().await.is_err(), "throttled");
    assert_eq!(reason(&read().await.expect_err("reads are paused")), "ACCOUNT_BUSY");
    send(&gateway, CONNECTLY, Duration::from_secs(10)).await.expect("sends are not paused");

    gateway.connectby().set_fault(FaultRule::once(throttled("30")).on(Operation::SendText)).await;
    assert!(send(&gateway, CONNECTBY, Duration::from_secs(10)).await.is_err(), "throttled");
    list(&gateway, CONNECTBY, Some(Duration::from_secs(10))).await.expect("reads are not paused");
}

#[tokio::test]
async fn throttled_send_is_retried_within_the_deadline() {
    let gateway = Start::quiet().start().await;
    gateway.connectby().set_fault(FaultRule::once(throttled("1")).on(Operation::SendText)).await;
    let start = Instant::now();
    send(&gateway, CONNECTBY, Duration::from_secs(15)).await.expect("accepted");
    assert!(start.elapsed() >= Duration::from_secs(1), "retried too early: {:?}", start.elapsed());
    assert_eq!(gateway.connectby().arrivals(Operation::SendText), 2);
}

#[tokio::test]
async fn send_that_did_not_reach_the_provider_is_retried() {
    let start = Start::quiet().with("ACCOUNTS__DEMO_CONNECTBY__GATE__BREAKER_FAILURES", "0");
    let gateway = start.start().await;
    gateway.connectby().set_fault(FaultRule::always(Fault::Refuse)).await;
    let mut sending = Box::pin(send(&gateway, CONNECTBY, Duration::from_secs(15)));
    timeout(SHORT_WAIT, &mut sending).await.expect_err("still retrying");
    gateway.connectby().clear_faults().await.expect("faults cleared");
    sending.await.expect("accepted");
    assert_eq!(gateway.connectby().arrivals(Operation::SendText), 1);
}

#[tokio::test]
async fn send_with_unknown_outcome_is_never_retried() {
    let gateway = Start::quiet()
        .with("ACCOUNTS__DEMO_CONNECTBY__GATE__BREAKER_FAILURES", "0")
        .with("ACCOUNTS__DEMO_CONNECTBY__REQUEST_TIMEOUT", "1s")
        .start()
        .await;
    let provider = gateway.connectby();
    for (fault, arrives) in [
        (Fault::CutBeforeReading, 0),
        (Fault::CutAfterReading, 1),
        (Fault::CutReply, 1),
        (Fault::status(500), 1),
        (Fault::Status { status: 503, retry_after: Some("0".to_owned()), body: None }, 1),
        (Fault::NotJson, 1),
        (Fault::Latency(NEVER), 1),
    ] {
        provider.clear_calls();
        provider.set_fault(FaultRule::once(fault.clone()).on(Operation::SendText)).await;
        let error = send(&gateway, CONNECTBY, Duration::from_secs(15)).await.expect_err("outcome unknown");
        assert_eq!(reason(&error), "SEND_OUTCOME_UNKNOWN", "{fault:?}");
        assert_eq!(provider.arrivals(Operation::SendText), arrives, "{fault:?}");
        provider.clear_faults().await.expect("faults cleared");
    }
}

#[tokio::test]
async fn open_circuit_fails_fast_and_recovers_without_a_client_call() {
    let gateway = Start::quiet().with("ACCOUNTS__DEMO_CONNECTBY__REQUEST_TIMEOUT", "1s").start().await;
    let provider = gateway.connectby();
    provider.set_fault(FaultRule::always(Fault::Latency(NEVER))).await;
    for error in join_all((0..5).map(|_| send(&gateway, CONNECTBY, NEVER))).await {
        assert_eq!(reason(&error.expect_err("no reply")), "SEND_OUTCOME_UNKNOWN");
    }

    let start = Instant::now();
    for _ in 0..200 {
        let error = send(&gateway, CONNECTBY, NEVER).await.expect_err("the provider is down");
        assert_eq!((error.code(), reason(&error).as_str()), (Code::Unavailable, "PROVIDER_UNREACHABLE"));
        assert!(delay(&error) <= Duration::from_secs(31), "{error:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(provider.arrivals(Operation::SendText), 5, "no send reaches a provider whose circuit is open");
    assert!(
        gateway
            .metric(r#"switchboard_rejected_calls_total{account="demo-connectby",reason="circuit_open"}"#)
            .await
            >= 200.0
    );

    provider.clear_faults().await.expect("faults cleared");
    let recovered = async {
        loop {
            match send(&gateway, CONNECTBY, NEVER).await {
                Ok(_) => break,
                // A client waits for the retry delay.
                Err(error) => sleep(delay(&error)).await,
            }
        }
    };
    within(Box::pin(recovered)).await;
    assert_eq!(provider.arrivals(Operation::SendText), 6, "the first send after recovery is accepted");
    assert!(provider.arrivals(Operation::ListTemplates) >= 1, "a probe read closed the circuit");
}

#[tokio::test]
async fn stuck_reads_do_not_block_sends() {
    let gateway = Start::quiet().with("ACCOUNTS__DEMO_CONNECTLY__GATE__CALLS_IN_FLIGHT", "8").start().await;
    let provider = gateway.connectly();
    provider.set_fault(FaultRule::always(Fault::Latency(NEVER)).on(Operation::ListTemplates)).await;
    // More reads than slots.
    let mut waiting = Box::pin(join_all((0..20).map(|_| list(&gateway, CONNECTLY, Some(NEVER)))));
    timeout(SHORT_WAIT, &mut waiting).await.expect_err("no reply");
    send(&gateway, CONNECTLY, Duration::from_secs(10)).await.expect("accepted");
    assert_eq!(provider.arrivals(Operation::ListTemplates), 1, "reads get an eighth of the slots");
}

#[tokio::test]
async fn failing_account_never_slows_another() {
    let gateway = Start::quiet().with("ACCOUNTS__DEMO_CONNECTBY__GATE__CALLS_IN_FLIGHT", "2").start().await;
    let mut stuck = JoinSet::new();
    gateway.connectby().set_fault(FaultRule::always(Fault::Latency(NEVER))).await;
    for _ in 0..50 {
        let mut messages = gateway.messages();
        stuck.spawn(async move { messages.send_message(text(CONNECTBY, "hi")).await.map(drop) });
    }
    let sent = join_all((0..50).map(|_| send(&gateway, CONNECTLY, Duration::from_secs(10)))).await;
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    assert!(stuck.try_join_next().is_none(), "the other account's calls still wait");

    // A throttled account delays no other account either.
    gateway.connectly().set_fault(FaultRule::once(throttled("60")).on(Operation::SendMessage)).await;
    let error = send(&gateway, CONNECTLY, Duration::from_secs(5)).await.expect_err("throttled");
    assert_eq!(reason(&error), "PROVIDER_THROTTLED");
    gateway.connectby().clear_faults().await.expect("faults cleared");
    list(&gateway, CONNECTBY, Some(Duration::from_secs(10))).await.expect("listed");
}
