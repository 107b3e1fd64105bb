//! MQTT 3.1.1 as the hub reads and writes it.

/// A packet from the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Packet {
    Connect,
    Publish { topic: String, id: u16, payload: Vec<u8> },
    Puback(u16),
    Subscribe { id: u16, filters: Vec<String> },
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
pub(crate) fn next(buffer: &mut Vec<u8>) -> Result<Option<Packet>, ()> {
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
    parse(packet[0], &packet[head..]).map(Some).ok_or(())
}

fn parse(header: u8, mut body: &[u8]) -> Option<Packet> {
    let body = &mut body;
    let packet = match header {
        0x10 => {
            take(body, 7).filter(|name| *name == b"\0\x04MQTT\x04")?;
            *body = &[];
            Packet::Connect
        }
        0x32 | 0x3A => {
            let (topic, id) = (text(body)?, number(body)?);
            Packet::Publish { topic, id, payload: std::mem::take(body).to_vec() }
        }
        0x40 => Packet::Puback(number(body)?),
        0x82 => {
            let id = number(body)?;
            let mut filters = Vec::new();
            while !body.is_empty() {
                filters.push(text(body)?);
                take(body, 1).filter(|qos| *qos == [1])?;
            }
            Packet::Subscribe { id, filters }
        }
        0xC0 => Packet::Ping,
        0xE0 => Packet::Disconnect,
        _ => return None,
    };
    body.is_empty().then_some(packet)
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

pub(crate) fn suback(id: u16, filters: usize) -> Vec<u8> {
    let length = u8::try_from(2 + filters).expect("a few filters");
    [&[0x90, length], id.to_be_bytes().as_slice(), &vec![1; filters]].concat()
}
