//! Panics of simulated tasks: kept for the result instead of printed.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

thread_local! {
    static SIMULATED: Cell<bool> = const { Cell::new(false) };
    static LATEST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A caught panic.
pub struct Panic {
    pub message: String,
    pub location: String,
}

/// Makes the process's panic hook silent while a simulated task runs on the thread. Once per process.
pub fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let earlier = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if SIMULATED.get() {
                note(info)
            } else {
                earlier(info)
            }
        }));
    });
}

fn note(info: &PanicHookInfo<'_>) {
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    LATEST.set(location);
}

/// Runs application code; gives its panic.
pub fn catch<T>(body: impl FnOnce() -> T) -> Result<T, Panic> {
    let outer = SIMULATED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(body));
    SIMULATED.set(outer);
    result.map_err(|payload| {
        let text = payload.downcast_ref::<&str>().map(ToString::to_string);
        let message = text.or_else(|| payload.downcast_ref::<String>().cloned());
        Panic {
            message: message.unwrap_or_else(|| "(no text)".into()),
            location: LATEST.take(),
        }
    })
}
