//! Pages of lists: searched, sorted and cut. A list is read as a whole before.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::{Listing, Page, PageQuery, RequestError, Sort};

/// By what a row is sorted. Rows without a value come last, in both directions.
#[derive(Clone, Debug, PartialEq)]
pub enum Key<'a> {
    /// A number.
    Number(f64),
    /// A text. Its bytes are compared.
    Text(Cow<'a, str>),
    /// The row has no value.
    Missing,
}

impl Key<'_> {
    /// The key of a number that not every row has.
    pub fn number(number: Option<f64>) -> Self {
        number.map_or(Key::Missing, Key::Number)
    }

    fn to_text(&self) -> Option<String> {
        match self {
            Key::Number(number) => Some(number.to_string()),
            Key::Text(text) => Some(text.to_string()),
            Key::Missing => None,
        }
    }

    fn compare(&self, other: &Key<'_>, descending: bool) -> Ordering {
        let order = match (self, other) {
            (Key::Missing, Key::Missing) => return Ordering::Equal,
            (Key::Missing, _) => return Ordering::Greater,
            (_, Key::Missing) => return Ordering::Less,
            (Key::Number(a), Key::Number(b)) => a.total_cmp(b),
            (Key::Text(a), Key::Text(b)) => a.cmp(b),
            (Key::Number(_), Key::Text(_)) => Ordering::Less,
            (Key::Text(_), Key::Number(_)) => Ordering::Greater,
        };
        if descending { order.reverse() } else { order }
    }
}

impl<'a> From<&'a str> for Key<'a> {
    fn from(text: &'a str) -> Self {
        Key::Text(Cow::Borrowed(text))
    }
}

/// What gives the key of a row.
pub type KeyOf<R> = fn(&R) -> Key<'_>;

/// A row of a list. Its keys in [`Listing`] are what the list can be sorted by.
pub trait Row: Listing<Key = KeyOf<Self>> + Sized {
    /// What identifies the row.
    fn id(&self) -> Cow<'_, str>;

    /// Whether the row comes after the row with this id when nothing is sorted. There need not be such a row any more.
    fn is_after(&self, id: &str) -> bool;

    /// Whether the row has the text that is searched for.
    fn has(&self, search: Search<'_>) -> bool;
}

/// A text that is searched for, whatever the case of its ASCII letters.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a>(&'a str);

impl Search<'_> {
    /// Whether it is part of `text`.
    pub fn is_in(self, text: &str) -> bool {
        let (text, part) = (text.as_bytes(), self.0.as_bytes());
        let Some(first) = part.first().map(u8::to_ascii_lowercase) else { return true };
        let Some(last) = text.len().checked_sub(part.len()) else { return false };
        let begins = |at: &usize| text[*at].to_ascii_lowercase() == first;
        (0..=last).filter(begins).any(|at| text[at..at + part.len()].eq_ignore_ascii_case(part))
    }
}

/// Some rows of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows<'a, R> {
    /// The rows of the page, in its order.
    pub rows: Vec<&'a R>,
    /// The value of `after` for the next page; `None` if this page is the last one.
    pub next: Option<String>,
    /// How many rows match the search.
    pub total: usize,
}

impl<'a, R> Rows<'a, R> {
    /// The page, with the items that `item` makes of the rows.
    pub fn into_page<T>(self, item: impl FnMut(&'a R) -> T) -> Page<T> {
        let Rows { rows, next, total } = self;
        Page { items: rows.into_iter().map(item).collect(), next, total }
    }
}

/// The page of `rows` that is asked for. The rows come in the list's own order, see [`Row::is_after`].
///
/// # Errors
/// If `after` does not belong to the order that is asked for.
pub fn page<'a, R: Row>(
    rows: impl Iterator<Item = &'a R>,
    wanted: &PageQuery<R>,
) -> Result<Rows<'a, R>, RequestError> {
    let search = wanted.search.as_deref().map(Search);
    let found = rows.filter(|row| search.is_none_or(|search| row.has(search)));
    match &wanted.sort {
        None => Ok(in_given_order(found, wanted)),
        Some(sort) => sorted(found, sort, wanted),
    }
}

fn in_given_order<'a, R: Row>(found: impl Iterator<Item = &'a R>, wanted: &PageQuery<R>) -> Rows<'a, R> {
    let mut total = 0;
    let found = found.inspect(|_| total += 1);
    let mut left = found.filter(|row| wanted.after.as_ref().is_none_or(|after| row.is_after(after)));
    let rows: Vec<&R> = left.by_ref().take(wanted.limit).collect();
    // The rest is counted, too.
    let more = left.count() > 0;
    let next = rows.last().filter(|_| more).map(|row| row.id().into_owned());
    Rows { rows, next, total }
}

/// A key, and the id by which rows with the same key are ordered.
type Place<'a> = (Key<'a>, Cow<'a, str>);

fn compare(a: &Place<'_>, b: &Place<'_>, descending: bool) -> Ordering {
    a.0.compare(&b.0, descending).then_with(|| a.1.cmp(&b.1))
}

fn sorted<'a, R: Row>(
    found: impl Iterator<Item = &'a R>,
    sort: &Sort<KeyOf<R>>,
    wanted: &PageQuery<R>,
) -> Result<Rows<'a, R>, RequestError> {
    let rows: Vec<&R> = found.collect();
    let place = |(index, row): (usize, &&'a R)| (((sort.key)(row), row.id()), index);
    let places = rows.iter().enumerate().map(place).collect();
    let (order, next) = cut(places, wanted.after.as_deref(), wanted.limit, sort.descending)?;
    Ok(Rows { total: rows.len(), rows: order.into_iter().map(|index| rows[index]).collect(), next })
}

/// The indexes of the rows after the place `after`, at most `limit`, in their order, and the cursor of the next page. Only these
/// rows are sorted, so that the cost grows with the list as that of a search. It is compiled once for all kinds of rows.
fn cut(
    mut places: Vec<(Place<'_>, usize)>,
    after: Option<&str>,
    limit: usize,
    descending: bool,
) -> Result<(Vec<usize>, Option<String>), RequestError> {
    if let Some((key, id)) = after.map(place_of).transpose()? {
        // A number is compared with a number.
        places.retain(|(place, _)| {
            compare(place, &(key.like(&place.0), Cow::Borrowed(id.as_str())), descending).is_gt()
        });
    }
    let more = places.len() > limit;
    if more {
        places.select_nth_unstable_by(limit, |a, b| compare(&a.0, &b.0, descending));
        places.truncate(limit);
    }
    places.sort_unstable_by(|a, b| compare(&a.0, &b.0, descending));
    let next = places.last().filter(|_| more).map(|((key, id), _)| cursor(key, id));
    Ok((places.into_iter().map(|(_, index)| index).collect(), next))
}

/// A place in a sorted list, as text: a JSON array of the key and the id. So the next page begins where this one ends, also if the
/// last row has gone, or its key has changed.
fn cursor(key: &Key<'_>, id: &str) -> String {
    serde_json::json!([key.to_text(), id]).to_string()
}

/// The key of a cursor.
struct CursorKey(Option<String>);

impl CursorKey {
    /// The key in the form of `other`.
    fn like(&self, other: &Key<'_>) -> Key<'_> {
        match (&self.0, other) {
            (None, _) => Key::Missing,
            (Some(text), Key::Text(_)) => Key::Text(Cow::Borrowed(text)),
            (Some(text), _) => text.parse().map_or(Key::Text(Cow::Borrowed(text)), Key::Number),
        }
    }
}

fn place_of(after: &str) -> Result<(CursorKey, String), RequestError> {
    let (key, id): (Option<String>, String) = serde_json::from_str(after).map_err(|_| {
        // It may be a place in another order, so that the request is well-formed.
        RequestError::NotFound(format!(
            "after={after:?} is no place in this order: give the \"next\" of the page before"
        ))
    })?;
    Ok((CursorKey(key), id))
}

#[cfg(test)]
mod tests;
