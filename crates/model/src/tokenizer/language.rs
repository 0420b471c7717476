//! The languages of Whisper.

/// A language that Whisper knows.
pub(super) struct Language {
    /// Its code in Whisper's tokens.
    pub(super) code: &'static str,
    /// Its English name in lower case.
    name: &'static str,
    /// Other names, as openai/whisper has them, and other codes: ISO 639-2, 639-3, what ISO 639-1 has instead.
    aliases: &'static [&'static str],
}

impl Language {
    /// All names and codes, each once.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        let name = Some(self.name).filter(|name| *name != self.code);
        [self.code].into_iter().chain(name).chain(self.aliases.iter().copied())
    }
}

/// Returns the code that Whisper's tokens have for a language: `de` for `de`, `German`, `deu` or `ger`.
///
/// Upper and lower case are alike, and what follows the code in a tag such as `de-AT` or `zh_Hans` does not count. `None`
/// if Whisper does not know the language.
///
/// Source: `LANGUAGES` and `TO_LANGUAGE_CODE` in openai/whisper `whisper/tokenizer.py`; ISO 639-2 and 639-3 codes of
/// three letters are understood in addition.
pub fn language_code(name_or_code: &str) -> Option<&'static str> {
    let wanted = name_or_code.trim().to_lowercase();
    let find = |wanted: &str| LANGUAGES.iter().find(|language| language.names().any(|name| name == wanted));
    let language = find(&wanted).or_else(|| find(wanted.split_once(['-', '_'])?.0));
    language.map(|language| language.code)
}

/// Returns the English name of a language in lower case, by Whisper's code.
pub fn language_name(code: &str) -> Option<&'static str> {
    LANGUAGES.iter().find(|language| language.code == code).map(|language| language.name)
}

const fn language(code: &'static str, name: &'static str, aliases: &'static [&'static str]) -> Language {
    Language { code, name, aliases }
}

/// In the order of their tokens. Models before large-v3 lack the last.
#[rustfmt::skip]
pub(super) const LANGUAGES: [Language; 100] = [
    language("en", "english", &["eng"]),
    language("zh", "chinese", &["mandarin", "zho", "chi", "cmn"]),
    language("de", "german", &["deu", "ger"]),
    language("es", "spanish", &["castilian", "spa"]),
    language("ru", "russian", &["rus"]),
    language("ko", "korean", &["kor"]),
    language("fr", "french", &["fra", "fre"]),
    language("ja", "japanese", &["jpn"]),
    language("pt", "portuguese", &["por"]),
    language("tr", "turkish", &["tur"]),
    language("pl", "polish", &["pol"]),
    language("ca", "catalan", &["valencian", "cat"]),
    language("nl", "dutch", &["flemish", "nld", "dut"]),
    language("ar", "arabic", &["ara"]),
    language("sv", "swedish", &["swe"]),
    language("it", "italian", &["ita"]),
    language("id", "indonesian", &["ind"]),
    language("hi", "hindi", &["hin"]),
    language("fi", "finnish", &["fin"]),
    language("vi", "vietnamese", &["vie"]),
    language("he", "hebrew", &["heb"]),
    language("uk", "ukrainian", &["ukr"]),
    language("el", "greek", &["ell", "gre"]),
    language("ms", "malay", &["msa", "may"]),
    language("cs", "czech", &["ces", "cze"]),
    language("ro", "romanian", &["moldavian", "moldovan", "ron", "rum"]),
    language("da", "danish", &["dan"]),
    language("hu", "hungarian", &["hun"]),
    language("ta", "tamil", &["tam"]),
    language("no", "norwegian", &["nor", "nob", "nb"]),
    language("th", "thai", &["tha"]),
    language("ur", "urdu", &["urd"]),
    language("hr", "croatian", &["hrv"]),
    language("bg", "bulgarian", &["bul"]),
    language("lt", "lithuanian", &["lit"]),
    language("la", "latin", &["lat"]),
    language("mi", "maori", &["mri", "mao"]),
    language("ml", "malayalam", &["mal"]),
    language("cy", "welsh", &["cym", "wel"]),
    language("sk", "slovak", &["slk", "slo"]),
    language("te", "telugu", &["tel"]),
    language("fa", "persian", &["fas", "per"]),
    language("lv", "latvian", &["lav"]),
    language("bn", "bengali", &["ben"]),
    language("sr", "serbian", &["srp"]),
    language("az", "azerbaijani", &["aze"]),
    language("sl", "slovenian", &["slv"]),
    language("kn", "kannada", &["kan"]),
    language("et", "estonian", &["est"]),
    language("mk", "macedonian", &["mkd", "mac"]),
    language("br", "breton", &["bre"]),
    language("eu", "basque", &["eus", "baq"]),
    language("is", "icelandic", &["isl", "ice"]),
    language("hy", "armenian", &["hye", "arm"]),
    language("ne", "nepali", &["nep"]),
    language("mn", "mongolian", &["mon"]),
    language("bs", "bosnian", &["bos"]),
    language("kk", "kazakh", &["kaz"]),
    language("sq", "albanian", &["sqi", "alb"]),
    language("sw", "swahili", &["swa"]),
    language("gl", "galician", &["glg"]),
    language("mr", "marathi", &["mar"]),
    language("pa", "punjabi", &["panjabi", "pan"]),
    language("si", "sinhala", &["sinhalese", "sin"]),
    language("km", "khmer", &["khm"]),
    language("sn", "shona", &["sna"]),
    language("yo", "yoruba", &["yor"]),
    language("so", "somali", &["som"]),
    language("af", "afrikaans", &["afr"]),
    language("oc", "occitan", &["oci"]),
    language("ka", "georgian", &["kat", "geo"]),
    language("be", "belarusian", &["bel"]),
    language("tg", "tajik", &["tgk"]),
    language("sd", "sindhi", &["snd"]),
    language("gu", "gujarati", &["guj"]),
    language("am", "amharic", &["amh"]),
    language("yi", "yiddish", &["yid"]),
    language("lo", "lao", &[]),
    language("uz", "uzbek", &["uzb"]),
    language("fo", "faroese", &["fao"]),
    language("ht", "haitian creole", &["haitian", "hat"]),
    language("ps", "pashto", &["pushto", "pus"]),
    language("tk", "turkmen", &["tuk"]),
    language("nn", "nynorsk", &["nno"]),
    language("mt", "maltese", &["mlt"]),
    language("sa", "sanskrit", &["san"]),
    language("lb", "luxembourgish", &["letzeburgesch", "ltz"]),
    language("my", "myanmar", &["burmese", "mya", "bur"]),
    language("bo", "tibetan", &["bod", "tib"]),
    language("tl", "tagalog", &["tgl", "fil"]),
    language("mg", "malagasy", &["mlg"]),
    language("as", "assamese", &["asm"]),
    language("tt", "tatar", &["tat"]),
    language("haw", "hawaiian", &[]),
    language("ln", "lingala", &["lin"]),
    language("ha", "hausa", &["hau"]),
    language("ba", "bashkir", &["bak"]),
    language("jw", "javanese", &["jav", "jv"]),
    language("su", "sundanese", &["sun"]),
    language("yue", "cantonese", &[]),
];
