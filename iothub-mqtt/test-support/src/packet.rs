//! MQTT 3.1.1 as a server reads and writes it. Reading is strict: no byte may be left over.

/// A packet from the client.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the standard")]
pub enum Packet {
    /// `fields`: client id, then what the flags announce.
    Connect {
        flags: u8,
        keep_alive: u16,
        fields: Vec<Vec<u8>>,
    },
    /// The id is 0 with QoS 0.
    Publish {
        topic: String,
        id: u16,
        payload: Vec<u8>,
        qos: u8,
        dup: bool,
    },
    Puback(u16),
    /// Filters with the QoS that is asked for.
    Subscribe {
        id: u16,
        filters: Vec<(String, u8)>,
    },
    Unsubscribe {
        id: u16,
        filters: Vec<String>,
    },
    Ping,
    Disconnect,
    /// The connection is closed.
    End,
}

/// Bytes that are no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Takes the first packet off `buffer`; `None` if it is not complete.
///
/// # Errors
/// It is no packet.
pub fn take(buffer: &mut Vec<u8>) -> Result<Option<Packet>, Malformed> {
    let (mut length, mut head) = (0, 1);
    loop {
        let Some(byte) = buffer.get(head) else { return Ok(None) };
        if head > 4 {
            return Err(Malformed);
        }
        length |= usize::from(byte & 0x7F) << (7 * (head - 1));
        head += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    if buffer.len() < head + length {
        return Ok(None);
    }
    let packet: Vec<u8> = buffer.drain(..head + length).collect();
    parse(packet[0], &packet[head..]).map(Some).ok_or(Malformed)
}

fn parse(header: u8, mut body: &[u8]) -> Option<Packet> {
    let body = &mut body;
    let packet = match header {
        0x10 => {
            body.split_off(..7).filter(|name| *name == b"\0\x04MQTT\x04")?;
            let (flags, keep_alive) = (*body.split_off_first()?, number(body)?);
            Packet::Connect { flags, keep_alive, fields: all(body, bytes)? }
        }
        0x30..=0x3F => {
            let (qos, topic) = ((header >> 1) & 3, text(body)?);
            let id = if qos > 0 { number(body)? } else { 0 };
            Packet::Publish { topic, id, payload: std::mem::take(body).to_vec(), qos, dup: header & 8 != 0 }
        }
        0x40 => Packet::Puback(number(body)?),
        0x82 => Packet::Subscribe {
            id: number(body)?,
            filters: all(body, |body| Some((text(body)?, *body.split_off_first()?)))?,
        },
        0xA2 => Packet::Unsubscribe { id: number(body)?, filters: all(body, text)? },
        0xC0 => Packet::Ping,
        0xE0 => Packet::Disconnect,
        _ => return None,
    };
    body.is_empty().then_some(packet)
}

fn number(body: &mut &[u8]) -> Option<u16> {
    body.split_off(..2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}

fn bytes(body: &mut &[u8]) -> Option<Vec<u8>> {
    let length = number(body)?;
    body.split_off(..length.into()).map(<[u8]>::to_vec)
}

fn text(body: &mut &[u8]) -> Option<String> {
    String::from_utf8(bytes(body)?).ok()
}

/// As many items as there are.
fn all<T>(body: &mut &[u8], item: impl Fn(&mut &[u8]) -> Option<T>) -> Option<Vec<T>> {
    std::iter::from_fn(|| (!body.is_empty()).then(|| item(body))).collect()
}

/// A PUBLISH, with QoS 1 if it has an id.
pub fn publish(id: Option<u16>, topic: &str, payload: &[u8]) -> Vec<u8> {
    let id = id.map(u16::to_be_bytes);
    let mut rest = 2 + topic.len() + id.map_or(0, |id| id.len()) + payload.len();
    let mut packet = vec![0x30 | u8::from(id.is_some()) << 1];
    loop {
        let byte = u8::try_from(rest % 128).expect("seven bits");
        rest /= 128;
        packet.push(byte | u8::from(rest > 0) << 7);
        if rest == 0 {
            break;
        }
    }
    packet.extend(u16::try_from(topic.len()).expect("a topic's length").to_be_bytes());
    packet.extend_from_slice(topic.as_bytes());
    packet.extend(id.into_iter().flatten());
    packet.extend_from_slice(payload);
    packet
}

/// The acknowledgement of a PUBLISH.
pub fn puback(id: u16) -> Vec<u8> {
    [&[0x40, 2], id.to_be_bytes().as_slice()].concat()
}

/// The answer to a SUBSCRIBE, which grants each filter the QoS that was asked for.
pub fn suback(id: u16, filters: &[(String, u8)]) -> Vec<u8> {
    let length = u8::try_from(2 + filters.len()).expect("a few filters");
    let granted: Vec<u8> = filters.iter().map(|(_, qos)| *qos).collect();
    [&[0x90, length], id.to_be_bytes().as_slice(), &granted].concat()
}
