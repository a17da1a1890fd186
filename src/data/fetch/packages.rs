//! What the data sets' own sites publish: addresses, sizes, MD5 sums.
//!
//! The sums are those on the sites' pages (CIFAR) or in torchvision's loaders (the others); Tiny ImageNet's site gives none,
//! its sum is the one that public loaders agree on.

use super::{Holds, Package, Remote};
use crate::base::{Result, suggest, usage};

/// A file that is used as it is.
const fn plain(name: &'static str, bytes: u64, md5: &'static str) -> Remote {
    Remote { name, bytes, md5, holds: Holds::Itself }
}

/// What can be downloaded.
pub const PACKAGES: &[Package] = &[
    Package {
        name: "cifar10",
        site: "https://www.cs.toronto.edu/~kriz/",
        files: &[Remote {
            name: "cifar-10-binary.tar.gz",
            bytes: 170_052_171,
            md5: "c32a1d4ab5d03f1284b67883e8d87530",
            holds: Holds::TarGz("cifar-10-batches-bin"),
        }],
    },
    Package {
        name: "cifar100",
        site: "https://www.cs.toronto.edu/~kriz/",
        files: &[Remote {
            name: "cifar-100-binary.tar.gz",
            bytes: 168_513_733,
            md5: "03b5dce01913d631647c71ecec9e9cb8",
            holds: Holds::TarGz("cifar-100-binary"),
        }],
    },
    Package {
        name: "svhn",
        site: "http://ufldl.stanford.edu/housenumbers/",
        files: &[
            plain("train_32x32.mat", 182_040_794, "e26dedcc434d2e4c54c9b2d4a06d8373"),
            plain("test_32x32.mat", 64_275_384, "eb5a983be6a315427106f1b164d9cef3"),
        ],
    },
    Package {
        name: "tinyimagenet",
        site: "http://cs231n.stanford.edu/",
        files: &[Remote {
            name: "tiny-imagenet-200.zip",
            bytes: 248_100_043,
            md5: "90528d7ca1a48142e341f4ef8d21d0de",
            holds: Holds::Zip("tiny-imagenet-200"),
        }],
    },
    Package {
        name: "mnist",
        site: "https://ossci-datasets.s3.amazonaws.com/mnist/",
        files: &[
            plain("train-images-idx3-ubyte.gz", 9_912_422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
            plain("train-labels-idx1-ubyte.gz", 28_881, "d53e105ee54ea40749a09fcbcd1e9432"),
            plain("t10k-images-idx3-ubyte.gz", 1_648_877, "9fb629c4189551a2d022fa330f9573f3"),
            plain("t10k-labels-idx1-ubyte.gz", 4_542, "ec29112dd5afa0611ce80d1b7f02629c"),
        ],
    },
    Package {
        name: "fashion-mnist",
        site: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        files: &[
            plain("train-images-idx3-ubyte.gz", 26_421_880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            plain("train-labels-idx1-ubyte.gz", 29_515, "25c81989df183df01b3e8a0aad5dffbe"),
            plain("t10k-images-idx3-ubyte.gz", 4_422_102, "bef4ecab320f06d8554ea6380940ec79"),
            plain("t10k-labels-idx1-ubyte.gz", 5_148, "bb300cfdad3c16e7a12a480ee83cd310"),
        ],
    },
];

/// The package called `name`.
///
/// # Errors
/// A usage error with the nearest name; for a set that no site offers, where it is.
pub fn package(name: &str) -> Result<&'static Package> {
    let names = || PACKAGES.iter().map(|package| package.name);
    PACKAGES.iter().find(|package| package.name == name).ok_or_else(|| match crate::data::spec(name) {
        Ok(spec) => usage!("{name} is not downloaded: {}", spec.origin),
        Err(_) => usage!(
            "no data set is called \"{name}\"{}; {} can be downloaded",
            suggest(name, names()),
            names().collect::<Vec<_>>().join(", ")
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_whole() {
        for package in PACKAGES {
            assert!(crate::data::spec(package.name).is_ok(), "{} cannot be loaded", package.name);
            assert!(package.site.starts_with("http") && package.site.ends_with('/'), "{}", package.name);
            for file in package.files {
                assert!(
                    file.md5.len() == 32 && file.md5.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
                    "{}",
                    file.name
                );
                assert!(file.bytes > 4000, "{}", file.name);
            }
        }
        let say = |name: &str| package(name).unwrap_err().to_string();
        assert!(say("cifar").contains("did you mean \"cifar10\"?"), "{}", say("cifar"));
        assert!(say("fashion-mnist-7k").contains("part of the program"));
    }
}
