//! JSON in the one form that is signed: keys sorted by their bytes, no blanks, one line.
//!
//! What is read must be what would be written, byte for byte. That also refuses what JSON leaves open:
//! repeated keys, blanks, other escapes, other forms of one number.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// `value` in canonical form.
pub fn to_vec<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::new();
    write(&serde_json::to_value(value)?, &mut out)?;
    Ok(out)
}

/// Reads canonical JSON; `Ok(None)` when it is a `T`, but in another form.
pub fn from_slice<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<Option<T>, serde_json::Error> {
    let value: T = serde_json::from_slice(bytes)?;
    Ok((to_vec(&value)? == bytes).then_some(value))
}

/// Sorts here, as the order inside a [`Value`] depends on how serde_json was built. Its own depth limit
/// bounds the recursion.
fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<(&String, &Value)> = map.iter().collect();
            fields.sort_by_key(|(key, _)| *key);
            out.push(b'{');
            for (at, (key, value)) in fields.into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                serde_json::to_writer(&mut *out, key)?;
                out.push(b':');
                write(value, out)?;
            }
            out.push(b'}');
        }
        Value::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write(item, out)?;
            }
            out.push(b']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            serde_json::to_writer(&mut *out, value)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_written_form_is_read() {
        let value: Value = serde_json::from_str(r#"{"b":[1,{"d":null,"c":"é\n"}],"a":true}"#).unwrap();
        let text = r#"{"a":true,"b":[1,{"c":"é\n","d":null}]}"#;
        assert_eq!(to_vec(&value).unwrap(), text.as_bytes());
        assert_eq!(from_slice::<Value>(text.as_bytes()).unwrap(), Some(value));
        for other in [r#"{"b":1,"a":1}"#, r#"{"a":1,"a":1}"#, "{ }", "1e0", r#""\u0041""#, "[1]\n"] {
            assert_eq!(from_slice::<Value>(other.as_bytes()).unwrap(), None, "{other}");
        }
    }
}
