//! What calendar programs write into an alarm that has no words of its own. It says nothing, and in a subject it takes
//! the place of what the alarm is about.

/// Texts of calendar programs, in lower case.
const TEXTS: &[&str] = &[
    "(null)",
    "alarm",
    "alarm notification",
    "alarma",
    "alarme",
    "alert",
    "attention",
    "audio",
    "calendar alarm",
    "calendar notification",
    "calendar reminder",
    "default alarm",
    "description",
    "dies ist eine terminerinnerung",
    "display",
    "email",
    "event",
    "event alarm",
    "event notification",
    "event reminder",
    "erinnerung",
    "herinnering",
    "lembrete",
    "no description",
    "notification",
    "numatytasis aprašas",
    "numatytasis pavadinimas",
    "przypomnienie",
    "promemoria",
    "rappel",
    "recordatorio",
    "reminder",
    "reminder notification",
    "task reminder",
    "terminerinnerung",
    "this is a reminder",
    "this is an event reminder",
    "todo reminder",
    "výchozí popis",
    "výchozí souhrn",
    "upozornění",
    "напоминание",
    "تذكير",
    "تنبيه",
    "お知らせ",
    "アラーム",
    "リマインダー",
    "通知",
    "提醒",
];

/// The name of a program that Thunderbird's default texts have in all languages ('Default Mozilla Summary', 'Mozilla
/// Standardbeschreibung', 'Domyślny opis Mozilli').
const NAMES: &[&str] = &["mozill", "موزيلا", "ਮੌਜ਼ੀਲਾ"];
/// Words of such a text, at most.
const WORDS: usize = 5;
/// Octets of what may stand before a title, such as `Reminder: `.
const PREFIX: usize = 20;

/// Whether `text`, the SUMMARY or DESCRIPTION of an alarm, says nothing about the event with this `title`: it is empty,
/// a program's default, or the title again.
pub fn is_boilerplate(text: &str, title: &str) -> bool {
    let text = normalized(text);
    let title = normalized(title);
    if text.is_empty() || text == title || TEXTS.contains(&text.trim_end_matches(['.', '!', ':', ' '])) {
        return true;
    }
    let is_named = NAMES.iter().any(|name| text.contains(name)) && text.split(' ').count() <= WORDS;
    let before = text.strip_suffix(title.as_str()).map(str::trim_end).filter(|_| !title.is_empty());
    is_named || before.is_some_and(|before| before.len() <= PREFIX && before.ends_with([':', '：']))
}

/// `text` in lower case, with single spaces.
fn normalized(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_write_is_told_from_what_people_write() {
        for text in [
            "",
            " Alarm notification ",
            "This is an event reminder",
            "Default Mozilla Summary",
            "Mozilla Standardzusammenfassung",
            "Résumé par défaut Mozilla",
            "Domyślny opis Mozilli",
            "ملخص موزيلا الافتراضي",
            "REMINDER",
            "Reminder.",
            "lunch  with Anna",
            "Reminder: Lunch with Anna",
        ] {
            assert!(is_boilerplate(text, "Lunch with Anna"), "{text}");
        }
        for text in [
            "Leave now",
            "The Mozilla people are here at nine, bring the contract",
            "Reminder: bring the cake",
            "Do not forget the lunch with Anna",
            "We meet before we have: Lunch with Anna",
        ] {
            assert!(!is_boilerplate(text, "Lunch with Anna"), "{text}");
        }
        assert!(!is_boilerplate("Soon:", ""));
    }
}
