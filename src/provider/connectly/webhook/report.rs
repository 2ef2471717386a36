//! Runs of reports.

use super::super::super::json::Object;
use super::{Identity, Payload, timestamp, unknown};
use crate::domain::event::{ReportRun, ReportStatus};

/// Parses a report. `None` without `report`.
///
/// The identity includes the status, so an earlier status of a run does not deduplicate its completion.
pub(super) fn read(webhook: &Object<'_>) -> Option<(Payload, Option<Identity>)> {
    let report = webhook.object(&["report"])?;
    let Some(run) = report.object(&["last_run", "lastRun"]) else {
        return Some((unknown("report".to_owned(), "the report has no run"), None));
    };
    let result = run.object(&["result"]).unwrap_or_default();
    let (run_id, provider_status) = (run.text(&["id"]), run.text(&["status"]).unwrap_or_default());
    let identity = run_id.as_deref().map(|id| Identity::report(id, &provider_status));
    let status = provider_status.parse().ok();
    // The contract promises no URL for a run that is not complete. A status that is new may mean that it is.
    let url = match status {
        Some(ReportStatus::Processing | ReportStatus::Failed) => None,
        Some(ReportStatus::Completed) | None => result.text(&["url"]),
    };
    let payload = Payload::ReportRun(ReportRun {
        report_id: report.text(&["id"]).unwrap_or_default(),
        name: report.text(&["name"]).unwrap_or_default(),
        report_type: report.text(&["type"]).unwrap_or_default(),
        run_id: run_id.unwrap_or_default(),
        status,
        provider_status,
        url: url.unwrap_or_default(),
        expire_time: timestamp(&result, &["expires_at", "expiresAt"]),
        create_time: timestamp(&result, &["created_at", "createdAt"]),
    });
    Some((payload, identity))
}
