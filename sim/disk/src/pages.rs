//! A file's bytes in 4 KiB pages: holes cost nothing, growth never copies.

const PAGE: usize = 4096;

type Page = Box<[u8; PAGE]>;

/// Sparse bytes. What was never written, or was cut off, reads as zeros.
#[derive(Clone, Default)]
pub struct Pages {
    pages: Vec<Option<Page>>,
    length: u64,
}

fn index(value: u64) -> usize {
    usize::try_from(value).expect("simulated files fit the address space")
}

impl Pages {
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Bytes of memory behind the pages.
    #[cfg(test)]
    fn allocated(&self) -> u64 {
        let pages = self.pages.iter().flatten().count();
        u64::try_from(pages * PAGE).expect("fits")
    }

    /// Copies what is below the length; gives how many bytes that was.
    pub fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let wanted = index(self.length.saturating_sub(offset)).min(buffer.len());
        let start = index(offset);
        let mut done = 0;
        while done < wanted {
            let (page, within) = ((start + done) / PAGE, (start + done) % PAGE);
            let count = (PAGE - within).min(wanted - done);
            let target = &mut buffer[done..done + count];
            match self.pages.get(page) {
                Some(Some(bytes)) => target.copy_from_slice(&bytes[within..within + count]),
                _ => target.fill(0),
            }
            done += count;
        }
        wanted
    }

    /// Writes all, growing as needed.
    pub fn write(&mut self, bytes: &[u8], offset: u64) {
        if bytes.is_empty() {
            return;
        }
        let start = index(offset);
        let end = start + bytes.len();
        if self.pages.len() < end.div_ceil(PAGE) {
            self.pages.resize_with(end.div_ceil(PAGE), || None);
        }
        let mut done = 0;
        while done < bytes.len() {
            let (page, within) = ((start + done) / PAGE, (start + done) % PAGE);
            let count = (PAGE - within).min(bytes.len() - done);
            let target = self.pages[page].get_or_insert_with(|| Box::new([0; PAGE]));
            target[within..within + count].copy_from_slice(&bytes[done..done + count]);
            done += count;
        }
        self.length = self.length.max(u64::try_from(end).expect("fits"));
    }

    /// Cuts, so that a later growth reads zeros, or grows by a hole.
    pub fn set_length(&mut self, length: u64) {
        if length < self.length {
            let keep = index(length);
            self.pages.truncate(keep.div_ceil(PAGE));
            if let (within @ 1.., Some(Some(page))) = (keep % PAGE, self.pages.get_mut(keep / PAGE))
            {
                page[within..].fill(0);
            }
        }
        self.length = length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_and_grown_bytes_read_zeros() {
        let mut pages = Pages::default();
        pages.write(&[7; 10_000], 0);
        pages.set_length(5_000);
        pages.set_length(9_000);
        let mut buffer = [1; 20];
        assert_eq!(pages.read(&mut buffer, 4_990), 20);
        assert_eq!(
            buffer,
            [7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(pages.read(&mut buffer, 8_995), 5);
        assert_eq!(pages.read(&mut buffer, 9_001), 0);
    }

    #[test]
    fn a_hole_costs_no_memory() {
        let mut pages = Pages::default();
        pages.set_length(1 << 30);
        pages.write(b"x", 1 << 29);
        assert_eq!(pages.allocated(), 4096);
        assert_eq!(pages.length(), 1 << 30);
    }
}
