//! What the client knows of a certificate that it has asked for. Time is an argument.

use super::ClientOptions;
use super::event::{HubEvent, RequestId, Subscription};
use crate::Error;
use crate::certificate::{Answer, Progress};
use azure_iot_common::text::parse_u32;

/// The one request that may be on its way, and until when to wait for the hub's next word.
#[derive(Debug)]
pub(super) struct CertificateState {
    wanted: bool,
    refused: bool,
    answer_ms: u32,
    pending: Option<(RequestId, u64)>,
}

impl CertificateState {
    pub(super) fn new(options: &ClientOptions) -> Self {
        Self {
            wanted: options.certificates,
            refused: false,
            answer_ms: options.certificate_ms,
            pending: None,
        }
    }

    /// When something is to be done, if nothing comes before.
    pub(super) fn deadline_ms(&self) -> Option<u64> {
        self.pending.map(|(_, until_ms)| until_ms)
    }

    pub(super) fn subscription_refused(&mut self, refused: Option<Subscription>) {
        self.refused |= refused == Some(Subscription::Certificates);
    }

    /// Notes a request.
    pub(super) fn begin(&mut self, request: RequestId, now_ms: u64) -> Result<(), Error> {
        if !self.wanted {
            return Err(Error::Invalid {
                what: "request for a certificate without ClientOptions::certificates",
                at: 0,
            });
        }
        if self.refused {
            return Err(Error::SubscriptionRefused);
        }
        if self.pending.is_some() {
            return Err(Error::Busy);
        }
        self.pending = Some((request, self.until_ms(now_ms)));
        Ok(())
    }

    fn until_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_add(self.answer_ms.into())
    }

    /// Forgets the request.
    pub(super) fn end(&mut self) {
        self.pending = None;
    }

    /// The request, if the hub has said nothing for too long.
    pub(super) fn expired(&mut self, now_ms: u64) -> Option<HubEvent<'static>> {
        let (request, _) = self.pending.take_if(|(_, until_ms)| now_ms >= *until_ms)?;
        Some(HubEvent::Certificate { request, progress: Progress::TimedOut })
    }

    /// What an answer means; `None` if it is to no request of this connection.
    pub(super) fn answer<'a>(
        &mut self,
        answer: &Answer<'a>,
        oversized: Option<u32>,
        now_ms: u64,
    ) -> Option<HubEvent<'a>> {
        let (request, _) =
            self.pending.filter(|(request, _)| parse_u32(answer.request_id) == Some(request.0))?;
        let progress = match oversized {
            Some(size) if answer.is_final() => Progress::Unusable(Error::Oversized { size }),
            _ => answer.progress(),
        };
        // Accepted: the certificate is being made, and the hub has the same time again.
        self.pending = (!answer.is_final()).then(|| (request, self.until_ms(now_ms)));
        Some(HubEvent::Certificate { request, progress })
    }
}
