//! Texts and their bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use registry_model::security::{SecurityDescriptor, default_root_sd};

use super::*;

const ROOT: &str = "O:SYG:SYD:(A;CI;KA;;;SY)(A;CI;KA;;;BA)(A;CI;KR;;;AU)";

#[test]
fn a_descriptor_has_these_bytes() {
    let bytes = parse("O:SYD:P(A;CI;KR;;;WD)").unwrap();
    let header = [1, 0, 0x04, 0x90, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0];
    let owner = [1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
    let acl = [2, 0, 28, 0, 1, 0, 0, 0];
    let ace = [0, 2, 20, 0, 0x19, 0, 2, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    assert_eq!(bytes, [&header[..], &owner, &acl, &ace].concat());
}

#[test]
fn texts_mean_what_they_are_printed_from() {
    for text in [
        ROOT,
        "",
        "D:",
        "O:S-1-5-21-7",
        "O:BAG:S-1-5-21-1-2-3D:PAIAR(D;OICINPIOID;0x3;;;AN)(A;;GAGR;;;OW)S:AI(AU;SAFA;KA;;;WD)",
        "O:SYS:(ML;CI;NWNR;;;HI)(AU;FA;SDWO;;;S-1-0x0123456789ab-7)",
        "O:SYD:(hex:0900180001000000010100000000000100000000aabbccdd)C:0x3",
    ] {
        let bytes = parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        assert_eq!(print(&bytes).as_deref(), Some(text));
    }
}

#[test]
fn a_default_descriptor_is_readable() {
    let text = print(&default_root_sd()).expect("a text");
    assert!(text.contains("(A;CI;KA;;;SY)"), "{text}");
}

#[test]
fn words_may_be_given_in_other_ways() {
    assert_eq!(parse("D:(A;;KX;;;S-1-1-0)"), parse("D:(A;;KR;;;WD)"));
    assert_eq!(parse("D:(A;0x2;CCDC;;;WD)"), parse("D:(A;CI;0x3;;;WD)"));
}

#[test]
fn faults_are_shown_at_their_places() {
    let at = |text: &str| parse(text).expect_err(text).at;
    assert_eq!(at("X:"), 0);
    assert_eq!(at("O:SYO:SY"), 4);
    assert_eq!(at("O:S-2-1"), 2);
    assert_eq!(at("O:ÄÖ"), 2);
    assert_eq!(at("D:(Q;;KA;;;SY)"), 3);
    assert_eq!(at("D:(A;;;;;SY)"), 6);
    assert_eq!(at("D:(A;;KA;;SY)"), 8);
    assert_eq!(at("D:(A;;KA;;;SY"), 13);
    assert_eq!(at("D:(hex:123)"), 7);
}

#[test]
fn an_acl_alone_is_a_dacl_without_flags() {
    let bytes = parse_acl("D:(A;;KA;;;SY)").unwrap();
    assert_eq!(bytes[..8], [2, 0, 28, 0, 1, 0, 0, 0]);
    assert_eq!(print_acl(&bytes).as_deref(), Some("D:(A;;KA;;;SY)"));
    assert!(parse_acl("S:").is_err() && parse_acl("D:P").is_err() && parse_acl("O:SYD:").is_err());
}

#[test]
fn what_no_text_gives_back_has_none() {
    let mut bytes = parse(ROOT).unwrap();
    bytes.push(0);
    assert_eq!(print(&bytes), None);
    bytes.pop();
    bytes[1] = 7;
    assert_eq!(print(&bytes), None);
    assert_eq!(print(&[]), None);
}

#[test]
fn components_are_those_of_the_header() {
    let of = |text: &str| components(&parse(text).unwrap());
    assert_eq!(of("O:SY"), OWNER);
    assert_eq!(of("G:SYD:S:"), GROUP | DACL | SACL);
    assert_eq!(components(&[1, 0, 4, 0x80]), 0);
}

fn descriptors() -> impl Strategy<Value = Vec<u8>> {
    let sid = "S-1-[1-9][0-9]{0,2}(-[1-9][0-9]{0,8}){0,4}";
    let ace = ("A|D|AU", any::<u8>(), 0u32..0x40, sid)
        .prop_map(|(kind, flags, mask, sid)| format!("({kind};{flags:#x};{mask:#x};;;{sid})"));
    let list = vec(ace, 0..4).prop_map(|aces| aces.concat());
    (sid, list.clone(), list)
        .prop_map(|(owner, dacl, sacl)| parse(&format!("O:{owner}D:AI{dacl}S:P{sacl}")).unwrap())
}

proptest! {
    #[test]
    fn every_printed_text_means_its_bytes(bytes in descriptors(), at in any::<prop::sample::Index>(), byte: u8) {
        let text = print(&bytes);
        prop_assert_eq!(text.map(|text| parse(&text)), Some(Ok(bytes.clone())));
        let mut spoilt = bytes;
        let place = at.index(spoilt.len());
        spoilt[place] = byte;
        if let Some(text) = print(&spoilt) {
            prop_assert_eq!(parse(&text), Ok(spoilt));
        }
    }

    #[test]
    fn no_text_and_no_bytes_panic(text: String, bytes in vec(any::<u8>(), 0..80)) {
        let _ = parse(&text);
        let _ = print(&bytes);
        let _ = print_acl(&bytes);
        let _ = components(&bytes);
    }

    #[test]
    fn the_model_reads_what_is_written(bytes in descriptors()) {
        if let Ok(read) = SecurityDescriptor::parse(&bytes) {
            prop_assert_eq!(read.to_bytes(), Ok(bytes));
        }
    }
}
