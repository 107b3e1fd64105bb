//! Frames of the radio: whatever they are, what is taken from them lies within them, and a credit is never more than
//! the radio has buffers.

use bcm43362::cdc::Answer;
use bcm43362::event::Event;
use bcm43362::sdpcm::{Channel, Sdpcm, bdc_payload};
use bcm43362::{Joining, Key, Loss, Network, Security};

use crate::bytes::Bytes;

/// Frames, each after its length in two bytes.
pub(crate) fn frames(input: &[u8]) {
    let mut bytes = Bytes(input);
    let mut sdpcm = Sdpcm::new();
    let security = Key::new("12345678").map_or(Security::Open, Security::Wpa2);
    let mut joining = Joining::new(&security);
    while !bytes.is_empty() {
        let len = usize::from(u16::from_le_bytes([bytes.byte(), bytes.byte()]));
        let (frame, rest) = bytes.0.split_at(len.min(bytes.0.len()));
        bytes.0 = rest;
        let Ok(Some((channel, packet))) = sdpcm.receive(frame) else { continue };
        assert!(is_within(packet, frame));
        assert_eq!(frame[..2].iter().zip(&frame[2..4]).filter(|(a, b)| **a == !**b).count(), 2);
        match channel {
            Channel::Control => {
                if let Some(Answer { result: Ok(value), .. }) = Answer::parse(packet) {
                    assert!(is_within(value, packet));
                }
            }
            Channel::Data => {
                assert!(bdc_payload(packet).is_ok_and(|packet| is_within(packet, frame)) || frame.len() > 11)
            }
            Channel::Event => {
                let Ok(event) = bdc_payload(packet).and_then(Event::parse) else { continue };
                assert!(is_within(event.data, frame));
                let network = Network::parse(event.data);
                assert!(network.is_none_or(|network| network.ssid.as_bytes().len() <= 32));
                // An end is an end: the next attempt begins anew.
                if joining.handle(&event).is_some() {
                    joining = Joining::new(&security);
                }
                let _ = Loss::of(&event);
            }
        }
        let mut other = sdpcm;
        let credits =
            (0..9).take_while(|_| other.has_credit() && other.header(Channel::Data, 60)[0] == 60).count();
        assert!(credits <= 7);
    }
}

fn is_within(part: &[u8], whole: &[u8]) -> bool {
    let whole = whole.as_ptr_range();
    let part = part.as_ptr_range();
    whole.start <= part.start && part.end <= whole.end
}

/// Data, a credit, an answer, events of a join, and a network.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let frame = |channel: u8, payload: &[u8]| {
        let len = u16::try_from(12 + payload.len()).unwrap_or_default();
        let (length, complement) = (len.to_le_bytes(), (!len).to_le_bytes());
        [&length[..], &length, &complement, &[0, channel, 0, 12, 0, 5, 0, 0], payload].concat()
    };
    let event = |kind: u8, status: u8, data: &[u8]| {
        let mut payload = vec![0x20, 0, 0, 0];
        payload.extend_from_slice(&[
            2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0x6C, 0x80, 1, 0, 0, 0, 0, 0x10, 0x18, 0, 1,
        ]);
        payload.extend_from_slice(&[0, 2, 0, 1, 0, 0, 0, kind, 0, 0, 0, status, 0, 0, 0, 0, 0, 0, 0, 0]);
        payload.extend_from_slice(&u32::try_from(data.len()).unwrap_or_default().to_be_bytes());
        payload.extend_from_slice(&[0; 24]);
        payload.extend_from_slice(data);
        frame(1, &payload)
    };
    let mut network = vec![0; 12 + 128 + 24];
    (network[10], network[12 + 4], network[12 + 18]) = (1, 152, 4);
    network[12 + 19..12 + 23].copy_from_slice(b"name");
    (network[12 + 16], network[12 + 116], network[12 + 120]) = (0x11, 128, 22);
    network[12 + 128..12 + 150].copy_from_slice(&[
        48, 20, 1, 0, 0, 0x0F, 0xAC, 4, 1, 0, 0, 0x0F, 0xAC, 4, 1, 0, 0, 0x0F, 0xAC, 2, 0, 0,
    ]);
    let answer = [&[6, 1, 0, 0, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0][..], &[1, 2, 3, 4]].concat();
    let data = [&[0x20, 0, 0, 0][..], &[0x55; 60]].concat();
    vec![
        frame(2, &data),
        frame(0, &[]),
        frame(0, &answer),
        [event(3, 0, &[]), event(16, 0, &[]), event(0, 0, &[]), event(46, 6, &[])].concat(),
        [event(69, 8, &network), event(69, 0, &[])].concat(),
        [frame(3, &data), event(5, 0, &[])].concat(),
    ]
}
