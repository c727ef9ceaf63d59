//! What happens in public on a page or an Instagram account: comments, mentions, the feed (`meta-platform.md` §3a, §3b).
//! Nothing of it is part of a conversation.

use std::borrow::Cow;

use crate::content::{Comment, Content, FeedChange, Mention, StoryInsights};
use crate::json::Node;
use crate::messaging::scoped;
use crate::reading::{Noted, Reading, fingerprint};
use crate::{Asset, Direction, Kind};

/// Whether this version reads changes of this field.
pub(crate) fn knows(field: &str) -> bool {
    FIELDS.contains(&field)
}

/// The fields it reads.
pub(crate) const FIELDS: [&str; 6] =
    ["feed", "mention", "comments", "live_comments", "mentions", "story_insights"];

/// Who did it: nobody when it was the page itself.
pub(crate) fn note<'a>(value: Node<'a>, asset: Option<&Asset>) -> Noted<'a> {
    let [from, sender] = value.pick(["from", "sender_id"]);
    let ids = [
        from.and_then(|from| from.get("id")).or(sender),
        from.and_then(|from| from.get("self_ig_scoped_id")),
    ];
    let mut noted = Noted::default();
    for id in ids.into_iter().flatten().filter_map(Node::scalar) {
        if asset.is_some_and(|asset| asset.id() == id) {
            return Noted { from_business: true, ..Noted::default() };
        }
        noted.persons.push(scoped(asset, &id));
    }
    noted
}

/// What such a change says; `None` when it has not what makes it that.
pub(crate) fn read<'a>(
    field: &str,
    value: Node<'a>,
    entry_ms: Option<i64>,
    from_business: bool,
) -> Option<Reading<'a>> {
    let [created, edited] = value.pick(["created_time", "edited_time"]);
    let when = match edited.or(created).and_then(Node::scalar) {
        Some(created) => created,
        None => entry_ms.map(|ms| Cow::Owned(ms.to_string())).unwrap_or_default(),
    };
    let reading = match field {
        "comments" | "live_comments" => comment(value, field == "live_comments", when)?,
        "feed" => feed(value, when)?,
        "mention" | "mentions" => mention(value, when)?,
        "story_insights" => insights(value)?,
        _ => return None,
    };
    let direction = match reading.kind {
        Kind::StoryInsights => None,
        _ if from_business => Some(Direction::Out),
        _ => Some(Direction::In),
    };
    Some(Reading { direction, is_apart: true, ..reading })
}

/// Instagram tells of new comments only, and says so by no word.
fn comment<'a>(value: Node<'a>, live: bool, when: Cow<'a, str>) -> Option<Reading<'a>> {
    let [id, older, parent, text, media, from] =
        value.pick(["id", "comment_id", "parent_id", "text", "media", "from"]);
    let id = id.or(older)?.scalar()?;
    let content = Comment {
        action: "add".to_owned(),
        comment_id: Some(id.clone().into_owned()),
        parent_id: parent.and_then(scalar),
        post_id: media.and_then(|media| media.get("id")).and_then(scalar),
        text: text.and_then(Node::owned),
        author: from.and_then(|from| from.get("username")).and_then(Node::owned),
        live,
    };
    let key = vec![Cow::Borrowed("comment"), id, Cow::Borrowed("add"), when];
    Some(Reading::new(Kind::CommentChanged, Content::Comment(content), key))
}

fn feed<'a>(value: Node<'a>, when: Cow<'a, str>) -> Option<Reading<'a>> {
    let [item, verb, post, comment, parent, text, from, sender, reaction] = value.pick([
        "item",
        "verb",
        "post_id",
        "comment_id",
        "parent_id",
        "message",
        "from",
        "sender_name",
        "reaction_type",
    ]);
    let (item, verb) = (item?.string()?, verb?.string()?);
    let action = if verb == "edited" { Cow::Borrowed("edit") } else { verb.clone() };
    let author = from.and_then(|from| from.get("name")).or(sender).and_then(Node::owned);
    let id = comment.or(post).and_then(Node::scalar);
    let key = match id {
        // Of a reaction the post says not whose it is.
        Some(id) if item != "reaction" && item != "like" => vec![item.clone(), id, verb, when],
        _ => vec![item.clone(), fingerprint(value).into(), verb, when],
    };
    if item == "comment" {
        let content = Comment {
            action: action.into_owned(),
            comment_id: comment.and_then(scalar),
            parent_id: parent.and_then(scalar),
            post_id: post.and_then(scalar),
            text: text.and_then(Node::owned),
            author,
            live: false,
        };
        return Some(Reading::new(Kind::CommentChanged, Content::Comment(content), key));
    }
    let link = ["link", "photo", "video"].iter().find_map(|name| value.get(name)).and_then(Node::owned);
    let content = FeedChange {
        item: item.into_owned(),
        action: action.into_owned(),
        post_id: post.and_then(scalar),
        parent_id: parent.and_then(scalar),
        text: text.and_then(Node::owned),
        author,
        reaction: reaction.and_then(Node::owned),
        link,
    };
    Some(Reading::new(Kind::FeedChanged, Content::Feed(content), key))
}

/// Instagram names where it is, Facebook also what it says.
fn mention<'a>(value: Node<'a>, when: Cow<'a, str>) -> Option<Reading<'a>> {
    let [media, post, comment, text, from, sender, verb] =
        value.pick(["media_id", "post_id", "comment_id", "message", "from", "sender_name", "verb"]);
    let (place, comment) = (media.or(post), comment.and_then(scalar));
    let place = place.and_then(scalar);
    if place.is_none() && comment.is_none() {
        return None;
    }
    let key = vec![
        Cow::Borrowed("mention"),
        comment.clone().or_else(|| place.clone()).unwrap_or_default().into(),
        verb.and_then(Node::string).unwrap_or_default(),
        when,
    ];
    let content = Mention {
        post_id: place,
        comment_id: comment,
        text: text.and_then(Node::owned),
        author: from.and_then(|from| from.get("name")).or(sender).and_then(Node::owned),
    };
    Some(Reading::new(Kind::MentionReceived, Content::Mention(content), key))
}

fn insights(value: Node<'_>) -> Option<Reading<'_>> {
    let media = value.get("media_id")?;
    let measures = value.members().into_iter().filter(|(name, _)| name != "media_id");
    let metrics = measures.filter_map(|(name, node)| Some((name.into_owned(), scalar(node)?))).collect();
    let content = StoryInsights { media_id: scalar(media), metrics };
    let key = vec![fingerprint(value).into()];
    Some(Reading::new(Kind::StoryInsights, Content::Insights(content), key))
}

fn scalar(node: Node<'_>) -> Option<String> {
    node.scalar().map(Cow::into_owned)
}
