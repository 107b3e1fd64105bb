//! Every vector file is used by a test, and every file a test names is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn tests() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The names of vector files in the sources of the tests. Wycheproof's are named without what they have in common.
fn named() -> BTreeSet<String> {
    let sources =
        files(&tests()).into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "rs"));
    let mut names = BTreeSet::new();
    for source in sources {
        let text = fs::read_to_string(source).unwrap();
        for literal in text.split('"').skip(1).step_by(2) {
            if literal.strip_suffix(".json").is_some_and(|stem| !stem.contains('{')) {
                names.insert(literal.to_owned());
            }
            let wycheproof = format!("dice/wycheproof_{literal}.json");
            if !literal.contains(['/', ' ']) && tests().join("vectors").join(&wycheproof).is_file() {
                names.insert(wycheproof);
            }
        }
    }
    names
}

#[test]
fn every_vector_file_is_used_by_a_test() {
    let vectors = tests().join("vectors");
    let readme = fs::read_to_string(vectors.join("README.md")).unwrap();
    let named = named();
    let mut seen = 0;
    for path in files(&vectors) {
        let name = path.strip_prefix(&vectors).unwrap().to_str().unwrap().replace('\\', "/");
        // `riot.rs` reads all cases `pub-*` there are, and their inputs.
        let whole_folder = name.starts_with("riot/pub-") || name.starts_with("riot/inputs/pub-");
        assert!(name == "README.md" || whole_folder || named.contains(&name), "no test reads {name}");
        // By its name, by a pattern, or, but for `dice/`, by its folder.
        let (folder, file) = name.split_once('/').unwrap_or(("", &name));
        let by_pattern = (1..name.len()).any(|len| readme.contains(&format!("`{}*`", &name[..len])));
        let by_folder = folder != "dice" && readme.contains(&format!("`{folder}/`"));
        let mentioned = by_folder || by_pattern || readme.contains(&format!("{file}`"));
        assert!(name == "README.md" || mentioned, "the README does not tell where {name} is from");
        seen += 1;
    }
    assert!(seen > 70, "{seen}");
    for name in named {
        assert!(vectors.join(&name).is_file(), "{name} is named and not there");
    }
}
