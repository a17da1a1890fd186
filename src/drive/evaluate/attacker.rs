//! The members of an attack on batch after batch: made call by call, or, where the device can, recorded and replayed.

use super::Member;
use super::counted::{Counted, Counting, Told};
use crate::attack::{Attack, Expected, Noise, Targets, fgsm_many};
use crate::base::Result;
use crate::device::{Recording, Workspace};
use crate::drive::inputs::Inputs;
use crate::drive::seen::victim;
use crate::nn::Model;
use crate::ops::pixel::Ball;
use crate::tensor::Tensor;
use std::ops::Range;

/// Attacks one network by members.
///
/// Attacks in which the host takes part (`Attack::is_recordable`) go call by call throughout. Of the others the first batch
/// goes call by call, the attack on the second is recorded, and batches of the same size replay it. All recordings share one
/// workspace.
pub struct Attacker<'a> {
    task: Task<'a>,
    groups: Vec<Group>,
    workspace: Option<Workspace>,
}

/// Members that are made together: FGSM's all, since they share forwards; else one.
struct Group {
    members: Vec<Member>,
    /// The first of them.
    first: usize,
    /// The size of the last batch that went call by call.
    warm: Option<usize>,
    recorded: Option<Recorded>,
}

/// A recorded attack: what it reads and what it writes.
struct Recorded {
    recording: Recording,
    inputs: Inputs,
    adversarial: Vec<Tensor>,
}

impl<'a> Attacker<'a> {
    /// For these members, FGSM's together unless each is to be `alone`; in `ball` around each image.
    pub fn new(model: &'a Model, members: &[Member], alone: bool, ball: Ball, noise: Noise) -> Attacker<'a> {
        let together = |one: &Member, other: &Member| !alone && one.attack == Attack::Fgsm && other.attack == Attack::Fgsm;
        let mut groups: Vec<Group> = Vec::new();
        for members in members.chunk_by(together) {
            let first = groups.last().map_or(0, |group| group.first + group.members.len());
            groups.push(Group { members: members.to_vec(), first, warm: None, recorded: None });
        }
        let workspace = model.device().workspace().filter(|_| members.iter().any(|member| member.attack.is_recordable()));
        Attacker { task: Task { model, ball, noise, draws: 1 }, groups, workspace }
    }

    /// With gradients that are means over `draws` forwards.
    #[must_use]
    pub fn expecting(mut self, draws: usize) -> Attacker<'a> {
        self.task.draws = draws;
        self
    }

    /// The members that are made together, in order.
    pub fn groups(&self) -> Vec<Range<usize>> {
        self.groups.iter().map(|group| group.first..group.first + group.members.len()).collect()
    }

    /// The adversarial images of each member of one of the [`Attacker::groups`], in its run `run`. `told` hears of
    /// every iteration of what goes call by call.
    pub fn perturb(&mut self, group: &Range<usize>, run: usize, targets: &Targets, told: Told) -> Result<Vec<Tensor>> {
        let Attacker { task, groups, workspace } = self;
        let task = Task { noise: Noise { restart: run as u64, ..task.noise }, ..*task };
        let group = groups.iter_mut().find(|known| known.first == group.start);
        group.map_or_else(|| Ok(Vec::new()), |group| group.perturb(task, workspace.as_ref(), targets, told))
    }

    /// A group has no more batches: drop its recording.
    pub fn finish(&mut self, group: &Range<usize>) {
        self.groups.iter_mut().filter(|known| known.first == group.start).for_each(|group| group.recorded = None);
    }

    /// Drop all recordings and the memory that they share.
    pub fn forget(&mut self) {
        self.groups.iter_mut().for_each(|group| (group.warm, group.recorded) = (None, None));
        if self.workspace.take().is_some() {
            self.workspace = self.task.model.device().workspace();
        }
    }
}

/// What all groups have in common.
#[derive(Clone, Copy)]
struct Task<'a> {
    model: &'a Model,
    ball: Ball,
    noise: Noise,
    draws: usize,
}

impl Task<'_> {
    /// What each of `members`, which are a [`Group`]'s, makes of `targets`, from a `start` that was drawn before; an attack in
    /// which the host takes part draws as it goes.
    fn perturb(&self, targets: &Targets, members: &[Member], start: Option<&Tensor>, told: Told) -> Result<Vec<Tensor>> {
        let Some(&Member { attack, lens }) = members.first() else { return Ok(Vec::new()) };
        let seen = victim(self.model, lens);
        let expected = Expected { victim: &*seen, draws: self.draws };
        // It tells of each of the attack's iterations.
        let counting = if attack.is_white_box() { Counting::Gradients } else { Counting::Logits };
        let victim = Counted::new(&expected, counting, attack.answers(self.model.spec().classes), told);
        if attack == Attack::Fgsm {
            let lenses: Vec<_> = members.iter().map(|member| member.lens).collect();
            return fgsm_many(&victim, targets, &lenses, self.ball);
        }
        let made = match attack.is_recordable() {
            true => attack.perturb_from(&victim, targets, lens, self.ball, start),
            false => attack.perturb(&victim, targets, lens, self.ball, &self.noise),
        };
        Ok(vec![made?])
    }
}

impl Group {
    fn perturb(&mut self, task: Task, workspace: Option<&Workspace>, targets: &Targets, told: Told) -> Result<Vec<Tensor>> {
        let Some(Member { attack, .. }) = self.members.first() else { return Ok(Vec::new()) };
        let task = Task { noise: Noise { member: self.first as u64, ..task.noise }, ..task };
        if !attack.is_recordable() {
            return task.perturb(targets, &self.members, None, told);
        }
        let start = attack.start(targets, task.ball, &task.noise)?;
        let batch = targets.images.shape()[0];
        let fits = self.recorded.as_ref().is_some_and(|recorded| recorded.inputs.batch() == batch);
        let Some(workspace) = workspace.filter(|_| fits || self.warm == Some(batch)) else {
            self.warm = Some(batch);
            return task.perturb(targets, &self.members, start.as_ref(), told);
        };
        if !fits {
            let inputs = Inputs::of(targets, start.as_ref());
            let (adversarial, recording) =
                workspace.record(|| task.perturb(&inputs.targets(targets.ids), &self.members, inputs.start(), &|_| ()))?; // nothing runs yet
            self.recorded = Some(Recorded { recording, inputs, adversarial });
        } else if let Some(recorded) = &mut self.recorded {
            recorded.inputs.overwrite(targets, start.as_ref());
        }
        let Some(recorded) = &self.recorded else { unreachable!("just recorded") };
        recorded.recording.replay();
        Ok(recorded.adversarial.iter().map(Tensor::copied).collect())
    }
}
