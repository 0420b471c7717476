//! Two sequences of words, laid beside each other so that as few as possible differ.

/// What became of a word of the reference, or what stands where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// The word was written: positions in reference and hypothesis.
    Equal(usize, usize),
    /// Another word was written.
    Substitution(usize, usize),
    /// The word is missing.
    Deletion(usize),
    /// A word was written that nobody said: its position in the hypothesis.
    Insertion(usize),
}

/// Cells of the table that is filled at once; larger ones are cut in two.
const MAX_CELLS: usize = 1 << 20;

/// Aligns a hypothesis with a reference: an edit for each word of both, in order, with as few errors as possible.
///
/// Memory grows with the length of the texts, not with its square.
///
/// Source: D. S. Hirschberg, "A linear space algorithm for computing maximal common subsequences", 1975.
pub fn align<T: PartialEq>(reference: &[T], hypothesis: &[T]) -> Vec<Edit> {
    let mut edits = Vec::with_capacity(reference.len().max(hypothesis.len()));
    let whole = Part { reference, hypothesis, at: (0, 0) };
    whole.align(&mut edits);
    edits
}

/// Parts of both texts that belong together.
struct Part<'a, T> {
    reference: &'a [T],
    hypothesis: &'a [T],
    /// Where they begin.
    at: (usize, usize),
}

impl<T: PartialEq> Part<'_, T> {
    fn align(&self, edits: &mut Vec<Edit>) {
        let (n, m) = (self.reference.len(), self.hypothesis.len());
        let n_common = self.reference.iter().zip(self.hypothesis).take_while(|(x, y)| x == y).count();
        if n_common > 0 {
            edits.extend((0..n_common).map(|i| Edit::Equal(self.at.0 + i, self.at.1 + i)));
            self.part(n_common..n, n_common..m).align(edits);
        } else if n < 2 || (n + 1).saturating_mul(m + 1) <= MAX_CELLS {
            self.align_in_table(edits);
        } else {
            let middle = n / 2;
            let before = costs(self.reference[..middle].iter(), || self.hypothesis.iter());
            let after = costs(self.reference[middle..].iter().rev(), || self.hypothesis.iter().rev());
            let cost = |cut: &usize| before[*cut] + after[m - cut];
            let cut = (0..=m).min_by_key(cost).unwrap_or(0);
            self.part(0..middle, 0..cut).align(edits);
            self.part(middle..n, cut..m).align(edits);
        }
    }

    fn part(&self, reference: std::ops::Range<usize>, hypothesis: std::ops::Range<usize>) -> Self {
        let at = (self.at.0 + reference.start, self.at.1 + hypothesis.start);
        Self { reference: &self.reference[reference], hypothesis: &self.hypothesis[hypothesis], at }
    }

    /// Fills a table of costs and goes back through it.
    fn align_in_table(&self, edits: &mut Vec<Edit>) {
        let (n, m) = (self.reference.len(), self.hypothesis.len());
        let width = m + 1;
        let mut table: Vec<u32> = (0..=m as u32).collect(); // [n + 1, m + 1]
        for word in self.reference {
            let above = table.len() - width;
            table.push(table[above] + 1);
            for (j, other) in self.hypothesis.iter().enumerate() {
                let diagonal = table[above + j] + u32::from(word != other);
                let cost = diagonal.min(table[above + j + 1] + 1).min(table[table.len() - 1] + 1);
                table.push(cost);
            }
        }
        let first = edits.len();
        let (mut i, mut j) = (n, m);
        while i > 0 || j > 0 {
            let cost = table[i * width + j];
            let is_same = i > 0 && j > 0 && self.reference[i - 1] == self.hypothesis[j - 1];
            if i > 0 && j > 0 && table[(i - 1) * width + j - 1] + u32::from(!is_same) == cost {
                (i, j) = (i - 1, j - 1);
                let at = (self.at.0 + i, self.at.1 + j);
                edits.push(if is_same { Edit::Equal(at.0, at.1) } else { Edit::Substitution(at.0, at.1) });
            } else if i > 0 && table[(i - 1) * width + j] + 1 == cost {
                i -= 1;
                edits.push(Edit::Deletion(self.at.0 + i));
            } else {
                j -= 1;
                edits.push(Edit::Insertion(self.at.1 + j));
            }
        }
        edits[first..].reverse();
    }
}

/// The costs of aligning all of `reference` with every beginning of `hypothesis`.
fn costs<'a, T: PartialEq + 'a, H: Iterator<Item = &'a T>>(
    reference: impl Iterator<Item = &'a T>,
    hypothesis: impl Fn() -> H,
) -> Vec<u32> {
    let mut row: Vec<u32> = (0..=hypothesis().count() as u32).collect();
    for word in reference {
        let mut diagonal = row[0];
        row[0] += 1;
        for (j, other) in hypothesis().enumerate() {
            let cost = (diagonal + u32::from(word != other)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = cost;
        }
    }
    row
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn edits(reference: &str, hypothesis: &str) -> String {
        let (reference, hypothesis): (Vec<char>, Vec<char>) =
            (reference.chars().collect(), hypothesis.chars().collect());
        let letter = |edit: &Edit| match edit {
            Edit::Equal(..) => '=',
            Edit::Substitution(..) => 's',
            Edit::Deletion(_) => 'd',
            Edit::Insertion(_) => 'i',
        };
        align(&reference, &hypothesis).iter().map(letter).collect()
    }

    #[test]
    fn errors_are_as_few_as_possible() {
        let cases = [
            ("", "", ""),
            ("abc", "abc", "==="),
            ("abc", "", "ddd"),
            ("", "ab", "ii"),
            ("abc", "axc", "=s="),
            ("abcd", "acd", "=d=="),
            ("abc", "aabc", "=i=="),
            ("kitten", "sitting", "s===s=i"),
        ];
        for (reference, hypothesis, expected) in cases {
            assert_eq!(edits(reference, hypothesis), expected, "{reference} {hypothesis}");
        }
    }

    #[test]
    fn long_texts_are_aligned_in_parts() {
        let mut rng = fastrand::Rng::with_seed(3);
        let reference: Vec<u8> = (0..3000).map(|_| rng.u8(..20)).collect();
        let mut hypothesis = reference.clone();
        for _ in 0..300 {
            hypothesis[rng.usize(..3000)] = 99;
        }
        hypothesis.drain(1000..1050);
        let n_wrong = hypothesis.iter().filter(|word| **word == 99).count();
        let edits = align(&reference, &hypothesis);
        let n_errors = edits.iter().filter(|edit| !matches!(edit, Edit::Equal(..))).count();
        assert!(n_errors <= n_wrong + 50, "{n_errors} {n_wrong}");
        assert_eq!(
            edits.len(),
            3000 + edits.iter().filter(|edit| matches!(edit, Edit::Insertion(_))).count()
        );
    }

    proptest! {
        #[test]
        fn every_word_is_in_it_once(x in "[ab]{0,12}", y in "[ab]{0,12}") {
            let (x, y): (Vec<char>, Vec<char>) = (x.chars().collect(), y.chars().collect());
            let (mut i, mut j) = (0, 0);
            for edit in align(&x, &y) {
                match edit {
                    Edit::Equal(a, b) => prop_assert!((a, b) == (i, j) && x[a] == y[b]),
                    Edit::Substitution(a, b) => prop_assert!((a, b) == (i, j) && x[a] != y[b]),
                    Edit::Deletion(a) => prop_assert_eq!(a, i),
                    Edit::Insertion(b) => prop_assert_eq!(b, j),
                }
                i += usize::from(!matches!(edit, Edit::Insertion(_)));
                j += usize::from(!matches!(edit, Edit::Deletion(_)));
            }
            prop_assert_eq!((i, j), (x.len(), y.len()));
        }
    }
}
