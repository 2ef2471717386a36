//! The gate, in paused time: what waits here takes no time at all.

use std::collections::VecDeque;
use std::sync::Mutex;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::task::JoinSet;
use tokio::time::{advance, sleep};

use super::*;
use crate::domain::{Provider, ProviderFault, RefusalReason, UnknownReason};

const PACE: RateLimits = RateLimits {
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
        provider: Provider::Connectly,
        refusal,
        http_status: Some(status),
        code: None,
        kind: None,
        trace_id: None,
        retry_after: None,
        route: None,
    }
}

fn unknown(cause: UnknownReason) -> Result<(), ProviderError> {
    Err(ProviderError::Unknown { cause, fault: None })
}

fn throttled(retry_after: Option<u64>) -> Result<(), ProviderError> {
    let retry_after = retry_after.map(Duration::from_secs);
    Err(ProviderError::Refused(ProviderFault { retry_after, ..fault(429, RefusalReason::Throttled) }))
}

/// Lets a call through and says how it ended.
async fn call(gate: &Arc<Gate>, class: Class, result: Result<(), ProviderError>) {
    gate.enter(class, within(60_000)).await.expect("let through").ended(&result);
}

async fn open(gate: &Arc<Gate>, class: Class) {
    for _ in 0..PACE.breaker_failures {
        call(gate, class, unknown(UnknownReason::TimedOut)).await;
    }
    assert!(matches!(gate.enter(class, within(0)).await, Err(Rejected::CircuitOpen { .. })));
}

/// A gate whose provider answers probes as told, and with silence when nothing more was told.
fn probed(
    answers: impl IntoIterator<Item = Result<(), ProviderError>>,
) -> (Arc<Gate>, Arc<Mutex<Vec<Instant>>>) {
    let gate = gate(RateLimits { calls_per_second: 1_000, ..PACE });
    let answers: Mutex<VecDeque<_>> = Mutex::new(answers.into_iter().collect());
    let tries = Arc::new(Mutex::new(Vec::new()));
    let (weak, board, noted) = (Arc::downgrade(&gate), gate.breakers.watch(), Arc::clone(&tries));
    let probe = move || {
        noted.lock().expect("sound").push(Instant::now());
        let answer = answers.lock().expect("sound").pop_front();
        async move { answer.unwrap_or_else(|| unknown(UnknownReason::TimedOut)) }
    };
    #[expect(clippy::disallowed_methods, reason = "it ends with the gate")]
    tokio::spawn(probe::keep(weak, board, probe));
    (gate, tries)
}

#[tokio::test(start_paused = true)]
async fn calls_go_in_their_order_and_at_the_rate() {
    let gate = gate(PACE);
    let start = Instant::now();
    let mut calls = JoinSet::new();
    for number in 0..12 {
        let gate = Arc::clone(&gate);
        calls.spawn(async move {
            let pass = gate.enter(Class::Send, within(10_000)).await.expect("let through");
            (number, start.elapsed(), pass)
        });
    }
    let mut order = Vec::new();
    while let Some(ended) = calls.join_next().await {
        let (number, at, pass) = ended.expect("does not panic");
        order.push(number);
        // The first goes at once, each other a tenth of a second after the one before; the clock ticks in milliseconds.
        let due = Duration::from_millis(100 * number);
        assert!(at >= due && at < due + Duration::from_millis(30), "{number} went after {at:?}");
        pass.ended(&Ok(()));
    }
    assert_eq!(order, (0..12).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_would_wait_too_long_is_turned_away_at_once() {
    let gate = gate(PACE);
    let mut line = JoinSet::new();
    for _ in 0..10 {
        let gate = Arc::clone(&gate);
        line.spawn(async move { gate.enter(Class::Send, within(10_000)).await.map(drop) });
    }
    tokio::task::yield_now().await;
    let start = Instant::now();
    let Err(Rejected::RateLimited { retry_after }) = gate.enter(Class::Write, within(500)).await else {
        panic!("nine are before it")
    };
    assert_eq!(start.elapsed(), Duration::ZERO, "it did not wait");
    assert!(
        retry_after > Duration::from_millis(800) && retry_after <= Duration::from_secs(1),
        "{retry_after:?}"
    );
    // A patient one is let through when its turn comes.
    gate.enter(Class::Write, within(1_100)).await.map(drop).expect("its turn comes");
    assert!(line.join_all().await.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn one_who_leaves_the_line_keeps_nobody_waiting() {
    let gate = gate(PACE);
    let _ = gate.enter(Class::Send, within(0)).await.expect("the first");
    let left = Box::pin(gate.enter(Class::Send, within(60_000)));
    let stays = Box::pin(gate.enter(Class::Send, within(60_000)));
    let mut left = left.fuse();
    assert!((&mut left).now_or_never().is_none());
    let mut stays = stays;
    assert!((&mut stays).now_or_never().is_none());
    drop(left);
    let start = Instant::now();
    stays.await.map(drop).expect("its turn comes");
    assert!(start.elapsed() < Duration::from_millis(120), "{:?}", start.elapsed());
    assert_eq!(gate.line.foreseen(0), Instant::now(), "nobody stands there any more");
}

#[tokio::test(start_paused = true)]
async fn only_so_many_calls_are_under_way_and_reads_have_places_of_their_own() {
    let gate = gate(RateLimits { calls_per_second: 10_000, ..PACE });
    let mut writes = Vec::new();
    for _ in 0..16 {
        writes.push(gate.enter(Class::Send, within(0)).await.expect("a place"));
    }
    let start = Instant::now();
    assert!(matches!(gate.enter(Class::Write, within(700)).await, Err(Rejected::RateLimited { .. })));
    assert_eq!(start.elapsed(), Duration::from_millis(700), "it waited as long as it might");
    let reads = [
        gate.enter(Class::Read, within(0)).await.expect("an eighth of sixteen"),
        gate.enter(Class::Read, within(0)).await.expect("an eighth of sixteen"),
    ];
    assert!(matches!(gate.enter(Class::Read, within(100)).await, Err(Rejected::RateLimited { .. })));
    // Whether a call ended or its caller hung up: its place is free.
    writes.pop().expect("sixteen").ended(&Ok(()));
    let _ = gate.enter(Class::Write, within(0)).await.expect("a place is free");
    drop(reads);
    let _ = gate.enter(Class::Read, within(0)).await.expect("a place is free");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_throttles_is_left_alone_for_as_long_as_it_says() {
    for (retry_after, seconds) in [(Some(7), 7), (None, 1), (Some(3_600), 60)] {
        let gate = gate(PACE);
        call(&gate, Class::Send, throttled(retry_after)).await;
        let start = Instant::now();
        let Err(Rejected::RateLimited { retry_after }) = gate.enter(Class::Read, within(900)).await else {
            panic!("the whole account waits")
        };
        assert_eq!((start.elapsed(), retry_after.as_secs()), (Duration::ZERO, seconds));
        gate.enter(Class::Send, within(61_000)).await.map(drop).expect("afterwards");
        assert_eq!(start.elapsed().as_secs(), seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn those_in_line_are_told_at_once_when_a_pause_outlasts_them() {
    let gate = gate(PACE);
    let first = gate.enter(Class::Send, within(0)).await.expect("the first");
    let start = Instant::now();
    let waiting = gate.enter(Class::Send, within(5_000));
    let (held, ()) = tokio::join!(waiting, async { first.ended(&throttled(Some(9))) });
    assert!(
        matches!(held, Err(Rejected::RateLimited { retry_after }) if retry_after.as_secs() == 9),
        "{held:?}"
    );
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_limit_for_one_customer_holds_up_nobody_else() {
    let gate = gate(PACE);
    let code = Some("131056".to_owned());
    let pair = ProviderFault { code, ..fault(400, RefusalReason::Throttled) };
    call(&gate, Class::Send, Err(ProviderError::Refused(pair))).await;
    gate.enter(Class::Send, within(110)).await.map(drop).expect("the rate alone holds it");
}

#[tokio::test(start_paused = true)]
async fn a_breaker_opens_after_failures_in_a_row_and_for_its_class_alone() {
    for failure in [
        Err(ProviderError::NotSent(None)),
        unknown(UnknownReason::TimedOut),
        unknown(UnknownReason::ConnectionLost),
        unknown(UnknownReason::ReplyCutOff),
        unknown(UnknownReason::ProviderFailed),
    ] {
        let gate = gate(PACE);
        let mut failure = Some(failure);
        call(&gate, Class::Send, unknown(UnknownReason::TimedOut)).await;
        call(&gate, Class::Send, unknown(UnknownReason::TimedOut)).await;
        call(&gate, Class::Send, failure.take().expect("once")).await;
        let start = Instant::now();
        assert!(matches!(gate.enter(Class::Send, within(9_000)).await, Err(Rejected::CircuitOpen { .. })));
        assert_eq!(start.elapsed(), Duration::ZERO, "it costs nothing");
        let _ = gate.enter(Class::Write, within(1_000)).await.expect("another class");
        let _ = gate.enter(Class::Read, within(1_000)).await.expect("another class");
    }
}

#[tokio::test(start_paused = true)]
async fn any_sign_of_life_starts_the_count_again() {
    for alive in [
        Ok(()),
        Err(ProviderError::Refused(fault(401, RefusalReason::CredentialsRejected))),
        unknown(UnknownReason::ReplyUnreadable),
        unknown(UnknownReason::ReplyTooLarge),
        unknown(UnknownReason::Redirected),
    ] {
        let gate = gate(PACE);
        for _ in 0..2 {
            call(&gate, Class::Read, unknown(UnknownReason::TimedOut)).await;
        }
        call(&gate, Class::Read, alive).await;
        for _ in 0..2 {
            call(&gate, Class::Read, unknown(UnknownReason::TimedOut)).await;
        }
        gate.enter(Class::Read, within(1_000)).await.map(drop).expect("never three in a row");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_caller_hung_up_says_nothing() {
    let gate = gate(PACE);
    for _ in 0..10 {
        drop(gate.enter(Class::Send, within(1_000)).await.expect("let through"));
    }
    let _ = gate.enter(Class::Send, within(1_000)).await.expect("nothing was learnt");
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_is_off_never_opens() {
    let gate = gate(RateLimits { breaker_failures: 0, ..PACE });
    for _ in 0..100 {
        call(&gate, Class::Send, unknown(UnknownReason::TimedOut)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_are_told_when_the_breaker_opens() {
    let gate = gate(RateLimits { breaker_failures: 1, ..PACE });
    let first = gate.enter(Class::Send, within(0)).await.expect("the first");
    let start = Instant::now();
    let (held, ()) = tokio::join!(gate.enter(Class::Send, within(5_000)), async {
        first.ended(&unknown(UnknownReason::TimedOut));
    });
    assert!(matches!(held, Err(Rejected::CircuitOpen { .. })), "{held:?}");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_dead_provider_is_tried_less_and_less_often_and_only_while_it_is_dead() {
    let (gate, tries) = probed([]);
    sleep(Duration::from_secs(600)).await;
    assert!(tries.lock().expect("sound").is_empty(), "nothing was wrong");
    let start = Instant::now();
    open(&gate, Class::Send).await;
    sleep(Duration::from_secs(120)).await;
    let at: Vec<f64> =
        tries.lock().expect("sound").iter().map(|at| (*at - start).as_secs_f64().round()).collect();
    assert_eq!(at, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 62.0, 92.0]);
    // Callers are told when the provider is tried next.
    let Err(Rejected::CircuitOpen { retry_after }) = gate.enter(Class::Send, within(0)).await else {
        panic!("down")
    };
    assert!(retry_after > Duration::from_millis(100) && retry_after <= Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn any_answer_to_a_probe_lets_calls_go_again_and_the_first_outcome_decides() {
    for answer in [
        Ok(()),
        Err(ProviderError::Refused(fault(401, RefusalReason::CredentialsRejected))),
        Err(ProviderError::Unknown {
            cause: UnknownReason::ReplyUnreadable,
            fault: Some(fault(200, RefusalReason::Other)),
        }),
    ] {
        let (gate, tries) = probed([answer]);
        open(&gate, Class::Send).await;
        sleep(Duration::from_millis(600)).await;
        assert_eq!(tries.lock().expect("sound").len(), 1);
        // On probation: one failure is enough.
        call(&gate, Class::Send, unknown(UnknownReason::ConnectionLost)).await;
        assert!(matches!(gate.enter(Class::Send, within(0)).await, Err(Rejected::CircuitOpen { .. })));
    }
    let (gate, tries) = probed([Ok(())]);
    open(&gate, Class::Send).await;
    sleep(Duration::from_millis(600)).await;
    call(&gate, Class::Send, Ok(())).await;
    // Probation is over: it takes three again.
    for _ in 0..2 {
        call(&gate, Class::Send, unknown(UnknownReason::ConnectionLost)).await;
    }
    gate.enter(Class::Send, within(1_000)).await.map(drop).expect("closed");
    sleep(Duration::from_secs(600)).await;
    assert_eq!(tries.lock().expect("sound").len(), 1, "nothing to try any more");
}

#[tokio::test(start_paused = true)]
async fn on_probation_one_call_is_on_trial_and_the_others_wait_for_it_but_not_for_long() {
    let (gate, _) = probed([Ok(()), Ok(())]);
    let down = |held: Result<Permit, Rejected>| matches!(held, Err(Rejected::CircuitOpen { .. }));
    open(&gate, Class::Send).await;
    sleep(Duration::from_millis(600)).await;
    let trial = gate.enter(Class::Send, within(0)).await.expect("on trial");
    let began = Instant::now();
    for _ in 0..10 {
        assert!(down(gate.enter(Class::Send, within(9_000)).await));
    }
    assert_eq!(
        began.elapsed(),
        Duration::from_secs(1),
        "the first of them waited, then it took too long for all"
    );
    // Its caller hung up: the next one is on trial.
    drop(trial);
    let trial = gate.enter(Class::Send, within(0)).await.expect("on trial");
    trial.ended(&unknown(UnknownReason::ServerFailed));
    let trial = gate.enter(Class::Send, within(0)).await.expect("nothing was learnt");
    assert!(down(gate.enter(Class::Send, within(0)).await));
    trial.ended(&unknown(UnknownReason::TimedOut));
    assert!(down(gate.enter(Class::Send, within(0)).await), "open again");

    sleep(Duration::from_secs(2)).await;
    // Of many who come at once, one is on trial, and all others go when it has ended well.
    let under_way = AtomicUsize::new(0);
    let outcomes = (0..9).map(async |at| {
        let pass = gate.enter(Class::Send, within(60_000)).await?;
        if at == 0 {
            assert_eq!(under_way.fetch_add(1, Ordering::SeqCst), 0);
            sleep(Duration::from_millis(500)).await;
            assert_eq!(under_way.load(Ordering::SeqCst), 1, "alone");
        } else {
            under_way.fetch_add(1, Ordering::SeqCst);
        }
        pass.ended(&Ok(()));
        Ok(())
    });
    let outcomes: Result<Vec<()>, Rejected> = join_all(outcomes).await.into_iter().collect();
    outcomes.expect("closed");
}

#[tokio::test(start_paused = true)]
async fn a_new_outage_is_looked_at_as_soon_as_the_first_though_another_class_is_on_probation_for_long() {
    let (gate, tries) = probed([
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
    // Sends go again, and nobody has another write to make.
    call(&gate, Class::Send, Ok(())).await;
    assert_eq!(tries.lock().expect("sound").len(), 5);
    open(&gate, Class::Send).await;
    sleep(Duration::from_millis(1_100)).await;
    call(&gate, Class::Send, Ok(())).await;
    assert_eq!(tries.lock().expect("sound").len(), 6);
}

#[tokio::test(start_paused = true)]
async fn no_answer_and_a_failing_one_keep_the_breaker_open() {
    let failing = |status| {
        let fault = Some(fault(status, RefusalReason::Other));
        Err(ProviderError::Unknown { cause: UnknownReason::ProviderFailed, fault })
    };
    let (gate, tries) =
        probed([Err(ProviderError::NotSent(None)), failing(503), unknown(UnknownReason::ReplyCutOff)]);
    open(&gate, Class::Read).await;
    sleep(Duration::from_secs(4)).await;
    assert_eq!(tries.lock().expect("sound").len(), 3);
    assert!(matches!(gate.enter(Class::Read, within(0)).await, Err(Rejected::CircuitOpen { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_began_before_the_breaker_opened_cannot_open_it_again() {
    let (gate, _) = probed([Ok(())]);
    let slow = gate.enter(Class::Send, within(0)).await.expect("let through");
    open(&gate, Class::Send).await;
    sleep(Duration::from_millis(600)).await;
    slow.ended(&unknown(UnknownReason::TimedOut));
    gate.enter(Class::Send, within(0)).await.map(drop).expect("on probation still");
}

#[tokio::test(start_paused = true)]
async fn a_late_reply_closes_a_breaker() {
    let (gate, tries) = probed([]);
    let slow = gate.enter(Class::Send, within(0)).await.expect("let through");
    open(&gate, Class::Send).await;
    slow.ended(&Ok(()));
    gate.enter(Class::Send, within(0)).await.map(drop).expect("closed");
    sleep(Duration::from_secs(60)).await;
    assert!(tries.lock().expect("sound").is_empty(), "nothing to try any more");
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_is_gone_is_tried_no_more() {
    let (gate, tries) = probed([]);
    open(&gate, Class::Send).await;
    drop(gate);
    advance(Duration::from_secs(60)).await;
    sleep(Duration::from_secs(60)).await;
    assert!(tries.lock().expect("sound").is_empty());
}
