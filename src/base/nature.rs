//! What a file is, told by its first bytes.

/// What a file that begins with `start` seems to be, with its cure where there is one; None where nothing tells.
pub fn nature(start: &[u8]) -> Option<&'static str> {
    const SIGNS: [(&[u8], &str); 16] = [
        (b"<", "a web page"),
        (b"\x1f\x8b", "a gzip file; unpack it"),
        (b"PK\x03\x04", "a zip archive; unpack it"),
        (b"BZh", "a bzip2 file; unpack it"),
        (b"\xfd7zXZ", "an xz file; unpack it"),
        (b"version https://git-lfs", "a Git LFS pointer; fetch the file itself"),
        (b"MATLAB 5.0", "a MAT-file"),
        (b"MATLAB 7.3", "a MAT-file of version 7.3 (HDF5)"),
        (b"\x89HDF", "an HDF5 file"),
        (b"\x89PNG", "a PNG picture"),
        (b"\xff\xd8\xff", "a JPEG picture"),
        (b"\x93NUMPY", "a NumPy array"),
        (b"\x80\x02", "a Python pickle"),
        (b"\x80\x04", "a Python pickle"),
        (b"\x80\x05", "a Python pickle"),
        (b"\x00\x00\x08", "an IDX file"),
    ];
    let start = start.trim_ascii_start();
    SIGNS.iter().find(|(sign, _)| start.starts_with(sign)).map(|(_, nature)| *nature)
}
