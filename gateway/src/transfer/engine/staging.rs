//! Images by bytes: one being gathered, and chunks compared with released ones.

use firmware_verifier::Digest;

use super::Settings;
use crate::reasons as why;
use crate::transfer::coverage::Coverage;
use crate::transfer::event::{CaseId, Refusal, Station};
use crate::transfer::image::{Padding, Released};

/// An image being gathered.
#[derive(Debug)]
pub(super) struct Staging {
    pub(super) owner: Station,
    pub(super) case: CaseId,
    pub(super) released: Vec<(Digest, u64)>,
    /// Where the controller commits by itself: the released images that it can still be. Nobody could say
    /// later that it is none, because no step says that it is whole.
    pub(super) only: Vec<Released>,
    pub(super) image: Vec<u8>,
    pub(super) seen: Coverage,
    pub(super) declared: Option<u64>,
}

impl Staging {
    /// Nothing gathered, for a case that has no number yet.
    pub(super) fn new(owner: Station, declared: Option<u64>) -> Staging {
        let (image, seen) = (Vec::new(), Coverage::default());
        Staging { owner, case: CaseId(0), released: Vec::new(), only: Vec::new(), image, seen, declared }
    }

    /// Another opening step: the controller would begin at the first byte again.
    pub(super) fn start_over(&mut self, declared: Option<u64>) {
        self.image.clear();
        self.seen = Coverage::default();
        self.declared = declared.or(self.declared);
    }

    /// Compares a chunk with what it must be, where only released images may be gathered.
    pub(super) fn must_equal(
        &mut self,
        offset: u64,
        data: &[u8],
        settings: &Settings,
    ) -> Result<(), Refusal> {
        match settings.enforce && settings.implicit_commit {
            true => keep_equal(&mut self.only, offset, data, settings, self.case),
            false => Ok(()),
        }
    }

    /// Stores a chunk; different bytes for the same place are an attack.
    pub(super) fn take(&mut self, offset: u64, data: &[u8], settings: &Settings) -> Result<(), Refusal> {
        let end = offset.saturating_add(data.len() as u64);
        within(end, self.declared, settings, self.case)?;
        for range in self.seen.seen(offset..end) {
            let old = &self.image[range.start as usize..range.end as usize];
            let new = &data[(range.start - offset) as usize..(range.end - offset) as usize];
            if let Some(i) = (0..old.len()).find(|&i| old[i] != new[i]) {
                return Err(Refusal {
                    code: why::OVERLAP_DIFFERS,
                    case: Some(self.case),
                    found: format!("byte {:#04x} at offset {}", new[i], range.start + i as u64),
                    expected: format!("{:#04x}, as sent before", old[i]),
                });
            }
        }
        if self.seen.add(offset..end).is_err() {
            return Err(Refusal {
                code: why::TOO_SCATTERED,
                case: Some(self.case),
                found: format!("more than {} separate pieces", Coverage::MAX_RANGES),
                expected: "blocks that join".into(),
            });
        }
        let end = end as usize; // bounded by max_image above
        if self.image.len() < end {
            self.image.resize(end, 0);
        }
        self.image[offset as usize..end].copy_from_slice(data);
        Ok(())
    }

    /// The image's length without the fill of its last block.
    pub(super) fn image_len(&self, padding: Padding) -> u64 {
        let end = self.seen.end();
        self.declared.unwrap_or_else(|| {
            let fits = |len: &u64| {
                *len <= end && end - len < padding.granule.max(1) && self.is_padding(*len, padding)
            };
            self.released.iter().map(|(_, len)| *len).filter(fits).max().unwrap_or(end)
        })
    }

    pub(super) fn is_padding(&self, from: u64, padding: Padding) -> bool {
        self.image.get(from as usize..).is_some_and(|tail| tail.iter().all(|b| *b == padding.byte))
    }

    pub(super) fn equals_a_released(&self, padding: Padding) -> bool {
        let len = self.image_len(padding);
        self.seen.is_whole(len)
            && self
                .released
                .iter()
                .any(|(digest, l)| *l == len && Digest::of(&self.image[..len as usize]) == *digest)
    }
}

/// Keeps the candidates that equal the chunk. When none does it refuses, and none is left.
pub(super) fn keep_equal(
    released: &mut Vec<Released>,
    offset: u64,
    data: &[u8],
    settings: &Settings,
    case: CaseId,
) -> Result<(), Refusal> {
    let mut first = None;
    released.retain_mut(|r| match r.compare(offset, data, settings.padding) {
        Ok(()) => true,
        Err(mismatch) => {
            first.get_or_insert(mismatch);
            false
        }
    });
    match first {
        _ if !released.is_empty() => Ok(()),
        Some(mismatch) => Err(mismatch.refusal(Some(case))),
        None => Err(nothing_released(case)),
    }
}

pub(super) fn nothing_released(case: CaseId) -> Refusal {
    Refusal {
        code: why::NOTHING_RELEASED,
        case: Some(case),
        found: "an image".into(),
        expected: "an image released for this controller".into(),
    }
}

pub(super) fn within(
    end: u64,
    declared: Option<u64>,
    settings: &Settings,
    case: CaseId,
) -> Result<(), Refusal> {
    let limit = declared.map_or(settings.max_image, |d| d + settings.padding.granule.saturating_sub(1));
    if end <= limit.min(settings.max_image + settings.padding.granule) {
        Ok(())
    } else {
        Err(too_large(end, limit, Some(case)))
    }
}

pub(super) fn too_large(found: u64, limit: u64, case: Option<CaseId>) -> Refusal {
    Refusal {
        code: why::IMAGE_TOO_LARGE,
        case,
        found: format!("{found} bytes"),
        expected: format!("1 to {limit} bytes"),
    }
}

pub(super) fn incomplete(seen: &Coverage, len: Option<u64>, case: CaseId) -> Refusal {
    Refusal {
        code: why::INCOMPLETE,
        case: Some(case),
        found: format!("a commit with byte {} missing", seen.first_gap()),
        expected: match len {
            Some(len) => format!("all {len} bytes first"),
            None => "every byte first".into(),
        },
    }
}
