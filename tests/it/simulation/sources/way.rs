//! The way from the program's CalDAV source to the lying server: a function call.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reveille::clock::Clock;
use reveille::http::{HttpFailure, HttpRequest, HttpResponse, HttpTransport, TransportResult};
use reveille::time::UtcMillis;

use crate::liar::Server;
use crate::scripted::{Asked, Reply};

/// The way that one login's requests go.
#[derive(Debug)]
pub struct Way {
    pub server: Arc<Mutex<Server>>,
    pub login: String,
    pub clock: Clock,
}

impl HttpTransport for Way {
    fn carry<'a>(&'a self, request: &'a HttpRequest) -> Pin<Box<dyn Future<Output = TransportResult> + Send + 'a>> {
        let headers = request.headers.iter().map(|(name, value)| (name.to_lowercase(), value.to_string())).collect();
        let (method, path) = (request.method.name().to_owned(), request.url.path().to_owned());
        let asked = Asked { method, path, headers, body: String::from_utf8_lossy(&request.body).into_owned() };
        let reply = self.server.lock().unwrap().answer(&asked, &self.login, self.clock.now().0);
        Box::pin(ready(carried(request, reply)))
    }
}

fn carried(request: &HttpRequest, reply: Reply) -> TransportResult {
    let header = |name: &str| reply.headers.iter().find(|(own, _)| *own == name).map(|(_, value)| value.clone());
    if reply.status == 0 {
        return Err(match header("In-Time") {
            Some(_) => HttpFailure::TimedOut,
            None => HttpFailure::Broken("connection closed before message completed".to_owned()),
        });
    }
    let date = |name: &str| header(name).map(|date| UtcMillis(super::super::walls::http_date(&date)));
    Ok(HttpResponse {
        url: request.url.clone(),
        status: reply.status,
        content_type: header("Content-Type").unwrap_or_default(),
        date: date("Date"),
        etag: header("ETag"),
        modified: date("Last-Modified"),
        location: None,
        challenges: Vec::new(),
        next_nonce: None,
        retry_after: header("Retry-After").and_then(|text| text.parse().ok()).map(Duration::from_secs),
        max_age: None,
        headers: Default::default(),
        body: reply.body,
    })
}
