//! Memory of reads that have been answered, used again: a page that is new to the process costs more than
//! reading into it.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};

/// Smaller reads are left to the allocator, which keeps what they need.
const LENGTH_MIN: usize = 64 * 1024;
/// Largest buffer kept: a consumer's `max.partition.fetch.bytes`.
const LENGTH_MAX: usize = 1024 * 1024;
/// Buffers a thread keeps: a fetch of several partitions holds several until it is sent.
const KEPT_MAX: usize = 4;

thread_local! {
    /// Handles of buffers that were lent; one that nobody else holds is free. Which buffer a read gets shows
    /// nowhere, so this state, though shared by all logs, does not touch determinism.
    static LENT: RefCell<Vec<Bytes>> = const { RefCell::new(Vec::new()) };
}

/// Bytes for `read` to fill; what they hold before is unspecified. The result is what was read into.
pub(crate) fn read_into<E>(
    length: usize,
    read: impl FnOnce(&mut [u8]) -> Result<(), E>,
) -> Result<Bytes, E> {
    let mut buffer = free_buffer(length).unwrap_or_default();
    buffer.resize(length, 0);
    read(&mut buffer)?;
    let bytes = buffer.freeze();
    keep(&bytes);
    Ok(bytes)
}

fn is_kept(length: usize) -> bool {
    (LENGTH_MIN..=LENGTH_MAX).contains(&length)
}

fn free_buffer(length: usize) -> Option<BytesMut> {
    if !is_kept(length) {
        return None;
    }
    LENT.with_borrow_mut(|lent| {
        let free = lent.iter().position(Bytes::is_unique)?;
        lent.swap_remove(free).try_into_mut().ok()
    })
}

fn keep(bytes: &Bytes) {
    if !is_kept(bytes.len()) {
        return;
    }
    LENT.with_borrow_mut(|lent| {
        if lent.len() == KEPT_MAX {
            // The one lent longest ago; its reader frees it.
            lent.remove(0);
        }
        lent.push(bytes.clone());
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(length: usize, with: u8) -> Bytes {
        let read = |buffer: &mut [u8]| {
            buffer.fill(with);
            Ok::<(), ()>(())
        };
        read_into(length, read).expect("nothing fails")
    }

    #[test]
    fn a_buffer_is_used_again_only_when_nobody_reads_it() {
        let first = filled(LENGTH_MAX, 1);
        let slice = first.slice(10..20);
        let address = first.as_ptr();
        drop(first);
        let second = filled(LENGTH_MAX, 2);
        assert_ne!(second.as_ptr(), address);
        assert_eq!(slice, [1; 10].as_slice());
        drop(slice);
        let third = filled(LENGTH_MIN, 3);
        assert_eq!(third.as_ptr(), address);
        assert_eq!((third.len(), second[0]), (LENGTH_MIN, 2));
    }

    #[test]
    fn few_buffers_are_kept() {
        let lent: Vec<Bytes> = (0..10).map(|with| filled(LENGTH_MAX, with)).collect();
        assert!(LENT.with_borrow(Vec::len) <= KEPT_MAX);
        assert!(
            lent.iter()
                .zip(0..)
                .all(|(bytes, with)| bytes[LENGTH_MAX - 1] == with)
        );
        filled(LENGTH_MAX + 1, 0);
        assert!(LENT.with_borrow(|kept| kept.iter().all(|bytes| bytes.len() <= LENGTH_MAX)));
    }
}
