//! A fence around the decoders' code, which meets whatever bytes the world holds.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// A decoder panicked: it met bytes that its author did not think of.
#[derive(Debug, PartialEq)]
pub(super) struct Panicked;

/// Runs a decoder's code and turns its panic into an error, without the message that a panic prints.
///
/// What `decode` borrows may be in any state after a panic; the caller throws it away.
///
/// The process's panic hook is wrapped once, so that panics elsewhere are reported as before.
pub(super) fn guard<T>(decode: impl FnOnce() -> T) -> Result<T, Panicked> {
    static WRAP_HOOK: Once = Once::new();
    WRAP_HOOK.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !IS_GUARDED.get() {
                hook(info);
            }
        }));
    });
    let was_guarded = IS_GUARDED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(decode));
    IS_GUARDED.set(was_guarded);
    result.map_err(|_| Panicked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_and_a_result_passes() {
        assert_eq!(guard(|| 7), Ok(7));
        assert_eq!(guard(|| -> i32 { panic!("as decoders do") }), Err(Panicked));
        assert!(!IS_GUARDED.get());
    }
}
