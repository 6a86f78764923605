//! The quiz's questions, read from a JSON file.

use mela_base::Internal;

/// Longest text of a question or choice, in characters.
const MAX_CHARS: usize = 300;

/// A question.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Question {
    /// Unique in the file.
    pub id: String,
    /// English.
    pub text: String,
    /// Hindi.
    #[serde(default)]
    pub text_hi: Option<String>,
    /// Two to six.
    pub choices: Vec<String>,
    /// Index of the right choice.
    pub answer: usize,
}

/// Reads `[{id, text, text_hi?, choices, answer, …}]`; further fields are for authors.
///
/// # Errors
/// Says which question is wrong and why.
pub fn read_questions(json: &str) -> Result<Vec<Question>, Internal> {
    let questions: Vec<Question> =
        serde_json::from_str(json).map_err(|e| Internal::new(format!("quiz questions: {e}")))?;
    for q in &questions {
        let wrong = if !(2..=6).contains(&q.choices.len()) {
            "needs 2 to 6 choices"
        } else if q.answer >= q.choices.len() {
            "has an answer that is no choice"
        } else if q
            .choices
            .iter()
            .chain([&q.text])
            .any(|t| t.is_empty() || t.chars().count() > MAX_CHARS)
        {
            "has an empty or overlong text"
        } else {
            continue;
        };
        return Err(Internal::new(format!("quiz question `{}` {wrong}", q.id)));
    }
    if questions.is_empty() {
        return Err(Internal::new("quiz questions: the file has none"));
    }
    Ok(questions)
}
