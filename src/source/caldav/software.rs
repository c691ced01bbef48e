//! Which software a server is, as far as its responses show it. Only people are told: nothing depends on it.

use reqwest::header::HeaderName;

use crate::http::HttpResponse;

const DAV: HeaderName = HeaderName::from_static("dav");
const SERVER: HeaderName = HeaderName::from_static("server");
const DAVICAL: HeaderName = HeaderName::from_static("x-davical-version");
const SABRE: HeaderName = HeaderName::from_static("x-sabre-version");
/// As many characters of a header are shown.
const SHOWN: usize = 60;

/// What a response to OPTIONS shows of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Software {
    /// Its name, and its version where the server gives it; none if it does not show.
    pub name: Option<String>,
    /// It can announce changes by WebDAV-Push.
    pub offers_push: bool,
}

impl Software {
    /// That of the server of `response`, which has given its calendars `tokens` (RFC 6578, 4).
    pub fn of<'t>(response: &HttpResponse, tokens: impl IntoIterator<Item = &'t str>) -> Software {
        let classes = response.header(DAV).unwrap_or_default();
        let offers = |class: &str| classes.split(',').any(|one| one.trim().eq_ignore_ascii_case(class));
        let server = response.header(SERVER).unwrap_or_default();
        let token = tokens.into_iter().next().unwrap_or_default();
        let path = response.url.path();
        let davical = response.header(DAVICAL).map(|version| {
            let version = version.split(';').next().unwrap_or_default();
            format!("DAViCal {}", version.trim().trim_start_matches("DAViCal/"))
        });
        let sabre = || response.header(SABRE).map(|version| format!("sabre/dav {version}"));
        let name = davical
            .or_else(|| nextcloud(path, sabre()))
            .or_else(sabre)
            .or_else(|| server.starts_with("Cyrus-HTTP/").then(|| first_product(&server, "Cyrus IMAP")))
            .or_else(|| path.starts_with("/SOGo/").then(|| "SOGo".to_owned()))
            .or_else(|| by_token(token).map(str::to_owned))
            .or_else(|| (server.contains("aiohttp/") && offers("add-member")).then(|| "Xandikos".to_owned()))
            .or_else(|| Some(server).filter(|server| !server.trim().is_empty()));
        Software { name: name.map(|name| shown(&name)), offers_push: offers("webdav-push") }
    }
}

/// Nextcloud and ownCloud have their CalDAV, which is `sabre`, below a path of their own.
fn nextcloud(path: &str, sabre: Option<String>) -> Option<String> {
    let engine = sabre.map(|sabre| format!(" ({sabre})")).unwrap_or_default();
    path.contains("/remote.php/dav").then(|| format!("Nextcloud or ownCloud{engine}"))
}

/// `name` with the version of the first product in a Server header (RFC 9110, 10.2.4).
fn first_product(server: &str, name: &str) -> String {
    let product = server.split_ascii_whitespace().next().unwrap_or_default();
    let version = product.split_once('/').map(|(_, version)| format!(" {version}")).unwrap_or_default();
    format!("{name}{version}")
}

/// Some servers name themselves in the tokens of their calendars.
fn by_token(token: &str) -> Option<&'static str> {
    const NAMES: [(&str, &str); 4] = [
        ("http://radicale.org/ns/sync/", "Radicale"),
        ("github.com/lennart-k/rustical", "RustiCal"),
        ("urn:stalwart:", "Stalwart"),
        ("http://sabre.io/ns/sync/", "sabre/dav"),
    ];
    NAMES.iter().find(|(start, _)| token.starts_with(start)).map(|(_, name)| *name)
}

/// What a server says of itself, cut and without control characters.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use reqwest::Url;

    use super::Software;
    use crate::http::response_of;

    fn software(path: &str, headers: &[(&str, &str)], token: &str) -> Software {
        let url = Url::parse("https://host").and_then(|host| host.join(path)).unwrap();
        Software::of(&response_of(url, 200, headers), [token])
    }

    #[test]
    fn servers_show_what_they_are() {
        let apache = ("Server", "Apache/2.4.71 (Debian)");
        let name = |path, headers: &[_], token| software(path, headers, token).name.unwrap_or_default();
        let davical = ("X-DAViCal-Version", "DAViCal/1.1.12; DB/1.3.5");
        assert_eq!(name("/caldav.php/mary/", &[apache, davical], "data:,13"), "DAViCal 1.1.12");
        let sabre = ("X-Sabre-Version", "4.7.1");
        assert_eq!(name("/calendars/mary/", &[apache, sabre], ""), "sabre/dav 4.7.1");
        let nextcloud = "/remote.php/dav/calendars/mary/";
        assert_eq!(name(nextcloud, &[apache, sabre], ""), "Nextcloud or ownCloud (sabre/dav 4.7.1)");
        assert_eq!(name(nextcloud, &[], "http://sabre.io/ns/sync/2"), "Nextcloud or ownCloud");
        let cyrus = ("Server", "Cyrus-HTTP/3.6.1 Cyrus-SASL/2.1.28 Nghttp2/1.52");
        assert_eq!(name("/dav/calendars/user/mary/", &[cyrus], ""), "Cyrus IMAP 3.6.1");
        assert_eq!(name("/SOGo/dav/mary/Calendar/", &[("Server", "SOPE 4.9.37/WebDAV")], "1764"), "SOGo");
        let python = ("Server", "WSGIServer/0.2 CPython/3.11.7");
        assert_eq!(name("/mary/", &[python], "http://radicale.org/ns/sync/ab"), "Radicale");
        assert_eq!(name("/dav/cal/mary/", &[], "urn:stalwart:davsync:c"), "Stalwart");
        let classes = ("DAV", "1, 2, 3, calendar-access, add-member, webdav-push");
        let aiohttp = ("Server", "Python/3.11 aiohttp/3.14.5");
        let xandikos = software("/alice/calendars/", &[aiohttp, classes], "ab");
        assert_eq!((xandikos.name.as_deref(), xandikos.offers_push), (Some("Xandikos"), true));
    }

    #[test]
    fn a_server_that_is_not_known_is_called_what_it_says() {
        let other = software("/", &[("Server", "Example/1")], "");
        assert_eq!(other, Software { name: Some("Example/1".to_owned()), offers_push: false });
        assert_eq!(software("/", &[], "").name, None);
        let long = software("/", &[("Server", &"x".repeat(500))], "").name.unwrap_or_default();
        assert_eq!(long.len(), super::SHOWN);
    }
}
