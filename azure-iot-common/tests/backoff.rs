//! The ladder of waiting times. (Its values are checked against the published vectors in `dps-client`.)
use azure_iot_common::backoff::{Backoff, Jitter, scale};

#[test]
fn never_comes_down_again() {
    let backoff = Backoff { min_ms: 1, max_ms: u32::MAX, jitter_ms: 10 };
    let mut last = 0;
    for attempt in (0..100).chain([1000, u32::MAX - 1, u32::MAX]) {
        let base = backoff.base_ms(attempt);
        assert!(base >= last && base >= 1, "{attempt}");
        assert!((base..=base.saturating_add(10)).contains(&backoff.delay_ms(attempt, attempt)));
        last = base;
    }
    assert_eq!(last, u32::MAX);
    let spread = Backoff { min_ms: 0, max_ms: 0, jitter_ms: 10 };
    assert_eq!((spread.delay_ms(0, 0), spread.delay_ms(0, u32::MAX)), (0, 10));
}

#[test]
fn scaled_over_the_whole_range() {
    assert_eq!((scale(0, 9), scale(u32::MAX, 9), scale(u32::MAX, u32::MAX)), (0, 9, u32::MAX));
    let mut seen = [0; 10];
    let mut jitter = Jitter::new(0);
    for _ in 0..10_000 {
        seen[usize::try_from(scale(jitter.draw(), 9)).unwrap()] += 1;
    }
    assert!(seen.iter().all(|count| (800..1200).contains(count)), "{seen:?}");
}

#[test]
fn neighbouring_seeds_give_unlike_numbers() {
    let first: std::collections::HashSet<u32> =
        (0..10_000).map(|seed| Jitter::new(seed).draw() >> 12).collect();
    assert!(first.len() > 9_900, "{}", first.len());
}
