//! The known name that a mistyped one most likely means.

/// Longer names are not compared: the distance takes time by the square.
const LONGEST: usize = 40;

/// The candidate within two edits (one for names of up to four letters), letter case aside.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST {
        return None;
    }
    let allowed = if name.chars().count() <= 4 { 1 } else { 2 };
    let lower = name.to_lowercase();
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST && candidate.len().abs_diff(name.len()) <= allowed)
        .map(|candidate| (distance(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    let mut last = None;
    for (row, letter) in left.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in right.iter().enumerate() {
            let replaced = previous[column] + usize::from(letter != *other);
            let mut best = replaced.min(previous[column + 1] + 1).min(current[column] + 1);
            if column > 0 && last == Some(*other) && right[column - 1] == letter {
                best = best.min(before[column - 1] + 1);
            }
            current.push(best);
        }
        last = Some(letter);
        before = std::mem::replace(&mut previous, current);
    }
    previous[right.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn edits_and_swaps_are_counted() {
        for (left, right, edits) in
            [("", "ab", 2), ("intervall", "interval", 1), ("paht", "path", 1), ("abc", "xyz", 3)]
        {
            assert_eq!(distance(left, right), edits, "{left} {right}");
            assert_eq!(distance(right, left), edits, "{right} {left}");
        }
    }

    #[test]
    fn only_a_near_name_is_proposed() {
        assert_eq!(nearest("awz", ["local", "aws"]), Some("aws"));
        assert_eq!(nearest("onfailure", ["timeout", "onFailure"]), Some("onFailure"));
        assert_eq!(nearest("staging", ["local", "aws"]), None);
        assert_eq!(nearest(&"x".repeat(1000), ["x"]), None);
    }
}
