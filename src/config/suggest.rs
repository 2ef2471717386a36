//! "Did you mean": the known word that is closest to a misspelt one.

/// Returns the candidate with the fewest edits from `word`: at most two, and fewer than half of the candidate's length.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::levenshtein(word, candidate), candidate))
        // Almost every short word is within two edits of any other.
        .filter(|(edits, candidate)| *edits <= 2 && edits * 2 < candidate.len())
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_word_is_at_most_two_edits_away() {
        let keys = ["listen", "path", "retention", "api_key"];
        assert_eq!(nearest("lisen", keys), Some("listen"));
        assert_eq!(nearest("retnetion", keys), Some("retention"));
        assert_eq!(nearest("apikey", keys), Some("api_key"));
        assert_eq!(nearest("port", keys), None);
        assert_eq!(nearest("", keys), None);
    }
}
