//! One renewal after the other: when it is due, the key that was made for it, and whether what was issued fits.

use crate::certificate::Leaf;
use crate::key::AsyncRequestSigner;
use crate::{Error, Policy, Validity};

/// The renewal of one credential. `K` is the key: a [`PrivateKey`](crate::key::PrivateKey), or a handle of one that
/// lives elsewhere.
///
/// The order of things, in which a power cut at any point leaves a credential that works:
/// 1. it is [due](Self::due_in_s); a key is made, and the renewal [begins](Self::begin) with it;
/// 2. the request goes to the hub, and the chain comes back: [`issued`](Self::issued);
/// 3. both go into the [store](crate::CredentialStore), beside the present credential;
/// 4. the device connects anew with it; when the hub has let it in, the store
///    [confirms](crate::CredentialStore::confirm) it and lets go of the one before.
///
/// A cut before the end of step 3 costs the key, and the next start begins again; one after it costs nothing.
#[derive(Debug)]
pub struct Renewal<K> {
    policy: Policy,
    validity: Validity,
    /// Not before this time.
    due: u64,
    /// Failures in a row.
    attempts: u32,
    key: Option<K>,
}

impl<K: AsyncRequestSigner> Renewal<K> {
    /// For a credential that is valid so long. `random` spreads the renewals of a fleet.
    #[must_use]
    pub fn new(policy: Policy, validity: Validity, random: u32) -> Self {
        Self { policy, validity, due: policy.due(validity, random), attempts: 0, key: None }
    }

    /// How long until a renewal is due, in seconds; 0: begin.
    #[must_use]
    pub fn due_in_s(&self, now: u64) -> u64 {
        self.due.saturating_sub(now)
    }

    /// Begins with a new key. A key from before, whose certificate has not come, is forgotten.
    pub fn begin(&mut self, key: K) {
        self.key = Some(key);
    }

    /// The key that a certificate is asked for.
    ///
    /// # Errors
    /// [`Error::NoKey`] before [`begin`](Self::begin) and after [`issued`](Self::issued).
    pub fn key(&self) -> Result<&K, Error> {
        self.key.as_ref().ok_or(Error::NoKey)
    }

    /// Here is a chain, certificates in DER one behind the other: gives the key that belongs to it. What fits goes into
    /// the store; what does not is to be told to [`failed`](Self::failed).
    ///
    /// # Errors
    /// [`Error::NoKey`] if none was asked for; [`Error::BadCertificate`]; [`Error::OtherKey`] and [`Error::OtherName`]
    /// if the leaf is not for that key and for `common_name`. The key stays for another attempt.
    pub fn issued(&mut self, chain: &[u8], common_name: &str) -> Result<K, Error> {
        let public = self.key()?.public_key()?;
        let leaf = Leaf::parse(chain)?;
        if *leaf.public_key() != public {
            return Err(Error::OtherKey);
        }
        if leaf.common_name() != common_name {
            return Err(Error::OtherName);
        }
        self.key.take().ok_or(Error::NoKey)
    }

    /// It came to nothing: refused, not answered, not stored, or not let in by the hub. It is due again after a wait
    /// that grows with each failure in a row, and after what the service asked for, in seconds. Gives that wait.
    pub fn failed(&mut self, now: u64, asked_s: Option<u32>, random: u32) -> u32 {
        self.attempts = self.attempts.saturating_add(1);
        let wait = self.policy.retry_s(self.validity, self.attempts, asked_s, random);
        self.due = now.saturating_add(wait.into());
        self.key = None;
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{PublicKey, RequestSigner, Signature};

    const VALIDITY: Validity = Validity { not_before: 1000, not_after: 2000 };

    struct Nobody;

    impl RequestSigner for Nobody {
        fn public_key(&self) -> Result<PublicKey, Error> {
            Err(Error::Key)
        }

        fn sign(&self, _: &[u8]) -> Result<Signature, Error> {
            Err(Error::Signer)
        }
    }

    #[test]
    fn due_and_due_again() {
        let mut renewal = Renewal::new(Policy { spread_percent: 0, ..Policy::DEFAULT }, VALIDITY, 0);
        assert_eq!((renewal.due_in_s(1000), renewal.due_in_s(1799), renewal.due_in_s(5000)), (800, 1, 0));
        assert!(matches!(renewal.key(), Err(Error::NoKey)));
        assert!(matches!(renewal.issued(&[], "d"), Err(Error::NoKey)));
        renewal.begin(Nobody);
        assert!(renewal.key().is_ok() && matches!(renewal.issued(&[], "d"), Err(Error::Key)));
        assert_eq!(renewal.failed(1800, None, 0), 50);
        assert_eq!((renewal.due_in_s(1800), renewal.key().is_err()), (50, true));
        assert_eq!(renewal.failed(1850, Some(120), 0), 120);
    }
}
