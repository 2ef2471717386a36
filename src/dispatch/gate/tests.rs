//! Tests of the gate in paused time, so waits take no real time.

use std::collections::VecDeque;
use std::sync::Mutex;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::task::JoinSet;
use tokio::time::{advance, sleep};

use super::*;
use crate::domain::{Provider, ProviderFault, RefusalReason, ThrottleScope, UnknownReason};

const LIMITS: RateLimits = RateLimits {
    calls_per_second: 10,
    calls_in_flight: 16,
    max_queue_wait: Duration::from_secs(30),
    breaker_failures: 3,
};

fn gate(rate_limits: RateLimits) -> Arc<Gate> {
    Arc::new(Gate::new("acme".parse().expect("an id"), rate_limits))
}

fn within(millis: u64) -> Instant {
    Instant::now() + Duration::from_millis(millis)
}

fn fault(status: u16, refusal: RefusalReason) -> ProviderFault {
    ProviderFault {
        provider: Provider::CONNECTLY,
        refusal,
        http_status: Some(status),
        code: None,
        kind: None,
        trace_id: None,
        throttle_scope: ThrottleScope::Account,
        retry_after: None,
        route: None,
        text: None,
    }
}

fn unknown(cause: UnknownReason) -> Result<(), ProviderError> {
    Err(ProviderError::Unknown { cause, fault: None })
}

fn throttled(retry_after: Option<u64>) -> Result<(), ProviderError> {
    let retry_after = retry_after.map(Duration::from_secs);
    Err(ProviderError::Refused(ProviderFault { retry_after, ..fault(429, RefusalReason::Throttled) }))
}

/// Makes a call with that result.
async fn call(gate: &Arc<Gate>, class: Class, result: Result<(), ProviderError>) {
    gate.acquire(class, within(60_000)).await.expect("admitted").record(&result);
}

async fn open(gate: &Arc<Gate>, class: Class) {
    for _ in 0..LIMITS.breaker_failures {
        call(gate, class, unknown(UnknownReason::TimedOut)).await;
    }
    assert!(matches!(gate.acquire(class, within(0)).await, Err(Rejected::CircuitOpen { .. })));
}

/// A gate whose provider answers probes with `answers`, and then with timeouts.
fn probed(
    answers: impl IntoIterator<Item = Result<(), ProviderError>>,
) -> (Arc<Gate>, Arc<Mutex<Vec<Instant>>>) {
    let gate = gate(RateLimits { calls_per_second: 1_000, ..LIMITS });
    let answers: Mutex<VecDeque<_>> = Mutex::new(answers.into_iter().collect());
    let probes = Arc::new(Mutex::new(Vec::new()));
    let (weak, states, recorded) = (Arc::downgrade(&gate), gate.breakers.subscribe(), Arc::clone(&probes));
    let probe = move || {
        recorded.lock().expect("not poisoned").push(Instant::now());
        let answer = answers.lock().expect("not poisoned").pop_front();
        async move { answer.unwrap_or_else(|| unknown(UnknownReason::TimedOut)) }
    };
    #[expect(clippy::disallowed_methods, reason = "it ends with the gate")]
    tokio::spawn(probe::run(weak, states, probe));
    (gate, probes)
}

fn failed(status: u16, code: Option<&str>) -> Result<(), ProviderError> {
    let fault = ProviderFault { code: code.map(str::to_owned), ..fault(status, RefusalReason::Other) };
    Err(ProviderError::Unknown { cause: UnknownReason::ProviderFailed, fault: Some(fault) })
}

#[tokio::test(start_paused = true)]
async fn replies_about_one_message_never_open_the_breaker() {
    // Meta's 131000 comes with any status. A proxy's page has no code.
    for (status, code, opens) in [
        (200, Some("131000"), false),
        (400, Some("131000"), false),
        (408, None, false),
        (500, Some("131000"), false),
        (500, None, true),
        (502, None, true),
    ] {
        let gate = gate(LIMITS);
        for _ in 0..LIMITS.breaker_failures {
            call(&gate, Class::Send, failed(status, code)).await;
        }
        let rejected =
            matches!(gate.acquire(Class::Send, within(0)).await, Err(Rejected::CircuitOpen { .. }));
        assert_eq!(rejected, opens, "{status} {code:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_are_admitted_in_order_and_at_the_rate() {
    let gate = gate(LIMITS);
    let start = Instant::now();
    let mut calls = JoinSet::new();
    for number in 0..12 {
        let gate = Arc::clone(&gate);
        calls.spawn(async move {
            let permit = gate.acquire(Class::Send, within(10_000)).await.expect("admitted");
            (number, start.elapsed(), permit)
        });
    }
    let mut order = Vec::new();
    while let Some(ended) = calls.join_next().await {
        let (number, at, permit) = ended.expect("does not panic");
        order.push(number);
        // The first call is admitted at once, each other 100 ms after the one before. The clock ticks in milliseconds.
        let due = Duration::from_millis(100 * number);
        assert!(at >= due && at < due + Duration::from_millis(30), "{number} was admitted after {at:?}");
        permit.record(&Ok(()));
    }
    assert_eq!(order, (0..12).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn call_that_would_wait_too_long_is_rejected_at_once() {
    let gate = gate(LIMITS);
    let mut queue = JoinSet::new();
    for _ in 0..10 {
        let gate = Arc::clone(&gate);
        queue.spawn(async move { gate.acquire(Class::Send, within(10_000)).await.map(drop) });
    }
    tokio::task::yield_now().await;
    let start = Instant::now();
    let Err(Rejected::RateLimited { retry_after }) = gate.acquire(Class::Write, within(500)).await else {
        panic!("nine calls are queued")
    };
    assert_eq!(start.elapsed(), Duration::ZERO, "it did not wait");
    assert!(
        retry_after > Duration::from_millis(800) && retry_after <= Duration::from_secs(1),
        "{retry_after:?}"
    );
    // A call with a later deadline is admitted in its turn.
    gate.acquire(Class::Write, within(1_100)).await.map(drop).expect("its turn comes");
    assert!(queue.join_all().await.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn cancelled_call_does_not_delay_the_queue() {
    let gate = gate(LIMITS);
    let _ = gate.acquire(Class::Send, within(0)).await.expect("the first");
    let cancelled = Box::pin(gate.acquire(Class::Send, within(60_000)));
    let queued = Box::pin(gate.acquire(Class::Send, within(60_000)));
    let mut cancelled = cancelled.fuse();
    assert!((&mut cancelled).now_or_never().is_none());
    let mut queued = queued;
    assert!((&mut queued).now_or_never().is_none());
    drop(cancelled);
    let start = Instant::now();
    queued.await.map(drop).expect("its turn comes");
    assert!(start.elapsed() < Duration::from_millis(120), "{:?}", start.elapsed());
    assert_eq!(gate.bucket.estimate(Class::Send, 0), Instant::now(), "the queue is empty");
}

#[tokio::test(start_paused = true)]
async fn calls_in_flight_are_limited_and_reads_have_own_slots() {
    let gate = gate(RateLimits { calls_per_second: 10_000, ..LIMITS });
    let mut writes = Vec::new();
    for _ in 0..16 {
        writes.push(gate.acquire(Class::Send, within(0)).await.expect("a slot"));
    }
    let start = Instant::now();
    assert!(matches!(gate.acquire(Class::Write, within(700)).await, Err(Rejected::RateLimited { .. })));
    assert_eq!(start.elapsed(), Duration::from_millis(700), "it waited until its deadline");
    let reads = [
        gate.acquire(Class::Read, within(0)).await.expect("an eighth of sixteen"),
        gate.acquire(Class::Read, within(0)).await.expect("an eighth of sixteen"),
    ];
    assert!(matches!(gate.acquire(Class::Read, within(100)).await, Err(Rejected::RateLimited { .. })));
    // A recorded or dropped permit frees its slot.
    writes.pop().expect("sixteen").record(&Ok(()));
    let _ = gate.acquire(Class::Write, within(0)).await.expect("a slot is free");
    drop(reads);
    let _ = gate.acquire(Class::Read, within(0)).await.expect("a slot is free");
}

#[tokio::test(start_paused = true)]
async fn throttling_pauses_the_class_for_retry_after() {
    for (retry_after, seconds) in [(Some(7), 7), (None, 1), (Some(3_600), 60)] {
        let gate = gate(LIMITS);
        call(&gate, Class::Send, throttled(retry_after)).await;
        let start = Instant::now();
        let Err(Rejected::RateLimited { retry_after }) = gate.acquire(Class::Send, within(900)).await else {
            panic!("the pause applies to sends")
        };
        assert_eq!((start.elapsed(), retry_after.as_secs()), (Duration::ZERO, seconds));
        gate.acquire(Class::Send, within(61_000)).await.map(drop).expect("after the pause");
        assert_eq!(start.elapsed().as_secs(), seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn throttled_reads_never_delay_sends() {
    let gate = gate(RateLimits { calls_in_flight: 1, ..LIMITS });
    call(&gate, Class::Read, throttled(Some(30))).await;
    // Reads wait for the end of the pause: they hold no slot and no place in the queue of sends.
    let mut reads = JoinSet::new();
    for _ in 0..5 {
        let gate = Arc::clone(&gate);
        reads.spawn(async move { gate.acquire(Class::Read, within(60_000)).await.map(drop) });
    }
    tokio::task::yield_now().await;
    let start = Instant::now();
    for _ in 0..3 {
        call(&gate, Class::Send, Ok(())).await;
        call(&gate, Class::Write, Ok(())).await;
    }
    assert!(start.elapsed() <= Duration::from_millis(630), "only the rate limit: {:?}", start.elapsed());
    assert!(reads.join_all().await.iter().all(Result::is_ok));
    assert!(start.elapsed() >= Duration::from_secs(29), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn write_that_waits_when_the_pause_begins_frees_its_slot() {
    let gate = gate(RateLimits { calls_in_flight: 1, ..LIMITS });
    let first = gate.acquire(Class::Write, within(0)).await.expect("the first");
    let waiting = Arc::clone(&gate);
    let mut waiting =
        JoinSet::from_iter([async move { waiting.acquire(Class::Write, within(60_000)).await.map(drop) }]);
    tokio::task::yield_now().await;
    let start = Instant::now();
    first.record(&throttled(Some(30)));
    gate.acquire(Class::Send, within(1_000)).await.map(drop).expect("sends are not paused");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    waiting.join_next().await.expect("one").expect("no panic").expect("after the pause");
    assert_eq!(start.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn token_of_a_call_that_the_breaker_rejects_is_returned() {
    let gate = gate(LIMITS);
    open(&gate, Class::Send).await;
    gate.breakers.half_open();
    let trial = gate.acquire(Class::Send, within(60_000)).await.expect("the trial");
    // The second call gets a token, and then waits for the result of the trial.
    let mut second = Box::pin(gate.acquire(Class::Send, within(60_000)));
    assert!((&mut second).now_or_never().is_none());
    advance(Duration::from_millis(150)).await;
    assert!((&mut second).now_or_never().is_none());
    assert!(!gate.bucket.try_acquire(Class::Read), "the second call has the token");
    trial.record(&unknown(UnknownReason::TimedOut));
    assert!(matches!(second.await, Err(Rejected::CircuitOpen { .. })));
    assert!(gate.bucket.try_acquire(Class::Read), "the token is returned");
}

#[tokio::test(start_paused = true)]
async fn pause_past_the_deadline_rejects_queued_calls_at_once() {
    let gate = gate(LIMITS);
    let first = gate.acquire(Class::Send, within(0)).await.expect("the first");
    let start = Instant::now();
    let waiting = gate.acquire(Class::Send, within(5_000));
    let (rejected, ()) = tokio::join!(waiting, async { first.record(&throttled(Some(9))) });
    assert!(
        matches!(rejected, Err(Rejected::RateLimited { retry_after }) if retry_after.as_secs() == 9),
        "{rejected:?}"
    );
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn per_customer_throttling_does_not_pause_the_account() {
    let gate = gate(LIMITS);
    let throttle_scope = ThrottleScope::Customer;
    let pair = ProviderFault { throttle_scope, ..fault(400, RefusalReason::Throttled) };
    call(&gate, Class::Send, Err(ProviderError::Refused(pair))).await;
    gate.acquire(Class::Send, within(110)).await.map(drop).expect("only the rate limit delays it");
}

#[tokio::test(start_paused = true)]
async fn consecutive_failures_open_the_breaker_of_one_class() {
    for failure in [
        Err(ProviderError::NotSent(None)),
        unknown(UnknownReason::TimedOut),
        unknown(UnknownReason::ConnectionLost),
        unknown(UnknownReason::ReplyCutOff),
        unknown(UnknownReason::ProviderFailed),
    ] {
        let gate = gate(LIMITS);
        let mut failure = Some(failure);
        call(&gate, Class::Send, unknown(UnknownReason::TimedOut)).await;
        call(&gate, Class::Send, unknown(UnknownReason::TimedOut)).await;
        call(&gate, Class::Send, failure.take().expect("once")).await;
        let start = Instant::now();
        assert!(matches!(gate.acquire(Class::Send, within(9_000)).await, Err(Rejected::CircuitOpen { .. })));
        assert_eq!(start.elapsed(), Duration::ZERO, "it is rejected at once");
        let _ = gate.acquire(Class::Write, within(1_000)).await.expect("another class");
        let _ = gate.acquire(Class::Read, within(1_000)).await.expect("another class");
    }
}

#[tokio::test(start_paused = true)]
async fn any_reply_resets_the_failure_count() {
    for reply in [
        Ok(()),
        Err(ProviderError::Refused(fault(401, RefusalReason::CredentialsRejected))),
        unknown(UnknownReason::ReplyUnreadable),
        unknown(UnknownReason::ReplyTooLarge),
        unknown(UnknownReason::Redirected),
    ] {
        let gate = gate(LIMITS);
        for _ in 0..2 {
            call(&gate, Class::Read, unknown(UnknownReason::TimedOut)).await;
        }
        call(&gate, Class::Read, reply).await;
        for _ in 0..2 {
            call(&gate, Class::Read, unknown(UnknownReason::TimedOut)).await;
        }
        gate.acquire(Class::Read, within(1_000)).await.map(drop).expect("never three consecutive failures");
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_permit_records_nothing() {
    let gate = gate(LIMITS);
    for _ in 0..10 {
        drop(gate.acquire(Class::Send, within(1_000)).await.expect("admitted"));
    }
    let _ = gate.acquire(Class::Send, within(1_000)).await.expect("no failure was recorded");
}

#[tokio::test(start_paused = true)]
async fn disabled_breaker_never_opens() {
    let gate = gate(RateLimits { breaker_failures: 0, ..LIMITS });
    for _ in 0..100 {
        call(&gate, Class::Send, unknown(UnknownReason::TimedOut)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn opening_breaker_rejects_queued_calls_at_once() {
    let gate = gate(RateLimits { breaker_failures: 1, ..LIMITS });
    let first = gate.acquire(Class::Send, within(0)).await.expect("the first");
    let start = Instant::now();
    let (rejected, ()) = tokio::join!(gate.acquire(Class::Send, within(5_000)), async {
        first.record(&unknown(UnknownReason::TimedOut));
    });
    assert!(matches!(rejected, Err(Rejected::CircuitOpen { .. })), "{rejected:?}");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn probes_back_off_and_run_only_while_a_breaker_is_open() {
    let (gate, probes) = probed([]);
    sleep(Duration::from_secs(600)).await;
    assert!(probes.lock().expect("not poisoned").is_empty(), "no breaker was open");
    let start = Instant::now();
    open(&gate, Class::Send).await;
    sleep(Duration::from_secs(120)).await;
    let at: Vec<f64> =
        probes.lock().expect("not poisoned").iter().map(|at| (*at - start).as_secs_f64().round()).collect();
    assert_eq!(at, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 62.0, 92.0]);
    // A rejection contains the time until the next probe.
    let Err(Rejected::CircuitOpen { retry_after }) = gate.acquire(Class::Send, within(0)).await else {
        panic!("the breaker is open")
    };
    assert!(retry_after > Duration::from_millis(100) && retry_after <= Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn probe_reply_half_opens_and_the_trial_call_decides() {
    for answer in [
        Ok(()),
        Err(ProviderError::Refused(fault(401, RefusalReason::CredentialsRejected))),
        Err(ProviderError::Unknown {
            cause: UnknownReason::ReplyUnreadable,
            fault: Some(fault(200, RefusalReason::Other)),
        }),
    ] {
        let (gate, probes) = probed([answer]);
        open(&gate, Class::Send).await;
        sleep(Duration::from_millis(600)).await;
        assert_eq!(probes.lock().expect("not poisoned").len(), 1);
        // One failure opens a half-open breaker.
        call(&gate, Class::Send, unknown(UnknownReason::ConnectionLost)).await;
        assert!(matches!(gate.acquire(Class::Send, within(0)).await, Err(Rejected::CircuitOpen { .. })));
    }
    let (gate, probes) = probed([Ok(())]);
    open(&gate, Class::Send).await;
    sleep(Duration::from_millis(600)).await;
    call(&gate, Class::Send, Ok(())).await;
    // The breaker is closed, so the threshold is three again.
    for _ in 0..2 {
        call(&gate, Class::Send, unknown(UnknownReason::ConnectionLost)).await;
    }
    gate.acquire(Class::Send, within(1_000)).await.map(drop).expect("closed");
    sleep(Duration::from_secs(600)).await;
    assert_eq!(probes.lock().expect("not poisoned").len(), 1, "no breaker is open");
}

#[tokio::test(start_paused = true)]
async fn half_open_admits_one_trial_and_others_wait_briefly() {
    let (gate, _) = probed([Ok(()), Ok(())]);
    let is_open = |acquired: Result<Permit, Rejected>| matches!(acquired, Err(Rejected::CircuitOpen { .. }));
    open(&gate, Class::Send).await;
    sleep(Duration::from_millis(600)).await;
    let trial = gate.acquire(Class::Send, within(0)).await.expect("the trial");
    let started = Instant::now();
    for _ in 0..10 {
        assert!(is_open(gate.acquire(Class::Send, within(9_000)).await));
    }
    assert_eq!(
        started.elapsed(),
        Duration::from_secs(1),
        "the first waited, then the trial had taken too long for all"
    );
    // The trial's permit is dropped, so the next call becomes the trial.
    drop(trial);
    let trial = gate.acquire(Class::Send, within(0)).await.expect("the trial");
    trial.record(&unknown(UnknownReason::ServerFailed));
    let trial = gate.acquire(Class::Send, within(0)).await.expect("the next trial");
    assert!(is_open(gate.acquire(Class::Send, within(0)).await));
    trial.record(&unknown(UnknownReason::TimedOut));
    assert!(is_open(gate.acquire(Class::Send, within(0)).await), "open again");

    sleep(Duration::from_secs(2)).await;
    // Of several concurrent calls one is the trial. The others are admitted after it succeeds.
    let in_flight = AtomicUsize::new(0);
    let outcomes = (0..9).map(async |at| {
        let permit = gate.acquire(Class::Send, within(60_000)).await?;
        if at == 0 {
            assert_eq!(in_flight.fetch_add(1, Ordering::SeqCst), 0);
            sleep(Duration::from_millis(500)).await;
            assert_eq!(in_flight.load(Ordering::SeqCst), 1, "the trial is alone");
        } else {
            in_flight.fetch_add(1, Ordering::SeqCst);
        }
        permit.record(&Ok(()));
        Ok(())
    });
    let outcomes: Result<Vec<()>, Rejected> = join_all(outcomes).await.into_iter().collect();
    outcomes.expect("closed");
}

#[tokio::test(start_paused = true)]
async fn new_outage_resets_the_probe_delay_while_half_open() {
    let (gate, probes) = probed([
        unknown(UnknownReason::TimedOut),
        unknown(UnknownReason::TimedOut),
        unknown(UnknownReason::TimedOut),
        unknown(UnknownReason::TimedOut),
        Ok(()),
        Ok(()),
    ]);
    open(&gate, Class::Write).await;
    open(&gate, Class::Send).await;
    sleep(Duration::from_secs(60)).await;
    // Sends succeed again, and there is no further write.
    call(&gate, Class::Send, Ok(())).await;
    assert_eq!(probes.lock().expect("not poisoned").len(), 5);
    open(&gate, Class::Send).await;
    sleep(Duration::from_millis(1_100)).await;
    call(&gate, Class::Send, Ok(())).await;
    assert_eq!(probes.lock().expect("not poisoned").len(), 6);
}

#[tokio::test(start_paused = true)]
async fn failed_probe_keeps_the_breaker_open() {
    let failing = |status| {
        let fault = Some(fault(status, RefusalReason::Other));
        Err(ProviderError::Unknown { cause: UnknownReason::ProviderFailed, fault })
    };
    let (gate, probes) =
        probed([Err(ProviderError::NotSent(None)), failing(503), unknown(UnknownReason::ReplyCutOff)]);
    open(&gate, Class::Read).await;
    sleep(Duration::from_secs(4)).await;
    assert_eq!(probes.lock().expect("not poisoned").len(), 3);
    assert!(matches!(gate.acquire(Class::Read, within(0)).await, Err(Rejected::CircuitOpen { .. })));
}

#[tokio::test(start_paused = true)]
async fn failure_from_before_the_outage_does_not_reopen() {
    let (gate, _) = probed([Ok(())]);
    let slow = gate.acquire(Class::Send, within(0)).await.expect("admitted");
    open(&gate, Class::Send).await;
    sleep(Duration::from_millis(600)).await;
    slow.record(&unknown(UnknownReason::TimedOut));
    gate.acquire(Class::Send, within(0)).await.map(drop).expect("still half-open");
}

#[tokio::test(start_paused = true)]
async fn late_reply_closes_the_breaker() {
    let (gate, probes) = probed([]);
    let slow = gate.acquire(Class::Send, within(0)).await.expect("admitted");
    open(&gate, Class::Send).await;
    slow.record(&Ok(()));
    gate.acquire(Class::Send, within(0)).await.map(drop).expect("closed");
    sleep(Duration::from_secs(60)).await;
    assert!(probes.lock().expect("not poisoned").is_empty(), "no breaker is open");
}

#[tokio::test(start_paused = true)]
async fn dropped_gate_is_not_probed() {
    let (gate, probes) = probed([]);
    open(&gate, Class::Send).await;
    drop(gate);
    advance(Duration::from_secs(60)).await;
    sleep(Duration::from_secs(60)).await;
    assert!(probes.lock().expect("not poisoned").is_empty());
}
