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

/// Gives a list its next page, as the read's task does.
fn deliver(list: &Arc<CachedList>, page: Result<Page, Cause>) {
    lock(&list.pages).started_at.get_or_insert_with(Instant::now);
    PageRead { list: Arc::clone(list), delivered: false }.deliver(page);
}

fn failure() -> Cause {
    Cause::Provider(ProviderError::Unknown { cause: UnknownReason::TimedOut, fault: None })
}

fn same(one: &Arc<CachedList>, other: &Arc<CachedList>) -> bool {
    Arc::ptr_eq(one, other)
}

#[test]
fn cache_is_bounded_in_number_and_bytes() {
    let many = (0..=MAX_TEMPLATES).map(|n| template(n.to_string(), 0)).collect();
    let large = (0..9).map(|n| template(n.to_string(), MAX_BYTES / 16)).collect();
    for (templates, cached) in [(many, MAX_TEMPLATES), (large, 8)] {
        let list = TemplateCache::default().list(Freshness::WithinMaxAge);
        deliver(&list, Ok(page(templates, None)));
        let pages = lock(&list.pages);
        assert!(matches!(pages.next, NextRead::Full), "{:?}", pages.next);
        assert_eq!(pages.by_name.len(), cached);
    }
}

#[test]
fn list_ends_with_its_last_page_or_a_repeated_cursor() {
    let list = TemplateCache::default().list(Freshness::WithinMaxAge);
    deliver(&list, Ok(page(vec![template("a".to_owned(), 1)], Some("A"))));
    assert!(
        matches!(&lock(&list.pages).next, NextRead::Page(TemplateListStart::After(cursor)) if cursor == "A")
    );
    deliver(&list, Ok(page(vec![template("b".to_owned(), 1)], Some("A"))));
    assert!(matches!(lock(&list.pages).next, NextRead::End));
    assert_eq!(lock(&list.pages).by_name.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn list_is_reused_within_max_age_unless_a_newer_is_needed() {
    let cache = TemplateCache::default();
    let requested_at = Instant::now();
    let first = cache.list(Freshness::WithinMaxAge);
    assert!(
        same(&first, &cache.list(Freshness::StartedSince(requested_at))),
        "its first page has not been requested yet"
    );
    deliver(&first, Ok(page(vec![], None)));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(same(&first, &cache.list(Freshness::WithinMaxAge)));
    assert!(same(&first, &cache.list(Freshness::StartedSince(requested_at))));
    let second = cache.list(Freshness::StartedSince(Instant::now()));
    assert!(!same(&first, &second));
    deliver(&second, Ok(page(vec![], None)));
    tokio::time::advance(MAX_AGE - Duration::from_millis(1)).await;
    assert!(same(&second, &cache.list(Freshness::WithinMaxAge)));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(!same(&second, &cache.list(Freshness::WithinMaxAge)));
}

#[tokio::test(start_paused = true)]
async fn failed_or_interrupted_list_is_not_reused() {
    let cache = TemplateCache::default();
    let failed = cache.list(Freshness::WithinMaxAge);
    assert!(!cache.failed_within(Duration::from_secs(10)));
    deliver(&failed, Err(failure()));
    assert!(cache.failed_within(Duration::from_secs(10)));
    tokio::time::advance(Duration::from_secs(10)).await;
    assert!(!cache.failed_within(Duration::from_secs(10)));
    let interrupted = cache.list(Freshness::WithinMaxAge);
    assert!(!same(&failed, &interrupted));
    let mut changed = interrupted.changed.subscribe();
    drop(PageRead { list: Arc::clone(&interrupted), delivered: false });
    changed.changed().await.expect("lookups are woken");
    assert!(matches!(lock(&interrupted.pages).next, NextRead::Failed(..)));
    assert!(!same(&interrupted, &cache.list(Freshness::WithinMaxAge)));
}

#[tokio::test(start_paused = true)]
async fn invalidation_drops_the_list_but_is_rate_limited() {
    let cache = TemplateCache::default();
    let next = || {
        let list = cache.list(Freshness::WithinMaxAge);
        deliver(&list, Ok(page(vec![], None)));
        list
    };
    let first = next();
    cache.invalidate();
    let second = next();
    assert!(!same(&first, &second));
    tokio::time::advance(MIN_INVALIDATION_INTERVAL - Duration::from_millis(1)).await;
    cache.invalidate();
    assert!(same(&second, &cache.list(Freshness::WithinMaxAge)));
    tokio::time::advance(Duration::from_millis(1)).await;
    cache.invalidate();
    assert!(!same(&second, &cache.list(Freshness::WithinMaxAge)));
}
