//! What Meta calls a person: the identifiers through which the keyring finds a subject. Personal data, so they live only
//! between the split and the keyring, and `Debug` shows none of them.

use std::fmt;

use crate::whatsapp_person::phone;
use crate::{Asset, AssetKind};

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
    /// Whether it may be somebody else's later: a number, and what a site calls a visitor.
    pub const fn changes_hands(self) -> bool {
        match self {
            Self::Phone | Self::UserRef => true,
            Self::Psid | Self::Igsid | Self::Bsuid | Self::ParentBsuid | Self::WhatsappUser => false,
        }
    }

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

impl Identifier {
    /// Within which a person has one of this kind, so that two are two people: the business account of a user id
    /// (`meta-platform.md` §3c.5), the page or account of a scoped id. `None` of what does not say so.
    pub fn scope(&self) -> Option<&str> {
        let scoped =
            matches!(self.kind, IdentifierKind::Bsuid | IdentifierKind::Psid | IdentifierKind::Igsid);
        scoped.then(|| self.value.rsplit_once('/').map_or("", |(scope, _)| scope))
    }

    /// Everything that an operator may mean by what they type: a phone number in whatever form, or an id that Meta scopes to
    /// one of these assets. Their values are those that payloads with them are read into.
    pub fn candidates(value: &str, assets: &[Asset]) -> Vec<Self> {
        let value = value.trim();
        let mut found = Vec::new();
        let mut add = |kind, value: String| {
            let one = Self { kind, value };
            if !found.contains(&one) {
                found.push(one);
            }
        };
        if let Some(number) = phone(value) {
            add(IdentifierKind::Phone, number);
        }
        add(IdentifierKind::ParentBsuid, value.to_owned());
        for asset in assets {
            let scoped = format!("{asset}/{value}");
            match asset.kind() {
                AssetKind::Messenger => {
                    add(IdentifierKind::Psid, scoped.clone());
                    add(IdentifierKind::UserRef, scoped);
                }
                AssetKind::Instagram => add(IdentifierKind::Igsid, scoped),
                AssetKind::Waba => {
                    add(IdentifierKind::Bsuid, scoped.clone());
                    add(IdentifierKind::WhatsappUser, scoped);
                }
                AssetKind::Whatsapp => {}
            }
        }
        // With its scope in front, whatever is connected now.
        for kind in
            [IdentifierKind::Psid, IdentifierKind::Igsid, IdentifierKind::Bsuid, IdentifierKind::WhatsappUser]
        {
            if value.contains('/') {
                add(kind, value.to_owned());
            }
        }
        found
    }
}
