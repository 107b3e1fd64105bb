//! What one connection has to do with the sessions of earlier and later ones.

use azure_iot_tls_mbedtls::{Session, Version};

use super::cache::{Binding, Entry, SessionCache};
use super::verifier::Verdict;
use super::watch::Watch;
use crate::{AsyncIdentity, Error, Trust};

/// For how long a session counts without a full handshake, in seconds: seven days (RFC 8446 §4.6.1).
const MAX_SINCE_PROOF: u64 = 7 * 24 * 60 * 60;
/// The same for TLS 1.2, where a server need not say anything: a day (RFC 5246 §F.1.4).
const MAX_TLS12: u64 = 24 * 60 * 60;

/// A connection's part in resumption.
pub(super) struct Resumption<'a>(Option<Part<'a>>);

struct Part<'a> {
    cache: &'a SessionCache,
    binding: Binding,
    now: u64,
    /// What was offered to the server, and what the server has proved counts until then.
    offered: Option<Entry>,
    proved_until: u64,
    resumed: bool,
}

impl<'a> Resumption<'a> {
    /// Neither resumes a session nor keeps one.
    pub(super) const NONE: Self = Self(None);

    /// Resumes by what is in the cache. Without a time nothing is: nobody could tell when a session has ended.
    pub(super) fn new<I: AsyncIdentity + ?Sized>(
        cache: &'a SessionCache,
        trust: &Trust<'_>,
        identity: Option<&I>,
    ) -> Self {
        let binding = Binding::new(trust, identity);
        let offered = cache.take(&binding, trust.time().unwrap_or(0));
        Self(trust.time().map(|now| {
            let proved_until = now.saturating_add(MAX_SINCE_PROOF);
            Part { cache, binding, now, offered, proved_until, resumed: false }
        }))
    }

    pub(super) const fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    pub(super) const fn is_resumed(&self) -> bool {
        matches!(&self.0, Some(part) if part.resumed)
    }

    /// Offers what there is. Where that does not work there is a full handshake.
    pub(super) fn offer(&mut self, session: &mut Session<'_>) {
        if let Some(part) = &mut self.0 {
            part.offered = part.offered.take().filter(|entry| session.offer(&entry.saved).is_ok());
        }
    }

    /// Whether the server has proved who it is, now that the handshake is over: by its certificates, or by going on
    /// with a session in which it has.
    pub(super) fn judge(
        &mut self,
        session: &Session<'_>,
        watch: &Watch,
        verdict: &Verdict<'_>,
    ) -> Result<(), Error> {
        let part = self.0.as_mut();
        match verdict.outcome {
            Some(outcome) => {
                if let Some(part) = part {
                    part.proved_until = part.proved_until.min(verdict.valid_until);
                }
                outcome
            }
            None => part.ok_or(Error::NoCertificate)?.judge_resumed(session, watch),
        }
    }

    /// The error of a handshake that failed: before the server has shown certificates, it may be for what was offered.
    pub(super) fn explain(&self, error: Error, verified: bool) -> Error {
        let offered = self.0.as_ref().is_some_and(|part| part.offered.is_some());
        if offered && !verified && !error.is_retriable() { Error::NotResumed } else { error }
    }

    /// Keeps the session for the next connection, as soon as there is one that can be resumed.
    pub(super) fn keep(&mut self, session: &mut Session<'_>, watch: &Watch) {
        if let Some(part) = &mut self.0 {
            part.keep(session, watch);
        }
    }
}

impl Part<'_> {
    fn judge_resumed(&mut self, session: &Session<'_>, watch: &Watch) -> Result<(), Error> {
        let offered = self.offered.as_ref().filter(|_| session.has_no_certificate());
        let offered = offered.ok_or(Error::NoCertificate)?;
        if session.version() == Some(Version::Tls12) {
            // RFC 7627 §5.3: a session that has it is not resumed without.
            if !watch.extended_master_secret() {
                return Err(Error::NotResumed);
            }
            // The server need not give another ticket, and the old one gets no younger by its use.
            self.proved_until = offered.end;
        } else {
            self.proved_until = offered.proved_until;
        }
        self.resumed = true;
        Ok(())
    }

    fn keep(&mut self, session: &mut Session<'_>, watch: &Watch) {
        let is_tls13 = session.version() == Some(Version::Tls13);
        // Without it a server in the middle could make two sessions look like one.
        if !is_tls13 && !watch.extended_master_secret() {
            return;
        }
        let Some(saved) = session.save() else { return };
        let limit = if is_tls13 { MAX_SINCE_PROOF } else { MAX_TLS12 };
        let lifetime = match u64::from(saved.lifetime()) {
            0 => limit,
            lifetime => lifetime.min(limit),
        };
        let end = self.now.saturating_add(lifetime).min(self.proved_until);
        let (binding, since, proved_until) = (self.binding, self.now, self.proved_until);
        self.cache.put(Entry { binding, saved, since, end, proved_until });
    }
}
