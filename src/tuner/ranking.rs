//! Things in their order, each with its rank, kept so as they come and go.

/// Most things of a block; one that is fuller is cut in two.
const BLOCK: usize = 512;

/// A sorted set that knows how many come before each. Kept in blocks: a change moves half a block at most, and a rank sums
/// up the blocks before it.
#[derive(Clone, Debug)]
pub(super) struct Ranking<T> {
    /// None is empty.
    blocks: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Ranking<T> {
    fn default() -> Self {
        Ranking { blocks: Vec::new(), len: 0 }
    }
}

impl<T: Ord> Ranking<T> {
    /// Adds one, unless it is there.
    pub fn insert(&mut self, one: T) {
        let at = self.block_of(&one);
        let Some(block) = self.blocks.get_mut(at) else {
            self.blocks.push(vec![one]);
            self.len += 1;
            return;
        };
        let Err(place) = block.binary_search(&one) else { return };
        block.insert(place, one);
        self.len += 1;
        if block.len() > BLOCK {
            let second = block.split_off(BLOCK / 2);
            self.blocks.insert(at + 1, second);
        }
    }

    /// Takes one out, if it is there.
    pub fn remove(&mut self, one: &T) {
        let at = self.block_of(one);
        let Some(block) = self.blocks.get_mut(at) else { return };
        let Ok(place) = block.binary_search(one) else { return };
        block.remove(place);
        self.len -= 1;
        if block.is_empty() {
            self.blocks.remove(at);
        }
    }

    /// How many come before it, whether it is there or not.
    pub fn rank(&self, one: &T) -> usize {
        let at = self.block_of(one);
        let before: usize = self.blocks.iter().take(at).map(Vec::len).sum();
        before + self.blocks.get(at).map_or(0, |block| block.partition_point(|other| other < one))
    }

    /// The first first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.blocks.iter().flatten()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The block that it is in or belongs into: the last that does not begin behind it.
    fn block_of(&self, one: &T) -> usize {
        let behind = self.blocks.partition_point(|block| block.first().is_some_and(|first| first <= one));
        behind.saturating_sub(1)
    }
}

/// So many of these: the first of each, then the second of each, and so on.
pub(super) fn in_turn(mut each: Vec<impl Iterator<Item = u64>>, most: usize) -> Vec<u64> {
    let mut taken = Vec::new();
    while taken.len() < most {
        let round: Vec<u64> = each.iter_mut().filter_map(Iterator::next).collect();
        if round.is_empty() {
            break;
        }
        taken.extend(round);
    }
    taken.truncate(most);
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]

        #[test]
        fn is_what_a_sorted_set_is(changes in prop::collection::vec((0_u32..3_000, any::<bool>()), 0..4_000), asked in prop::collection::vec(0_u32..3_000, 20)) {
            let (mut ranking, mut set) = (Ranking::default(), BTreeSet::new());
            // Enough for several blocks.
            for one in (0..1_500).map(|one| one * 2) {
                ranking.insert(one);
                set.insert(one);
            }
            for (one, add) in changes {
                if add {
                    ranking.insert(one);
                    set.insert(one);
                } else {
                    ranking.remove(&one);
                    set.remove(&one);
                }
            }
            prop_assert!(ranking.iter().eq(set.iter()));
            prop_assert_eq!(ranking.len(), set.len());
            for one in asked {
                prop_assert_eq!(ranking.rank(&one), set.range(..one).count());
            }
        }
    }
}
