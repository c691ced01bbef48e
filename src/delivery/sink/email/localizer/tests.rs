use std::collections::BTreeSet;

use jiff::civil::{date, time};

use super::*;

/// The lines of the texts of a language that begin one, with the variables that each uses.
fn messages(texts: &str) -> Vec<(String, BTreeSet<String>)> {
    let mut messages: Vec<(String, BTreeSet<String>)> = Vec::new();
    for line in texts.lines().filter(|line| !line.starts_with('#')) {
        if !line.starts_with(' ')
            && let Some((id, _)) = line.split_once(" = ")
        {
            messages.push((id.to_owned(), BTreeSet::new()));
        }
        let names = line.split('$').skip(1).map(|rest| rest.chars().take_while(|c| c.is_alphanumeric()).collect());
        if let Some((_, used)) = messages.last_mut() {
            used.extend(names.collect::<Vec<String>>());
        }
    }
    messages
}

#[test]
fn every_language_has_every_text_with_the_same_variables() {
    let english = messages(LANGUAGES[0].1);
    assert!(english.len() > 30);
    let ids: BTreeSet<&str> = english.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids.len(), english.len(), "a text is there twice");
    for (language, texts) in LANGUAGES {
        assert!(FluentResource::try_new((*texts).to_owned()).is_ok(), "{language}");
        assert_eq!(messages(texts), english, "{language}");
        let localizer = Localizer::new(language).unwrap();
        for (id, used) in &english {
            let pattern = localizer.texts.get_message(id).unwrap().value().unwrap();
            let mut values: FluentArgs<'_> = used.iter().map(|name| (name.as_str(), FluentValue::from("x"))).collect();
            for count in [0, 1, 2, 3, 5, 11, 100] {
                values.set("count", FluentValue::from(count));
                let mut errors = Vec::new();
                let text = localizer.texts.format_pattern(pattern, Some(&values), &mut errors);
                assert!(errors.is_empty() && !text.is_empty() && !text.contains(['{', '}']), "{language} {id}: {text}");
            }
        }
    }
}

#[test]
fn dates_times_and_plurals_are_those_of_the_locale() {
    let (day, hour) = (date(2015, 11, 19), time(18, 5, 0, 0));
    for (locale, long, short, written, late) in [
        ("en-GB", "Thursday, 19 November 2015", "Thu, 19 Nov 2015", "18:05", "comes 3 hours late"),
        ("en-US", "Thursday, November 19, 2015", "Thu, Nov 19, 2015", "6:05\u{a0}PM", "comes 3 hours late"),
        ("de", "Donnerstag, 19. November 2015", "Do., 19.11.2015", "18:05", "3 Stunden zu spät"),
        ("fr", "jeudi 19 novembre 2015", "jeu. 19 nov. 2015", "18:05", "3 heures de retard"),
        ("es", "jueves, 19 de noviembre de 2015", "jue, 19 nov 2015", "18:05", "3 horas de retraso"),
        ("nl", "donderdag 19 november 2015", "do 19 nov 2015", "18:05", "3 uur te laat"),
        ("pl", "czwartek, 19 listopada 2015", "czw., 19 lis 2015", "18:05", "o 3 godziny"),
        ("ja", "2015年11月19日木曜日", "2015/11/19(木)", "18:05", "3時間遅れています"),
        ("ar-EG", "الخميس، ١٩ نوفمبر ٢٠١٥", "الخميس، ١٩\u{200f}/١١\u{200f}/٢٠١٥", "٦:٠٥ م", "٣\u{2069} ساعات"),
    ] {
        let localizer = Localizer::new(locale).unwrap();
        assert_eq!((localizer.day(day), localizer.short_day(day)), (long.to_owned(), short.to_owned()));
        assert_eq!(localizer.time(hour), written, "{locale}");
        let text = localizer.counted("late-hours", 3, &[("due", "x")]);
        assert!(text.contains(late), "{locale}: {text}");
    }
    let names = ["A".to_owned(), "B".to_owned(), "C".to_owned()];
    assert_eq!(Localizer::new("de-AT").unwrap().list(&names), "A, B und C");
}

#[test]
fn a_locale_is_refused_if_no_mails_are_written_in_its_language() {
    assert_eq!(known_locale("DE-at").as_deref(), Ok("de-AT"));
    assert!(known_locale("fi").unwrap_err().contains("there are en, de, fr"));
    assert!(known_locale("deutsch!").unwrap_err().contains("not a locale such as"));
    assert_eq!(Localizers::default().get("fi").unwrap().lang(), DEFAULT);
}
