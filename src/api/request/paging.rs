//! Page sizes, and the division of lists into pages.
//!
//! Each call reads one page of the provider and returns a part of it. A page token contains the provider's page and the
//! offset in it.

use std::ops::Range;

use prost::Message;
use prost::encoding::{encoded_len_varint, key_len};
use serde::{Deserialize, Serialize};
use tonic::Status;

use crate::api::request::page_token;
use crate::api::request::violations::{ViolationReason, Violations};
use crate::domain::AccountId;
use crate::domain::page::{Page, PagePosition};

/// The number of items on a page if the request names none, and the maximum.
const DEFAULT_PAGE_SIZE: u32 = 100;
const MAX_PAGE_SIZE: u32 = 1_000;

/// The maximum size of a page's items. gRPC libraries accept messages of 4 MiB; the rest is for the page tokens.
pub(in crate::api) const MAX_PAGE_BYTES: usize = (4 << 20) - (64 << 10);

/// Parses the `page_size` of a request. Zero means the default.
pub(in crate::api) fn page_size(size: u32, violations: &mut Violations) -> usize {
    if size > MAX_PAGE_SIZE {
        let allowed = format!("must be from 1 to {MAX_PAGE_SIZE}, or 0 for {DEFAULT_PAGE_SIZE}");
        violations.add("page_size", ViolationReason::OutOfRange, allowed);
    }
    (if size == 0 { DEFAULT_PAGE_SIZE } else { size }) as usize
}

/// Which end of a page is fixed, as an offset in the provider's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::api) enum Bound {
    /// The page starts at this offset.
    From(usize),
    /// The page ends before this offset.
    Before(usize),
    /// The page ends at the end of the provider's page.
    Last,
}

impl Default for Bound {
    fn default() -> Self {
        Self::From(0)
    }
}

/// A part of a provider's page.
#[derive(Debug)]
pub(in crate::api) struct Slice<T> {
    pub(in crate::api) items: Vec<T>,
    /// The offset of the first item.
    pub(in crate::api) start: usize,
    /// The offset after the last item. `None` if no items follow.
    pub(in crate::api) end: Option<usize>,
}

/// Takes at most `size` items, and at most [`MAX_PAGE_BYTES`] unless one item is larger. An offset after the end, such
/// as in a list that became shorter, is the end.
pub(in crate::api) fn slice<T: Message>(mut items: Vec<T>, bound: Bound, size: usize) -> Slice<T> {
    let len = items.len();
    let Range { start, end } = match bound {
        Bound::From(start) => {
            let start = start.min(len);
            start..start + fitting(items[start..].iter(), size)
        }
        Bound::Before(_) | Bound::Last => {
            let end = if let Bound::Before(end) = bound { end.min(len) } else { len };
            end - fitting(items[..end].iter().rev(), size)..end
        }
    };
    items.truncate(end);
    items.drain(..start);
    Slice { items, start, end: Some(end).filter(|&end| end < len) }
}

/// The size of an item in the list of a response: a tag of one byte, its length, and its fields.
pub(in crate::api) fn item_size(item: &impl Message) -> usize {
    let fields = item.encoded_len();
    key_len(1) + encoded_len_varint(fields as u64) + fields
}

/// How many of the items fit on a page.
fn fitting<'a, T: Message + 'a>(items: impl Iterator<Item = &'a T>, size: usize) -> usize {
    let mut bytes = 0;
    items
        .take(size)
        .enumerate()
        .take_while(|(index, item)| {
            bytes += item_size(*item);
            *index == 0 || bytes <= MAX_PAGE_BYTES
        })
        .count()
}

/// Divides a list that is read as a whole. Its token contains the offset.
pub(in crate::api) fn whole_list<T: Message>(
    rpc: &str,
    account: Option<&AccountId>,
    items: Vec<T>,
    offset: Option<usize>,
    size: usize,
) -> (Vec<T>, String) {
    let Slice { items, end, .. } = slice(items, Bound::From(offset.unwrap_or_default()), size);
    let token = end.map(|end| page_token::encode(rpc, account, &end)).unwrap_or_default();
    (items, token)
}

/// The content of a page token of a list that the provider numbers by pages: where the page starts.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::api) struct NumberedPageToken {
    /// The provider's page. `None` means the first one.
    pub(in crate::api) provider_page: Option<PagePosition>,
    offset: usize,
}

/// The encoded form: the number and the fingerprint of the [`PagePosition`], and the offset.
type TokenPosition = (Option<(u32, String)>, usize);

impl NumberedPageToken {
    /// Decodes a page token. The empty token means the start of the list.
    pub(in crate::api) fn decode(rpc: &str, account: &AccountId, token: &str) -> Result<Self, Status> {
        let position: Option<TokenPosition> = page_token::decode(rpc, Some(account), token)?;
        let (provider_page, offset) = position.unwrap_or_default();
        let provider_page = provider_page.map(|(number, before)| PagePosition { number, before });
        Ok(Self { provider_page, offset })
    }

    fn encode(self, rpc: &str, account: &AccountId) -> String {
        let provider_page = self.provider_page.map(|PagePosition { number, before }| (number, before));
        let position: TokenPosition = (provider_page, self.offset);
        page_token::encode(rpc, Some(account), &position)
    }

    /// The items from this start on the provider's page, and the token of the next page. The token is empty on the last
    /// page.
    pub(in crate::api) fn slice<T, P: Message>(
        self,
        rpc: &str,
        account: &AccountId,
        page: Page<T>,
        convert: impl Fn(T) -> P,
        size: usize,
    ) -> (Vec<P>, String) {
        let items = page.items.into_iter().map(convert).collect();
        let Slice { items, end, .. } = slice(items, Bound::From(self.offset), size);
        let next = match (end, page.next) {
            (Some(offset), _) => Some(Self { offset, ..self }),
            (None, Some(next)) => Some(Self { provider_page: Some(next), offset: 0 }),
            (None, None) => None,
        };
        (items, next.map(|next| next.encode(rpc, account)).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RPC: &str = "A.List";

    fn items(count: usize) -> Vec<String> {
        (0..count).map(|index| index.to_string()).collect()
    }

    fn acme() -> AccountId {
        "acme".parse().expect("an id")
    }

    #[test]
    fn page_size_is_100_for_zero_and_at_most_1000() {
        for (given, expected) in [(0, 100), (1, 1), (100, 100), (1_000, 1_000)] {
            let mut violations = Violations::default();
            assert_eq!(page_size(given, &mut violations), expected);
            assert!(violations.check().is_ok(), "{given}");
        }
        for given in [1_001, u32::MAX] {
            let mut violations = Violations::default();
            page_size(given, &mut violations);
            let violations = violations.into_field_violations();
            assert_eq!(
                (violations[0].field.as_str(), violations[0].reason.as_str()),
                ("page_size", "OUT_OF_RANGE")
            );
        }
    }

    #[test]
    fn slice_has_at_most_the_page_size() {
        for (bound, size, expected, start, end) in [
            (Bound::From(0), 2, &["0", "1"][..], 0, Some(2)),
            (Bound::From(2), 2, &["2", "3"], 2, Some(4)),
            (Bound::From(4), 2, &["4"], 4, None),
            (Bound::From(3), 2, &["3", "4"], 3, None),
            (Bound::From(9), 2, &[], 5, None),
            (Bound::Before(3), 2, &["1", "2"], 1, Some(3)),
            (Bound::Before(1), 2, &["0"], 0, Some(1)),
            (Bound::Before(9), 2, &["3", "4"], 3, None),
            (Bound::Last, 2, &["3", "4"], 3, None),
            (Bound::Last, 9, &["0", "1", "2", "3", "4"], 0, None),
        ] {
            let slice = slice(items(5), bound, size);
            assert_eq!(
                (slice.items, slice.start, slice.end),
                (strings(expected), start, end),
                "{bound:?} {size}"
            );
        }
        for bound in [Bound::From(0), Bound::From(1), Bound::Before(0), Bound::Last] {
            let slice = slice(items(0), bound, 10);
            assert_eq!((slice.items.len(), slice.start, slice.end), (0, 0, None), "{bound:?}");
        }
    }

    fn strings(items: &[&str]) -> Vec<String> {
        items.iter().map(|&item| item.to_owned()).collect()
    }

    #[test]
    fn slice_ends_before_the_size_limit() {
        let lens = |sizes: &[usize], bound| -> Vec<usize> {
            let items = sizes.iter().map(|&size| "x".repeat(size)).collect();
            slice(items, bound, 1_000).items.iter().map(String::len).collect()
        };
        let mib = 1 << 20;
        assert_eq!(lens(&[mib, mib, mib, mib], Bound::From(0)), [mib, mib, mib]);
        assert_eq!(lens(&[1, mib, mib, mib, mib, 2], Bound::Last), [mib, mib, mib, 2]);
        assert_eq!(lens(&[5 * mib, 1], Bound::From(0)), [5 * mib], "one larger item is a page");
        assert_eq!(lens(&[1, 5 * mib], Bound::Last), [5 * mib]);
        assert_eq!(lens(&[1, 5 * mib], Bound::From(0)), [1]);
        // The encoded string has a key of 1 and a length of 4 bytes, and so does the element. For the second item, the
        // keys and lengths have 4 bytes.
        let largest = MAX_PAGE_BYTES - 10;
        assert_eq!(lens(&[largest - 5, 1], Bound::From(0)).len(), 2);
        assert_eq!(lens(&[largest - 4, 1], Bound::From(0)).len(), 1);
    }

    #[test]
    fn every_size_reads_each_item_of_a_numbered_list_once() {
        let lens = [3, 1, 4, 0];
        let first: Vec<usize> =
            lens.iter().scan(0, |sum, len| Some(std::mem::replace(sum, *sum + len))).collect();
        for size in 1..6 {
            let (mut read, mut token) = (Vec::new(), String::new());
            for _ in 0..20 {
                let start = NumberedPageToken::decode(RPC, &acme(), &token).expect("valid");
                let number = start.provider_page.as_ref().map_or(1, |page| page.number) as usize;
                let numbers = (first[number - 1]..first[number - 1] + lens[number - 1]).collect();
                let next = Some(PagePosition { number: number as u32 + 1, before: "x".to_owned() });
                let page = Page { items: numbers, next: next.filter(|_| number < lens.len()) };
                let (items, next) = start.slice(RPC, &acme(), page, |number: usize| number.to_string(), size);
                assert!(items.len() <= size);
                read.extend(items);
                token = next;
                if token.is_empty() {
                    break;
                }
            }
            assert_eq!((read, token), (items(8), String::new()), "{size}");
        }
    }

    #[test]
    fn offset_after_the_end_continues_with_the_providers_next_page() {
        let at = |next| {
            let start = NumberedPageToken { provider_page: None, offset: 7 };
            let page = Page { items: items(2), next };
            start.slice(RPC, &acme(), page, |item| item, 10)
        };
        assert_eq!(at(None), (Vec::new(), String::new()));
        let next = PagePosition { number: 2, before: "x".to_owned() };
        let (items, token) = at(Some(next.clone()));
        assert!(items.is_empty());
        let start = NumberedPageToken::decode(RPC, &acme(), &token).expect("valid");
        assert_eq!(start, NumberedPageToken { provider_page: Some(next), offset: 0 });
    }

    #[test]
    fn token_of_another_list_or_account_is_malformed() {
        let token = NumberedPageToken { provider_page: None, offset: 7 }.encode(RPC, &acme());
        let globex: AccountId = "globex".parse().expect("an id");
        assert!(NumberedPageToken::decode(RPC, &acme(), &token).is_ok());
        assert!(NumberedPageToken::decode("B.List", &acme(), &token).is_err());
        assert!(NumberedPageToken::decode(RPC, &globex, &token).is_err());
    }
}
