//! The members of an attack on batch after batch: made call by call, or, where the device can, recorded and replayed.

use super::inputs::Inputs;
use super::seen::Seen;
use crate::attack::{Attack, Expected, Noise, Targets, fgsm_many};
use crate::autodiff::Lens;
use crate::base::Result;
use crate::device::{Recording, Workspace};
use crate::nn::Model;
use crate::tensor::Tensor;

/// Attacks one network through lenses.
///
/// Attacks in which the host takes part (`Attack::is_recordable`) go call by call throughout. Of the others
/// the first batch goes call by call, the attack on the second is recorded, and batches of the same size replay it. All
/// recordings share one workspace.
pub struct Attacker<'a> {
    model: &'a Model,
    attack: Attack,
    eps: f32,
    noise: Noise,
    draws: usize,
    groups: Vec<Group>,
    workspace: Option<Workspace>,
}

/// Members that are made together: FGSM's all, since they share forwards; else one.
struct Group {
    lenses: Vec<Lens>,
    /// The first of them.
    member: u64,
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
    /// For these members; l-inf radius `eps` in pixels of [0,1].
    pub fn new(model: &'a Model, attack: Attack, lenses: &[Lens], eps: f32, noise: Noise) -> Attacker<'a> {
        let size = if attack == Attack::Fgsm { lenses.len().max(1) } else { 1 };
        let group = |(index, lenses): (usize, &[Lens])| Group {
            lenses: lenses.to_vec(),
            member: (index * size) as u64,
            warm: None,
            recorded: None,
        };
        let groups = lenses.chunks(size).enumerate().map(group).collect();
        let workspace = model.device().workspace().filter(|_| attack.is_recordable());
        Attacker { model, attack, eps, noise, draws: 1, groups, workspace }
    }

    /// With gradients that are means over `draws` forwards.
    #[must_use]
    pub fn expecting(self, draws: usize) -> Attacker<'a> {
        Attacker { draws, ..self }
    }

    /// The adversarial images of each member in turn, made when asked for.
    pub fn members<'b>(&'b mut self, targets: &'b Targets) -> impl Iterator<Item = Result<Tensor>> + use<'a, 'b> {
        let Attacker { model, attack, eps, noise, draws, groups, workspace } = self;
        let task = Task { model, attack: *attack, eps: *eps, noise: *noise, draws: *draws };
        groups.iter_mut().flat_map(move |group| match group.perturb(task, workspace.as_ref(), targets) {
            Ok(all) => all.into_iter().map(Ok).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        })
    }
}

/// What all groups have in common.
#[derive(Clone, Copy)]
struct Task<'a> {
    model: &'a Model,
    attack: Attack,
    eps: f32,
    noise: Noise,
    draws: usize,
}

impl Task<'_> {
    /// Call by call, the host taking part; the first of `lenses` is this member.
    fn perturb_with(&self, targets: &Targets, lenses: &[Lens], member: u64) -> Result<Vec<Tensor>> {
        let (seen, noise) = (Seen { model: self.model }, |index| Noise { member: member + index, ..self.noise });
        let victim = Expected { victim: &seen, draws: self.draws };
        let perturb = |(index, &lens)| self.attack.perturb(&victim, targets, lens, self.eps, &noise(index));
        (0..).zip(lenses).map(perturb).collect()
    }

    fn perturb(&self, targets: &Targets, lenses: &[Lens], start: Option<&Tensor>) -> Result<Vec<Tensor>> {
        let seen = Seen { model: self.model };
        let victim = Expected { victim: &seen, draws: self.draws };
        match self.attack {
            Attack::Fgsm => fgsm_many(&victim, targets, lenses, self.eps),
            attack => lenses.iter().map(|&lens| attack.perturb_from(&victim, targets, lens, self.eps, start)).collect(),
        }
    }
}

impl Group {
    fn perturb(&mut self, task: Task, workspace: Option<&Workspace>, targets: &Targets) -> Result<Vec<Tensor>> {
        if !task.attack.is_recordable() {
            return task.perturb_with(targets, &self.lenses, self.member);
        }
        let start = task.attack.start(targets, task.eps, &Noise { member: self.member, ..task.noise })?;
        let batch = targets.images.shape()[0];
        let fits = self.recorded.as_ref().is_some_and(|recorded| recorded.inputs.batch() == batch);
        let Some(workspace) = workspace.filter(|_| fits || self.warm == Some(batch)) else {
            self.warm = Some(batch);
            return task.perturb(targets, &self.lenses, start.as_ref());
        };
        if !fits {
            let inputs = Inputs::of(targets, start.as_ref());
            let (adversarial, recording) = workspace.record(|| task.perturb(&inputs.targets(targets.ids), &self.lenses, inputs.start()))?;
            self.recorded = Some(Recorded { recording, inputs, adversarial });
        } else if let Some(recorded) = &mut self.recorded {
            recorded.inputs.overwrite(targets, start.as_ref());
        }
        let Some(recorded) = &self.recorded else { unreachable!("just recorded") };
        recorded.recording.replay();
        Ok(recorded.adversarial.iter().map(Tensor::copied).collect())
    }
}
