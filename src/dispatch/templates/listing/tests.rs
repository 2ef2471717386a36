use super::*;
use crate::domain::template::Status;

fn template(name: String, raw_bytes: usize) -> Definition {
    Definition {
        id: String::new(),
        name,
        language: "en".to_owned(),
        status: Some(Status::Approved),
        provider_status: String::new(),
        category: None,
        provider_category: String::new(),
        parameter_format: None,
        components: Vec::new(),
        rejection_reason: String::new(),
        quality: String::new(),
        create_time: None,
        update_time: None,
        raw_json: "x".repeat(raw_bytes),
    }
}

fn page(templates: Vec<Definition>, after: Option<&str>) -> Page {
    Page { templates, after: after.map(str::to_owned), before: None }
}

/// Gives a listing its next page, as its task does.
fn tell(listing: &Arc<CachedList>, page: Result<Page, Cause>) {
    lock(&listing.read).begun.get_or_insert_with(Instant::now);
    PageRead { listing: Arc::clone(listing), told: false }.tell(page);
}

fn failure() -> Cause {
    Cause::Provider(ProviderError::Unknown { cause: UnknownReason::TimedOut, fault: None })
}

fn same(one: &Arc<CachedList>, other: &Arc<CachedList>) -> bool {
    Arc::ptr_eq(one, other)
}

#[test]
fn what_is_kept_is_bounded_in_number_and_in_bytes() {
    let many = (0..=MOST_TEMPLATES).map(|n| template(n.to_string(), 0)).collect();
    let large = (0..9).map(|n| template(n.to_string(), MOST_BYTES / 16)).collect();
    for (templates, kept) in [(many, MOST_TEMPLATES), (large, 8)] {
        let listing = TemplateCache::default().listing(Wanted::Good);
        tell(&listing, Ok(page(templates, None)));
        let read = lock(&listing.read);
        assert!(matches!(read.next, Next::Full), "{:?}", read.next);
        assert_eq!(read.by_name.len(), kept);
    }
}

#[test]
fn a_reading_goes_on_page_by_page_and_ends_where_the_list_ends_or_repeats_itself() {
    let listing = TemplateCache::default().listing(Wanted::Good);
    tell(&listing, Ok(page(vec![template("a".to_owned(), 1)], Some("A"))));
    assert!(
        matches!(&lock(&listing.read).next, Next::Page(TemplateListStart::After(cursor)) if cursor == "A")
    );
    tell(&listing, Ok(page(vec![template("b".to_owned(), 1)], Some("A"))));
    assert!(matches!(lock(&listing.read).next, Next::End));
    assert_eq!(lock(&listing.read).by_name.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_reading_is_good_for_some_time_and_new_until_somebody_asks_after_it_began() {
    let shelf = TemplateCache::default();
    let asked = Instant::now();
    let first = shelf.listing(Wanted::Good);
    assert!(same(&first, &shelf.listing(Wanted::Since(asked))), "it has not begun yet");
    tell(&first, Ok(page(vec![], None)));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(same(&first, &shelf.listing(Wanted::Good)));
    assert!(same(&first, &shelf.listing(Wanted::Since(asked))));
    let second = shelf.listing(Wanted::Since(Instant::now()));
    assert!(!same(&first, &second));
    tell(&second, Ok(page(vec![], None)));
    tokio::time::advance(GOOD_FOR - Duration::from_millis(1)).await;
    assert!(same(&second, &shelf.listing(Wanted::Good)));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(!same(&second, &shelf.listing(Wanted::Good)));
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_failed_or_broke_off_is_not_used_again() {
    let shelf = TemplateCache::default();
    let failed = shelf.listing(Wanted::Good);
    assert!(!shelf.failed_within(Duration::from_secs(10)));
    tell(&failed, Err(failure()));
    assert!(shelf.failed_within(Duration::from_secs(10)));
    tokio::time::advance(Duration::from_secs(10)).await;
    assert!(!shelf.failed_within(Duration::from_secs(10)));
    let broken_off = shelf.listing(Wanted::Good);
    assert!(!same(&failed, &broken_off));
    let mut news = broken_off.news.subscribe();
    drop(PageRead { listing: Arc::clone(&broken_off), told: false });
    news.changed().await.expect("those who wait are told");
    assert!(matches!(lock(&broken_off.read).next, Next::Failed(..)));
    assert!(!same(&broken_off, &shelf.listing(Wanted::Good)));
}

#[tokio::test(start_paused = true)]
async fn a_reading_is_thrown_away_at_once_but_not_time_and_again() {
    let shelf = TemplateCache::default();
    let next = || {
        let listing = shelf.listing(Wanted::Good);
        tell(&listing, Ok(page(vec![], None)));
        listing
    };
    let first = next();
    shelf.outdate();
    let second = next();
    assert!(!same(&first, &second));
    tokio::time::advance(OUTDATED_AT_MOST_EVERY - Duration::from_millis(1)).await;
    shelf.outdate();
    assert!(same(&second, &shelf.listing(Wanted::Good)));
    tokio::time::advance(Duration::from_millis(1)).await;
    shelf.outdate();
    assert!(!same(&second, &shelf.listing(Wanted::Good)));
}
