//! `headgate policy test`: the tests of a policy, away from any gateway.

use std::path::PathBuf;

use clap::Subcommand;
use firmware_verifier::policy::{self, MAX_POLICY, Module, Policy, PolicyError};
use serde_json::json;

use super::{Said, read_at_most};
use crate::judge::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum PolicyVerb {
    /// Compile the modules of a policy and run every rule of theirs whose name begins with test_. Needs no gateway.
    Test {
        /// Its modules, tests included.
        #[arg(required = true, value_name = "FILE")]
        file: Vec<PathBuf>,
    },
}

pub(super) fn verb(verb: &PolicyVerb) -> Result<Said, Failure> {
    let PolicyVerb::Test { file } = verb;
    let mut modules = Vec::new();
    for path in file {
        let text = String::from_utf8(read_at_most(path, MAX_POLICY as u64)?);
        let text = text.map_err(|_| Failure::usage(format!("{}: no text", path.display())))?;
        modules.push(Module { name: path.display().to_string(), text });
    }
    let compiled = Policy::compile(&modules).map_err(|e| mistaken(&e))?;
    let tested = policy::test(&modules).map_err(|e| mistaken(&e))?;
    let failed = tested.iter().filter(|t| t.fault.is_some()).count();
    let line = |t: &policy::Tested| match &t.fault {
        None => format!("  passed  {}\n", t.rule),
        Some(fault) => format!("  FAILED  {}: {fault}\n", t.rule),
    };
    let lines: String = tested.iter().map(line).collect();
    let digest = compiled.digest();
    let words = format!("policy {digest}\n{lines}{} passed, {failed} failed", tested.len() - failed);
    let rows: Vec<_> = tested.iter().map(|t| json!({ "rule": t.rule, "fault": t.fault })).collect();
    let value = json!({ "schema": 1, "policy": digest, "tests": rows, "failed": failed });
    Ok(Said::Judged(words, value, if failed == 0 { 0 } else { POLICY_EXIT }))
}

fn mistaken(e: &PolicyError) -> Failure {
    Failure::usage(e.to_string()).next("correct the policy (docs/policy.md says what one is)")
}

/// Exit code of what a policy decides against.
const POLICY_EXIT: u8 = 40;
