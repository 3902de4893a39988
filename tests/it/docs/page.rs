//! A page of the documentation as its tests see it: lines, headings with their anchors, links, fenced blocks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One Markdown file.
#[derive(Debug)]
pub(super) struct Page {
    /// From the root of the repository: `docs/filters.md`.
    pub(super) name: String,
    pub(super) lines: Vec<String>,
}

/// What stands between two fences.
#[derive(Debug, Clone)]
pub(super) struct Block {
    /// `docs/filters.md`.
    pub(super) page: String,
    /// Of the opening fence, from one: the first line of the block's text is the next.
    pub(super) line: usize,
    pub(super) language: String,
    pub(super) marks: Vec<String>,
    /// What the comment on the line above says of a mark: `<!-- no_run: needs a container engine -->`.
    pub(super) reason: Option<(String, String)>,
    /// Without the fence's own indentation.
    pub(super) text: Vec<String>,
}

impl Block {
    pub(super) fn is(&self, mark: &str) -> bool {
        self.marks.iter().any(|own| own == mark)
    }

    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.page, self.line)
    }

    pub(super) fn joined(&self) -> String {
        self.text.join("\n") + "\n"
    }
}

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The pages of the book, without its table of contents.
pub(super) fn book() -> Vec<Page> {
    let mut pages = in_folder("docs");
    pages.retain(|page| page.name != "docs/SUMMARY.md");
    pages.extend(in_folder("docs/decisions"));
    pages
}

/// The book, and what stands beside it in the repository.
pub(super) fn all() -> Vec<Page> {
    let mut pages: Vec<Page> = ["README.md", "CONTRIBUTING.md", "SECURITY.md"]
        .into_iter()
        .map(read)
        .collect();
    pages.extend(book());
    pages
}

pub(super) fn read(name: &str) -> Page {
    let text = std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    Page::of(name, &text)
}

fn in_folder(folder: &str) -> Vec<Page> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(root().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    files.sort();
    let name = |path: &PathBuf| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
    files.iter().map(|path| read(&name(path))).collect()
}

impl Page {
    pub(super) fn of(name: &str, text: &str) -> Self {
        Self {
            name: name.to_owned(),
            lines: text.lines().map(str::to_owned).collect(),
        }
    }

    /// The fenced blocks. A fence that is never closed ends with the page.
    pub(super) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<(Block, usize)> = None;
        for (index, line) in self.lines.iter().enumerate() {
            let fence = line.trim_start().strip_prefix("```");
            match (&mut open, fence) {
                (None, Some(info)) => {
                    let mut words = info
                        .split([',', ' '])
                        .map(str::trim)
                        .filter(|word| !word.is_empty());
                    let block = Block {
                        page: self.name.clone(),
                        line: index + 1,
                        language: words.next().unwrap_or_default().to_owned(),
                        marks: words.map(str::to_owned).collect(),
                        reason: index.checked_sub(1).and_then(|above| reason(&self.lines[above])),
                        text: Vec::new(),
                    };
                    open = Some((block, line.len() - line.trim_start().len()));
                }
                (Some(_), Some(_)) => blocks.extend(open.take().map(|(block, _)| block)),
                (Some((block, indent)), None) => {
                    let own = line.len() - line.trim_start().len();
                    block.text.push(line[own.min(*indent)..].to_owned());
                }
                (None, None) => {}
            }
        }
        blocks.extend(open.map(|(block, _)| block));
        blocks
    }

    /// The lines outside of fences, with their numbers from one.
    pub(super) fn prose(&self) -> Vec<(usize, &str)> {
        let mut inside = false;
        let mut prose = Vec::new();
        for (index, line) in self.lines.iter().enumerate() {
            if line.trim_start().starts_with("```") {
                inside = !inside;
            } else if !inside {
                prose.push((index + 1, line.as_str()));
            }
        }
        prose
    }

    /// The anchors of the page's headings, as GitHub and mdBook make them.
    pub(super) fn anchors(&self) -> Vec<String> {
        let mut met: BTreeMap<String, usize> = BTreeMap::new();
        let mut anchors = Vec::new();
        for (_, line) in self.prose() {
            let level = line.chars().take_while(|char| *char == '#').count();
            if !(1..=6).contains(&level) || !line[level..].starts_with(' ') {
                continue;
            }
            let anchor = anchor(&line[level + 1..]);
            let times = met.entry(anchor.clone()).or_default();
            anchors.push(match *times {
                0 => anchor,
                again => format!("{anchor}-{again}"),
            });
            *times += 1;
        }
        anchors
    }

    /// The targets of links and images, with the line of each.
    pub(super) fn links(&self) -> Vec<(usize, String)> {
        let mut links = Vec::new();
        for (number, line) in self.prose() {
            let line = without_code(line);
            for (at, _) in line.match_indices("](") {
                if let Some((target, _)) = line[at + 2..].split_once(')') {
                    links.push((number, target.to_owned()));
                }
            }
        }
        links
    }

    /// What stands between single backticks, with the line of each.
    pub(super) fn spans(&self) -> Vec<(usize, String)> {
        let mut spans = Vec::new();
        for (number, line) in self.prose() {
            let inside = line.split('`').skip(1).step_by(2);
            spans.extend(inside.map(|span| (number, span.to_owned())));
        }
        spans
    }
}

fn reason(above: &str) -> Option<(String, String)> {
    let inside = above.trim().strip_prefix("<!--")?.strip_suffix("-->")?;
    let (mark, why) = inside.split_once(':')?;
    let why = why.trim();
    (!why.is_empty()).then(|| (mark.trim().to_owned(), why.to_owned()))
}

fn anchor(heading: &str) -> String {
    // A heading may hold a link, of which the text counts.
    let mut text = String::new();
    let mut rest = heading.trim();
    while let Some((before, after)) = rest.split_once("](") {
        text.push_str(before);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    let kept = text.chars().filter_map(|char| match char {
        ' ' | '-' => Some('-'),
        '_' => Some('_'),
        char if char.is_alphanumeric() => Some(char),
        _ => None,
    });
    kept.flat_map(char::to_lowercase).collect()
}

fn without_code(line: &str) -> String {
    line.split('`')
        .enumerate()
        .map(|(index, part)| if index % 2 == 0 { part } else { "" })
        .collect()
}

#[test]
fn a_page_is_read_with_its_anchors_links_and_blocks() {
    let text = "# One: `two` → three\n\n## A\n## A\n[x](y.md#z) `[no](link)` ![p](q.png)\n\n1. In a list\n\n   <!-- no_run: a reason -->\n   ```console,no_run\n   $ a\n     b\n   ```\n```yaml\n# not a heading\n```\n";
    let page = Page::of("docs/x.md", text);
    assert_eq!(page.anchors(), ["one-two--three", "a", "a-1"]);
    let links: Vec<_> = page.links().into_iter().map(|(_, target)| target).collect();
    assert_eq!(links, ["y.md#z", "q.png"]);
    let blocks = page.blocks();
    assert_eq!(blocks.len(), 2);
    assert!(blocks[0].is("no_run") && blocks[0].language == "console");
    assert_eq!(
        blocks[0].reason,
        Some(("no_run".to_owned(), "a reason".to_owned()))
    );
    assert_eq!(blocks[0].text, ["$ a", "  b"]);
    assert_eq!(blocks[1].place(), "docs/x.md:14");
    assert!(page.spans().iter().any(|(_, span)| span == "two"));
}
