//! Where redirections lead. They stay on the server and keep the encryption, because the login is sent along.

use reqwest::Url;

use super::error::HttpError;

/// The URL that a redirection from `url` to `location` leads to.
///
/// # Errors
/// [`HttpError::Redirected`] if that is another server, and [`HttpError::Unencrypted`] if it is the same one without
/// encryption.
pub fn target(url: &Url, location: &str) -> Result<Url, HttpError> {
    let elsewhere = |to: &str| HttpError::Redirected { url: url.to_string(), to: to.to_owned() };
    let to = url.join(location).map_err(|_| elsewhere(location))?;
    // Another scheme is another origin: neither is the login sent elsewhere, nor without encryption.
    if to.origin() == url.origin() {
        return Ok(to);
    }
    let mut encrypted = to.clone();
    if url.scheme() == "https" && to.scheme() == "http" && to.host() == url.host() {
        let same_port = encrypted.set_scheme("https").and_then(|()| encrypted.set_port(url.port()));
        if same_port.is_ok() {
            let (url, to, instead) = (url.to_string(), to.to_string(), encrypted.to_string());
            return Err(HttpError::Unencrypted { url, to, instead });
        }
    }
    Err(elsewhere(to.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a redirection leads, or `refused`.
    fn to(from: &str, location: &str) -> String {
        target(&Url::parse(from).unwrap(), location).map_or("refused".to_owned(), |url| url.to_string())
    }

    #[test]
    fn redirections_stay_on_the_server_and_keep_the_encryption() {
        let from = "https://dav.example.org/cal/";
        assert_eq!(to(from, "/dav/"), "https://dav.example.org/dav/");
        assert_eq!(to(from, "work/"), "https://dav.example.org/cal/work/");
        assert_eq!(to(from, "https://dav.example.org:443/x"), "https://dav.example.org/x");
        for elsewhere in [
            "http://dav.example.org/cal/",
            "https://dav.example.org:8443/cal/",
            "https://dav.example.org.evil.example/cal/",
            "https://evil.example/cal/",
            "//evil.example/cal/",
            "https://dav.example.org@evil.example/",
            "file:///etc/passwd",
            "gopher://dav.example.org/",
            "https://[",
        ] {
            assert_eq!(to(from, elsewhere), "refused", "{elsewhere}");
        }
        // From plain HTTP, which is for this machine, to TLS is another origin as well: the address is to be written
        // down.
        assert_eq!(to("http://127.0.0.1:5232/", "https://127.0.0.1:5232/"), "refused");
    }

    #[test]
    fn a_server_that_does_not_know_that_it_is_behind_tls_is_named_with_it() {
        let error = |location: &str| {
            target(&Url::parse("https://dav.example.org:8443/.well-known/caldav").unwrap(), location).unwrap_err()
        };
        for location in ["http://dav.example.org/dav.php/", "http://dav.example.org:8080/dav.php/"] {
            let HttpError::Unencrypted { to, instead, .. } = error(location) else { panic!("{location}") };
            assert_eq!((to.as_str(), instead.as_str()), (location, "https://dav.example.org:8443/dav.php/"));
        }
        assert!(matches!(error("http://dav.example.com/"), HttpError::Redirected { .. }));
    }
}
