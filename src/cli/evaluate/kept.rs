//! Where an evaluation keeps what is done, so that a killed one goes on.

use super::super::args::Eval;
use crate::base::{Result, fail, file};
use crate::drive::{Page, Question, Store, Watch};

/// Where an evaluation keeps what is done, and what an interrupted one left there.
///
/// It lies beside the checkpoint, in a folder that is named by the question and goes when that is answered.
pub fn store(args: &Eval, question: &Question, held: &[String], watch: &dyn Watch) -> Result<Option<(Store, Vec<Page>)>> {
    let slug: String = question.to_string().chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let name = args.checkpoint.file_stem().unwrap_or_default().to_string_lossy();
    let folder = args.checkpoint.with_file_name(format!("{name}.eval-{slug}-seed{}", args.seed));
    let members: Vec<String> = question.members.iter().map(|member| format!("{} {}", member.attack, member.lens)).collect();
    let text = format!("{question}, seed {}, {:?}\n{}\n{}\n", args.seed, question.pass_on, held.join("\n"), members.join("\n"));
    if !folder.exists() && file::writable(&folder).is_err() {
        if args.resume {
            return Err(fail!(
                "--resume: an evaluation is kept beside its checkpoint, and that folder cannot be written: {}",
                folder.display()
            ));
        }
        return Ok(None); // nothing to go on from, should it be interrupted
    }
    let (store, pages) = Store::open(&folder, &text, args.resume)?;
    if args.resume {
        watch.end(&match pages.len() {
            0 => format!("--resume: nothing was kept in {}; from the beginning", folder.display()),
            pages => format!("{pages} batches were done before"),
        });
    }
    Ok(Some((store, pages)))
}
