//! The language of a mail: its fixed texts (Fluent files in `locales`), and dates, times, numbers, plurals and lists as
//! its locale writes them (CLDR, by ICU4X).

use std::collections::HashMap;
use std::fmt::{self, Debug, Formatter};
use std::sync::{Arc, Mutex, PoisonError};

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use icu_datetime::fieldsets::{T, YMDE};
use icu_datetime::input::{Date as IcuDate, Time as IcuTime};
use icu_datetime::{DateTimeFormatter, NoCalendarFormatter};
use icu_decimal::DecimalFormatter;
use icu_list::ListFormatter;
use icu_locale_core::Locale;
use icu_plurals::{PluralCategory, PluralRules};
use jiff::civil::{Date, Time};
use unic_langid::LanguageIdentifier;

/// Languages that mails are written in, with their texts.
const LANGUAGES: &[(&str, &str)] = &[
    ("en", include_str!("locales/en.ftl")),
    ("de", include_str!("locales/de.ftl")),
    ("fr", include_str!("locales/fr.ftl")),
    ("es", include_str!("locales/es.ftl")),
    ("nl", include_str!("locales/nl.ftl")),
    ("pl", include_str!("locales/pl.ftl")),
    ("ja", include_str!("locales/ja.ftl")),
    ("ar", include_str!("locales/ar.ftl")),
];
/// Those of them that are written from right to left.
const RIGHT_TO_LEFT: &[&str] = &["ar"];
/// A character without width that is written from right to left.
const RIGHT_TO_LEFT_MARK: char = '\u{200f}';
/// The locale of readers of whom none is known: English, with 24 hours and the day before the month.
pub const DEFAULT: &str = "en-GB";

/// Checks the name of a locale (BCP 47), `de` or `de-AT`; returns it in its canonical form.
///
/// # Errors
/// The rest of a sentence that begins with the key.
pub fn known_locale(written: &str) -> Result<String, String> {
    let names = || LANGUAGES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    match written.parse::<Locale>() {
        Ok(locale) if language(&locale).is_some() => Ok(locale.to_string()),
        Ok(_) => Err(format!("is '{written}', a language that mails are not written in: there are {}", names())),
        Err(_) => Err(format!("is '{written}', which is not a locale such as en-GB or de")),
    }
}

/// The language of `locale`, and its texts.
fn language(locale: &Locale) -> Option<(&'static str, &'static str)> {
    LANGUAGES.iter().find(|(name, _)| locale.id.language.as_str() == *name).copied()
}

/// Writes for readers of one locale.
pub struct Localizer {
    locale: String,
    language: &'static str,
    texts: FluentBundle<FluentResource>,
    long: DateTimeFormatter<YMDE>,
    short: DateTimeFormatter<YMDE>,
    time: NoCalendarFormatter<T>,
    list: ListFormatter,
}

impl Debug for Localizer {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Localizer").field("locale", &self.locale).finish_non_exhaustive()
    }
}

impl Localizer {
    /// For readers of `locale`, which [`known_locale`] has accepted; none for others.
    pub fn new(locale: &str) -> Option<Localizer> {
        let parsed = locale.parse::<Locale>().ok()?;
        let (language, texts) = language(&parsed)?;
        Some(Localizer {
            locale: locale.to_owned(),
            language,
            texts: bundle(language, texts, &parsed)?,
            long: DateTimeFormatter::try_new((&parsed).into(), YMDE::long()).ok()?,
            short: DateTimeFormatter::try_new((&parsed).into(), YMDE::medium()).ok()?,
            time: NoCalendarFormatter::try_new((&parsed).into(), T::hm()).ok()?,
            list: ListFormatter::try_new_and((&parsed).into(), Default::default()).ok()?,
        })
    }

    /// The language, as HTML's `lang` has it.
    pub fn lang(&self) -> &str {
        &self.locale
    }

    /// The direction of its script, as HTML's `dir` has it.
    pub fn dir(&self) -> &'static str {
        if RIGHT_TO_LEFT.contains(&self.language) { "rtl" } else { "ltr" }
    }

    /// The text `id` of the Fluent file, with these `values` in it; empty if there is none.
    pub fn text(&self, id: &str, values: &[(&str, &str)]) -> String {
        self.format(id, values.iter().map(|(key, value)| (*key, FluentValue::from(*value))).collect())
    }

    /// Likewise, with the number `count`, which may decide on the plural.
    pub fn counted(&self, id: &str, count: i64, values: &[(&str, &str)]) -> String {
        let values = values.iter().map(|(key, value)| (*key, FluentValue::from(*value)));
        self.format(id, values.chain([("count", FluentValue::from(count))]).collect())
    }

    fn format(&self, id: &str, values: FluentArgs<'_>) -> String {
        let Some(pattern) = self.texts.get_message(id).and_then(|message| message.value()) else {
            return String::new();
        };
        let text = self.texts.format_pattern(pattern, Some(&values), &mut Vec::new());
        // What begins with isolates alone would count as left to right where it stands in another isolate (Unicode
        // Standard Annex 9, rule P2).
        match text.starts_with('\u{2068}') {
            true => format!("{RIGHT_TO_LEFT_MARK}{text}"),
            false => text.into_owned(),
        }
    }

    /// `Thursday, 19 November 2015`
    pub fn day(&self, date: Date) -> String {
        icu_date(date).map_or_else(|| date.to_string(), |date| self.long.format(&date).to_string())
    }

    /// `Thu, 19 Nov 2015`, for subjects.
    pub fn short_day(&self, date: Date) -> String {
        icu_date(date).map_or_else(|| date.to_string(), |date| self.short.format(&date).to_string())
    }

    /// `18:30`
    pub fn time(&self, time: Time) -> String {
        let part = |part: i8| u8::try_from(part).unwrap_or(0);
        match IcuTime::try_new(part(time.hour()), part(time.minute()), 0, 0) {
            // CLDR has thin and narrow no-break spaces before AM and PM, which some mail programs show as a box.
            Ok(time) => self.time.format(&time).to_string().replace(['\u{202f}', '\u{2009}'], "\u{a0}"),
            Err(_) => time.strftime("%H:%M").to_string(),
        }
    }

    /// `A, B and C`
    pub fn list(&self, items: &[String]) -> String {
        self.list.format(items.iter()).to_string()
    }
}

fn icu_date(date: Date) -> Option<IcuDate<icu_calendar::Gregorian>> {
    let part = |part: i8| u8::try_from(part).unwrap_or(0);
    IcuDate::try_new_gregorian(date.year().into(), part(date.month()), part(date.day())).ok()
}

/// The `texts` of `language`, with the functions NUMBER and PLURAL of `locale`.
fn bundle(language: &str, texts: &str, locale: &Locale) -> Option<FluentBundle<FluentResource>> {
    let mut bundle = FluentBundle::new_concurrent(vec![language.parse::<LanguageIdentifier>().ok()?]);
    // Names and times from left to right stay in their order in a text from right to left.
    bundle.set_use_isolating(RIGHT_TO_LEFT.contains(&language));
    let (Ok(resource) | Err((resource, _))) = FluentResource::try_new(texts.to_owned());
    // Of a text that is there twice, the first one counts; a test finds it.
    let _ = bundle.add_resource(resource);
    let rules = PluralRules::try_new_cardinal(locale.into()).ok()?;
    let plural = move |values: &[FluentValue<'_>]| category(rules.category_for(count(values).unsigned_abs()));
    bundle.add_function("PLURAL", move |values, _| FluentValue::from(plural(values))).ok()?;
    let numbers = DecimalFormatter::try_new(locale.into(), Default::default()).ok()?;
    let number = move |values: &[FluentValue<'_>]| numbers.format(&count(values).into()).to_string();
    bundle.add_function("NUMBER", move |values, _| FluentValue::from(number(values))).ok()?;
    Some(bundle)
}

/// The number that a function of a text is given.
fn count(values: &[FluentValue<'_>]) -> i64 {
    match values.first() {
        Some(FluentValue::Number(number)) => number.value as i64,
        _ => 0,
    }
}

/// As Fluent's variants are named.
fn category(category: PluralCategory) -> &'static str {
    match category {
        PluralCategory::Zero => "zero",
        PluralCategory::One => "one",
        PluralCategory::Two => "two",
        PluralCategory::Few => "few",
        PluralCategory::Many => "many",
        PluralCategory::Other => "other",
    }
}

/// The localizers that were needed so far: each is made once.
#[derive(Debug, Default)]
pub struct Localizers(Mutex<HashMap<String, Arc<Localizer>>>);

impl Localizers {
    /// That of `locale`; of [`DEFAULT`] if it is none that is known.
    pub fn get(&self, locale: &str) -> Option<Arc<Localizer>> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(localizer) = made.get(locale) {
            return Some(Arc::clone(localizer));
        }
        let localizer = Arc::new(Localizer::new(locale).or_else(|| Localizer::new(DEFAULT))?);
        made.insert(locale.to_owned(), Arc::clone(&localizer));
        Some(localizer)
    }
}

#[cfg(test)]
mod tests;
