//! Sessions: an NPU that fails is dropped, left alone for a while, and opened again. Nobody waits for that.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::Error;

/// How long a device that failed is left alone: doubled with every failure in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackOff {
    /// After the first failure.
    pub first: Duration,
    /// At most.
    pub most: Duration,
}

impl Default for BackOff {
    /// From a second to a minute; a driver restarts a hung device once a minute at most.
    fn default() -> Self {
        Self { first: Duration::from_secs(1), most: Duration::from_secs(60) }
    }
}

/// Opens a device, with all that is to be on it.
type Opener<T> = Box<dyn FnMut() -> Result<T, Error> + Send>;

/// A device and what is on it (contexts, programs, buffers), opened when it is first used, and anew after it failed.
pub struct Session<T> {
    open: Opener<T>,
    state: Option<T>,
    back_off: BackOff,
    failures: u32,
    rest_until: Option<Instant>,
    /// Takes down what failed, which can take the driver seconds.
    undertaker: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Session<T> {
    /// A session whose device is opened by `open`.
    pub fn new(back_off: BackOff, open: impl FnMut() -> Result<T, Error> + Send + 'static) -> Self {
        Self { open: Box::new(open), state: None, back_off, failures: 0, rest_until: None, undertaker: None }
    }

    /// Does work on the device. If that shows that the device is of no use any more, all that was on it is dropped, in
    /// another thread, and opened again at the first use after a rest.
    ///
    /// # Errors
    /// [`Error::Resting`] if the device failed a short time ago; what `open` or `work` say.
    pub fn with<R>(&mut self, work: impl FnOnce(&mut T) -> Result<R, Error>) -> Result<R, Error> {
        let mut state = match self.state.take() {
            Some(state) => state,
            None => self.reopen()?,
        };
        let result = work(&mut state);
        match &result {
            Err(error) if error.is_fatal() => {
                tracing::warn!(%error, "the NPU failed");
                self.bury(state);
            }
            _ => {
                if result.is_ok() {
                    self.failures = 0;
                }
                self.state = Some(state);
            }
        }
        result
    }

    /// How often in a row the device has failed.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    fn reopen(&mut self) -> Result<T, Error> {
        let rest =
            self.rest_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
        let is_burying = self.undertaker.as_ref().is_some_and(|undertaker| !undertaker.is_finished());
        if rest > Duration::ZERO || is_burying {
            return Err(Error::Resting { failures: self.failures, rest });
        }
        self.undertaker = None;
        (self.open)().inspect_err(|error| {
            tracing::debug!(%error, "the NPU cannot be opened");
            self.rest();
        })
    }

    fn bury(&mut self, state: T) {
        self.rest();
        self.undertaker = Some(std::thread::spawn(move || drop(state)));
    }

    fn rest(&mut self) {
        let factor = 1 << self.failures.min(16);
        self.failures += 1;
        self.rest_until = Some(Instant::now() + (self.back_off.first * factor).min(self.back_off.most));
    }
}

impl<T> std::fmt::Debug for Session<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let is_open = self.state.is_some();
        f.debug_struct("Session").field("is_open", &is_open).field("failures", &self.failures).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_the_rest(
        session: &mut Session<i32>,
        mut work: impl FnMut(&mut i32) -> Result<i32, Error>,
    ) -> Result<i32, Error> {
        loop {
            match session.with(&mut work) {
                Err(Error::Resting { .. }) => std::thread::sleep(Duration::from_millis(5)),
                other => return other,
            }
        }
    }

    #[test]
    fn a_device_that_fails_rests_longer_every_time_and_is_opened_again() {
        let back_off = BackOff { first: Duration::from_millis(200), most: Duration::from_millis(300) };
        let mut opened = 0;
        let mut session = Session::new(back_off, move || {
            opened += 1;
            Ok(opened)
        });
        assert_eq!(session.with(|device| Ok(*device)).unwrap(), 1);
        for failures in 1..4 {
            let lost = after_the_rest(&mut session, |_| Err::<i32, _>(Error::Lost { what: "a test" }));
            assert!(lost.unwrap_err().is_fatal());
            assert_eq!(session.failures(), failures);
            let resting = session.with(|device| Ok(*device)).unwrap_err();
            assert!(matches!(resting, Error::Resting { .. }), "{resting}");
        }
        assert_eq!(after_the_rest(&mut session, |device| Ok(*device)).unwrap(), 4);
        assert_eq!(session.failures(), 0);
    }

    #[test]
    fn an_error_of_one_launch_keeps_the_device() {
        let mut session = Session::new(BackOff::default(), || Ok(7));
        assert!(session.with(|_| Err::<(), _>(Error::Failed)).is_err());
        assert_eq!(session.with(|device| Ok(*device)).unwrap(), 7);
    }

    #[test]
    fn nobody_waits_for_what_is_taken_down() {
        struct Slow;
        impl Drop for Slow {
            fn drop(&mut self) {
                std::thread::sleep(Duration::from_secs(5));
            }
        }
        let back_off = BackOff { first: Duration::from_millis(1), most: Duration::from_millis(1) };
        let mut session = Session::new(back_off, || Ok(Slow));
        let start = Instant::now();
        let _ = session.with(|_| Err::<(), _>(Error::Lost { what: "a test" }));
        std::thread::sleep(Duration::from_millis(5));
        assert!(matches!(session.with(|_| Ok(())), Err(Error::Resting { .. })));
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    }
}
