//! The part of Python's literals that headers of .npy files are made of: dictionaries, lists, tuples, text, integers, True and False.
//!
//! The text comes from anywhere: its depth is limited, and nothing in it makes this panic. Source:
//! <https://docs.python.org/3/reference/lexical_analysis.html>.

use std::fmt;

/// Lists and tuples within each other; a record of the format takes two for each of its 32 levels.
const MAX_DEPTH: usize = 80;

/// A literal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    Text(String),
    Integer(u64),
    Bool(bool),
    None,
    Tuple(Vec<Literal>),
    List(Vec<Literal>),
    /// Pairs in their order; no key comes twice.
    Dict(Vec<(String, Literal)>),
}

/// What is wrong with the text, and where.
#[derive(Debug, PartialEq)]
pub(crate) struct Wrong {
    at: usize,
    expected: &'static str,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its header is wrong at character {}: expected {}", self.at, self.expected)
    }
}

/// Reads one literal and nothing behind it.
pub(crate) fn parse(text: &str) -> Result<Literal, Wrong> {
    let mut parser = Parser { text: text.chars().collect(), at: 0 };
    let literal = parser.literal(0)?;
    parser.blanks();
    if parser.at < parser.text.len() {
        return parser.wrong("the end");
    }
    Ok(literal)
}

struct Parser {
    text: Vec<char>,
    at: usize,
}

impl Parser {
    fn wrong<T>(&self, expected: &'static str) -> Result<T, Wrong> {
        Err(Wrong { at: self.at, expected })
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.at += 1;
        }
    }

    /// Skips blanks, and the character if it comes next.
    fn takes(&mut self, wanted: char) -> bool {
        self.blanks();
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn literal(&mut self, depth: usize) -> Result<Literal, Wrong> {
        if depth > MAX_DEPTH {
            return self.wrong("fewer brackets within each other");
        }
        self.blanks();
        match self.peek() {
            Some('\'' | '"') => Ok(Literal::Text(self.string()?)),
            Some('0'..='9') => self.integer(),
            Some('{') => self.dict(depth),
            Some('[') => {
                self.at += 1;
                Ok(Literal::List(self.items(']', depth)?.0))
            }
            Some('(') => {
                self.at += 1;
                let (mut items, comma) = self.items(')', depth)?;
                // In Python brackets around one thing mean that thing.
                Ok(if items.len() == 1 && !comma { items.remove(0) } else { Literal::Tuple(items) })
            }
            Some('A'..='Z') => self.word(),
            _ => self.wrong("a literal of Python"),
        }
    }

    /// What stands between two brackets, and whether a comma stood at its end.
    fn items(&mut self, end: char, depth: usize) -> Result<(Vec<Literal>, bool), Wrong> {
        let mut items = Vec::new();
        let mut comma = true;
        while !self.takes(end) {
            if !comma {
                return self.wrong("a comma or the closing bracket");
            }
            items.push(self.literal(depth + 1)?);
            comma = self.takes(',');
        }
        Ok((items, comma))
    }

    fn dict(&mut self, depth: usize) -> Result<Literal, Wrong> {
        self.at += 1;
        let mut pairs: Vec<(String, Literal)> = Vec::new();
        let mut comma = true;
        while !self.takes('}') {
            if !comma {
                return self.wrong("a comma or the closing bracket");
            }
            let Some('\'' | '"') = self.peek() else { return self.wrong("a key in quotation marks") };
            let key = self.string()?;
            // The three keys that a header has; more would make this search slow.
            if pairs.len() > 16 || pairs.iter().any(|(known, _)| *known == key) {
                return self.wrong("each key once, and few of them");
            }
            if !self.takes(':') {
                return self.wrong("a colon");
            }
            pairs.push((key, self.literal(depth + 1)?));
            comma = self.takes(',');
        }
        Ok(Literal::Dict(pairs))
    }

    fn word(&mut self) -> Result<Literal, Wrong> {
        for (word, literal) in
            [("True", Literal::Bool(true)), ("False", Literal::Bool(false)), ("None", Literal::None)]
        {
            let end = self.at + word.len();
            if self.text.get(self.at..end).is_some_and(|found| word.chars().eq(found.iter().copied())) {
                self.at = end;
                return Ok(literal);
            }
        }
        self.wrong("True, False or None")
    }

    fn integer(&mut self) -> Result<Literal, Wrong> {
        let mut value = 0_u64;
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(10)) {
            let longer = value.checked_mul(10).and_then(|value| value.checked_add(u64::from(digit)));
            let Some(longer) = longer else { return self.wrong("a number below 2^64") };
            value = longer;
            self.at += 1;
        }
        // As Python 2 wrote long integers.
        self.at += usize::from(self.peek() == Some('L'));
        Ok(Literal::Integer(value))
    }

    fn string(&mut self) -> Result<String, Wrong> {
        let quote = self.peek();
        self.at += 1;
        let mut text = String::new();
        loop {
            let Some(next) = self.peek() else { return self.wrong("the end of a text") };
            self.at += 1;
            match next {
                _ if Some(next) == quote => return Ok(text),
                '\\' => text.extend(self.escape()?),
                '\n' | '\r' => return self.wrong("the end of a text"),
                plain => text.push(plain),
            }
        }
    }

    /// What a backslash begins; nothing for a line that goes on.
    fn escape(&mut self) -> Result<Option<char>, Wrong> {
        let Some(next) = self.peek() else { return self.wrong("the end of a text") };
        self.at += 1;
        Ok(Some(match next {
            '\n' => return Ok(None),
            '\\' | '\'' | '"' => next,
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'x' => self.code(16, 2, 2)?,
            'u' => self.code(16, 4, 4)?,
            'U' => self.code(16, 8, 8)?,
            '0'..='7' => {
                self.at -= 1;
                self.code(8, 1, 3)?
            }
            _ => return self.wrong("a known character behind a backslash"),
        }))
    }

    fn code(&mut self, base: u32, least: usize, most: usize) -> Result<char, Wrong> {
        let mut value = 0_u32;
        let mut digits = 0;
        while digits < most
            && let Some(digit) = self.peek().and_then(|c| c.to_digit(base))
        {
            value = value.wrapping_mul(base).wrapping_add(digit);
            digits += 1;
            self.at += 1;
        }
        match char::from_u32(value) {
            Some(found) if digits >= least => Ok(found),
            _ => self.wrong("the number of a character"),
        }
    }
}

/// Text as Python writes it in quotation marks; what is not ASCII stays as it is.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("'")?;
        for c in self.0.chars() {
            match c {
                '\\' | '\'' => write!(f, "\\{c}")?,
                c if c.is_control() => write!(f, "\\x{:02x}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("'")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_headers_are_made_of() {
        let text = "{'a': [('x', '<f8', (2,)), (('t', 'y'), \"|V4\")], 'b': True, 'c': (3L, 4), 'd': (), 'e': (7),}\n";
        let word = |text: &str| Literal::Text(text.to_owned());
        let expected = Literal::Dict(vec![
            (
                "a".to_owned(),
                Literal::List(vec![
                    Literal::Tuple(vec![word("x"), word("<f8"), Literal::Tuple(vec![Literal::Integer(2)])]),
                    Literal::Tuple(vec![Literal::Tuple(vec![word("t"), word("y")]), word("|V4")]),
                ]),
            ),
            ("b".to_owned(), Literal::Bool(true)),
            ("c".to_owned(), Literal::Tuple(vec![Literal::Integer(3), Literal::Integer(4)])),
            ("d".to_owned(), Literal::Tuple(vec![])),
            ("e".to_owned(), Literal::Integer(7)),
        ]);
        assert_eq!(parse(text), Ok(expected));
        assert_eq!(parse(r#"'\x41\u00e9\U0001F980\101\n\\\'"'"#), Ok(word("Aé🦀A\n\\'\"")));
    }

    #[test]
    fn what_is_refused() {
        for text in [
            "",
            "(",
            "[1",
            "[1 2]",
            "[,]",
            "{'a' 1}",
            "{1: 2}",
            "{'a': 1, 'a': 2}",
            "'a",
            "'\\",
            "'\\q'",
            "'\\ud800'",
            "'\\x4'",
            "Truth",
            "-1",
            "1.5",
            "18446744073709551616",
            "1 1",
            "'a\nb'",
            "__import__('os')",
            "'\\U99999999'",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&"(".repeat(1_000_000)).is_err());
        assert!(parse(&"[".repeat(1_000_000)).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            let _ = parse(&text);
        }

        #[test]
        fn any_brackets_are_read_or_refused(text in r#"[\[\](){}',:\\ 0-9LTrueFals"]{0,60}"#) {
            let _ = parse(&text);
        }

        #[test]
        fn quoted_text_comes_back(text in any::<String>()) {
            prop_assert_eq!(parse(&Quoted(&text).to_string()), Ok(Literal::Text(text)));
        }
    }
}
