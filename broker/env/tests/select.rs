//! Nothing that runs in a simulation uses tokio's `select!` itself: unbiased, it draws from a source that
//! no seed reaches. clippy's lint for macros cannot tell ours from it, so this looks at the text.

use std::path::{Path, PathBuf};

const CRATES: [&str; 8] = [
    "broker/core",
    "broker/storage",
    "broker/server",
    "broker/client",
    "sim/disk",
    "sim/faults",
    "sim/engine",
    "sim/workloads",
];

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a crate of the workspace") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_simulated_code_uses_an_unbiased_select() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    CRATES
        .iter()
        .for_each(|name| sources(&root.join(name), &mut files));
    assert!(files.len() > 20, "found only {} files", files.len());
    let uses = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("UTF-8");
        text.contains("tokio::select!")
            || text.contains("tokio::{select")
            || text.contains("tokio::select;")
    };
    files.retain(uses);
    assert!(files.is_empty(), "use broker_env::select! in {files:?}");
}
