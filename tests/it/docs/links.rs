//! Links, anchors, pictures, and the table of contents.

use std::collections::BTreeMap;

use super::assert_none;
use super::page::{self, Page, root};

fn is_outside(target: &str) -> bool {
    ["http://", "https://", "mailto:"]
        .iter()
        .any(|scheme| target.starts_with(scheme))
}

/// `docs/decisions` and `../filters.md` are `docs/filters.md`.
fn resolved(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// What is wrong with the links of a page.
fn wrong_links(page: &Page, anchors: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut wrong = Vec::new();
    let in_book = page.name.starts_with("docs/");
    for (line, target) in page.links() {
        if is_outside(&target) {
            continue;
        }
        let mut say = |what: &str| wrong.push(format!("{}:{line}: {target}: {what}", page.name));
        let (path, fragment) = target.split_once('#').unwrap_or((&target, ""));
        let file = match path {
            "" => page.name.clone(),
            path => resolved(folder_of(&page.name), path),
        };
        if in_book && !file.starts_with("docs/") {
            say("leaves the book, where it leads nowhere: name the file as code");
        } else if !root().join(&file).exists() {
            say("there is no such file");
        } else if !fragment.is_empty() {
            match anchors.get(&file) {
                Some(known) if known.iter().any(|anchor| anchor == fragment) => {}
                Some(_) => say("the page has no such heading"),
                None => say("what has headings is a page"),
            }
        }
    }
    wrong
}

#[test]
fn every_link_anchor_and_picture_is_there() {
    let mut pages = page::all();
    pages.push(page::read("CHANGELOG.md"));
    pages.push(page::read("docs/SUMMARY.md"));
    let anchors: BTreeMap<_, _> = pages
        .iter()
        .map(|page| (page.name.clone(), page.anchors()))
        .collect();
    let links: usize = pages.iter().map(|page| page.links().len()).sum();
    println!("{links} links of {} pages", pages.len());
    assert!(
        links > 100,
        "{links} links: a reader that finds none finds nothing wrong"
    );
    assert_none(
        &pages
            .iter()
            .flat_map(|page| wrong_links(page, &anchors))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let page = Page::of(
        "docs/x.md",
        "[a](README.md) [b](filters.md#nothing) [c](../README.md) [d](filters.md#filters)",
    );
    let filters = page::read("docs/filters.md");
    let anchors = BTreeMap::from([(filters.name.clone(), filters.anchors())]);
    let wrong = wrong_links(&page, &anchors);
    assert_eq!(wrong.len(), 3, "{wrong:#?}");
}

#[test]
fn every_page_stands_once_in_the_table_of_contents() {
    let summary = page::read("docs/SUMMARY.md");
    let listed: Vec<String> = summary.links().into_iter().map(|(_, target)| target).collect();
    let there: Vec<String> = page::book()
        .iter()
        .map(|page| page.name.trim_start_matches("docs/").to_owned())
        .collect();
    let mut wrong = Vec::new();
    for name in &there {
        match listed.iter().filter(|target| *target == name).count() {
            1 => {}
            times => wrong.push(format!("docs/{name} stands {times} times in docs/SUMMARY.md")),
        }
    }
    for target in &listed {
        if !there.contains(target) {
            wrong.push(format!("docs/SUMMARY.md names {target}, which is not there"));
        }
    }
    assert_none(&wrong);
}
