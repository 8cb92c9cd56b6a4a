//! The market that is for sale: all of it follows from an item's number, so that whoever gets an answer
//! can tell whether it is right.

/// How much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct World {
    pub(crate) items: u32,
}

/// A bid, wherever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Bid {
    /// Of the caller's choosing; one key stands for one bid.
    pub(crate) key: u64,
    pub(crate) item: u32,
    pub(crate) user: u32,
    pub(crate) amount: u64,
}

const SYLLABLES: [&str; 16] = [
    "ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "ri", "so", "tu", "wa",
];
const WORDS_OF_AN_ITEM: u64 = 24;
pub(crate) const CATEGORIES: u32 = 50;
pub(crate) const RATINGS_OF_A_USER: u64 = 8;
/// Keys of the bids that were there before anybody came have this bit.
pub(crate) const SEEDED: u64 = 1 << 63;
/// Bids of an item that were there before.
pub(crate) const SEEDED_BIDS: u64 = 2;

/// Spreads a number over all others (the finaliser of splitmix64).
pub(crate) const fn mix(number: u64) -> u64 {
    let mut x = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[expect(clippy::cast_possible_truncation, reason = "less than `bound`")]
pub(crate) const fn below(number: u64, bound: u32) -> u32 {
    (mix(number) % bound as u64) as u32
}

impl World {
    pub(crate) const fn users(self) -> u32 {
        self.items / 4
    }

    /// A word of an item's text.
    pub(crate) fn word(item: u32, place: u64) -> String {
        let mut at = mix(u64::from(item) * WORDS_OF_AN_ITEM + place % WORDS_OF_AN_ITEM);
        let mut word = String::with_capacity(6);
        for _ in 0..3 {
            word.push_str(SYLLABLES[(at % 16) as usize]);
            at /= 16;
        }
        word
    }

    /// What an item is.
    pub(crate) fn text(item: u32) -> String {
        let words: Vec<String> = (0..WORDS_OF_AN_ITEM)
            .map(|place| Self::word(item, place))
            .collect();
        words.join(" ")
    }

    pub(crate) const fn category(item: u32) -> u32 {
        item % CATEGORIES
    }

    pub(crate) fn stars(user: u32, rating: u64) -> u64 {
        mix(u64::from(user) * RATINGS_OF_A_USER + rating) % 5 + 1
    }

    /// All stars of a user together.
    pub(crate) fn rating(user: u32) -> u64 {
        (0..RATINGS_OF_A_USER)
            .map(|rating| Self::stars(user, rating))
            .sum()
    }

    /// The bids of an item that were there before.
    pub(crate) fn seeded(self, item: u32) -> impl Iterator<Item = Bid> {
        (0..SEEDED_BIDS).map(move |place| {
            let number = u64::from(item) * SEEDED_BIDS + place;
            Bid {
                key: number | SEEDED,
                item,
                user: below(number, self.users()),
                amount: mix(number) % 1_000 + 1,
            }
        })
    }
}

/// What the exchange asks for a bid.
pub(crate) const fn fee(amount: u64) -> u64 {
    amount * 3 / 100 + 1
}
