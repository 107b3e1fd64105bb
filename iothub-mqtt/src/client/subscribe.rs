//! The subscriptions of a connection: all at once, and one by one if the hub refuses some.

use super::event::Subscription;
use super::{ClientOptions, c2d, method, twin};
use crate::{Endpoint, Error};
use heapless::Vec;

#[cfg(not(feature = "certificates"))]
const COUNT: usize = 4;
#[cfg(feature = "certificates")]
const COUNT: usize = 5;

const ALL: [Subscription; COUNT] = [
    Subscription::Messages,
    Subscription::Methods,
    Subscription::TwinAnswers,
    Subscription::TwinChanges,
    #[cfg(feature = "certificates")]
    Subscription::Certificates,
];

/// What is wanted, and what of it is being asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscriptions {
    wanted: [bool; ALL.len()],
    /// The one that is asked for alone; `None` while all are asked for together.
    alone: Option<usize>,
}

impl Subscriptions {
    pub(super) fn new(options: &ClientOptions) -> Self {
        let ClientOptions { messages, methods, twin, .. } = *options;
        let wanted = [
            messages,
            methods,
            twin,
            twin,
            #[cfg(feature = "certificates")]
            options.certificates,
        ];
        Self { wanted, alone: None }
    }

    /// The filters to ask for now; `messages` is that of the first subscription. None: all are decided.
    pub(super) fn filters<'f>(&self, messages: &'f str) -> Vec<&'f str, { ALL.len() }> {
        let filters = [
            messages,
            method::FILTER,
            twin::ANSWER_FILTER,
            twin::DESIRED_FILTER,
            #[cfg(feature = "certificates")]
            crate::certificate::FILTER,
        ];
        let asked = |index: usize| self.alone.is_none_or(|alone| alone == index);
        filters
            .into_iter()
            .zip(self.wanted)
            .enumerate()
            .filter_map(|(index, (filter, wanted))| (wanted && asked(index)).then_some(filter))
            .collect()
    }

    /// What was asked for is granted; whether that was all.
    pub(super) fn granted(&mut self) -> bool {
        match self.alone {
            None => true,
            Some(index) => self.go_on(index + 1),
        }
    }

    /// What was asked for is refused, or a part of it. Tells which it was if only one was asked for.
    pub(super) fn refused(&mut self) -> Option<Subscription> {
        let asked = match self.alone {
            Some(index) => Some(index),
            None if self.wanted.iter().filter(|wanted| **wanted).count() == 1 => {
                self.wanted.iter().position(|wanted| *wanted)
            }
            None => None,
        };
        let Some(index) = asked else {
            self.go_on(0);
            return None;
        };
        if let Some(wanted) = self.wanted.get_mut(index) {
            *wanted = false;
        }
        self.go_on(index + 1);
        ALL.get(index).copied()
    }

    /// Turns to the next wanted one from `index`; whether there is none.
    fn go_on(&mut self, index: usize) -> bool {
        let next = (index..ALL.len()).find(|index| self.wanted.get(*index) == Some(&true));
        self.alone = Some(next.unwrap_or(ALL.len()));
        next.is_none()
    }
}

/// The filter of [`Subscription::Messages`].
pub(super) fn message_filter<'b>(
    endpoint: &Endpoint<'_>,
    out: &'b mut [u8; c2d::MAX_FILTER],
) -> Result<&'b str, Error> {
    c2d::filter(endpoint, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told as refused, and how many requests it took, if the hub grants only these.
    fn run(options: ClientOptions, grants: impl Fn(&str) -> bool) -> (std::vec::Vec<Subscription>, usize) {
        let mut subscriptions = Subscriptions::new(&options);
        let (mut refused, mut requests) = (std::vec::Vec::new(), 0);
        loop {
            let filters = subscriptions.filters("devices/d/messages/devicebound/#");
            if filters.is_empty() {
                return (refused, requests);
            }
            requests += 1;
            if !filters.iter().all(|filter| grants(filter)) {
                refused.extend(subscriptions.refused());
            } else if subscriptions.granted() {
                return (refused, requests);
            }
        }
    }

    #[test]
    fn whatever_the_hub_refuses_the_rest_is_granted_and_each_is_reported_once() {
        let filters = [
            "devices/d/messages/devicebound/#",
            method::FILTER,
            twin::ANSWER_FILTER,
            twin::DESIRED_FILTER,
            #[cfg(feature = "certificates")]
            crate::certificate::FILTER,
        ];
        for wanted in 0..16u32 {
            let options = ClientOptions {
                messages: wanted & 1 != 0,
                methods: wanted & 2 != 0,
                twin: wanted & 4 != 0,
                #[cfg(feature = "certificates")]
                certificates: wanted & 8 != 0,
                ..ClientOptions::new(0)
            };
            let asked = Subscriptions::new(&options).wanted;
            for grants in 0..1u32 << COUNT {
                let granted = |index: usize| grants >> index & 1 != 0;
                let at = |filter: &str| filters.iter().position(|known| *known == filter).unwrap();
                let (refused, requests) = run(options, |filter| granted(at(filter)));
                let expected: std::vec::Vec<_> = (0..COUNT)
                    .filter(|index| asked[*index] && !granted(*index))
                    .map(|index| ALL[index])
                    .collect();
                assert_eq!(refused, expected, "{options:?} {grants}");
                assert!(requests <= COUNT + 1);
            }
        }
    }
}
