//! Pages of messages.

use super::*;
use crate::store::{MESSAGE_PAGE_BYTES, MessageQuery};

#[tokio::test]
async fn page_of_large_messages_ends_early_and_continues() {
    let opened = open();
    // Any long text does: in production, it is the JSON of a refusal.
    let template_name = "x".repeat(60_000);
    let mut sent = Vec::new();
    for n in 0..100 {
        let message = Message { template_name: Some(template_name.clone()), ..draft() };
        let message = opened.sent(&message, accepted(&[&n.to_string()])).await.message.expect("kept");
        sent.push(message.id);
    }
    let mut query = MessageQuery {
        account: account("acme"),
        customer: None,
        state: None,
        template_name: None,
        campaign_name: None,
        start: UnixMillis(0),
        end: None,
        after: None,
    };
    let mut listed = Vec::new();
    let mut sizes = Vec::new();
    loop {
        let page = opened.store.messages(query.clone(), 1_000).await.expect("readable");
        sizes.push(page.messages.len());
        listed.extend(page.messages.iter().map(|message| message.id));
        let Some(next) = page.next else { break };
        query.after = Some(next);
    }
    sent.sort();
    listed.reverse();
    assert_eq!(listed, sent, "newest first, each once");
    let most = MESSAGE_PAGE_BYTES / 60_000 + 1;
    assert_eq!(sizes, [most, 100 - most]);
}
