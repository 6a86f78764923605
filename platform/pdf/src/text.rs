//! Shaping and wrapping of mixed English and Hindi.

use krilla::text::{Font, GlyphId, KrillaGlyph};
use mela_base::Internal;
use rustybuzz::{Direction, Face, UnicodeBuffer};

/// Regular or bold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    Regular,
    Bold,
}

pub(crate) struct Typeface {
    pub(crate) font: Font,
    face: Face<'static>,
}

/// The four embedded fonts.
pub(crate) struct Fonts([Typeface; 4]);

/// One piece of text in one font.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) typeface: usize,
    pub(crate) text: String,
    pub(crate) glyphs: Vec<KrillaGlyph>,
    /// In em.
    pub(crate) width: f32,
}

/// A line of text, shaped.
#[derive(Clone)]
pub(crate) struct Shaped {
    pub(crate) runs: Vec<Run>,
    /// In em.
    pub(crate) width: f32,
}

fn is_devanagari(c: char) -> bool {
    matches!(c, '\u{900}'..='\u{97f}' | '\u{a8e0}'..='\u{a8ff}' | '\u{1cd0}'..='\u{1cfa}' | '\u{200c}' | '\u{200d}')
}

/// Whether a line may not break before `c`: vowel signs, virama, joiners.
fn clings(c: char) -> bool {
    matches!(c, '\u{900}'..='\u{903}' | '\u{93a}'..='\u{94f}' | '\u{951}'..='\u{957}' | '\u{962}' | '\u{963}' | '\u{200c}' | '\u{200d}')
}

impl Fonts {
    pub(crate) fn new() -> Result<Self, Internal> {
        Ok(Self([
            typeface(include_bytes!("../fonts/NotoSans-Regular.ttf"))?,
            typeface(include_bytes!("../fonts/NotoSansDevanagari-Regular.ttf"))?,
            typeface(include_bytes!("../fonts/NotoSans-Bold.ttf"))?,
            typeface(include_bytes!("../fonts/NotoSansDevanagari-Bold.ttf"))?,
        ]))
    }

    pub(crate) fn font(&self, typeface: usize) -> Option<&Font> {
        self.0.get(typeface).map(|t| &t.font)
    }

    /// Shapes one line; control characters count as spaces.
    pub(crate) fn shape(&self, text: &str, weight: Weight) -> Shaped {
        let base = if weight == Weight::Bold { 2 } else { 0 };
        let mut pieces: Vec<(usize, String)> = Vec::new();
        for c in text.chars() {
            let c = if c.is_control() { ' ' } else { c };
            let typeface = base + usize::from(is_devanagari(c));
            match pieces.last_mut() {
                Some((last, piece)) if *last == typeface => piece.push(c),
                _ => pieces.push((typeface, c.to_string())),
            }
        }
        let runs: Vec<Run> =
            pieces.into_iter().map(|(t, piece)| self.0[t].shape(t, piece)).collect();
        let width = runs.iter().map(|r| r.width).sum();
        Shaped { runs, width }
    }

    /// Breaks `text` into lines of at most `width` em, at most `max_lines` of them; what does not fit
    /// ends in `…`.
    pub(crate) fn wrap(
        &self,
        text: &str,
        weight: Weight,
        width: f32,
        max_lines: usize,
    ) -> Vec<Shaped> {
        let space = self.shape(" ", weight).width;
        let mut lines: Vec<String> = Vec::new();
        let mut line = String::new();
        let mut used = 0.0;
        let mut pending: Vec<String> = text.split_whitespace().rev().map(str::to_owned).collect();
        while let Some(word) = pending.pop() {
            let word_width = self.shape(&word, weight).width;
            let gap = if line.is_empty() { 0.0 } else { space };
            if used + gap + word_width <= width {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(&word);
                used += gap + word_width;
                continue;
            }
            if !line.is_empty() {
                lines.push(std::mem::take(&mut line));
                used = 0.0;
                pending.push(word);
            } else {
                // A word longer than the line is cut where it may be.
                let cut = self.longest_prefix(&word, weight, width);
                lines.push(word[..cut].to_owned());
                if cut < word.len() {
                    pending.push(word[cut..].to_owned());
                }
            }
            if lines.len() > max_lines {
                break;
            }
        }
        if !line.is_empty() {
            lines.push(line);
        }
        if lines.len() > max_lines {
            lines.truncate(max_lines);
            if let Some(last) = lines.last_mut() {
                let cut = self.longest_prefix(last, weight, width - self.shape("…", weight).width);
                last.truncate(cut);
                last.push('…');
            }
        }
        lines.iter().map(|l| self.shape(l, weight)).collect()
    }

    /// Bytes of the longest beginning of `text` that fits, at least one letter.
    fn longest_prefix(&self, text: &str, weight: Weight, width: f32) -> usize {
        let mut breaks: Vec<usize> =
            text.char_indices().skip(1).filter(|(_, c)| !clings(*c)).map(|(i, _)| i).collect();
        breaks.push(text.len());
        let fitting =
            breaks.partition_point(|end| self.shape(&text[..*end], weight).width <= width);
        breaks[fitting.saturating_sub(1)]
    }
}

fn typeface(bytes: &'static [u8]) -> Result<Typeface, Internal> {
    let font = Font::new(bytes.into(), 0).ok_or_else(|| Internal::new("embedded font"))?;
    let face = Face::from_slice(bytes, 0).ok_or_else(|| Internal::new("embedded font"))?;
    Ok(Typeface { font, face })
}

impl Typeface {
    fn shape(&self, typeface: usize, text: String) -> Run {
        let mut buffer = UnicodeBuffer::new();
        buffer.push_str(&text);
        buffer.guess_segment_properties();
        buffer.set_direction(Direction::LeftToRight);
        let shaped = rustybuzz::shape(&self.face, &[], buffer);
        let em = self.font.units_per_em();
        let infos = shaped.glyph_infos();
        let mut width = 0.0;
        let mut glyphs = Vec::with_capacity(infos.len());
        for (i, (info, position)) in infos.iter().zip(shaped.glyph_positions()).enumerate() {
            let start = info.cluster as usize;
            let end = infos[i..].iter().find(|next| next.cluster != info.cluster);
            let end = end.map_or(text.len(), |next| next.cluster as usize);
            let advance = position.x_advance as f32 / em;
            width += advance;
            glyphs.push(KrillaGlyph::new(
                GlyphId::new(info.glyph_id),
                advance,
                position.x_offset as f32 / em,
                position.y_offset as f32 / em,
                position.y_advance as f32 / em,
                start..end,
                None,
            ));
        }
        Run { typeface, text, glyphs, width }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_get_their_fonts_and_conjuncts_form() {
        let fonts = Fonts::new().unwrap();
        let shaped = fonts.shape("Kurta कुर्ता ₹899", Weight::Regular);
        assert_eq!(shaped.runs.iter().map(|r| r.typeface).collect::<Vec<_>>(), [0, 1, 0]);
        // क ु र ् त ा is six characters; the repha joins त.
        assert!(shaped.runs[1].glyphs.len() < "कुर्ता".chars().count());
        for run in &shaped.runs {
            assert!(run.glyphs.iter().all(|g| g.glyph_id != GlyphId::new(0)), "{}", run.text);
        }
    }

    #[test]
    fn lines_are_never_too_wide_and_lose_nothing() {
        let fonts = Fonts::new().unwrap();
        let text = "Embroidered Punjabi Jutti कढ़ाईदार पंजाबी जूती Donaudampfschifffahrtsgesellschaft क्क्क्क्क्क्क्क्क्क्क्क्क्क्क";
        for width in [4.0_f32, 8.0, 20.0] {
            let lines = fonts.wrap(text, Weight::Regular, width, 99);
            let back: String =
                lines.iter().flat_map(|l| &l.runs).map(|r| r.text.as_str()).collect();
            let squeeze = |s: &str| s.chars().filter(|c| *c != ' ').collect::<String>();
            assert_eq!(squeeze(&back), squeeze(text));
            assert!(lines.iter().all(|l| l.width <= width.max(9.0)));
        }
        assert_eq!(fonts.wrap(text, Weight::Bold, 8.0, 2).len(), 2);
        assert!(fonts.wrap("", Weight::Bold, 8.0, 2).is_empty());
    }
}
