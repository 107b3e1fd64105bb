//! The hub: one device, whose messages it counts and to which it sends messages, calls and changes of its twin. It
//! plays the faults.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use embassy_futures::select::{Either3, select3};
use embassy_time::{Duration, Instant, Timer};
use embedded_io_async::Read;
use iothub_mqtt::Generation;
use iothub_mqtt_test_support::packet::{self, Packet, Version};

use crate::Report;
use crate::faults::{Fault, Faults, Kind, Place};
use crate::mqtt5;
use crate::wire::{End, Network};

/// How long a delivered message waits for its acknowledgement before it is sent again.
const LOCK: Duration = Duration::from_secs(60);

/// What the test knows of both sides.
pub(crate) struct State {
    /// How often the hub got each message of the device.
    pub(crate) received: Vec<u32>,
    /// Which messages the device was told to be delivered.
    delivered: Vec<bool>,
    /// How many it was not told of yet.
    open: usize,
    /// Cloud-to-device messages: whether the application took each.
    pub(crate) taken: Vec<bool>,
    /// Those not acknowledged yet: number, and when to send it again.
    waiting: Vec<(u16, Instant)>,
    /// Version of the desired properties at the hub, and at the device.
    pub(crate) desired: u64,
    pub(crate) seen: u64,
    /// Version of the reported properties, at a hub that speaks MQTT 5.
    pub(crate) reported: u64,
    pub(crate) report: Report,
}

impl State {
    pub(crate) fn new(messages: u32) -> Self {
        let messages = messages as usize;
        Self {
            received: vec![0; messages],
            delivered: vec![false; messages],
            open: messages,
            taken: Vec::new(),
            waiting: Vec::new(),
            desired: 1,
            seen: 0,
            reported: 1,
            report: Report::default(),
        }
    }

    /// The device was told that this message is delivered.
    pub(crate) fn deliver(&mut self, number: usize) {
        assert!(self.received[number] > 0, "message {number} is acknowledged but not there");
        self.open -= usize::from(!std::mem::replace(&mut self.delivered[number], true));
    }

    /// Whether there is nothing left to do.
    pub(crate) fn is_finished(&self) -> bool {
        self.delivered.iter().all(|delivered| *delivered)
            && self.waiting.is_empty()
            && self.seen == self.desired
    }

    pub(crate) fn check(&self) {
        for (number, (received, delivered)) in self.received.iter().zip(&self.delivered).enumerate() {
            assert!(
                *received > 0 && *delivered,
                "message {number}: received {received}, delivered {delivered}"
            );
        }
        assert!(self.taken.iter().all(|taken| *taken), "cloud-to-device messages are missing");
        assert_eq!(self.seen, self.desired);
    }
}

/// The hub.
pub(crate) struct Hub {
    generation: Generation,
    pub(crate) state: Rc<RefCell<State>>,
    net: Network,
    faults: Faults,
}

/// A connection as the hub sees it.
pub(crate) struct Connection {
    end: End,
    unread: Vec<u8>,
    /// To be played at the next packet to the device.
    armed: Option<Kind>,
    /// An acknowledgement that waits for later ones.
    held: Option<Vec<u8>>,
    subscribed: bool,
    /// The nonce of the device's birth, at a hub that speaks MQTT 5.
    pub(crate) born: Option<Vec<u8>>,
}

/// The connection is over.
struct Over;

impl Hub {
    pub(crate) fn new(
        generation: Generation,
        state: Rc<RefCell<State>>,
        net: Network,
        faults: Faults,
    ) -> Self {
        Self { generation, state, net, faults }
    }

    fn version(&self) -> Version {
        if self.generation == Generation::Classic { Version::V311 } else { Version::V5 }
    }

    pub(crate) fn played(&self) -> [u32; Kind::ALL.len()] {
        self.faults.played
    }

    /// Serves one connection after the other; a new one takes over.
    pub(crate) async fn run(&mut self) -> Infallible {
        let mut next = None;
        loop {
            let end = match next.take() {
                Some(end) => end,
                None => self.net.accept().await,
            };
            self.state.borrow_mut().report.connections += 1;
            let mut connection = Connection {
                end,
                unread: Vec::new(),
                armed: None,
                held: None,
                subscribed: false,
                born: None,
            };
            next = self.serve(&mut connection).await;
        }
    }

    /// Until it breaks, or the next one comes, which it gives.
    async fn serve(&mut self, connection: &mut Connection) -> Option<End> {
        loop {
            let due = self.state.borrow().waiting.iter().map(|(_, at)| *at).min();
            let lock = async {
                match due.filter(|_| connection.subscribed) {
                    Some(at) => Timer::at(at).await,
                    None => std::future::pending().await,
                }
            };
            let mut bytes = [0; 512];
            match select3(self.net.accept(), connection.end.read(&mut bytes), lock).await {
                Either3::First(newer) => return Some(newer),
                Either3::Second(Ok(n)) if n > 0 => {
                    connection.unread.extend_from_slice(&bytes[..n]);
                    if self.packets(connection).await.is_err() {
                        connection.end.cut();
                        return None;
                    }
                }
                Either3::Second(_) => return None,
                Either3::Third(()) => self.deliver(connection),
            }
        }
    }

    async fn packets(&mut self, connection: &mut Connection) -> Result<(), Over> {
        while let Some(packet) = packet::take(self.version(), &mut connection.unread).map_err(|_| Over)? {
            let fault = match &packet {
                Packet::Publish { topic, .. }
                    if topic.starts_with("devices/") || topic == mqtt5::TELEMETRY =>
                {
                    self.faults.next()
                }
                _ => None,
            };
            let mut times = 1;
            match fault {
                None => {}
                Some(Fault { kind, place: Place::ToDevice }) => connection.armed = Some(kind),
                Some(Fault { kind: Kind::Drop | Kind::Garbage, .. }) => return Err(Over),
                Some(Fault { kind: Kind::HalfOpen, .. }) => {
                    connection.end.die();
                    return Ok(());
                }
                Some(Fault { kind: Kind::Delay, .. }) => Timer::after(self.faults.delay()).await,
                Some(Fault { kind: Kind::Duplicate, .. }) => times = 2,
                // The device's acknowledgements are kept in order by TCP; the hub's are another matter.
                Some(Fault { kind: Kind::Reorder, .. }) => connection.armed = Some(Kind::Reorder),
            }
            for _ in 0..times {
                self.packet(connection, &packet)?;
            }
        }
        Ok(())
    }

    fn packet(&mut self, connection: &mut Connection, packet: &Packet) -> Result<(), Over> {
        match packet {
            Packet::Connect { .. } => self.send(connection, &packet::connack(self.version(), false)),
            Packet::Ping => self.send(connection, &[0xD0, 0]),
            Packet::Disconnect | Packet::Unsubscribe { .. } | Packet::End => return Err(Over),
            Packet::Subscribe { id, filters } => {
                assert!(filters.iter().all(|(_, qos)| *qos == 1), "{filters:?}");
                self.send(connection, &packet::suback(self.version(), *id, filters));
                connection.subscribed = true;
                self.deliver(connection);
            }
            // What is sent with QoS 1 there is not sent again here; nothing is sent before the birth.
            Packet::Puback(_) if self.generation == Generation::Mqtt5 => {
                assert!(connection.born.is_some(), "acknowledges what came over an earlier connection");
            }
            Packet::Puback(id) => {
                let mut state = self.state.borrow_mut();
                state.waiting.retain(|(number, _)| number + 1 != *id);
                assert!(state.taken[usize::from(id - 1)], "acknowledged before it was taken");
            }
            Packet::Publish { topic, id, payload, properties, .. } => {
                if self.generation == Generation::Mqtt5 {
                    self.publish5(connection, topic, properties, payload);
                } else {
                    self.publish(connection, topic, payload);
                }
                if *id != 0 {
                    self.send(connection, &packet::puback(*id));
                }
            }
        }
        Ok(())
    }

    fn publish(&mut self, connection: &mut Connection, topic: &str, payload: &[u8]) {
        if topic.starts_with("$iothub/methods/res/200/?$rid=") {
            self.state.borrow_mut().report.answered += 1;
        } else if let Some(id) = topic.strip_prefix("$iothub/twin/GET/?$rid=") {
            let version = self.state.borrow().desired;
            let twin = format!("{{\"desired\":{{\"$version\":{version}}},\"reported\":{{\"$version\":1}}}}");
            let topic = format!("$iothub/twin/res/200/?$rid={id}");
            self.send(connection, &packet::publish(None, &topic, twin.as_bytes()));
        } else if let Some(id) = topic.strip_prefix("$iothub/twin/PATCH/properties/reported/?$rid=") {
            let topic = format!("$iothub/twin/res/204/?$rid={id}&$version=2");
            self.send(connection, &packet::publish(None, &topic, b""));
        } else {
            assert_eq!(topic, "devices/my-device/messages/events/");
            let number: usize =
                std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok()).expect("a number");
            self.telemetry(connection, number);
        }
    }

    pub(crate) fn telemetry(&mut self, connection: &mut Connection, number: usize) {
        let mut state = self.state.borrow_mut();
        state.received[number] += 1;
        if state.received[number] > 1 {
            state.report.repeated += 1;
            return;
        }
        // Now and then the cloud wants something too.
        let classic = self.generation == Generation::Classic;
        let message = classic && number.is_multiple_of(53) && state.waiting.len() < 20;
        if message {
            let next = u16::try_from(state.taken.len()).expect("fewer than 65536");
            state.taken.push(false);
            state.waiting.push((next, Instant::now()));
        }
        let change = (number.is_multiple_of(97)).then(|| {
            state.desired += 1;
            state.desired
        });
        drop(state);
        if !classic {
            return self.wants5(connection, number, change);
        }
        if !connection.subscribed {
            return;
        }
        if message {
            self.deliver(connection);
        }
        if let Some(version) = change {
            let topic = format!("$iothub/twin/PATCH/properties/desired/?$version={version}");
            let patch = format!("{{\"n\":{version},\"$version\":{version}}}");
            self.send(connection, &packet::publish(None, &topic, patch.as_bytes()));
        }
        if number.is_multiple_of(71) {
            let topic = format!("$iothub/methods/POST/blink/?$rid={number:x}");
            self.send(connection, &packet::publish(None, &topic, b"{}"));
        }
    }

    /// Sends the cloud-to-device messages that are due.
    fn deliver(&mut self, connection: &mut Connection) {
        let now = Instant::now();
        let mut due = Vec::new();
        for (number, at) in &mut self.state.borrow_mut().waiting {
            if *at <= now {
                *at = now + LOCK;
                due.push(*number);
            }
        }
        for number in due {
            let topic = format!("devices/my-device/messages/devicebound/%24.mid={number}");
            let packet = packet::publish(Some(number + 1), &topic, number.to_string().as_bytes());
            self.send(connection, &packet);
        }
    }

    /// Sends a packet, playing the fault that is due.
    pub(crate) fn send(&mut self, connection: &mut Connection, packet: &[u8]) {
        let at_once = Duration::from_ticks(0);
        let acknowledges = packet[0] == 0x40;
        let kind = match connection.armed {
            // Only acknowledgements come out of order.
            Some(Kind::Reorder) if !acknowledges => None,
            armed => {
                connection.armed = None;
                armed
            }
        };
        match kind {
            None => connection.end.send(packet, at_once),
            Some(Kind::Drop) => connection.end.cut(),
            Some(Kind::HalfOpen) => connection.end.die(),
            Some(Kind::Delay) => connection.end.send(packet, self.faults.delay()),
            Some(Kind::Reorder) => {
                connection.held = Some(packet.to_vec());
                return;
            }
            Some(Kind::Duplicate) => connection.end.send(&[packet, packet].concat(), at_once),
            Some(Kind::Garbage) => {
                connection.end.send(&self.faults.garbage(), at_once);
                connection.end.send(packet, at_once);
            }
        }
        if acknowledges && let Some(held) = connection.held.take() {
            connection.end.send(&held, at_once);
        }
    }
}
