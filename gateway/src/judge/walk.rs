//! An image's walk through the gauntlet: while one piece is hashed, on two threads, the next is read.

use firmware_verifier::{Gauntlet, Verdict};

/// The verdict on the image that `read` gives, part by part until it gives nothing.
pub(crate) fn walk<E>(
    mut gauntlet: Gauntlet,
    mut read: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> Result<Verdict, E> {
    let (mut piece, mut next) = (vec![0; PIECE], vec![0; PIECE]);
    let mut len = fill(&mut piece, &mut read)?;
    while len > 0 {
        let ahead = gauntlet.absorb_with(&piece[..len], |signature, digest| {
            std::thread::scope(|scope| {
                // Without a thread the gauntlet does this lane as well, a little later.
                let _ = std::thread::Builder::new().spawn_scoped(scope, || signature.run());
                digest.run();
                fill(&mut next, &mut read)
            })
        });
        len = ahead?;
        std::mem::swap(&mut piece, &mut next);
    }
    Ok(gauntlet.finish())
}

/// Reads until `piece` is full or there is no more.
fn fill<E>(piece: &mut [u8], read: &mut impl FnMut(&mut [u8]) -> Result<usize, E>) -> Result<usize, E> {
    let mut have = 0;
    while have < piece.len() {
        match read(&mut piece[have..])? {
            0 => break,
            n => have += n,
        }
    }
    Ok(have)
}

/// Bytes of a piece: hashing one takes many times as long as starting a thread.
const PIECE: usize = 1 << 20;
