//! DPS over HTTPS without an HTTP stack: the bytes of requests, and a reader for the bytes of answers.
//!
//! Connect with TLS to the endpoint, port [`PORT`]; for each [`Action::Send`](crate::Action::Send) write
//! [`request_head`] and [`Request::body`](crate::Request::body); feed what comes to a [`ResponseReader`] and report its
//! [`answer`](ResponseReader::answer). Close when [`keep_alive`](ResponseReader::keep_alive) says so and report
//! [`RegistrationEvent::Disconnected`](crate::RegistrationEvent::Disconnected); between two requests that is no fault.
mod chunked;
mod date;
mod response;

pub use chunked::Chunked;
pub use response::{HttpError, ResponseReader};

use crate::message::write_register;
use crate::registration::{Operation, Request};
use crate::{Config, Error, percent};
use azure_iot_common::text::Writer;

/// Port of HTTPS.
pub const PORT: u16 = 443;

/// Begins the head of a request: request line and the headers common to all.
fn begin<'b>(
    method: &str,
    config: &Config<'_>,
    tail: &[&str],
    host: &str,
    authorization: Option<&str>,
    out: &'b mut [u8],
) -> Result<Writer<'b>, Error> {
    let host_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':' | b'[' | b']');
    if let Some(at) = host.bytes().position(|byte| !host_byte(byte)) {
        return Err(Error::Invalid { what: "host", at });
    }
    let mut head = Writer::new(out);
    head.text(method);
    head.text(" /");
    head.text(config.id_scope());
    head.text("/registrations/");
    head.text(config.registration_id());
    for part in tail {
        head.text(part);
    }
    head.text("?api-version=");
    head.text(config.api_version());
    head.text(" HTTP/1.1\r\nHost: ");
    head.text(host);
    head.text("\r\nAccept: application/json\r\n");
    if let Some(product) = config.product() {
        head.text("User-Agent: ");
        percent::write(product.as_bytes(), &mut head);
        head.text("\r\n");
    }
    if let Some(token) = authorization {
        if let Some(at) = token.bytes().position(|byte| !(b' '..=b'~').contains(&byte)) {
            return Err(Error::Invalid { what: "authorization", at });
        }
        head.text("Authorization: ");
        head.text(token);
        head.text("\r\n");
    }
    Ok(head)
}

/// Ends the head of a request that has a body.
fn end_with_body(mut head: Writer<'_>, body_len: usize) -> Result<&[u8], Error> {
    head.text("Content-Type: application/json; charset=utf-8\r\nContent-Length: ");
    // A usize has at most 64 bits.
    head.decimal_u64(body_len as u64);
    head.text("\r\n\r\n");
    Ok(head.finish()?)
}

/// The head of a registration's request, up to and with the empty line. `host` is the endpoint, with its port unless
/// that is 443; `authorization` the SAS token, `None` with X.509. It is left out where
/// [`Request::is_authorized`](crate::Request::is_authorized) says so.
///
/// ```
/// use dps_client::{Action, Config, RegistrationEvent, GLOBAL_ENDPOINT, Registration, Transport, https};
/// let config = Config::new("0ne00000001", "my-device")?.with_transport(Transport::Https);
/// let mut registration = Registration::new(config, 1);
/// let Action::Connect { .. } = registration.next(0) else { panic!() };
/// registration.handle(RegistrationEvent::Connected, 0);
/// let Action::Send(request) = registration.next(0) else { panic!() };
/// let (mut head, mut body) = ([0; 512], [0; 256]);
/// let body = request.body(&mut body)?;
/// let head = https::request_head(&request, GLOBAL_ENDPOINT, None, body.len(), &mut head)?;
/// assert!(head.starts_with(b"PUT /0ne00000001/registrations/my-device/register?api-version=2019-03-31 HTTP/1.1\r\n"));
/// # Ok::<(), dps_client::Error>(())
/// ```
///
/// # Errors
/// [`Error::BufferTooSmall`] with the bytes needed; [`Error::Invalid`] for a host or a token that cannot stand in a
/// header.
pub fn request_head<'b>(
    request: &Request<'_>,
    host: &str,
    authorization: Option<&str>,
    body_len: usize,
    out: &'b mut [u8],
) -> Result<&'b [u8], Error> {
    let authorization = authorization.filter(|_| request.is_authorized());
    let config = request.config();
    match request.operation() {
        Operation::Register => {
            end_with_body(begin("PUT", config, &["/register"], host, authorization, out)?, body_len)
        }
        Operation::Poll { operation_id } => {
            let mut head = begin("GET", config, &["/operations/", operation_id], host, authorization, out)?;
            head.text("\r\n");
            Ok(head.finish()?)
        }
    }
}

/// The head of a lookup: the service tells the present registration of a device that has forgotten it, without
/// registering. The answer's body is a [`RegistrationState`](crate::RegistrationState), good for
/// [`Assignment::from_state`](crate::Assignment::from_state).
///
/// # Errors
/// As [`request_head`].
pub fn lookup_head<'b>(
    config: &Config<'_>,
    host: &str,
    authorization: Option<&str>,
    body_len: usize,
    out: &'b mut [u8],
) -> Result<&'b [u8], Error> {
    end_with_body(begin("POST", config, &[], host, authorization, out)?, body_len)
}

/// The body of a lookup: that of a registration without the certificate request, which the service refuses here.
///
/// # Errors
/// [`Error::BufferTooSmall`] with the bytes needed.
pub fn lookup_body<'b>(config: &Config<'_>, out: &'b mut [u8]) -> Result<&'b [u8], Error> {
    write_register(config, false, out)
}
