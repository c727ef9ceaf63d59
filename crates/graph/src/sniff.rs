//! What a file is, by its bytes. An allow-list: what is not known to be harmless, and what is not what it was declared to
//! be, is an opaque file. Pure.

use crate::kinds::KINDS;
use crate::pixels::is_huge;

/// The type of everything that is only ever saved.
pub const OPAQUE: &str = "application/octet-stream";

/// How much of a file's beginning is looked at.
pub(crate) const HEAD: usize = 64 * 1024;

/// What makes a viewer that guesses run a file, in lower case.
const MARKUP: &[&[u8]] =
    &[b"<script", b"<html", b"<iframe", b"<!doctype", b"<!entity", b"<?php", b"<%@", b"javascript:"];

/// What a file may be shown as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// A type of the allow-list, or [`OPAQUE`].
    pub media_type: &'static str,
    /// Whether its bytes are of the type it was declared to be. True when nothing was declared.
    pub declared_matches: bool,
}

/// What the file that begins so may be shown as. `declared` may have parameters.
pub fn judge(head: &[u8], declared: Option<&str>) -> Verdict {
    let declared = declared.map(essence).filter(|declared| says_something(declared));
    let mut kinds = KINDS.iter().filter(|kind| (kind.begins)(head));
    let kind = match &declared {
        Some(declared) => kinds.find(|kind| kind.is_named(declared)),
        None => kinds.find(|kind| kind.speaks_for_itself),
    };
    match kind {
        Some(kind) if kind.is_free_of_markup && has_markup(head) => opaque(declared.is_none()),
        Some(_) if is_huge(head) => opaque(true),
        Some(kind) => Verdict { media_type: kind.media_type, declared_matches: true },
        None => opaque(declared.is_none()),
    }
}

fn opaque(declared_matches: bool) -> Verdict {
    Verdict { media_type: OPAQUE, declared_matches }
}

fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn says_something(declared: &str) -> bool {
    !matches!(declared, "" | OPAQUE | "binary/octet-stream")
}

fn has_markup(head: &[u8]) -> bool {
    let head = head.to_ascii_lowercase();
    let ends_name = |byte: Option<&u8>| {
        byte.is_some_and(|byte| matches!(byte, b'>' | b'/') || byte.is_ascii_whitespace())
    };
    MARKUP.iter().any(|word| head.windows(word.len()).any(|window| window == *word))
        // Four letters are found in noise; so is less often what follows them.
        || head.windows(5).any(|window| window.starts_with(b"<svg") && ends_name(window.last()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kinds::{DOCX, ODS, ODT, PPTX, XLSX};

    #[track_caller]
    fn check(head: impl AsRef<[u8]>, declared: &str, media_type: &'static str, declared_matches: bool) {
        let declared = Some(declared).filter(|declared| !declared.is_empty());
        assert_eq!(judge(head.as_ref(), declared), Verdict { media_type, declared_matches });
    }

    /// A zip file's beginning: members of this name and content, stored.
    fn zip(members: &[(&str, &str)]) -> Vec<u8> {
        let mut file = Vec::new();
        for (name, content) in members {
            file.extend_from_slice(b"PK\x03\x04");
            file.extend_from_slice(&[0; 22]);
            file.extend_from_slice(&u16::try_from(name.len()).unwrap().to_le_bytes());
            file.extend_from_slice(&[0; 2]);
            file.extend_from_slice(name.as_bytes());
            file.extend_from_slice(content.as_bytes());
        }
        file
    }

    const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0";
    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
    const WEBM: &[u8] = b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm";
    const OLE: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0";

    #[test]
    fn known_kinds() {
        check(JPEG, "image/jpeg", "image/jpeg", true);
        check(JPEG, "IMAGE/JPG; q=1", "image/jpeg", true);
        check(JPEG, "", "image/jpeg", true);
        check(JPEG, "application/octet-stream", "image/jpeg", true);
        check(PNG, "image/png", "image/png", true);
        check(b"GIF89a\x01\0\x01\0", "image/gif", "image/gif", true);
        check(b"RIFF\0\0\0\0WEBPVP8 ", "image/webp", "image/webp", true);
        check(b"\0\0\0\x18ftypmp42\0\0\0\0", "video/mp4", "video/mp4", true);
        check(b"\0\0\0\x18ftypisom\0\0\0\0", "audio/mp4", "audio/mp4", true);
        check(b"\0\0\0\x18ftypisom\0\0\0\0", "", "video/mp4", true);
        check(b"\0\0\0\x18ftypM4A \0\0\0\0", "", "audio/mp4", true);
        check(b"\0\0\0\x18ftyp3gp4\0\0\0\0", "video/3gpp", "video/3gpp", true);
        check(b"\0\0\0\x18ftypqt  \0\0\0\0", "video/quicktime", "video/quicktime", true);
        check(WEBM, "video/webm", "video/webm", true);
        check(b"OggS\0\x02", "audio/ogg; codecs=opus", "audio/ogg", true);
        check(b"ID3\x04\0", "audio/mpeg", "audio/mpeg", true);
        check(b"\xff\xfb\x90\x64", "audio/mpeg", "audio/mpeg", true);
        check(b"\xff\xf3\x90\x64", "audio/mp3", "audio/mpeg", true);
        check(b"\xff\xf1\x50\x80", "audio/aac", "audio/aac", true);
        check(b"#!AMR\n\x3c", "audio/amr", "audio/amr", true);
        check(b"RIFF\0\0\0\0WAVEfmt ", "audio/x-wav", "audio/wav", true);
        check(b"%PDF-1.7\n", "application/pdf", "application/pdf", true);
        check(OLE, "application/msword", "application/msword", true);
        check(OLE, "application/vnd.ms-excel", "application/vnd.ms-excel", true);
        check("Grüße, 日本\r\n", "text/plain; charset=utf-8", "text/plain", true);
        check("a,b\n=1,2\n", "text/csv", "text/plain", true);
        check("<3 you\n", "text/plain", "text/plain", true);
        check("cut here: \u{65e5}".as_bytes().split_last().unwrap().1, "", "text/plain", true);
    }

    #[test]
    fn documents_in_zip_files() {
        let docx = zip(&[
            ("[Content_Types].xml", "<?xml ?><Types>"),
            ("_rels/.rels", ""),
            ("word/document.xml", ""),
        ]);
        check(&docx, DOCX, DOCX, true);
        check(&docx, "", DOCX, true);
        check(&docx, XLSX, OPAQUE, false);
        check(zip(&[("xl/workbook.xml", ""), ("_rels/.rels", "")]), XLSX, XLSX, true);
        check(zip(&[("_rels/.rels", ""), ("docProps/app.xml", ""), ("ppt/a.xml", "")]), PPTX, PPTX, true);
        check(zip(&[("[Content_Types].xml", "")]), DOCX, DOCX, true);
        check(zip(&[("[Content_Types].xml", "")]), "", OPAQUE, true);
        check(zip(&[("[Content_Types].xml", ""), ("word/vbaProject.bin", "")]), DOCX, OPAQUE, false);
        check(zip(&[("mimetype", ODT), ("content.xml", "")]), ODT, ODT, true);
        check(zip(&[("mimetype", ODS), ("content.xml", "")]), "", ODS, true);
        check(zip(&[("mimetype", &format!("{ODT}-master"))]), ODT, OPAQUE, false);
        check(zip(&[("inner.zip", "PK\x03\x04")]), "application/zip", OPAQUE, false);
        check(zip(&[("META-INF/MANIFEST.MF", "")]), "application/java-archive", OPAQUE, false);
        check(zip(&[("a", "")]), "", OPAQUE, true);
    }

    #[test]
    fn not_what_it_was_declared() {
        check(JPEG, "image/png", OPAQUE, false);
        check(PNG, "application/pdf", OPAQUE, false);
        check(b"%PDF-1.7\n\xff", "image/jpeg", OPAQUE, false);
        check(OLE, "", OPAQUE, true);
        check(OLE, "image/jpeg", OPAQUE, false);
        check("plain", "image/jpeg", OPAQUE, false);
        check(b"\x01\x02\x03", "text/plain", OPAQUE, false);
        check(b"", "image/jpeg", OPAQUE, false);
        check(JPEG, "x".repeat(1000).as_str(), OPAQUE, false);
    }

    #[test]
    fn active_content() {
        let svg = "<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>";
        for page in [
            svg,
            "<svg onload=alert(1)>",
            "\u{feff} \n<SVG/onload=alert(1)>",
            "<!DOCTYPE html><html><body>",
            "<html>",
            "<a href='javascript:alert(1)'>",
            "<b>bold</b>",
            "<!-- --><script>alert(1)</script>",
            "harmless\n<ScRiPt src=//evil.example>",
            "#!/bin/sh\nrm -rf /\n",
            "<?php system($_GET[0]);",
            "<%@ page %>",
        ] {
            for declared in ["", "image/jpeg", "image/svg+xml", "text/html", "text/plain", "application/xml"]
            {
                check(page, declared, OPAQUE, declared.is_empty());
            }
            // Polyglots: a picture to one reader, a page to another.
            if !page.starts_with("#!") && page != "<b>bold</b>" {
                check([JPEG, page.as_bytes()].concat(), "image/jpeg", OPAQUE, false);
                check([b"GIF89a", page.as_bytes()].concat(), "image/gif", OPAQUE, false);
                check([b"ID3", page.as_bytes()].concat(), "", OPAQUE, true);
            }
        }
        check(svg.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>(), "text/plain", OPAQUE, false);
    }

    #[test]
    fn programs_and_archives() {
        for head in [
            b"MZ\x90\0\x03\0\0\0".as_slice(),
            b"\x7fELF\x02\x01\x01\0",
            b"\xca\xfe\xba\xbe\0\0\0\x34",
            b"\xcf\xfa\xed\xfe\x07\0\0\x01",
            b"\0asm\x01\0\0\0",
            b"\x1f\x8b\x08\0",
            b"Rar!\x1a\x07\0",
            b"7z\xbc\xaf\x27\x1c",
            b"L\0\0\0\x01\x14\x02\0",
            b"\x1a\x45\xdf\xa3\x9f\x42\x82\x88matroska",
            b"\0\0\0\x18ftypheic\0\0\0\0",
            b"BM\0\0\0\0",
        ] {
            for declared in ["", "image/jpeg", "application/x-msdownload"] {
                check(head, declared, OPAQUE, declared.is_empty());
            }
        }
    }

    #[test]
    fn huge_pictures() {
        let huge = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\xc3\x50\0\0\xc3\x50";
        check(huge, "image/png", OPAQUE, true);
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(
            start in proptest::sample::select(vec![
                b"".to_vec(), JPEG.to_vec(), PNG.to_vec(), b"GIF89a".to_vec(), b"RIFF\0\0\0\0WEBPVP8X".to_vec(),
                OLE.to_vec(), WEBM.to_vec(), b"PK\x03\x04".to_vec(), b"\0\0\0\x18ftyp".to_vec(), b"OggS".to_vec(),
            ]),
            rest in proptest::collection::vec(any::<u8>(), 0..300),
            declared in proptest::option::of(".{0,40}"),
        ) {
            let verdict = judge(&[start, rest].concat(), declared.as_deref());
            let is_listed = KINDS.iter().any(|kind| kind.media_type == verdict.media_type);
            prop_assert!(is_listed || verdict.media_type == OPAQUE);
            prop_assert!(!verdict.media_type.contains("svg") && !verdict.media_type.contains("html"));
        }
    }
}
