//! The id of an agent: a whole number or a name.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use crate::Error;
use crate::text::{composed, is_hidden};

/// The id of an agent within a run: a whole number or a name.
///
/// Agents are text. A text that is a plain whole number, such as `7` or `-3` but neither `007` nor `+7`,
/// is that number: `AgentId::from(7)` and `AgentId::from("7")` are equal. So a host that numbers its
/// agents needs no names, and numbers are stored as such. (Not `i64::MIN`, which is a name: stores use it
/// for no agent.)
///
/// A name has 1 to [`MAX_CHARS`](Self::MAX_CHARS) characters in normalisation form C (NFC), begins and
/// ends with none that is a space, and has no control or format characters. `From` repairs what is
/// otherwise: such characters become spaces, or U+FFFD within a word; a name that is too long is cut; a
/// text of which nothing is left is [`UNNAMED`](Self::UNNAMED). [`parse`](str::parse) refuses it instead,
/// for what people type.
///
/// Cloning is cheap. Numbers sort before names. In JSON, by itself, it is a number or a string.
///
/// ```
/// use simops::AgentId;
///
/// assert_eq!(AgentId::from(7), AgentId::from("7"));
/// assert_eq!(AgentId::from(7).number(), Some(7));
/// assert_eq!(AgentId::from("Alice").number(), None);
/// assert_eq!(AgentId::from(" Al\u{200b}ice\n").to_string(), "Al\u{fffd}ice");
/// assert!("Al\u{200b}ice".parse::<AgentId>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Given")]
pub struct AgentId(Repr);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(untagged)]
enum Repr {
    Number(i64),
    Name(#[serde(serialize_with = "as_text")] Arc<str>),
}

fn as_text<S: Serializer>(name: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(name)
}

/// A value of JSON that names an agent.
#[derive(Deserialize)]
#[serde(untagged)]
enum Given {
    Number(i64),
    Name(String),
}

impl From<Given> for AgentId {
    fn from(given: Given) -> Self {
        match given {
            Given::Number(number) => number.into(),
            Given::Name(name) => name.into(),
        }
    }
}

impl AgentId {
    /// The longest name, in characters.
    pub const MAX_CHARS: usize = 128;
    /// The name of an agent whose text holds nothing that can be seen.
    pub const UNNAMED: &str = "_unnamed";
    /// The name under which agents are recorded that a run does not keep apart, see
    /// [`AgentRoster`](crate::roster::AgentRoster).
    pub const OTHER: &str = "_other";

    /// The number; `None` for a name.
    pub fn number(&self) -> Option<i64> {
        match self.0 {
            Repr::Number(number) => Some(number),
            Repr::Name(_) => None,
        }
    }

    /// The name; `None` for a number.
    pub fn name(&self) -> Option<&str> {
        match &self.0 {
            Repr::Number(_) => None,
            Repr::Name(name) => Some(name),
        }
    }

    /// The number as text, or the name.
    pub fn text(&self) -> Cow<'_, str> {
        match &self.0 {
            Repr::Number(number) => Cow::Owned(number.to_string()),
            Repr::Name(name) => Cow::Borrowed(name),
        }
    }

    /// The agent named [`OTHER`](Self::OTHER).
    pub(crate) fn other() -> Self {
        Self(Repr::Name(Self::OTHER.into()))
    }

    /// A text that follows the rules of a name.
    fn of_text(text: &str) -> Self {
        let is_number = |number: &i64| *number != i64::MIN && number.to_string() == text;
        let number = text.parse::<i64>().ok().filter(is_number);
        Self(number.map_or_else(|| Repr::Name(text.into()), Repr::Number))
    }
}

impl From<i64> for AgentId {
    fn from(number: i64) -> Self {
        match number {
            i64::MIN => Self(Repr::Name(number.to_string().into())),
            number => Self(Repr::Number(number)),
        }
    }
}

impl From<i32> for AgentId {
    fn from(number: i32) -> Self {
        Self(Repr::Number(number.into()))
    }
}

impl From<u32> for AgentId {
    fn from(number: u32) -> Self {
        Self(Repr::Number(number.into()))
    }
}

impl From<&str> for AgentId {
    fn from(text: &str) -> Self {
        Self::of_text(&repaired(text))
    }
}

impl From<String> for AgentId {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl FromStr for AgentId {
    type Err = Error;

    /// Reads what a person typed. Spaces around it are ignored.
    ///
    /// # Errors
    /// Returns `Invalid` naming the field `agent_id` if the text is empty, too long, or has control or
    /// format characters.
    fn from_str(text: &str) -> crate::Result<Self> {
        let text = composed(text.trim());
        let wrong = |message: &str| Err(Error::invalid("agent_id", message));
        if text.is_empty() {
            return wrong("must be the number or name of an agent");
        }
        if text.contains(is_hidden) {
            return wrong("must not contain control or format characters");
        }
        if text.chars().count() > Self::MAX_CHARS {
            return wrong("must have at most 128 characters");
        }
        Ok(Self::of_text(&text))
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Number(number) => number.fmt(f),
            Repr::Name(name) => f.pad(name),
        }
    }
}

impl fmt::Debug for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Number(number) => fmt::Debug::fmt(number, f),
            Repr::Name(name) => fmt::Debug::fmt(name, f),
        }
    }
}

/// `text` as a name.
fn repaired(text: &str) -> Cow<'_, str> {
    let is_plain = |text: &str| {
        text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
            && text.len() <= AgentId::MAX_CHARS
    };
    let text = text.trim();
    let name = match is_plain(text) {
        true => Cow::Borrowed(text),
        false => {
            let shown = |c: char| match c {
                _ if !is_hidden(c) => c,
                _ if c.is_whitespace() => ' ',
                _ => char::REPLACEMENT_CHARACTER,
            };
            let shown: String = text.chars().map(shown).collect();
            let name: String = composed(&shown).chars().take(AgentId::MAX_CHARS).collect();
            Cow::Owned(name.trim().to_owned())
        }
    };
    if name.is_empty() { Cow::Borrowed(AgentId::UNNAMED) } else { name }
}

/// How records contain the id of an agent: flattened, as a number `agent_id` and a text `agent`.
/// `agent_id` is null for a name, and both are null for no agent.
///
/// Records that an earlier version wrote have `agent_id` alone.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgentFields {
    /// The agent's number; null if it has a name, or if there is no agent.
    #[serde(default)]
    pub agent_id: Option<i64>,
    /// The agent's name, or its number as text; null if there is no agent.
    #[serde(default)]
    pub agent: Option<String>,
}

/// Reads and writes [`AgentFields`] with `#[serde(flatten, with = "crate::agent::fields")]`.
pub(crate) mod fields {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{AgentFields, AgentId};

    pub(crate) fn serialize<S: Serializer>(
        agent: &Option<AgentId>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let agent = agent.as_ref();
        let agent_id = agent.and_then(AgentId::number);
        AgentFields { agent_id, agent: agent.map(AgentId::to_string) }.serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<AgentId>, D::Error> {
        let AgentFields { agent_id, agent } = AgentFields::deserialize(from)?;
        Ok(agent.map(AgentId::from).or(agent_id.map(AgentId::from)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Record {
        id: i64,
        #[serde(flatten, with = "fields")]
        agent_id: Option<AgentId>,
    }

    /// Texts with many hidden characters, spaces and letters that compose.
    fn texts() -> impl Strategy<Value = String> {
        let odd = prop::sample::select(vec![
            'a', 'Z', '7', '0', '-', ' ', '\t', '\n', '\0', '\u{85}', '\u{200b}', '\u{202e}',
            '\u{2028}', 'e', '\u{301}', '\u{308}', '\u{2000}', '漢', '🙂', '*', '"',
        ]);
        prop_oneof![
            prop::collection::vec(odd, 0..200).prop_map(String::from_iter),
            any::<String>(),
            any::<i64>().prop_map(|number| number.to_string()),
        ]
    }

    proptest! {
        /// Whatever is repaired follows the rules, so it is taken as it is from then on.
        #[test]
        fn a_repaired_text_is_a_name(text in texts()) {
            let agent = AgentId::from(text.as_str());
            let shown = agent.to_string();
            prop_assert!((1..=AgentId::MAX_CHARS).contains(&shown.chars().count()));
            prop_assert_eq!(&composed(&shown), &shown);
            prop_assert!(!shown.contains(is_hidden) && shown.trim() == shown);
            prop_assert_eq!(&AgentId::from(shown.as_str()), &agent);
            prop_assert_eq!(&shown.parse::<AgentId>().unwrap(), &agent);
            prop_assert_eq!(agent.text(), shown);
        }

        /// A text that is accepted is not repaired.
        #[test]
        fn what_a_person_may_type_is_taken_as_it_is(text in texts()) {
            if let Ok(agent) = text.parse::<AgentId>() {
                prop_assert_eq!(agent.to_string(), composed(text.trim()));
                prop_assert_eq!(agent, AgentId::from(text));
            }
        }

        #[test]
        fn numbers_and_their_texts_are_the_same_agent(number in i64::MIN + 1..) {
            let agent = AgentId::from(number);
            prop_assert_eq!(agent.number(), Some(number));
            prop_assert_eq!(&AgentId::from(number.to_string()), &agent);
            let record = Record { id: 1, agent_id: Some(agent) };
            let written = serde_json::to_value(&record).unwrap();
            prop_assert_eq!(
                &written,
                &json!({ "id": 1, "agent_id": number, "agent": number.to_string() })
            );
            prop_assert_eq!(serde_json::from_value::<Record>(written).unwrap(), record);
        }

        #[test]
        fn records_keep_their_agent(text in prop::option::of(texts())) {
            let record = Record { id: 1, agent_id: text.map(AgentId::from) };
            if let Some(agent) = &record.agent_id {
                let written = serde_json::to_value(agent).unwrap();
                prop_assert_eq!(written.as_i64(), agent.number());
                prop_assert_eq!(written.as_str(), agent.name());
                prop_assert_eq!(&serde_json::from_value::<AgentId>(written).unwrap(), agent);
            }
            let written = serde_json::to_string(&record).unwrap();
            prop_assert_eq!(serde_json::from_str::<Record>(&written).unwrap(), record);
        }
    }

    #[test]
    fn only_a_plain_whole_number_is_a_number() {
        for text in ["007", "+7", "-0", "7.0", "9223372036854775808", "٧", "１"] {
            assert_eq!(AgentId::from(text).name(), Some(text));
        }
        let least = i64::MIN.to_string();
        assert_eq!(AgentId::from(i64::MIN).name(), Some(least.as_str()));
        assert_eq!(AgentId::from(i64::MIN), AgentId::from(least));
    }

    #[test]
    fn a_name_is_composed_and_shown_whole() {
        assert_eq!(AgentId::from("Ame\u{301}lie"), AgentId::from("Amélie"));
        assert_eq!(AgentId::from("a\0b\tc\u{202e}").to_string(), "a\u{fffd}b c\u{fffd}");
        assert_eq!(AgentId::from("  \n").to_string(), AgentId::UNNAMED);
        assert_eq!(AgentId::from("x".repeat(200)).to_string(), "x".repeat(128));
        for refused in ["", "  ", "a\0b", &"x".repeat(129)] {
            let error = refused.parse::<AgentId>().unwrap_err();
            assert_eq!(error.fields()[0].field, "agent_id", "{refused:?}");
        }
    }

    #[test]
    fn records_of_earlier_versions_have_numbers() {
        let read = |record: Value| serde_json::from_value::<Record>(record).unwrap().agent_id;
        assert_eq!(read(json!({ "id": 1, "agent_id": 7 })), Some(AgentId::from(7)));
        assert_eq!(read(json!({ "id": 1, "agent_id": null })), None);
        assert_eq!(read(json!({ "id": 1 })), None);
    }
}
