//! The sessions of earlier connections, and for what each of them counts.

use core::cell::RefCell;
use core::fmt;

use azure_iot_tls_mbedtls::Saved;
use sha2::{Digest, Sha256};

use crate::{AsyncIdentity, Trust, Versions};

/// The most hosts of which a session is kept: the provisioning service and a hub.
const HOSTS: usize = 2;

/// Sessions with servers that let the next connection go on with the last one
/// ([`Stack::connect_or_resume`](super::Stack::connect_or_resume)).
///
/// One session is kept for each of the last two hosts, 1.5 KiB of heap at most for each. It holds secrets: who has them
/// can read connections of TLS 1.2 that were made with them, and pass for the device at that server until the session
/// has expired. They are not logged, stay in the heap, and are wiped when the session is replaced, used up or
/// [cleared](Self::clear), and when this is dropped.
pub struct SessionCache {
    sessions: RefCell<[Option<Entry>; HOSTS]>,
}

/// A session, and where and until when it counts.
pub(super) struct Entry {
    pub(super) binding: Binding,
    pub(super) saved: Saved,
    /// The first second in which it was known, and the one in which it does not count any more.
    pub(super) since: u64,
    pub(super) end: u64,
    /// The last second in which what the server has proved counts.
    pub(super) proved_until: u64,
}

/// What a session was made under: digests of the host, and of all of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Binding {
    host: [u8; 32],
    all: [u8; 32],
}

impl Binding {
    pub(super) fn new<I: AsyncIdentity + ?Sized>(trust: &Trust<'_>, identity: Option<&I>) -> Self {
        let host = Sha256::digest(trust.host()).into();
        let mut all = Sha256::new_with_prefix(host);
        all.update([match trust.offered_versions() {
            Versions::Both => 0,
            Versions::Tls12 => 2,
            Versions::Tls13 => 3,
        }]);
        // Each certificate by its digest, so that none can pass for two; in between what is no digest's length.
        for root in trust.roots() {
            all.update(Sha256::digest(root));
        }
        all.update([u8::from(identity.is_some())]);
        let chain = (0..).map_while(|index| identity?.certificate(index));
        chain.for_each(|certificate| all.update(Sha256::digest(certificate)));
        Self { host, all: all.finalize().into() }
    }
}

impl SessionCache {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self { sessions: RefCell::new([const { None }; HOSTS]) }
    }

    /// Forgets all sessions: the next connections prove both sides anew.
    pub fn clear(&self) {
        self.sessions.borrow_mut().fill_with(|| None);
    }

    /// Takes out what there is for the host: it comes back when the connection has succeeded. What was made under
    /// anything else than this, or does not count at this time, is gone.
    pub(super) fn take(&self, binding: &Binding, now: u64) -> Option<Entry> {
        let mut sessions = self.sessions.borrow_mut();
        let entry = sessions.iter_mut().find(|entry| is_of(entry.as_ref(), binding))?.take();
        entry.filter(|entry| entry.binding == *binding && (entry.since..entry.end).contains(&now))
    }

    /// Keeps a session, in the place of the host's last one, or of the one that ends first.
    pub(super) fn put(&self, entry: Entry) {
        let mut sessions = self.sessions.borrow_mut();
        let place = sessions.iter().position(|other| is_of(other.as_ref(), &entry.binding)).or_else(|| {
            let ends = |at: &usize| sessions.get(*at).and_then(Option::as_ref).map_or(0, |other| other.end);
            (0..HOSTS).min_by_key(ends)
        });
        if let Some(slot) = place.and_then(|at| sessions.get_mut(at)) {
            *slot = Some(entry);
        }
    }
}

fn is_of(entry: Option<&Entry>, binding: &Binding) -> bool {
    entry.is_some_and(|entry| entry.binding.host == binding.host)
}

impl Default for SessionCache {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SessionCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionCache(..)")
    }
}
