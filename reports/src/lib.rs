//! Results of simulation runs, and how they read: terminal, HTML, Markdown, JUnit, JSON.
//!
//! - [`result`]: [`RunResult`], the JSON object of one run (`trial run --json`); [`sweep`]: many runs.
//! - [`recording`]: a run as it went, for the space-time diagram and for `trial explain`.
//! - [`console`]: the verdict for a terminal. [`markdown`]: `summary.md`. [`junit`]: `junit.xml`.
//! - [`html`]: a page per run and per sweep.
//! - [`files`]: writes a folder of all of them. [`bugs`]: `bugs.md`, the scoreboard of known bugs; [`shrink`]: `shrink.md`.
//!
//! Every writer is a function from the result to text, without clocks and without a look at the machine.

pub mod bugs;
pub mod console;
pub mod files;
pub mod html;
pub mod junit;
pub mod markdown;
pub mod recording;
pub mod result;
pub mod shrink;
pub mod sweep;
mod text;

pub use console::{print_console, print_sweep};
pub use files::{write_run, write_sweep};
pub use recording::Recording;
pub use result::{ClientRow, ClientTotals, LatencyRow, RunResult, TimelineEntry};
pub use sweep::{Sweep, SweepRow};
