//! `${VAR}`, `${VAR:-default}`, `${VAR:?why}` and `$$`, in scalar values only.
//!
//! A variable's value can never change the structure of the file: YAML is parsed first, with every `${…}`
//! made of letters that mean nothing to YAML ([`shield`]), and the values are put in afterwards
//! ([`expand`]). Shielding keeps the number of characters, so positions stay those of the file. What a
//! variable holds is not looked at again: a `${` in it stays as it is.

use super::environment::Environment;

/// Private-use plane 15: each character of `${…}` is moved there, and YAML takes it for a letter.
const SHIELD: u32 = 0xF_0000;
/// The plane's last two code points are not characters, so nothing above this can be moved.
const SHIELDED_MAX: u32 = 0xFFFD;

/// The source with every `${…}` shielded. A form that does not end on its line is left as it is, and
/// [`expand`] reports it.
pub(super) fn shield(source: &str) -> String {
    let mut shielded = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find('$') {
        shielded.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = if rest.starts_with("$$") {
            shielded.push_str("$$");
            2
        } else if let Some(length) = form_length(rest) {
            shielded.extend(rest[..length].chars().map(cover));
            length
        } else {
            shielded.push('$');
            1
        };
        rest = &rest[taken..];
    }
    shielded.push_str(rest);
    shielded
}

/// The text as it stands in the file.
pub(super) fn unshield(text: &str) -> String {
    text.chars().map(uncover).collect()
}

/// Whether the file already uses the characters that [`shield`] needs.
pub(super) fn uses_shield_characters(source: &str) -> bool {
    source.chars().any(|c| uncover(c) != c)
}

fn cover(c: char) -> char {
    match u32::from(c) {
        code if code <= SHIELDED_MAX => char::from_u32(SHIELD + code).unwrap_or(c),
        _ => c,
    }
}

fn uncover(c: char) -> char {
    match u32::from(c).checked_sub(SHIELD) {
        Some(code) if code <= SHIELDED_MAX => char::from_u32(code).unwrap_or(c),
        _ => c,
    }
}

/// The length of the `${…}` that `text` begins with, if it ends on its line.
fn form_length(text: &str) -> Option<usize> {
    let body = text.strip_prefix("${")?;
    let line = body.split(['\n', '\r']).next()?;
    line.find('}').map(|end| end + "${}".len())
}

/// The value of a scalar that still is shielded, or every mistake in it. Only what [`shield`] saw as a form
/// is one: YAML joins the lines of a quoted scalar, and a `${` of one line must not meet a `}` of another.
pub(super) fn expand(shielded: &str, environment: &Environment) -> Result<String, Vec<String>> {
    let mut value = String::with_capacity(shielded.len());
    let mut mistakes = Vec::new();
    let mut characters = shielded.chars().peekable();
    while let Some(c) = characters.next() {
        if uncover(c) != c {
            let mut form = String::from(uncover(c));
            while let Some(next) = characters.next_if(|_| !form.ends_with('}')) {
                form.push(uncover(next));
            }
            match resolve(
                form.strip_prefix("${")
                    .and_then(|form| form.strip_suffix('}'))
                    .unwrap_or_default(),
                environment,
            ) {
                Ok(found) => value.push_str(&found),
                Err(mistake) => mistakes.push(mistake),
            }
            continue;
        }
        if c == '$' && characters.next_if_eq(&'$').is_none() && characters.peek() == Some(&'{') {
            mistakes.push(
                "`${` has no `}` on its line; write `$${` where the characters themselves are meant"
                    .to_owned(),
            );
        }
        value.push(c);
    }
    if mistakes.is_empty() {
        Ok(value)
    } else {
        Err(mistakes)
    }
}

/// What stands between `${` and `}`. The part behind the name is not shown where it may be a value.
fn resolve(form: &str, environment: &Environment) -> Result<String, String> {
    let name_length = form
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(form.len());
    let (name, rest) = form.split_at(name_length);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("`${…}` needs the name of a variable: letters, digits and `_`".to_owned());
    }
    if rest.contains("${") {
        return Err(format!("`${{{name}…}}` holds another `${{`; they do not nest"));
    }
    let set = environment.variable(name);
    if rest.is_empty() {
        return set.map(str::to_owned).ok_or_else(|| {
            format!("the variable {name} is not set; set it, or give a default: `${{{name}:-…}}`")
        });
    }
    // As in a shell: with the colon, an empty variable counts as unset.
    let filled = set.filter(|value| !value.is_empty());
    if let Some(default) = rest.strip_prefix(":-") {
        Ok(filled.unwrap_or(default).to_owned())
    } else if let Some(why) = rest.strip_prefix(":?") {
        filled.map(str::to_owned).ok_or_else(|| {
            let why = if why.is_empty() { "it is required" } else { why };
            format!("the variable {name} is not set: {why}")
        })
    } else {
        Err(format!(
            "`${{{name}…}}` is none of `${{{name}}}`, `${{{name}:-default}}` and `${{{name}:?why}}`"
        ))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn expand(text: &str, environment: &Environment) -> Result<String, Vec<String>> {
        super::expand(&shield(text), environment)
    }

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment {
            variables: pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            hostname: "host".to_owned(),
        }
    }

    #[test]
    fn each_form_gives_what_a_shell_would_give() {
        let env = environment(&[("A", "1"), ("EMPTY", "")]);
        let cases = [
            ("${A}", "1"),
            ("x${A}y${A}", "x1y1"),
            ("${EMPTY}", ""),
            ("${EMPTY:-d}", "d"),
            ("${A:-d}", "1"),
            ("${NONE:-a: b, [c]}", "a: b, [c]"),
            ("${NONE:-}", ""),
            ("${A:?why}", "1"),
            ("$$", "$"),
            ("$${A}", "${A}"),
            ("$$$$", "$$"),
            ("^orders$", "^orders$"),
            ("$A", "$A"),
        ];
        for (text, value) in cases {
            assert_eq!(expand(text, &env).as_deref(), Ok(value), "{text}");
        }
    }

    #[test]
    fn every_mistake_of_a_scalar_is_told() {
        let mistakes = expand(
            "${NONE} ${EMPTY:?say who} ${1} ${A-b} ${",
            &environment(&[("EMPTY", "")]),
        );
        assert_eq!(mistakes.map_err(|all| all.len()), Err(5));
    }

    #[test]
    fn a_value_is_not_expanded_again() {
        let env = environment(&[("A", "${B} $$ ${"), ("B", "no")]);
        assert_eq!(expand("${A}", &env).as_deref(), Ok("${B} $$ ${"));
    }

    proptest! {
        #[test]
        fn shielding_keeps_every_position_and_every_character(source in "\\PC{0,20}(\\$\\{[^\n]{0,8}\\}?)?[\\PC\n]{0,20}") {
            prop_assume!(!uses_shield_characters(&source));
            let shielded = shield(&source);
            prop_assert_eq!(shielded.chars().count(), source.chars().count());
            prop_assert_eq!(unshield(&shielded), source);
        }

        #[test]
        fn whatever_a_variable_holds_arrives_unchanged(value in "(?s).*") {
            let env = environment(&[("A", &value)]);
            prop_assert_eq!(expand("${A}", &env), Ok(value.clone()));
            prop_assert_eq!(expand("<${A}>", &env), Ok(format!("<{value}>")));
        }

        #[test]
        fn a_text_with_its_dollars_doubled_is_itself(text in "[a-z${}:?-]{0,20}") {
            let doubled = text.replace('$', "$$");
            prop_assert_eq!(expand(&doubled, &Environment::default()), Ok(text));
        }
    }
}
