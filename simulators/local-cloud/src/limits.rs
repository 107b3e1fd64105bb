//! What this machine allows: open files, and so connections.

/// Files that are open beside connections: listeners, the state, the enrolment folder, the runtime's own.
const RESERVE: usize = 64;
/// More connections than this are not planned for.
const MOST: usize = 50_000;

/// How many connections a cloud may have open at once on this machine, as far as open files are limited; the soft limit
/// is raised to the hard one.
#[must_use]
pub fn connections_allowed() -> usize {
    connections(None)
}

/// How many connections may be open at once: `wanted`, or as many as the machine allows, whose soft limit of open files
/// is raised to the hard one first.
pub(super) fn connections(wanted: Option<usize>) -> usize {
    let allowed = open_files().map_or(MOST, share);
    wanted.unwrap_or(allowed).clamp(1, allowed)
}

/// The part of so many open files that connections may take.
fn share(files: usize) -> usize {
    files.saturating_sub(RESERVE).max(files / 4).clamp(1, MOST)
}

/// Raises the limit of open files as far as it goes without rights, and gives it; `None`: there is none.
#[cfg(unix)]
fn open_files() -> Option<usize> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Where that is not allowed, the limit stays what it was.
    let now = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    now.map(|files| usize::try_from(files).unwrap_or(usize::MAX))
}

#[cfg(not(unix))]
fn open_files() -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn within_what_the_machine_allows() {
        assert_eq!(connections(Some(10)), 10);
        let allowed = connections(None);
        assert!((1..=MOST).contains(&allowed), "{allowed}");
        assert_eq!(connections(Some(usize::MAX)), allowed);
        assert_eq!(connections(Some(0)), 1);
        assert_eq!([0, 32, 100, 1024, usize::MAX].map(share), [1, 8, 36, 960, MOST]);
    }
}
