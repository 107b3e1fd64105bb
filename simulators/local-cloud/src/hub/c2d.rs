//! A device's queue of cloud-to-device messages: locked while delivered, completed by PUBACK, delivered again after the
//! lock's time or a new connection, given up after too many deliveries or when its time is over.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::base64_text;
use crate::properties::Properties;

/// Messages that may wait for one device.
pub(crate) const MAX_WAITING: usize = 50;
/// Bytes of a message with its properties.
pub(crate) const MAX_SIZE: usize = 65_536;

/// A waiting message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Message {
    pub(crate) id: String,
    #[serde(with = "base64_text")]
    pub(crate) body: Vec<u8>,
    pub(crate) properties: Properties,
    pub(crate) packet_id: u16,
    /// Milliseconds since 1970 UTC; from then on it is not delivered any more.
    pub(crate) expires_at: u64,
    deliveries: u32,
    /// Not over a restart: every connection is gone then.
    #[serde(skip)]
    locked_until: Option<Instant>,
}

/// What to do next for the device.
#[derive(Debug)]
pub(crate) enum Next {
    /// Send this one; `dup` says that it was sent before.
    Deliver { message: Message, dup: bool },
    /// It was sent too often; it is out of the queue.
    DeadLetter(String),
    /// Its time was over; it is out of the queue.
    Expired(String),
}

/// The queue of one device, oldest first.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Queue {
    messages: Vec<Message>,
    last_packet_id: u16,
}

impl Queue {
    /// `false` if the queue is full.
    pub(crate) fn push(
        &mut self,
        id: String,
        body: Vec<u8>,
        properties: Properties,
        expires_at: u64,
    ) -> bool {
        if self.messages.len() >= MAX_WAITING {
            return false;
        }
        loop {
            self.last_packet_id = self.last_packet_id.wrapping_add(1).max(1);
            if !self.messages.iter().any(|m| m.packet_id == self.last_packet_id) {
                break;
            }
        }
        let packet_id = self.last_packet_id;
        let message =
            Message { id, body, properties, packet_id, expires_at, deliveries: 0, locked_until: None };
        self.messages.push(message);
        true
    }

    /// Takes out a message whose time is over at `time` (milliseconds since 1970 UTC) and that is not locked at `now`.
    pub(crate) fn take_expired(&mut self, now: Instant, time: u64) -> Option<String> {
        let over = |m: &Message| m.expires_at <= time && m.locked_until.is_none_or(|until| until <= now);
        let index = self.messages.iter().position(over)?;
        Some(self.messages.remove(index).id)
    }

    /// Locks and gives the next message that is due at `now`; `time` is the same moment in milliseconds since 1970 UTC.
    pub(crate) fn next(
        &mut self,
        now: Instant,
        time: u64,
        lock: Duration,
        max_deliveries: u32,
    ) -> Option<Next> {
        if let Some(id) = self.take_expired(now, time) {
            return Some(Next::Expired(id));
        }
        let due = |m: &Message| m.locked_until.is_none_or(|until| until <= now);
        let index = self.messages.iter().position(due)?;
        let message = self.messages.get_mut(index)?;
        if message.deliveries >= max_deliveries {
            return Some(Next::DeadLetter(self.messages.remove(index).id));
        }
        let dup = message.deliveries > 0;
        message.deliveries += 1;
        message.locked_until = Some(now + lock);
        Some(Next::Deliver { message: message.clone(), dup })
    }

    /// When the next lock runs out.
    pub(crate) fn next_unlock(&self) -> Option<Instant> {
        self.messages.iter().filter_map(|m| m.locked_until).min()
    }

    /// Takes a delivered message out and gives its id.
    pub(crate) fn complete(&mut self, packet_id: u16) -> Option<String> {
        let locked = |m: &Message| m.packet_id == packet_id && m.locked_until.is_some();
        let index = self.messages.iter().position(locked)?;
        Some(self.messages.remove(index).id)
    }

    /// The connection is gone: what was not completed is free again.
    pub(crate) fn unlock_all(&mut self) {
        for message in &mut self.messages {
            message.locked_until = None;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.messages.clear();
    }

    /// Takes a locked message out, or sets it free again, by the id of its delivery; for devices that fetch over HTTPS.
    pub(crate) fn settle(&mut self, packet_id: u16, free: bool) -> Option<String> {
        if !free {
            return self.complete(packet_id);
        }
        let locked = |m: &&mut Message| m.packet_id == packet_id && m.locked_until.is_some();
        let message = self.messages.iter_mut().find(locked)?;
        message.locked_until = None;
        Some(message.id.clone())
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deliver(queue: &mut Queue, now: Instant) -> Option<(String, u16, bool)> {
        match queue.next(now, 1000, Duration::from_mins(1), 2)? {
            Next::Deliver { message, dup } => Some((message.id, message.packet_id, dup)),
            Next::DeadLetter(id) => Some((id, 0, true)),
            Next::Expired(id) => panic!("{id} has expired"),
        }
    }

    #[test]
    fn lock_redelivery_and_dead_letter() {
        let now = Instant::now();
        let mut queue = Queue::default();
        assert!(queue.push("a".into(), vec![], Properties::new(), 2000));
        assert!(queue.push("b".into(), vec![], Properties::new(), 2000));
        assert_eq!(queue.complete(1), None, "not delivered yet");
        assert_eq!(deliver(&mut queue, now), Some(("a".into(), 1, false)));
        assert_eq!(deliver(&mut queue, now), Some(("b".into(), 2, false)));
        assert_eq!(deliver(&mut queue, now), None, "both locked");
        assert_eq!(queue.complete(2).as_deref(), Some("b"));
        let later = queue.next_unlock().unwrap();
        assert_eq!(deliver(&mut queue, later), Some(("a".into(), 1, true)));
        queue.unlock_all();
        assert_eq!(deliver(&mut queue, later), Some(("a".into(), 0, true)), "given up after two");
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn what_has_expired_is_not_delivered() {
        let (now, mut queue) = (Instant::now(), Queue::default());
        assert!(queue.push("old".into(), vec![], Properties::new(), 1000));
        assert!(queue.push("new".into(), vec![], Properties::new(), 1001));
        let mut next = || queue.next(now, 1000, Duration::from_mins(1), 2);
        assert!(matches!(next(), Some(Next::Expired(id)) if id == "old"));
        assert!(matches!(next(), Some(Next::Deliver { message, .. }) if message.id == "new"));
        assert!(next().is_none());
        assert_eq!(queue.take_expired(now, 5000), None, "a locked one may still be completed");
        assert_eq!(queue.settle(2, true).as_deref(), Some("new"));
        assert_eq!(queue.take_expired(now, 5000).as_deref(), Some("new"));
    }

    #[test]
    fn bounded() {
        let mut queue = Queue::default();
        for i in 0..MAX_WAITING {
            assert!(queue.push(i.to_string(), vec![], Properties::new(), 2000));
        }
        assert!(!queue.push("one more".into(), vec![], Properties::new(), 2000));
    }
}
