//! Completed reports.

use super::super::super::json::Object;
use super::{Identity, Payload, timestamp, unknown};
use crate::domain::event::ReportCompleted;

/// Parses a report. `None` without `report`.
///
/// Only a completed run with a download URL has an identity. An earlier report of the same run must not deduplicate its
/// completion.
pub(super) fn read(webhook: &Object<'_>) -> Option<(Payload, Option<Identity>)> {
    let report = webhook.object(&["report"])?;
    let unreadable = |problem| Some((unknown("report".to_owned(), problem), None));
    let Some(run) = report.object(&["last_run", "lastRun"]) else {
        return unreadable("the report has no run");
    };
    if run.text(&["status"]).is_none_or(|status| status != "completed") {
        return unreadable("the run of the report is not completed");
    }
    let result = run.object(&["result"]);
    let download = result.and_then(|result| result.text(&["url"]).map(|url| (result, url)));
    let Some((result, url)) = download else { return unreadable("the completed report has no URL") };
    let run_id = run.text(&["id"]);
    let identity = run_id.as_deref().map(Identity::report);
    let payload = Payload::ReportCompleted(ReportCompleted {
        report_id: report.text(&["id"]).unwrap_or_default(),
        name: report.text(&["name"]).unwrap_or_default(),
        report_type: report.text(&["type"]).unwrap_or_default(),
        run_id: run_id.unwrap_or_default(),
        url,
        expire_time: timestamp(&result, &["expires_at", "expiresAt"]),
        create_time: timestamp(&result, &["created_at", "createdAt"]),
    });
    Some((payload, identity))
}
