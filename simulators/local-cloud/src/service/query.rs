//! Queries over devices, modules and jobs, and what pages of a list look like.

use axum::http::HeaderValue;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::problem::Problem;
use super::select::Select;
use super::{Answer, Call, identity, ok};
use crate::hub::record::text;

/// The body's `query`, parsed.
pub(super) fn parse(call: &Call<'_>) -> Result<Select, Problem> {
    let query = text(&call.json()?, "query").ok_or_else(|| Problem::argument("There is no query."))?;
    Select::parse(&query).map_err(|why| {
        Problem::registry(400, "InvalidQuery", format!("The query cannot be understood: {why}"))
    })
}

/// `POST /devices/query`.
pub(super) fn devices(call: &Call<'_>) -> Answer {
    let select = parse(call)?;
    let rows: Vec<(String, Value)> = match select.from.as_str() {
        from @ ("devices" | "devices.modules") => {
            let modules = from == "devices.modules";
            let hub = call.shared.hub();
            let mut rows: Vec<(String, Value)> = hub
                .iter()
                .filter(|(_, id, _)| id.contains('/') == modules)
                .map(|(_, id, device)| (id.to_owned(), identity::twin(id, device)))
                .collect();
            rows.sort_by(|a, b| a.0.cmp(&b.0));
            rows
        }
        "devices.jobs" => call.shared.service.jobs.device_jobs(),
        other => {
            let message = format!("There is no collection {other}.");
            return Err(Problem::registry(400, "InvalidQuery", message));
        }
    };
    let kind = match (select.is_whole(), select.from.as_str()) {
        (true, "devices.jobs") => "DeviceJob",
        (true, _) => "Twin",
        (false, _) => "Raw",
    };
    let rows = select.run(rows).map_err(|why| Problem::registry(400, "InvalidQuery", why))?;
    page(call, rows, kind)
}

/// One page of a list, with `x-ms-continuation` if there is more.
///
/// The continuation names the last row that was given, so that what is created or deleted meanwhile moves nothing.
pub(super) fn page(call: &Call<'_>, rows: Vec<(String, Value)>, kind: &'static str) -> Answer {
    let after = match call.header("x-ms-continuation").filter(|text| !text.is_empty()) {
        None => None,
        Some(token) => {
            let bytes = BASE64_STANDARD.decode(token).ok();
            let key = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            Some(
                key.ok_or_else(|| Problem::argument("x-ms-continuation is not what the service has given."))?,
            )
        }
    };
    let size = call.page_size();
    let mut rest = rows.into_iter().filter(|(key, _)| after.as_ref().is_none_or(|after| key > after));
    let taken: Vec<(String, Value)> = rest.by_ref().take(size).collect();
    let last = taken.last().map(|(key, _)| BASE64_STANDARD.encode(key));
    let more = rest.next().is_some();
    let mut response = ok(&Value::Array(taken.into_iter().map(|(_, row)| row).collect()))?;
    response.headers_mut().insert("x-ms-item-type", HeaderValue::from_static(kind));
    if let (true, Some(token)) = (more, last)
        && let Ok(token) = HeaderValue::from_str(&token)
    {
        response.headers_mut().insert("x-ms-continuation", token);
    }
    Ok(response)
}
