//! Text into words: for Latin and Indian scripts, the same for what is indexed and what is typed.

use unicode_normalization::UnicodeNormalization;

/// Characters of one word that count.
const LONGEST: usize = 40;

/// Words in lower case without accents. Vowel signs and the virama of Indian scripts belong to
/// their word; the nukta, which many leave out when typing, and apostrophes vanish.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut word = String::new();
    let mut len = 0;
    // Decomposed, so that accents and nuktas stand alone.
    for c in text.nfd() {
        match c {
            '\u{300}'..='\u{36f}' | '\u{93c}' | '\u{200c}' | '\u{200d}' | '\'' | '’' | 'ʼ' => {}
            // Both nasal signs are written for the same sound.
            '\u{901}' => push(&mut word, &mut len, '\u{902}'),
            c if is_word(c) => c.to_lowercase().for_each(|c| push(&mut word, &mut len, c)),
            _ => {
                if !word.is_empty() {
                    out.push(std::mem::take(&mut word));
                }
                len = 0;
            }
        }
    }
    if !word.is_empty() {
        out.push(word);
    }
    out
}

fn push(word: &mut String, len: &mut usize, c: char) {
    if *len < LONGEST {
        word.push(c);
        *len += 1;
    }
}

fn is_word(c: char) -> bool {
    // Devanagari to Sinhala with their signs, without danda and abbreviation marks.
    let indian =
        matches!(c, '\u{900}'..='\u{dff}') && !matches!(c, '\u{964}' | '\u{965}' | '\u{970}');
    indian || c.is_alphanumeric()
}

/// [`words`], with English plurals and their singular made one.
pub(crate) fn terms(text: &str) -> Vec<String> {
    words(text).into_iter().map(stem).collect()
}

pub(crate) fn stem(mut word: String) -> String {
    if word.len() <= 3 || !word.bytes().all(|b| b.is_ascii_lowercase()) {
        return word;
    }
    if ["sses", "shes", "ches", "xes", "zes"].iter().any(|end| word.ends_with(end)) {
        word.truncate(word.len() - 2);
    } else if word.ends_with('s') && !["ss", "us", "is"].iter().any(|end| word.ends_with(end)) {
        word.truncate(word.len() - 1);
    }
    // hoodie, hoodies, hoody
    if word.len() > 3 && word.ends_with("ie") {
        word.truncate(word.len() - 2);
        word.push('y');
    }
    word
}

/// [`terms`] or [`words`] for the index.
#[derive(Clone)]
pub(crate) struct Splitter {
    pub(crate) stem: bool,
}

pub(crate) struct Words {
    words: std::vec::IntoIter<String>,
    token: tantivy::tokenizer::Token,
}

impl tantivy::tokenizer::Tokenizer for Splitter {
    type TokenStream<'a> = Words;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Words {
        let words = if self.stem { terms(text) } else { words(text) };
        Words { words: words.into_iter(), token: tantivy::tokenizer::Token::default() }
    }
}

impl tantivy::tokenizer::TokenStream for Words {
    fn advance(&mut self) -> bool {
        let Some(word) = self.words.next() else { return false };
        self.token.position = self.token.position.wrapping_add(1);
        self.token.text = word;
        true
    }

    fn token(&self) -> &tantivy::tokenizer::Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut tantivy::tokenizer::Token {
        &mut self.token
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn latin() {
        assert_eq!(
            words("Go-Get'r Pushup  Grips™, Café!"),
            ["go", "getr", "pushup", "grips", "cafe"]
        );
        assert_eq!(
            terms("Women's Hoodies hoodie Watches dress shoes yoga"),
            ["women", "hoody", "hoody", "watch", "dress", "shoe", "yoga"]
        );
    }

    #[test]
    fn devanagari_words_stay_whole() {
        assert_eq!(words("हाथ से बनी मिट्टी की हाँडी।"), ["हाथ", "से", "बनी", "मिट्टी", "की", "हांडी"]);
        // With the nukta as one character, as two, and without.
        assert_eq!(words("ज़री"), words("\u{91c}\u{93c}री"));
        assert_eq!(words("ज़री"), words("जरी"));
        assert_eq!(words("தமிழ் বাংলা"), ["தமிழ்", "বাংলা"].map(|w| w.nfd().collect::<String>()));
    }

    proptest! {
        #[test]
        fn any_text_is_safe(text in ".{0,300}") {
            for word in terms(&text) {
                prop_assert!(!word.is_empty() && word.chars().count() <= LONGEST);
            }
        }

        #[test]
        fn typing_again_changes_nothing(text in ".{0,100}") {
            let once = words(&text).join(" ");
            prop_assert_eq!(words(&once).join(" "), once);
        }
    }
}
