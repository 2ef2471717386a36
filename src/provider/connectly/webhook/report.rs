//! Reports that have come to their end.

use super::super::super::json::Object;
use super::{Identity, Payload, moment, unknown};
use crate::domain::event::ReportCompleted;

/// Reads a report. None without `report`.
///
/// Only a run that has ended and can be fetched has an identity: what is told of it before must not make its end look
/// like a repetition.
pub(super) fn read(webhook: &Object<'_>) -> Option<(Payload, Option<Identity>)> {
    let report = webhook.object(&["report"])?;
    let told = |problem| Some((unknown("report".to_owned(), problem), None));
    let Some(run) = report.object(&["last_run", "lastRun"]) else { return told("a report without a run") };
    if run.text(&["status"]).is_none_or(|status| status != "completed") {
        return told("a report whose run is not completed");
    }
    let result = run.object(&["result"]);
    let fetchable = result.and_then(|result| result.text(&["url"]).map(|url| (result, url)));
    let Some((result, url)) = fetchable else { return told("a completed report without a URL") };
    let run_id = run.text(&["id"]);
    let identity = run_id.as_deref().map(Identity::report);
    let payload = Payload::ReportCompleted(ReportCompleted {
        report_id: report.text(&["id"]).unwrap_or_default(),
        name: report.text(&["name"]).unwrap_or_default(),
        report_type: report.text(&["type"]).unwrap_or_default(),
        run_id: run_id.unwrap_or_default(),
        url,
        expire_time: moment(&result, &["expires_at", "expiresAt"]),
        create_time: moment(&result, &["created_at", "createdAt"]),
    });
    Some((payload, identity))
}
