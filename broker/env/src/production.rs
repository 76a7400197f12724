//! The real world: tokio sockets, files through the page cache, the operating system's clocks.
