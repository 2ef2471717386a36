//! What stands between callers and a provider: its rate, its trouble, and what is tried again.

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

/// How long a call that must wait is watched to see that it does.
const A_WHILE: Duration = Duration::from_millis(500);

async fn list(
    gateway: &Gateway,
    account: &str,
    patience: Option<Duration>,
) -> Result<ListTemplatesResponse, Status> {
    let mut request =
        Request::new(ListTemplatesRequest { account: account.to_owned(), page_token: String::new() });
    if let Some(patience) = patience {
        request.set_timeout(patience);
    }
    let mut templates = TemplateServiceClient::new(gateway.channel.clone());
    Ok(within(templates.list_templates(request)).await?.into_inner())
}

async fn send(gateway: &Gateway, account: &str, patience: Duration) -> Result<Message, Status> {
    let mut request = Request::new(text(account, "hi"));
    request.set_timeout(patience);
    let response = within(gateway.messages().send_message(request)).await?;
    Ok(response.into_inner().message.expect("an answer holds the message"))
}

fn throttled(retry_after: &str) -> Fault {
    Fault::Status { status: 429, retry_after: Some(retry_after.to_owned()), body: None }
}

fn delay(told: &Status) -> Duration {
    details(told).retry_info().and_then(|info| info.retry_delay).expect("a time to wait")
}

#[tokio::test]
async fn reads_are_tried_again() {
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
        list(&gateway, CONNECTBY, None).await.unwrap_or_else(|told| panic!("{fault:?}: {told:?}"));
        assert_eq!(provider.arrivals(Operation::ListTemplates), 3, "{fault:?}");
    }
    let answered =
        r#"switchboard_reads_total{account="demo-connectby",operation="list_templates",outcome="answered"}"#;
    assert!(gateway.metric(answered).await >= 6.0);
}

#[tokio::test]
async fn a_read_that_would_be_answered_the_same_again_is_not_tried_again() {
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
        let told = list(&gateway, CONNECTBY, None).await.expect_err("a fault is no success");
        assert_eq!(reason(&told), expected);
        assert_eq!(provider.arrivals(Operation::ListTemplates), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_read_is_cut_off_at_its_deadline_and_its_caller_is_told_why() {
    let gateway = Start::quiet().start().await;
    gateway.connectby().set_fault(FaultRule::once(Fault::Latency(NEVER)).on(Operation::ListTemplates)).await;
    let told = list(&gateway, CONNECTBY, Some(Duration::from_secs(1))).await.expect_err("too late");
    assert_eq!((told.code(), reason(&told).as_str()), (Code::Unavailable, "PROVIDER_UNAVAILABLE"));
    assert_eq!(metadata(&told, "cause"), "TIMED_OUT");
}

#[tokio::test]
async fn a_server_that_stops_keeps_no_read_waiting() {
    let gateway = Start::quiet().start().await;
    gateway.connectby().set_fault(FaultRule::once(throttled("60")).on(Operation::ListTemplates)).await;
    let told = list(&gateway, CONNECTBY, Some(Duration::from_secs(5))).await.expect_err("throttled");
    assert_eq!(reason(&told), "PROVIDER_THROTTLED");
    // The account rests for a minute, and these wait for that.
    let mut waiting = Box::pin(list(&gateway, CONNECTBY, Some(NEVER)));
    timeout(A_WHILE, &mut waiting).await.expect_err("it waits");
    gateway.begin_to_stop();
    let told = waiting.await.expect_err("the server stops");
    assert_eq!((told.code(), reason(&told).as_str()), (Code::Unavailable, "SERVER_STOPPING"));
}

#[tokio::test]
async fn the_rate_of_an_account_is_shown() {
    let gateway = Start::quiet().with("ACCOUNTS__DEMO_CONNECTLY__GATE__CALLS_PER_SECOND", "7").start().await;
    let mut rates = Vec::new();
    for account in [CONNECTBY, CONNECTLY] {
        let request = GetAccountRequest { account: account.to_owned() };
        let account = gateway.accounts().get_account(request).await.expect("there").into_inner().account;
        rates.push(account.and_then(|account| account.limits).expect("limits").calls_per_second);
    }
    assert_eq!(rates, [80, 7]);
}

#[tokio::test]
async fn calls_go_no_faster_than_the_rate_and_none_is_lost() {
    let gateway = Start::quiet().with("ACCOUNTS__DEMO_CONNECTLY__GATE__CALLS_PER_SECOND", "20").start().await;
    let start = Instant::now();
    let sent = join_all((0..22).map(|_| send(&gateway, CONNECTLY, Duration::from_secs(15)))).await;
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    // Two go at once, and twenty more take a second.
    assert!(start.elapsed() > Duration::from_millis(950), "{:?}", start.elapsed());
    assert_eq!(gateway.connectly().arrivals(Operation::SendMessage), 22);
}

#[tokio::test]
async fn a_call_that_would_wait_past_its_deadline_fails_at_once_with_the_time_to_wait() {
    let gateway = Start::quiet().start().await;
    gateway.connectly().set_fault(FaultRule::once(throttled("30")).on(Operation::SendMessage)).await;
    let told = send(&gateway, CONNECTLY, Duration::from_secs(10)).await.expect_err("throttled");
    assert_eq!((reason(&told).as_str(), delay(&told).as_secs()), ("PROVIDER_THROTTLED", 30));

    let start = Instant::now();
    let told = send(&gateway, CONNECTLY, Duration::from_secs(10)).await.expect_err("no time for that");
    assert_eq!((told.code(), reason(&told).as_str()), (Code::ResourceExhausted, "ACCOUNT_BUSY"));
    assert!(delay(&told) > Duration::from_secs(15) && delay(&told) <= Duration::from_secs(30), "{told:?}");
    assert_eq!(metadata(&told, "account"), CONNECTLY);
    let told = list(&gateway, CONNECTLY, Some(Duration::from_secs(10))).await.expect_err("no time for that");
    assert_eq!((told.code(), reason(&told).as_str()), (Code::ResourceExhausted, "ACCOUNT_BUSY"));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());

    assert_eq!(gateway.connectly().arrivals(Operation::SendMessage), 1, "nothing went out");
    assert_eq!(gateway.connectly().arrivals(Operation::ListTemplates), 0, "nothing went out");
    assert!(gateway.metric(r#"switchboard_held_total{account="demo-connectly",cause="busy"}"#).await >= 2.0);
}

#[tokio::test]
async fn a_throttled_send_is_tried_again_within_the_deadline() {
    let gateway = Start::quiet().start().await;
    gateway.connectby().set_fault(FaultRule::once(throttled("1")).on(Operation::SendText)).await;
    let start = Instant::now();
    send(&gateway, CONNECTBY, Duration::from_secs(15)).await.expect("accepted at last");
    assert!(start.elapsed() >= Duration::from_secs(1), "not before it may: {:?}", start.elapsed());
    assert_eq!(gateway.connectby().arrivals(Operation::SendText), 2);
}

#[tokio::test]
async fn a_send_that_did_not_reach_the_provider_is_tried_again() {
    let start = Start::quiet().with("ACCOUNTS__DEMO_CONNECTBY__GATE__BREAKER_FAILURES", "0");
    let gateway = start.start().await;
    gateway.connectby().set_fault(FaultRule::always(Fault::Refuse)).await;
    let mut sending = Box::pin(send(&gateway, CONNECTBY, Duration::from_secs(15)));
    timeout(A_WHILE, &mut sending).await.expect_err("nobody listens, and there is time");
    gateway.connectby().clear_faults().await.expect("listens again");
    sending.await.expect("accepted at last");
    assert_eq!(gateway.connectby().arrivals(Operation::SendText), 1);
}

#[tokio::test]
async fn a_send_of_unknown_outcome_is_never_tried_again() {
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
        let told = send(&gateway, CONNECTBY, Duration::from_secs(15)).await.expect_err("nobody can tell");
        assert_eq!(reason(&told), "SEND_OUTCOME_UNKNOWN", "{fault:?}");
        assert_eq!(provider.arrivals(Operation::SendText), arrives, "{fault:?}");
        provider.clear_faults().await.expect("listens");
    }
}

#[tokio::test]
async fn a_dead_provider_costs_callers_no_time_and_heals_by_itself() {
    let gateway = Start::quiet().with("ACCOUNTS__DEMO_CONNECTBY__REQUEST_TIMEOUT", "1s").start().await;
    let provider = gateway.connectby();
    provider.set_fault(FaultRule::always(Fault::Latency(NEVER))).await;
    for told in join_all((0..5).map(|_| send(&gateway, CONNECTBY, NEVER))).await {
        assert_eq!(reason(&told.expect_err("no reply")), "SEND_OUTCOME_UNKNOWN");
    }

    let start = Instant::now();
    for _ in 0..200 {
        let told = send(&gateway, CONNECTBY, NEVER).await.expect_err("the provider is down");
        assert_eq!((told.code(), reason(&told).as_str()), (Code::Unavailable, "PROVIDER_UNREACHABLE"));
        assert!(delay(&told) <= Duration::from_secs(31), "{told:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(provider.arrivals(Operation::SendText), 5, "no caller's send tries a dead provider");
    assert!(
        gateway.metric(r#"switchboard_held_total{account="demo-connectby",cause="down"}"#).await >= 200.0
    );

    provider.clear_faults().await.expect("listens");
    let healed = async {
        loop {
            match send(&gateway, CONNECTBY, NEVER).await {
                Ok(_) => break,
                // As any caller would.
                Err(told) => sleep(delay(&told)).await,
            }
        }
    };
    within(healed).await;
    assert_eq!(provider.arrivals(Operation::SendText), 6, "the first that went out was accepted");
    assert!(provider.arrivals(Operation::ListTemplates) >= 1, "a read of our own tried it");
}

#[tokio::test]
async fn trouble_with_reads_holds_up_no_send() {
    let gateway = Start::quiet().with("ACCOUNTS__DEMO_CONNECTLY__GATE__CALLS_IN_FLIGHT", "8").start().await;
    let provider = gateway.connectly();
    provider.set_fault(FaultRule::always(Fault::Latency(NEVER)).on(Operation::ListTemplates)).await;
    // More reads than there are places for.
    let mut waiting = Box::pin(join_all((0..20).map(|_| list(&gateway, CONNECTLY, Some(NEVER)))));
    timeout(A_WHILE, &mut waiting).await.expect_err("no reply");
    send(&gateway, CONNECTLY, Duration::from_secs(10)).await.expect("accepted");
    assert_eq!(provider.arrivals(Operation::ListTemplates), 1, "an eighth of the places");
}

#[tokio::test]
async fn one_accounts_trouble_never_slows_another() {
    let gateway = Start::quiet().with("ACCOUNTS__DEMO_CONNECTBY__GATE__CALLS_IN_FLIGHT", "2").start().await;
    let mut stuck = JoinSet::new();
    gateway.connectby().set_fault(FaultRule::always(Fault::Latency(NEVER))).await;
    for _ in 0..50 {
        let mut messages = gateway.messages();
        stuck.spawn(async move { messages.send_message(text(CONNECTBY, "hi")).await.map(drop) });
    }
    let sent = join_all((0..50).map(|_| send(&gateway, CONNECTLY, Duration::from_secs(10)))).await;
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    assert!(stuck.try_join_next().is_none(), "the other account's calls wait all the while");

    // Neither does a provider that wants to be left alone.
    gateway.connectly().set_fault(FaultRule::once(throttled("60")).on(Operation::SendMessage)).await;
    let told = send(&gateway, CONNECTLY, Duration::from_secs(5)).await.expect_err("throttled");
    assert_eq!(reason(&told), "PROVIDER_THROTTLED");
    gateway.connectby().clear_faults().await.expect("listens");
    list(&gateway, CONNECTBY, Some(Duration::from_secs(10))).await.expect("listed");
}
