//! When the user is told again of something that lasts: less and less often.

use std::time::{Duration, Instant};

/// The pauses between two messages. The last pause is repeated.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(60), Duration::from_secs(180), Duration::from_secs(300), Duration::from_secs(600)];

/// When the user is next told, and how often the user was told before; `None` if there is nothing to tell.
#[derive(Debug, Default)]
pub(super) struct TellAgain(Option<(Instant, usize)>);

impl TellAgain {
    /// Whether the user was told so recently that it is too early to tell the user again.
    pub fn waits(&self, now: Instant) -> bool {
        self.0.is_some_and(|(at, _)| now < at)
    }

    /// The user is told now. Returns whether it is for the first time.
    pub fn tell(&mut self, now: Instant) -> bool {
        let told = self.0.map_or(0, |(_, told)| told);
        self.0 = Some((now + PAUSES[told.min(PAUSES.len() - 1)], told + 1));
        told == 0
    }

    /// There is nothing to tell any more.
    pub fn end(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_told_less_and_less_often() {
        let start = Instant::now();
        let mut again = TellAgain::default();
        let mut told = Vec::new();
        for second in 0..2400 {
            let now = start + Duration::from_secs(second);
            if !again.waits(now) {
                assert_eq!(again.tell(now), told.is_empty());
                told.push(second);
            }
        }
        assert_eq!(told, [0, 60, 240, 540, 1140, 1740, 2340]);
        again.end();
        assert!(!again.waits(start) && again.tell(start));
    }
}
