use super::super::connectby::ConnectByRules;
use super::super::connectly::ConnectlyRules;
use super::*;
use crate::domain::Location;
use crate::domain::template::{HeaderMedia, Parameter, Value};

const CONNECTBY: &dyn Rules = &ConnectByRules;
const CONNECTLY: &dyn Rules = &ConnectlyRules;

fn component(part: Option<Part>, format: &str, text: &str) -> Component {
    Component {
        part,
        provider_type: String::new(),
        format: format.to_owned(),
        text: text.to_owned(),
        buttons: Vec::new(),
        raw_json: String::new(),
    }
}

fn body(text: &str) -> Component {
    component(Some(Part::Body), "", text)
}

fn header(format: &str, text: &str) -> Component {
    component(Some(Part::Header), format, text)
}

fn buttons(buttons: &[(&str, &str)]) -> Component {
    let button = |&(kind, url): &(&str, &str)| ComponentButton {
        kind: kind.to_owned(),
        text: "x".to_owned(),
        url: url.to_owned(),
        phone_number: String::new(),
    };
    Component { buttons: buttons.iter().map(button).collect(), ..component(Some(Part::Buttons), "", "") }
}

fn template(components: Vec<Component>) -> Definition {
    Definition {
        id: String::new(),
        name: "t".to_owned(),
        language: "en".to_owned(),
        status: Some(Status::Approved),
        provider_status: "APPROVED".to_owned(),
        category: Some(Category::Utility),
        provider_category: String::new(),
        parameter_format: None,
        components,
        rejection_reason: String::new(),
        quality: String::new(),
        create_time: None,
        update_time: None,
        raw_json: String::new(),
    }
}

fn nothing() -> Filled {
    Filled {
        name: "t".to_owned(),
        language: "en".to_owned(),
        header: None,
        body: Vec::new(),
        buttons: Vec::new(),
        components_json: None,
    }
}

fn parameter(name: &str) -> Parameter {
    Parameter { name: name.to_owned(), value: Value::Text("secret".to_owned()) }
}

/// Parameters with these names. An empty name means by position.
fn with_body(names: &[&str]) -> Filled {
    Filled { body: names.iter().map(|name| parameter(name)).collect(), ..nothing() }
}

fn media() -> HeaderMedia {
    HeaderMedia { url: "https://secret.example".to_owned(), file_name: String::new() }
}

fn with_header(header: Header) -> Filled {
    Filled { header: Some(header), ..nothing() }
}

fn with_buttons(values: &[(u32, ButtonValue)]) -> Filled {
    let button = |(index, value): &(u32, ButtonValue)| Button { index: *index, value: value.clone() };
    Filled { buttons: values.iter().map(button).collect(), ..nothing() }
}

fn url() -> ButtonValue {
    ButtonValue::UrlSuffix("secret".to_owned())
}

fn quick_reply() -> ButtonValue {
    ButtonValue::QuickReplyPayload("secret".to_owned())
}

fn coupon() -> ButtonValue {
    ButtonValue::CouponCode("secret".to_owned())
}

/// The fields that do not match. No problem may quote the request's values.
fn fields(rules: &dyn Rules, template: &Definition, filled: &Filled) -> Vec<String> {
    let found = mismatches(rules, template, filled);
    for TemplateMismatch { field, problem } in &found {
        assert!(problem.starts_with("must ") && !problem.contains("secret"), "{field}: {problem}");
    }
    found.into_iter().map(|mismatch| mismatch.field).collect()
}

const NONE: [&str; 0] = [];

#[test]
fn text_yields_its_parameters_if_the_notation_is_known() {
    let numbered = |count| Some(Variables::Numbered(count));
    for (text, expected) in [
        ("Hello", numbered(0)),
        ("{ {1} } }}", numbered(0)),
        ("{{1}}", numbered(1)),
        ("{{2}} and {{ 1 }}, {{1}}", numbered(2)),
        ("{{day}} at {{time}}, {{day}}", Some(Variables::Named(vec!["day", "time"]))),
        ("", None),
        ("{{1}} and {{3}}", None),
        ("{{0}}", None),
        ("{{1}} and {{day}}", None),
        ("{{1", None),
        ("{{}}", None),
        ("{{{1}}}", None),
        ("{{a b}}", None),
        ("{{99999999999999999999999}}", None),
    ] {
        assert_eq!(variables(text), expected, "{text:?}");
    }
}

#[test]
fn connectby_body_takes_positions_or_names_per_template() {
    let two = template(vec![body("{{1}} {{2}}")]);
    let positional = Definition { parameter_format: Some(ParameterFormat::Positional), ..two.clone() };
    let named = template(vec![body("{{day}} {{time}}")]);
    let stated = Definition { parameter_format: Some(ParameterFormat::Named), ..named.clone() };
    let bare = template(vec![body("Hello")]);
    for (template, given, expected) in [
        (&two, &["", ""][..], &NONE[..]),
        (&two, &[""], &["template.body"]),
        (&two, &["", "", ""], &["template.body"]),
        (&two, &["a", "b"], &[]),
        (&positional, &["1", "2"], &[]),
        (&positional, &["", "b"], &["template.body[1].name"]),
        (&positional, &["b"], &["template.body", "template.body[0].name"]),
        (&named, &["time", "day"], &[]),
        (&named, &["", "time"], &["template.body[0].name", "template.body"]),
        (&stated, &["day"], &["template.body"]),
        (&stated, &["day", "time", "x"], &["template.body[2].name"]),
        (&bare, &[], &[]),
        (&bare, &[""], &["template.body"]),
    ] {
        assert_eq!(fields(CONNECTBY, template, &with_body(given)), expected, "{given:?}");
    }
    let found = mismatches(&ConnectByRules, &stated, &with_body(&["day"]));
    assert!(found[0].problem.ends_with("also time"), "{found:?}");
}

#[test]
fn connectly_body_takes_known_names_and_passes_others() {
    let two = template(vec![body("{{1}} {{2}}")]);
    let named = template(vec![body("{{var1}} {{var2}}")]);
    for (template, given, expected) in [
        (&two, &["", ""][..], &NONE[..]),
        (&two, &["body_2", "body_1"], &[]),
        (&two, &["", "body_2"], &[]),
        (&two, &[""], &["template.body"]),
        (&two, &["", "body_1"], &["template.body"]),
        (&two, &["", "", ""], &["template.body"]),
        (&two, &["body_3", "", ""], &["template.body"]),
        // It is unknown what another name fills.
        (&two, &["var1"], &[]),
        (&two, &["var1", "var2", "var3"], &[]),
        (&two, &["body_x"], &[]),
        (&named, &["var1", "var2"], &[]),
        (&named, &["", ""], &[]),
        (&named, &["body_1", "var2"], &[]),
        (&named, &["var1", "var2", "header_image"], &[]),
        (&named, &["var1"], &["template.body"]),
        (&named, &["", "", ""], &["template.body"]),
        (&named, &["var1", "var3"], &["template.body[1].name"]),
    ] {
        assert_eq!(fields(CONNECTLY, template, &with_body(given)), expected, "{given:?}");
    }
}

#[test]
fn header_takes_its_kind_only_if_it_has_a_parameter() {
    let text = |name: &str| Header::Text(parameter(name));
    let location = Header::Location(Location {
        latitude: 0.0,
        longitude: 0.0,
        name: String::new(),
        address: String::new(),
    });
    let kinds = [
        ("TEXT", text("")),
        ("IMAGE", Header::Image(media())),
        ("VIDEO", Header::Video(media())),
        ("DOCUMENT", Header::Document(media())),
        ("LOCATION", location),
    ];
    for (provider, optional_location) in [(CONNECTBY, false), (CONNECTLY, true)] {
        for (format, _) in &kinds {
            let template = template(vec![header(format, "{{1}}"), body("Hello")]);
            for (given, filled) in &kinds {
                let expected = if format == given { &NONE[..] } else { &["template.header"] };
                let found = fields(provider, &template, &with_header(filled.clone()));
                assert_eq!(found, expected, "{format} filled as {given}");
            }
            let may_be_left_out = optional_location && *format == "LOCATION";
            let expected = if may_be_left_out { &NONE[..] } else { &["template.header"] };
            assert_eq!(fields(provider, &template, &nothing()), expected, "{format} not filled");
        }
        for (components, filled, expected) in [
            (vec![header("TEXT", "Hello")], nothing(), &NONE[..]),
            (vec![header("TEXT", "Hello")], with_header(text("")), &["template.header"]),
            (vec![header("TEXT", "")], nothing(), &[]),
            (vec![header("TEXT", "{{1")], with_header(text("")), &[]),
            (vec![header("TEXT", "{{1")], with_header(Header::Image(media())), &["template.header"]),
            (vec![body("Hello")], with_header(text("")), &["template.header"]),
            // Unknown to this version.
            (vec![header("GIF", "")], with_header(text("")), &[]),
            (vec![header("", "")], nothing(), &[]),
            (vec![header("IMAGE", ""), header("IMAGE", "")], with_header(text("")), &[]),
            (vec![body("Hello"), component(None, "", "")], with_header(text("")), &[]),
            (vec![component(Some(Part::Carousel), "", "")], with_header(text("")), &[]),
            (vec![], with_header(text("")), &[]),
        ] {
            assert_eq!(fields(provider, &template(components.clone()), &filled), expected, "{components:?}");
        }
    }
    let named = template(vec![header("TEXT", "{{first_name}}")]);
    assert_eq!(fields(CONNECTBY, &named, &with_header(text("first_name"))), NONE);
    assert_eq!(fields(CONNECTBY, &named, &with_header(text(""))), ["template.header.text.name"]);
    assert_eq!(fields(CONNECTLY, &named, &with_header(text(""))), NONE);
    // CONNECTLY also takes it by its full name among the parameters.
    let image = template(vec![header("IMAGE", "")]);
    assert_eq!(fields(CONNECTLY, &image, &with_body(&["header_image"])), NONE);
    assert_eq!(fields(CONNECTBY, &image, &with_body(&["header_image"])), ["template.header"]);
}

#[test]
fn button_takes_the_value_of_its_kind_at_an_existing_index() {
    let dynamic = "https://a.example/{{1}}";
    let all = template(vec![buttons(&[
        ("QUICK_REPLY", ""),
        ("URL", dynamic),
        ("URL", "https://a.example"),
        ("COPY_CODE", ""),
        ("PHONE_NUMBER", ""),
        ("CATALOG", ""),
        ("URL", ""),
        ("SOMETHING_NEW", dynamic),
    ])]);
    let needed = [(1, url()), (3, coupon())];
    assert_eq!(fields(CONNECTBY, &all, &with_buttons(&needed)), NONE);
    assert_eq!(fields(CONNECTBY, &all, &nothing()), ["template.buttons", "template.buttons"]);
    assert_eq!(fields(CONNECTLY, &all, &nothing()), ["template.buttons"]);
    assert_eq!(fields(CONNECTLY, &all, &with_body(&["button_2_url"])), NONE);
    for (index, value, expected) in [
        (0, quick_reply(), None),
        (0, url(), Some("url_suffix")),
        (0, coupon(), Some("coupon_code")),
        (2, url(), Some("url_suffix")),
        (2, quick_reply(), Some("quick_reply_payload")),
        (4, url(), Some("index")),
        (4, quick_reply(), Some("index")),
        (5, url(), Some("url_suffix")),
        (5, coupon(), Some("coupon_code")),
        // Unknown to this version.
        (6, url(), None),
        (7, coupon(), None),
        (8, url(), Some("index")),
        (9, quick_reply(), Some("index")),
    ] {
        let given = [needed.as_slice(), &[(index, value.clone())]].concat();
        let expected: Vec<String> =
            expected.iter().map(|field| format!("template.buttons[2].{field}")).collect();
        assert_eq!(fields(CONNECTBY, &all, &with_buttons(&given)), expected, "{index}");
    }
    for (index, value, field) in [(1, quick_reply(), "quick_reply_payload"), (1, coupon(), "coupon_code")] {
        let given = with_buttons(&[(3, coupon()), (index, value)]);
        assert_eq!(fields(CONNECTBY, &all, &given), [format!("template.buttons[1].{field}")]);
    }
    let given = with_buttons(&[(1, url()), (0, url())]);
    assert_eq!(fields(CONNECTLY, &all, &given), ["template.buttons[1].url_suffix"]);

    let one = with_buttons(&[(0, url())]);
    for (components, expected) in [
        (vec![body("Hello")], &["template.buttons[0].index"][..]),
        (vec![body("Hello"), component(None, "", "")], &[]),
        (vec![body("Hello"), component(Some(Part::Carousel), "", "")], &[]),
        (vec![buttons(&[])], &[]),
        (vec![buttons(&[("URL", "https://a.example")]), buttons(&[("URL", dynamic)])], &[]),
        (vec![], &[]),
    ] {
        assert_eq!(fields(CONNECTBY, &template(components), &one), expected);
    }
}

/// A part in the provider's words, for which this version has no typed field.
fn part(part: Option<Part>, provider_type: &str) -> Component {
    Component { provider_type: provider_type.to_owned(), ..component(part, "", "") }
}

fn with_components(json: &str) -> Filled {
    Filled { components_json: Some(json.parse().expect("an array")), ..nothing() }
}

#[test]
fn needed_component_is_required_in_the_json() {
    let flow = r#"{"type": "button", "sub_type": "flow", "index": "1", "parameters": ["secret"]}"#;
    let offer = r#"{"type": "limited_time_offer"}"#;
    let cards = r#"{"type": "carousel"}"#;
    for (components, given, missing) in [
        (vec![buttons(&[("URL", "https://a.example"), ("FLOW", "")])], flow.to_owned(), 0),
        (vec![buttons(&[("FLOW", ""), ("FLOW", "")])], flow.to_owned(), 1),
        (vec![buttons(&[("URL", ""), ("MPM", "")])], flow.to_owned(), 1),
        (vec![buttons(&[("URL", ""), ("MPM", "")])], flow.replace("flow", "MPM"), 0),
        (vec![buttons(&[("CATALOG", "")])], String::new(), 0),
        (vec![part(Some(Part::Carousel), "CAROUSEL")], cards.to_owned(), 0),
        (vec![part(Some(Part::Carousel), "carousel")], offer.to_owned(), 1),
        (vec![part(None, "LIMITED_TIME_OFFER")], offer.to_owned(), 0),
        (vec![part(None, "limited_time_offer"), buttons(&[("FLOW", "")])], cards.to_owned(), 2),
        // Unknown to this version.
        (vec![part(None, "SOMETHING_NEW"), buttons(&[("SOMETHING_NEW", "")])], String::new(), 0),
        (vec![buttons(&[("FLOW", "")]), buttons(&[("FLOW", "")])], String::new(), 0),
        (vec![], String::new(), 0),
    ] {
        let template = template(components);
        let expected = vec!["template.components_json"; missing];
        let with = with_components(&format!("[{given}]"));
        assert_eq!(fields(CONNECTBY, &template, &with), expected, "{template:?}");
        assert_eq!(fields(CONNECTLY, &template, &with), NONE);
        // Typed fields fill none of them.
        let needed = fields(CONNECTBY, &template, &with_components("[]")).len();
        let without = fields(CONNECTBY, &template, &nothing());
        let reported = without.iter().filter(|field| *field == "template.components_json").count();
        assert_eq!(reported, needed, "{template:?}");
        assert_eq!(fields(CONNECTLY, &template, &nothing()), NONE);
    }
}

#[test]
fn typed_value_for_a_flow_button_never_matches() {
    let listed = template(vec![buttons(&[("FLOW", "")])]);
    let typed = fields(CONNECTBY, &listed, &with_buttons(&[(0, url())]));
    assert_eq!(typed, ["template.buttons[0].url_suffix", "template.components_json"]);
    let typed = fields(CONNECTLY, &listed, &with_buttons(&[(0, url())]));
    assert_eq!(typed, ["template.buttons[0].url_suffix"]);
}

#[test]
fn components_as_json_replace_the_check_of_typed_fields() {
    let listed = template(vec![
        header("IMAGE", ""),
        body("{{1}}"),
        buttons(&[("URL", "https://a.example/{{1}}"), ("COPY_CODE", "")]),
    ]);
    assert_eq!(fields(CONNECTBY, &listed, &with_components(r#"[{"type": "secret"}]"#)), NONE);
    let paused = Definition { status: Some(Status::Paused), ..listed };
    assert_eq!(fields(CONNECTBY, &paused, &with_components("[]")), ["template.name"]);
}

#[test]
fn one_time_password_fills_its_button_whatever_its_kind() {
    let link = "https://www.whatsapp.com/otp/code/?otp_type=COPY_CODE&code=otp{{1}}";
    for (kind, link, is_needed) in [("URL", link, true), ("OTP", "", false), ("COPY_CODE", "", false)] {
        let template = Definition {
            category: Some(Category::Authentication),
            ..template(vec![body("*{{1}}* is your code."), buttons(&[(kind, link)])])
        };
        let without = with_body(&[""]);
        let with = Filled { body: without.body.clone(), ..with_buttons(&[(0, url())]) };
        for provider in [CONNECTBY, CONNECTLY] {
            assert_eq!(fields(provider, &template, &with), NONE, "{kind}");
        }
        let expected = if is_needed { &["template.buttons"][..] } else { &[] };
        assert_eq!(fields(CONNECTBY, &template, &without), expected, "{kind}");
        assert_eq!(fields(CONNECTLY, &template, &without), NONE, "CONNECTLY may fill it from the body");
    }
}

#[test]
fn only_approved_or_unknown_status_passes() {
    for (status, provider_status, passes) in [
        (Some(Status::Approved), "APPROVED", true),
        (Some(Status::LimitExceeded), "LIMIT_EXCEEDED", true),
        (None, "ARCHIVED", true),
        (None, "", true),
        (Some(Status::Pending), "MESSAGE_TEMPLATE_STATUS_PENDING", false),
        (Some(Status::Rejected), "REJECTED", false),
        (Some(Status::Paused), "PAUSED", false),
        (Some(Status::Disabled), "DISABLED", false),
        (Some(Status::InAppeal), "IN_APPEAL", false),
        (Some(Status::PendingDeletion), "PENDING_DELETION", false),
        (Some(Status::Deleted), "DELETED", false),
    ] {
        let listed = Definition {
            status,
            provider_status: provider_status.to_owned(),
            ..template(vec![body("Hello")])
        };
        let found = mismatches(&ConnectByRules, &listed, &nothing());
        assert_eq!(found.is_empty(), passes, "{provider_status}");
        if let Some(found) = found.first() {
            assert_eq!(found.field, "template.name");
            assert!(found.problem.ends_with(&format!(": its status is {provider_status}")), "{found:?}");
        }
    }
    let odd = Definition {
        status: Some(Status::Paused),
        provider_status: "paused by +1555".to_owned(),
        ..template(vec![])
    };
    assert_eq!(
        mismatches(&ConnectByRules, &odd, &nothing())[0].problem,
        "must be the name of an approved template"
    );
}

#[test]
fn all_mismatches_are_reported_together() {
    let listed = Definition {
        status: Some(Status::Rejected),
        ..template(vec![header("IMAGE", ""), body("{{1}}"), buttons(&[("URL", "https://a.example/{{1}}")])])
    };
    let given = Filled { header: Some(Header::Video(media())), ..with_buttons(&[(1, quick_reply())]) };
    assert_eq!(
        fields(CONNECTBY, &listed, &given),
        [
            "template.name",
            "template.header",
            "template.body",
            "template.buttons[0].index",
            "template.buttons"
        ]
    );
}

#[test]
fn contradictory_template_passes_dependent_values() {
    let named = Definition {
        parameter_format: Some(ParameterFormat::Positional),
        ..template(vec![body("{{day}}"), header("TEXT", "{{day}}")])
    };
    let numbered =
        Definition { parameter_format: Some(ParameterFormat::Named), ..template(vec![body("{{1}}")]) };
    for provider in [CONNECTBY, CONNECTLY] {
        for given in [&[][..], &["", ""], &["x"]] {
            assert_eq!(fields(provider, &named, &with_body(given)), NONE);
            assert_eq!(fields(provider, &numbered, &with_body(given)), NONE);
        }
        for odd in [vec![body("")], vec![], vec![body("{{1}}"), body("{{1}}")], vec![body("{{x y}}")]] {
            assert_eq!(fields(provider, &template(odd), &with_body(&[""])), NONE);
        }
    }
}
