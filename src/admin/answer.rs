//! `/answer/TOKEN`: the page by which whoever has a notification answers its alarm. The address is the secret. Nothing
//! happens when it is read, for programs that check links in mails do that too: an answer is a POST.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use tokio::sync::Semaphore;

use crate::answer::{AnswerFailure, AnsweredAlarm, FiredAlarmText};
use crate::answer_link::{AnswerLinks, LinkError};
use crate::calendar::answer::AlarmAnswer;
use crate::clock::Clock;
use crate::source::EditError;
use crate::tables::value::parse_duration;
use crate::text::hex;
use crate::time::elapsed;

/// Requests that are worked on at the same time.
const MAX_ANSWERS: usize = 16;
/// The longest that an alarm can be snoozed.
const LONGEST_SNOOZE: Duration = Duration::from_secs(366 * 86_400);
/// What the page offers.
const SNOOZES: [(&str, &str); 3] = [("10m", "10 minutes"), ("1h", "1 hour"), ("1d", "1 day")];
/// The page has no scripts and loads nothing.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const STYLE: &str = "body{font:1.1em/1.5 system-ui,sans-serif;max-width:30em;margin:2em auto;padding:0 1em;color-scheme:light dark}\
    button{font:inherit;display:block;width:100%;margin:.6em 0;padding:.7em}h1{font-size:1.3em;overflow-wrap:anywhere}";

/// What comes of a request, once it is worked out.
type AnswerOutcome<T> = Pin<Box<dyn Future<Output = Result<T, AnswerFailure>> + Send>>;

/// What answers to alarms are given to.
pub trait AnswerTaker: Send + Sync {
    /// What is shown of the firing with this identity.
    fn shown(&self, identity: [u8; 16]) -> AnswerOutcome<FiredAlarmText>;

    /// Gives the answer.
    fn give(&self, identity: [u8; 16], answer: AlarmAnswer) -> AnswerOutcome<AnsweredAlarm>;
}

/// What the handlers need.
#[derive(Clone)]
struct AnswerPage {
    links: AnswerLinks,
    taker: Arc<dyn AnswerTaker>,
    clock: Clock,
    slots: Arc<Semaphore>,
}

/// The routes at which the alarms that `links` name are answered by `taker`, as of the time that `clock` tells.
pub fn answer_routes(links: AnswerLinks, taker: Arc<dyn AnswerTaker>, clock: Clock) -> Router {
    let state = AnswerPage { links, taker, clock, slots: Arc::new(Semaphore::new(MAX_ANSWERS)) };
    Router::new()
        .route("/answer/{token}", get(show))
        .route("/answer/{token}/dismiss", post(dismiss))
        .route("/answer/{token}/snooze/{duration}", post(snooze))
        .with_state(state)
}

async fn show(State(page): State<AnswerPage>, Path(token): Path<String>) -> Response {
    let identity = match page.links.read(&token, page.clock.now()) {
        Ok(identity) => identity,
        Err(error) => return refused(error),
    };
    let Ok(_slot) = page.slots.try_acquire() else { return busy() };
    let shown = match page.taker.shown(identity).await {
        Ok(shown) => shown,
        Err(failure) => return failed(&failure),
    };
    let button = |path: &str, label: &str| {
        format!("<form method=\"post\" action=\"{token}/{path}\"><button>{label}</button></form>")
    };
    let snoozes =
        SNOOZES.map(|(path, label)| button(&format!("snooze/{path}"), &format!("Remind me again in {label}")));
    let calendar =
        if shown.calendar.is_empty() { String::new() } else { format!("<p>{}</p>", escaped(&shown.calendar)) };
    let body = format!("{calendar}{}{}", button("dismiss", "Dismiss"), snoozes.concat());
    page_of(StatusCode::OK, &shown.summary, &body)
}

async fn dismiss(State(page): State<AnswerPage>, Path(token): Path<String>) -> Response {
    page.answer(&token, AlarmAnswer::Dismiss, "The reminder is dismissed.").await
}

async fn snooze(State(page): State<AnswerPage>, Path((token, duration)): Path<(String, String)>) -> Response {
    let Some(lasts) = parse_duration(&duration).filter(|lasts| !lasts.is_zero() && *lasts <= LONGEST_SNOOZE) else {
        return page_of(StatusCode::NOT_FOUND, "Not found", "<p>This is not a time to snooze for.</p>");
    };
    let until = page.clock.now().saturating_add(elapsed(lasts));
    let label = SNOOZES.iter().find(|(path, _)| *path == duration).map_or(duration.as_str(), |(_, label)| label);
    page.answer(&token, AlarmAnswer::Snooze { until }, &format!("You are reminded again in {}.", escaped(label))).await
}

impl AnswerPage {
    async fn answer(&self, token: &str, answer: AlarmAnswer, done: &str) -> Response {
        let identity = match self.links.read(token, self.clock.now()) {
            Ok(identity) => identity,
            Err(error) => return refused(error),
        };
        let Ok(_slot) = self.slots.try_acquire() else { return busy() };
        match self.taker.give(identity, answer).await {
            Ok(answered) => page_of(StatusCode::OK, &answered.summary, &format!("<p>{done}</p>")),
            Err(failure) => {
                tracing::warn!(notification.id = hex(&identity), "an alarm was not answered: {failure}");
                failed(&failure)
            }
        }
    }
}

fn busy() -> Response {
    page_of(StatusCode::SERVICE_UNAVAILABLE, "Busy", "<p>Too many answers come at once: try again.</p>")
}

fn refused(error: LinkError) -> Response {
    let status = match error {
        LinkError::Forged => StatusCode::NOT_FOUND,
        LinkError::Expired => StatusCode::GONE,
    };
    page_of(status, "Nothing was changed", &format!("<p>Nothing was changed: {error}.</p>"))
}

/// What is said to the user, who need not know how calendars are stored.
fn failed(failure: &AnswerFailure) -> Response {
    let (status, why) = match failure {
        AnswerFailure::NoFiring(_) | AnswerFailure::NoAlarm(_) => {
            (StatusCode::NOT_FOUND, "this reminder is not known any more")
        }
        AnswerFailure::Store(EditError::Refused(why)) => {
            let why = format!("<p>Nothing was changed: {}.</p>", escaped(why));
            return page_of(StatusCode::UNPROCESSABLE_ENTITY, "Nothing was changed", &why);
        }
        AnswerFailure::NotCancelled(_) => {
            let body =
                "<p>Your answer was written, but messages about this reminder that are under way may still arrive.</p>";
            return page_of(StatusCode::OK, "Done", body);
        }
        AnswerFailure::NoInstance | AnswerFailure::Store(EditError::Gone(_) | EditError::Changed(_)) => (
            StatusCode::CONFLICT,
            "the event was changed or deleted in the meantime, or this reminder was answered already",
        ),
        AnswerFailure::NoSource(_) | AnswerFailure::NotWritable(_) => {
            (StatusCode::FORBIDDEN, "reminders of this calendar cannot be answered")
        }
        AnswerFailure::Store(EditError::Busy(_)) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the event is being changed at this moment: try again")
        }
        AnswerFailure::Store(EditError::Failed(_)) | AnswerFailure::Source(_) => {
            (StatusCode::BAD_GATEWAY, "the calendar server did not accept it: try again later")
        }
        AnswerFailure::Ledger(_) => (StatusCode::INTERNAL_SERVER_ERROR, "this server has a fault: try again later"),
    };
    page_of(status, "Nothing was changed", &format!("<p>Nothing was changed: {why}.</p>"))
}

/// A page, of which `title` is text and `body` is HTML.
fn page_of(status: StatusCode, title: &str, body: &str) -> Response {
    let title = escaped(title);
    let page = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"robots\" content=\"noindex\"><title>{title}</title><style>{STYLE}</style></head>\
         <body><main><h1 dir=\"auto\">{title}</h1>{body}</main></body></html>\n"
    );
    let headers: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, page).into_response()
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut html, character| {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
        html
    })
}
