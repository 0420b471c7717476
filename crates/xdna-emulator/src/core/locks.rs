//! Locks: counters that cores and DMA channels wait for.

/// A lock would have left 0 to 63.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("lock {id} would become {value}, locks hold 0 to 63")]
pub struct LockOverflow {
    /// The lock's number in its tile.
    pub id: u8,
    /// What it would have become.
    pub value: i32,
}

/// The locks of a tile: 16, and 64 of a memory tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locks<const N: usize = 16> {
    values: [u8; N],
}

impl<const N: usize> Default for Locks<N> {
    fn default() -> Self {
        Self { values: [0; N] }
    }
}

impl<const N: usize> Locks<N> {
    /// The value of a lock, 0 to 63.
    ///
    /// # Panics
    /// If there is no lock `id`; so in the other functions.
    pub fn value(&self, id: u8) -> i32 {
        i32::from(self.values[usize::from(id)])
    }

    /// Sets a lock, as the host does.
    ///
    /// # Errors
    /// [`LockOverflow`] if `value` is not 0 to 63.
    pub fn set(&mut self, id: u8, value: i32) -> Result<(), LockOverflow> {
        if !(0..64).contains(&value) {
            return Err(LockOverflow { id, value });
        }
        self.values[usize::from(id)] = value as u8;
        Ok(())
    }

    /// Tries to acquire a lock: `request` −n waits for at least n, n for exactly n; n is taken from it.
    ///
    /// Returns whether it was acquired.
    pub fn acquire(&mut self, id: u8, request: i32) -> bool {
        let value = self.value(id);
        let (ready, left) =
            if request < 0 { (value >= -request, value + request) } else { (value == request, 0) };
        if ready {
            self.values[usize::from(id)] = left as u8;
        }
        ready
    }

    /// Releases a lock: adds `amount` to it.
    ///
    /// # Errors
    /// [`LockOverflow`]; the lock stays as it was.
    pub fn release(&mut self, id: u8, amount: i32) -> Result<(), LockOverflow> {
        self.set(id, self.value(id).saturating_add(amount))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_requests_wait_for_enough_and_others_for_exactly_so_many() {
        let cases = [
            (2, -1, true, 1),
            (2, -2, true, 0),
            (1, -2, false, 1),
            (2, 2, true, 0),
            (3, 2, false, 3),
            (0, 0, true, 0),
        ];
        for (value, request, acquired, left) in cases {
            let mut locks = Locks::<16>::default();
            locks.set(5, value).unwrap();
            assert_eq!(locks.acquire(5, request), acquired, "{value}, {request}");
            assert_eq!(locks.value(5), left, "{value}, {request}");
        }
    }

    #[test]
    fn locks_stay_between_0_and_63() {
        let mut locks = Locks::<16>::default();
        assert_eq!(locks.release(3, 64), Err(LockOverflow { id: 3, value: 64 }));
        assert_eq!(locks.release(3, 63), Ok(()));
        assert_eq!(
            locks.release(3, 1).unwrap_err().to_string(),
            "lock 3 would become 64, locks hold 0 to 63"
        );
        assert_eq!(locks.release(3, -64), Err(LockOverflow { id: 3, value: -1 }));
        assert_eq!(locks.value(3), 63);
    }
}
