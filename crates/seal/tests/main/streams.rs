//! Sealed streams: any size, pushed in any pieces, whole or not at all.

use seal::{CHUNK_BYTES, Context, Key, SealError, StreamOpener, StreamSealer, stream_bytes};

const HEAD: usize = 11;
const SEALED_CHUNK: usize = CHUNK_BYTES + 16;

fn context() -> Context {
    Context::new("attachment").part("acme").part([7; 16])
}

fn plain(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

fn seal(key: &Key, plain: &[u8], piece: usize) -> Vec<u8> {
    let mut sealer = StreamSealer::new(key, context()).unwrap();
    let mut sealed = Vec::new();
    for piece in plain.chunks(piece) {
        sealed.extend(sealer.push(piece).unwrap());
    }
    sealed.extend(sealer.finish().unwrap());
    sealed
}

/// What came out before the error, if there was one, and the error.
fn open(key: &Key, context: Context, sealed: &[u8], piece: usize) -> (Vec<u8>, Option<SealError>) {
    let mut opener = StreamOpener::new(key, context);
    let mut plain = Vec::new();
    for piece in sealed.chunks(piece) {
        match opener.push(piece) {
            Ok(opened) => plain.extend(opened),
            Err(error) => {
                assert!(opener.push(b"x").is_err() && opener.finish().is_err(), "it stays failed");
                return (plain, Some(error));
            }
        }
    }
    match opener.finish() {
        Ok(opened) => plain.extend(opened),
        Err(error) => return (plain, Some(error)),
    }
    (plain, None)
}

#[test]
fn every_size_in_every_piece_comes_back() {
    let key = Key::generate().unwrap();
    let sizes =
        [0, 1, 15, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES + 5];
    for size in sizes {
        let plain = plain(size);
        for piece in [7919, CHUNK_BYTES, SEALED_CHUNK, 1 << 20] {
            let sealed = seal(&key, &plain, piece);
            assert_eq!(sealed.len() as u64, stream_bytes(size as u64), "{size} in {piece}");
            for piece in [4093, CHUNK_BYTES, SEALED_CHUNK, 1 << 20] {
                let (opened, error) = open(&key, context(), &sealed, piece);
                assert!(error.is_none() && opened == plain, "{size} in {piece}: {error:?}");
            }
        }
    }
    let (opened, error) = open(&key, context(), &seal(&key, &plain(300), 1), 1);
    assert!(error.is_none() && opened == plain(300));
    assert_ne!(seal(&key, b"x", 1), seal(&key, b"x", 1), "each has a prefix of its own");
}

#[test]
fn a_stream_that_was_touched_does_not_open() {
    let key = Key::generate().unwrap();
    let whole = plain(3 * CHUNK_BYTES);
    let sealed = seal(&key, &whole, 1 << 20);
    let other = seal(&key, &whole, 1 << 20);
    let chunk = |at: usize| &sealed[HEAD + at * SEALED_CHUNK..HEAD + (at + 1) * SEALED_CHUNK];
    let with = |parts: &[&[u8]]| parts.concat();
    let mut cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("half a head", sealed[..HEAD - 1].to_vec()),
        ("a head alone", sealed[..HEAD].to_vec()),
        ("cut in a tag", sealed[..HEAD + 15].to_vec()),
        ("cut after a chunk", sealed[..HEAD + SEALED_CHUNK].to_vec()),
        ("cut after two chunks", sealed[..HEAD + 2 * SEALED_CHUNK].to_vec()),
        ("cut in a chunk", sealed[..HEAD + SEALED_CHUNK + 99].to_vec()),
        ("cut by a byte", sealed[..sealed.len() - 1].to_vec()),
        ("a byte too many", with(&[&sealed, b"x"])),
        ("its last chunk twice", with(&[&sealed, chunk(2)])),
        ("another stream behind it", with(&[&sealed, &other])),
        ("two chunks swapped", with(&[&sealed[..HEAD], chunk(1), chunk(0), chunk(2)])),
        ("a chunk left out", with(&[&sealed[..HEAD], chunk(0), chunk(2)])),
        ("a chunk twice", with(&[&sealed[..HEAD], chunk(0), chunk(0), chunk(1), chunk(2)])),
        ("the last chunk alone", with(&[&sealed[..HEAD], chunk(2)])),
        ("another stream's head", with(&[&other[..HEAD], &sealed[HEAD..]])),
        ("another stream's chunk", with(&[&sealed[..HEAD + SEALED_CHUNK], &other[HEAD + SEALED_CHUNK..]])),
    ];
    for at in (0..HEAD).chain([HEAD, HEAD + CHUNK_BYTES, HEAD + SEALED_CHUNK, sealed.len() - 1]) {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        cases.push(("a bit turned", changed));
    }
    let tried = cases.len();
    for (what, touched) in cases {
        let (opened, error) = open(&key, context(), &touched, 50_000);
        assert!(error.is_some(), "{what} opened");
        assert!(whole.starts_with(&opened), "{what}: bytes came out that were never in it");
    }
    assert!(open(&key, context().part("x"), &sealed, 1 << 20).1.is_some(), "another context");
    assert!(open(&key, Context::new("backup"), &sealed, 1 << 20).1.is_some(), "another context");
    assert!(open(&Key::generate().unwrap(), context(), &sealed, 1 << 20).1.is_some(), "another key");
    println!("promise=stream-untouched tried={} opened=0", tried + 3);
}

#[test]
fn no_more_than_a_chunk_is_held_back() {
    let key = Key::generate().unwrap();
    let mut sealer = StreamSealer::new(&key, context()).unwrap();
    let mut opener = StreamOpener::new(&key, context());
    let piece = plain(10_000);
    let (mut given, mut sealed_bytes, mut opened_bytes) = (0, 0, 0);
    // 64 MiB go through; what is neither out of the one nor of the other stays a chunk each.
    while given < 64 << 20 {
        given += piece.len();
        let sealed = sealer.push(&piece).unwrap();
        sealed_bytes += sealed.len();
        opened_bytes += opener.push(&sealed).unwrap().len();
        assert!(given - opened_bytes <= 2 * SEALED_CHUNK, "{given} {opened_bytes}");
    }
    let last = sealer.finish().unwrap();
    sealed_bytes += last.len();
    opened_bytes += opener.push(&last).unwrap().len() + opener.finish().unwrap().len();
    assert_eq!((opened_bytes, sealed_bytes as u64), (given, stream_bytes(given as u64)));
}
