//! What a document weighs before anything else looks at it. The parser and the validator recurse,
//! and fragments that use fragments grow without bound when they are spread out: a kilobyte of text
//! could hold a processor for hours. Both checks here take time in proportion to the text.

use std::collections::HashMap;

use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};

/// Brackets within brackets, and selections within selections once fragments are spread out.
const MAX_NESTING: usize = 64;
/// Words and signs in the text.
const MAX_TOKENS: usize = 15_000;
/// Selections once fragments are spread out.
const MAX_SELECTIONS: usize = 10_000;

/// The document is too long, nests too deep, or its fragments contain themselves.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooHeavy(pub(crate) &'static str);

const DEEP: TooHeavy = TooHeavy("the document nests too deep; ask for less at once");
const LONG: TooHeavy = TooHeavy("the document asks for too much; split it into several requests");

/// Checks the text, before it is parsed.
pub(crate) fn text(text: &str) -> Result<(), TooHeavy> {
    let bytes = text.as_bytes();
    let (mut at, mut depth, mut tokens) = (0, 0_usize, 0_usize);
    while let Some(byte) = bytes.get(at) {
        let rest = &bytes[at..];
        let taken = match byte {
            b'#' => rest.iter().take_while(|b| !matches!(b, b'\n' | b'\r')).count(),
            b'"' if rest.starts_with(b"\"\"\"") => {
                tokens += 1;
                6 + block_string(&rest[3..])
            }
            b'"' => {
                tokens += 1;
                1 + string(&rest[1..])
            }
            b'{' | b'[' | b'(' => {
                (depth, tokens) = (depth + 1, tokens + 1);
                if depth > MAX_NESTING {
                    return Err(DEEP);
                }
                1
            }
            b'}' | b']' | b')' => {
                depth = depth.saturating_sub(1);
                1
            }
            b if is_word(*b) => {
                tokens += 1;
                rest.iter().take_while(|b| is_word(**b)).count()
            }
            _ => 1,
        };
        if tokens > MAX_TOKENS {
            return Err(LONG);
        }
        at += taken;
    }
    Ok(())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Length of a string's rest, its closing quote included.
fn string(rest: &[u8]) -> usize {
    let mut at = 0;
    while let Some(byte) = rest.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' | b'\n' | b'\r' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// Length of a block string's content.
fn block_string(rest: &[u8]) -> usize {
    let mut at = 0;
    while at < rest.len() && !rest[at..].starts_with(b"\"\"\"") {
        at += if rest[at..].starts_with(b"\\\"\"\"") { 4 } else { 1 };
    }
    at
}

/// Checks the parsed document.
pub(crate) fn document(document: &ExecutableDocument) -> Result<(), TooHeavy> {
    let mut scale = Scale { document, known: HashMap::new() };
    let operations = document.operations.iter().map(|(_, o)| &o.node.selection_set.node);
    let fragments = document.fragments.values().map(|f| &f.node.selection_set.node);
    let mut sum = 0_usize;
    for set in operations {
        sum = sum.saturating_add(scale.weigh(set, 0)?.selections);
    }
    for set in fragments {
        scale.weigh(set, 0)?;
    }
    if sum > MAX_SELECTIONS { Err(LONG) } else { Ok(()) }
}

/// A selection set with its fragments spread out.
#[derive(Clone, Copy, Default)]
struct Weight {
    selections: usize,
    height: usize,
}

struct Scale<'a> {
    document: &'a ExecutableDocument,
    /// Fragments that were weighed already.
    known: HashMap<&'a str, Weight>,
}

impl<'a> Scale<'a> {
    /// `depth` bounds the recursion, also through fragments that contain themselves.
    fn weigh(&mut self, set: &'a SelectionSet, depth: usize) -> Result<Weight, TooHeavy> {
        if depth > MAX_NESTING {
            return Err(DEEP);
        }
        let mut sum = Weight::default();
        for selection in &set.items {
            let inner = match &selection.node {
                Selection::Field(f) => self.weigh(&f.node.selection_set.node, depth + 1)?,
                Selection::InlineFragment(f) => {
                    self.weigh(&f.node.selection_set.node, depth + 1)?
                }
                Selection::FragmentSpread(s) => {
                    self.fragment(&s.node.fragment_name.node, depth + 1)?
                }
            };
            sum.selections = sum.selections.saturating_add(inner.selections).saturating_add(1);
            sum.height = sum.height.max(inner.height + 1);
        }
        if depth + sum.height > MAX_NESTING {
            return Err(DEEP);
        }
        Ok(sum)
    }

    fn fragment(&mut self, name: &'a str, depth: usize) -> Result<Weight, TooHeavy> {
        if let Some(known) = self.known.get(name) {
            return Ok(*known);
        }
        // The validator says that there is none.
        let Some(fragment) = self.document.fragments.get(name) else {
            return Ok(Weight::default());
        };
        let weight = self.weigh(&fragment.node.selection_set.node, depth)?;
        self.known.insert(name, weight);
        Ok(weight)
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    #[test]
    fn text_in_strings_and_comments_does_not_nest() {
        let deep = "[".repeat(1_000);
        for fine in [
            format!("{{ a(b: \"{deep}\") }}"),
            format!("{{ a(b: \"\\\"{deep}\") }}"),
            format!("{{ a(b: \"\"\"{deep} \\\"\"\" {deep}\"\"\") }}"),
            format!("# {deep}\n{{ a }}"),
            "{ a } ".repeat(1_000),
        ] {
            assert_eq!(text(&fine), Ok(()), "{fine}");
        }
        assert_eq!(text(&deep), Err(DEEP));
        assert_eq!(text(&format!("{{ a(b: \"x\" c: {deep}")), Err(DEEP));
        assert_eq!(text(&format!("{{ a(b: \"\"\"x\"\"\" c: {deep}")), Err(DEEP));
        assert_eq!(text(&"a ".repeat(20_000)), Err(LONG));
    }

    #[test]
    fn fragments_are_weighed_as_if_spread_out() {
        let doubling = |levels: usize| {
            let mut text = "{ ...f0 }".to_owned();
            for i in 0..levels {
                text += &format!(" fragment f{i} on Query {{ ...f{0} ...f{0} }}", i + 1);
            }
            text + &format!(" fragment f{levels} on Query {{ a }}")
        };
        let weigh = |text: &str| document(&parse_query(text).unwrap());
        assert_eq!(weigh(&doubling(5)), Ok(()));
        assert_eq!(weigh(&doubling(30)), Err(LONG));
        assert_eq!(weigh(&doubling(100)), Err(DEEP));
        assert_eq!(weigh("{ ...a } fragment a on Query { ...a ...a }"), Err(DEEP));
        assert_eq!(
            weigh("{ ...a } fragment a on Query { ...b ...b } fragment b on Query { ...a ...a }"),
            Err(DEEP)
        );
        assert_eq!(weigh("{ x } fragment a on Query { b { ...a } }"), Err(DEEP));
        assert_eq!(weigh("{ a b { c ...missing } }"), Ok(()));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_weighed(source in "[{}()\\[\\]\"\\\\#\n\ra.é]{0,200}") {
            let _ = text(&source);
        }
    }
}
