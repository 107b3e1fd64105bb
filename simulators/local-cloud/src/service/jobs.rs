//! Jobs: a twin change or a method call for all devices that a query finds, at once or at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::Method;
use serde_json::{Map, Value, json};

use super::problem::Problem;
use super::query::page;
use super::select::Select;
use super::{Answer, Call, identity, ok, twins};
use crate::clock;
use crate::hub::record::text;
use crate::shared::Shared;

/// How many jobs are remembered; the oldest are forgotten first.
const MAX_JOBS: usize = 100;

/// All jobs by id, and what became of each device.
#[derive(Default)]
pub(super) struct Jobs {
    jobs: Mutex<BTreeMap<String, Job>>,
}

struct Job {
    document: Value,
    devices: Vec<Value>,
}

impl Jobs {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For queries: what became of each device of each job.
    pub(super) fn device_jobs(&self) -> Vec<(String, Value)> {
        let jobs = self.lock();
        let rows = jobs.iter().flat_map(|(id, job)| job.devices.iter().map(move |device| (id, device)));
        rows.enumerate().map(|(n, (id, device))| (format!("{id}/{n:08}"), device.clone())).collect()
    }
}

/// `GET` or `PUT` of a job.
pub(super) fn one(call: &Call<'_>, id: &str) -> Answer {
    let jobs = &call.shared.service.jobs;
    if call.method == Method::GET {
        return match jobs.lock().get(id) {
            Some(job) => ok(&job.document),
            None => Err(Problem::registry(404, "JobNotFound", format!("There is no job {id}."))),
        };
    }
    let body = call.json()?;
    let kind = text(&body, "type").or_else(|| text(&body, "jobType")).unwrap_or_default();
    let action = match kind.as_str() {
        "scheduleUpdateTwin" => {
            Action::Twin(identity::twin_parts(body.get("updateTwin").unwrap_or(&Value::Null))?)
        }
        "scheduleDeviceMethod" => {
            Action::Method(body.get("cloudToDeviceMethod").cloned().unwrap_or_default())
        }
        other => return Err(Problem::argument(format!("There is no job of type {other:?}."))),
    };
    let condition = text(&body, "queryCondition").filter(|text| !text.is_empty() && text != "*");
    let query = match &condition {
        Some(condition) => format!("SELECT * FROM devices WHERE {condition}"),
        None => "SELECT * FROM devices".to_owned(),
    };
    let select = Select::parse(&query).map_err(|why| Problem::registry(400, "InvalidQuery", why))?;
    let now = clock::now();
    let start = text(&body, "startTime").filter(|text| !text.is_empty()).unwrap_or_else(|| now.clone());
    let delay = clock::parse(&start)
        .ok_or_else(|| Problem::argument("startTime is not a time of ISO 8601."))?
        .saturating_sub(clock::unix_millis());
    let delay = Duration::from_millis(delay);
    let document = json!({
        "jobId": id,
        "type": kind,
        "status": if delay.is_zero() { "running" } else { "scheduled" },
        "queryCondition": condition.unwrap_or_else(|| "*".to_owned()),
        "createdTime": now,
        "startTime": start,
        "maxExecutionTimeInSeconds": body.get("maxExecutionTimeInSeconds").cloned().unwrap_or(json!(3600)),
        "cloudToDeviceMethod": body.get("cloudToDeviceMethod"),
        "updateTwin": body.get("updateTwin"),
    });
    {
        let mut jobs = jobs.lock();
        if jobs.contains_key(id) {
            return Err(Problem::registry(409, "JobAlreadyExists", format!("There is a job {id} already.")));
        }
        jobs.insert(id.to_owned(), Job { document: document.clone(), devices: Vec::new() });
        while jobs.len() > MAX_JOBS {
            let age = |job: &Job| text(&job.document, "createdTime");
            let Some(oldest) = jobs.iter().min_by_key(|(_, job)| age(job)).map(|(id, _)| id.clone()) else {
                break;
            };
            jobs.remove(&oldest);
        }
    }
    tokio::spawn(run(call.shared.clone(), id.to_owned(), select, action, delay));
    ok(&document)
}

enum Action {
    Twin(twins::Parts),
    Method(Value),
}

async fn run(shared: Arc<Shared>, id: String, select: Select, action: Action, delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    if !set(&shared, &id, "running") {
        return;
    }
    let rows: Vec<(String, Value)> = {
        let hub = shared.hub();
        let devices = hub.iter().filter(|(_, id, _)| !id.contains('/'));
        devices.map(|(_, id, device)| (id.to_owned(), identity::twin(id, device))).collect()
    };
    let found = select.run(rows).unwrap_or_default();
    let (mut succeeded, mut failed) = (0_u32, 0_u32);
    for (device, _) in found {
        let outcome = match &action {
            Action::Twin(parts) => {
                twins::change(&shared, &device, None, false, parts.clone()).map(|_| Value::Null)
            }
            Action::Method(body) => twins::method(&shared, &device, body).await,
        };
        let mut row = Map::new();
        let mut set = |name: &str, value: Value| row.insert(name.to_owned(), value);
        set("deviceId", json!(device));
        set("jobId", json!(id));
        set("lastUpdatedDateTimeUtc", json!(clock::now()));
        match outcome {
            Ok(outcome) => {
                succeeded += 1;
                set("status", json!("completed"));
                if !outcome.is_null() {
                    set("outcome", json!({ "deviceMethodResponse": outcome }));
                }
            }
            Err(problem) => {
                failed += 1;
                set("status", json!("failed"));
                set("error", json!({ "code": problem.name(), "description": problem.message() }));
            }
        }
        let mut jobs = shared.service.jobs.lock();
        match jobs.get_mut(&id) {
            Some(job) if job.document["status"] == "running" => job.devices.push(Value::Object(row)),
            _ => return,
        }
    }
    if set(&shared, &id, "completed")
        && let Some(job) = shared.service.jobs.lock().get_mut(&id)
    {
        job.document["deviceJobStatistics"] = json!({
            "deviceCount": succeeded + failed,
            "succeededCount": succeeded,
            "failedCount": failed,
            "runningCount": 0,
            "pendingCount": 0,
        });
    }
}

/// Moves a job on; `false` if it was cancelled or forgotten.
fn set(shared: &Shared, id: &str, status: &str) -> bool {
    let mut jobs = shared.service.jobs.lock();
    let Some(job) = jobs.get_mut(id).filter(|job| job.document["status"] != "cancelled") else {
        return false;
    };
    job.document["status"] = json!(status);
    if status == "completed" {
        job.document["endTime"] = json!(clock::now());
    }
    true
}

/// Stops a job before its next device.
pub(super) fn cancel(call: &Call<'_>, id: &str) -> Answer {
    let mut jobs = call.shared.service.jobs.lock();
    let job = jobs
        .get_mut(id)
        .ok_or_else(|| Problem::registry(404, "JobNotFound", format!("There is no job {id}.")))?;
    if job.document["status"] != "completed" {
        job.document["status"] = json!("cancelled");
        job.document["endTime"] = json!(clock::now());
    }
    ok(&job.document)
}

/// Jobs of a type and in a state, if those are asked for.
pub(super) fn list(call: &Call<'_>) -> Answer {
    let (kind, status) = (call.parameter("jobType"), call.parameter("jobStatus"));
    let same = |value: &Value, wanted: &Option<String>| {
        wanted
            .as_deref()
            .is_none_or(|w| w.is_empty() || value.as_str().is_some_and(|v| v.eq_ignore_ascii_case(w)))
    };
    let jobs = call.shared.service.jobs.lock();
    let rows = jobs
        .iter()
        .filter(|(_, job)| same(&job.document["type"], &kind) && same(&job.document["status"], &status))
        .map(|(id, job)| (id.clone(), job.document.clone()))
        .collect();
    drop(jobs);
    page(call, rows, "JobResponse")
}
