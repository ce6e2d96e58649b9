//! Reading what stands between `parallel` and `end`.

use super::super::error::Complaint;
use super::super::words::Words;
use super::super::{parallel, parse_action};
use super::Parser;
use crate::plan::{Parallel, Step, Strand};

impl Parser {
    /// Takes a statement that stands in a block.
    pub(super) fn in_block(
        &mut self,
        verb: &str,
        span: (usize, usize),
        words: &mut Words<'_>,
    ) -> Result<(), Complaint> {
        match verb {
            "strand" => {
                let name = parallel::parse_strand(words)?;
                let actor = name.map_or(Ok(0), |name| self.actor_index(&name, span))?;
                let Some(block) = self.open_block() else { return Ok(()) };
                parallel::check_room(block, span)?;
                block.strands.push(Strand { actor, actions: Vec::new() });
            }
            "end" => {
                words.end()?;
                self.block = None;
            }
            _ => {
                let action = parse_action::parse_action(verb, span, words)
                    .map_err(|complaint| complaint.or_advise(parallel::BLOCK_USAGE))?;
                if !action.may_overlap() {
                    let problem = "this is no single call through handles";
                    return Err(Complaint::new(span, problem, parallel::BLOCK_USAGE));
                }
                self.count_data(&action, span)?;
                let strand = self.open_block().and_then(|block| block.strands.last_mut());
                let Some(strand) = strand else {
                    let problem = "a call before the first strand";
                    return Err(Complaint::new(span, problem, parallel::BLOCK_USAGE));
                };
                strand.actions.push(action);
            }
        }
        Ok(())
    }

    /// The block that has not ended yet.
    fn open_block(&mut self) -> Option<&mut Parallel> {
        match self.script.plan.steps.last_mut() {
            Some(Step::Parallel(block)) if self.block.is_some() => Some(block),
            _ => None,
        }
    }
}
