//! How many of each address are here.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::address::counted_as;

/// Counts who is here by address, up to a limit for each.
pub(crate) struct Crowd {
    limit: usize,
    present: Mutex<HashMap<IpAddr, usize>>,
}

/// One place taken; free again when dropped.
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    address: IpAddr,
}

impl Crowd {
    /// `limit` of each address; 0 is no limit, and then nobody is counted.
    pub(crate) fn new(limit: usize) -> Option<Arc<Self>> {
        (limit > 0).then(|| Arc::new(Self { limit, present: Mutex::default() }))
    }

    /// A place for one more of this address, if there is one.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = counted_as(address);
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        let count = present.entry(address).or_default();
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Place { crowd: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut present = self.crowd.present.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = present.entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_places() {
        let crowd = Crowd::new(2).unwrap();
        let [a, b] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        let first = crowd.enter(a);
        let second = crowd.enter(a);
        assert!(first.is_some() && second.is_some() && crowd.enter(a).is_none());
        assert!(crowd.enter(b).is_some());
        drop(first);
        let third = crowd.enter(a);
        assert!(third.is_some());
        drop((second, third));
        assert!(crowd.present.lock().unwrap().is_empty(), "nothing is kept of who has left");
        assert!(Crowd::new(0).is_none());
    }
}
