//! What is remembered under a key.

use super::connection::Sqlite;
use super::lossy_text::text;
use crate::ledger::error::LedgerError;

impl Sqlite {
    pub async fn meta(&self, key: &str) -> Result<Option<String>, LedgerError> {
        let value =
            sqlx::query("SELECT value FROM meta WHERE key = ?").bind(key).fetch_optional(self.readers()).await?;
        Ok(value.map(|row| text(&row, "value")).transpose()?)
    }

    pub async fn set_meta(&self, key: &str, value: &str) -> Result<(), LedgerError> {
        let (key, value) = (key.to_owned(), value.to_owned());
        let sql = "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        self.write(move |c| {
            Box::pin(async move {
                sqlx::query(sql).bind(key).bind(value).execute(c).await?;
                Ok(())
            })
        })
        .await
    }
}
