//! Parses a model's response.

use super::action::Action;

/// Parses a response that consists of one JSON action, optionally in a code fence.
///
/// # Errors
/// The response is not a valid action. The message is sent back to the model.
pub(super) fn action(answer: &str) -> Result<Action, String> {
    serde_json::from_str(without_fence(answer)).map_err(|error| error.to_string())
}

fn without_fence(answer: &str) -> &str {
    let answer = answer.trim();
    let Some(inside) = answer.strip_prefix("```").and_then(|rest| rest.strip_suffix("```")) else {
        return answer;
    };
    // The opening fence may name a language.
    inside.trim_start_matches(|c: char| c.is_ascii_alphanumeric()).trim()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stock::Resource;
    use super::*;

    #[test]
    fn an_action_may_be_in_a_code_fence() {
        let plain = r#"{"action":"work","resource":"food"}"#;
        let fenced = format!("\n```json\n{plain}\n```\n");
        let bare = format!("```{plain}```");
        for answer in [plain, &fenced, &bare] {
            assert_eq!(action(answer), Ok(Action::Work { resource: Resource::Food }));
        }
    }

    #[test]
    fn anything_else_is_refused_with_a_reason() {
        let answers = [
            "",
            "```",
            "``````",
            "I work on food.",
            r#"{"action":"fly"}"#,
            r#"{"action":"work"}"#,
            r#"{"action":"gift","to":1,"resource":"food","amount":-1}"#,
            r#"{"action":"gift","to":1,"resource":"food","amount":1e99}"#,
            r#"{"action":"work","resource":"food"} and then I rest"#,
            r#"[{"action":"rest"}]"#,
        ];
        for answer in answers {
            assert!(!action(answer).unwrap_err().is_empty(), "{answer}");
        }
    }
}
