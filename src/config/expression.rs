//! CEL from its text: what may stand in a configuration, and where it goes wrong.
//!
//! In: an expression's text. Out: the parsed program, or the place and the rule broken. Names are not looked
//! at: which variables there are is for those who evaluate it to say.
//!
//! The parser and whoever walks its tree are recursive. Both limits keep them inside the stack of a worker
//! thread, whatever the text is.

use cel::Program;
use cel::common::ast::{EntryExpr, Expr, IdedExpr};

/// People read and write these; what is longer comes from a machine, or from somebody who means harm.
pub const BYTES_MAX: usize = 4096;

/// Evaluating one level takes 40 KB of stack in a build without optimisation, and workers have 2 MB. Chains of
/// `&&` and `||` are balanced by the parser and take few levels; `a ? b : c ? d : …` takes one for each.
pub const DEPTH_MAX: usize = 32;

/// A chain of [`BYTES_MAX`] bytes takes some 10 MB in a build without optimisation. Touched only while parsing.
const STACK_BYTES: usize = 64 << 20;

/// Why a text is no expression. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {rule}")]
pub struct Fault {
    pub line: usize,
    pub column: usize,
    pub rule: String,
}

impl Fault {
    fn at_the_start(rule: String) -> Self {
        Self {
            line: 1,
            column: 1,
            rule,
        }
    }
}

/// Parses an expression.
///
/// # Errors
/// When the text does not parse, or is too long or nested too deeply.
pub fn parse(text: &str) -> Result<Program, Fault> {
    if text.len() > BYTES_MAX {
        return Err(Fault::at_the_start(format!(
            "an expression has at most {BYTES_MAX} bytes, this one {}; split it over several outputs",
            text.len()
        )));
    }
    // The parser recurses on every link of `1+1+1+…` and `a.b.c.…`, beyond its own limit on nesting.
    let parsed = std::thread::scope(|scope| {
        let parser = std::thread::Builder::new().stack_size(STACK_BYTES);
        let thread = parser.spawn_scoped(scope, || parse_of_any_depth(text));
        thread.ok().and_then(|thread| thread.join().ok())
    });
    parsed.unwrap_or_else(|| Err(Fault::at_the_start("it cannot be parsed".to_owned())))
}

fn parse_of_any_depth(text: &str) -> Result<Program, Fault> {
    let program = Program::compile(text).map_err(|errors| {
        let first = errors.errors.first();
        first.map_or_else(|| Fault::at_the_start("it does not parse".to_owned()), fault_of)
    })?;
    check_depth(program.expression())?;
    Ok(program)
}

/// For whoever makes an expression longer than it was written.
///
/// # Errors
/// When it nests deeper than [`DEPTH_MAX`].
pub fn check_depth(expression: &IdedExpr) -> Result<(), Fault> {
    if nests_deeper_than(expression, DEPTH_MAX) {
        return Err(Fault::at_the_start(too_deep()));
    }
    Ok(())
}

fn fault_of(error: &cel::ParseError) -> Fault {
    // What the parser would have liked instead is a list of every token there is.
    let told = error.msg.split(" expecting ").next().unwrap_or_default();
    let rule = if told.contains("Recursion limit") {
        too_deep()
    } else {
        told.lines().next().unwrap_or_default().to_owned()
    };
    Fault {
        line: usize::try_from(error.pos.0).unwrap_or(1).max(1),
        column: usize::try_from(error.pos.1).unwrap_or(1).max(1),
        rule,
    }
}

fn too_deep() -> String {
    format!(
        "an expression nests at most {DEPTH_MAX} deep; write `in [...]`, or `&&` and `||`, instead of a chain"
    )
}

fn nests_deeper_than(expression: &IdedExpr, levels: usize) -> bool {
    let Some(levels) = levels.checked_sub(1) else {
        return true;
    };
    children(expression)
        .into_iter()
        .any(|child| nests_deeper_than(child, levels))
}

/// The parts of an expression, one level down.
fn children(expression: &IdedExpr) -> Vec<&IdedExpr> {
    match &expression.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map.entries.iter().flat_map(|entry| parts(&entry.expr)).collect(),
        Expr::Struct(message) => message
            .entries
            .iter()
            .flat_map(|entry| parts(&entry.expr))
            .collect(),
        Expr::Comprehension(all) => vec![
            &all.iter_range,
            &all.accu_init,
            &all.loop_cond,
            &all.loop_step,
            &all.result,
        ],
    }
}

fn parts(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
        EntryExpr::StructField(field) => vec![&field.value],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Option<String> {
        parse(text).err().map(|fault| fault.rule)
    }

    #[test]
    fn no_text_exhausts_the_stack_and_the_reason_is_told() {
        for text in [
            vec!["1"; 2000].join("+"),
            vec!["a"; 2000].join("."),
            format!("a{}", "[0]".repeat(1300)),
            format!("a{}", ".f()".repeat(900)),
            format!("{}1{}", "(".repeat(2000), ")".repeat(2000)),
            format!("{}{}", "[".repeat(2000), "]".repeat(2000)),
            format!("{}a", "a?a:".repeat(900)),
            format!("{}a{}", "a.all(a,".repeat(400), ")".repeat(400)),
            "(".repeat(4000),
        ] {
            assert_eq!(rule(&text), Some(too_deep()), "{text}");
        }
        assert_eq!(
            rule(&"a".repeat(BYTES_MAX + 1)).as_deref(),
            Some("an expression has at most 4096 bytes, this one 4097; split it over several outputs")
        );
    }

    #[test]
    fn what_only_looks_deep_is_taken() {
        for text in [
            format!("{}a", "!".repeat(4000)),
            vec!["a"; 1300].join("||"),
            format!("[{}]", vec!["1"; 2000].join(",")),
            vec!["1"; DEPTH_MAX].join("+"),
        ] {
            assert_eq!(rule(&text), None, "{text}");
        }
    }

    #[test]
    fn a_fault_has_its_line_and_column() {
        let fault = parse("a == 1 &&\n  b == ").unwrap_err();
        assert_eq!((fault.line, fault.column), (2, 8), "{fault}");
        assert!(!fault.rule.contains("expecting"), "{fault}");
    }
}
