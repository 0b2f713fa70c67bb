//! The differences that `docs/policies.md` lists, each recognised by its cause.

use std::cmp::Ordering;

use promote::config::{ImagePolicy, Policy};
use promote::elect::order;
use promote::model::Tag;

use super::reflector::Answer;

/// What a comparison shows; an error if it is a mistake.
pub(super) fn judge(
    rule: Option<&ImagePolicy>,
    tags: &[Tag],
    ours: Result<Option<Tag>, &String>,
    theirs: &Answer,
) -> Result<&'static str, ()> {
    let (Some(rule), Ok(ours)) = (rule, ours) else { return Err(()) };
    let numerical = matches!(rule.policy, Policy::Numerical { .. });
    match (ours, theirs) {
        (None, Answer::Failed(_)) => Ok("no tag"),
        (Some(ours), Answer::Elected(theirs)) if ours.as_str() == theirs => Ok("the same tag"),
        // One odd tag fails a policy of Flux; here it does not count.
        (Some(_), Answer::Failed(words)) if numerical && words.contains("invalid numeric value") => {
            Ok("listed: one odd tag fails no policy")
        }
        (ours, Answer::Elected(theirs)) => {
            let theirs: Tag = theirs.parse().map_err(|_| ())?;
            // What Go takes for a number, and nobody else does.
            if numerical && order::compare(rule, &theirs, &theirs).is_none() && tags.contains(&theirs) {
                return Ok("listed: inf, nan and hexadecimal are no numbers");
            }
            let ours = ours.ok_or(())?;
            match order::compare(rule, &ours, &theirs) {
                Some(Ordering::Equal) => Ok("listed: the order of equal tags"),
                // 64 bits can't tell them apart.
                Some(Ordering::Greater) if numerical && is_rounded(&ours, &theirs) => {
                    Ok("listed: no digit is lost")
                }
                _ => Err(()),
            }
        }
        _ => Err(()),
    }
}

/// Whether two tags hold numbers past 2^53 that are one number to 64 bits.
fn is_rounded(ours: &Tag, theirs: &Tag) -> bool {
    let number = |tag: &Tag| {
        let digits: String = tag.as_str().chars().filter(char::is_ascii_digit).collect();
        digits.parse::<f64>().ok().filter(|number| *number > 9e15)
    };
    match (number(ours), number(theirs)) {
        (Some(ours), Some(theirs)) => (ours - theirs).abs() <= f64::EPSILON * ours.max(theirs),
        _ => false,
    }
}
