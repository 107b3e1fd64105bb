//! MQTT as the hub reads and writes it: 3.1.1, or 5 as the new generation of hubs speaks it.

use iothub_mqtt::Generation::{self, Classic, Mqtt5};

/// A packet from the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Packet {
    Connect,
    /// Id 0 with QoS 0. Kind and correlation data there are with MQTT 5 only.
    Publish {
        topic: String,
        id: u16,
        kind: String,
        correlation: Vec<u8>,
        payload: Vec<u8>,
    },
    Puback(u16),
    Subscribe {
        id: u16,
        filters: Vec<String>,
    },
    Ping,
    Disconnect,
}

/// Cuts a byte off, or a number with its two bytes, or a text with its length.
fn take<'a>(bytes: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    bytes.split_off(..n)
}

fn number(bytes: &mut &[u8]) -> Option<u16> {
    take(bytes, 2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}

fn text(bytes: &mut &[u8]) -> Option<String> {
    let length = number(bytes)?;
    String::from_utf8(take(bytes, length.into())?.to_vec()).ok()
}

/// Takes the first packet off `buffer`: `Ok(None)` if it is not complete, an error if it is none.
pub(crate) fn next(generation: Generation, buffer: &mut Vec<u8>) -> Result<Option<Packet>, ()> {
    let (mut length, mut head) = (0, 1);
    loop {
        let Some(byte) = buffer.get(head) else { return Ok(None) };
        if head > 4 {
            return Err(());
        }
        length |= usize::from(byte & 0x7F) << (7 * (head - 1));
        head += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    if length > 10_000 {
        return Err(());
    }
    if buffer.len() < head + length {
        return Ok(None);
    }
    let packet: Vec<u8> = buffer.drain(..head + length).collect();
    parse(generation, packet[0], &packet[head..]).map(Some).ok_or(())
}

/// Kind and correlation data among the properties of a PUBLISH, which are short here.
fn properties(body: &mut &[u8]) -> Option<(String, Vec<u8>)> {
    let length = take(body, 1)?[0];
    let mut rest = take(body, (length & 0x7F).into())?;
    let (mut kind, mut correlation) = (String::new(), Vec::new());
    while !rest.is_empty() {
        match take(&mut rest, 1)?[0] {
            0x26 => {
                let name = text(&mut rest)?;
                let value = text(&mut rest)?;
                if name == "type" {
                    kind = value;
                }
            }
            0x09 => {
                let length = number(&mut rest)?;
                correlation = take(&mut rest, length.into())?.to_vec();
            }
            0x03 => {
                text(&mut rest)?;
            }
            0x02 => {
                take(&mut rest, 4)?;
            }
            _ => return None,
        }
    }
    (length < 128).then_some((kind, correlation))
}

fn parse(generation: Generation, header: u8, mut body: &[u8]) -> Option<Packet> {
    let body = &mut body;
    let packet = match header {
        0x10 => {
            let level: &[u8] = if generation == Classic { b"\0\x04MQTT\x04" } else { b"\0\x04MQTT\x05" };
            take(body, 7).filter(|name| *name == level)?;
            *body = &[];
            Packet::Connect
        }
        0x30 | 0x32 | 0x3A if header != 0x30 || generation == Mqtt5 => {
            let topic = text(body)?;
            let id = if header == 0x30 { 0 } else { number(body)? };
            let (kind, correlation) =
                if generation == Mqtt5 { properties(body)? } else { (String::new(), Vec::new()) };
            Packet::Publish { topic, id, kind, correlation, payload: std::mem::take(body).to_vec() }
        }
        0x40 => {
            let id = number(body)?;
            if generation == Mqtt5 {
                // The reason, and properties.
                *body = &[];
            }
            Packet::Puback(id)
        }
        0x82 => {
            let id = number(body)?;
            if generation == Mqtt5 {
                take(body, 1).filter(|properties| *properties == [0])?;
            }
            let mut filters = Vec::new();
            while !body.is_empty() {
                filters.push(text(body)?);
                take(body, 1).filter(|qos| *qos == [1])?;
            }
            Packet::Subscribe { id, filters }
        }
        0xC0 => Packet::Ping,
        0xE0 => {
            *body = &[];
            Packet::Disconnect
        }
        _ => return None,
    };
    body.is_empty().then_some(packet)
}

/// A PUBLISH of MQTT 5, with QoS 1 if it has an id.
pub(crate) fn publish5(
    id: Option<u16>,
    channel: &str,
    kind: &str,
    correlation: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let short = |bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).expect("short texts");
        [&length.to_be_bytes()[..], bytes].concat()
    };
    let properties =
        [&[0x26][..], &short(b"type"), &short(kind.as_bytes()), &[0x09], &short(correlation)].concat();
    let length = [u8::try_from(properties.len()).expect("short properties")];
    publish(id, false, &format!("ih/my-device/dev/{channel}"), &[&length[..], &properties, payload].concat())
}

/// A PUBLISH, with QoS 1 if it has an id.
pub(crate) fn publish(id: Option<u16>, dup: bool, topic: &str, payload: &[u8]) -> Vec<u8> {
    let id = id.map(u16::to_be_bytes);
    let length = 2 + topic.len() + id.map_or(0, |id| id.len()) + payload.len();
    let mut packet = vec![0x30 | u8::from(id.is_some()) << 1 | u8::from(dup) << 3];
    let mut rest = length;
    loop {
        let byte = u8::try_from(rest % 128).expect("seven bits");
        rest /= 128;
        packet.push(byte | u8::from(rest > 0) << 7);
        if rest == 0 {
            break;
        }
    }
    packet.extend(u16::try_from(topic.len()).expect("short topics").to_be_bytes());
    packet.extend_from_slice(topic.as_bytes());
    packet.extend(id.into_iter().flatten());
    packet.extend_from_slice(payload);
    packet
}

pub(crate) fn puback(id: u16) -> Vec<u8> {
    [&[0x40, 2], id.to_be_bytes().as_slice()].concat()
}

pub(crate) fn suback(generation: Generation, id: u16, filters: usize) -> Vec<u8> {
    // With MQTT 5 there are properties, none of them.
    let properties: &[u8] = if generation == Mqtt5 { &[0] } else { &[] };
    let length = u8::try_from(2 + properties.len() + filters).expect("a few filters");
    [&[0x90, length], id.to_be_bytes().as_slice(), properties, &vec![1; filters]].concat()
}
