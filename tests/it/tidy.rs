//! Reads the source and holds what no compiler does: imports go one way, and the bans of the house.
//!
//! Offenders are printed as `file:line: rule`. A place that has to break a rule says so on its line or the line above:
//! `// tidy: <rule>: <reason>`; without a reason it does not count. Tests inside `src` are free of the rules on code.

mod imports;
mod rules;
mod source;

use std::path::{Path, PathBuf};

use source::Source;

/// Every `.rs` file under `src`.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read_to_string(path).unwrap())
    };
    source::of_tree(files.into_iter().map(read).collect())
}

fn assert_clean(offences: &[String]) {
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

#[test]
fn imports_go_one_way() {
    let sources = sources();
    let found: usize = sources.iter().map(|source| imports::of(source).len()).sum();
    // A reader that finds nothing to object to because it finds nothing.
    assert!(
        sources.len() > 10 && found > 5,
        "{} files, {found} imports",
        sources.len()
    );
    assert_clean(&sources.iter().flat_map(imports::offences).collect::<Vec<_>>());
}

#[test]
fn the_bans_of_the_house_hold() {
    let sources = sources();
    assert!(
        sources
            .iter()
            .any(|source| source.code.iter().any(|line| line.contains("fn ")))
    );
    assert_clean(&sources.iter().flat_map(rules::offences).collect::<Vec<_>>());
}

#[test]
fn the_admin_token_is_compared_in_constant_time() {
    let sources = sources();
    let access = sources.iter().find(|source| source.name == "admin/access.rs");
    let compared = |source: &Source| source.code.iter().any(|line| line.contains(".ct_eq("));
    // The ban on `==` holds for this file by its name.
    assert!(
        access.is_some_and(compared),
        "nothing is compared in admin/access.rs"
    );
}
