//! A long list of which the latest part is kept, or the part around a moment.

use std::collections::VecDeque;

/// Keeps the latest entries. After [`Window::keep_around`], the half before and the half after that.
pub struct Window<T> {
    capacity: usize,
    entries: VecDeque<T>,
    /// Older than the first.
    pub before: u64,
    /// Newer than the last.
    pub after: u64,
    /// How many more are taken.
    left: Option<usize>,
}

impl<T> Window<T> {
    pub fn new(capacity: usize) -> Window<T> {
        Window {
            capacity,
            entries: VecDeque::new(),
            before: 0,
            after: 0,
            left: None,
        }
    }

    /// Gives the entry's number, if it is kept.
    pub fn push(&mut self, entry: T) -> Option<u64> {
        if let Some(left) = &mut self.left {
            if *left == 0 {
                self.after += 1;
                return None;
            }
            *left -= 1;
        }
        if self.entries.len() == self.capacity {
            self.entries.pop_front()?;
            self.before += 1;
        }
        self.entries.push_back(entry);
        let count = u64::try_from(self.entries.len()).expect("64 bits");
        Some(self.before + count - 1)
    }

    /// The entry of a number, if it is still kept.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let index = number.checked_sub(self.before)?;
        self.entries.get_mut(usize::try_from(index).ok()?)
    }

    /// From here on half as much as there is room for, and no more. Only the first call counts.
    pub fn keep_around(&mut self) {
        self.left.get_or_insert(self.capacity / 2);
    }

    pub fn into_entries(self) -> Vec<T> {
        self.entries.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(marks: &[u64], count: u64) -> Window<u64> {
        let mut window = Window::new(6);
        for number in 0..count {
            let pushed = window.push(number);
            if let Some(found) = pushed.and_then(|number| window.get_mut(number)) {
                assert_eq!(*found, number, "a number finds its entry");
            }
            if marks.contains(&number) {
                window.keep_around();
            }
        }
        window
    }

    #[test]
    fn the_latest_are_kept_without_a_mark() {
        let window = filled(&[], 10);
        assert_eq!((window.before, window.after), (4, 0));
        assert_eq!(window.into_entries(), [4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn a_mark_keeps_what_is_around_it_and_later_marks_change_nothing() {
        let mut window = filled(&[9, 11], 40);
        assert_eq!((window.before, window.after), (7, 27));
        assert_eq!(window.get_mut(6), None);
        assert_eq!(window.into_entries(), [7, 8, 9, 10, 11, 12]);
    }

    #[test]
    fn without_room_all_are_counted() {
        let mut window = Window::new(0);
        assert_eq!(window.push(1), None);
    }
}
