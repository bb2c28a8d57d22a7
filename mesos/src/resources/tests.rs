use proptest::prelude::*;

use super::*;
use crate::v1::resource::{AllocationInfo, ReservationInfo, RevocableInfo, SharedInfo, reservation_info};
use crate::v1::{Label, Labels};

fn cpus(value: f64) -> Resource {
    scalar("cpus", Quantity::new(value))
}

fn reserved(piece: Resource, role: &str) -> Resource {
    let reservation = ReservationInfo { role: Some(role.into()), ..ReservationInfo::default() };
    let allocation_info = Some(AllocationInfo { role: Some(role.into()) });
    Resource { reservations: vec![reservation], allocation_info, ..piece }
}

#[test]
fn tenths_add_up() {
    let resources = Resources::from(vec![cpus(0.1), cpus(0.2), scalar("mem", Quantity::whole(5))]);
    assert_eq!(resources.sum("cpus"), Quantity::new(0.3));
    assert_eq!(resources.as_slice()[0].scalar, Some(value::Scalar { value: 0.3 }));
    assert_eq!(Quantity::new(0.3).to_string(), "0.3");
    assert_eq!(resources.sum("gpus"), Quantity::ZERO);
}

#[test]
fn odd_numbers_from_a_peer_are_nothing() {
    for value in [f64::NAN, -1.0, f64::NEG_INFINITY, 0.0004] {
        assert_eq!(Quantity::new(value), Quantity::ZERO);
    }
    assert_eq!(Quantity::new(0.0005), Quantity::from_milli(1));
    assert_eq!(Quantity::new(f64::INFINITY).milli(), u64::MAX);
    let mut odd = ranges("ports", [1..=9, 5..=5]);
    odd.ranges.as_mut().unwrap().range[0].end = 0;
    assert_eq!(Resources::from(vec![odd]).count("ports"), 1);
    let huge = ranges("ports", [0..=u64::MAX, 0..=u64::MAX]);
    assert_eq!(Resources::from(vec![huge]).count("ports"), u64::MAX);
}

#[test]
fn only_numbers_in_range_are_kept() {
    let backwards = value::Range { begin: 9, end: 3 };
    let mut odd = ranges("ports", [65_530..=u64::MAX, 0..=0, 0..=2, 2..=5, 1..=1]);
    odd.ranges.as_mut().unwrap().range.push(backwards);
    let mut offer = Resources::from(vec![odd, ranges("ports", [0..=0]), cpus(1.0)]);
    offer.keep_values("ports", 1..=65_535);
    assert_eq!(offer.as_slice(), [ranges("ports", [1..=5, 65_530..=65_535]), cpus(1.0)]);
    let (ports, _) = offer.take_values("ports", 6).unwrap();
    assert_eq!(ports, [1, 2, 3, 4, 5, 65_530], "each number is there once");
    let mut unusable = Resources::from(vec![reserved(ranges("ports", [0..=0]), "a")]);
    unusable.keep_values("ports", 1..=65_535);
    assert!(unusable.is_empty());
}

/// A piece with a stack of reservations, as Mesos writes it for frameworks with RESERVATION_REFINEMENT: each refines the previous
/// one.
fn refined(piece: Resource, label: &str) -> Resource {
    let by = |kind: reservation_info::Type, role: &str, principal: Option<&str>| {
        let key = || Label { key: "team".to_owned(), value: Some(label.to_owned()) };
        ReservationInfo {
            r#type: Some(kind.into()),
            role: Some(role.to_owned()),
            principal: principal.map(str::to_owned),
            labels: principal.map(|_| Labels { labels: vec![key()] }),
        }
    };
    let reservations = vec![
        by(reservation_info::Type::Static, "a", None),
        by(reservation_info::Type::Dynamic, "a/b", Some("operator")),
    ];
    let allocation_info = Some(AllocationInfo { role: Some("a/b".to_owned()) });
    Resource { reservations, allocation_info, ..piece }
}

#[test]
fn reservations_that_refine_others_are_kept_whole_and_apart() {
    let parts = || vec![refined(cpus(1.0), "x"), refined(cpus(2.0), "y"), refined(cpus(0.5), "x")];
    let mut offer = Resources::from(parts());
    assert_eq!(offer.as_slice(), [refined(cpus(1.5), "x"), refined(cpus(2.0), "y")]);
    let taken = offer.take("cpus", Quantity::whole(2)).unwrap();
    assert_eq!(taken.as_slice(), [refined(cpus(1.5), "x"), refined(cpus(0.5), "y")]);
    let whole = Resources::from(parts());
    assert!(whole.contains(&taken) && whole.contains(&offer));
    assert!(!whole.contains(&Resources::from(vec![reserved(cpus(0.1), "a")])), "another stack");
}

#[test]
fn a_part_keeps_what_makes_it_acceptable() {
    let mut offer = Resources::from(vec![reserved(cpus(1.0), "a"), reserved(cpus(2.0), "b")]);
    let taken = offer.take("cpus", Quantity::new(1.5)).unwrap();
    assert_eq!(taken.as_slice(), [reserved(cpus(1.0), "a"), reserved(cpus(0.5), "b")]);
    assert_eq!(offer.as_slice(), [reserved(cpus(1.5), "b")]);
}

#[test]
fn takes_all_or_nothing() {
    let mut offer = Resources::from(vec![cpus(1.0), ranges("ports", [1..=2])]);
    let before = offer.clone();
    let error = offer.take("cpus", Quantity::new(1.001)).unwrap_err();
    assert_eq!(error.to_string(), "1.001 cpus wanted, but only 1 available");
    assert_eq!(
        offer.take_values("ports", 3).unwrap_err().to_string(),
        "3 ports wanted, but only 2 available"
    );
    assert!(offer.take_value("ports", 3).is_none());
    assert_eq!(offer, before);
    assert_eq!(offer.take("cpus", Quantity::ZERO), Ok(Resources::default()));
    assert_eq!(offer.take_all("cpus").as_slice(), [cpus(1.0)]);
    assert!(offer.take_all("cpus").is_empty());
}

#[test]
fn leaves_alone_what_cannot_be_divided() {
    let shared = Resource { shared: Some(SharedInfo {}), ..scalar("disk", Quantity::whole(9)) };
    let mut offer = Resources::from(vec![shared.clone(), shared.clone()]);
    assert_eq!(offer.as_slice().len(), 2);
    assert_eq!(offer.sum("disk"), Quantity::whole(18));
    assert_eq!(offer.take("disk", Quantity::whole(1)).unwrap_err().available, Quantity::ZERO);
}

#[test]
fn tells_revocable_from_other_resources() {
    let idle = Resource { revocable: Some(RevocableInfo {}), ..cpus(3.0) };
    let mut offer = Resources::from(vec![cpus(1.0), idle.clone()]);
    let revocable = offer.split_off(|piece| piece.revocable.is_some());
    assert_eq!(revocable.as_slice(), [idle]);
    assert_eq!(offer.sum("cpus"), Quantity::whole(1));
}

#[test]
fn takes_ports_across_ranges_and_roles() {
    let mut offer = Resources::from(vec![
        ranges("ports", [31000..=31000, 32000..=32001]),
        reserved(ranges("ports", [40000..=40009]), "a"),
    ]);
    let (numbers, taken) = offer.take_values("ports", 4).unwrap();
    assert_eq!(numbers, [31000, 32000, 32001, 40000]);
    assert_eq!(
        taken.as_slice(),
        [ranges("ports", [31000..=31000, 32000..=32001]), reserved(ranges("ports", [40000..=40000]), "a")]
    );
    let one = offer.take_value("ports", 40005).unwrap();
    assert_eq!(one.as_slice(), [reserved(ranges("ports", [40005..=40005]), "a")]);
    assert_eq!(offer.as_slice(), [reserved(ranges("ports", [40001..=40004, 40006..=40009]), "a")]);
}

#[test]
fn a_part_of_another_kind_is_not_contained() {
    let allocated = |piece: Resource, role: &str| {
        let allocation_info = Some(AllocationInfo { role: Some(role.into()) });
        Resource { allocation_info, ..piece }
    };
    let idle = Resource { revocable: Some(RevocableInfo {}), ..cpus(2.0) };
    let total = Resources::from(vec![allocated(cpus(1.0), "*"), idle.clone(), ranges("ports", [1..=9])]);
    for contained in [allocated(cpus(0.6), "*"), idle, cpus(0.0), ranges("ports", [2..=3, 3..=4])] {
        assert!(total.contains(&vec![contained.clone()].into()), "{contained:?}");
    }
    for missing in [
        allocated(cpus(1.001), "*"),
        allocated(cpus(0.6), "other"),
        cpus(0.1),
        scalar("mem", Quantity::whole(1)),
        ranges("ports", [9..=10]),
        scalar("ports", Quantity::whole(1)),
    ] {
        assert!(!total.contains(&vec![missing.clone()].into()), "{missing:?}");
    }
    let mut left = total.clone();
    assert!(left.subtract(&total) && left.is_empty());
    assert!(!left.subtract(&total) && left.is_empty(), "nothing is subtracted twice");
}

proptest! {
    #[test]
    fn what_is_subtracted_can_be_added_again(parts in prop::collection::vec((0u64..50, 0u64..10), 0..8)) {
        let ports = |list: &[(u64, u64)]| {
            Resources::from(vec![ranges("ports", list.iter().map(|&(begin, end)| begin..=end))])
        };
        let parts: Vec<_> = parts.into_iter().map(|(begin, length)| (begin, begin + length)).collect();
        let (all, taken) = (ports(&[(0, 100)]), ports(&parts));
        let mut rest = all.clone();
        prop_assert!(rest.subtract(&taken));
        for port in 0..=100 {
            let one = ports(&[(port, port)]);
            prop_assert_ne!(rest.contains(&one), taken.contains(&one));
        }
        rest.extend(taken);
        prop_assert!(rest.contains(&all) && all.contains(&rest));
    }

    #[test]
    fn nothing_is_lost_or_made(
        pieces in prop::collection::vec((0u64..5000, 0usize..3), 0..6),
        wanted in 0u64..20_000,
    ) {
        let roles = ["a", "b", "c"];
        let pieces = pieces.into_iter().map(|(milli, role)| {
            reserved(scalar("cpus", Quantity::from_milli(milli)), roles[role])
        });
        let mut offer = Resources::from(pieces.collect::<Vec<_>>());
        let before = offer.sum("cpus");
        match offer.take("cpus", Quantity::from_milli(wanted)) {
            Ok(taken) => {
                prop_assert_eq!(taken.sum("cpus").milli(), wanted);
                prop_assert_eq!(taken.sum("cpus") + offer.sum("cpus"), before);
            }
            Err(_) => prop_assert!(wanted > before.milli() && offer.sum("cpus") == before),
        }
    }

    #[test]
    fn ports_are_handed_out_once(ends in prop::collection::vec((0u64..50, 0u64..8), 0..5), count in 0usize..30) {
        let mut begin = 0;
        let list: Vec<_> = ends.into_iter().map(|(gap, length)| {
            let range = begin + gap..=begin + gap + length;
            begin = range.end() + 2;
            range
        }).collect();
        let mut offer = Resources::from(vec![ranges("ports", list.clone())]);
        let before = offer.count("ports");
        if let Ok((numbers, taken)) = offer.take_values("ports", count) {
            let expected: Vec<_> = list.into_iter().flatten().take(count).collect();
            prop_assert_eq!(&numbers, &expected);
            prop_assert_eq!(taken.count("ports"), count as u64);
            prop_assert_eq!(offer.count("ports"), before - count as u64);
            for number in numbers {
                prop_assert!(offer.clone().take_value("ports", number).is_none());
            }
        } else {
            prop_assert!(count as u64 > before);
        }
    }
}
