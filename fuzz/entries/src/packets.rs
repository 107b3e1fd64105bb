//! A whole device, from the translator to the client, against a server that says anything: connection after connection,
//! it ends each of them with an error, and never panics, stalls or tells of a message delivered that was not sent.

use std::collections::HashSet;
use std::convert::Infallible;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use embedded_io_async::{ErrorType, Read, Write};
use iothub_mqtt::session::{Options, Session, Ticket};
use iothub_mqtt::translate::Connect;
use iothub_mqtt::{Client, ClientOptions, Endpoint, Error, HubEvent, Telemetry};

use crate::bytes::Bytes;

const CONNECT: Connect<'static> = Connect {
    client_id: "device-1",
    user_name: "hub/device-1/?api-version=2021-04-12",
    password: None,
    will: None,
};

/// CONNACK, and SUBACK for the first subscription, which has four filters and packet id 1.
const WELCOME: [u8; 12] = [0x20, 2, 0, 0, 0x90, 6, 0, 1, 1, 1, 1, 1];

/// A stream that gives these bytes in pieces, takes everything, and ends.
struct Script<'a> {
    input: &'a [u8],
    piece: usize,
}

impl ErrorType for Script<'_> {
    type Error = Infallible;
}

impl Read for Script<'_> {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, Infallible> {
        let n = self.piece.min(out.len()).min(self.input.len());
        let (head, tail) = self.input.split_at(n);
        out[..n].copy_from_slice(head);
        self.input = tail;
        Ok(n)
    }
}

impl Write for Script<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        Ok(bytes.len().min(self.piece))
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Nothing here ever waits.
fn finish<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("waits although the stream is ready"),
    }
}

pub(crate) fn run(input: &[u8]) {
    let mut bytes = Bytes(input);
    let (mut rx, mut tx) = ([0; 256], [0; 1024]);
    let mut session: Session<'_, 256> = Session::new(Options::default(), &mut rx, &mut tx);
    let mut open = HashSet::new();
    for _ in 0..3 {
        let choice = bytes.byte();
        let length = usize::from(bytes.byte()) * 4;
        let (part, rest) = bytes.0.split_at(length.min(bytes.0.len()));
        bytes.0 = rest;
        let said: Vec<u8> = if choice & 1 == 0 { [&WELCOME, part].concat() } else { part.to_vec() };
        let stream = Script { input: &said, piece: usize::from(choice >> 4) + 1 };
        let error = finish(connection(&mut session, stream, choice, &mut open));
        assert!(!error.is_local() && !error.to_string().is_empty(), "{error:?}");
    }
}

/// One connection, until it breaks.
async fn connection(
    session: &mut Session<'_, 256>,
    stream: Script<'_>,
    choice: u8,
    open: &mut HashSet<Ticket>,
) -> Error {
    let link = match session.connect(stream, &CONNECT).await {
        Ok(link) => link,
        Err(error) => return error,
    };
    let endpoint = Endpoint::new("hub", "device-1").expect("a valid id");
    let mut client: Client<'_, _, 256> = Client::new(link, endpoint, ClientOptions::new(choice.into()));
    if let Err(error) = client.start().await {
        return error;
    }
    // More turns than the bytes of any input can cause.
    for _ in 0..20_000 {
        match step(&mut client, choice, open).await {
            Ok(()) => {}
            // What the device refuses by itself, or waits for.
            Err(error) if error.is_local() => {}
            Err(error) => return error,
        }
    }
    panic!("a connection that never ends");
}

async fn step<L: iothub_mqtt::session::Mqtt>(
    client: &mut Client<'_, L, 256>,
    choice: u8,
    open: &mut HashSet<Ticket>,
) -> Result<(), Error> {
    let mut reply = None;
    let mut reported = false;
    match client.poll().await? {
        Some(HubEvent::Delivered(ticket) | HubEvent::Lost(ticket)) => {
            assert!(open.remove(&ticket), "told of {ticket:?}, which was not under way");
        }
        Some(HubEvent::Message(message)) => {
            for (name, value) in message.properties.iter() {
                let mut out = [0; 256];
                let _ = (name.decode(&mut out).is_ok(), value.is_some());
            }
        }
        Some(HubEvent::Method(request)) => reply = Some(request.reply_to()),
        Some(HubEvent::Desired(_) | HubEvent::Twin(_)) => reported = true,
        Some(_) | None => {}
    }
    if let Some(to) = reply {
        client.respond(&to, 200, b"{}").await?;
    }
    if reported {
        client.report("{}").await?;
    }
    if choice & 2 != 0
        && client.can_send()
        && open.len() < 20
        && let Some(ticket) = client.send(&Telemetry::new(b"{}")).await?
    {
        assert!(open.insert(ticket), "{ticket:?} twice");
    }
    Ok(())
}
