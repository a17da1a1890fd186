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
}

const QUESTION: &str = "question.txt";

impl Store {
    /// The store in `folder` for the evaluation that `question` describes, and the pages in it if it is to `resume`. Otherwise,
    /// and where another question was asked, old pages are removed. The folder is made with the first page.
    ///
    /// Errors: another process writes there, pages that cannot be read or removed.
    pub fn open(folder: &Path, question: &str, resume: bool) -> Result<(Store, Vec<Page>)> {
        let mut store = Store { folder: folder.to_path_buf(), question: question.to_string(), next: 0, claimed: None };
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
            pages.push(read(&store.page(store.next))?);
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
        self.next += 1;
        Ok(())
    }

    /// Remove it: the evaluation is done. Errors: the disk.
    pub fn clear(&mut self) -> Result<()> {
        (self.next, self.claimed) = (0, None);
        file::remove_folder(&self.folder)
    }
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
