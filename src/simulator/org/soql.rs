//! The part of SOQL that the org answers: `SELECT a, b FROM X [WHERE f = '…' | WHERE f IN ('…', '…')] [LIMIT n]`.
//! Keywords and names may be in any case, as in Salesforce. Everything else is `MALFORMED_QUERY`.

/// What is asked for. Names are as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) fields: Vec<String>,
    pub(crate) object: String,
    /// `None`: all records.
    pub(crate) filter: Option<Filter>,
    pub(crate) limit: Option<usize>,
}

/// The field has one of these values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) field: String,
    pub(crate) values: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Mark(char),
}

/// # Errors
/// Salesforce's kind of sentence about where it stopped.
pub(crate) fn parse(text: &str) -> Result<Query, String> {
    let mut tokens = Tokens(tokenize(text)?.into_iter().peekable());
    tokens.keyword("SELECT")?;
    let mut fields = vec![tokens.name()?];
    while tokens.takes(&Token::Mark(',')) {
        fields.push(tokens.name()?);
    }
    tokens.keyword("FROM")?;
    let object = tokens.name()?;
    let filter = if tokens.takes_keyword("WHERE") {
        Some(tokens.filter()?)
    } else {
        None
    };
    let limit = if tokens.takes_keyword("LIMIT") {
        let count = tokens.name()?;
        Some(count.parse().map_err(|_| unexpected(&count))?)
    } else {
        None
    };
    match tokens.0.next() {
        None => Ok(Query {
            fields,
            object,
            filter,
            limit,
        }),
        Some(token) => Err(unexpected(&token.shown())),
    }
}

fn unexpected(token: &str) -> String {
    format!("unexpected token: '{token}'")
}

impl Token {
    fn shown(&self) -> String {
        match self {
            Self::Word(word) => word.clone(),
            Self::Text(text) => format!("'{text}'"),
            Self::Mark(mark) => mark.to_string(),
        }
    }
}

struct Tokens(std::iter::Peekable<std::vec::IntoIter<Token>>);

impl Tokens {
    fn next(&mut self) -> Result<Token, String> {
        self.0
            .next()
            .ok_or_else(|| "unexpected end of the query".to_owned())
    }

    fn takes(&mut self, token: &Token) -> bool {
        self.0.next_if_eq(token).is_some()
    }

    fn takes_keyword(&mut self, keyword: &str) -> bool {
        let is_it = |token: &Token| matches!(token, Token::Word(word) if word.eq_ignore_ascii_case(keyword));
        self.0.next_if(is_it).is_some()
    }

    fn keyword(&mut self, keyword: &str) -> Result<(), String> {
        if self.takes_keyword(keyword) {
            return Ok(());
        }
        Err(unexpected(&self.next()?.shown()))
    }

    fn mark(&mut self, mark: char) -> Result<(), String> {
        match self.next()? {
            Token::Mark(found) if found == mark => Ok(()),
            other => Err(unexpected(&other.shown())),
        }
    }

    fn name(&mut self) -> Result<String, String> {
        match self.next()? {
            Token::Word(word) => Ok(word),
            other => Err(unexpected(&other.shown())),
        }
    }

    /// A text in quotes, or a number or flag without.
    fn value(&mut self) -> Result<String, String> {
        match self.next()? {
            Token::Text(text) | Token::Word(text) => Ok(text),
            other => Err(unexpected(&other.shown())),
        }
    }

    fn filter(&mut self) -> Result<Filter, String> {
        let field = self.name()?;
        if self.takes(&Token::Mark('=')) {
            let values = vec![self.value()?];
            return Ok(Filter { field, values });
        }
        self.keyword("IN")?;
        self.mark('(')?;
        let mut values = vec![self.value()?];
        while self.takes(&Token::Mark(',')) {
            values.push(self.value()?);
        }
        self.mark(')')?;
        Ok(Filter { field, values })
    }
}

fn tokenize(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            _ if char.is_whitespace() => {}
            ',' | '(' | ')' | '=' => tokens.push(Token::Mark(char)),
            '\'' => tokens.push(Token::Text(quoted(&mut chars)?)),
            _ if is_word(char) => {
                let mut word = String::from(char);
                while let Some(char) = chars.next_if(|char| is_word(*char)) {
                    word.push(char);
                }
                tokens.push(Token::Word(word));
            }
            _ => return Err(unexpected(&char.to_string())),
        }
    }
    Ok(tokens)
}

fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_' || char == '.'
}

/// The rest of a text in quotes; a backslash takes the next character as it is.
fn quoted(chars: &mut impl Iterator<Item = char>) -> Result<String, String> {
    let mut text = String::new();
    loop {
        match chars.next() {
            Some('\'') => return Ok(text),
            Some('\\') => text.extend(chars.next()),
            Some(char) => text.push(char),
            None => return Err("a text is not closed".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_asked_for_by_a_field_or_all() {
        let by_ids = parse("select Id, Name FROM Account\nWHERE Id IN ('001', '002')").expect("SOQL");
        assert_eq!(by_ids.fields, ["Id", "Name"]);
        assert_eq!(by_ids.object, "Account");
        let filter = |field: &str, values: &[&str]| {
            let values = values.iter().map(|&value| value.to_owned()).collect();
            Some(Filter {
                field: field.to_owned(),
                values,
            })
        };
        assert_eq!(by_ids.filter, filter("Id", &["001", "002"]));
        let by_number = parse("SELECT Id FROM A WHERE Code__c=1 LIMIT 5").expect("SOQL");
        assert_eq!(
            (by_number.filter, by_number.limit),
            (filter("Code__c", &["1"]), Some(5))
        );
        assert_eq!(parse("SELECT Id FROM A").map(|query| query.filter), Ok(None));
    }

    #[test]
    fn anything_else_is_malformed() {
        for text in [
            "",
            "SELECT FROM A",
            "SELECT Id, FROM A",
            "SELECT Id FROM A WHERE Name LIKE 'x'",
            "SELECT Id FROM A WHERE Id IN ()",
            "SELECT Id FROM A WHERE Id = 'x",
            "SELECT Id FROM A ORDER BY Id",
            "SELECT Id FROM A LIMIT many",
            "DELETE A; --",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
