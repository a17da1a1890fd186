//! The inputs under every output pixel, sorted by key.

use super::super::Extents;
use super::active::{Active, Codes, KEYS, Key};
use crate::tensor::planes;

/// Rows that the kernel adds in one go: keys are put in classes by how many rows they have beyond whole eights.
pub const CLASSES: usize = 8;

/// A power of two above the number of keys, so that masked keys need no check of bounds.
const TABLE: usize = KEYS.next_power_of_two();

/// The lists of one image; filled again and again, its memory stays. A row is that of the packed weights, tap · C_in + channel.
#[derive(Default)]
pub struct Lists {
    rows: Vec<u16>,
    groups: Vec<Group>,
    heads: Vec<Head>,
    planes: usize,
}

/// The rows of one key: 1 to 8 (its class) and `eights` times eight more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Group {
    /// The key.
    pub key: Key,
    /// Whole eights.
    pub eights: u16,
}

/// Where the list of a pixel and plane lies.
struct Head {
    row: u32,
    group: u32,
    classes: [u16; CLASSES],
}

/// The list of one pixel and plane.
#[derive(Clone, Copy)]
pub struct List<'a> {
    /// The groups of all classes: those with eight rows beyond whole eights first, those with one last.
    pub groups: &'a [Group],
    /// Groups a class, that of one row first.
    pub classes: &'a [u16; CLASSES],
    /// The rows of all groups, one group after the other.
    pub rows: &'a [u16],
}

/// What making lists needs.
pub struct Scratch {
    /// What is not silent in the image.
    pub active: Active<u32>,
    /// Rows a key; then where its next row goes.
    counts: Box<[u32; TABLE]>,
    /// The keys that occur.
    used: Box<[Key; TABLE]>,
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch { active: Active::default(), counts: Box::new([0; TABLE]), used: Box::new([0; TABLE]) }
    }
}

impl Lists {
    /// Fill with the lists of image `image`.
    pub fn fill(&mut self, g: &Extents, codes: &Codes, image: usize, scratch: &mut Scratch) {
        scratch.active.find(g, codes, image);
        self.planes = planes(g.frames);
        self.rows.clear();
        self.groups.clear();
        self.heads.clear();
        for oh in 0..g.out_height {
            for ow in 0..g.out_width {
                (0..self.planes).for_each(|plane| self.add(g, scratch, plane, oh, ow));
            }
        }
    }

    /// The list of one output pixel and plane.
    pub fn at(&self, pixel: usize, plane: usize) -> List<'_> {
        let at = pixel * self.planes + plane;
        let head = &self.heads[at];
        let (rows, groups) =
            self.heads.get(at + 1).map_or((self.rows.len(), self.groups.len()), |next| (next.row as usize, next.group as usize));
        List { groups: &self.groups[head.group as usize..groups], classes: &head.classes, rows: &self.rows[head.row as usize..rows] }
    }

    fn add(&mut self, g: &Extents, scratch: &mut Scratch, plane: usize, oh: usize, ow: usize) {
        let Scratch { active, counts, used } = scratch;
        let (counts, used): (&mut [u32; TABLE], &mut [Key; TABLE]) = (counts, used);
        let under = active.under(g, plane, oh, ow);
        let mut keys = 0;
        under.for_each(|(stretch, _)| keys = count(stretch, counts, used, keys));
        let total = self.place(counts, &used[..keys]);
        let at = self.rows.len();
        self.rows.resize(at + total, 0);
        under.for_each(|(stretch, shift)| sort(stretch, shift, counts, &mut self.rows[at..]));
        used[..keys].iter().for_each(|&key| counts[usize::from(key) % TABLE] = 0);
    }

    /// From `counts` of keys to their places, class by class; the groups and the head on the way. Returns the number of rows.
    fn place(&mut self, counts: &mut [u32; TABLE], used: &[Key]) -> usize {
        let class = |count: u32| (count as usize - 1) % CLASSES;
        let (mut groups, mut rows) = ([0u32; CLASSES], [0u32; CLASSES]);
        for &key in used {
            let count = counts[usize::from(key) % TABLE];
            groups[class(count)] += 1;
            rows[class(count)] += count;
        }
        self.heads.push(Head { row: self.rows.len() as u32, group: self.groups.len() as u32, classes: groups.map(|count| count as u16) });
        let at = self.groups.len();
        self.groups.resize(at + used.len(), Group::default());
        let (mut next_group, mut next_row) = (at as u32, 0);
        for class in (0..CLASSES).rev() {
            (groups[class], next_group) = (next_group, next_group + groups[class]);
            (rows[class], next_row) = (next_row, next_row + rows[class]);
        }
        for &key in used {
            let count = &mut counts[usize::from(key) % TABLE];
            let class = class(*count);
            self.groups[groups[class] as usize] = Group { key, eights: ((*count - 1) / CLASSES as u32) as u16 };
            groups[class] += 1;
            (*count, rows[class]) = (rows[class], rows[class] + *count);
        }
        next_row as usize
    }
}

/// Counts the entries of each key. A key met first is put in `used`, where `keys` lie already; returns how many do then.
fn count(entries: &[u32], counts: &mut [u32; TABLE], used: &mut [Key; TABLE], mut keys: usize) -> usize {
    for &entry in entries {
        let key = (entry >> 16) as Key;
        let count = &mut counts[usize::from(key) % TABLE];
        // Written always, kept where it is new: no branch to guess wrong.
        used[keys % TABLE] = key;
        keys += usize::from(*count == 0);
        *count += 1;
    }
    keys
}

/// Writes the row of every entry where its key's next goes.
fn sort(entries: &[u32], shift: u16, next: &mut [u32; TABLE], rows: &mut [u16]) {
    for &entry in entries {
        let next = &mut next[(entry >> 16) as usize % TABLE];
        rows[*next as usize] = (entry as u16).wrapping_add(shift);
        *next += 1;
    }
}
