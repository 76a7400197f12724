//! A reader of EDN, as far as histories need it: values without their tags, each with the line it begins on.

/// Deeper nesting is refused: nothing that a history holds needs it.
const DEPTH_MAX: u32 = 32;

/// Lists and vectors are the same here, and so are symbols and keywords but for the colon.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Nil,
    Bool(bool),
    Integer(i64),
    /// A number that is no 64-bit integer.
    Number,
    Text(String),
    /// With its colon.
    Keyword(String),
    Symbol(String),
    List(Vec<Value>),
    /// In the order in which they stand.
    Map(Vec<(Value, Value)>),
}

impl Value {
    pub fn get(&self, keyword: &str) -> Option<&Value> {
        let Value::Map(pairs) = self else { return None };
        let mut pairs = pairs.iter();
        let found = pairs.find(|(key, _)| matches!(key, Value::Keyword(name) if name == keyword));
        found
            .map(|(_, value)| value)
            .filter(|value| **value != Value::Nil)
    }

    pub fn integer(&self) -> Option<i64> {
        match self {
            Value::Integer(value) => Some(*value),
            _ => None,
        }
    }

    pub fn keyword(&self) -> Option<&str> {
        match self {
            Value::Keyword(name) => Some(name),
            _ => None,
        }
    }

    pub fn list(&self) -> Option<&[Value]> {
        match self {
            Value::List(items) => Some(items),
            _ => None,
        }
    }
}

/// Reads one value after another.
pub struct Reader<'a> {
    rest: &'a str,
    /// Of what is read next; 1 is the first.
    pub line: u64,
}

impl<'a> Reader<'a> {
    pub fn new(text: &'a str) -> Reader<'a> {
        Reader {
            rest: text,
            line: 1,
        }
    }

    /// Moves past white space, commas and comments; what comes next then.
    pub fn peek(&mut self) -> Option<char> {
        loop {
            let next = self.rest.chars().next()?;
            match next {
                ';' => {
                    let end = self.rest.find('\n').unwrap_or(self.rest.len());
                    self.rest = &self.rest[end..];
                }
                ',' => self.skip(next),
                _ if next.is_whitespace() => self.skip(next),
                _ => return Some(next),
            }
        }
    }

    /// Moves past one character.
    pub fn skip(&mut self, character: char) {
        if character == '\n' {
            self.line += 1;
        }
        self.rest = &self.rest[character.len_utf8()..];
    }

    /// # Errors
    /// A sentence; `line` then tells where.
    pub fn value(&mut self) -> Result<Value, String> {
        self.nested(0)
    }

    fn nested(&mut self, depth: u32) -> Result<Value, String> {
        if depth > DEPTH_MAX {
            return Err(format!("nested deeper than {DEPTH_MAX}"));
        }
        let next = self.peek().ok_or("the text ends where a value should be")?;
        match next {
            '[' => self.list(']', depth).map(Value::List),
            '(' => self.list(')', depth).map(Value::List),
            '{' => self.map(depth),
            '"' => self.text(),
            '#' => self.dispatch(depth),
            '\\' => {
                self.skip(next);
                let named = self.rest.chars().next().ok_or("a character is missing")?;
                self.skip(named);
                let more = self.token();
                Ok(Value::Text(format!("{named}{more}")))
            }
            ']' | ')' | '}' => Err(format!("{next} where a value should be")),
            _ => self.atom(),
        }
    }

    fn list(&mut self, close: char, depth: u32) -> Result<Vec<Value>, String> {
        let open = self.peek().ok_or("a list is missing")?;
        self.skip(open);
        let mut items = Vec::new();
        loop {
            match self.peek() {
                None => return Err(format!("{close} is missing")),
                Some(next) if next == close => {
                    self.skip(next);
                    return Ok(items);
                }
                Some(_) => items.push(self.nested(depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: u32) -> Result<Value, String> {
        let items = self.list('}', depth)?;
        if items.len() % 2 == 1 {
            return Err("a map with a key that has no value".to_owned());
        }
        let mut pairs = Vec::with_capacity(items.len() / 2);
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            pairs.push((key, value));
        }
        Ok(Value::Map(pairs))
    }

    /// A set, a value that is left out, or a tag, whose value is taken without it.
    fn dispatch(&mut self, depth: u32) -> Result<Value, String> {
        self.skip('#');
        match self.rest.chars().next() {
            Some('{') => self.list('}', depth).map(Value::List),
            Some('_') => {
                self.skip('_');
                self.nested(depth + 1)?;
                self.nested(depth + 1)
            }
            Some(_) => {
                if self.token().is_empty() {
                    return Err("# without a tag".to_owned());
                }
                self.nested(depth + 1)
            }
            None => Err("# at the end".to_owned()),
        }
    }

    fn text(&mut self) -> Result<Value, String> {
        self.skip('"');
        let mut text = String::new();
        loop {
            let next = self.rest.chars().next().ok_or("a string does not end")?;
            self.skip(next);
            match next {
                '"' => return Ok(Value::Text(text)),
                '\\' => {
                    let escaped = self.rest.chars().next().ok_or("a string does not end")?;
                    self.skip(escaped);
                    text.push(match escaped {
                        'n' => '\n',
                        'r' => '\r',
                        't' => '\t',
                        other => other,
                    });
                }
                other => text.push(other),
            }
        }
    }

    fn token(&mut self) -> &'a str {
        let is_end =
            |character: char| character.is_whitespace() || ",;()[]{}\"".contains(character);
        let end = self.rest.find(is_end).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        token
    }

    fn atom(&mut self) -> Result<Value, String> {
        let token = self.token();
        let number = token.strip_suffix('N').unwrap_or(token);
        let is_number = number
            .trim_start_matches(['+', '-'])
            .starts_with(|first: char| first.is_ascii_digit());
        Ok(match token {
            "nil" => Value::Nil,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ if is_number => number.parse().map_or(Value::Number, Value::Integer),
            _ if token.starts_with(':') => Value::Keyword(token.to_owned()),
            _ => Value::Symbol(token.to_owned()),
        })
    }
}
