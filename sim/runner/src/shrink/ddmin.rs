//! Zeller's delta debugging: a subset that still fails, of which no single part can be left out.

/// Of the items 0 to `count`: those that must stay. `first` is given candidates, each the items that stay in ascending
/// order, and says which is the first that still fails. All items together are known to.
pub fn ddmin(count: usize, mut first: impl FnMut(&[Vec<usize>]) -> Option<usize>) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..count).collect();
    if kept.is_empty() {
        return kept;
    }
    if first(&[Vec::new()]).is_some() {
        return Vec::new();
    }
    let mut parts = 2;
    while kept.len() > 1 {
        let candidates = candidates(&kept, parts);
        let subsets = candidates.len() / 2;
        match first(&candidates) {
            Some(index) => {
                kept = candidates[index].clone();
                parts = if index < subsets {
                    2
                } else {
                    (parts - 1).max(2)
                };
            }
            None if parts >= kept.len() => break,
            None => parts = (parts * 2).min(kept.len()),
        }
    }
    kept
}

/// The parts, then what each part leaves.
fn candidates(kept: &[usize], parts: usize) -> Vec<Vec<usize>> {
    let bounds = |part: usize| (part * kept.len() / parts, (part + 1) * kept.len() / parts);
    let subsets = (0..parts).map(|part| {
        let (from, to) = bounds(part);
        kept[from..to].to_vec()
    });
    let rests = (0..parts).map(|part| {
        let (from, to) = bounds(part);
        [&kept[..from], &kept[to..]].concat()
    });
    subsets.chain(rests).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(count: usize, needed: &[usize]) -> (Vec<usize>, usize) {
        let mut tried = 0;
        let kept = ddmin(count, |candidates| {
            tried += candidates.len();
            let fails = |candidate: &Vec<usize>| needed.iter().all(|item| candidate.contains(item));
            candidates.iter().position(fails)
        });
        (kept, tried)
    }

    #[test]
    fn exactly_what_is_needed_stays() {
        for (count, needed) in [
            (0, vec![]),
            (1, vec![]),
            (1, vec![0]),
            (2, vec![1]),
            (10, vec![]),
            (10, vec![3]),
            (10, vec![0, 9]),
            (100, vec![1, 50, 51, 99]),
            (7, vec![0, 1, 2, 3, 4, 5, 6]),
        ] {
            assert_eq!(search(count, &needed).0, needed, "of {count}");
        }
    }

    #[test]
    fn one_of_many_is_found_in_logarithmic_time() {
        let (kept, tried) = search(1_024, &[700]);
        assert_eq!(kept, [700]);
        assert!(tried <= 1 + 4 * 10, "{tried}");
    }

    #[test]
    fn either_of_two_is_enough() {
        let kept = ddmin(8, |candidates| {
            candidates
                .iter()
                .position(|items| items.contains(&2) || items.contains(&6))
        });
        assert_eq!(kept.len(), 1);
    }

    #[test]
    fn a_judge_without_time_leaves_everything() {
        assert_eq!(ddmin(5, |_| None), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn no_single_item_can_be_left_out_of_what_stays() {
        // Fails with at least three items of which two are neighbours: not monotone.
        let fails = |items: &Vec<usize>| {
            items.len() >= 3 && items.windows(2).any(|pair| pair[1] == pair[0] + 1)
        };
        let kept = ddmin(12, |candidates| candidates.iter().position(fails));
        assert!(fails(&kept));
        for left_out in &kept {
            let rest = kept
                .iter()
                .copied()
                .filter(|item| item != left_out)
                .collect();
            assert!(!fails(&rest), "{left_out} of {kept:?}");
        }
    }
}
