//! What a network has besides the cloud: a name server and a time server, both of this machine.

use std::net::Ipv4Addr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Where the guest of QEMU's user-mode network finds its host.
const HOST: [u8; 4] = [10, 0, 2, 2];
/// From 1900 to 1970, in seconds.
const NTP_EPOCH: u64 = 2_208_988_800;

/// Both servers; they end when this is dropped.
pub(crate) struct Services([JoinHandle<()>; 2]);

impl Drop for Services {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

impl Services {
    /// Starts them on their usual ports.
    pub(crate) async fn start() -> Result<Self> {
        let names = bind(53).await.context("the name server's port")?;
        let time = bind(123).await.context("the time server's port")?;
        Ok(Self([
            tokio::spawn(serve(names, name_answer)),
            tokio::spawn(serve(time, |request| time_answer(request, ntp_now()))),
        ]))
    }
}

async fn bind(port: u16) -> std::io::Result<UdpSocket> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).await
}

async fn serve(socket: UdpSocket, answer: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    let mut buffer = [0; 1500];
    loop {
        // A client that is gone again, or a packet too long: neither concerns the next one.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        if let Some(answer) = answer(&buffer[..length]) {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

/// Answers every question for an address with the host's (RFC 1035 §4); other questions have no answer.
fn name_answer(query: &[u8]) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    let is_query = *query.get(2)? & 0x80 == 0;
    if !is_query || query.get(4..6)? != [0, 1] {
        return None;
    }
    let mut end = HEADER;
    while *query.get(end)? != 0 {
        end += 1 + usize::from(*query.get(end)?);
    }
    let question = query.get(HEADER..end + 5)?;
    let is_address = question.ends_with(&[0, 1, 0, 1]);
    let mut answer = query.get(..2)?.to_vec();
    answer.extend_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0]);
    answer.extend_from_slice(question);
    if is_address {
        // The name by reference, type A, class IN, 60 seconds, four bytes.
        answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend_from_slice(&HOST);
    }
    Some(answer)
}

fn ntp_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()) + NTP_EPOCH
}

/// Answers a client's question for the time (RFC 5905 §7.3).
fn time_answer(request: &[u8], seconds: u64) -> Option<Vec<u8>> {
    const CLIENT: u8 = 3;
    let request: &[u8; 48] = request.first_chunk()?;
    if request[0] & 7 != CLIENT {
        return None;
    }
    let now = u32::try_from(seconds & u64::from(u32::MAX)).ok()?.to_be_bytes();
    let mut answer = vec![0; 48];
    answer[..4].copy_from_slice(&[0b00_100_100, 2, request[2], 0xe9]);
    answer[24..32].copy_from_slice(&request[40..48]);
    for at in [16, 32, 40] {
        answer[at..at + 4].copy_from_slice(&now);
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03dps\x04test\0\0\x01\0\x01";

    #[test]
    fn a_name_is_the_hosts() {
        let answer = name_answer(QUERY).unwrap();
        assert_eq!(answer[..8], [0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1]);
        assert_eq!(answer[12..QUERY.len()], QUERY[12..]);
        assert!(answer.ends_with(&[0, 4, 10, 0, 2, 2]));
    }

    #[test]
    fn other_questions_have_no_answer_and_nonsense_none_at_all() {
        let mut ipv6 = QUERY.to_vec();
        let length = ipv6.len();
        ipv6[length - 3] = 28;
        let answer = name_answer(&ipv6).unwrap();
        assert_eq!((answer[7], answer.len()), (0, length));
        for cut in 0..length {
            assert_eq!(name_answer(&QUERY[..cut]), None, "{cut} bytes");
        }
        assert_eq!(name_answer(&[0xff; 64]), None);
    }

    #[test]
    fn the_time_is_given_to_clients_only() {
        let mut request = [0; 48];
        request[0] = 0x23;
        request[40..].copy_from_slice(b"nonce 01");
        let answer = time_answer(&request, 4_004_661_600).unwrap();
        assert_eq!(&answer[24..32], b"nonce 01");
        assert_eq!(answer[40..44], 4_004_661_600_u32.to_be_bytes());
        request[0] = 0x24;
        assert_eq!(time_answer(&request, 1), None);
        assert_eq!(time_answer(&request[..47], 1), None);
    }
}
