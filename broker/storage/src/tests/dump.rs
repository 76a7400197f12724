//! Reading damaged files, for tools.

use crate::dump::{BatchDump, DumpError, segments};
use crate::testing::{Fixture, append};

#[test]
fn a_dump_goes_over_rot_and_ends_at_garbage() {
    let fixture = Fixture::new(600, 0);
    let mut log = fixture.open(false);
    for _ in 0..5 {
        append(&mut log, 1, 0, 1, 100).expect("an append");
    }
    let file = Fixture::file(0, "log");
    fixture.disk.corrupt(&file, |bytes| {
        bytes[161 + 70] ^= 1;
        bytes.extend([7; 100]);
    });
    let found = segments(&fixture.disk, &Fixture::directory()).expect("a listing");
    assert_eq!(
        found
            .iter()
            .map(|file| (file.base_offset, file.size_bytes))
            .collect::<Vec<_>>(),
        [(0, 583), (3, 322)]
    );
    let mut dump = BatchDump::open(&fixture.disk, &file).expect("a file");
    let mut met = Vec::new();
    for entry in &mut dump {
        met.push(match entry {
            Ok(batch) => (
                batch.position,
                batch.info.base_offset,
                batch.damage.is_some(),
            ),
            Err(DumpError::Corrupt(corruption)) => (corruption.position, -1, true),
            Err(DumpError::Disk(error)) => panic!("{error}"),
        });
    }
    assert_eq!(
        met,
        [
            (0, 0, false),
            (161, 1, true),
            (322, 2, false),
            (483, -1, true)
        ]
    );
    assert_eq!(dump.progress(), (483, 583));
}
