//! A device in C: its functions, and what it is given.

#[cfg(not(feature = "mqtt"))]
use crate::service;
use crate::{Device, Heap, Story, clock, settle};
use core::ffi::{c_int, c_uchar};
use core::slice;

// What the programs in `c/` have: 0 if it went well.
unsafe extern "C" {
    fn device_register() -> c_int;
    fn device_connect() -> c_int;
    fn device_subscribe() -> c_int;
    fn device_telemetry(payload: *const c_uchar, length: usize) -> c_int;
    fn device_receive() -> c_int;
    #[cfg(feature = "other-heap")]
    fn heap_report(peak: *mut usize, now: *mut usize, allocations: *mut usize);
}

struct Other;

fn check(result: c_int) {
    assert_eq!(result, 0, "the device says what happened");
}

impl Device for Other {
    fn telemetry(&mut self, payload: &[u8]) {
        // SAFETY: the device reads the payload and keeps no pointer beyond the acknowledgement.
        check(unsafe { device_telemetry(payload.as_ptr(), payload.len()) });
    }

    fn receive(&mut self) {
        // SAFETY: no arguments; it runs on this stack.
        check(unsafe { device_receive() });
    }
}

pub(crate) fn run(story: &Story) {
    let mut device = Other;
    // SAFETY: no arguments; it runs on this stack.
    story.once("registration", || check(unsafe { device_register() }));
    // SAFETY: as above.
    story.once("CONNECT", || check(unsafe { device_connect() }));
    story.once("subscriptions and twin", || {
        // SAFETY: as above.
        check(unsafe { device_subscribe() });
        settle(&mut device);
    });
    story.connected(&mut device);
}

#[cfg(feature = "other-heap")]
#[allow(clippy::unnecessary_wraps, reason = "other devices have none")]
pub(crate) fn heap() -> Option<Heap> {
    let mut heap = Heap { peak: 0, held: 0, allocations: 0 };
    // SAFETY: three places to write to.
    unsafe { heap_report(&raw mut heap.peak, &raw mut heap.held, &raw mut heap.allocations) };
    Some(heap)
}

#[cfg(not(feature = "other-heap"))]
pub(crate) fn heap() -> Option<Heap> {
    None
}

/// The service takes a message.
///
/// # Safety
/// Both pointers have that many bytes.
#[cfg(not(feature = "mqtt"))]
#[unsafe(no_mangle)]
unsafe extern "C" fn service_publish(
    topic: *const c_uchar,
    topic_len: usize,
    payload: *const c_uchar,
    len: usize,
) {
    // SAFETY: said by the caller; an empty payload may have no address.
    let (topic, payload) = unsafe {
        (
            slice::from_raw_parts(topic, topic_len),
            if len == 0 { &[][..] } else { slice::from_raw_parts(payload, len) },
        )
    };
    clock::elsewhere(|| service::publish(core::str::from_utf8(topic).expect("UTF-8"), payload));
}

/// Copies the next message from the service; 0 if there is none.
///
/// # Safety
/// `topic` has room for 160 bytes and `payload` for 480.
#[cfg(not(feature = "mqtt"))]
#[unsafe(no_mangle)]
unsafe extern "C" fn service_next(
    topic: *mut c_uchar,
    topic_len: *mut usize,
    payload: *mut c_uchar,
    len: *mut usize,
) -> c_int {
    let taken = clock::elsewhere(|| {
        service::next(|message| {
            // SAFETY: said by the caller.
            unsafe {
                topic.copy_from_nonoverlapping(message.topic.as_ptr(), message.topic.len());
                topic_len.write(message.topic.len());
                payload.copy_from_nonoverlapping(message.payload.as_ptr(), message.payload.len());
                len.write(message.payload.len());
            }
        })
    });
    c_int::from(taken.is_some())
}

/// The service takes bytes.
///
/// # Safety
/// There are that many.
#[cfg(feature = "mqtt")]
#[unsafe(no_mangle)]
unsafe extern "C" fn service_write(bytes: *const c_uchar, len: usize) {
    // SAFETY: said by the caller.
    let bytes = unsafe { slice::from_raw_parts(bytes, len) };
    clock::elsewhere(|| crate::wire::write(bytes));
}

/// Bytes from the service, as many as there are.
///
/// # Safety
/// There is room for that many.
#[cfg(feature = "mqtt")]
#[unsafe(no_mangle)]
unsafe extern "C" fn service_read(out: *mut c_uchar, len: usize) -> usize {
    // SAFETY: said by the caller.
    let out = unsafe { slice::from_raw_parts_mut(out, len) };
    clock::elsewhere(|| crate::wire::read(out))
}

/// The clock, in milliseconds.
#[unsafe(no_mangle)]
extern "C" fn service_now_ms() -> u32 {
    clock::now_ms()
}

/// Lets time pass.
#[unsafe(no_mangle)]
extern "C" fn service_sleep_ms(ms: u32) {
    clock::leap_to(clock::now_ms() + ms);
}
