//! A panic as a sentence.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls a function whose panic is to harm nothing else.
///
/// # Errors
/// What it said when it panicked. What it was changing is then half done, and must not be relied upon.
pub fn caught<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| said(&*panic))
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

#[cfg(test)]
mod tests {
    use super::caught;

    #[test]
    fn whatever_is_said_is_kept() {
        assert_eq!(caught(|| 7), Ok(7));
        assert_eq!(caught::<()>(|| panic!("text")), Err("text".into()));
        assert_eq!(caught::<()>(|| panic!("text with {}", 1)), Err("text with 1".into()));
        assert_eq!(caught::<()>(|| std::panic::panic_any(1)), Err("no message".into()));
    }
}
