//! What people write: many scripts, right to left, emoji, combining marks, and the odd things that break software.

use rand::Rng;
use rand::rngs::StdRng;

use crate::json::HALF;

/// What somebody writes in one language: `yes`, and sentences.
type Tongue = (&'static str, &'static [&'static str]);

const TONGUES: &[Tongue] = &[
    ("Yes", ENGLISH),
    ("OK", ENGLISH),
    ("Later", ENGLISH),
    (
        "Sí",
        &[
            "¿A qué hora abren mañana?",
            "¡Muchas gracias! 🙏",
            "Mañana paso con los niños.",
            "¿Hay algo sin gluten, señor Ñ?",
        ],
    ),
    (
        "Oui",
        &[
            "Où puis-je déposer des vêtements d’hiver ?",
            "Merci beaucoup, à dimanche !",
            "Ça marche, on arrive à 18 h.",
            "C’est noté 👌",
        ],
    ),
    (
        "Jah",
        &[
            "Tere hommikust! Kas teil on täna rukkileiba?",
            "Aitäh, nägemiseni!",
            "Äkki jõuame õhtul, öö läbi sõitsime.",
            "Kas homme kell 9 sobib?",
        ],
    ),
    (
        "Tak",
        &[
            "Dziękuję, będę o szóstej.",
            "Czy mogę odebrać paczkę jutro?",
            "Źdźbło, łąka, żółw 🐢",
            "Do zobaczenia!",
        ],
    ),
    (
        "Có",
        &[
            "Xin chào, cửa hàng mở cửa lúc mấy giờ?",
            "Cảm ơn rất nhiều!",
            "Tôi sẽ đến lúc bảy giờ.",
            "Ở đây có bánh mì không ạ?",
        ],
    ),
    (
        "Да",
        &[
            "Доброе утро! Вы сегодня работаете?",
            "Спасибо большое 🙏",
            "Мы уже едем, будем через 10 минут.",
            "Можно забрать завтра?",
        ],
    ),
    (
        "Так",
        &[
            "Дякую, ми вже їдемо 🚌",
            "Чи є сьогодні пакунок для сім’ї?",
            "До зустрічі в неділю!",
            "Гаразд, ґанок бачу.",
        ],
    ),
    (
        "Ναι",
        &["Καλημέρα, είστε ανοιχτά σήμερα;", "Ευχαριστώ πολύ!", "Θα περάσω στις έξι.", "Πού είναι η πόρτα;"],
    ),
    ("კი", &["გამარჯობა, დღეს ღია ხართ?", "დიდი მადლობა!", "ხვალ მოვალ ცხრა საათზე."]),
    (
        "نعم",
        &[
            "صباح الخير، هل أنتم مفتوحون اليوم؟",
            "شكرًا جزيلاً 🌹",
            "نراكم يوم الأحد الساعة 10:30.",
            "هل يوجد خبز اليوم؟ (2 كغ)",
        ],
    ),
    ("جی", &["کیا آج کھانے کا پیکٹ مل سکتا ہے؟", "بہت شکریہ", "ہم کل صبح آئیں گے۔"]),
    (
        "כן",
        &[
            "בוקר טוב, האם אתם פתוחים היום? (כן/לא)",
            "תודה רבה!",
            "נגיע בעוד 20 דקות.",
            "אפשר לשמור לי 2 חלות?",
        ],
    ),
    ("हाँ", &["सुप्रभात, क्या आज खाना मिलेगा?", "बहुत धन्यवाद 🙏", "हम कल सुबह आएँगे।", "कितने बजे खुलता है?"]),
    ("ஆம்", &["காலை வணக்கம், இன்று திறந்திருக்கிறதா?", "மிக்க நன்றி!", "நாளை காலை வருகிறேன்."]),
    ("ค่ะ", &["สวัสดีค่ะ วันนี้เปิดไหมคะ", "ขอบคุณมากค่ะ", "พรุ่งนี้เช้าจะไปนะคะ 🙏"]),
    ("እሺ", &["ሰላም፣ ዛሬ ክፍት ናችሁ?", "በጣም አመሰግናለሁ።", "ነገ ጠዋት እመጣለሁ።"]),
    ("好", &["早上好,今天营业吗?", "谢谢!星期天见。", "我们十分钟后到。", "可以帮我留两个面包吗?"]),
    (
        "はい",
        &[
            "おはようございます。今日は開いていますか?",
            "ありがとうございます🙇",
            "日曜日に伺います。",
            "𠮷野家の隣です。",
        ],
    ),
    (
        "네",
        &["안녕하세요, 오늘 문 여나요?", "정말 감사합니다!", "내일 아침에 갈게요.", "두 개만 남겨 주세요 🙏"],
    ),
];

const ENGLISH: &[&str] = &[
    "Good morning, are you open today?",
    "Thank you so much, that helped us a lot 🙏",
    "What time does it start on Sunday?",
    "Could you keep two loaves of rye for me please?",
    "Is there a parcel for a family of five this week?",
    "I sent the form again: https://example.org/form?id=42&lang=en",
    "ok 👍🏽",
    "We are on our way, 10 minutes.",
    "See you at the back door!",
    "Do you need volunteers on Thursday?",
];

/// What people paste, and what breaks software: mixed directions, emoji of many parts, combining marks, separators, code.
const PASTED: &[&str] = &[
    "Mixed: مرحبا hello שלום 123 \u{200f}fin\u{200e}.",
    "👨‍👩‍👧‍👦 👩🏿‍🚒 🏳️‍🌈 🇪🇪 🧑🏻‍❤️‍🧑🏾",
    "cafe\u{301} n\u{303}ino o\u{308} — combining, not composed",
    "Z\u{351}\u{36b}\u{343}a\u{312}\u{35b}l\u{30d}\u{311}g\u{309}\u{363}o\u{306}\u{36c} is also a text",
    "first line\nsecond line\n\n\tindented\r\n",
    "zero\u{200b}width \u{feff}bom \u{2028}separator\u{2029}",
    "He said \"see you at the back door\" and left \\o/ 𐍈𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
    "{\"looks\":\"like json\"} </script> %s ${jndi} '; DROP TABLE messages; --",
];

/// What Meta's own truncation and old clients produce: half an emoji, a NUL, a bell.
const ODD: &[&str] = &["cut in half ", "nul \u{0} inside", "bell \u{7} and escape \u{1b}[31m"];

/// A language for somebody to write.
pub(crate) fn tongue(random: &mut StdRng) -> usize {
    random.random_range(0..TONGUES.len())
}

/// A text of one to a few sentences that ends with the marker.
pub(crate) fn message(random: &mut StdRng, tongue: usize, marker: &str) -> String {
    let mut text = String::new();
    if random.random_ratio(1, 200) {
        let odd = random.random_range(0..ODD.len());
        text.push_str(ODD[odd]);
        if odd == 0 {
            text.push(HALF);
        }
        text.push(' ');
    }
    let sentences = match random.random_range(0..100) {
        0..=49 => 1,
        50..=84 => random.random_range(2..=3),
        85..=98 => random.random_range(4..=7),
        _ => random.random_range(12..=30),
    };
    for _ in 0..sentences {
        let from = if random.random_ratio(1, 25) { PASTED } else { TONGUES[tongue].1 };
        text.push_str(from[random.random_range(0..from.len())]);
        text.push(' ');
    }
    text.push_str(marker);
    text
}

/// A button's title, which ends with the marker.
pub(crate) fn title(random: &mut StdRng, tongue: usize, marker: &str) -> String {
    let yes = if random.random_ratio(1, 4) { "🙏" } else { TONGUES[tongue].0 };
    format!("{yes} {marker}")
}

/// How a lenient decoder shows a text: what cannot be a character reads U+FFFD.
pub(crate) fn as_shown(text: &str) -> String {
    text.replace(HALF, "\u{fffd}")
}

const EMOJI: &[&str] = &["❤", "😂", "😮", "😢", "😠", "👍", "🙏", "🎉", "👩🏽‍🌾"];

/// An emoji to react with.
pub(crate) fn emoji(random: &mut StdRng) -> &'static str {
    EMOJI[random.random_range(0..EMOJI.len())]
}
