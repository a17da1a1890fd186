//! A residual block: two ways from one signal, and a learnable sum of what they give.

use super::norm::spelled_out;
use super::{Layer, Param, sequence};
use crate::autodiff::{Credit, Frames, Grad, Gradients, Keep, Member, Pass, Saved, Signal, Want};
use crate::base::{Result, Shape, fail};
use crate::ops::blend::blend;
use crate::ops::{convex, frames, norm, pool};
use crate::tensor::{Data, Tensor};

/// out = c₀·shortcut + c₁·branch(stem(x)); an empty list of layers hands its signal on.
#[derive(Clone)]
pub struct Block {
    /// What stands before the branch: the norm and neuron of a wide block, nothing in others.
    pub stem: Vec<Layer>,
    /// The residual branch, behind the stem.
    pub branch: Vec<Layer>,
    /// The other way.
    pub shortcut: Vec<Layer>,
    /// Where the shortcut starts.
    pub origin: Origin,
    /// (c₀, c₁), `[2]`.
    pub comb: Param,
}

/// Where a shortcut starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// At the block's input.
    Input,
    /// Behind the stem.
    Stem,
}

impl Block {
    /// c₀·shortcut + c₁·branch: held where both are.
    pub fn mix(&self, shortcut: &Signal, branch: &Signal) -> Result<Signal> {
        let members = [shortcut, branch].map(|member| pool::numbers(&member.data));
        let mixed = convex::forward(&members[0], &members[1], self.comb.value()).map_err(|error| error.within(&self.comb.name))?;
        let frames = match (shortcut.frames, branch.frames) {
            (Frames::Held(_), other) | (other, Frames::Held(_)) => other,
            (each, _) => each,
        };
        Ok(Signal { data: Data::Real(mixed), frames })
    }

    pub(super) fn forward(&self, x: Signal, pass: &Pass) -> Result<(Signal, Saved)> {
        let (behind, stem) = sequence::forward(&self.stem, x.clone(), pass)?;
        let start = if self.origin == Origin::Input { x } else { behind.clone() };
        let (along, branch) = sequence::forward(&self.branch, behind, pass)?;
        let (across, shortcut) = sequence::forward(&self.shortcut, start, pass)?;
        let mixed = self.mix(&across, &along)?;
        let member = |signal: Signal, way: &[Saved]| {
            let told = matches!(way.last(), Some(Saved::Norm { .. }));
            Member { shape: signal.data.shape(), data: (pass.keep == Keep::All && !told).then_some(signal.data) }
        };
        let members = [member(across, &shortcut), member(along, &branch)];
        Ok((mixed, Saved::Block { stem, branch, shortcut, members }))
    }

    pub(super) fn backward(
        &self,
        saved: &Saved,
        pass: &Pass,
        dy: Grad,
        credit: Credit,
        want: Want,
        gradients: &mut Gradients,
    ) -> Result<Grad> {
        let Saved::Block { stem, branch, shortcut, members } = saved else {
            return Err(fail!("{}: the trace belongs to another network", self.comb.name));
        };
        let dy = spelled_out(dy, members[1].shape);
        let [across, along] = self.apart(&dy, [shortcut.as_slice(), branch.as_slice()], members, want, gradients)?;
        let across = sequence::backward(&self.shortcut, shortcut, pass, Grad::plain(across), credit, want, gradients)?;
        let along = sequence::backward(&self.branch, branch, pass, Grad::plain(along), credit, want, gradients)?;
        if self.origin == Origin::Stem {
            let both = sum(along, across, members[0].shape)?;
            return sequence::backward(&self.stem, stem, pass, both, credit, want, gradients);
        }
        let along = sequence::backward(&self.stem, stem, pass, along, credit, want, gradients)?;
        sum(along, across, members[0].shape)
    }

    /// The gradients of shortcut and branch; that of the pair, if wanted, is entered.
    fn apart(&self, dy: &Tensor, ways: [&[Saved]; 2], members: &[Member; 2], want: Want, gradients: &mut Gradients) -> Result<[Tensor; 2]> {
        let comb = self.comb.value();
        let stored = [members[0].shape[3], members[1].shape[3]];
        let steps = stored[0].max(stored[1]);
        let every = || if dy.shape()[3] == steps { dy.clone() } else { frames::repeat(dy, steps, 1.0) };
        // The same at every step stays one frame, but for a held member, which wants the sum over steps.
        let alike = dy.shape()[3] < steps && stored[0] == stored[1];
        if !want.params() {
            return if alike { convex::backward_members(dy, [1, 1], comb) } else { convex::backward_members(&every(), stored, comb) };
        }
        let numbers = |index: usize| match (&members[index].data, ways[index].last()) {
            (Some(data), _) => Ok(pool::numbers(data)),
            (None, Some(Saved::Norm { y: Some(y), affine, .. })) => norm::apply(y, affine),
            _ => Err(fail!("{}: the trace keeps no members; a gradient of the pair needs Keep::All", self.comb.name)),
        };
        let convex::Gradients { da, db, dc } = convex::backward(&every(), &numbers(0)?, &numbers(1)?, comb)?;
        gradients.params[self.comb.slot] = Some(dc);
        if alike { convex::backward_members(dy, [1, 1], comb) } else { Ok([da, db]) }
    }
}

/// The gradient of a signal that went two ways. One frame stands for every step's where the other has them all.
fn sum(a: Grad, b: Grad, shape: Shape) -> Result<Grad> {
    let [a, b] = [a, b].map(|grad| spelled_out(grad, shape));
    let steps = a.shape()[3].max(b.shape()[3]);
    let [a, b] = [a, b].map(|grad| if grad.shape()[3] == steps { grad } else { frames::repeat(&grad, steps, 1.0) });
    Ok(Grad::plain(blend(&[(&a, 1.0), (&b, 1.0)])?))
}
