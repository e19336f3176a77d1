//! The components that are known, and by what. Each row names the place in the component's own source where its text is
//! made; a text that anybody might write about the component, in a help or an error, is no signature.

mod boot;
mod crypto;
mod library;
mod network;
mod symbols;
mod system;

use super::report::Kind;
use super::signature::{Signature, Then};

pub(super) use symbols::SYMBOLS;

/// Every signature.
pub const SIGNATURES: &[Signature] =
    &joined::<
        {
            boot::ROWS.len()
                + crypto::ROWS.len()
                + library::ROWS.len()
                + network::ROWS.len()
                + system::ROWS.len()
        },
    >(&[boot::ROWS, crypto::ROWS, library::ROWS, network::ROWS, system::ROWS]);

const fn joined<const N: usize>(tables: &[&[Signature]]) -> [Signature; N] {
    let mut all = [tables[0][0]; N];
    let (mut table, mut n) = (0, 0);
    while table < tables.len() {
        let mut row = 0;
        while row < tables[table].len() {
            all[n] = tables[table][row];
            n += 1;
            row += 1;
        }
        table += 1;
    }
    all
}

/// One row of a table.
const fn row(
    name: &'static str,
    kind: Kind,
    before: &'static str,
    then: Then,
    confidence: u8,
    cpe: &'static str,
    source: &'static str,
) -> Signature {
    let cpe = if cpe.is_empty() { None } else { Some(cpe) };
    Signature { name, kind, before, then, confidence, cpe, source }
}
