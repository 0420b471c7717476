use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn written(name: &str, content: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    (folder, path)
}

fn message(name: &str, content: &str) -> String {
    let (_folder, path) = written(name, content);
    read(&path).unwrap_err().to_string()
}

#[test]
fn objects_are_read_by_any_of_their_names() {
    let (folder, path) = written(
        "a.jsonl",
        "{\"audio\": \"x.wav\", \"text\": \"one\", \"words\": [{\"word\": \"one\", \"start\": 0.1, \"end\": 0.5}]}\n\n\
         {\"path\": \"/y.wav\", \"sentence\": null, \"start\": 2, \"end\": 3.5, \"language\": \"de\", \"more\": [1]}\n",
    );
    let items = read(&path).unwrap();
    assert_eq!(items[0].audio, folder.path().join("x.wav"));
    assert_eq!(items[0].words.as_ref().map(|words| words[0].end), Some(0.5));
    assert_eq!((items[1].audio.as_path(), items[1].part), (Path::new("/y.wav"), Some((2.0, 3.5))));
    assert_eq!((items[1].text.as_deref(), items[1].language.as_deref()), (None, Some("de")));
    let (_folder, path) = written("b.jsonl", "{\"audio\": \"x.wav\", \"hypothesis\": \"two\"}\n");
    let expected = Hypothesis { id: "x.wav".to_owned(), text: "two".to_owned(), words: None };
    assert_eq!(hypotheses(&path).unwrap(), [expected]);
}

#[test]
fn folders_of_libri_speech_are_read() {
    let folder = TempDir::new().unwrap();
    let inner = folder.path().join("1089/134686");
    fs::create_dir_all(&inner).unwrap();
    fs::write(inner.join("1089-134686.trans.txt"), "1089-134686-0000 HE HOPED\n1089-134686-0001 STUFF IT\n")
        .unwrap();
    fs::write(inner.join("1089-134686-0001.wav"), "").unwrap();
    let items = read(folder.path()).unwrap();
    assert_eq!((items[0].id.as_str(), items[0].text.as_deref()), ("1089-134686-0000", Some("HE HOPED")));
    assert_eq!(items[0].audio, inner.join("1089-134686-0000.flac"));
    assert_eq!(items[1].audio, inner.join("1089-134686-0001.wav"));
}

#[test]
fn parts_of_ted_lium_are_read() {
    let (folder, path) = written(
        "talk.stm",
        ";; a comment\nTalk 1 Me 1.5 20.25 <o,f0,male> it 's a talk\nTalk 1 Me 21 22 <o,,> ignore_time_segment_in_scoring\n",
    );
    let items = read(&path).unwrap();
    assert_eq!(items.len(), 1);
    assert_eq!((items[0].part, items[0].text.as_deref()), (Some((1.5, 20.25)), Some("it 's a talk")));
    assert_eq!((items[0].id.as_str(), &items[0].audio), ("Talk-1.50-20.25", &folder.path().join("Talk.wav")));
}

#[test]
fn tables_of_common_voice_are_read() {
    let (folder, path) =
        written("test.tsv", "client_id\tpath\tsentence\tlocale\nx\tcommon_voice_de_1.mp3\tGuten Tag.\tde\n");
    let items = read(&path).unwrap();
    assert_eq!((items[0].text.as_deref(), items[0].language.as_deref()), (Some("Guten Tag."), Some("de")));
    assert_eq!(items[0].audio, folder.path().join("clips/common_voice_de_1.mp3"));
}

#[test]
fn what_makes_no_sense_is_named_with_its_line() {
    assert!(message("a.jsonl", "{\"audio\": \"x\"}\n{}\n").contains("line 2"));
    assert!(message("a.jsonl", "\n").contains("lists no recordings"));
    assert!(message("a.stm", "Talk 1 Me 5 2 <> text").contains("line 1: found `Talk 1 Me 5 2"));
    assert!(message("a.tsv", "path\ttext\n").contains("`sentence` among them"));
    assert!(message("a.tsv", "id\tpath\tsentence\nx\n").contains("line 2"));
    assert!(read(Path::new("/no/such/file.jsonl")).unwrap_err().to_string().contains("/no/such/file.jsonl"));
}

proptest! {
    #[test]
    fn no_bytes_make_them_panic(
        extension in "jsonl|stm|tsv",
        start in "|path\tsentence\n|\\{\"audio\":|a b c 1 2 <",
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(format!("x.{extension}"));
        fs::write(&path, [start.as_bytes(), &bytes].concat()).unwrap();
        let _ = read(&path);
        let _ = hypotheses(&path);
    }
}
