//! What happens in public, on a page or an Instagram account, and is part of no conversation (`meta-platform.md` §3a, §3b).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use crate::content::is_false;

/// A comment was written, changed, hidden or removed.
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Comment {
    /// `add`, `edit`, `remove`, `hide`, `unhide`, or Meta's word. Instagram tells of new ones only.
    pub action: String,
    /// Meta's id of it: what an answer is sent to.
    pub comment_id: Option<String>,
    /// The comment it answers.
    pub parent_id: Option<String>,
    /// The post, photo or reel it stands under.
    pub post_id: Option<String>,
    /// What it says.
    pub text: Option<String>,
    /// Who wrote it, as they call themselves.
    pub author: Option<String>,
    /// Under a live broadcast.
    #[serde(default, skip_serializing_if = "is_false")]
    pub live: bool,
}

/// Something on a page's feed that is no comment.
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FeedChange {
    /// What: `post`, `reaction`, `status`, `photo`, `video`, `share`, `like`, `event`, or Meta's word.
    pub item: String,
    /// What happened to it: `add`, `edit`, `remove`, `hide`, `unhide`, `block`, or Meta's word.
    pub action: String,
    /// The post.
    pub post_id: Option<String>,
    /// What it belongs to.
    pub parent_id: Option<String>,
    /// What it says.
    pub text: Option<String>,
    /// Who did it, as they call themselves.
    pub author: Option<String>,
    /// Which reaction: `like`, `love`, `wow`, `haha`, `sorry`, `anger`, `care`.
    pub reaction: Option<String>,
    /// What it links to or shows.
    pub link: Option<String>,
}

/// Somebody mentioned the page or account. Instagram tells only where; the text is asked of its API.
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mention {
    /// The post, photo or reel it is in.
    pub post_id: Option<String>,
    /// The comment it is in.
    pub comment_id: Option<String>,
    /// What it says.
    pub text: Option<String>,
    /// Who wrote it, as they call themselves.
    pub author: Option<String>,
}

/// How an expired story was seen.
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoryInsights {
    /// The story.
    pub media_id: Option<String>,
    /// Meta's measures by their names, as Meta wrote the numbers.
    pub metrics: BTreeMap<String, String>,
}
