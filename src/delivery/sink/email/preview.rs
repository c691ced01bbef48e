//! A mail as the sink would send it, without sending it.

use std::any::Any;
use std::sync::Arc;

use super::localizer::Localizers;
use super::message::MessageBuilder;
use super::settings::EmailSettings;
use super::templates::MailTemplates;
use crate::delivery::address;
use crate::delivery::render;
use crate::delivery::sink::{Outcome, Recipients, SinkContext, SinkError, SinkSettings};
use crate::time::UtcMillis;

/// A mail that was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailPreview {
    /// The message (RFC 5322).
    pub message: Vec<u8>,
    /// Its HTML part, decoded.
    pub html: String,
}

/// Writes the mail about the notification `json` to `recipient` as it would be sent at `now` by the sink with these
/// `settings`; without settings of a sink of the kind `email`, by one with the built-in templates.
///
/// # Errors
/// When the mail cannot be written, such as to a recipient that is not an address.
pub fn preview(
    settings: Option<&dyn SinkSettings>,
    context: &SinkContext,
    json: &str,
    recipient: &str,
    now: UtcMillis,
) -> Result<MailPreview, SinkError> {
    let settings = settings.and_then(|settings| (settings as &dyn Any).downcast_ref::<EmailSettings>());
    let builder = match settings {
        Some(settings) => MessageBuilder::of(settings, context)?,
        None => MessageBuilder {
            from: address::sender("Calendar <calendar@example.org>").map_err(SinkError)?,
            zones: context.zones.clone(),
            is_own: true,
            list_unsubscribe: None,
            readers: context.readers.clone(),
            templates: Arc::new(MailTemplates::built_in().map_err(|error| SinkError(error.to_string()))?),
            localizers: Localizers::default(),
        },
    };
    let refused = |outcome: Outcome| match outcome {
        Outcome::Permanent { response } => SinkError(response),
        other => SinkError(format!("{other:?}")),
    };
    let notification = render::read(json).map_err(refused)?;
    let html = builder.content(&notification, now).map_err(refused)?.html;
    let message = builder.build(json, recipient, now).map_err(refused)?.octets;
    Ok(MailPreview { message, html })
}

impl MessageBuilder {
    /// That of the sink with these `settings`.
    ///
    /// # Errors
    /// When From is no address.
    pub fn of(settings: &EmailSettings, context: &SinkContext) -> Result<MessageBuilder, SinkError> {
        Ok(MessageBuilder {
            from: address::sender(&settings.from).map_err(SinkError)?,
            is_own: settings.recipients == Recipients::Own,
            list_unsubscribe: settings.list_unsubscribe.clone(),
            zones: context.zones.clone(),
            readers: context.readers.clone(),
            templates: Arc::clone(&settings.templates),
            localizers: Localizers::default(),
        })
    }
}
