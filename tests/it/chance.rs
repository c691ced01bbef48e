//! Chance that follows from a seed: the same seed, the same run.

/// A series of numbers (splitmix64).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The series of `seed`. Neighbouring seeds have nothing in common.
    pub fn new(seed: u64) -> Chance {
        let mut chance = Chance(seed.wrapping_mul(0xd6e8_feb8_6659_fd93) ^ 0x5851_f42d_4c95_7f2d);
        chance.number();
        chance
    }

    /// A series of its own, which takes one number of this one.
    pub fn branch(&mut self) -> Chance {
        Chance::new(self.number())
    }

    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// `from <= number < until`
    pub fn range(&mut self, from: i64, until: i64) -> i64 {
        let width = (until - from).unsigned_abs();
        from + i64::try_from(self.number() % width).unwrap()
    }

    /// Below `until`.
    pub fn below(&mut self, until: usize) -> usize {
        usize::try_from(self.number() % until as u64).unwrap()
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of `all`, which is not empty.
    pub fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }
}
