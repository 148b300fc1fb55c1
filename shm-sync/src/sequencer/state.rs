//! Where a sequencer is: the current turn, whether somebody has begun it, and which of the next ones are to be passed over; one u64.
//!
//! | bits | meaning |
//! |---|---|
//! | 0 to 14 | turns that will be passed over: bit i for the current turn + 1 + i |
//! | 15 | the current turn has been begun |
//! | 16 to 59 | the current turn |
//! | 60 to 63 | how many resets there were |
//!
//! Arithmetic only; who may change it when is `raw`'s.

/// How far ahead a turn can be marked to be passed over.
pub(crate) const AHEAD: u64 = 15;
/// The highest number that a turn can have.
pub(crate) const LAST: u64 = NUMBER - 1;

const SKIPS: u64 = (1 << AHEAD) - 1;
const BEGUN: u64 = 1 << AHEAD;
const NUMBER_SHIFT: u32 = 16;
const NUMBER: u64 = (1 << 44) - 1;
const RESET: u64 = 1 << 60;

/// See the head of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State(pub(crate) u64);

impl State {
    /// Where a new sequencer is.
    pub(crate) fn new(turn: u64) -> Self {
        Self(turn << NUMBER_SHIFT)
    }

    /// The current turn.
    #[inline(always)]
    pub(crate) fn turn(self) -> u64 {
        self.0 >> NUMBER_SHIFT & NUMBER
    }

    /// Whether the current turn has been begun.
    #[inline(always)]
    pub(crate) fn is_begun(self) -> bool {
        self.0 & BEGUN != 0
    }

    /// Whether `turn` is the current one and has not been begun.
    #[inline(always)]
    pub(crate) fn is_free_for(self, turn: u64) -> bool {
        self.turn() == turn && !self.is_begun()
    }

    /// The current turn, begun.
    #[inline(always)]
    pub(crate) fn begun(self) -> Self {
        Self(self.0 | BEGUN)
    }

    /// After the current turn: the next one that is not passed over.
    #[inline(always)]
    pub(crate) fn done(self) -> Self {
        let skips = self.0 & SKIPS;
        let over = skips.trailing_ones();
        let turn = (self.turn() + 1 + u64::from(over)).min(NUMBER);
        Self((self.0 & !(RESET - 1)) | turn << NUMBER_SHIFT | skips >> over >> 1)
    }

    /// With a later turn marked to be passed over, if it is near enough.
    pub(crate) fn skipping(self, turn: u64) -> Option<Self> {
        let ahead = turn.checked_sub(self.turn() + 1).filter(|ahead| *ahead < AHEAD)?;
        Some(Self(self.0 | 1 << ahead))
    }

    /// At another turn, with nothing marked.
    pub(crate) fn reset(self, turn: u64) -> Self {
        Self((self.0 & !(RESET - 1)).wrapping_add(RESET) | turn << NUMBER_SHIFT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_follow_each_other() {
        let state = State::new(41);
        assert!(state.turn() == 41 && !state.is_begun());
        let state = state.begun();
        assert!(state.turn() == 41 && state.is_begun());
        assert_eq!(state.done(), State::new(42));
    }

    #[test]
    fn marked_turns_are_passed_over_and_the_marks_move_along() {
        let marked =
            [43, 44, 46, 56].iter().fold(State::new(42), |state, turn| state.skipping(*turn).unwrap());
        let next = marked.begun().done();
        assert!(next.turn() == 45 && !next.is_begun());
        let next = next.begun().done();
        assert_eq!(next.turn(), 47);
        let next = (47..55).fold(next, |state, turn| {
            assert_eq!(state.turn(), turn);
            state.begun().done()
        });
        assert_eq!(next.begun().done(), State::new(57));
    }

    #[test]
    fn only_the_next_turns_can_be_marked() {
        let state = State::new(42);
        for turn in [0, 41, 42, 58, u64::MAX] {
            assert_eq!(state.skipping(turn), None, "{turn}");
        }
        let all = (43..58).fold(state, |state, turn| state.skipping(turn).unwrap());
        assert_eq!(all.begun().done(), State::new(58));
    }

    #[test]
    fn resets_are_counted_and_the_last_number_stays() {
        let state = State::new(5).begun().skipping(7).unwrap().reset(5);
        assert!(state.turn() == 5 && !state.is_begun() && state != State::new(5));
        assert_eq!((0..15).fold(state, |state, _| state.reset(5)), State::new(5));
        assert_eq!(State::new(LAST).begun().done().turn(), LAST + 1);
        assert_eq!(State::new(LAST + 1).begun().done().turn(), LAST + 1);
    }
}
