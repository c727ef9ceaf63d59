//! `docs/bad-input.md` names every class once, and every test it names is there.

use std::path::Path;

const CLASSES: usize = 96;

/// A row that begins with a number: its class, and the tests that its last column names.
fn row(line: &str) -> Option<(usize, Vec<&str>)> {
    let cells: Vec<&str> = line.strip_prefix('|')?.trim_end().strip_suffix('|')?.split(" | ").collect();
    let [class, _, answer, tests] = cells[..] else { return None };
    let class = class.trim().parse().ok()?;
    assert!(!answer.trim().is_empty(), "class {class} has no answer");
    let tests = tests.split('`').skip(1).step_by(2).collect();
    Some((class, tests))
}

#[test]
fn every_class_has_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = std::fs::read_to_string(root.join("docs/bad-input.md")).unwrap();
    let rows: Vec<_> = page.lines().filter_map(row).collect();
    let classes: Vec<usize> = rows.iter().map(|(class, _)| *class).collect();
    assert_eq!(classes, (1..=CLASSES).collect::<Vec<_>>(), "each class once, in order");
    for (class, tests) in &rows {
        assert!(!tests.is_empty(), "class {class} names no test");
        for test in tests {
            let (file, name) = test.split_once("::").unwrap_or_else(|| panic!("class {class}: {test}"));
            let code = std::fs::read_to_string(root.join(file))
                .unwrap_or_else(|cause| panic!("class {class}: {file}: {cause}"));
            let (before, _) = code
                .split_once(&format!("fn {name}("))
                .unwrap_or_else(|| panic!("class {class}: there is no test {name} in {file}"));
            let attribute = before.rfind("test").map_or("", |at| &before[at..]);
            assert!(!attribute.contains('}'), "class {class}: {name} in {file} is no test");
        }
    }
}
