//! Tests that a page has what was asked for, and that the next one begins where it ends.

use proptest::prelude::*;

use super::*;
use crate::QueryParameters;

#[derive(Clone, Debug, PartialEq)]
struct Miner {
    number: u64,
    host: String,
    rate: Option<f64>,
}

const HOST: KeyOf<Miner> = |row| row.host.as_str().into();
const RATE: KeyOf<Miner> = |row| Key::number(row.rate);

impl Listing for Miner {
    type Key = KeyOf<Self>;
    const KEYS: &'static [(&'static str, KeyOf<Self>)] = &[("host", HOST), ("rate", RATE)];
}

impl Row for Miner {
    fn id(&self) -> Cow<'_, str> {
        self.number.to_string().into()
    }

    fn is_after(&self, id: &str) -> bool {
        id.parse().is_ok_and(|id: u64| self.number > id)
    }

    fn has(&self, search: Search<'_>) -> bool {
        search.is_in(&self.host)
    }
}

fn miner(number: u64, host: &str, rate: Option<f64>) -> Miner {
    Miner { number, host: host.into(), rate }
}

fn wanted(limit: usize) -> PageQuery<Miner> {
    PageQuery { limit, ..PageQuery::read(QueryParameters::default()).unwrap() }
}

fn by(name: &str) -> Option<Sort<KeyOf<Miner>>> {
    let key = name.trim_start_matches('-');
    let (_, key) = Miner::KEYS.iter().find(|(known, _)| *known == key).unwrap();
    Some(Sort { key: *key, descending: name.starts_with('-') })
}

fn numbers(rows: &Rows<'_, Miner>) -> Vec<u64> {
    rows.rows.iter().map(|row| row.number).collect()
}

/// All pages of a query, one after the other.
fn all(rows: &[Miner], wanted: &PageQuery<Miner>) -> Vec<u64> {
    let (mut seen, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = page(rows.iter(), &PageQuery { after: after.clone(), ..wanted.clone() }).unwrap();
        assert!(page.rows.len() <= wanted.limit);
        seen.extend(numbers(&page));
        match page.next {
            Some(next) => after = Some(next),
            None => return seen,
        }
    }
}

#[test]
fn a_page_is_searched_sorted_and_cut() {
    let rows = [
        miner(1, "Rack-a", Some(3.0)),
        miner(2, "rack-b", None),
        miner(3, "c", Some(0.5)),
        miner(4, "RACK-a", Some(9.0)),
    ];
    let first = page(rows.iter(), &wanted(2)).unwrap();
    assert_eq!((numbers(&first), first.next.as_deref(), first.total), (vec![1, 2], Some("2"), 4));
    let sorted = |name| all(&rows, &PageQuery { sort: by(name), ..wanted(2) });
    assert_eq!(sorted("rate"), [3, 1, 4, 2], "what has no value comes last");
    assert_eq!(sorted("-rate"), [4, 1, 3, 2]);
    assert_eq!(sorted("host"), [4, 1, 3, 2]);
    let found = page(rows.iter(), &PageQuery { search: Some("RACK-A".to_owned()), ..wanted(2) }).unwrap();
    assert_eq!((numbers(&found), found.next, found.total), (vec![1, 4], None, 2));
    let none =
        page(rows.iter(), &PageQuery { search: Some("rack-a and more".to_owned()), ..wanted(2) }).unwrap();
    assert_eq!((none.rows.len(), none.total), (0, 0));
}

#[test]
fn the_next_page_begins_where_the_last_one_ended_although_its_last_row_has_changed() {
    let mut rows = vec![miner(1, "a", Some(1.0)), miner(2, "b", Some(0.1)), miner(3, "c", Some(3.0))];
    let by_rate = PageQuery { sort: by("rate"), ..wanted(2) };
    let next = page(rows.iter(), &by_rate).unwrap().next.unwrap();
    rows[0].rate = None;
    let after = |rows: &[Miner]| {
        numbers(&page(rows.iter(), &PageQuery { after: Some(next.clone()), ..by_rate.clone() }).unwrap())
    };
    assert_eq!(after(&rows), [3, 1]);
    rows.remove(0);
    assert_eq!(after(&rows), [3]);
}

#[test]
fn a_place_that_does_not_belong_to_the_order_is_refused() {
    let rows = [miner(1, "a", None)];
    for after in ["7", "[]", "[1,2]", "[\"a\"]", "{"] {
        let wanted = PageQuery { after: Some(after.to_owned()), sort: by("rate"), ..wanted(1) };
        match page(rows.iter(), &wanted) {
            Err(RequestError::NotFound(text)) => assert!(text.contains("is no place in this order")),
            other => panic!("{after}: {other:?}"),
        }
    }
}

proptest! {
    #[test]
    fn pages_have_each_row_once_and_in_order(
        miners in prop::collection::vec((0u8..4, prop::option::of(-3i8..3)), 0..40),
        limit in 1usize..50,
        sort in prop::option::of(prop::sample::select(vec!["host", "-host", "rate", "-rate"])),
        search in prop::option::of(0u8..5),
    ) {
        let rows: Vec<Miner> = (0..).zip(miners).map(|(number, (host, rate))| {
            miner(number, &format!("host{host}"), rate.map(f64::from))
        }).collect();
        let search = search.map(|host| format!("T{host}"));
        let wanted = PageQuery { sort: sort.and_then(by), search: search.clone(), ..wanted(limit) };
        let mut expected: Vec<&Miner> = rows.iter().filter(|row| {
            search.as_ref().is_none_or(|text| row.host.ends_with(&text[1..]))
        }).collect();
        let id = |row: &Miner| row.number.to_string();
        let missing = |row: &Miner| row.rate.is_none();
        match sort {
            Some("host") => expected.sort_by_key(|row| (row.host.clone(), id(row))),
            Some("-host") => expected.sort_by_key(|row| (std::cmp::Reverse(row.host.clone()), id(row))),
            Some("rate") => expected.sort_by_key(|row| (missing(row), row.rate.map(|it| it as i64), id(row))),
            Some("-rate") => expected.sort_by_key(|row| (missing(row), row.rate.map(|it| -(it as i64)), id(row))),
            _ => {}
        }
        let expected: Vec<u64> = expected.into_iter().map(|row| row.number).collect();
        prop_assert_eq!(page(rows.iter(), &wanted).unwrap().total, expected.len());
        prop_assert_eq!(all(&rows, &wanted), expected);
    }

    #[test]
    fn hostile_cursors_and_searches_do_no_harm(after in ".{0,20}", search in ".{0,8}", sort in "-?(rate|host)") {
        let rows = [miner(1, "añb", Some(f64::NAN)), miner(2, "", None)];
        let wanted = PageQuery { after: Some(after.clone()), sort: by(&sort), search: Some(search), ..wanted(1) };
        let _ = page(rows.iter(), &wanted);
        let after = format!("[\"{}\", \"1\"]", after.replace(['"', '\\'], ""));
        let _ = page(rows.iter(), &PageQuery { after: Some(after), ..wanted });
    }
}
