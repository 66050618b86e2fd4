//! Segments of uids.

use super::*;

fn uids(numbers: std::ops::Range<u64>) -> impl Iterator<Item = Uuid> {
    numbers.map(|number| Uuid::from_u64_pair(7, number))
}

/// Filters are stored. If a release of the crate sets other bits, stored filters would report known
/// uids as new; then a migration must set every stored filter to NULL.
#[test]
fn a_filter_sets_the_bits_that_are_stored() {
    let filter = filter(3, uids(0..3));
    let set: Vec<_> = (0..filter.num_bits())
        .filter(|bit| filter.as_slice()[bit / 64] >> (bit % 64) & 1 == 1)
        .collect();
    assert_eq!(
        set,
        [
            0, 31, 48, 95, 110, 194, 205, 211, 220, 313, 314, 328, 334, 349, 471, 514, 649, 685,
            761, 784, 821, 830, 843, 997
        ]
    );
}

#[test]
fn a_filter_holds_what_it_was_made_of_and_little_else() {
    let made = filter(10_000, uids(0..10_000));
    let stored = BloomFilter::from_vec(words(&bytes(&made)).unwrap()).hashes(HASHES);
    assert!(uids(0..10_000).all(|uid| stored.contains_hash(key(uid))));
    let by_chance = uids(10_000..110_000).filter(|uid| stored.contains_hash(key(*uid)));
    assert!(by_chance.count() < 200);
}

#[test]
fn what_is_no_filter_is_not_read_as_one() {
    assert_eq!((words(&[]), words(&[0; 9])), (None, None));
    assert_eq!(words(&[1, 0, 0, 0, 0, 0, 0, 0]), Some(vec![1]));
}
