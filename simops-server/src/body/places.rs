//! How many bodies are read at once and how many bytes of them are kept, in total and per address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::StatusCode;

use super::MAX_BYTES;
use crate::access::subject;
use crate::problem::Problem;

/// `Retry-After` of a request that found no place.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Bodies and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Load {
    bodies: usize,
    bytes: usize,
}

impl Load {
    /// This and `more`, if that is within `limit`.
    fn plus(self, more: Self, limit: Self) -> Option<Self> {
        let Self { bodies, bytes } =
            Self { bodies: self.bodies + more.bodies, bytes: self.bytes + more.bytes };
        (bodies <= limit.bodies && bytes <= limit.bytes).then_some(Self { bodies, bytes })
    }

    fn minus(self, less: Self) -> Self {
        Self {
            bodies: self.bodies.saturating_sub(less.bodies),
            bytes: self.bytes.saturating_sub(less.bytes),
        }
    }
}

/// The bodies that may be read at once. An address is the /64 of a v6 client.
#[derive(Debug)]
pub(crate) struct Places {
    total: Load,
    per_address: Load,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: Load,
    by_address: HashMap<IpAddr, Load>,
}

impl Places {
    /// `total` places, of which one address has at most an eighth. A place has 128 KiB on average.
    pub(crate) fn new(total: usize) -> Self {
        let limit = |bodies: usize| Load { bodies, bytes: (bodies << 17).max(MAX_BYTES) };
        Self { total: limit(total), per_address: limit(total / 8), taken: Mutex::default() }
    }

    /// A place for `body` from `client`. An empty one needs none.
    ///
    /// # Errors
    /// 503 if there is none.
    pub(crate) fn take_for(&self, client: IpAddr, body: &Body) -> Result<Place<'_>, Problem> {
        if body.is_end_stream() { Ok(self.unused(client)) } else { self.take(client) }
    }

    fn take(&self, client: IpAddr) -> Result<Place<'_>, Problem> {
        let mut place = self.unused(client);
        place.add(Load { bodies: 1, bytes: 0 })?;
        Ok(place)
    }

    fn unused(&self, client: IpAddr) -> Place<'_> {
        Place { places: self, address: subject(client), load: Load::default() }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body's place, until this is dropped.
#[derive(Debug)]
pub(crate) struct Place<'p> {
    places: &'p Places,
    address: IpAddr,
    load: Load,
}

impl Place<'_> {
    /// Takes `bytes` more.
    ///
    /// # Errors
    /// 503 if there is no room for them.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        self.add(Load { bodies: 0, bytes })
    }

    fn add(&mut self, more: Load) -> Result<(), Problem> {
        let mut taken = self.places.taken();
        let of_address = taken.by_address.get(&self.address).copied().unwrap_or_default();
        let total = taken.total.plus(more, self.places.total);
        let of_address = of_address.plus(more, self.places.per_address);
        let (Some(total), Some(of_address)) = (total, of_address) else {
            let detail = "Too many requests are being read; nothing was taken, send it again";
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
            return Err(problem.retry_after(RETRY_AFTER));
        };
        taken.total = total;
        taken.by_address.insert(self.address, of_address);
        self.load =
            Load { bodies: self.load.bodies + more.bodies, bytes: self.load.bytes + more.bytes };
        Ok(())
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.total = taken.total.minus(self.load);
        if let Some(of_address) = taken.by_address.get_mut(&self.address) {
            *of_address = of_address.minus(self.load);
            if of_address.bodies == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn an_address_has_an_eighth_of_the_places() {
        let places = Places::new(16);
        let mut held: Vec<_> = [1, 1].map(|last| places.take(ip(last)).unwrap()).into();
        assert!(places.take(ip(1)).is_err());
        held.extend(
            (2..9).flat_map(|last| [last, last]).map(|last| places.take(ip(last)).unwrap()),
        );
        assert!(places.take(ip(9)).is_err(), "there are 16");
        held.pop();
        held.push(places.take(ip(9)).unwrap());
        drop(held);
        assert_eq!(places.taken().total, Load::default());
        assert!(places.taken().by_address.is_empty());
    }

    #[test]
    fn an_empty_body_needs_no_place() {
        let places = Places::new(8);
        let held = places.take(ip(1)).unwrap();
        assert!(places.take_for(ip(1), &Body::from("{}")).is_err());
        drop(places.take_for(ip(1), &Body::empty()).unwrap());
        assert!(places.take(ip(1)).is_err(), "its end frees no other's place");
        drop(held);
        assert!(places.taken().by_address.is_empty());
    }

    #[test]
    fn a_v6_network_is_one_address() {
        let places = Places::new(8);
        let held = places.take("2001:db8::1".parse().unwrap()).unwrap();
        assert!(places.take("2001:db8::2".parse().unwrap()).is_err());
        places.take("2001:db8:0:1::1".parse().unwrap()).unwrap();
        drop(held);
    }

    #[test]
    fn bytes_are_bounded_per_address_and_in_total() {
        let places = Places::new(64);
        let mut first = places.take(ip(1)).unwrap();
        first.grow(8 << 17).unwrap();
        assert!(first.grow(1).is_err(), "an eighth of 8 MiB");
        let mut others: Vec<_> = (2..9).map(|last| places.take(ip(last)).unwrap()).collect();
        others.iter_mut().for_each(|place| place.grow(8 << 17).unwrap());
        let mut last = places.take(ip(9)).unwrap();
        assert!(last.grow(1).is_err());
        drop(first);
        last.grow(1).unwrap();
    }
}
