//! Words that must not be readable anywhere: looked for in files, and in what a crash leaves.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::rig::{Up, delivery, whatsapp};

/// Files below `root` that hold any of these words, in clear, in base64, in hexadecimal or in UTF-16.
pub(crate) fn canaries(root: &Path, words: &[Vec<u8>]) -> Vec<String> {
    let forms: Vec<Vec<u8>> = words
        .iter()
        .flat_map(|word| {
            // Base64 has three forms of a word, by where it stands; its first and last characters depend on what is beside it.
            let base64 = (0..3).map(|before| {
                let text = STANDARD.encode([&vec![b' '; before][..], &word[..]].concat());
                let until = (before + word.len()) * 8 / 6;
                text.as_bytes()[(before * 8).div_ceil(6)..until].to_vec()
            });
            let wide = word.iter().flat_map(|byte| [*byte, 0]).collect();
            base64.chain([word.clone(), hex::encode(word).into_bytes(), wide]).collect::<Vec<_>>()
        })
        .collect();
    let search = aho_corasick::AhoCorasick::new(&forms).unwrap();
    let mut hits = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = std::fs::read(&path)
                && let Some(hit) = search.find(&bytes)
            {
                hits.push(format!("{}: form {}", path.display(), hit.pattern().as_usize()));
            }
        }
    }
    hits
}

#[test]
fn a_canary_is_found_in_every_form() {
    let word = "CANARYWORD00007X".to_owned();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let wide: Vec<u8> = word.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let base64 = (0..3).map(|before| STANDARD.encode(format!("{}{word}, said they", &"xyz"[..before])));
    let forms = base64.map(String::into_bytes).chain([word.clone().into(), hex::encode(&word).into(), wide]);
    let words = [word.clone().into_bytes()];
    for form in forms {
        std::fs::write(&path, [b"before ", &form[..], b" after"].concat()).unwrap();
        assert_eq!(canaries(folder.path(), &words).len(), 1, "{}", String::from_utf8_lossy(&form));
    }
    std::fs::write(&path, "CANARYWORD00008X").unwrap();
    assert!(canaries(folder.path(), &words).is_empty());
}

/// What is in a folder and looks like a core file.
fn cores(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter_map(|name| name.into_string().ok()).filter(|name| name.starts_with("core")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_leaves_no_core_file() {
    // As generous as the machine lets it be; whatever is started from here inherits that.
    let (_, most) = getrlimit(Resource::RLIMIT_CORE).unwrap();
    setrlimit(Resource::RLIMIT_CORE, most, most).unwrap();
    let other = tempfile::tempdir().unwrap();
    let mut sleeper =
        std::process::Command::new("sleep").arg("600").current_dir(other.path()).spawn().unwrap();
    kill(Pid::from_raw(sleeper.id().cast_signed()), Signal::SIGABRT).unwrap();
    sleeper.wait().unwrap();
    let others = cores(other.path()).len();

    let mut up = Up::start(&[]).await;
    up.admin.app(up.folder()).await;
    up.admin.cli(&["tenant", "add", "alpha", "--name", "Alpha"]).await;
    up.admin.cli(&["asset", "connect", "alpha", "whatsapp", "111"]).await;
    let entry = whatsapp("111", "15551234567", "wamid.CORE", "hello");
    assert_eq!(up.post(delivery(vec![entry])).await, 200);
    up.messages("alpha", 1).await;
    assert_eq!(up.process.stop(Signal::SIGABRT).await, None);
    let ours = cores(up.folder());
    assert!(ours.is_empty(), "{ours:?}");
    // Where the kernel hands core files to a program or writes none, the other process shows nothing; it says so.
    println!("promise=no-core-files ours=0 of_another_process={others} limit={most}");
}
