//! The HTTP of a calendar client: what a user's phone does to a server while the daemon watches.

use reqwest::{Client, Method};
use tokio::runtime::{Builder, Runtime};

/// A client of one server; it blocks.
#[derive(Debug)]
pub struct Http {
    runtime: Runtime,
    client: Client,
    base: String,
    login: Option<(String, String)>,
}

/// Status and body of an answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Http {
    /// A client for paths below `base` (`http://127.0.0.1:5232/`), with name and password.
    pub fn new(base: &str, login: Option<(&str, &str)>) -> Http {
        // Fails when another test was first, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Http {
            runtime: Builder::new_current_thread().enable_all().build().expect("a runtime"),
            // A fresh connection each time: servers are stopped and started in between.
            client: Client::builder().tls_certs_only([]).pool_max_idle_per_host(0).build().expect("a client"),
            base: base.trim_end_matches('/').to_owned(),
            login: login.map(|(name, password)| (name.to_owned(), password.to_owned())),
        }
    }

    /// Sends one request. `path` begins with a slash and is sent as it is.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.client.request(method, format!("{}{path}", self.base)).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some((name, password)) = &self.login {
            request = request.basic_auth(name, Some(password));
        }
        self.runtime.block_on(async {
            let answer = request.send().await.expect("an answer");
            let status = answer.status().as_u16();
            Answer { status, body: answer.text().await.expect("a body") }
        })
    }

    /// PUTs an iCalendar object, and expects success.
    pub fn put(&self, path: &str, text: &str) {
        let answer = self.send("PUT", path, &[("Content-Type", "text/calendar; charset=utf-8")], text);
        assert!(answer.status < 300, "PUT {path}: {answer:?}");
    }

    /// DELETEs a resource or a collection, and expects success.
    pub fn delete(&self, path: &str) {
        let answer = self.send("DELETE", path, &[], "");
        assert!(answer.status < 300, "DELETE {path}: {answer:?}");
    }

    /// Makes a calendar, and expects success.
    pub fn mkcalendar(&self, path: &str, name: &str) {
        let body = format!(
            r#"<C:mkcalendar xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:D="DAV:"><D:set><D:prop>
            <D:displayname>{name}</D:displayname></D:prop></D:set></C:mkcalendar>"#
        );
        let answer = self.send("MKCALENDAR", path, &[("Content-Type", "application/xml; charset=utf-8")], &body);
        assert!(answer.status < 300, "MKCALENDAR {path}: {answer:?}");
    }

    /// Asks for properties (the inner XML of `prop`), and expects a multistatus.
    pub fn propfind(&self, path: &str, depth: &str, prop: &str) -> String {
        let body = format!(
            r#"<D:propfind xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop>{prop}</D:prop></D:propfind>"#
        );
        let headers = [("Content-Type", "application/xml; charset=utf-8"), ("Depth", depth)];
        let answer = self.send("PROPFIND", path, &headers, &body);
        assert_eq!(answer.status, 207, "PROPFIND {path}: {answer:?}");
        answer.body
    }
}
