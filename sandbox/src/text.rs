//! What people write: many scripts, right to left, emoji, combining marks, and the odd things that break software.

use rand::Rng;
use rand::rngs::StdRng;

use crate::json::HALF;

const SENTENCES: &[&str] = &[
    "Good morning, are you open today?",
    "Thank you so much, that helped us a lot 🙏",
    "What time does it start on Sunday?",
    "Could you keep two loaves of rye for me please",
    "Is there a parcel for a family of five this week?",
    "I sent the form again: https://example.org/form?id=42&lang=en",
    "ok 👍🏽",
    "We are on our way, 10 minutes",
    "He said \"see you at the back door\" and left \\o/",
    "Tere hommikust! Kas teil on täna rukkileiba?",
    "Kiitos paljon, nähdään huomenna klo 9:00",
    "Où puis-je déposer des vêtements d’hiver ?",
    "¿A qué hora abren mañana? ¡Muchas gracias!",
    "Obrigado pela ajuda, até amanhã ❤️",
    "Können wir den Termin auf Donnerstag verschieben?",
    "Dziękuję, będę o szóstej. Źdźbło, łąka, żółw",
    "Děkuji, přijdeme zítra ráno",
    "Xin chào, cửa hàng mở cửa lúc mấy giờ?",
    "Доброе утро! Вы сегодня работаете?",
    "Дякую, ми вже їдемо 🚌",
    "Καλημέρα, είστε ανοιχτά σήμερα;",
    "გამარჯობა, დღეს ღია ხართ?",
    "Բարև, ե՞րբ եք բացում",
    "صباح الخير، هل أنتم مفتوحون اليوم؟",
    "شكرًا جزيلاً 🌹 نراكم يوم الأحد الساعة 10:30",
    "کیا آج کھانے کا پیکٹ مل سکتا ہے؟",
    "سلام، ساعت چند باز می‌کنید؟",
    "בוקר טוב, האם אתם פתוחים היום? (כן/לא)",
    "Mixed: مرحبا hello שלום 123 \u{200f}fin\u{200e}.",
    "सुप्रभात, क्या आज खाना मिलेगा? धन्यवाद",
    "শুভ সকাল, আজ কি খোলা আছে?",
    "காலை வணக்கம், இன்று திறந்திருக்கிறதா?",
    "สวัสดีค่ะ วันนี้เปิดไหมคะ",
    "မင်္ဂလာပါ ဒီနေ့ ဖွင့်လား",
    "ሰላም፣ ዛሬ ክፍት ናችሁ?",
    "早上好,今天营业吗?",
    "おはようございます。今日は開いていますか?",
    "안녕하세요, 오늘 문 여나요?",
    "𠮷野家の隣です 𐍈𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
    "👨‍👩‍👧‍👦 👩🏿‍🚒 🏳️‍🌈 🇪🇪 🧑🏻‍❤️‍🧑🏾",
    "cafe\u{301} n\u{303}ino o\u{308} — combining, not composed",
    "Z\u{351}\u{36b}\u{343}a\u{312}\u{35b}l\u{30d}\u{311}g\u{309}\u{363}o\u{306}\u{36c} is also a text",
    "first line\nsecond line\n\n\tindented\r\n",
    "zero\u{200b}width \u{feff}bom \u{2028}separator\u{2029}",
    "{\"looks\":\"like json\"} </script> %s ${jndi} '; DROP TABLE messages; --",
];

/// What Meta's own truncation and old clients produce: half an emoji, a NUL, a bell.
const ODD: &[&str] = &["cut in half ", "nul \u{0} inside", "bell \u{7} and escape \u{1b}[31m"];

/// A text of one to a few sentences that ends with the marker.
pub(crate) fn message(random: &mut StdRng, marker: &str) -> String {
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
        text.push_str(SENTENCES[random.random_range(0..SENTENCES.len())]);
        text.push(' ');
    }
    text.push_str(marker);
    text
}

/// A button's title: short, in any script, and it ends with the marker.
pub(crate) fn title(random: &mut StdRng, marker: &str) -> String {
    const TITLES: &[&str] = &["Yes", "No", "Later", "نعم", "כן", "はい", "हाँ", "Так", "🙏"];
    format!("{} {marker}", TITLES[random.random_range(0..TITLES.len())])
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
