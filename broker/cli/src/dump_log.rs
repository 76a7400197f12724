//! `broker dump-log`: the files of a partition's directory, as kafka-dump-log shows them. Nothing is written.
//!
//! - `segment`: record batches of a `.log` or `.checkpoint` (snapshot) file, damaged ones too. `content`: what
//!   records hold, control records and the metadata log decoded. `index`: the two indexes, checked against
//!   their segment, and `.txnindex`, the aborted transactions.
//!
//! Damage is reported with position and reason, the dump goes on where it can, and the exit code is 1.

mod content;
mod index;
mod segment;

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use broker_env::{Disk, Env};

use crate::connect::block_on;
use crate::failure::Failure;
use content::Content;

#[derive(clap::Args)]
pub struct DumpLog {
    /// .log, .checkpoint, .index, .timeindex or .txnindex files, or the directory of a partition for all in it.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Prints keys, values and headers.
    #[arg(long)]
    print_data_log: bool,
    /// Prints records decoded as those of the metadata log.
    #[arg(long, conflicts_with = "print_data_log")]
    cluster_metadata_decoder: bool,
    /// Only what is wrong, and a summary.
    #[arg(long)]
    verify: bool,
}

/// What is printed of a file.
#[derive(Clone, Copy, Debug)]
struct View {
    content: Content,
    verify: bool,
}

/// Damage found in a file: how often, not where, which was printed.
type Damages = u64;

/// Most bytes a compressed batch may expand to.
const DECOMPRESSED_BYTES_MAX: usize = 256 * 1024 * 1024;

impl DumpLog {
    pub fn run(self) -> Result<(), Failure> {
        block_on(|env| async move { self.dump(&env) })
    }

    fn dump(&self, env: &Env) -> Result<(), Failure> {
        let disk = env.disk.as_ref();
        let mut out = BufWriter::new(std::io::stdout().lock());
        let (mut damages, mut failed) = (0, false);
        for path in self.all_files(disk)? {
            match dump_file(disk, &path, self.view(), &mut out) {
                Ok(found) => damages += found,
                Err(Failure::Failed(message)) => {
                    out.flush()?;
                    eprintln!("broker: {message}");
                    failed = true;
                }
                Err(other) => return Err(other),
            }
        }
        out.flush()?;
        match (damages, failed) {
            (0, false) => Ok(()),
            (0, true) => Err(Failure::Reported),
            _ => Err(Failure::failed(format!("{damages} damaged places"))),
        }
    }

    fn view(&self) -> View {
        let content = match (self.cluster_metadata_decoder, self.print_data_log) {
            (true, _) => Content::Metadata,
            (false, true) => Content::Data,
            (false, false) => Content::None,
        };
        View {
            content,
            verify: self.verify,
        }
    }

    fn all_files(&self, disk: &dyn Disk) -> Result<Vec<PathBuf>, Failure> {
        let mut files = Vec::new();
        for path in &self.files {
            if !disk.is_directory(path) {
                files.push(path.clone());
                continue;
            }
            let names = disk.list(path).map_err(Failure::failed)?;
            let before = files.len();
            files.extend(
                names
                    .iter()
                    .map(|name| path.join(name))
                    .filter(|path| Kind::of(path).is_some()),
            );
            if files.len() == before {
                return Err(Failure::file(
                    path,
                    "no segment, snapshot or index in this directory",
                ));
            }
        }
        Ok(files)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Batches,
    OffsetIndex,
    TimeIndex,
    TxnIndex,
}

impl Kind {
    fn of(path: &Path) -> Option<Kind> {
        match path.extension()?.to_str()? {
            "log" | "checkpoint" => Some(Kind::Batches),
            "index" => Some(Kind::OffsetIndex),
            "timeindex" => Some(Kind::TimeIndex),
            "txnindex" => Some(Kind::TxnIndex),
            _ => None,
        }
    }
}

fn dump_file(
    disk: &dyn Disk,
    path: &Path,
    view: View,
    out: &mut impl Write,
) -> Result<Damages, Failure> {
    let Some(kind) = Kind::of(path) else {
        return Err(Failure::file(
            path,
            "not a .log, .checkpoint, .index, .timeindex or .txnindex file",
        ));
    };
    writeln!(out, "Dumping {}", path.display())?;
    match kind {
        Kind::Batches => segment::dump(disk, path, view, out),
        Kind::OffsetIndex => index::dump_offsets(disk, path, view, out),
        Kind::TimeIndex => index::dump_times(disk, path, view, out),
        Kind::TxnIndex => index::dump_aborted(disk, path, view, out),
    }
}

/// The offset in the name of a segment, index or snapshot.
fn base_offset(path: &Path) -> Option<i64> {
    let stem = path.file_name()?.to_str()?.split(['.', '-']).next()?;
    if stem.len() == 20 {
        stem.parse().ok()
    } else {
        None
    }
}
