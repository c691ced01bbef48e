//! States in SQL. Statements bind them like any other value, unless a partial index is to answer the statement: SQLite
//! uses one only if the condition of the index is in the text of the statement. Such a statement is put together with
//! [`state!`], and nothing else writes a state out.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::sqlite::{SqliteArgumentsBuffer, SqliteTypeInfo};
use sqlx::{Encode, Sqlite, Type};

use crate::ledger::model::{DeliveryState, FiringState};

/// A state of deliveries as a literal of SQL, for `concat!`: of those that a partial index has in its condition.
macro_rules! state {
    (Pending) => {
        "'pending'"
    };
    (Failed) => {
        "'failed'"
    };
}
pub(super) use state;

impl Type<Sqlite> for DeliveryState {
    fn type_info() -> SqliteTypeInfo {
        <str as Type<Sqlite>>::type_info()
    }
}

impl Encode<'_, Sqlite> for DeliveryState {
    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Sqlite>::encode(self.as_str(), buffer)
    }
}

impl Type<Sqlite> for FiringState {
    fn type_info() -> SqliteTypeInfo {
        <str as Type<Sqlite>>::type_info()
    }
}

impl Encode<'_, Sqlite> for FiringState {
    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Sqlite>::encode(self.as_str(), buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_the_names_of_the_states() {
        assert_eq!(state!(Pending), format!("'{}'", DeliveryState::Pending));
        assert_eq!(state!(Failed), format!("'{}'", DeliveryState::Failed));
    }
}
