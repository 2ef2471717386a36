//! Requests and messages under random operations, compared with a model that holds facts and no transitions.

use std::collections::{HashMap, HashSet};

use super::*;

use MessageState::{Accepted, Delivered, Failed, Pending, Read, Sent, Unknown};

/// The number of competing requests.
const REQUESTS: usize = 2;

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Accepted,
    Unknown,
    NotDone,
}

#[derive(Clone, Copy, Debug)]
enum By {
    Status(MessageState),
    Echo,
    Answer,
}

#[derive(Clone, Debug)]
enum Step {
    BeginAttempt { request: usize, resend_after: Option<u32> },
    FinishAttempt { request: usize, how: Outcome },
    Draft,
    EndSend { message: prop::sample::Index, how: Outcome },
    Prove { message: prop::sample::Index, number: u32, by: By },
    Report { message: prop::sample::Index, number: u32, state: MessageState },
    Reopen,
}

fn all_steps() -> impl Strategy<Value = Vec<Step>> {
    let how = || prop_oneof![Just(Outcome::Accepted), Just(Outcome::Unknown), Just(Outcome::NotDone)];
    let state = || prop_oneof![Just(Sent), Just(Failed), Just(Delivered), Just(Read)];
    let by = prop_oneof![state().prop_map(By::Status), Just(By::Echo), Just(By::Answer)];
    let message = any::<prop::sample::Index>;
    let resend_after = prop_oneof![Just(None), (1_u32..4).prop_map(Some)];
    let step = prop_oneof![
        6 => (0..REQUESTS, resend_after)
            .prop_map(|(request, resend_after)| Step::BeginAttempt { request, resend_after }),
        6 => (0..REQUESTS, how()).prop_map(|(request, how)| Step::FinishAttempt { request, how }),
        1 => Just(Step::Draft),
        2 => (message(), how()).prop_map(|(message, how)| Step::EndSend { message, how }),
        2 => (message(), 1_u32..3, by).prop_map(|(message, number, by)| Step::Prove { message, number, by }),
        2 => (message(), 1_u32..3, state())
            .prop_map(|(message, number, state)| Step::Report { message, number, state }),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..60)
}

/// The known facts of a message. Its state follows from them.
struct Facts {
    draft: Message,
    /// Whether it belongs to a request.
    request: bool,
    row: bool,
    accepted: bool,
    outcome_unknown: bool,
    joined: HashSet<String>,
    /// The furthest state that was observed.
    seen: MessageState,
}

/// The state of a request.
struct RequestFacts {
    state: &'static str,
    attempt: u32,
    /// Whether the attempt before the one in flight is unknown.
    before: bool,
    message: usize,
    /// Which opening of the store began the attempt.
    opening: u32,
}

#[derive(Default)]
struct Model {
    messages: Vec<Facts>,
    requests: [Option<RequestFacts>; REQUESTS],
    /// The furthest report for each provider's id.
    reports: HashMap<String, MessageState>,
    identities: HashSet<(String, String)>,
    /// Attempts that have begun and not ended.
    in_flight: [Option<u32>; REQUESTS],
    opening: u32,
    events: u32,
}

/// The provider's id of an attempt at a message.
fn provider_id(message: usize, number: u32) -> String {
    format!("P{message}-{number}")
}

impl Model {
    fn state(&self, message: &Facts) -> MessageState {
        let reported = message.joined.iter().filter_map(|id| self.reports.get(id).copied());
        match (message.accepted, message.outcome_unknown) {
            (true, _) => reported.chain([Accepted]).max().expect("one at least"),
            (false, true) => Unknown,
            (false, false) => Pending,
        }
    }

    fn add(&mut self, draft: Message, request: bool) -> usize {
        let joined = HashSet::new();
        let (row, accepted, outcome_unknown, seen) = (request, false, false, Pending);
        self.messages.push(Facts { draft, request, row, accepted, outcome_unknown, joined, seen });
        self.messages.len() - 1
    }

    /// Picks one of the existing messages, if there are any.
    fn pick(&self, message: prop::sample::Index) -> Option<usize> {
        (!self.messages.is_empty()).then(|| message.index(self.messages.len()))
    }

    fn prove(&mut self, message: usize, id: Option<String>) {
        self.messages[message].accepted = true;
        self.messages[message].joined.extend(id);
        for kept in self.requests.iter_mut().flatten().filter(|kept| kept.message == message) {
            kept.state = "accepted";
        }
    }

    /// Records a report. Returns whether it is new.
    fn report(&mut self, id: &str, state: MessageState) -> bool {
        let is_new = self.identities.insert((id.to_owned(), format!("{state:?}")));
        if is_new {
            let furthest = self.reports.entry(id.to_owned()).or_insert(state);
            *furthest = state.max(*furthest);
        }
        is_new
    }
}

fn outcome(how: Outcome, id: &str) -> AttemptOutcome {
    match how {
        Outcome::Accepted => accepted(&[id]),
        Outcome::Unknown => unknown(),
        Outcome::NotDone => AttemptOutcome::NotDone,
    }
}

async fn begin(opened: &Opened, model: &mut Model, request: usize, resend_after: Option<u32>) {
    let sent = draft();
    let op = opened.begin_op(&format!("r{request}"), resend_after, Some(sent.clone()));
    let OpResult::Begun(begun) = opened.commit_one(op).await else { panic!("not begun") };
    let begins = match &model.requests[request] {
        None => Some((resend_after.map_or(1, |after| after + 1), None)),
        Some(kept) if kept.state == "unknown" && resend_after == Some(kept.attempt) => {
            Some((kept.attempt + 1, Some(kept.message)))
        }
        Some(_) => None,
    };
    let Some((number, message)) = begins else {
        assert!(matches!(*begun, BeginResult::Known(_)), "{begun:?}");
        return;
    };
    assert_eq!(model.in_flight[request], None, "an attempt begins while another is in flight");
    model.in_flight[request] = Some(number);
    let before = message.is_some();
    let message = message.unwrap_or_else(|| model.add(sent, true));
    let message_id = Some(model.messages[message].draft.id);
    assert_eq!(*begun, BeginResult::Attempt { number, message_id });
    let opening = model.opening;
    model.requests[request] =
        Some(RequestFacts { state: "in flight", attempt: number, before, message, opening });
}

async fn end(opened: &Opened, model: &mut Model, request: usize, how: Outcome) {
    let Some(kept) = &mut model.requests[request] else { return };
    let (attempt, message) = (kept.attempt, kept.message);
    let id = provider_id(message, attempt);
    opened.finish_request(&format!("r{request}"), attempt, outcome(how, &id)).await;
    if kept.opening != model.opening {
        return;
    }
    if kept.state != "unknown" {
        model.in_flight[request] = None;
    }
    let facts = &mut model.messages[message];
    match (kept.state, how) {
        ("in flight" | "accepted", Outcome::Accepted) => {
            kept.state = "accepted";
            facts.accepted = true;
            facts.joined.insert(id);
        }
        ("in flight", Outcome::Unknown) => {
            kept.state = "unknown";
            facts.outcome_unknown = true;
        }
        ("in flight", Outcome::NotDone) if kept.before => {
            kept.state = "unknown";
            kept.attempt -= 1;
        }
        ("in flight", Outcome::NotDone) => {
            facts.row = false;
            facts.seen = Pending;
            model.requests[request] = None;
        }
        _ => {}
    }
}

async fn end_send(opened: &Opened, model: &mut Model, message: usize, how: Outcome) {
    let facts = &mut model.messages[message];
    if facts.request {
        return;
    }
    let id = provider_id(message, 1);
    opened.sent(&facts.draft, outcome(how, &id)).await;
    match how {
        Outcome::Accepted => {
            (facts.row, facts.accepted) = (true, true);
            facts.joined.insert(id);
        }
        Outcome::Unknown => (facts.row, facts.outcome_unknown) = (true, true),
        Outcome::NotDone => {}
    }
}

async fn prove(opened: &Opened, model: &mut Model, message: usize, number: u32, by: By) {
    let id = provider_id(message, number);
    let message_id = model.messages[message].draft.id;
    model.events += 1;
    let event = format!("E{}", model.events);
    let op = match by {
        By::Status(state) => {
            let op = status("acme", &id, Some(state), proof(message_id, number, Some(&id)));
            if model.report(&id, state) {
                model.prove(message, Some(id));
            }
            op
        }
        By::Echo => {
            model.prove(message, Some(id.clone()));
            written(true, &event, Party::default(), "", None, proof(message_id, number, Some(&id)))
        }
        By::Answer => {
            model.prove(message, None);
            answer(&event, proof(message_id, number, None))
        }
    };
    opened.commit_one(op).await;
}

async fn check(opened: &Opened, model: &mut Model) {
    for (number, kept) in model.requests.iter().enumerate() {
        let expected = kept.as_ref().map(|kept| (kept.state, kept.attempt));
        assert_eq!(opened.request_state(&format!("r{number}")).await, expected, "request {number}");
    }
    for position in 0..model.messages.len() {
        let facts = &model.messages[position];
        let found = opened.message(facts.draft.id).await;
        let Some(message) = found.filter(|_| facts.row) else {
            assert!(!facts.row, "message {position} is missing");
            assert_eq!(opened.state(facts.draft.id).await, None, "message {position} exists");
            assert_eq!(opened.times_accepted(facts.draft.id).await, 0, "message {position}");
            continue;
        };
        let expected = model.state(facts);
        assert_eq!(message.state, expected, "message {position}");
        assert!(message.state >= facts.seen, "message {position} went back from {:?}", facts.seen);
        assert_eq!(message.provider_ids.iter().cloned().collect::<HashSet<_>>(), facts.joined);
        assert_eq!(
            message.problem.is_some(),
            matches!(message.state, Unknown | Failed),
            "message {position}"
        );
        let notified = usize::from(message.state >= Accepted);
        assert_eq!(opened.times_accepted(message.id).await, notified, "message {position}");
        if let Some(kept) = model.requests.iter().flatten().find(|kept| kept.message == position) {
            assert_eq!(message.attempt, kept.attempt);
        }
        model.messages[position].seen = message.state;
    }
    // The last notification of each message has its current state.
    let notified = opened.notified();
    let last: HashMap<_, _> = notified.iter().flatten().map(|message| (message.id, message)).collect();
    for (id, message) in last {
        if let Some(found) = opened.message(id).await {
            assert_eq!(found, *message);
        }
    }
}

async fn run(steps: Vec<Step>) {
    let mut opened = open();
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::BeginAttempt { request, resend_after } => {
                begin(&opened, &mut model, request, resend_after).await;
            }
            Step::FinishAttempt { request, how } => end(&opened, &mut model, request, how).await,
            Step::Draft => {
                model.add(draft(), false);
            }
            Step::EndSend { message, how } => {
                let Some(message) = model.pick(message) else { continue };
                end_send(&opened, &mut model, message, how).await;
            }
            Step::Prove { message, number, by } => {
                let Some(message) = model.pick(message) else { continue };
                prove(&opened, &mut model, message, number, by).await;
            }
            Step::Report { message, number, state } => {
                let Some(message) = model.pick(message) else { continue };
                let id = provider_id(message, number);
                model.report(&id, state);
                opened.commit_one(status("acme", &id, Some(state), None)).await;
            }
            Step::Reopen => {
                opened = opened.reopen();
                model.opening += 1;
                model.in_flight = Default::default();
                for kept in model.requests.iter_mut().flatten() {
                    if kept.state == "in flight" {
                        kept.state = "unknown";
                        model.messages[kept.message].outcome_unknown = true;
                    }
                }
            }
        }
        check(&opened, &mut model).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn random_operations_leave_states_that_match_the_model(steps in all_steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(run(steps));
    }
}
