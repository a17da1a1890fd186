//! `data get`: downloads from a server of the test's own, and everything that can go wrong with them.

use super::house::House;
use super::server::{Manner, Server};
use caltrop::base::watch::Silent;
use caltrop::data::fetch::{self, Holds, Package, Remote};
use flate2::{Compression, write::GzEncoder};
use md5::{Digest, Md5};
use std::io::{Cursor, Write};
use std::path::Path;

/// Bytes that no two places share.
fn noise(count: usize) -> Vec<u8> {
    (0..count as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn sum(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The package of one file with these bytes.
fn package(name: &'static str, bytes: &[u8], holds: Holds) -> Package {
    let remote = Remote { name, bytes: bytes.len() as u64, md5: sum(bytes).leak(), holds };
    Package { name: "set", site: "http://127.0.0.1:9/", files: vec![remote].leak() }
}

fn get(package: &Package, from: &str, house: &House) -> Result<(), String> {
    fetch::get(package, Some(from), &house.root, &Silent).map_err(|error| error.to_string())
}

/// What is in the folder, hidden or not.
fn names(house: &House) -> Vec<String> {
    house.everything().keys().map(|path| path.strip_prefix(&house.root).unwrap().to_string_lossy().into_owned()).collect()
}

/// An entry of an archive: name, content; of a tar, its kind.
type Entry<'a> = (&'a str, &'a [u8], tar::EntryType);

fn tar_gz(entries: &[Entry]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, content, kind) in entries {
        let mut header = tar::Header::new_gnu();
        // Not by set_path, which refuses what is to be tested.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_entry_type(*kind);
        if !kind.is_file() && !kind.is_dir() {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        tar.append(&header, *content).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

fn zipped(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        zip.start_file(*name, zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated)).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn an_archive_is_downloaded_checked_and_unpacked_once() {
    let long = noise(300_000);
    let tar = tar_gz(&[
        ("./top/", b"", tar::EntryType::Directory),
        ("./top/a.bin", &long, tar::EntryType::Regular),
        ("top/deep/b.txt", b"b", tar::EntryType::Regular),
    ]);
    let zip = zipped(&[("top/a.bin", &long), ("top/deep/b.txt", b"b")]);
    for (name, archive, holds) in [("set.tar.gz", tar, Holds::TarGz("top")), ("set.zip", zip, Holds::Zip("top"))] {
        let (house, server) = (House::new("get"), Server::new(Manner::Ranges, &[(name, &archive)]));
        // Left by a process that was killed as it unpacked.
        house.write(".top.tmp/old", b"old");
        let package = package(name, &archive, holds);
        get(&package, &server.address, &house).unwrap();
        assert_eq!(names(&house), ["top", "top/a.bin", "top/deep", "top/deep/b.txt"], "{name}");
        assert!(house.read("top/a.bin") == long && house.read("top/deep/b.txt") == b"b", "{name}");
        assert_eq!(server.requests(), [(format!("/files/{name}"), None)]);
        get(&package, &server.address, &house).unwrap();
        assert_eq!(server.requests().len(), 1, "what is there is asked for again");
    }
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let file = noise(200_000);
    let package = package("a.mat", &file, Holds::Itself);
    let (house, server) = (House::new("get-cut"), Server::new(Manner::Cut(150_000), &[("a.mat", &file)]));
    let said = get(&package, &server.address, &house).unwrap_err();
    assert!(said.contains("broke off after 150000 of 200000 bytes") && said.contains("the same command goes on"), "{said}");
    assert!(house.read("a.mat.part") == file[..150_000]);
    get(&package, &server.address, &house).unwrap();
    assert!(house.read("a.mat") == file && names(&house) == ["a.mat"]);
    assert_eq!(server.requests()[1].1, Some(150_000));
}

#[test]
fn whatever_a_server_makes_of_ranges_the_file_is_right() {
    let file = noise(200_000);
    let package = package("a.mat", &file, Holds::Itself);
    for manner in [Manner::Ranges, Manner::Whole, Manner::Elsewhere, Manner::Silent] {
        // All lengths of a part: none, some, all.
        for have in [0, 1, 150_000, 200_000] {
            let (house, server) = (House::new("get-manner"), Server::new(manner, &[("a.mat", &file)]));
            if have > 0 {
                house.write("a.mat.part", &file[..have]);
            }
            get(&package, server.address.trim_end_matches('/'), &house).unwrap();
            assert!(house.read("a.mat") == file && names(&house) == ["a.mat"]);
            let requests = server.requests();
            assert_eq!(requests.is_empty(), have == 200_000);
            if let Some((path, from)) = requests.last() {
                assert_eq!(*from, (have > 0).then_some(have), "{path}");
            }
        }
    }
}

#[test]
fn a_wrong_file_is_refused_with_both_values() {
    let (file, other) = (noise(200_000), vec![7; 200_000]);
    let package = package("a.mat", &file, Holds::Itself);
    let refused = |manner, served: &[u8], part: Option<&[u8]>, words: &[&str], left: &[&str]| {
        let (house, server) = (House::new("get-wrong"), Server::new(manner, &[("a.mat", served)]));
        part.inspect(|part| house.write("a.mat.part", part));
        let said = get(&package, &server.address, &house).unwrap_err();
        words.iter().for_each(|word| assert!(said.contains(word), "nothing about \"{word}\": {said}"));
        assert_eq!(names(&house), left, "{said}");
    };
    let sums = [&*sum(&file), &*sum(&other), "it is removed", "--from"];
    refused(Manner::Ranges, &other, None, &sums, &[]);
    refused(Manner::Ranges, &file[..100], None, &["has a file of 100 bytes", "200000"], &[]);
    refused(Manner::Ranges, &file[..100], Some(&file[..50]), &["has a file of 100 bytes", "200000"], &["a.mat.part"]);
    refused(Manner::Ranges, &file[..100], Some(&file[..150]), &["416 (range not satisfiable)"], &["a.mat.part"]);
    refused(Manner::Silent, &[0; 200_001], None, &["more than the 200000 bytes"], &["a.mat.part"]);
    refused(Manner::Shifted, &file, Some(&file[..150]), &["bytes from 150 on"], &["a.mat.part"]);
    refused(Manner::Ranges, &file, Some(&[0; 200_001]), &["200001 bytes", "remove it"], &["a.mat.part"]);
    // A part of another file does no harm but to itself.
    refused(Manner::Ranges, &file, Some(&other[..150]), &[&sum(&file), "it is removed"], &[]);

    let house = House::new("get-changed");
    house.write("a.mat", &other);
    let said = get(&package, "http://127.0.0.1:9/", &house).unwrap_err();
    assert!(said.contains(&sum(&file)) && said.contains(&sum(&other)) && said.contains("remove it"), "{said}");
    assert!(house.read("a.mat") == other);
}

#[test]
fn an_archive_cannot_reach_beyond_its_folder() {
    let (file, dir, link) = (tar::EntryType::Regular, tar::EntryType::Directory, tar::EntryType::Symlink);
    let good: Entry = ("top/good", b"good", file);
    let tars = [
        ("top/../../evil", file),
        ("../evil", file),
        ("/tmp/evil", file),
        ("evil", file),
        ("evil/", dir),
        ("top/link", link),
        ("top/link", tar::EntryType::Link),
        ("top/pipe", tar::EntryType::Fifo),
    ];
    let tars = tars.map(|(name, kind)| (name, "set.tar.gz", tar_gz(&[good, (name, b"", kind)]), Holds::TarGz("top")));
    let zips = ["../evil", "top/../../evil", "/tmp/evil", "evil"];
    let zips = zips.map(|name| (name, "set.zip", zipped(&[("top/good", b"good"), (name, b"evil")]), Holds::Zip("top")));
    for (entry, name, archive, holds) in tars.into_iter().chain(zips) {
        let (house, server) = (House::new("get-evil"), Server::new(Manner::Ranges, &[(name, &archive)]));
        std::fs::create_dir(house.root.join("in")).unwrap();
        let said =
            fetch::get(&package(name, &archive, holds), Some(&server.address), &house.root.join("in"), &Silent).unwrap_err().to_string();
        assert!(said.contains(entry) && said.contains(name), "{said}");
        assert!(said.contains("outside its folder top") || said.contains("neither file nor folder"), "{said}");
        assert_eq!(names(&house), ["in", &format!("in/{name}")], "{said}");
    }
    // A checksum that is right of a file that is no archive.
    for (name, holds) in [("set.tar.gz", Holds::TarGz("top")), ("set.zip", Holds::Zip("top"))] {
        let house = House::new("get-no-archive");
        house.write(name, b"no archive");
        let said = get(&package(name, b"no archive", holds), "http://127.0.0.1:9", &house).unwrap_err();
        assert!(said.contains("cannot unpack it"), "{said}");
        assert_eq!(names(&house), [name]);
    }
}

#[test]
fn two_processes_do_not_mix_their_bytes() {
    let file = noise(1000);
    let (house, server) = (House::new("get-two"), Server::new(Manner::Ranges, &[("a.mat", &file)]));
    house.write("a.mat.part", &file[..100]);
    let other = std::fs::File::open(house.root.join("a.mat.part")).unwrap();
    other.lock().unwrap();
    let package = package("a.mat", &file, Holds::Itself);
    let said = get(&package, &server.address, &house).unwrap_err();
    assert!(said.contains("another process is downloading"), "{said}");
    other.unlock().unwrap();
    get(&package, &server.address, &house).unwrap();
    assert!(house.read("a.mat") == file);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_says_so() {
    let file = noise(1000);
    let (house, server) = (House::new("get-full"), Server::new(Manner::Ranges, &[("a.mat", &file)]));
    std::os::unix::fs::symlink("/dev/full", house.root.join("a.mat.part")).unwrap();
    let said = get(&package("a.mat", &file, Holds::Itself), &server.address, &house).unwrap_err();
    assert!(said.contains("a.mat.part: No space left on device") && said.contains("make room"), "{said}");
}

#[test]
fn the_command_says_in_a_line_what_is_wrong() {
    let house = House::new("get-bad");
    for (line, words) in [
        ("data get cifar", &["no data set is called \"cifar\"", "did you mean \"cifar10\"?", "svhn"][..]),
        ("data get fashion-mnist-7k", &["part of the program"]),
        ("data get mnist --from ftp://mirror", &["--from ftp://mirror", "http://"]),
        ("data get mnist --from http:///mnist", &["--from http:///mnist", "such as"]),
        ("data get mnist --from http://mirror/?file=", &["such as"]),
    ] {
        house.refused(2, line, words);
    }
    house.write("file", b"");
    house.refused(1, "data get mnist --out file/below", &["file/below", "--out"]);
    let server = Server::new(Manner::Ranges, &[]);
    // A port that nobody listens at.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    std::fs::create_dir_all(house.root.join("out")).unwrap();
    let missing = format!("data get mnist --out out --from {}", server.address);
    house.refused(1, &missing, &["train-images-idx3-ubyte.gz", "404 (not found)", "--from"]);
    house.refused(1, &format!("data get mnist --out out --from http://{closed}/"), &["cannot reach", "network", "--from"]);
    house.refused(1, "data get mnist --out out --from http://no-such-host.invalid/", &["cannot reach http://no-such-host.invalid/train"]);
}

#[test]
#[cfg(unix)]
fn an_interrupt_leaves_the_part_and_says_how_to_go_on() {
    use std::time::{Duration, Instant};
    let house = House::new("get-stop");
    let bytes = vec![0; 9_912_422]; // as many as the official file has
    let name = "train-images-idx3-ubyte.gz";
    let (part, slow) = (format!("mnist/{name}.part"), Server::new(Manner::Slow, &[(name, &bytes)]));
    let line = |server: &Server| format!("data get mnist --out mnist --from {}", server.address);
    let child = house.command(&line(&slow)).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let begin = Instant::now();
    while std::fs::metadata(house.root.join(&part)).map_or(0, |meta| meta.len()) == 0 {
        assert!(begin.elapsed() < Duration::from_secs(20), "nothing arrives");
    }
    assert!(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(begin.elapsed() < Duration::from_secs(15), "it waited for the server");
    let last = said.lines().last().unwrap_or_default();
    for word in ["caltrop: interrupted", &part, "of 9912422 bytes are there", "the same command goes on"] {
        assert!(last.contains(word), "nothing about \"{word}\": {said}");
    }
    let have = house.read(&part).len();
    assert!(have > 0 && last.contains(&format!(": {have} of")), "{have}: {said}");

    // It goes on from there, to a file that the real one's sum betrays.
    let server = Server::new(Manner::Ranges, &[(name, &bytes)]);
    let said = house.run(&line(&server));
    assert_eq!((said.code, server.requests()[0].1), (Some(1), Some(have)), "{}", said.err);
    for word in ["f68b3c2dcbeaaa9fbdd348bbdeb94873", &sum(&bytes), "it is removed"] {
        assert!(said.err.contains(word), "nothing about \"{word}\": {}", said.err);
    }
    assert!(!Path::new(&house.root.join(&part)).exists());
}
