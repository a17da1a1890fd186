//! What is known of every image of an evaluation: the score sheet.

use super::store::Page;

/// What is known of one image under one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Still right after so many runs of the member; after none: not attacked yet, or never, because it was wrong before.
    Held(usize),
    /// Wrong.
    Broken,
}

/// The sheet: members by images.
pub struct Board {
    /// H·W·C.
    size: usize,
    clean: Vec<bool>,
    /// Runs of each member.
    runs: usize,
    /// `[member][image]`.
    verdicts: Vec<Vec<Verdict>>,
    /// `[N,H,W,C]`: of each image the first that broke it, else the last; clean where that is wrong already.
    adversarial: Vec<f32>,
}

impl Board {
    /// Before the first of `runs` of each of `members`: which images are right when clean, and the images `[N,H,W,C]`.
    pub fn new(clean: Vec<bool>, images: Vec<f32>, members: usize, runs: usize) -> Board {
        let count = clean.len();
        let verdicts = vec![vec![Verdict::Held(0); count]; members];
        Board { size: images.len() / count.max(1), clean, runs, verdicts, adversarial: images }
    }

    /// The images that these members still have to attack in their run `run`: those right when clean that some of them left right in
    /// the runs before and has not attacked in this, and, where `survivors` alone are wanted, that no earlier member broke.
    pub fn waiting(&self, members: std::ops::Range<usize>, run: usize, survivors: bool) -> Vec<usize> {
        let open = |&image: &usize| {
            let unseen = members.clone().any(|member| self.verdicts[member][image] == Verdict::Held(run));
            self.clean[image] && unseen && !(survivors && self.first(image).is_some())
        };
        (0..self.clean.len()).filter(open).collect()
    }

    /// Enter what a run of a member did to the images at `places`, and return what a store must keep of it.
    pub fn enter(&mut self, (member, run): (usize, usize), places: &[usize], robust: &[bool], adversarial: &[f32]) -> Page {
        let last = member + 1 == self.verdicts.len() && run + 1 == self.runs;
        let (places, robust) = (places.to_vec(), robust.to_vec());
        let mut page = Page { member, run, places, robust, kept: Vec::new(), adversarial: Vec::new(), seconds: 0.0 };
        for ((&place, &robust), image) in page.places.iter().zip(&page.robust).zip(adversarial.chunks_exact(self.size.max(1))) {
            let untouched = self.first(place).is_none_or(|first| first == member);
            if untouched && (last || !robust) {
                page.kept.push(place);
                page.adversarial.extend_from_slice(image);
            }
        }
        self.take(&page);
        page
    }

    /// Enter a page, new or from a store.
    pub fn take(&mut self, page: &Page) {
        for (&place, &robust) in page.places.iter().zip(&page.robust) {
            self.verdicts[page.member][place] = if robust { Verdict::Held(page.run + 1) } else { Verdict::Broken };
        }
        for (&place, image) in page.kept.iter().zip(page.adversarial.chunks_exact(self.size.max(1))) {
            self.adversarial[place * self.size..(place + 1) * self.size].copy_from_slice(image);
        }
    }

    /// The images right when clean that no member broke.
    pub fn survivors(&self) -> usize {
        (0..self.clean.len()).filter(|&image| self.clean[image] && self.first(image).is_none()).count()
    }

    /// The images right when clean.
    pub fn clean(&self) -> &[bool] {
        &self.clean
    }

    /// Of each member: the images still right under it, and those that it alone or before all others broke. Where members pass
    /// on survivors, an image that an earlier one broke counts as broken.
    pub fn tally(&self, member: usize) -> (usize, usize) {
        let right = |(image, verdict): (usize, &Verdict)| {
            let earlier = *verdict == Verdict::Held(0) && self.first(image).is_some_and(|first| first < member);
            self.clean[image] && *verdict != Verdict::Broken && !earlier
        };
        let verdicts = &self.verdicts[member];
        (
            verdicts.iter().enumerate().filter(|&(image, verdict)| right((image, verdict))).count(),
            (0..self.clean.len()).filter(|&image| self.first(image) == Some(member)).count(),
        )
    }

    /// The member that broke this image first.
    pub fn first(&self, image: usize) -> Option<usize> {
        (0..self.verdicts.len()).find(|&member| self.verdicts[member][image] == Verdict::Broken)
    }

    /// The adversarial images, `[N,H,W,C]`.
    pub fn adversarial(&self) -> &[f32] {
        &self.adversarial
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Board {
        Board::new(vec![true, true, false, true], vec![0.0; 8], 2, 1)
    }

    #[test]
    fn the_first_breaker_s_image_stays_and_the_last_member_s_survivors_are_kept() {
        let mut board = board();
        assert_eq!(board.waiting(0..1, 0, false), [0, 1, 3]);
        board.enter((0, 0), &[0, 1, 3], &[false, true, true], &[1.0, 1.0, 2.0, 2.0, 3.0, 3.0]);
        assert_eq!(board.waiting(1..2, 0, true), [1, 3]);
        assert_eq!(board.waiting(1..2, 0, false), [0, 1, 3]);
        let page = board.enter((1, 0), &[0, 1, 3], &[false, false, true], &[4.0, 4.0, 5.0, 5.0, 6.0, 6.0]);
        assert_eq!(page.kept, [1, 3]);
        assert_eq!(board.adversarial(), [1.0, 1.0, 5.0, 5.0, 0.0, 0.0, 6.0, 6.0]);
        assert_eq!((board.tally(0), board.tally(1), board.survivors()), ((2, 1), (1, 1), 1));
    }

    #[test]
    fn pages_bring_a_board_to_where_it_was() {
        let (mut one, mut two) = (board(), board());
        let pages = [
            one.enter((0, 0), &[0, 1, 3], &[false, true, true], &[1.0; 6]),
            one.enter((1, 0), &[1, 3], &[true, false], &[2.0, 2.0, 3.0, 3.0]),
        ];
        pages.iter().for_each(|page| two.take(page));
        let firsts = |board: &Board| (0..4).map(|image| board.first(image)).collect::<Vec<_>>();
        assert_eq!((one.adversarial(), firsts(&one), one.tally(1)), (two.adversarial(), firsts(&two), two.tally(1)));
        assert!(two.waiting(1..2, 0, true).is_empty() && two.waiting(1..2, 0, false) == [0]);
        assert_eq!(two.tally(1), (1, 1), "what the first broke is not right under the second");
    }

    #[test]
    fn a_run_goes_to_what_the_last_left_right() {
        let mut board = Board::new(vec![true, true, false, true], vec![0.0; 4], 1, 3);
        let mut again = Board::new(vec![true, true, false, true], vec![0.0; 4], 1, 3);
        assert_eq!((board.waiting(0..1, 0, false), board.waiting(0..1, 1, false)), (vec![0, 1, 3], Vec::new()));
        let mut pages = vec![board.enter((0, 0), &[0, 1, 3], &[true, false, true], &[1.0, 2.0, 3.0])];
        assert!(board.waiting(0..1, 0, false).is_empty());
        assert_eq!(board.waiting(0..1, 1, false), [0, 3]);
        pages.push(board.enter((0, 1), &[0, 3], &[false, true], &[4.0, 5.0]));
        pages.push(board.enter((0, 2), &[3], &[true], &[6.0]));
        assert_eq!(pages.iter().map(|page| page.kept.clone()).collect::<Vec<_>>(), [vec![1], vec![0], vec![3]]);
        assert_eq!((board.tally(0), board.adversarial()), ((1, 2), &[4.0, 2.0, 0.0, 6.0][..]));
        pages.iter().take(2).for_each(|page| again.take(page));
        assert_eq!((again.waiting(0..1, 1, false), again.waiting(0..1, 2, false)), (Vec::new(), vec![3]));
    }
}
