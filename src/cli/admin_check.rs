//! `reveille check`: the token and the certificate of `[admin]`.

use crate::admin::TlsFiles;
use crate::config::{AdminConfig, ServerCertificate};

/// What `config` names, and whether it can be used: a sentence for each.
pub(super) async fn findings(config: &AdminConfig) -> Vec<(&'static str, Result<String, String>)> {
    let mut findings = Vec::new();
    if let Some(token) = &config.token {
        let found = token.get().await;
        let found = found.map(|_| "it can be read".to_owned()).map_err(|why| why.to_string());
        findings.push(("token", found));
    }
    if let Some(ServerCertificate { certificate, key }) = config.certificate.clone() {
        let found = TlsFiles::new(certificate, key).check();
        findings.push(("certificate", found.map(|()| "it can be used, and so can its key".to_owned())));
    }
    findings
}
