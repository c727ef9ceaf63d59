//! Names for people who do not exist.

use rand::Rng;
use rand::rngs::StdRng;

const GIVEN: &[&str] = &[
    "Amina",
    "Björn",
    "Chloé",
    "Dmitri",
    "Efua",
    "Farid",
    "Giulia",
    "Hana",
    "Ivo",
    "Joana",
    "Kofi",
    "Leïla",
    "Mateo",
    "Noor",
    "Oksana",
    "Priya",
    "Quynh",
    "Rasmus",
    "Søren",
    "Tomás",
    "Ülle",
    "Víctor",
    "Wanjiru",
    "Ximena",
    "Yusuf",
    "Žofia",
    "أمل",
    "יעל",
    "Δήμητρα",
    "Анна",
    "გიორგი",
    "አበበ",
    "अनिता",
    "சுமதி",
    "สมชาย",
    "小雨",
    "さくら",
    "민준",
];
const FAMILY: &[&str] = &[
    "Alder", "Birch", "Cedar", "Dune", "Elm", "Fjord", "Grove", "Heath", "Isle", "Juniper", "Knoll", "Larch",
    "Meadow", "Nook", "Orchard", "Pine", "Quarry", "Ridge", "Spruce", "Thicket", "Upland", "Vale", "Willow",
    "Yew",
];

/// A name, at times with an emoji, as people write them into their profiles.
pub(crate) fn name(random: &mut StdRng) -> String {
    let given = GIVEN[random.random_range(0..GIVEN.len())];
    let family = FAMILY[random.random_range(0..FAMILY.len())];
    match random.random_range(0..12) {
        0 => format!("{given} 🌿"),
        1 => given.to_owned(),
        _ => format!("{given} {family}"),
    }
}

/// A user name as Instagram and WhatsApp allow them.
pub(crate) fn username(random: &mut StdRng) -> String {
    let family = FAMILY[random.random_range(0..FAMILY.len())].to_lowercase();
    format!("{family}.{}", random.random_range(100..10_000))
}
