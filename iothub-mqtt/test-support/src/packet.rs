//! MQTT as a server reads and writes it, 3.1.1 or 5. Reading is strict: no byte may be left over.

/// The version of MQTT, by the protocol level in CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Version {
    V311 = 4,
    V5 = 5,
}

/// A packet from the client.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the standard")]
pub enum Packet {
    /// `properties`: as they are, empty with 3.1.1. `fields`: client id, then what the flags announce.
    Connect {
        flags: u8,
        keep_alive: u16,
        properties: Vec<u8>,
        fields: Vec<Vec<u8>>,
    },
    /// The id is 0 with QoS 0.
    Publish {
        topic: String,
        id: u16,
        payload: Vec<u8>,
        qos: u8,
        dup: bool,
        properties: Properties,
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

/// What a PUBLISH carries beside topic and payload; nothing with 3.1.1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the standard")]
pub struct Properties {
    pub user: Vec<(String, String)>,
    pub correlation: Vec<u8>,
    pub content_type: Option<String>,
    pub expiry_s: Option<u32>,
}

impl Properties {
    /// With this user property `type`, and correlation data.
    pub fn new(kind: &str, correlation: &[u8]) -> Self {
        let user = vec![("type".to_owned(), kind.to_owned())];
        Self { user, correlation: correlation.to_vec(), ..Self::default() }
    }

    /// The user property `type`; empty without one.
    pub fn kind(&self) -> &str {
        self.user.iter().find(|(name, _)| name == "type").map_or("", |(_, value)| value)
    }

    fn parse(mut bytes: &[u8]) -> Option<Self> {
        let rest = &mut bytes;
        let mut found = Self::default();
        while let Some(what) = rest.split_off_first() {
            match what {
                0x02 => found.expiry_s = Some(u32::from_be_bytes(rest.split_off(..4)?.try_into().ok()?)),
                0x03 => found.content_type = Some(text(rest)?),
                0x09 => found.correlation = field(rest)?,
                0x26 => found.user.push((text(rest)?, text(rest)?)),
                _ => return None,
            }
        }
        Some(found)
    }

    fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, value) in &self.user {
            bytes.push(0x26);
            put(&mut bytes, name.as_bytes());
            put(&mut bytes, value.as_bytes());
        }
        bytes.push(0x09);
        put(&mut bytes, &self.correlation);
        if let Some(name) = &self.content_type {
            bytes.push(0x03);
            put(&mut bytes, name.as_bytes());
        }
        if let Some(seconds) = self.expiry_s {
            bytes.push(0x02);
            bytes.extend(seconds.to_be_bytes());
        }
        bytes
    }
}

/// Bytes that are no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Takes the first packet off `buffer`; `None` if it is not complete.
///
/// # Errors
/// It is no packet.
pub fn take(version: Version, buffer: &mut Vec<u8>) -> Result<Option<Packet>, Malformed> {
    let Some((header, mut rest)) = buffer.split_first() else { return Ok(None) };
    let Some(length) = length(&mut rest) else {
        return if rest.len() < 4 { Ok(None) } else { Err(Malformed) };
    };
    let Some(body) = rest.get(..length) else { return Ok(None) };
    let packet = parse(version, *header, body).ok_or(Malformed)?;
    let whole = buffer.len() - rest.len() + length;
    buffer.drain(..whole);
    Ok(Some(packet))
}

fn parse(version: Version, header: u8, mut body: &[u8]) -> Option<Packet> {
    let body = &mut body;
    let properties = |body: &mut &[u8]| match version {
        Version::V311 => Some(Vec::new()),
        Version::V5 => {
            let length = length(body)?;
            body.split_off(..length).map(<[u8]>::to_vec)
        }
    };
    let packet = match header {
        0x10 => {
            body.split_off(..6).filter(|name| *name == b"\0\x04MQTT")?;
            body.split_off_first().filter(|level| **level == version as u8)?;
            let (flags, keep_alive) = (*body.split_off_first()?, number(body)?);
            let properties = properties(body)?;
            Packet::Connect { flags, keep_alive, properties, fields: all(body, field)? }
        }
        0x30..=0x3F => {
            let (qos, topic) = ((header >> 1) & 3, text(body)?);
            let id = if qos > 0 { number(body)? } else { 0 };
            let properties = Properties::parse(&properties(body)?)?;
            let payload = std::mem::take(body).to_vec();
            Packet::Publish { topic, id, payload, qos, dup: header & 8 != 0, properties }
        }
        0x40 => {
            let id = number(body)?;
            skip_reason(version, body);
            Packet::Puback(id)
        }
        0x82 => {
            let id = number(body)?;
            properties(body).filter(Vec::is_empty)?;
            let filters = all(body, |body| Some((text(body)?, *body.split_off_first()?)))?;
            Packet::Subscribe { id, filters }
        }
        0xA2 => {
            let id = number(body)?;
            properties(body).filter(Vec::is_empty)?;
            Packet::Unsubscribe { id, filters: all(body, text)? }
        }
        0xC0 => Packet::Ping,
        0xE0 => {
            skip_reason(version, body);
            Packet::Disconnect
        }
        _ => return None,
    };
    body.is_empty().then_some(packet)
}

/// MQTT 5 may have a reason code and properties at the end.
fn skip_reason(version: Version, body: &mut &[u8]) {
    if version == Version::V5 {
        *body = &[];
    }
}

/// A length as MQTT writes it, in four bytes at most.
fn length(bytes: &mut &[u8]) -> Option<usize> {
    let end = bytes.iter().take(4).position(|byte| byte & 0x80 == 0)?;
    let digits = bytes.split_off(..=end)?;
    Some(digits.iter().rev().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7F)))
}

fn number(body: &mut &[u8]) -> Option<u16> {
    body.split_off(..2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}

fn field(body: &mut &[u8]) -> Option<Vec<u8>> {
    let length = number(body)?;
    body.split_off(..length.into()).map(<[u8]>::to_vec)
}

fn text(body: &mut &[u8]) -> Option<String> {
    String::from_utf8(field(body)?).ok()
}

/// As many items as there are.
fn all<T>(body: &mut &[u8], item: impl Fn(&mut &[u8]) -> Option<T>) -> Option<Vec<T>> {
    std::iter::from_fn(|| (!body.is_empty()).then(|| item(body))).collect()
}

fn put_length(packet: &mut Vec<u8>, mut rest: usize) {
    loop {
        let byte = u8::try_from(rest % 128).expect("seven bits");
        rest /= 128;
        packet.push(byte | u8::from(rest > 0) << 7);
        if rest == 0 {
            return;
        }
    }
}

fn put(packet: &mut Vec<u8>, field: &[u8]) {
    packet.extend(u16::try_from(field.len()).expect("a field's length").to_be_bytes());
    packet.extend_from_slice(field);
}

/// A PUBLISH of MQTT 3.1.1, with QoS 1 if it has an id.
pub fn publish(id: Option<u16>, topic: &str, payload: &[u8]) -> Vec<u8> {
    let id = id.map(u16::to_be_bytes);
    let length = 2 + topic.len() + id.map_or(0, |id| id.len()) + payload.len();
    let mut packet = vec![0x30 | u8::from(id.is_some()) << 1];
    put_length(&mut packet, length);
    put(&mut packet, topic.as_bytes());
    packet.extend(id.into_iter().flatten());
    packet.extend_from_slice(payload);
    packet
}

/// A PUBLISH of MQTT 5, with QoS 1 if it has an id.
pub fn publish5(id: Option<u16>, topic: &str, properties: &Properties, payload: &[u8]) -> Vec<u8> {
    let properties = properties.write();
    let mut body = Vec::new();
    put_length(&mut body, properties.len());
    publish(id, topic, &[&body, &properties[..], payload].concat())
}

/// The acknowledgement of a PUBLISH.
pub fn puback(id: u16) -> Vec<u8> {
    [&[0x40, 2], id.to_be_bytes().as_slice()].concat()
}

/// The answer to a CONNECT that is welcome.
pub fn connack(version: Version, session_present: bool) -> Vec<u8> {
    match version {
        Version::V311 => vec![0x20, 2, session_present.into(), 0],
        Version::V5 => vec![0x20, 3, session_present.into(), 0, 0],
    }
}

/// The answer to a SUBSCRIBE, which grants each filter the QoS that was asked for.
pub fn suback(version: Version, id: u16, filters: &[(String, u8)]) -> Vec<u8> {
    let properties: &[u8] = if version == Version::V5 { &[0] } else { &[] };
    let length = u8::try_from(2 + properties.len() + filters.len()).expect("a few filters");
    let granted: Vec<u8> = filters.iter().map(|(_, qos)| *qos).collect();
    [&[0x90, length], id.to_be_bytes().as_slice(), properties, &granted].concat()
}
