//! What Meta calls a person: the identifiers through which the keyring finds a subject. Personal data, so they live only
//! between the split and the keyring, and `Debug` shows none of them.

use std::fmt;

/// What kind of identifier it is. Part of the keyring's lookup, so two kinds never meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdentifierKind {
    /// A Messenger user, scoped to one page (`meta-platform.md` §10.21).
    Psid,
    /// A Messenger visitor of a checkbox or chat plugin, scoped to one page.
    UserRef,
    /// An Instagram user, scoped to one account.
    Igsid,
    /// A phone number in digits, as WhatsApp returns it.
    Phone,
    /// A WhatsApp business-scoped user id, scoped to one business account (`meta-platform.md` §3c.5).
    Bsuid,
    /// A WhatsApp user id shared by linked business portfolios.
    ParentBsuid,
    /// Something else in the place of a WhatsApp user id, kept as it is.
    WhatsappUser,
}

impl IdentifierKind {
    /// The kind as its one word; never changes, because lookups are keyed by it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Psid => "psid",
            Self::UserRef => "user_ref",
            Self::Igsid => "igsid",
            Self::Phone => "phone",
            Self::Bsuid => "bsuid",
            Self::ParentBsuid => "parent_bsuid",
            Self::WhatsappUser => "whatsapp_user",
        }
    }
}

/// One identifier of a person. Ids that Meta scopes to an asset carry it in front (`messenger:1/…`), so the same digits on
/// two pages are two people.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identifier {
    /// What kind it is.
    pub kind: IdentifierKind,
    /// The identifier, with its scope in front where it has one. Personal data.
    pub value: String,
}

impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identifier({})", self.kind.as_str())
    }
}
