//! An evaluation on disk, so that one that was killed goes on.
//!
//! A folder with the question as text and a page for every batch that a run of a member is done with. A page is written whole or not
//! at all, and holds each adversarial image once at most, so the folder never grows beyond the images themselves.

use crate::base::{Error, Result, ensure, fail, file};
use crate::checkpoint::{Kind, TensorFile, save_tensors};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// What one run of a member did to some images.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The member.
    pub member: usize,
    /// Which of its runs.
    pub run: usize,
    /// The images, by index.
    pub places: Vec<usize>,
    /// `[places]`: whether each is still right.
    pub robust: Vec<bool>,
    /// The images whose adversarial one is kept.
    pub kept: Vec<usize>,
    /// `[kept,H,W,C]`.
    pub adversarial: Vec<f32>,
    /// Wall time.
    pub seconds: f32,
}

/// The pages of one evaluation.
pub struct Store {
    folder: PathBuf,
    question: String,
    next: usize,
    /// Held while this process writes here; None before there is a folder.
    claimed: Option<File>,
    /// Whether the last page could not be written.
    full: bool,
}

const QUESTION: &str = "question.txt";

impl Page {
    /// Whether it can be of an evaluation by `members` of so many `runs`, of `count` images of `size` numbers.
    pub fn fits(&self, members: usize, runs: usize, [count, size]: [usize; 2]) -> bool {
        let below = |places: &[usize]| places.iter().all(|&place| place < count);
        let whole = self.places.len() == self.robust.len() && Some(self.adversarial.len()) == self.kept.len().checked_mul(size);
        self.member < members && self.run < runs && whole && below(&self.places) && below(&self.kept)
    }
}

/// Remove every store in the folder `parent`, and `parent` itself if there is nothing else in it. Errors: the disk.
pub fn clear_all(parent: &Path) -> Result<()> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|folder| folder.join(QUESTION).is_file()).try_for_each(|folder| remove(&folder))?;
    let _ = fs::remove_dir(parent); // unless something else is there
    Ok(())
}

impl Store {
    /// The store in `folder` for the evaluation that `question` describes, and the pages in it if it is to `resume`. Otherwise,
    /// and where another question was asked, old pages are removed. The folder is made with the first page.
    ///
    /// Errors: another process writes there, pages that cannot be removed, that are damaged or are not what `fits` such an
    /// evaluation.
    pub fn open(folder: &Path, question: &str, resume: bool, fits: impl Fn(&Page) -> bool) -> Result<(Store, Vec<Page>)> {
        ensure!(!folder.is_file(), "cannot keep an evaluation in {}: it is a file; move it away", folder.display());
        let mut store = Store { folder: folder.to_path_buf(), question: question.to_string(), next: 0, claimed: None, full: false };
        let Ok(mut file) = File::open(folder.join(QUESTION)) else {
            store.clear()?;
            return Ok((store, Vec::new()));
        };
        store.claim(&file)?;
        let mut before = String::new();
        let same = file.read_to_string(&mut before).is_ok() && before == question;
        if !(resume && same) {
            drop(file);
            store.clear()?;
            return Ok((store, Vec::new()));
        }
        file::sweep(folder);
        let mut pages = Vec::new();
        while store.page(store.next).exists() {
            let path = store.page(store.next);
            let cure = || format!("remove {} to attack anew", folder.display());
            let page = read(&path).map_err(|error| Error::new(error.kind(), format!("{error}; {}", cure())))?;
            ensure!(fits(&page), "{}: no page of this evaluation; {}", path.display(), cure());
            pages.push(page);
            store.next += 1;
        }
        store.claimed = Some(file);
        Ok((store, pages))
    }

    fn claim(&self, question: &File) -> Result<()> {
        ensure!(
            file::claim(question),
            "another evaluation writes to {}; wait for it, or give this one another --seed",
            self.folder.display()
        );
        Ok(())
    }

    fn page(&self, index: usize) -> PathBuf {
        self.folder.join(format!("{index:06}.safetensors"))
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether there is anything to go on from.
    pub fn is_begun(&self) -> bool {
        self.next > 0
    }

    /// Whether the disk refused the last page.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Make the folder. Errors: the disk; another process was faster.
    fn begin(&mut self) -> Result<()> {
        let path = self.folder.join(QUESTION);
        file::folder(&self.folder)?;
        file::write(&path, self.question.as_bytes()).map_err(|error| {
            let _ = fs::remove_dir(&self.folder); // unless somebody else has written there
            full(&error)
        })?;
        let question = File::open(&path).map_err(|cause| Error::io("cannot read", &path, &cause))?;
        self.claim(&question)?;
        self.claimed = Some(question);
        Ok(())
    }

    /// Write a page. Errors: the disk; then the pages before are what they were, and where there are none nothing is left.
    pub fn append(&mut self, page: &Page) -> Result<()> {
        self.full = true; // until it is written
        if self.claimed.is_none() {
            self.begin()?;
        }
        let integers = |values: &[usize]| Kind::Integers(values.iter().map(|&value| value as i64).collect());
        let size = page.adversarial.len() / page.kept.len().max(1);
        let tensors = [
            ("member".into(), vec![1], integers(&[page.member])),
            ("run".into(), vec![1], integers(&[page.run])),
            ("places".into(), vec![page.places.len()], integers(&page.places)),
            ("robust".into(), vec![page.robust.len()], Kind::Integers(page.robust.iter().map(|&robust| i64::from(robust)).collect())),
            ("kept".into(), vec![page.kept.len()], integers(&page.kept)),
            ("adversarial".into(), vec![page.kept.len(), size], Kind::Floats(page.adversarial.clone())),
            ("seconds".into(), vec![1], Kind::Floats(vec![page.seconds])),
        ];
        if let Err(error) = save_tensors(&self.page(self.next), &tensors) {
            if !self.is_begun() {
                let _ = self.clear(); // the error that matters is that of the page
            }
            return Err(full(&error));
        }
        (self.next, self.full) = (self.next + 1, false);
        Ok(())
    }

    /// Remove it: the evaluation is done. Errors: the disk.
    pub fn clear(&mut self) -> Result<()> {
        (self.next, self.claimed) = (0, None);
        remove(&self.folder)
    }
}

/// Remove the store in `folder`, and the folder if nothing else is in it. The question goes last: pages never lie there without
/// it, as if they were another's. Errors: the disk.
fn remove(folder: &Path) -> Result<()> {
    file::sweep(folder);
    let numbered = |path: &Path| {
        let digits = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        digits.len() >= 6 && digits.bytes().all(|digit| digit.is_ascii_digit()) && path.extension().is_some_and(|end| end == "safetensors")
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    for path in entries.filter(|path| numbered(path)).chain([folder.join(QUESTION)]) {
        match fs::remove_file(&path) {
            Err(cause) if path.exists() => return Err(Error::io("cannot remove", &path, &cause)),
            _ => {}
        }
    }
    let _ = fs::remove_dir(folder); // unless something else is there
    Ok(())
}

/// What to do where a page, or the question, cannot be written.
fn full(error: &Error) -> Error {
    Error::new(error.kind(), format!("{error}; make room there"))
}

fn read(path: &Path) -> Result<Page> {
    let file = TensorFile::open(path)?;
    let count = |value: i64| usize::try_from(value).map_err(|_| fail!("{}: the index {value}", path.display()));
    let counts = |name: &str| file.integers(name)?.into_iter().map(count).collect::<Result<Vec<usize>>>();
    let one = |name: &str| counts(name)?.first().copied().ok_or_else(|| fail!("{}: no {name}", path.display()));
    let robust = file.integers("robust")?.into_iter().map(|robust| robust != 0).collect();
    let (member, run, places, kept) = (one("member")?, one("run")?, counts("places")?, counts("kept")?);
    let seconds = file.floats("seconds")?.iter().sum();
    Ok(Page { member, run, places, robust, kept, adversarial: file.floats("adversarial")?, seconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        Page { member: 1, run: 2, places: vec![0, 4], robust: vec![true, false], kept: vec![4], adversarial: vec![0.5; 3], seconds: 1.0 }
    }

    #[test]
    fn a_page_that_cannot_be_of_this_evaluation_is_known() {
        let fits = |page: &Page| page.fits(2, 3, [5, 3]);
        assert!(fits(&page()));
        for (damage, page) in [
            ("member", Page { member: 2, ..page() }),
            ("run", Page { run: 3, ..page() }),
            ("places", Page { places: vec![0, 5], ..page() }),
            ("more places", Page { places: vec![0, 1, 4], ..page() }),
            ("robust", Page { robust: vec![true], ..page() }),
            ("kept", Page { kept: vec![5], ..page() }),
            ("adversarial", Page { adversarial: vec![0.5; 4], ..page() }),
        ] {
            assert!(!fits(&page), "{damage}");
        }
    }

    #[test]
    fn a_damaged_page_is_an_error_with_a_cure_and_only_a_store_s_own_files_go() {
        let parent = std::env::temp_dir().join(format!("caltrop-store-{}", std::process::id()));
        let folder = parent.join("one");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("notes.txt"), "a").unwrap();
        let open = |resume| Store::open(&folder, "why", resume, |page| page.fits(2, 3, [5, 3]));
        let mut store = open(false).unwrap().0;
        store.append(&page()).unwrap();
        drop(store);
        assert_eq!(open(true).unwrap().1, [page()]);
        let damaged = [
            Box::new(|| open(true).unwrap().0.append(&Page { member: 9, ..page() }).unwrap()) as Box<dyn Fn()>,
            Box::new(|| fs::write(folder.join("000001.safetensors"), "torn").unwrap()),
        ];
        for damage in damaged {
            damage();
            let said = open(true).err().unwrap().to_string();
            assert!(
                said.contains("000001.safetensors") && said.ends_with(&format!("remove {} to attack anew", folder.display())),
                "{said}"
            );
        }
        fs::write(parent.join("other.txt"), "b").unwrap();
        clear_all(&parent).unwrap();
        let left = |folder: &Path| fs::read_dir(folder).unwrap().flatten().map(|entry| entry.file_name()).collect::<Vec<_>>();
        assert_eq!((left(&folder), left(&parent).len()), (vec!["notes.txt".into()], 2));
        fs::remove_file(parent.join("other.txt")).unwrap();
        fs::remove_file(folder.join("notes.txt")).unwrap();
        fs::write(folder.join(QUESTION), "why").unwrap();
        clear_all(&parent).unwrap();
        assert!(!parent.exists());
        clear_all(&parent).unwrap();
    }
}
