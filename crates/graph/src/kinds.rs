//! Files that are shown, and how their bytes begin. Each signature is as long as its format allows: two letters are found
//! in any text.

/// Files whose bytes show the same thing.
pub(crate) struct Kind {
    pub(crate) begins: fn(&[u8]) -> bool,
    /// What it is kept as.
    pub(crate) media_type: &'static str,
    /// What else it is declared as.
    pub(crate) also: &'static [&'static str],
    /// Whether the bytes alone say enough.
    pub(crate) speaks_for_itself: bool,
    /// Whether markup in it is none of its own.
    pub(crate) is_free_of_markup: bool,
}

impl Kind {
    /// Whether it goes by this name.
    pub(crate) fn is_named(&self, media_type: &str) -> bool {
        self.media_type == media_type || self.also.contains(&media_type)
    }
}

type Begins = fn(&[u8]) -> bool;

/// Pictures, sound, text: a viewer that guesses may take one for a page.
const fn plain(begins: Begins, media_type: &'static str, also: &'static [&'static str]) -> Kind {
    Kind { begins, media_type, also, speaks_for_itself: true, is_free_of_markup: true }
}

const fn document(begins: Begins, media_type: &'static str) -> Kind {
    Kind { begins, media_type, also: &[], speaks_for_itself: true, is_free_of_markup: false }
}

/// Looks like others from the outside: its name is needed too.
const fn container(begins: Begins, media_type: &'static str) -> Kind {
    Kind { begins, media_type, also: &[], speaks_for_itself: false, is_free_of_markup: false }
}

pub(crate) const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
pub(crate) const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
pub(crate) const PPTX: &str = "application/vnd.openxmlformats-officedocument.presentationml.presentation";
pub(crate) const ODT: &str = "application/vnd.oasis.opendocument.text";
pub(crate) const ODS: &str = "application/vnd.oasis.opendocument.spreadsheet";
pub(crate) const ODP: &str = "application/vnd.oasis.opendocument.presentation";

/// What was not declared is the first that fits.
pub(crate) const KINDS: &[Kind] = &[
    plain(|head| head.starts_with(b"\xff\xd8\xff"), "image/jpeg", &["image/jpg"]),
    plain(|head| head.starts_with(b"\x89PNG\r\n\x1a\n"), "image/png", &[]),
    plain(|head| head.starts_with(b"GIF87a") || head.starts_with(b"GIF89a"), "image/gif", &[]),
    plain(|head| is_riff(head, b"WEBP"), "image/webp", &[]),
    plain(is_mp4, "video/mp4", &["video/x-m4v", "video/quicktime", "video/3gpp"]),
    plain(is_mp4, "audio/mp4", &["audio/m4a", "audio/x-m4a", "audio/aac"]),
    plain(is_m4a, "audio/mp4", &["audio/m4a", "audio/x-m4a", "audio/aac", "video/mp4"]),
    plain(is_3gp, "video/3gpp", &["video/3gpp2", "video/mp4"]),
    plain(is_3gp, "audio/3gpp", &["audio/3gpp2", "audio/mp4"]),
    plain(|head| is_brand(head, &[b"qt  "]), "video/quicktime", &["video/mp4"]),
    plain(is_webm, "video/webm", &[]),
    plain(is_webm, "audio/webm", &[]),
    plain(|head| head.starts_with(b"OggS\0"), "audio/ogg", &["audio/opus", "application/ogg"]),
    plain(|head| head.starts_with(b"OggS\0"), "video/ogg", &[]),
    plain(is_mp3, "audio/mpeg", &["audio/mp3"]),
    plain(is_adts, "audio/aac", &["audio/x-aac", "audio/aacp"]),
    plain(is_amr, "audio/amr", &["audio/amr-wb"]),
    plain(|head| is_riff(head, b"WAVE"), "audio/wav", &["audio/x-wav", "audio/wave", "audio/vnd.wave"]),
    document(|head| head.starts_with(b"%PDF-"), "application/pdf"),
    document(|head| office_part(head) == Some(b"word/"), DOCX),
    document(|head| office_part(head) == Some(b"xl/"), XLSX),
    document(|head| office_part(head) == Some(b"ppt/"), PPTX),
    container(is_untold_office, DOCX),
    container(is_untold_office, XLSX),
    container(is_untold_office, PPTX),
    document(|head| is_open_document(head, ODT), ODT),
    document(|head| is_open_document(head, ODS), ODS),
    document(|head| is_open_document(head, ODP), ODP),
    container(is_old_office, "application/msword"),
    container(is_old_office, "application/vnd.ms-excel"),
    container(is_old_office, "application/vnd.ms-powerpoint"),
    // Whatever its text means to some program, it is shown as text.
    plain(
        is_text,
        "text/plain",
        &[
            "text/csv",
            "text/comma-separated-values",
            "text/tab-separated-values",
            "text/markdown",
            "text/vcard",
            "text/x-vcard",
            "text/calendar",
            "application/json",
        ],
    ),
];

fn is_riff(head: &[u8], form: &[u8; 4]) -> bool {
    head.starts_with(b"RIFF") && head.get(8..12) == Some(form)
}

/// The major brand of an ISO media file.
fn brand(head: &[u8]) -> Option<&[u8]> {
    head.get(8..12).filter(|_| head.get(4..8) == Some(b"ftyp"))
}

fn is_brand(head: &[u8], brands: &[&[u8; 4]]) -> bool {
    brand(head).is_some_and(|brand| brands.iter().any(|known| *known == brand))
}

fn is_mp4(head: &[u8]) -> bool {
    const BRANDS: &[&[u8; 4]] = &[
        b"isom", b"iso2", b"iso3", b"iso4", b"iso5", b"iso6", b"iso7", b"iso8", b"iso9", b"mp41", b"mp42",
        b"mp71", b"avc1", b"dash", b"MSNV", b"mmp4", b"mp4v", b"M4V ", b"M4VH", b"M4VP", b"F4V ", b"XAVC",
    ];
    is_brand(head, BRANDS)
}

fn is_m4a(head: &[u8]) -> bool {
    is_brand(head, &[b"M4A ", b"M4B "])
}

fn is_3gp(head: &[u8]) -> bool {
    brand(head).is_some_and(|brand| brand.starts_with(b"3g"))
}

/// Matroska with WebM's document type.
fn is_webm(head: &[u8]) -> bool {
    let start = head.get(..64).unwrap_or(head);
    start.starts_with(b"\x1a\x45\xdf\xa3") && start.windows(7).any(|window| window == b"\x42\x82\x84webm")
}

/// A tag, or a frame of layer III.
fn is_mp3(head: &[u8]) -> bool {
    let is_frame = matches!(head, [0xff, bits, ..] if bits & 0xe6 == 0xe2 && bits & 0x18 != 0x08);
    head.starts_with(b"ID3") || is_frame
}

fn is_adts(head: &[u8]) -> bool {
    matches!(head, [0xff, bits, ..] if bits & 0xf6 == 0xf0)
}

fn is_amr(head: &[u8]) -> bool {
    head.starts_with(b"#!AMR\n") || head.starts_with(b"#!AMR-WB\n")
}

/// The names of a zip file's members, as far as the beginning reaches.
fn zip_names(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    const ENTRY: &[u8] = b"PK\x03\x04";
    let starts = head.windows(ENTRY.len()).enumerate().filter(|(_, window)| *window == ENTRY);
    let starts = starts.take_while(|_| head.starts_with(ENTRY));
    starts.filter_map(|(at, _)| {
        let length = head.get(at + 26..at + 28)?;
        let length = usize::from(u16::from_le_bytes(length.try_into().ok()?));
        head.get(at + 30..at + 30 + length)
    })
}

/// Office's format since 2007, without macros as far as is seen.
fn is_office(head: &[u8]) -> bool {
    let is_package = |name: &[u8]| name == b"[Content_Types].xml" || name == b"_rels/.rels";
    zip_names(head).any(is_package) && !zip_names(head).any(|name| name.ends_with(b"vbaProject.bin"))
}

fn office_part(head: &[u8]) -> Option<&'static [u8]> {
    const PARTS: &[&[u8]] = &[b"word/", b"xl/", b"ppt/"];
    if !is_office(head) {
        return None;
    }
    zip_names(head).find_map(|name| PARTS.iter().copied().find(|part| name.starts_with(part)))
}

/// One whose telling part lies further back.
fn is_untold_office(head: &[u8]) -> bool {
    is_office(head) && office_part(head).is_none()
}

/// Word, Excel and PowerPoint until 2007. Never opened here.
fn is_old_office(head: &[u8]) -> bool {
    head.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
}

/// OpenDocument's first member is its type, stored as it is.
fn is_open_document(head: &[u8], media_type: &str) -> bool {
    let content = head.get(38..).unwrap_or_default();
    let ends = content.get(media_type.len()..).unwrap_or_default().first().is_none_or(|byte| *byte != b'-');
    zip_names(head).next() == Some(b"mimetype") && content.starts_with(media_type.as_bytes()) && ends
}

/// UTF-8 without control characters that is no markup and no script.
fn is_text(head: &[u8]) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The last character may be cut.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(head.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default()
        }
        Err(_) => return false,
    };
    let is_control = |letter: char| letter.is_control() && !matches!(letter, '\t' | '\n' | '\r');
    let start = text.trim_start_matches(|letter: char| letter == '\u{feff}' || letter.is_whitespace());
    let is_tag = start
        .strip_prefix('<')
        .and_then(|rest| rest.chars().next())
        .is_some_and(|letter| letter.is_ascii_alphabetic() || matches!(letter, '!' | '?' | '/' | '%'));
    !text.is_empty() && !text.contains(is_control) && !is_tag && !start.starts_with("#!")
}
