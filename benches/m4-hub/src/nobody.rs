//! No device: what all of them need of the service is in the image all the same.

use crate::{Device, Heap, Story, clock};

struct Nobody;

impl Device for Nobody {
    fn telemetry(&mut self, payload: &[u8]) {
        #[cfg(feature = "mqtt")]
        crate::wire::write(payload);
        #[cfg(not(feature = "mqtt"))]
        crate::service::publish(core::hint::black_box(""), core::hint::black_box(payload));
    }

    fn receive(&mut self) {
        clock::leap_to(1);
        #[cfg(feature = "mqtt")]
        let _ = crate::wire::read(&mut [0; 16]);
        #[cfg(not(feature = "mqtt"))]
        let _ = crate::service::next(|message| {
            core::hint::black_box(message);
        });
    }
}

pub(crate) fn run(story: &Story) {
    // Not to be carried out, which the compiler cannot know.
    if core::hint::black_box(clock::now_ms()) != 0 {
        story.once("", || ());
        story.connected(&mut Nobody);
    }
}

/// There is none.
pub(crate) fn heap() -> Option<Heap> {
    None
}
