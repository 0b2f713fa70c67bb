#![allow(clippy::unwrap_used)]
#![allow(clippy::unreadable_literal, reason = "digits as another program prints them")]
use super::*;

/// C(n, k), exactly.
fn choose(n: u64, k: u64) -> u128 {
    if k > n {
        return 0;
    }
    (0..k).fold(1_u128, |product, i| product * u128::from(n - i) / u128::from(i + 1))
}

#[expect(clippy::cast_precision_loss, reason = "a quotient of two integers, rounded once each")]
fn quotient(part: u128, whole: u128) -> f64 {
    part as f64 / whole as f64
}

const RATIOS: [f64; 5] = [1.25, 2.0, 7.5, 30.0, 100.0];

#[test]
fn every_bet_pays_1_on_average_where_the_version_is_not_worse() {
    for new in 1..=9 {
        for old in 1..=9 {
            for bad in 1..=new + old {
                let null = Null::among(new, old, bad);
                for ratio in RATIOS {
                    let paid: f64 = (bad.saturating_sub(old)..=new.min(bad))
                        .map(|k| {
                            let ways = choose(new, k) * choose(old, bad - k);
                            quotient(ways, choose(new + old, bad)) * null.pays(ratio, CAP, k).exp()
                        })
                        .sum();
                    assert!((paid - 1.0).abs() < 1e-12, "{new} {old} {bad} {ratio}: {paid}");
                }
            }
        }
    }
}

#[test]
fn every_bet_on_a_goal_pays_1_on_average_where_it_is_just_met() {
    for requests in [1, 2, 7, 15, 40, 100] {
        for allowed in [0.001, 0.005, 0.05, 0.3] {
            let null = Null::at_most(requests, allowed);
            for ratio in RATIOS {
                let paid: f64 = (0..=requests)
                    .map(|k| {
                        let (bad, good) = (i32::try_from(k).unwrap(), i32::try_from(requests - k).unwrap());
                        let chance = quotient(choose(requests, k), 1)
                            * f64::powi(allowed, bad)
                            * f64::powi(1.0 - allowed, good);
                        chance * null.pays(ratio, CAP, k).exp()
                    })
                    .sum();
                assert!((paid - 1.0).abs() < 1e-12, "{requests} {allowed} {ratio}: {paid}");
            }
        }
    }
}

#[test]
fn every_bet_pays_at_most_1_on_average_where_the_goal_is_more_than_met() {
    let null = Null::at_most(60, 0.05);
    let better = Null::at_most(60, 0.02);
    let (first, shares) = better.shares();
    for ratio in RATIOS {
        let paid: f64 =
            shares.iter().zip(first..).map(|(share, k)| share * null.pays(ratio, CAP, k).exp()).sum();
        assert!(paid < 1.0, "{ratio}: {paid}");
    }
}

#[test]
fn without_the_cap_a_bet_pays_the_likelihood_ratio_of_another_implementation() {
    for (new, old, bad, ratio, k, expected) in NON_CENTRAL {
        let null = Null::among(new, old, bad);
        let (first, shares) = null.shares();
        let chance = shares[usize::try_from(k - first).unwrap()] * null.pays(ratio, f64::INFINITY, k).exp();
        assert!((chance / expected - 1.0).abs() < 1e-9, "{new} {old} {bad} {ratio} {k}: {chance} {expected}");
    }
}

#[test]
fn the_null_is_the_hypergeometric_distribution_also_of_many_requests() {
    // 3,000,000 requests with 30,000 bad ones: mean and variance in closed form.
    let (new, old, bad) = (1_000_000_u64, 2_000_000_u64, 30_000_u64);
    let null = Null::among(new, old, bad);
    let (first, shares) = null.shares();
    let mean: f64 = shares.iter().zip(first..).map(|(share, k)| share * float(k)).sum();
    let variance: f64 = shares.iter().zip(first..).map(|(share, k)| share * (float(k) - mean).powi(2)).sum();
    assert!((mean - 10_000.0).abs() < 1e-6, "{mean}");
    let expected = 30_000.0 * (1.0 / 3.0) * (2.0 / 3.0) * (2_970_000.0 / 2_999_999.0);
    assert!((variance / expected - 1.0).abs() < 1e-9, "{variance} {expected}");
    assert!(shares.len() < 3000, "only what counts is kept: {}", shares.len());
}

#[test]
fn a_burst_pays_no_more_than_the_cap() {
    assert!((Null::among(1000, 1000, 900).pays(100.0, CAP, 900).exp() - CAP).abs() < 1e-9);
    assert!((Null::at_most(1_000_000, 0.001).pays(100.0, CAP, 1_000_000).exp() - CAP).abs() < 1e-9);
}

proptest::proptest! {
    #[test]
    fn the_two_versions_are_treated_alike(new in 1_u64..400, old in 1_u64..400, part in 0_u64..=100) {
        let bad = (new + old) * part / 100;
        let (ours, theirs) = (Null::among(new, old, bad), Null::among(old, new, bad));
        let (first, shares) = ours.shares();
        let (first_of_old, shares_of_old) = theirs.shares();
        for (share, k) in shares.iter().zip(first..) {
            let mirrored = usize::try_from(bad - k).unwrap().checked_sub(usize::try_from(first_of_old).unwrap());
            let other = mirrored.and_then(|place| shares_of_old.get(place)).copied().unwrap_or(0.0);
            proptest::prop_assert!((share - other).abs() < 1e-12, "{} {} {}", k, share, other);
        }
    }

    #[test]
    fn more_bad_requests_never_pay_less(new in 1_u64..2000, old in 1_u64..2000, bad in 1_u64..500, ratio in 1.01_f64..200.0) {
        let bad = bad.min(new + old);
        let null = Null::among(new, old, bad);
        let low = bad.saturating_sub(old);
        let paid: Vec<f64> = (low..=new.min(bad)).map(|k| null.pays(ratio, CAP, k)).collect();
        proptest::prop_assert!(paid.iter().all(|paid| paid.is_finite()));
        proptest::prop_assert!(paid.is_sorted());
    }
}

/// Requests of the new and the old version, bad ones, odds ratio, bad ones of the new version, and how likely that is:
/// Fisher's non-central hypergeometric distribution as `scipy` 1.17.1 has it (`nchypergeom_fisher.pmf`).
const NON_CENTRAL: [(u64, u64, u64, f64, u64, f64); 64] = [
    (15, 15, 3, 1.25, 0, 0.07881026806857976),
    (15, 15, 3, 1.25, 1, 0.3410059676044335),
    (15, 15, 3, 2.0, 0, 0.033591731266149734),
    (15, 15, 3, 2.0, 1, 0.23255813953488408),
    (15, 15, 3, 10.0, 0, 0.0007237098480209308),
    (15, 15, 3, 10.0, 1, 0.025051494739186234),
    (15, 15, 3, 10.0, 2, 0.2505149473918622),
    (15, 15, 3, 100.0, 0, 9.662185468920357e-07),
    (15, 15, 3, 100.0, 1, 0.0003344602662318605),
    (15, 15, 3, 100.0, 2, 0.03344602662318607),
    (15, 135, 4, 1.25, 0, 0.591841719486563),
    (15, 135, 4, 1.25, 2, 0.06636981005008824),
    (15, 135, 4, 2.0, 0, 0.44743578364366643),
    (15, 135, 4, 2.0, 2, 0.1284504642039431),
    (15, 135, 4, 10.0, 0, 0.05436001133551021),
    (15, 135, 4, 10.0, 2, 0.39014362202525354),
    (15, 135, 4, 100.0, 0, 6.360809168029017e-05),
    (15, 135, 4, 100.0, 2, 0.04565174044040667),
    (15, 135, 4, 100.0, 3, 0.29526001279863495),
    (30, 20, 20, 1.25, 0, 1.3556050927635108e-15),
    (30, 20, 20, 1.25, 10, 0.07008164674280636),
    (30, 20, 20, 1.25, 12, 0.21493273633027432),
    (30, 20, 20, 2.0, 0, 2.585758685413355e-18),
    (30, 20, 20, 2.0, 10, 0.014698023081890913),
    (30, 20, 20, 2.0, 13, 0.19665407184729522),
    (30, 20, 20, 10.0, 0, 1.8472223374874586e-29),
    (30, 20, 20, 10.0, 10, 1.0253925268284545e-06),
    (30, 20, 20, 10.0, 17, 0.25219429986172553),
    (30, 20, 20, 100.0, 0, 2.3387619803182204e-48),
    (30, 20, 20, 100.0, 10, 1.2982460248454585e-15),
    (30, 20, 20, 100.0, 19, 0.25552050465487824),
    (200, 900, 19, 1.25, 0, 0.009177623701136225),
    (200, 900, 19, 1.25, 4, 0.2212807992291751),
    (200, 900, 19, 1.25, 9, 0.008008800191238018),
    (200, 900, 19, 2.0, 0, 0.0009071121567826303),
    (200, 900, 19, 2.0, 5, 0.1902514617290088),
    (200, 900, 19, 2.0, 9, 0.05439738753935113),
    (200, 900, 19, 10.0, 0, 2.8027450180240664e-10),
    (200, 900, 19, 10.0, 9, 0.03282696136723562),
    (200, 900, 19, 10.0, 12, 0.17303900307595774),
    (200, 900, 19, 100.0, 0, 2.061013705258157e-26),
    (200, 900, 19, 100.0, 9, 2.413948355799795e-09),
    (200, 900, 19, 100.0, 18, 0.37646428488928146),
    (1500, 1500, 45, 1.25, 0, 1.0187705599039473e-16),
    (1500, 1500, 45, 1.25, 22, 0.08004531866277273),
    (1500, 1500, 45, 1.25, 24, 0.1144932080654508),
    (1500, 1500, 45, 2.0, 0, 2.511990481217055e-22),
    (1500, 1500, 45, 2.0, 22, 0.006108255002456479),
    (1500, 1500, 45, 2.0, 29, 0.11936814525304713),
    (1500, 1500, 45, 10.0, 0, 1.2267628582838595e-47),
    (1500, 1500, 45, 10.0, 22, 7.112133238058409e-13),
    (1500, 1500, 45, 10.0, 40, 0.1716001512752447),
    (1500, 1500, 45, 100.0, 0, 6.30597194507403e-91),
    (1500, 1500, 45, 100.0, 22, 3.6558746758575306e-34),
    (1500, 1500, 45, 100.0, 44, 0.2923441664094027),
    (3, 40, 5, 1.25, 0, 0.6275370370800851),
    (3, 40, 5, 1.25, 1, 0.32684220681254506),
    (3, 40, 5, 2.0, 0, 0.49431618422594586),
    (3, 40, 5, 2.0, 1, 0.41193015352162216),
    (3, 40, 5, 10.0, 0, 0.09211014783918907),
    (3, 40, 5, 10.0, 1, 0.38379228266328874),
    (3, 40, 5, 100.0, 0, 0.0005957654045893955),
    (3, 40, 5, 100.0, 1, 0.024823558524558236),
    (3, 40, 5, 100.0, 2, 0.26836279486008935),
];
