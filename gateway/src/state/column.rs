//! How values stand in columns: times, digests, and enums by name.

use hal::clock::Wall;
use hal::reason::ReasonCode;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use super::StateError;

/// A [`Wall`] in one integer column that sorts by time: milliseconds, then one bit for "trusted".
/// By hand: `datetime(opened / 2000, 'unixepoch')`.
#[derive(Debug, Clone, Copy)]
pub(super) struct At(pub(super) Wall);

impl ToSql for At {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let ms = self.0.ms.clamp(i64::MIN / 2, i64::MAX / 2);
        Ok((ms * 2 + i64::from(self.0.trusted)).into())
    }
}

impl FromSql for At {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<At> {
        let packed = value.as_i64()?;
        Ok(At(Wall { ms: packed.div_euclid(2), trusted: packed.rem_euclid(2) == 1 }))
    }
}

/// A [`ReasonCode`] as its number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Code(pub(super) ReasonCode);

impl ToSql for Code {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.0.into())
    }
}

impl FromSql for Code {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Code> {
        u16::try_from(value.as_i64()?).map(|n| Code(ReasonCode(n))).map_err(|e| FromSqlError::Other(e.into()))
    }
}

/// A count; SQLite's integers are signed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count(pub(super) u64);

impl FromSql for Count {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Count> {
        let found = value.as_i64()?;
        u64::try_from(found).map(Count).map_err(|_| FromSqlError::OutOfRange(found))
    }
}

/// The enum value that is stored as `found`.
pub(super) fn named<T: Copy>(
    column: &'static str,
    names: &[(T, &'static str)],
    found: &str,
) -> Result<T, StateError> {
    let named = names.iter().find(|(_, name)| *name == found);
    named.map(|(value, _)| *value).ok_or_else(|| StateError::BadValue { column, found: clip(found, 40) })
}

/// The name under which `value` is stored.
pub(super) fn name_of<T: Copy + PartialEq>(names: &[(T, &'static str)], value: T) -> &'static str {
    names.iter().find(|(v, _)| *v == value).map_or("", |(_, name)| name)
}

/// At most `max` characters of `text`.
pub(super) fn clip(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rusqlite::types::Value;

    use super::*;

    #[test]
    fn a_time_reads_back_and_sorts() {
        let times = [-3, -2, -1, 0, 1, 1_795_342_500_250].map(|ms| Wall { ms, trusted: ms % 2 == 0 });
        let (mut last, mut kept) = (i64::MIN, 0);
        for wall in times {
            let time = At(wall);
            let stored = time.to_sql().unwrap();
            let ToSqlOutput::Owned(Value::Integer(n)) = stored else { continue };
            assert!(n > last);
            kept += 1;
            last = n;
            assert_eq!(At::column_result(ValueRef::Integer(n)).unwrap().0, wall);
        }
        assert_eq!(kept, times.len(), "each is one integer");
    }
}
