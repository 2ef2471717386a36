//! "Did you mean": the known word that is closest to a misspelt one.

/// The candidate that is at most two edits away from `word`, the closest first.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        // A short word is two edits away from everything.
        .filter(|(edits, candidate)| *edits <= 2 && edits * 2 < candidate.len())
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many bytes must be inserted, removed or replaced to make `a` of `b`.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_at_most_two_edits_away() {
        let keys = ["listen", "path", "retention", "api_key"];
        assert_eq!(nearest("lisen", keys), Some("listen"));
        assert_eq!(nearest("retnetion", keys), Some("retention"));
        assert_eq!(nearest("apikey", keys), Some("api_key"));
        assert_eq!(nearest("port", keys), None);
        assert_eq!(nearest("", keys), None);
    }
}
