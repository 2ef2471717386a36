//! Requests and messages under whatever comes in whatever order, against a model that knows facts and no transitions.

use std::collections::{HashMap, HashSet};

use super::*;

use MessageState::{Accepted, Delivered, Failed, Pending, Read, Sent, Unknown};

/// So many requests compete.
const REQUESTS: usize = 2;

#[derive(Clone, Copy, Debug)]
enum How {
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
    FinishAttempt { request: usize, how: How },
    Draft,
    EndSend { message: prop::sample::Index, how: How },
    Prove { message: prop::sample::Index, number: u32, by: By },
    Report { message: prop::sample::Index, number: u32, state: MessageState },
    Reopen,
}

fn all_steps() -> impl Strategy<Value = Vec<Step>> {
    let how = || prop_oneof![Just(How::Accepted), Just(How::Unknown), Just(How::NotDone)];
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

/// What is known of a message: how it request_state follows.
struct Facts {
    draft: Message,
    /// It belongs to a request.
    request: bool,
    row: bool,
    taken: bool,
    doubted: bool,
    joined: HashSet<String>,
    /// The furthest state that was seen.
    seen: MessageState,
}

/// How a request request_state.
struct Kept {
    state: &'static str,
    attempt: u32,
    /// The attempt before the one in flight is unknown.
    before: bool,
    message: usize,
    /// Which opening of the store began the attempt.
    opening: u32,
}

#[derive(Default)]
struct Model {
    messages: Vec<Facts>,
    requests: [Option<Kept>; REQUESTS],
    /// The furthest report under each of the provider's ids.
    reports: HashMap<String, MessageState>,
    identities: HashSet<(String, String)>,
    /// Attempts that were begun and have not ended.
    under_way: [Option<u32>; REQUESTS],
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
        match (message.taken, message.doubted) {
            (true, _) => reported.chain([Accepted]).max().expect("one at least"),
            (false, true) => Unknown,
            (false, false) => Pending,
        }
    }

    fn add(&mut self, draft: Message, request: bool) -> usize {
        let joined = HashSet::new();
        let (row, taken, doubted, seen) = (request, false, false, Pending);
        self.messages.push(Facts { draft, request, row, taken, doubted, joined, seen });
        self.messages.len() - 1
    }

    /// One of the messages so far, if there are any.
    fn pick(&self, message: prop::sample::Index) -> Option<usize> {
        (!self.messages.is_empty()).then(|| message.index(self.messages.len()))
    }

    fn prove(&mut self, message: usize, id: Option<String>) {
        self.messages[message].taken = true;
        self.messages[message].joined.extend(id);
        for kept in self.requests.iter_mut().flatten().filter(|kept| kept.message == message) {
            kept.state = "accepted";
        }
    }

    /// Whether a report is new, which is then known.
    fn report(&mut self, id: &str, state: MessageState) -> bool {
        let news = self.identities.insert((id.to_owned(), format!("{state:?}")));
        if news {
            let furthest = self.reports.entry(id.to_owned()).or_insert(state);
            *furthest = state.max(*furthest);
        }
        news
    }
}

fn outcome(how: How, id: &str) -> AttemptOutcome {
    match how {
        How::Accepted => accepted(&[id]),
        How::Unknown => unknown(),
        How::NotDone => AttemptOutcome::NotDone,
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
    assert_eq!(model.under_way[request], None, "an attempt begins while another is in flight");
    model.under_way[request] = Some(number);
    let before = message.is_some();
    let message = message.unwrap_or_else(|| model.add(sent, true));
    let message_id = Some(model.messages[message].draft.id);
    assert_eq!(*begun, BeginResult::Attempt { number, message_id });
    let opening = model.opening;
    model.requests[request] = Some(Kept { state: "in flight", attempt: number, before, message, opening });
}

async fn end(opened: &Opened, model: &mut Model, request: usize, how: How) {
    let Some(kept) = &mut model.requests[request] else { return };
    let (attempt, message) = (kept.attempt, kept.message);
    let id = provider_id(message, attempt);
    opened.finish_request(&format!("r{request}"), attempt, outcome(how, &id)).await;
    if kept.opening != model.opening {
        return;
    }
    if kept.state != "unknown" {
        model.under_way[request] = None;
    }
    let facts = &mut model.messages[message];
    match (kept.state, how) {
        ("in flight" | "accepted", How::Accepted) => {
            kept.state = "accepted";
            facts.taken = true;
            facts.joined.insert(id);
        }
        ("in flight", How::Unknown) => {
            kept.state = "unknown";
            facts.doubted = true;
        }
        ("in flight", How::NotDone) if kept.before => {
            kept.state = "unknown";
            kept.attempt -= 1;
        }
        ("in flight", How::NotDone) => {
            facts.row = false;
            facts.seen = Pending;
            model.requests[request] = None;
        }
        _ => {}
    }
}

async fn end_send(opened: &Opened, model: &mut Model, message: usize, how: How) {
    let facts = &mut model.messages[message];
    if facts.request {
        return;
    }
    let id = provider_id(message, 1);
    opened.sent(&facts.draft, outcome(how, &id)).await;
    match how {
        How::Accepted => {
            (facts.row, facts.taken) = (true, true);
            facts.joined.insert(id);
        }
        How::Unknown => (facts.row, facts.doubted) = (true, true),
        How::NotDone => {}
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
            assert!(!facts.row, "message {position} is gone");
            assert_eq!(opened.state(facts.draft.id).await, None, "message {position} is there");
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
    // Whoever waits for news has heard the last word.
    let notified = opened.notified();
    let last: HashMap<_, _> = notified.iter().flatten().map(|message| (message.id, message)).collect();
    for (id, message) in last {
        if let Some(found) = opened.message(id).await {
            assert_eq!(found, *message);
        }
    }
}

async fn follow(steps: Vec<Step>) {
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
                model.under_way = Default::default();
                for kept in model.requests.iter_mut().flatten() {
                    if kept.state == "in flight" {
                        kept.state = "unknown";
                        model.messages[kept.message].doubted = true;
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
    fn whatever_happens_in_whatever_order_requests_and_messages_stand_as_the_facts_say(steps in all_steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(follow(steps));
    }
}
