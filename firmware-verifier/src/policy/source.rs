//! What is checked of a policy's text before the parser sees it: its size, how deep it nests, and words for what would make
//! a verdict a matter of chance. Tokens are those of the parser's own lexer, so that nothing can hide from one in what the
//! other takes for a text or a comment.

use regorus::Source;
use regorus::unstable::{Lexer, TokenKind};

use super::PolicyError;

/// Largest module in bytes.
pub const MAX_POLICY: usize = 128 * 1024;
/// Deepest nesting of brackets. regorus 0.14 takes twice as long for each level of `[`.
pub const MAX_DEPTH: usize = 10;
/// First words of functions whose value no input decides, or that cost more than they are counted for. Those of features
/// that are not built in are unknown to the compiler.
const WORDS: [&str; 9] = ["rand", "time", "http", "net", "uuid", "opa", "io", "numbers", "bits"];

/// One module of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its file's name, for messages.
    pub name: String,
    /// Rego.
    pub text: String,
}

/// A token and where it is.
struct Token {
    kind: TokenKind,
    text: String,
    line: u32,
}

/// Refuses what the parser is not to see.
pub(super) fn check(module: &Module) -> Result<(), PolicyError> {
    let (mut depth, mut before) = (0_usize, None::<Token>);
    for token in tokens(module)? {
        match (&token.kind, token.text.as_str()) {
            (TokenKind::Symbol, "[" | "{" | "(") => depth += 1,
            (TokenKind::Symbol, "]" | "}" | ")") => depth = depth.saturating_sub(1),
            (TokenKind::Symbol, ".") if before.as_ref().is_some_and(is_word) => {
                let word = before.map_or_else(String::new, |word| word.text);
                return Err(PolicyError::Word { module: module.name.clone(), line: token.line, word });
            }
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(PolicyError::TooDeep { module: module.name.clone(), line: token.line, found: depth });
        }
        before = Some(token);
    }
    Ok(())
}

fn is_word(token: &Token) -> bool {
    matches!(token.kind, TokenKind::Ident) && WORDS.contains(&token.text.as_str())
}

/// The rules of a module whose names begin with `test_`, with their package.
pub(super) fn tests(module: &Module) -> Result<Vec<String>, PolicyError> {
    let tokens = tokens(module)?;
    let start = tokens.iter().position(|token| token.text == "package").map_or(0, |at| at + 1);
    let mut package = String::new();
    let mut line = None;
    for token in tokens.iter().skip(start) {
        if *line.get_or_insert(token.line) != token.line {
            break;
        }
        package += &token.text;
    }
    let mut rules = Vec::new();
    let mut depth = 0_usize;
    let mut last_line = 0;
    for token in &tokens {
        match (&token.kind, token.text.as_str()) {
            (TokenKind::Symbol, "[" | "{" | "(") => depth += 1,
            (TokenKind::Symbol, "]" | "}" | ")") => depth = depth.saturating_sub(1),
            (TokenKind::Ident, name)
                if depth == 0 && token.line != last_line && name.starts_with("test_") =>
            {
                rules.push(format!("data.{package}.{name}"));
            }
            _ => {}
        }
        last_line = token.line;
    }
    Ok(rules)
}

fn tokens(module: &Module) -> Result<Vec<Token>, PolicyError> {
    let found = module.text.len();
    if found > MAX_POLICY {
        return Err(PolicyError::TooLarge { module: module.name.clone(), found });
    }
    let source = Source::from_contents(module.name.clone(), module.text.clone());
    let source = source.map_err(|e| super::compile(&e))?;
    let mut lexer = Lexer::new(&source);
    let mut tokens = Vec::new();
    loop {
        let token = lexer.next_token().map_err(|e| super::compile(&e))?;
        if matches!(token.0, TokenKind::Eof) {
            return Ok(tokens);
        }
        tokens.push(Token { text: token.1.text().to_owned(), line: token.1.line, kind: token.0 });
    }
}
