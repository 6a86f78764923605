//! The texts as they are registered. Changing one means registering it anew.

use mela_notify_api::{NotifyError, SmsTemplate};

/// What stands for a variable in a registered text.
const SLOT: &str = "{#var#}";
/// Longest filling of a slot, in characters.
const MAX_SLOT: usize = 30;

/// A text as registered with the operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisteredTemplate {
    /// Which one.
    pub template: SmsTemplate,
    /// Its number in the registry, unless the merchant has registered it under another.
    pub id: &'static str,
    /// `Transactional`, `Service-Implicit`, `Service-Explicit` or `Promotional`.
    pub category: &'static str,
    /// The text with its slots.
    pub text: &'static str,
}

/// Every template.
pub const TEMPLATES: [RegisteredTemplate; 3] = [
    RegisteredTemplate {
        template: SmsTemplate::LoginCode,
        id: "1207160000000000001",
        category: "Service-Implicit",
        text: "{#var#} is your Mela login code, good for {#var#} minutes. Never tell it to anybody. -Mela",
    },
    RegisteredTemplate {
        template: SmsTemplate::OrderConfirmed,
        id: "1207160000000000002",
        category: "Service-Implicit",
        text: "Your Mela order {#var#} of Rs {#var#} is confirmed. You can follow it in the shop. -Mela",
    },
    RegisteredTemplate {
        template: SmsTemplate::OutForDelivery,
        id: "1207160000000000003",
        category: "Service-Implicit",
        text: "Your Mela order {#var#} is out for delivery today. -Mela",
    },
];

pub(crate) fn registered(template: SmsTemplate) -> Result<RegisteredTemplate, NotifyError> {
    let found = TEMPLATES.into_iter().find(|t| t.template == template);
    found.ok_or_else(|| NotifyError::Refused("this text is not registered".into()))
}

/// The text with its slots filled in order.
pub(crate) fn fill(text: &str, variables: &[&str]) -> Result<String, NotifyError> {
    let mut parts = text.split(SLOT);
    let mut out = parts.next().unwrap_or_default().to_owned();
    let mut variables = variables.iter();
    for literal in parts {
        let value = variables.next().map(|v| clean(v)).unwrap_or_default();
        if value.is_empty() {
            return Err(NotifyError::Refused("a variable of the text is missing or empty".into()));
        }
        out.push_str(&value);
        out.push_str(literal);
    }
    match variables.next() {
        None => Ok(out),
        Some(_) => Err(NotifyError::Refused("there are more variables than slots".into())),
    }
}

/// One line of printable text, cut to what a slot takes.
fn clean(value: &str) -> String {
    let line: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(MAX_SLOT).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn slots_are_filled_in_order_and_all_of_them() {
        let text = registered(SmsTemplate::LoginCode).unwrap().text;
        assert_eq!(
            fill(text, &["042042", "10"]).unwrap(),
            "042042 is your Mela login code, good for 10 minutes. Never tell it to anybody. -Mela"
        );
        for bad in [&[][..], &["1"], &["1", ""], &["1", " \n"], &["1", "2", "3"]] {
            assert!(matches!(fill(text, bad), Err(NotifyError::Refused(_))), "{bad:?}");
        }
        assert_eq!(fill("a {#var#}", &["{#var#}\nb"]).unwrap(), "a {#var#} b");
    }

    proptest! {
        #[test]
        fn whatever_comes_the_rest_stays_exact(a in ".{0,80}", b in ".{0,80}") {
            for t in TEMPLATES.iter().filter(|t| t.text.matches(SLOT).count() == 2) {
                if let Ok(full) = fill(t.text, &[&a, &b]) {
                    let literals: Vec<&str> = t.text.split(SLOT).collect();
                    prop_assert!(full.starts_with(literals[0]) && full.ends_with(literals[2]));
                    let literal: usize = literals.iter().map(|l| l.chars().count()).sum();
                    prop_assert!(full.chars().count() <= literal + 2 * MAX_SLOT);
                    prop_assert!(!full.chars().any(char::is_control));
                }
            }
        }
    }

    /// What every registry asks for: the brand in the text, an id of 12 to 19 digits.
    #[test]
    fn templates_can_be_registered() {
        for t in TEMPLATES {
            assert!(t.text.contains("Mela") && t.text.is_ascii() && t.text.len() <= 160);
            assert!((12..=19).contains(&t.id.len()) && t.id.bytes().all(|b| b.is_ascii_digit()));
            assert_eq!(registered(t.template).unwrap(), t);
        }
    }
}
