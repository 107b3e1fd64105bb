//! A hundred thousand messages with a fault on average every 200, and other mixtures.

use iothub_mqtt::Generation;
use iothub_mqtt_soak::{Kind, Report, run};

/// The clock is one for the process: one run at a time.
#[test]
fn nothing_is_lost() {
    for generation in [Generation::Classic, Generation::Mqtt5] {
        at_a_hub_of(generation);
    }
}

fn at_a_hub_of(generation: Generation) {
    // Fault upon fault, so that the next one strikes while the last is being mended.
    for seed in 0..20 {
        let report = run(generation, seed, 300, 4);
        assert!(report.faults.iter().sum::<u32>() > 30, "{report:?}");
    }
    assert_eq!(run(generation, 5, 500, 10), run(generation, 5, 500, 10), "everything follows from the seed");
    let report = run(generation, 1, 100_000, 200);
    println!("{generation:?}: {report:#?}");
    let Report { faults, connections, taken, answered, twin_version, .. } = report;
    for (kind, count) in Kind::ALL.iter().zip(faults) {
        assert!(count >= 50, "{kind:?}: {count}");
    }
    let total: u32 = faults.iter().sum();
    assert!((400..650).contains(&total), "{total} faults");
    assert!(connections > 200 && answered > 1000 && twin_version > 900);
    assert!(taken > 1500 || generation == Generation::Mqtt5);
}
