//! Enrolments in the order of their making, found by id.

use std::collections::{BTreeMap, HashMap};

use super::Enrollment;
use crate::clock;
use crate::hub::record;

/// Enrolments of one kind. Ids are compared without case.
#[derive(Debug, Default)]
pub(crate) struct List {
    enrollments: BTreeMap<u64, Enrollment>,
    numbers: HashMap<String, u64>,
    next: u64,
}

impl List {
    pub(super) fn get(&self, id: &str) -> Option<&Enrollment> {
        self.enrollments.get(self.numbers.get(&id.to_ascii_lowercase())?)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Enrollment> {
        self.enrollments.values()
    }

    /// Adds it, or puts it in the place of the one of the same id, with a new entity tag and new times. Gives what is
    /// kept.
    pub(super) fn put(&mut self, mut enrollment: Enrollment) -> Enrollment {
        let now = clock::now();
        enrollment.etag = record::etag(rand::random());
        enrollment.created =
            self.get(&enrollment.id).map_or_else(|| now.clone(), |before| before.created.clone());
        enrollment.updated = now;
        self.append(enrollment.clone());
        enrollment
    }

    /// At the end, as it is.
    fn append(&mut self, enrollment: Enrollment) {
        self.remove(&enrollment.id);
        self.numbers.insert(enrollment.id.to_ascii_lowercase(), self.next);
        self.enrollments.insert(self.next, enrollment);
        self.next += 1;
    }

    pub(super) fn remove(&mut self, id: &str) {
        if let Some(number) = self.numbers.remove(&id.to_ascii_lowercase()) {
            self.enrollments.remove(&number);
        }
    }
}

impl FromIterator<Enrollment> for List {
    fn from_iter<I: IntoIterator<Item = Enrollment>>(enrollments: I) -> Self {
        let mut list = Self::default();
        for enrollment in enrollments {
            list.append(enrollment);
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrollment::Attestation;

    #[test]
    fn by_id_without_case_and_in_the_order_of_their_making() {
        let new = |id: &str| Enrollment::new(id, Attestation::key([7; 32]));
        let mut list = List::default();
        let first = list.put(new("A"));
        list.put(new("b"));
        assert!(list.get("a").is_some() && list.get("B").is_some() && list.get("c").is_none());
        let again = list.put(Enrollment { device_id: Some("d".to_owned()), ..new("a") });
        assert_eq!((&again.created, again.etag == first.etag), (&first.created, false));
        assert_eq!(list.iter().map(|e| e.id.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        list.remove("B");
        list.remove("nobody");
        assert_eq!(list.iter().map(|e| e.device_id.as_deref()).collect::<Vec<_>>(), [Some("d")]);
        let same: List = list.iter().cloned().collect();
        assert_eq!(same.get("A"), Some(&again));
    }
}
