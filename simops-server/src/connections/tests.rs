//! Connections against a plain model.

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { anonymous: 5, per_address: 3, total: 8 };

/// What happens to connections; numbers choose one of those that were ever opened.
#[derive(Debug, Clone)]
enum Step {
    Open(Option<u8>),
    Answered(usize),
    Trust(usize),
    Close(usize),
}

fn step() -> impl Strategy<Value = (u64, Step)> {
    let step = prop_oneof![
        4 => proptest::option::weighted(0.8, 0_u8..3).prop_map(Step::Open),
        2 => any::<usize>().prop_map(Step::Answered),
        1 => any::<usize>().prop_map(Step::Trust),
        1 => any::<usize>().prop_map(Step::Close),
    ];
    (1_u64..150, step)
}

/// A connection as the model knows it.
#[derive(Debug, Clone)]
struct Known {
    id: u64,
    address: Option<IpAddr>,
    waits_since: Instant,
    has_response: bool,
    anonymous: bool,
}

/// Whether one more of `address` may be opened, after those have gone that must.
fn has_room(open: &mut Vec<Known>, address: Option<IpAddr>, now: Instant) -> bool {
    loop {
        let anonymous: Vec<_> = open.iter().filter(|known| known.anonymous).collect();
        let same = anonymous.iter().filter(|known| known.address == address);
        let over = address.is_some() && same.count() >= LIMITS.per_address;
        let full = anonymous.len() >= LIMITS.anonymous || open.len() >= LIMITS.total;
        let mut may = anonymous.iter().filter(|known| !over || known.address == address);
        if !over && !full {
            return true;
        }
        let Some(first) = may.next() else { return false };
        let longest = may.fold(first, |longest, known| {
            let key = |known: &Known| (known.waits_since, known.id);
            if key(known) < key(longest) { known } else { longest }
        });
        if now - longest.waits_since < GRACE && !longest.has_response {
            return false;
        }
        let id = longest.id;
        open.retain(|known| known.id != id);
    }
}

proptest! {
    #[test]
    fn limits_hold_and_those_that_wait_longest_make_room(
        steps in proptest::collection::vec(step(), 0..200),
    ) {
        let mut table = Table::default();
        let (mut open, mut ever): (Vec<Known>, Vec<u64>) = (Vec::new(), Vec::new());
        let mut now = Instant::now();
        for (pause, step) in steps {
            now += Duration::from_millis(pause);
            let chosen = |number: usize| ever.get(number % ever.len().max(1)).copied();
            match step {
                Step::Open(address) => {
                    let address = address.map(|last| IpAddr::from([192, 0, 2, last]));
                    let room = has_room(&mut open, address, now);
                    let waits = table.make_room(address, LIMITS, now).is_some();
                    prop_assert_eq!(!waits && table.entries.len() < LIMITS.total, room);
                    if room {
                        let id = table.next_id();
                        table.insert(id, address, now, ());
                        open.push(Known {
                            id, address, waits_since: now, has_response: false, anonymous: true,
                        });
                        ever.push(id);
                    }
                }
                Step::Answered(number) => {
                    if let Some(id) = chosen(number) {
                        table.answered(id, now);
                        for known in open.iter_mut().filter(|known| known.id == id) {
                            (known.waits_since, known.has_response) = (now, true);
                        }
                    }
                }
                Step::Trust(number) => {
                    if let Some(id) = chosen(number) {
                        table.trust(id);
                        for known in open.iter_mut().filter(|known| known.id == id) {
                            known.anonymous = false;
                        }
                    }
                }
                Step::Close(number) => {
                    if let Some(id) = chosen(number) {
                        table.remove(id);
                        open.retain(|known| known.id != id);
                    }
                }
            }
            let mut ids: Vec<_> = table.entries.keys().copied().collect();
            ids.sort_unstable();
            prop_assert_eq!(ids, open.iter().map(|known| known.id).collect::<Vec<_>>());
            let anonymous = open.iter().filter(|known| known.anonymous).count();
            prop_assert_eq!(table.anonymous.len(), anonymous);
            prop_assert!(anonymous <= LIMITS.anonymous && open.len() <= LIMITS.total);
        }
    }
}
