//! News on their way to the judge: in order, and kept while it has no room for them.

use super::{News, Tell};

/// Tells the judge.
pub(super) struct Telling {
    tell: Tell,
    /// News that found no room, oldest first.
    waiting: Vec<News>,
}

impl Telling {
    pub(super) fn new(tell: Tell) -> Telling {
        Telling { tell, waiting: Vec::new() }
    }

    /// Readings, and permissives, may be dropped when nobody takes them, as the next one says more; everything else
    /// waits.
    pub(super) fn say(&mut self, news: News) {
        if self.waiting.is_empty() && (self.tell)(news.clone()) {
            return;
        }
        if matches!(news, News::Reading(..) | News::Permissive(..)) {
            return;
        }
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push(news);
        } else {
            tracing::error!(?news, "the judge takes no news of signals");
        }
    }

    /// Tells what waits, as far as there is room.
    pub(super) fn flush(&mut self) {
        let tell = &mut self.tell;
        let told = self.waiting.iter().take_while(|news| tell((*news).clone())).count();
        self.waiting.drain(..told);
    }
}

/// News that may wait for the judge.
const MAX_WAITING: usize = 1024;
