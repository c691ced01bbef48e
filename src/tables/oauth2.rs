//! The keys of OAuth 2.0: how access tokens are got with a refresh token.

use super::credentials::OAuth2Settings;
use super::secret_ref::SecretRef;
use super::section::Section;
use super::{address, secret, value};

/// The token endpoint of Google.
const GOOGLE: &str = "https://oauth2.googleapis.com/token";

/// Reads the table `section`; none where something is wrong, which is then reported.
pub fn read(section: Section<'_>) -> Option<OAuth2Settings> {
    let client_id = match (section.has("client_id"), secret::CLIENT_ID.named(&section)) {
        (true, Some(second)) => {
            section.report(second, "is one place too many for the client_id: client_id names one as well");
            None
        }
        (false, Some(_)) => secret::read(&section, &secret::CLIENT_ID),
        (_, None) => {
            section.required("client_id", |written| Ok(SecretRef::written("client_id", value::string(written)?)))
        }
    };
    let client_secret = secret::read(&section, &secret::CLIENT_SECRET);
    let refresh_token = secret::read(&section, &secret::REFRESH_TOKEN);
    if refresh_token.is_none() && secret::REFRESH_TOKEN.named(&section).is_none() {
        section.report("refresh_token_file", "is missing: name the file that the refresh token is in");
    }
    let token_url = section.read("token_url", address::token_endpoint);
    let is_wrong = token_url.is_none() && section.has("token_url");
    section.finish();
    let token_url = token_url.unwrap_or_else(|| GOOGLE.to_owned());
    let settings = OAuth2Settings { client_id: client_id?, client_secret, refresh_token: refresh_token?, token_url };
    Some(settings).filter(|_| !is_wrong)
}
