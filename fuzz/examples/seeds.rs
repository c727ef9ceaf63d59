//! Makes what the targets begin with, and what is too large to keep: `seeds SCHEMAS OUT` reads the payloads in
//! `SCHEMAS/fixtures` and the records in `SCHEMAS/golden`, and writes `OUT/<target>/…`, where fuzzing begins, and
//! `OUT/large/<target>/…`, which are run once each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use fuzz::place::Place;
use fuzz::{large, record};
use libfuzzer_sys::fuzz_target;
use schemas::{DecodeError, Encoded, Event, SealedEvent, split};
use serde::Deserialize;
use serde_json::value::RawValue;

// This package is instrumented, and what is instrumented has to be linked with libFuzzer.
fuzz_target!(|_input: &[u8]| {});

fn main() -> io::Result<()> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let (Some(schemas), Some(out)) = (arguments.next(), arguments.next()) else {
        return Err(io::Error::other("usage: seeds SCHEMAS OUT"));
    };
    for (name, body) in files(&schemas.join("fixtures"))? {
        write(&out, "body", &name, &body)?;
        for (index, event) in events(&body).iter().enumerate() {
            let clear = event.encode();
            write(&out, "envelope", &format!("{name}-{index}"), &record::input(pairs(&clear), &clear.value))?;
            write_sealed(&out, &format!("{name}-{index}"), event)?;
        }
    }
    for (name, golden) in files(&schemas.join("golden"))? {
        let Golden { headers, value } = serde_json::from_slice(&golden)?;
        let input = record::input(&headers, value.get().as_bytes());
        write(&out, "envelope", &name, &input)?;
        if let Ok(event) = Event::decode(|name| headers.get(name).map(String::as_str), value.get().as_bytes())
        {
            write_sealed(&out, &name, &event)?;
        }
    }
    for (name, body) in large::bodies() {
        write(&out, "large/body", &name, body.as_bytes())?;
    }
    Ok(())
}

/// A record as it was written once.
#[derive(Deserialize)]
struct Golden {
    headers: BTreeMap<String, String>,
    value: Box<RawValue>,
}

fn write(out: &Path, folder: &str, name: &str, input: &[u8]) -> io::Result<()> {
    let folder = out.join(folder);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), input)
}

fn write_sealed(out: &Path, name: &str, event: &Event) -> io::Result<()> {
    let sealed: SealedEvent =
        event.seal(|_, plain| Ok::<_, DecodeError>(plain.to_vec())).map_err(io::Error::other)?;
    let encoded = sealed.encode();
    write(out, "envelope", &format!("{name}-sealed"), &record::input(pairs(&encoded), &encoded.value))
}

fn pairs(encoded: &Encoded) -> impl Iterator<Item = (&str, &str)> {
    encoded.headers.iter().map(|(name, value)| (*name, value.as_str()))
}

/// Every JSON file of a folder and its folders.
fn files(folder: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            let inside = files(&path)?;
            found.extend(inside.into_iter().map(|(file, text)| (format!("{name}-{file}"), text)));
        } else if path.extension().is_some_and(|extension| extension == "json") {
            found.push((name.into_owned(), fs::read(&path)?));
        }
    }
    Ok(found)
}

fn events(body: &[u8]) -> Vec<Event> {
    let place = Place::default();
    let items = split(body).map(|split| split.items).unwrap_or_default();
    let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
    items.into_iter().map(|item| place.event(item, count)).collect()
}
