//! The grammar of PromQL, as far as it says where series are selected: an identifier is a metric or a function by where it
//! stands. What is not understood is refused, never passed on.

use super::lex::{Token, tokens};
use super::{Part, Room};

/// Deepest nesting of parentheses.
const DEEPEST: usize = 32;
/// Between two operands.
const OPERATORS: [&str; 12] = ["+", "-", "*", "/", "%", "^", "==", "!=", ">", "<", ">=", "<="];
const WORD_OPERATORS: [&str; 4] = ["and", "or", "unless", "atan2"];

/// Takes a query apart.
///
/// # Errors
/// A sentence about what cannot be read.
pub(super) fn parse(query: &str) -> Result<Vec<Part>, String> {
    let mut parser = Parser { tokens: tokens(query)?, at: 0, parts: Vec::new() };
    if parser.tokens.is_empty() {
        return Err("it is empty".into());
    }
    parser.expression(0)?;
    match parser.peek() {
        None => Ok(parser.parts),
        Some(token) => Err(format!("{} is not expected there", shown(token))),
    }
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
    parts: Vec<Part>,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&Token<'a>> {
        self.tokens.get(self.at)
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Some(Token::Sign(found)) if *found == sign)
    }

    fn is_word(&self, words: &[&str]) -> bool {
        matches!(self.peek(), Some(Token::Word(word)) if words.iter().any(|one| word.eq_ignore_ascii_case(one)))
    }

    /// Takes the next word over as it is.
    fn take(&mut self) {
        let part = match self.tokens.get(self.at) {
            Some(Token::Word(text) | Token::Number(text)) => Part::Text((*text).to_owned()),
            Some(Token::Sign(text)) => Part::Text((*text).to_owned()),
            Some(Token::Quoted(text)) => Part::Quoted { text: text.clone(), pattern: false },
            None => return,
        };
        self.parts.push(part);
        self.at += 1;
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.is_sign(sign) {
            self.take();
            return Ok(());
        }
        Err(self.wanted(sign))
    }

    fn wanted(&self, what: &str) -> String {
        match self.peek() {
            Some(token) => format!("{what} is expected where {} stands", shown(token)),
            None => format!("{what} is expected at its end"),
        }
    }

    fn expression(&mut self, depth: usize) -> Result<(), String> {
        if depth > DEEPEST {
            return Err("its parentheses are nested too deep".into());
        }
        loop {
            while self.is_sign("+") || self.is_sign("-") {
                self.take();
            }
            self.operand(depth)?;
            self.behind()?;
            if !self.operator()? {
                return Ok(());
            }
        }
    }

    fn operand(&mut self, depth: usize) -> Result<(), String> {
        match self.peek() {
            Some(Token::Number(_) | Token::Quoted(_)) => self.take(),
            Some(Token::Sign("(")) => {
                self.take();
                self.expression(depth + 1)?;
                self.expect(")")?;
            }
            Some(Token::Sign("{")) => self.matchers()?,
            Some(Token::Word(word)) => {
                let word = *word;
                self.take();
                if self.is_sign("(") || self.is_word(&["by", "without"]) {
                    return self.call(word, depth);
                }
                let number = ["inf", "nan"].iter().any(|number| word.eq_ignore_ascii_case(number));
                match self.is_sign("{") {
                    true => self.matchers()?,
                    false if !number => self.parts.push(Part::Room(Room::Bare)),
                    false => {}
                }
            }
            _ => return Err(self.wanted("a metric, a number or a function")),
        }
        Ok(())
    }

    /// What stands behind the name of a function or an aggregation.
    fn call(&mut self, name: &str, depth: usize) -> Result<(), String> {
        if name.eq_ignore_ascii_case("info") {
            return Err("the function info reads series that the query does not name; leave it out".into());
        }
        let grouped = self.grouping()?;
        self.expect("(")?;
        while !self.is_sign(")") {
            self.expression(depth + 1)?;
            if !self.is_sign(",") {
                break;
            }
            self.take();
        }
        self.expect(")")?;
        if !grouped {
            self.grouping()?;
        }
        Ok(())
    }

    /// `by (pod)`, `without (pod)`.
    fn grouping(&mut self) -> Result<bool, String> {
        if !self.is_word(&["by", "without"]) {
            return Ok(false);
        }
        self.word();
        self.labels()?;
        Ok(true)
    }

    /// Takes a word over, apart from what stands beside it.
    fn word(&mut self) {
        self.parts.push(Part::Text(" ".into()));
        self.take();
        self.parts.push(Part::Text(" ".into()));
    }

    fn labels(&mut self) -> Result<(), String> {
        self.expect("(")?;
        while let Some(Token::Word(_) | Token::Quoted(_)) = self.peek() {
            self.take();
            if !self.is_sign(",") {
                break;
            }
            self.take();
        }
        self.expect(")")
    }

    fn matchers(&mut self) -> Result<(), String> {
        self.expect("{")?;
        let mut open = false;
        while !self.is_sign("}") {
            if open {
                self.expect(",")?;
                if self.is_sign("}") {
                    // A comma at the end.
                    self.parts.pop();
                    break;
                }
            }
            self.matcher()?;
            open = true;
        }
        self.parts.push(Part::Room(if open { Room::More } else { Room::Empty }));
        self.expect("}")
    }

    fn matcher(&mut self) -> Result<(), String> {
        let quoted = matches!(self.peek(), Some(Token::Quoted(_)));
        if !quoted && !matches!(self.peek(), Some(Token::Word(_))) {
            return Err(self.wanted("a label"));
        }
        self.take();
        let pattern = match self.peek() {
            Some(Token::Sign("=" | "!=")) => false,
            Some(Token::Sign("=~" | "!~")) => true,
            // A metric's name, in quotes.
            Some(Token::Sign("," | "}")) if quoted => return Ok(()),
            _ => return Err(self.wanted("one of =, !=, =~ and !~")),
        };
        self.take();
        let Some(Token::Quoted(text)) = self.peek() else { return Err(self.wanted("a text in quotes")) };
        let text = text.clone();
        self.parts.push(Part::Quoted { text, pattern });
        self.at += 1;
        Ok(())
    }

    /// Ranges, offsets and times, behind an operand.
    fn behind(&mut self) -> Result<(), String> {
        loop {
            if self.is_sign("[") {
                self.take();
                while self.is_sign(":") || matches!(self.peek(), Some(Token::Number(_))) {
                    self.take();
                }
                self.expect("]")?;
            } else if self.is_word(&["offset"]) {
                self.word();
                self.signed()?;
            } else if self.is_sign("@") {
                self.take();
                if self.is_word(&["start", "end"]) {
                    self.take();
                    self.expect("(")?;
                    self.expect(")")?;
                } else {
                    self.signed()?;
                }
            } else {
                return Ok(());
            }
        }
    }

    fn signed(&mut self) -> Result<(), String> {
        while self.is_sign("-") || self.is_sign("+") {
            self.take();
        }
        if !matches!(self.peek(), Some(Token::Number(_))) {
            return Err(self.wanted("a time"));
        }
        self.take();
        Ok(())
    }

    /// Whether another operand follows.
    fn operator(&mut self) -> Result<bool, String> {
        let sign = matches!(self.peek(), Some(Token::Sign(sign)) if OPERATORS.contains(sign));
        if !sign && !self.is_word(&WORD_OPERATORS) {
            return Ok(false);
        }
        self.word();
        if self.is_word(&["bool"]) {
            self.word();
        }
        if self.is_word(&["on", "ignoring"]) {
            self.word();
            self.labels()?;
            if self.is_word(&["group_left", "group_right"]) {
                self.word();
                if self.is_sign("(") {
                    self.labels()?;
                }
            }
        }
        Ok(true)
    }
}

fn shown(token: &Token<'_>) -> String {
    match token {
        Token::Word(text) | Token::Number(text) => (*text).to_owned(),
        Token::Sign(text) => (*text).to_owned(),
        Token::Quoted(text) => format!("{text:?}"),
    }
}
