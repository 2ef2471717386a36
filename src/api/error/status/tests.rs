use super::provider::refusal;
use super::*;
use crate::domain::RefusalReason;

/// Every reason of the contract except the unspecified one.
fn reasons() -> impl Iterator<Item = Reason> {
    (1..256).filter_map(|number| Reason::try_from(number).ok())
}

/// `docs/errors.md` has one `###` heading per reason, and no other `###` heading.
#[test]
fn documented_reasons_equal_reasons_of_the_contract() {
    let page = include_str!("../../../../docs/errors.md");
    let mut documented: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .map(|title| title.trim_matches('`'))
        .collect();
    let mut coded: Vec<&str> = reasons().map(reason_text).collect();
    documented.sort_unstable();
    coded.sort_unstable();
    assert_eq!(documented, coded);
    for paragraph in page.split("### ").skip(1) {
        for part in ["**Code:**", "**Means:**", "**Cause:**", "**Do:**"] {
            assert!(paragraph.contains(part), "{part} is missing under {:?}", paragraph.lines().next());
        }
    }
}

#[test]
fn server_uses_every_reason_of_the_contract() {
    let sources = [
        include_str!("mod.rs"),
        include_str!("call.rs"),
        include_str!("journal.rs"),
        include_str!("provider.rs"),
        include_str!("upload.rs"),
    ]
    .concat();
    let used: std::collections::HashSet<&str> = sources
        .split("Reason::")
        .skip(1)
        .filter_map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric()).next())
        .collect();
    for reason in reasons() {
        assert!(used.contains(format!("{reason:?}").as_str()), "the server never returns {reason:?}");
    }
}

/// `docs/errors.md` states the gRPC code of each refusal.
#[test]
fn documented_code_of_each_refusal_equals_its_status_code() {
    let page = include_str!("../../../../docs/errors.md");
    for kind in [
        RefusalReason::CredentialsRejected,
        RefusalReason::PermissionDenied,
        RefusalReason::Throttled,
        RefusalReason::Capped,
        RefusalReason::SessionWindowClosed,
        RefusalReason::RecipientNotReachable,
        RefusalReason::RecipientOptedOut,
        RefusalReason::RecipientInvalid,
        RefusalReason::SenderInvalid,
        RefusalReason::ContentRejected,
        RefusalReason::TemplateNotFound,
        RefusalReason::TemplateParametersRejected,
        RefusalReason::TemplatePaused,
        RefusalReason::AccountRestricted,
        RefusalReason::NotFound,
        RefusalReason::Conflict,
        RefusalReason::Other,
    ] {
        let (code, reason, _) = refusal(kind);
        let wire = format!("{code:?}").chars().fold(String::new(), |mut name, c| {
            if c.is_ascii_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(c.to_ascii_uppercase());
            name
        });
        let line = format!("### `{}`\n\n**Code:** {wire}", reason_text(reason));
        assert!(page.contains(&line), "docs/errors.md lacks {line:?}");
    }
}
