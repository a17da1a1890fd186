use super::*;
use proptest::prelude::*;

/// A CIFAR-10 python batch of two images, as Python 2 and its numpy wrote it (protocol 2).
fn cifar() -> Vec<u8> {
    let mut bytes = b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03U\x06labelsq\x04]q\x05(K\x06K\x09e".to_vec();
    bytes.extend(b"U\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\x09");
    bytes.extend(
        b"(K\x01K\x02K\x03\x86cnumpy\ndtype\nq\x0aU\x02u1K\x00K\x01\x87Rq\x0b(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
    );
    bytes.extend(b"\x89U\x06\x00\x01\x02\xfd\xfe\xfftb");
    bytes.extend(b"U\x09filenamesq\x0c]q\x0d(U\x05a.pngU\x05b.pngeu.");
    bytes
}

/// The value of the pickle `bytes`, shown like Python does.
fn shown(bytes: &[u8]) -> String {
    fn show(value: Value) -> String {
        let list = |items: Vec<Value>| items.into_iter().map(show).collect::<Vec<_>>().join(", ");
        match value.node() {
            Node::None => "None".into(),
            Node::Bool(value) => value.to_string(),
            Node::Int(value) => value.to_string(),
            Node::Large => "large".into(),
            Node::Float(value) => format!("{value:?}"),
            Node::Text(text) => format!("{text:?}"),
            Node::Bytes(bytes) => format!("b{:?}", bytes),
            Node::Tuple(_) => format!("({})", list(value.items().unwrap().collect())),
            Node::List(_) => format!("[{}]", list(value.items().unwrap().collect())),
            Node::Dict(_) => {
                let entries = value.entries().unwrap().map(|(key, value)| format!("{}: {}", show(key), show(value)));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
            }
            Node::Global(name) => name.clone(),
            Node::Call { .. } => {
                let call = value.call().unwrap();
                format!(
                    "{}({}){}",
                    call.function,
                    list(call.arguments),
                    call.state.map(|state| format!("!{}", show(state))).unwrap_or_default()
                )
            }
            Node::Persistent(_) => format!("<{}>", show(value.persistent().unwrap())),
        }
    }
    parse(bytes, &["m.f"]).map_or_else(|error| error.to_string(), |pickle| show(pickle.root()))
}

#[test]
fn a_cifar_batch_of_python_2_is_read() {
    let bytes = cifar();
    let pickle = parse(&bytes, &NUMPY).unwrap();
    let root = pickle.root();
    let labels: Vec<i64> = root.get("labels").unwrap().items().unwrap().map(|label| label.int().unwrap()).collect();
    assert_eq!((root.get("batch_label").unwrap().text(), labels), (Some("training batch 1 of 5"), vec![6, 9]));
    let data = array(root.get("data").unwrap()).unwrap();
    let wanted = Array { dtype: "u1", endian: "|", shape: vec![2, 3], order: Order::RowMajor, bytes: &[0, 1, 2, 253, 254, 255] };
    assert_eq!(data, wanted);
    assert!(root.get("absent").is_none());
    let error = array(root.get("labels").unwrap()).unwrap_err().to_string();
    assert_eq!(error, "a list where a numpy array is wanted");
    // One element short of its shape.
    let at = bytes.windows(4).position(|window| window == b"K\x02K\x03").unwrap();
    let mut short = bytes.clone();
    short[at + 3] = 4;
    assert!(array(parse(&short, &NUMPY).unwrap().root().get("data").unwrap()).unwrap_err().to_string().contains("[2, 4] u1 with 6 bytes"));
}

/// `numpy.arange(6, dtype='u1').reshape(2, 3)` at protocol 5, numpy 2.
#[test]
fn an_array_of_protocol_5_is_read() {
    let mut bytes = b"\x80\x05\x95\x80\x00\x00\x00\x00\x00\x00\x00\x8c\x13numpy._core.numeric\x94\x8c\x0b_frombuffer\x94\x93\x94(".to_vec();
    bytes.extend(b"\x96\x06\x00\x00\x00\x00\x00\x00\x00\x00\x01\x02\x03\x04\x05\x94\x8c\x05numpy\x94\x8c\x05dtype\x94\x93\x94");
    bytes.extend(b"\x8c\x02u1\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01|\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94b");
    bytes.extend(b"K\x02K\x03\x86\x94\x8c\x01C\x94t\x94R\x94.");
    let pickle = parse(&bytes, &NUMPY).unwrap();
    let found = array(pickle.root()).unwrap();
    assert_eq!((found.shape, found.order, found.bytes), (vec![2, 3], Order::RowMajor, &[0, 1, 2, 3, 4, 5][..]));
}

#[test]
fn every_protocol_says_the_same() {
    // {'a': [1, 2.5, None, True, (b'\xff', 'é', -3)], 'b': 70000} and friends, as Python writes them.
    for (bytes, wanted) in [
        (&b"(dp0\nVa\np1\n(lp2\nI1\naF2.5\naNaI01\naI-70000\nasVb\nI00\ns."[..], r#"{"a": [1, 2.5, None, true, -70000], "b": false}"#),
        (b"S'a\\n\\xff\\'b'\np0\n.", "b[97, 10, 255, 39, 98]"),
        (b"V\\u00e9x\\U0001f600\n.", "\"éx😀\""),
        (b"V\xe9\\u000a\n.", "\"é\\n\""),
        (b"L12345678901234567890123L\n.", "large"),
        (b"L-5L\n.", "-5"),
        (b"\x80\x02]q\x00(K\x01M\x70\x11J\xfe\xff\xff\xff\x8a\x00\x8a\x02\x00\xff\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00e.", "[1, 4464, -2, 0, -256, large]"),
        (b"\x80\x02]q\x00G\x3f\xf8\x00\x00\x00\x00\x00\x00a\x88a\x89aNa.", "[1.5, true, false, None]"),
        (b"\x80\x02c_codecs\nencode\nq\x00X\x05\x00\x00\x00\xc3\xbfab\x00X\x06\x00\x00\x00latin1\x86R.", "b[255, 97, 98, 0]"),
        (b"\x80\x02c__builtin__\nbytes\n)R.", "b[]"),
        (b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00\x8c\x02\xc3\xa9\x94C\x01\xff\x94\x8d\x01\x00\x00\x00\x00\x00\x00\x00z\x87\x94h\x00\x86.", "((\"é\", b[255], \"z\"), \"é\")"),
        (b"\x80\x02ccollections\nOrderedDict\n)Rq\x00(U\x01aK\x01U\x01bK\x02u}U\x09_metadataNsb.", "{b[97]: 1, b[98]: 2}"),
        (b"\x80\x02ccollections\nOrderedDict\n]]U\x01aaK\x01aa\x85R.", "{b[97]: 1}"),
        (b"\x80\x02ccollections\nCounter\n}U\x01aK\x01s\x85R.", "{b[97]: 1}"),
        (b"\x80\x02ccollections\ndefaultdict\ncm\nf\n\x85RU\x01aK\x01s.", "{b[97]: 1}"),
        (b"cm\nf\n(K\x01tRK\x02b.", "m.f(1)!2"),
        (b"U\x01xQ.", "<b[120]>"),
        (b"K\x01(K\x02K\x031K\x042\x87.", "(1, 4, 4)"),
        (b"](K\x01K\x02l0a.", "pickle, byte 8: a value is wanted where there is none; this is no whole pickle"),
    ] {
        assert_eq!(shown(bytes), wanted, "{bytes:?}");
    }
}

#[test]
fn code_is_refused_by_name() {
    for (bytes, wanted) in [
        (&b"\x80\x02cos\nsystem\nq\x00X\x02\x00\x00\x00ls\x85R."[..], "os.system"),
        (b"\x80\x02cposix\nsystem\n.", "posix.system"),
        (b"\x80\x04\x8c\x08builtins\x94\x8c\x04eval\x94\x93\x94\x8c\x021+\x94\x85R.", "builtins.eval"),
        (b"c__builtin__\nexec\n(S'x'\ntR.", "builtins.exec"),
        (b"\x80\x04\x8c\x02os\x8c\x06systemK\x01\x93.", "no string"),
        (b"(S'ls'\nios\nsystem\n.", "INST"),
        (b"\x80\x02(K\x01o.", "OBJ"),
        (b"\x80\x02cm\nf\n)\x81.", "NEWOBJ"),
        (b"\x80\x02\x82\x01.", "EXT"),
        (b"\x80\x05\x97.", "NEXT_BUFFER"),
        (b"\x80\x02cm\nf\n)Rq\x00)R.", "a call of something that is no function"),
        (b"\x80\x02cm\nf\nK\x01R.", "without a tuple"),
        (b"\x80\x09.", "protocol 9"),
        (b"\xff.", "0xff is no opcode"),
    ] {
        let said = shown(bytes);
        assert!(said.contains(wanted) && said.starts_with("pickle, byte "), "{bytes:?}: {said}");
    }
    assert!(shown(b"\x80\x02cos\nsystem\n.").contains("nothing of it was run"));
}

#[test]
fn lengths_that_cannot_be_are_refused_before_anything_is_made_of_them() {
    for bytes in [
        &b"T\xff\xff\xff\xffx"[..],
        b"X\xff\xff\xff\x7fx.",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x96\x00\x00\x00\x00\x00\x00\x00\x80.",
        b"\x8b\xff\xff\xff\xff\x01.",
        b"U\x05abcd",
        b"cos",
        b"K",
        b"",
    ] {
        let said = shown(bytes);
        assert!(said.contains("are left") || said.contains("without an end"), "{bytes:?}: {said}");
    }
    assert!(shown(&vec![b'N'; 1 << 23]).contains("opcodes"));
}

/// A few bytes that are a tree of 3^40 leaves, and a list within itself: shared and circular values cost nothing.
#[test]
fn shared_and_circular_values_stay_small() {
    let bomb = [b"K\x01".to_vec(), b"22\x87".repeat(40), b".".to_vec()].concat();
    let pickle = parse(&bomb, &[]).unwrap();
    assert_eq!((pickle.nodes.len(), pickle.root().items().unwrap().len()), (41, 3));
    let copies = [
        b"\x80\x02X\x40\x00\x00\x00".to_vec(),
        vec![b'a'; 64],
        b"q\x00c_codecs\nencode\nq\x01".to_vec(),
        b"h\x01h\x00\x85R".repeat(999),
        b".".to_vec(),
    ];
    assert!(shown(&copies.concat()).contains("copied again and again"));
    let own = parse(b"]q\x00h\x00a.", &[]).unwrap();
    assert_eq!(own.root().items().unwrap().next().unwrap().id, own.root().id);
    let deep = [b"]".repeat(200_000), b"a".repeat(199_999), b".".to_vec()].concat();
    assert_eq!(parse(&deep, &[]).unwrap().root().items().unwrap().len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever the bytes: an answer, and no more nodes than bytes.
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(pickle) = parse(&bytes, &NUMPY) {
            prop_assert!(pickle.nodes.len() <= bytes.len());
            let _ = array(pickle.root());
        }
    }

    /// Opcodes alone, so that most get past the first.
    #[test]
    fn random_opcodes_never_panic(picks in proptest::collection::vec(0usize..1000, 0..80)) {
        const CODES: &[u8] = b"NK\x01K\x02U\x01a(((ttt]]l}}dasue012q\x00q\x01h\x00h\x01)\x85\x86\x87RRbQcm\nf\n\x94\x88.";
        let mut bytes: Vec<u8> = picks.iter().map(|pick| CODES[pick % CODES.len()]).collect();
        bytes.push(b'.');
        if let Ok(pickle) = parse(&bytes, &["m.f"]) {
            prop_assert!(pickle.nodes.len() <= bytes.len());
        }
    }

    /// A real file with a few bytes changed, and cut.
    #[test]
    fn mutated_files_never_panic(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), cut: prop::sample::Index) {
        let mut bytes = cifar();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            if let Ok(pickle) = parse(bytes, &NUMPY)
                && let Some(data) = pickle.root().get("data")
                && let Ok(data) = array(data)
            {
                prop_assert!(data.bytes.len() <= bytes.len());
            }
        }
    }
}
