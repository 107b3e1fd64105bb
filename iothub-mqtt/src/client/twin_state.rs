//! What the client knows of the twin. Time is an argument.

use super::event::{HubEvent, ReportFailure, RequestId};
use crate::{Error, twin};
use azure_iot_common::backoff::Jitter;
use azure_iot_common::text::parse_u32;
use heapless::Vec;

/// Reports of properties that may wait for their answer at once.
const REPORTS: usize = 4;

/// A report that waits for its answer.
#[derive(Clone, Copy, Debug)]
struct Pending {
    request: RequestId,
    until_ms: u64,
}

/// The versions of the desired properties, and the reports on their way.
#[derive(Debug)]
pub(super) struct TwinState {
    pub(super) tracker: twin::Tracker,
    reports: Vec<Pending, REPORTS>,
    pub(super) jitter: Jitter,
    pub(super) enabled: bool,
}

impl TwinState {
    pub(super) fn new(timing: twin::Timing, jitter: Jitter, enabled: bool) -> Self {
        Self { tracker: twin::Tracker::new(timing), reports: Vec::new(), jitter, enabled }
    }

    /// When something is to be done, if nothing comes before.
    pub(super) fn deadline_ms(&self) -> Option<u64> {
        let tracker = self.enabled.then(|| self.tracker.deadline_ms()).flatten();
        self.reports.iter().map(|report| report.until_ms).chain(tracker).min()
    }

    /// Notes a report; [`Error::Busy`] if too many wait.
    pub(super) fn add_report(&mut self, request: RequestId, until_ms: u64) -> Result<(), Error> {
        self.reports.push(Pending { request, until_ms }).map_err(|_| Error::Busy)
    }

    /// How many reports wait for their answer.
    #[cfg(feature = "mqtt5-hub")]
    pub(super) fn reports(&self) -> usize {
        self.reports.len()
    }

    /// A report whose answer did not come.
    pub(super) fn expired(&mut self, now_ms: u64) -> Option<RequestId> {
        let at = self.reports.iter().position(|report| now_ms >= report.until_ms)?;
        Some(self.reports.swap_remove(at).request)
    }

    /// Ends the waiting for a report; whether there was one with this id.
    pub(super) fn end_report(&mut self, request: RequestId) -> bool {
        let at = self.reports.iter().position(|report| report.request == request);
        at.map(|at| self.reports.swap_remove(at)).is_some()
    }

    /// What a change of desired properties means; `None` if it is of no interest.
    pub(super) fn change<'a>(&mut self, message: twin::Message<'a>) -> Option<HubEvent<'a>> {
        let desired = match message {
            twin::Message::Desired(desired) => Some(desired),
            twin::Message::Unversioned { payload } => twin::Desired::from_body(payload),
            twin::Message::Answer(_) => None,
        };
        let Some(desired) = desired else {
            // Its version is unknown; it is in the whole twin.
            self.tracker.refresh();
            return None;
        };
        if self.tracker.change(desired.version) == twin::Step::Drop {
            return None;
        }
        if let Err(error) = desired.object() {
            // Perhaps the whole twin can be read.
            self.tracker.refresh();
            return Some(HubEvent::TwinUnusable(error));
        }
        Some(HubEvent::Desired(desired))
    }

    /// What an answer means: to the request for the twin, or to a report.
    pub(super) fn answer<'a>(
        &mut self,
        answer: twin::Answer<'a>,
        oversized: Option<u32>,
        now_ms: u64,
    ) -> Option<HubEvent<'a>> {
        let request = RequestId(parse_u32(answer.request_id)?);
        if self.tracker.is_expected(request.0) {
            if !answer.is_success() {
                let random = self.jitter.draw();
                self.tracker.failed(now_ms, answer.retry_after_s, random);
                return None;
            }
            let document = match oversized {
                Some(size) => Err(Error::Oversized { size }),
                None => twin::Document::parse(answer.payload),
            };
            return Some(match document {
                Ok(document) => {
                    self.tracker.document(document.known_version());
                    HubEvent::Twin(document)
                }
                Err(error) => {
                    self.tracker.unusable();
                    HubEvent::TwinUnusable(error)
                }
            });
        }
        // The body of an answer to a report is not needed.
        if !self.end_report(request) {
            return None;
        }
        let result = if answer.is_success() {
            Ok(answer.version)
        } else {
            Err(ReportFailure::Refused { status: answer.status, retry_after_s: answer.retry_after_s })
        };
        Some(HubEvent::Reported { request, result })
    }
}
