//! The driver, async and blocking, against everything ST's host stacks wrote and read: the frames must be the same, and
//! the answers must parse to the same outputs.

mod asynch;
mod blocking;
#[path = "../common/mod.rs"]
mod common;

use common::bus::block_on;

macro_rules! replay {
    ($($name:ident: $file:literal, $cases:literal;)*) => {
        $(#[test]
        fn $name() {
            assert_eq!(block_on(asynch::calls::replay($file)), $cases);
            assert_eq!(blocking::calls::replay($file), $cases);
        })*
    };
}

// The number of cases each file holds that apply to the driver; see tests/vectors/README.md for the others.
replay! {
    stselib_a100: "stselib_a100.json", 83;
    middleware_a100: "middleware_v335_a100.json", 85;
    libstsafe: "libstsafe_az3166.json", 22;
    stselib_a110: "stselib_a110.json", 9;
    middleware_a110: "middleware_v335_a110.json", 5;
    a100_refuses_the_table: "stselib_a100_dynamic_init.json", 1;
}

#[test]
fn forged_answers_are_refused() {
    assert_eq!(block_on(asynch::forged::refuse()), 17);
    assert_eq!(blocking::forged::refuse(), 17);
}
