//! The room `log`: lines from plugins in the host's log. WIT: `wit/log`. No grant: every plugin may speak.
//!
//! Units and limits: a line is cut at [`MAX_LINE_BYTES`]; a plugin over `log_lines_per_second` loses lines, and one line says how many. Lines that the log's filter does not want
//! are not counted. What a plugin prints to standard output and standard error comes here too, as levels `info` and `warn`.

use wasmtime::component::{HasData, Linker};

use super::Interface;
use crate::backend::lines::LineMeter;
use crate::bindings::wharf::log::log;

mod host;
#[cfg(test)]
mod tests;

/// The longest line, its message and all its fields together: 8 KiB.
pub(crate) const MAX_LINE_BYTES: usize = 8 * 1024;

/// What the room needs of the instance that calls it.
pub(crate) trait LogView: Send {
    /// The room, for one call.
    fn log(&mut self) -> LogCtxView<'_>;
}

/// The room as one call sees it.
pub(crate) struct LogCtxView<'a> {
    pub(crate) meter: &'a LineMeter,
}

struct HasLog<T>(std::marker::PhantomData<T>);

impl<T: 'static> HasData for HasLog<T> {
    type Data<'a> = LogCtxView<'a>;
}

/// The room's interfaces.
pub(crate) fn interfaces<T: LogView + 'static>() -> Vec<Interface<T>> {
    vec![Interface {
        name: "wharf:log/log@0.1.0",
        power: None,
        link: |linker: &mut Linker<T>| log::add_to_linker::<T, HasLog<T>>(linker, T::log),
    }]
}
