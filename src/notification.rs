//! The `CalendarAlarm` notification: what a ring looks like on the wire. It knows the shape of the JSON and nothing of
//! where it goes.

use serde::{Deserialize, Serialize};

/// One alarm as Cyrus IMAP announces it: the 20 documented keys in their order, then the extensions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    pub event: String,
    pub pid: u32,
    #[serde(rename = "serverFQDN")]
    pub server_fqdn: String,
    pub alarm_time: String,
    pub alarm_recipients: Vec<String>,
    pub user_id: String,
    pub calendar_name: String,
    pub uid: String,
    pub action: String,
    pub summary: String,
    pub description: String,
    pub location: String,
    pub timezone: String,
    pub start: String,
    pub end: String,
    pub all_day: u8,
    pub attendee_names: Vec<String>,
    pub attendee_emails: Vec<String>,
    pub attendee_status: Vec<String>,
    pub organizer: String,
    pub calendar_id: String,
    pub calendar_color: String,
    pub calendar_owner: String,
    pub recurrence_id: String,
    pub alert_id: String,
    pub alarm_summary: String,
    pub alarm_description: String,
    pub component: String,
    pub notification_id: String,
    pub timestamp: String,
}
