//! Whole evaluations: restarts, what a watch hears of them, and transfer.

use crate::support::devices::same_bits;
use crate::{SIDE, cpu, network, row};
use caltrop::attack::{Attack, Noise, Targets, Victim};
use caltrop::autodiff::Lens;
use caltrop::data::Images;
use caltrop::device::Device;
use caltrop::drive::{Member, PassOn, Question, Radius, Seen, Silent, Watch, evaluate};
use caltrop::nn::Model;
use caltrop::ops::loss::predictions;
use caltrop::ops::pixel::Ball;
use caltrop::tensor::{Array, Tensor};
use std::sync::Mutex;

/// Forty images, whose labels no network chose.
fn forty() -> Images {
    let pixels: Vec<u8> = (0..40 * SIDE * SIDE * 2).map(|i| (i * 7919 % 256) as u8).collect();
    let labels = (0..40).map(|i| i % 5).collect();
    Images { channels: 2, height: SIDE, width: SIDE, classes: 5, pixels, labels }
}

/// Those images with the labels that `model` gives them.
fn as_seen_by(model: &Model, images: Images) -> Images {
    let pixels = images.batch(0..images.len()).unwrap().images;
    let all = Tensor::from_slice(model.device(), [images.len(), SIDE, SIDE, 2], &pixels);
    let classes = predictions(&Seen { model }.logits(&all, Lens::default()).unwrap()).unwrap().to_vec();
    Images { labels: classes.into_iter().map(|class| class as u16).collect(), ..images }
}

/// What restarts are, one image at a time: runs with draws of their own until one breaks it.
fn restarted(model: &Model, images: &Images, member: (u64, Attack), ball: Ball, restarts: u64) -> Vec<(Vec<f32>, bool)> {
    let one = |id: usize| {
        let batch = images.gather(&[id]).unwrap();
        let clean = Tensor::from_slice(model.device(), [1, SIDE, SIDE, 2], &batch.images);
        let labels = Array::from_slice(model.device(), [1], &batch.labels);
        let targets = Targets { images: &clean, labels: &labels, ids: &batch.ids };
        let mut last = (Vec::new(), true);
        for restart in 0..restarts {
            let noise = Noise { member: member.0, restart, ..Noise::new(4, 0) };
            let made = member.1.perturb(&Seen { model }, &targets, Lens::default(), ball, &noise).unwrap();
            let class = predictions(&Seen { model }.logits(&made, Lens::default()).unwrap()).unwrap().to_vec()[0];
            last = (made.to_vec(), class as i32 == batch.labels[0]);
            if !last.1 {
                break;
            }
        }
        last
    };
    (0..images.len()).map(one).collect()
}

#[test]
fn a_restart_attacks_what_is_left_and_draws_its_own_noise() {
    let device = Device::cpu(Some(2)).unwrap();
    let mut later = 0;
    for steps in [0, 2] {
        let model = network(&device, steps, 5);
        let images = as_seen_by(&model, forty());
        for (word, radius) in [
            ("noise", Radius::linf(40.0)),
            ("rfgsm", Radius::linf(2.0)),
            ("pgd2", Radius::linf(2.0)),
            ("pgd2", Radius::l2(0.1)),
            ("sa-pgd2", Radius::linf(2.0)),
            ("apgd-t2", Radius::l2(0.1)),
            ("fab-t2", Radius::linf(2.0)),
            ("square8", Radius::linf(4.0)),
        ] {
            let attack = Attack::parse(word, None).unwrap();
            let members = vec![Member { attack, lens: Lens::default() }];
            let question = Question { radius, restarts: 3, ..Question::new(&images, 40, members, 0.0, 4) };
            let answer = evaluate(&model, &question, &Silent).unwrap();
            let [once, thrice] = [1, 3].map(|restarts| restarted(&model, &images, (0, attack), radius.ball(), restarts));
            let size = SIDE * SIDE * 2;
            for (id, (made, robust)) in thrice.iter().enumerate() {
                let what = format!("{question}, T = {steps}, image {id}");
                same_bits(&what, &answer.adversarial[id * size..(id + 1) * size], made);
                assert_eq!(answer.survived[id], *robust, "{what}");
            }
            later += once.iter().zip(&thrice).filter(|(once, thrice)| once.1 && !thrice.1).count();
            assert_eq!(answer.members[0].kills, thrice.iter().filter(|image| !image.1).count());
        }
    }
    assert!(later > 4, "restarts broke {later} images in all: nothing was tested");
}

/// With restarts as without, an image survives all members or none, and survivors alone give the same accuracy.
#[test]
fn members_with_restarts_pass_on_survivors() {
    let model = network(&cpu(), 2, 5);
    let images = as_seen_by(&model, forty());
    let lens = Lens::default();
    let attacks = [Attack::Rfgsm, Attack::Pgd { iterations: 2 }];
    let ask = |pass_on| {
        let members = attacks.iter().map(|&attack| Member { attack, lens }).collect();
        let question = Question { restarts: 2, pass_on, ..Question::new(&images, 40, members, 2.0, 4) };
        evaluate(&model, &question, &Silent).unwrap()
    };
    let (all, survivors) = (ask(PassOn::All), ask(PassOn::Survivors));
    let alone = |member| restarted(&model, &images, member, Ball::linf(2.0 / 255.0), 2);
    let (first, second) = (alone((0, attacks[0])), alone((1, attacks[1])));
    let want: Vec<bool> = first.iter().zip(&second).map(|(a, b)| a.1 && b.1).collect();
    assert!(want.contains(&true) && want.contains(&false));
    assert_eq!((&all.survived, &survivors.survived), (&want, &want));
    let right = |of: &[(Vec<f32>, bool)]| 2.5 * of.iter().filter(|image| image.1).count() as f64;
    assert_eq!((all.members[0].accuracy, all.members[1].accuracy), (right(&first), right(&second)));
    assert_eq!(survivors.members[1].accuracy, survivors.robust);
    same_bits("survivors", &all.adversarial, &survivors.adversarial);
}

/// Hears how far a batch is.
#[derive(Default)]
struct Heard(Mutex<(Vec<f64>, Vec<String>, u64, u64)>);

impl Watch for Heard {
    fn begin(&self, _: &str, total: u64) {
        self.0.lock().unwrap().3 = total;
    }
    fn advance(&self, units: u64) {
        self.0.lock().unwrap().2 += units;
    }
    fn within(&self, share: f64, units: u64) {
        let mut heard = self.0.lock().unwrap();
        let at = heard.2 as f64 + share * units as f64;
        heard.0.push(at);
    }
    fn remark(&self, text: &str) {
        self.0.lock().unwrap().1.push(text.to_string());
    }
    fn end(&self, _: &str) {}
}

#[test]
fn a_long_attack_tells_how_far_it_is() {
    let model = network(&cpu(), 0, 5);
    let images = as_seen_by(&model, forty());
    let members = vec![Member { attack: Attack::Square { queries: 100 }, lens: Lens::default() }];
    let heard = Heard::default();
    let question = Question { restarts: 2, ..Question::new(&images, 40, members, 6.0, 4) };
    let answer = evaluate(&model, &question, &heard).unwrap();
    assert!(answer.robust > 0.0 && answer.robust < 100.0, "{} % robust", answer.robust);
    let (at, said, done, total) = heard.0.into_inner().unwrap();
    assert_eq!((done, total), (80, 80));
    // A query each, of two batches.
    assert_eq!(at.len(), 2 * 101);
    assert!(at.windows(2).all(|pair| pair[0] < pair[1]) && at[100] == 40.0 && at[201] == 80.0, "{at:?}");
    let lines: Vec<&String> = said.iter().filter(|line| line.contains("iteration")).collect();
    assert_eq!(lines[0], "run 1 of 2, 40 survive; iteration 1 of 101 on 40 images");
    let last = lines[lines.len() - 1];
    assert!(last.starts_with("run 2 of 2, ") && last.contains("iteration 101 of 101 on ") && !last.contains("on 40 images"), "{last}");
}

#[test]
fn transfer_makes_images_on_the_source_and_judges_them_on_the_network() {
    let device = cpu();
    let (ann, snn) = (network(&device, 0, 5), network(&device, 3, 5));
    let images = forty();
    let attack = Attack::Pgd { iterations: 2 };
    let lens = Lens::default();
    for pass_on in [PassOn::All, PassOn::Survivors] {
        let members = vec![Member { attack, lens }];
        let question = Question { source: Some(&ann), draws: 2, pass_on, ..Question::new(&images, 40, members, 30.0, 4) };
        let answer = evaluate(&snn, &question, &Silent).unwrap();
        let batch = images.batch(0..40).unwrap();
        let clean = Tensor::from_slice(&device, [40, SIDE, SIDE, 2], &batch.images);
        let labels = Array::from_slice(&device, [40], &batch.labels);
        let targets = Targets { images: &clean, labels: &labels, ids: &batch.ids };
        let made = attack.perturb(&Seen { model: &ann }, &targets, lens, Ball::linf(30.0 / 255.0), &Noise::new(4, 0)).unwrap();
        let right = |images: &Tensor| -> Vec<bool> {
            let classes = predictions(&Seen { model: &snn }.logits(images, lens).unwrap()).unwrap().to_vec();
            classes.iter().zip(&batch.labels).map(|(&class, &label)| class as i32 == label).collect()
        };
        let (clean_right, right) = (right(&clean), right(&made));
        assert!(clean_right.contains(&true));
        let survived: Vec<bool> = clean_right.iter().zip(&right).map(|(a, b)| *a && *b).collect();
        assert_eq!(answer.survived, survived);
        let size = SIDE * SIDE * 2;
        for n in (0..40).filter(|&n| clean_right[n]) {
            same_bits("transfer", &answer.adversarial[n * size..(n + 1) * size], &row(&made, n));
        }
        let other = network(&device, 0, 4);
        let error = evaluate(&snn, &Question { source: Some(&other), ..question }, &Silent).err().expect("other classes").to_string();
        assert!(error.contains("4 classes") && error.contains("5 classes") && !error.contains('\n'), "{error}");
    }
}
