//! Text of foreign files: markup to plain paragraphs, slugs, Magento's packed cells.

/// Longest description that is kept, in characters.
const MAX_TEXT: usize = 20_000;

/// One line: entities decoded, white space folded, cut to `max` characters.
pub(crate) fn line(text: &str, max: usize) -> String {
    let decoded = entities(text);
    let mut out = String::with_capacity(decoded.len());
    for word in decoded.split(|c: char| c.is_whitespace() || c.is_control()) {
        if !word.is_empty() {
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(word);
        }
    }
    match out.char_indices().nth(max) {
        Some((end, _)) => out[..end].trim_end().to_owned(),
        None => out,
    }
}

/// HTML as people see it: a line per paragraph, bullets as `• …`; scripts and styles vanish.
/// Works in one pass over any text, well-formed or not.
pub(crate) fn plain(html: &str) -> String {
    let mut marked = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        marked.push_str(&rest[..at]);
        rest = &rest[at..];
        let name_end = rest[1..]
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '/' && c != '!')
            .map_or(rest.len(), |i| i + 1);
        let tag = rest[1..name_end].trim_matches('/').to_ascii_lowercase();
        if tag.is_empty() {
            // A lone `<`, as in "5 < 6".
            marked.push('<');
            rest = &rest[1..];
            continue;
        }
        let opens = !rest.starts_with("</");
        rest = rest.find('>').map_or("", |end| &rest[end + 1..]);
        match tag.as_str() {
            "script" | "style" if opens => {
                let close = format!("</{tag}");
                // ASCII lower-casing keeps every byte position.
                rest = rest.to_ascii_lowercase().find(&close).map_or("", |end| &rest[end..]);
            }
            "li" if opens => marked.push_str("\n• "),
            "p" | "br" | "li" | "ul" | "ol" | "div" | "tr" | "table" | "h1" | "h2" | "h3"
            | "h4" | "h5" | "h6" => marked.push('\n'),
            _ => {}
        }
    }
    marked.push_str(rest);

    let mut out = String::new();
    for part in marked.lines() {
        let part = line(part, MAX_TEXT);
        if part.trim_matches(|c: char| c == '•' || c.is_whitespace()).is_empty() {
            continue;
        }
        if !out.is_empty() {
            out.push('\n');
        }
        match part.strip_prefix('•') {
            Some(item) => {
                out.push_str("• ");
                out.push_str(item.trim_start());
            }
            None => out.push_str(&part),
        }
    }
    match out.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => out[..end].to_owned(),
        None => out,
    }
}

/// Decodes the entities that shop exports contain; unknown ones stay as they are.
fn entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.bytes().take(12).position(|b| b == b';');
        match end.and_then(|end| Some((end, entity(&rest[1..end])?))) {
            Some((end, c)) => {
                out.push(c);
                rest = &rest[end + 1..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn entity(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code).filter(|c| !c.is_control());
    }
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "bull" | "middot" => '•',
        "trade" => '™',
        "reg" => '®',
        "copy" => '©',
        "deg" => '°',
        "ndash" => '–',
        "mdash" => '—',
        "hellip" => '…',
        "lsquo" => '‘',
        "rsquo" => '’',
        "ldquo" => '“',
        "rdquo" => '”',
        "frac12" => '½',
        "frac14" => '¼',
        "frac34" => '¾',
        "times" => '×',
        "eacute" => 'é',
        _ => return None,
    })
}

/// Lower-case letters and digits joined by dashes; empty if the text has none of ASCII.
pub(crate) fn slug(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if matches!(c, '\'' | '’' | '™' | '®') {
            // `Go-Get'r` is one word.
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
        if out.len() >= 100 {
            break;
        }
    }
    out.truncate(out.trim_end_matches('-').len());
    out
}

/// `style_general` → `Style general`.
pub(crate) fn label(code: &str) -> String {
    let text = code.replace('_', " ");
    let mut chars = text.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// Whether this can be an attribute's code.
pub(crate) fn is_code(text: &str) -> bool {
    (1..=60).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Magento's packed attributes: `size=XS,color=Black,climate=Cool|Indoor`. A comma only separates
/// if a code and `=` follow it, so that texts may hold commas.
pub(crate) fn pairs(cell: &str) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    for piece in cell.split(',') {
        let code = piece.split_once('=').map(|(k, v)| (k.trim().trim_start_matches('"'), v));
        match (code, out.last_mut()) {
            (Some((k, v)), _) if is_code(k) => out.push((k.to_owned(), v.to_owned())),
            (_, Some((_, last))) => {
                last.push(',');
                last.push_str(piece);
            }
            _ => {}
        }
    }
    for (_, value) in &mut out {
        let bare = value.trim();
        *value = bare.strip_suffix('"').unwrap_or(bare).trim_start_matches('"').to_owned();
    }
    out
}

/// The values of a cell with many: by `|` in exports, by line in the sample-data format.
pub(crate) fn values(cell: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for value in cell.split(['|', '\n']) {
        let value = line(value, 120);
        if !value.is_empty() && !out.contains(&value) && out.len() < 64 {
            out.push(value);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn markup_becomes_lines() {
        let html = "<p>Warm &amp; dry.</p>\n<p>&bull; Two-tone.<br />&bull; Hood. </br>&bull; 5 < 6 &trade;</p><ul><li>One<li> Two </ul><script>alert('<p>x')</script>end";
        assert_eq!(plain(html), "Warm & dry.\n• Two-tone.\n• Hood.\n• 5 < 6 ™\n• One\n• Two\nend");
        assert_eq!(plain("<p>open <b>bold"), "open bold");
        assert_eq!(plain("<style>x"), "");
    }

    #[test]
    fn packed_attributes() {
        let cell =
            "has_options=0,name_hi=मोर, लाल,description_hi=\"सुंदर, हाथ से बना\",climate=Cool|Indoor";
        assert_eq!(
            pairs(cell),
            [
                ("has_options".into(), "0".into()),
                ("name_hi".into(), "मोर, लाल".to_owned()),
                ("description_hi".into(), "सुंदर, हाथ से बना".to_owned()),
                ("climate".into(), "Cool|Indoor".to_owned()),
            ]
        );
        assert_eq!(values("\nGym\nYoga|Gym\n"), ["Gym", "Yoga"]);
    }

    #[test]
    fn slugs() {
        assert_eq!(slug("Go-Get'r Pushup  Grips "), "go-getr-pushup-grips");
        assert_eq!(slug("Quest Lumaflex™ Band"), "quest-lumaflex-band");
        assert_eq!(slug("मोर"), "");
    }

    proptest! {
        #[test]
        fn any_text_is_safe(text in ".{0,300}") {
            let out = plain(&text);
            prop_assert!(out.chars().count() <= 600);
            let _ = (pairs(&text), values(&text), line(&text, 9), slug(&text));
        }

        #[test]
        fn any_markup_is_safe(parts in prop::collection::vec("(<|>|/|p|li|script|&|#|x|;|é|[0-9]| ){1,12}", 0..20)) {
            let _ = plain(&parts.concat());
        }
    }
}
