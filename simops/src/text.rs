//! Text from outside: characters that cannot be seen, and look-alikes.

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
use unicode_security::skeleton;

/// Whether `c` is a control or format character, or separates lines: it cannot be seen, or it changes how
/// the text around it is shown.
pub(crate) fn is_hidden(c: char) -> bool {
    use GeneralCategory::{Control, Format, LineSeparator, ParagraphSeparator};
    matches!(c.general_category(), Control | Format | LineSeparator | ParagraphSeparator)
}

/// Whether `c` changes the direction of the text after it, which can make text read as another.
pub(crate) fn is_bidi(c: char) -> bool {
    matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// `text` in normalisation form C: the same text is the same bytes, whatever composed it.
pub(crate) fn composed(text: &str) -> String {
    text.nfc().collect()
}

/// Whether a reader may take the beginning of `text` for `prefix`: in another case or width, with spaces,
/// invisible characters, or letters of another script that look alike (UTS 39).
pub(crate) fn looks_like_prefix(text: &str, prefix: &str) -> bool {
    let bare = |text: &str| skeleton(text).collect::<String>();
    let folded = |text: &str| bare(&plain(text));
    // A capital letter can look like one of another script while its small letter does not, and the
    // other way round.
    let pattern = folded(prefix);
    folded(text).starts_with(&pattern) || folded(&bare(text)).starts_with(&pattern)
}

/// `text` without differences of case, width, style and spaces.
fn plain(text: &str) -> String {
    text.nfkc().flat_map(char::to_lowercase).filter(|c| !c.is_whitespace()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_recognised_in_every_disguise() {
        for disguised in [
            "system:x",
            "SYSTEM:x",
            "sys\u{200b}tem:x",
            "s\u{34f}ystem:x",
            "system\u{3164}:x",
            "ｓｙｓｔｅｍ：x",
            "𝐬𝐲𝐬𝐭𝐞𝐦:x",
            "sуstеm:x",
            "ЅУЅТЕМ:x",
            "systеm։x",
            "system∶x",
            "system :x",
            "systern:x",
            "ſystem:x",
        ] {
            assert!(looks_like_prefix(disguised, "system:"), "{disguised}");
        }
        for other in ["ada", "systems team", "systém:x", "the system: x", "system", ""] {
            assert!(!looks_like_prefix(other, "system:"), "{other}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_hidden() {
        let hidden = [
            '\0',
            '\u{85}',
            '\u{ad}',
            '\u{200b}',
            '\u{200d}',
            '\u{202e}',
            '\u{2028}',
            '\u{feff}',
            '\u{e0041}',
        ];
        assert!(hidden.into_iter().all(is_hidden));
        assert!("aé ß漢🙂\u{301}".chars().all(|c| !is_hidden(c)));
    }
}
