//! Every fuzz target on mutations of well-formed inputs: always the same ones, few enough for every run of the tests.

use fuzz_entries::target;

const COUNT: usize = 20_000;

#[test]
fn json() {
    target("json").run_mutations(COUNT);
}

#[test]
fn dps_messages() {
    target("dps_messages").run_mutations(COUNT);
}

#[test]
fn dps_registration() {
    target("dps_registration").run_mutations(COUNT);
}

#[test]
fn hub_topics() {
    target("hub_topics").run_mutations(COUNT);
}

#[test]
fn optional() {
    target("optional").run_mutations(COUNT);
}

#[test]
fn hub_packets() {
    target("hub_packets").run_mutations(COUNT);
}

#[test]
fn translator() {
    target("translator").run_mutations(COUNT);
}

#[test]
fn stsafe_driver() {
    target("stsafe_driver").run_mutations(COUNT);
}

#[test]
fn stsafe_chip() {
    target("stsafe_chip").run_mutations(COUNT);
}

#[test]
fn stsafe_vault() {
    // Each run is some hundred commands.
    target("stsafe_vault").run_mutations(COUNT / 20);
}

#[test]
fn console() {
    target("console").run_mutations(COUNT);
}

#[test]
fn bridge() {
    target("bridge").run_mutations(COUNT);
}

#[test]
fn radio_frames() {
    target("radio_frames").run_mutations(COUNT);
}

#[test]
fn dice_certificate() {
    target("dice_certificate").run_mutations(COUNT);
}

#[test]
fn dice_chain() {
    // Each run verifies signatures.
    target("dice_chain").run_mutations(COUNT / 20);
}

#[test]
fn dice_cbor() {
    target("dice_cbor").run_mutations(COUNT);
}

#[test]
fn dice_pem() {
    target("dice_pem").run_mutations(COUNT);
}

#[test]
fn dice_tcb_info() {
    target("dice_tcb_info").run_mutations(COUNT);
}

#[test]
fn certificates() {
    target("certificates").run_mutations(COUNT);
}

#[test]
fn telemetry_queue() {
    // Each run fills the queue.
    target("telemetry_queue").run_mutations(COUNT / 20);
}

#[test]
fn seeds_are_there() {
    for target in fuzz_entries::TARGETS {
        assert!(target.seeds().len() > 2, "{}", target.name);
    }
}

#[test]
fn tunnel() {
    target("tunnel").run_mutations(COUNT);
}
