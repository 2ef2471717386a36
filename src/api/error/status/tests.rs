use super::provider::refusal;
use super::*;
use crate::domain::RefusalReason;

/// `docs/errors.md` has one `###` heading per reason, and no other `###` heading.
#[test]
fn documented_reasons_equal_coded_reasons() {
    let page = include_str!("../../../../docs/errors.md");
    let mut documented: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .map(|title| title.trim_matches('`'))
        .collect();
    let mut coded: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    documented.sort_unstable();
    coded.sort_unstable();
    assert_eq!(documented, coded);
    for paragraph in page.split("### ").skip(1) {
        for part in ["**Code:**", "**Means:**", "**Cause:**", "**Do:**"] {
            assert!(paragraph.contains(part), "{part} is missing under {:?}", paragraph.lines().next());
        }
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
        let line = format!("### `{}`\n\n**Code:** {wire}", reason.as_str());
        assert!(page.contains(&line), "docs/errors.md lacks {line:?}");
    }
}
