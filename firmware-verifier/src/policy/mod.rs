//! Site policy in Rego, run by regorus' virtual machine inside the gauntlet.
//!
//! A policy is package `headgate` with two rules: `allow`, a boolean, and `deny`, a set of texts or of objects with `msg`.
//! What it may see is [`Input`], all of it and nothing else: no clock, no network, no chance. Invariant: an image passes
//! when `allow` is true and `deny` is an empty set. Whatever else comes out, an undefined rule or an error among it, is a
//! refusal or no decision; a policy that fails opens nothing.

mod input;
mod source;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::program::Program;
use regorus::rvm::vm::RegoVM;
use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{CompiledPolicy, Engine, Value};

use crate::digest::{Digest, DigestStream};
pub use input::{Controller, Image, Input, Part, Sbom as Parts, Signer, Vulnerabilities, Weakness};
pub use source::{MAX_DEPTH, MAX_POLICY, Module};

/// Most modules of one policy.
pub const MAX_MODULES: usize = 16;
/// Most instructions of one decision: a loop over 10,000 components takes a tenth of it.
pub const MAX_INSTRUCTIONS: usize = 2_000_000;
/// Longest decision. What takes longer has not decided.
pub const MAX_TIME: Duration = Duration::from_secs(2);
/// Most reasons that are told of one refusal.
pub const MAX_REASONS: usize = 16;
/// Longest reason, in characters.
pub const MAX_REASON: usize = 200;
/// What Headgate ships: every image that walked the other stages passes.
pub const DEFAULT: &str = include_str!("default.rego");

const ALLOW: &str = "data.headgate.allow";
const DENY: &str = "data.headgate.deny";
/// How regorus says that there is no rule of a name.
const NO_SUCH_RULE: &str = "not a valid rule path";

/// A policy that can be asked.
#[derive(Clone)]
pub struct Policy {
    digest: Digest,
    compiled: CompiledPolicy,
    program: Arc<Program>,
}

/// What a policy says of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// It may pass.
    Allowed,
    /// It may not, for these reasons.
    Denied(Vec<String>),
    /// Nothing is against it, and nothing for it.
    NoMatch,
}

impl Policy {
    /// Checks and compiles the modules, of which one has to be package `headgate` with `allow` and `deny`.
    pub fn compile(modules: &[Module]) -> Result<Policy, PolicyError> {
        let mut engine = engine(modules)?;
        for rule in [ALLOW, DENY] {
            engine.eval_rule(rule.to_owned()).map_err(|e| match e.to_string() {
                text if text.contains(NO_SUCH_RULE) => PolicyError::NoRule { rule },
                _ => compile(&e),
            })?;
        }
        let entry = engine.compile_with_entrypoint(&ALLOW.into()).map_err(|e| compile(&e))?;
        let program = Compiler::compile_from_policy(&entry, &[ALLOW, DENY]).map_err(|e| compile(&e))?;
        Ok(Policy { digest: digest(modules), compiled: entry, program })
    }

    /// The policy that Headgate ships.
    pub fn shipped() -> Result<Policy, PolicyError> {
        Policy::compile(&[Module { name: "default.rego".into(), text: DEFAULT.into() }])
    }

    /// SHA-256 of its modules: names and texts with their lengths, in their order.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What it says of what `input` tells.
    pub fn decide(&self, input: &Input) -> Result<Ruling, PolicyError> {
        let json = serde_json::to_value(input).map_err(|e| PolicyError::Undecided(e.to_string()))?;
        let input = Value::from(json);
        let allow = self.run(ALLOW, input.clone())?;
        let deny = self.run(DENY, input)?;
        let denied = deny.as_set().map_err(|_| PolicyError::NotASet { found: kind(&deny) })?;
        if !denied.is_empty() {
            return Ok(Ruling::Denied(denied.iter().take(MAX_REASONS).map(reason).collect()));
        }
        match allow {
            Value::Bool(true) => Ok(Ruling::Allowed),
            Value::Bool(false) | Value::Undefined => Ok(Ruling::NoMatch),
            other => Err(PolicyError::NotABool { found: kind(&other) }),
        }
    }

    fn run(&self, rule: &str, input: Value) -> Result<Value, PolicyError> {
        let undecided = |e: regorus::rvm::vm::VmError| PolicyError::Undecided(format!("{rule}: {e}"));
        let mut vm = RegoVM::new_with_policy(self.compiled.clone());
        vm.load_program(Arc::clone(&self.program));
        vm.set_max_instructions(MAX_INSTRUCTIONS);
        let check_interval = NonZeroU32::new(1000).unwrap_or(NonZeroU32::MIN);
        vm.set_execution_timer_config(Some(ExecutionTimerConfig { limit: MAX_TIME, check_interval }));
        vm.set_data(Value::new_object()).map_err(undecided)?;
        vm.set_input(input);
        vm.execute_entry_point_by_name(rule).map_err(undecided)
    }
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy").field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// How a rule of a test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// The rule, with its package.
    pub rule: String,
    /// Why it did not hold; nothing when it did.
    pub fault: Option<String>,
}

/// Runs every rule whose name begins with `test_`, as `opa test` does: it holds when it is true.
pub fn test(modules: &[Module]) -> Result<Vec<Tested>, PolicyError> {
    let mut engine = engine(modules)?;
    let limit = ExecutionTimerConfig { limit: MAX_TIME, check_interval: NonZeroU32::MIN };
    engine.set_execution_timer_config(limit);
    let mut rules = Vec::new();
    for module in modules {
        rules.extend(source::tests(module)?);
    }
    rules.sort();
    rules.dedup();
    let run = |rule: String| {
        let fault = match engine.eval_rule(rule.clone()) {
            Ok(Value::Bool(true)) => None,
            Ok(Value::Undefined) => Some("it is undefined".to_owned()),
            Ok(other) => Some(format!("it is {}", clip(&other.to_string()))),
            Err(e) => Some(clip(&e.to_string())),
        };
        Tested { rule, fault }
    };
    Ok(rules.into_iter().map(run).collect())
}

/// The modules in an engine, when each may be there.
fn engine(modules: &[Module]) -> Result<Engine, PolicyError> {
    if modules.is_empty() || modules.len() > MAX_MODULES {
        return Err(PolicyError::Modules { found: modules.len() });
    }
    let mut engine = Engine::new();
    engine.set_strict_builtin_errors(true);
    for module in modules {
        source::check(module)?;
        let added = engine.add_policy(module.name.clone(), module.text.clone());
        added.map_err(|e| compile(&e))?;
    }
    engine.set_input(Value::new_object());
    Ok(engine)
}

fn digest(modules: &[Module]) -> Digest {
    let mut stream = DigestStream::new();
    for part in modules.iter().flat_map(|module| [&module.name, &module.text]) {
        stream.update(&(part.len() as u64).to_be_bytes());
        stream.update(part.as_bytes());
    }
    stream.finish()
}

/// One reason, in words.
fn reason(value: &Value) -> String {
    let member = |name: &str| value[name].as_string().ok().map(|text| text.to_string());
    let text = match (value.as_string(), member("code"), member("msg")) {
        (Ok(text), _, _) => text.to_string(),
        (_, Some(code), Some(msg)) => format!("{code}: {msg}"),
        (_, None, Some(msg)) => msg,
        _ => value.to_string(),
    };
    clip(&text)
}

/// One line, not too long.
fn clip(text: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(MAX_REASON).map(shown).collect()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Set(_) => "a set",
        Value::Object(_) => "an object",
        Value::Undefined => "undefined",
    }
}

fn compile(e: &dyn std::fmt::Display) -> PolicyError {
    PolicyError::Compile(e.to_string().trim().chars().take(2000).collect())
}

/// A policy that cannot be used, or did not decide.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// None, or too many.
    #[error("{found} policy modules; 1 to {MAX_MODULES} are read")]
    Modules {
        /// How many.
        found: usize,
    },
    /// Over the limit.
    #[error("{module}: {found} bytes, at most {MAX_POLICY} are read")]
    TooLarge {
        /// Which.
        module: String,
        /// Its size.
        found: usize,
    },
    /// Nested deeper than is read: the parser takes twice as long for each level.
    #[error(
        "{module}: line {line}: brackets {found} deep, at most {MAX_DEPTH} are read; name a part of it in a rule of its own"
    )]
    TooDeep {
        /// Which.
        module: String,
        /// Where.
        line: u32,
        /// How deep.
        found: usize,
    },
    /// A word for what no policy has here.
    #[error(
        "{module}: line {line}: {word} is not to be had: the same image would not always get the same verdict"
    )]
    Word {
        /// Which.
        module: String,
        /// Where.
        line: u32,
        /// The word.
        word: String,
    },
    /// No Rego, or a function that there is not.
    #[error("{0}")]
    Compile(String),
    /// A rule that a policy has to have.
    #[error("there is no {rule}; a policy is package headgate with the rules allow and deny")]
    NoRule {
        /// Which.
        rule: &'static str,
    },
    /// Evaluation ended without a value.
    #[error("{0}")]
    Undecided(String),
    /// `deny` is no set.
    #[error("{DENY} is {found}, expected a set")]
    NotASet {
        /// What it is.
        found: &'static str,
    },
    /// `allow` is no boolean.
    #[error("{ALLOW} is {found}, expected true or false")]
    NotABool {
        /// What it is.
        found: &'static str,
    },
}

#[cfg(test)]
mod tests;
