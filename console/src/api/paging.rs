//! Lists that may be long are read a page at a time: each page says where the next one begins.

use std::fmt::Display;
use std::str::FromStr;

use serde::Deserialize;
use utoipa::IntoParams;

use crate::problem::Problem;
use crate::wire::Page;

const DEFAULT: u32 = 100;
const MOST: u32 = 1000;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// At most this many, 1 to 1000; 100 unless given.
    limit: Option<u32>,
    /// The `next` of the page before.
    after: Option<String>,
}

impl Paging {
    pub(super) fn limit(&self) -> Result<u32, Problem> {
        let limit = self.limit.unwrap_or(DEFAULT);
        if (1..=MOST).contains(&limit) {
            return Ok(limit);
        }
        Err(Problem::bad_request(format!("a page is 1 to {MOST}"), "give a `limit` in that range"))
    }

    /// Where the page begins, as [`place`] or a number wrote it.
    pub(super) fn after<T>(&self, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Problem> {
        let place = self.after.as_deref().map(|text| {
            read(text).ok_or_else(|| {
                Problem::bad_request(
                    "`after` is not a place in the list",
                    "give the `next` of the page before",
                )
            })
        });
        place.transpose()
    }

    /// A page of these rows: one that is full may have a next.
    pub(super) fn page<R, T>(
        &self,
        rows: Vec<R>,
        next: impl Fn(&R) -> String,
        show: impl FnMut(R) -> T,
    ) -> Result<Page<T>, Problem> {
        let limit = self.limit()? as usize;
        let next = rows.last().filter(|_| rows.len() >= limit).map(next);
        Ok(Page { items: rows.into_iter().map(show).collect(), next })
    }
}

/// A place in a list that is in order of time, then id.
pub(super) fn place(at_ms: i64, id: impl Display) -> String {
    format!("{at_ms}:{id}")
}

/// Reads what [`place`] wrote.
pub(super) fn read_place<I: FromStr>(text: &str) -> Option<(i64, I)> {
    let (at_ms, id) = text.split_once(':')?;
    Some((at_ms.parse().ok()?, id.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use schemas::ConversationId;

    use super::*;

    #[test]
    fn only_places_in_the_list_are_taken_for_one() {
        let id = "00112233445566778899aabbccddeeff";
        let read = read_place::<ConversationId>;
        let (at_ms, found) = read(&place(1_700_000_000_123, id)).unwrap();
        assert_eq!((at_ms, found.to_string()), (1_700_000_000_123, id.to_owned()));
        for wrong in ["", ":", "1", "1:2", &format!("x:{id}"), &format!("1:{id}0")] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_full_page_has_a_next() {
        let paging = Paging { limit: Some(2), after: None };
        let page = |rows: Vec<u32>| paging.page(rows, u32::to_string, |row| row).map(|page| page.next);
        assert_eq!(page(vec![7, 8]).unwrap(), Some("8".to_owned()));
        assert_eq!(page(vec![7]).unwrap(), None);
        assert_eq!(page(vec![]).unwrap(), None);
        let limit = |limit| Paging { limit, after: None }.limit();
        assert!(limit(Some(0)).is_err() && limit(Some(1001)).is_err());
        assert_eq!(limit(None).unwrap(), 100);
    }
}
