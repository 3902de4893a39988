//! Rust source as the rules see it: lines without comments, without the text of literals and without tests.

/// One file.
pub(super) struct Source {
    /// Relative to `src`: `salesforce/event/json.rs`.
    pub(super) name: String,
    /// As written.
    pub(super) text: Vec<String>,
    /// The same lines with comments, literals and test modules blanked out.
    pub(super) code: Vec<String>,
    /// A file that only tests are compiled with.
    pub(super) is_test: bool,
}

/// Prepares files that belong together: which of them are test modules is said in others.
pub(super) fn of_tree(files: Vec<(String, String)>) -> Vec<Source> {
    let mut sources: Vec<_> = files.iter().map(|(name, text)| of_file(name, text)).collect();
    let test_modules: Vec<String> = sources.iter().flat_map(test_modules).collect();
    for source in &mut sources {
        source.is_test = test_modules.iter().any(|module| {
            source.name == format!("{module}.rs") || source.name.starts_with(&format!("{module}/"))
        });
    }
    sources
}

pub(super) fn of_file(name: &str, text: &str) -> Source {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    Source {
        name: name.to_owned(),
        text: lines(text),
        code: lines(&without_tests(&without_literals(text))),
        is_test: false,
    }
}

/// The folder that a file's own modules live in: `a/b.rs` and `a/b/mod.rs` both have `a/b`.
pub(super) fn module_of(name: &str) -> String {
    let stem = name.trim_end_matches(".rs");
    let stem = stem.strip_suffix("/mod").unwrap_or(stem);
    match stem {
        "lib" | "main" | "mod" => String::new(),
        stem => stem.to_owned(),
    }
}

/// `#[cfg(test)] mod name;`, as paths relative to `src`.
fn test_modules(source: &Source) -> Vec<String> {
    let text = without_literals(&source.text.join("\n"));
    let parent = module_of(&source.name);
    let after_attribute = text.split("#[cfg(test)]").skip(1);
    after_attribute
        .filter_map(|rest| {
            let rest = rest.trim_start();
            let rest = rest
                .strip_prefix("pub(crate) ")
                .or(rest.strip_prefix("pub(super) "))
                .unwrap_or(rest);
            let (name, _) = rest.strip_prefix("mod ")?.split_once(';')?;
            let is_name = name.chars().all(|char| char.is_alphanumeric() || char == '_');
            is_name.then(|| format!("{parent}/{name}").trim_start_matches('/').to_owned())
        })
        .collect()
}

/// Blanks comments and the insides of string and character literals, keeping every line where it is.
fn without_literals(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let mut out = String::with_capacity(text.len());
    let mut index = 0;
    while index < chars.len() {
        let end = match (at(index), at(index + 1)) {
            ('/', '/') => until(&chars, index, |at| chars[at] == '\n'),
            ('/', '*') => block_comment_end(&chars, index),
            ('r', '"' | '#') if !is_word(at(index.wrapping_sub(1))) => raw_string_end(&chars, index),
            ('"', _) => quoted_end(&chars, index, '"'),
            // A lifetime has no closing quote behind its first character.
            ('\'', '\\') => quoted_end(&chars, index, '\''),
            ('\'', _) if at(index + 2) == '\'' => index + 3,
            _ => {
                out.push(at(index));
                index += 1;
                continue;
            }
        };
        let end = end.clamp(index + 1, chars.len());
        out.extend(
            chars[index..end]
                .iter()
                .map(|char| if *char == '\n' { '\n' } else { ' ' }),
        );
        index = end;
    }
    out
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

fn until(chars: &[char], from: usize, is_end: impl Fn(usize) -> bool) -> usize {
    (from..chars.len()).find(|at| is_end(*at)).unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], from: usize) -> usize {
    let mut depth = 0;
    let mut at = from;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => depth += 1,
            ('*', Some('/')) => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted_end(chars: &[char], from: usize, quote: char) -> usize {
    let mut at = from + 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// `r"…"`, `r#"…"#`; a raw identifier (`r#type`) ends at once.
fn raw_string_end(chars: &[char], from: usize) -> usize {
    let hashes = chars[from + 1..].iter().take_while(|char| **char == '#').count();
    if chars.get(from + 1 + hashes) != Some(&'"') {
        return from + 1;
    }
    let mut end = vec!['"'];
    end.resize(hashes + 1, '#');
    until(chars, from + hashes + 2, |at| chars[at..].starts_with(&end)) + end.len()
}

/// Blanks the item behind every `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(start) = out.find("#[cfg(test)]") {
        let rest = &out[start..];
        let body = rest
            .find(['{', ';'])
            .map_or(rest.len(), |at| match rest.as_bytes()[at] {
                b'{' => at + closing_brace(&rest[at..]),
                _ => at + 1,
            });
        let blank: String = rest[..body]
            .chars()
            .map(|char| if char == '\n' { '\n' } else { ' ' })
            .collect();
        out.replace_range(start..start + body, &blank);
    }
    out
}

/// The offset behind the brace that closes the first one.
fn closing_brace(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

#[test]
fn comments_literals_and_tests_are_blanked_and_lines_stay() {
    let text = "let a = \"// .unwrap()\"; // TODO\n/* x /* y */ z */ let b = 'c';\nlet r = r#\"\n\"quoted\" {\"#;\n\
                #[cfg(test)]\nmod tests {\n    fn f() { x.unwrap() }\n}\nfn after<'a>(c: char) -> bool { c == '\\'' }\n";
    let source = of_file("a.rs", text);
    assert_eq!(source.code.len(), source.text.len());
    assert_eq!(source.code[0].trim_end(), format!("let a = {};", " ".repeat(14)));
    assert_eq!(source.code[1].trim(), "let b =    ;");
    assert!(
        source.code[2..8]
            .iter()
            .all(|line| !line.contains("unwrap") && !line.contains('{'))
    );
    assert!(source.code[8].starts_with("fn after<'a>(c: char) -> bool { c =="));
    assert!(source.code[8].ends_with(" }"));
}

#[test]
fn files_that_are_test_modules_are_found() {
    let files = vec![
        (
            "a/mod.rs".to_owned(),
            "#[cfg(test)]\nmod tests;\n#[cfg(test)]\nmod inline {}\nmod real;".to_owned(),
        ),
        ("a/tests/mod.rs".to_owned(), String::new()),
        ("a/tests/deep.rs".to_owned(), String::new()),
        ("a/real.rs".to_owned(), String::new()),
        ("b.rs".to_owned(), "#[cfg(test)] mod proofs;".to_owned()),
        ("b/proofs.rs".to_owned(), String::new()),
    ];
    let test_files: Vec<_> = of_tree(files)
        .into_iter()
        .filter(|it| it.is_test)
        .map(|it| it.name)
        .collect();
    assert_eq!(test_files, ["a/tests/mod.rs", "a/tests/deep.rs", "b/proofs.rs"]);
}
